"""The proxy's port: a thread for each connection, and no other process."""

import contextlib
import socket
import threading
import time

from practice.host import limits, server
from practice.proxy.connection import Connection, Settings


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
        self._settings = settings
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._ending = threading.Event()
        self._connections: dict[Connection, threading.Thread] = {}

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
            connection.stop()
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError as error:  # too many are open; some will be closed
                server.log.warning("A connection cannot be accepted: %s", error)
                self._ending.wait(0.1)
                continue
            self._make_place()
            connection = Connection(client, self._settings)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._connections[connection] = thread
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads
                server.log.warning("A connection cannot be served: %s", error)
                del self._connections[connection]
                connection.stop()

    def _make_place(self) -> None:
        """End the connection that has asked for nothing for the longest time, if there are many."""
        idle = [one for one in list(self._connections) if not one.has_place]
        if len(idle) >= limits.connections() // 2:
            idle[0].stop()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        except Exception:  # one connection must not end the others
            server.log.exception("A connection failed.")
            connection.stop()
        finally:
            self._connections.pop(connection, None)
