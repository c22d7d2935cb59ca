"""What the tests share: the practice services and small pictures for them."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from helpers import endpoints
from helpers.endpoints import Endpoint
from practice import manager


@pytest.fixture
def endpoint() -> Endpoint:
    """Return the practice TensorFlow Serving; started, or started again, when it is not there."""
    manager.up("tfserving")
    return endpoints.load("tfserving")


@pytest.fixture
def images() -> np.ndarray:
    """Return a batch of one empty picture, as the detector takes it."""
    return np.zeros((1, 96, 96, 1), np.float32)


@pytest.fixture
def tcp_server() -> Iterator[Callable[[bytes | None], str]]:
    """Return a function that listens and answers every connection with fixed bytes.

    With None it accepts and then stays silent. The function returns `host:port`.
    """
    with contextlib.ExitStack() as stack:

        def listen(answer: bytes | None) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
            return f"127.0.0.1:{listener.getsockname()[1]}"

        yield listen


def _answer(listener: socket.socket, answer: bytes | None) -> None:
    open_connections = []
    with contextlib.suppress(OSError):  # the listener is closed when the test ends
        while True:
            connection, _ = listener.accept()
            if answer is None:
                open_connections.append(connection)
                continue
            connection.recv(4096)
            connection.sendall(answer)
            connection.close()
