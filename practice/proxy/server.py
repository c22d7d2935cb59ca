"""The proxy's port: a thread for each connection, and no other process."""

import argparse
import contextlib
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from proxy.common.flag import FlagParser
from proxy.http.handler import HttpProtocolHandler
from proxy.http.parser import HttpParser, httpParserTypes
from proxy.http.responses import BAD_REQUEST_RESPONSE_PKT

from practice.host import server
from practice.proxy.answers import HEAD_LIMIT
from practice.proxy.forward import Forward, Pages, Settings

PATIENCE = 30.0  # seconds a client may take to send a request's head
_DEEP = 16  # pieces of up to 128 KB that may wait for one who reads slowly
_LINGER = 3.0  # seconds to read on, after our last word, what a client still sends
_TICK = 1.0

_Result = TypeVar("_Result")


class ProxyServer:
    """The proxy on a loopback port; it answers once `start` is called.

    Parameters
    ----------
    settings : Settings

    Raises
    ------
    OSError
        When the port is taken.
    """

    def __init__(self, settings: Settings) -> None:
        self._listener = socket.create_server((server.LOOPBACK, settings.port), backlog=128)
        self._flags = _library_flags(settings)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._ending = threading.Event()
        self._connections: dict[socket.socket, threading.Thread] = {}

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End all connections: nobody knows when a tunnel would end."""
        deadline = time.monotonic() + 1.5
        self._ending.set()
        # Closing the listener would not wake its thread everywhere. A connection does.
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname(), timeout=0.2).close()
        self._thread.join(0.5)
        self._listener.close()
        for connection, thread in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # which wakes its thread
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, address = self._listener.accept()
            except OSError as error:  # too many are open; some will be closed
                server.log.warning("A connection cannot be accepted: %s", error)
                self._ending.wait(0.1)
                continue
            if self._ending.is_set():
                connection.close()
            else:
                self._begin(connection, address)

    def _begin(self, connection: socket.socket, address: tuple[str, int]) -> None:
        thread = threading.Thread(target=self._serve, args=(connection, address), daemon=True)
        self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more threads
            server.log.warning("A connection cannot be served: %s", error)
            del self._connections[connection]
            connection.close()

    def _serve(self, connection: socket.socket, address: tuple[str, int]) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Connection(Connection.create(connection, address), flags=self._flags).run()
        except Exception:  # one connection must not end the others
            server.log.exception("A connection failed.")
        finally:
            connection.close()
            self._connections.pop(connection, None)


class Connection(HttpProtocolHandler):
    """One client's connection: a request's head, and then bytes both ways.

    The library's own loops wake forty times a second, and do not stop reading from one side
    while the other does not take what was read.
    """

    selector: selectors.DefaultSelector

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = _Head(httpParserTypes.REQUEST_PARSER)
        self._head = b""

    def run(self) -> None:
        """Serve until either side ends it."""
        try:
            self.initialize()
            with contextlib.suppress(OSError):  # somebody went
                while not self.is_inactive() and not _result(self._run_once()):
                    pass
        finally:
            self.shutdown()
            self.selector.close()

    def is_inactive(self) -> bool:
        """Whether the client takes too long with its request's head."""
        return self.plugin is None and time.time() - self.start_time > PATIENCE

    def handle_data(self, data: memoryview) -> bool | None:
        """Take what the client sent; returns True when nothing more is wanted of it."""
        self.flags.settings.activity.notice()
        if self.plugin:
            self.plugin.on_client_data(data)
            return False
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if len(head) > HEAD_LIMIT:
            self.work.queue(BAD_REQUEST_RESPONSE_PKT)
            return True
        over = super().handle_data(memoryview(head + end)) if end else False
        if self.plugin and rest and not over:
            self.plugin.on_client_data(memoryview(rest))
        return over

    async def get_events(self) -> dict[int, int]:
        """Return who is waited for: nobody is read from whose bytes the other does not take."""
        events = await super().get_events()
        client = self.work.connection.fileno()
        upstream = getattr(self.plugin, "upstream", None)
        server_side = -1 if upstream is None or upstream.closed else upstream.connection.fileno()
        if self.reads_teared or len(self.work.buffer) > _DEEP:
            events = _without_reading(events, server_side)
        if self.reads_teared or (upstream is not None and len(upstream.buffer) > _DEEP):
            events = _without_reading(events, client)
        return events

    async def _selected_events(self) -> tuple[dict[int, int], list[int], list[int]]:
        events = await self.get_events()
        for descriptor, mask in events.items():
            self.selector.register(descriptor, mask)
        ready = self.selector.select(_TICK)
        readable = [key.fd for key, mask in ready if mask & selectors.EVENT_READ]
        writable = [key.fd for key, mask in ready if mask & selectors.EVENT_WRITE]
        return events, readable, writable

    def shutdown(self) -> None:
        """Write the record's line, then close."""
        if self.plugin:
            self.plugin.on_client_connection_close()
        connection = self.work.connection
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            # Closed on what it still sends, a client would lose our last word.
            connection.settimeout(_LINGER)
            deadline = time.monotonic() + _LINGER
            while connection.recv(HEAD_LIMIT) and time.monotonic() < deadline:
                pass
        connection.close()


class _Head(HttpParser):
    """A request without its body, which passes as it comes."""

    def _process_header(self, raw: bytes) -> None:
        super()._process_header(raw)
        self._content_expected = self._is_chunked_encoded = False


def _without_reading(events: dict[int, int], descriptor: int) -> dict[int, int]:
    kept = dict(events)
    if mask := kept.pop(descriptor, 0) & ~selectors.EVENT_READ:
        kept[descriptor] = mask
    return kept


def _result(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run one of the library's coroutines: they wait for nothing, so they need no loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("The library waits for something.")


def _library_flags(settings: Settings) -> argparse.Namespace:
    # It makes folders for certificates and a cache, which are not used here.
    with tempfile.TemporaryDirectory() as unused:
        own = ["--threaded", f"--data-dir={unused}", f"--cache-dir={unused}"]
        flags = FlagParser.initialize([*own, "--open-file-limit=4096"])
    flags.plugins = {b"HttpProtocolHandlerPlugin": [Forward, Pages]}
    flags.settings = settings
    return flags
