"""What the tests share: the practice services and small pictures for them."""

import contextlib
import importlib
import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import trustme

import practice
from helpers import endpoints
from helpers.endpoints import Endpoint
from practice import manager
from practice.instance import PrivateEndpoint

Answer = bytes | Callable[[socket.socket], object] | None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the slow ones first: at the end, one worker would be busy and the others idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def needs_tensorflow() -> None:
    """Mark the tests that ask for this, also through another fixture, as `tensorflow`."""


@pytest.fixture(scope="session")
def tensorflow(needs_tensorflow: None) -> ModuleType:
    """Return TensorFlow, which takes seconds to import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return importlib.import_module("tensorflow")


@pytest.fixture
def endpoint() -> Endpoint:
    """Return the practice TensorFlow Serving; started, or started again, when it is not there."""
    manager.up("tfserving")
    return endpoints.load("tfserving")


@pytest.fixture(scope="module")
def private() -> Iterator[PrivateEndpoint]:
    """Return a TensorFlow Serving of the module's own, which may be given trouble."""
    with practice.private("tfserving") as found:
        yield found


@pytest.fixture
def images() -> np.ndarray:
    """Return a batch of one empty picture, as the detector takes it."""
    return np.zeros((1, 96, 96, 1), np.float32)


@pytest.fixture
def tcp_server() -> Iterator[Callable[[Answer], str]]:
    """Return a function that listens and answers every connection with fixed bytes.

    A function in place of bytes is given each connection. With None the server accepts and then
    stays silent. What is returned listens, and returns `host:port`.
    """
    with contextlib.ExitStack() as stack:

        def listen(answer: Answer) -> str:
            server = stack.enter_context(_Server(("127.0.0.1", 0), _Answer))
            server.answer = answer
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return f"127.0.0.1:{server.server_address[1]}"

        yield listen


@pytest.fixture
def tls_server(
    tcp_server: Callable[[Answer], str], tmp_path: Path
) -> Callable[[Callable[[ssl.SSLSocket], object]], str]:
    """Return what does as `tcp_server` over TLS; its authority is in `tmp_path / "ca.pem"`."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def listen(answer: Callable[[ssl.SSLSocket], object]) -> str:
        def encrypted(connection: socket.socket) -> None:
            with context.wrap_socket(connection, server_side=True) as secure:
                answer(secure)

        return tcp_server(encrypted)

    return listen


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False
    answer: Answer


class _Answer(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client went away
            if callable(self.server.answer):
                self.server.answer(self.request)
            elif self.server.answer is not None:
                self.request.recv(4096)
                self.request.sendall(self.server.answer)
                self.request.shutdown(socket.SHUT_WR)
            # Bytes left unread at the close would reset the connection, and the answer be lost.
            while self.request.recv(4096):
                pass
