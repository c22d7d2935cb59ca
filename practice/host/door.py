"""The door of a class's services to a network: TLS, and a certificate of each student's own.

It stands before the loopback ports of its service, and carries in what students send. So all limits
of these ports hold for it, and they answer nobody on the network themselves.
"""

import asyncio
import collections
import hashlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from practice import credentials
from practice.host import limits
from practice.host.streams import ADMITTED, CHUNK, TUNNEL, bind, carry, close
from practice.host.students import Students

HANDSHAKES = 64  # at once, of all ports
_HANDSHAKE = limits.PATIENCE / 3  # seconds, and as many for the end of a connection
_GRACE = 2.5  # seconds in which its service finishes what it is answering
_LOG_EVERY = 1.0  # seconds between two lines about callers who were not admitted
_BACKLOG = 128
_LOOPBACK = "127.0.0.1"
log = logging.getLogger("practice")


class Door:
    """Listens beside the loopback ports of a service; it answers once `start` is called.

    Parameters
    ----------
    host : str
        An IPv4 address of this machine, or a name that leads to it.
    folder : Path
        Of the class, with the server's certificate and the authority's.
    servers : sequence of GrpcServer and WebServer
        Those that it leads to. It listens on ports of the same numbers.
    students : Students
        Who is admitted; told whose each connection is.

    Raises
    ------
    OSError
        When a port is taken, and when a certificate cannot be read.
    """

    def __init__(self, host: str, folder: Path, servers: Sequence[Any], students: Students) -> None:
        self._students = students
        self._handshakes = _Places(HANDSHAKES)
        self._open = _Places(limits.connections() // 2)
        self._logged = -_LOG_EVERY
        self._ports = [
            (
                _listen(host, inner.port),
                inner,
                _outer(folder, inner.protocol),
                _inner(folder, inner),
            )
            for inner in servers
            if inner.port
        ]
        self._started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve()), name="door", daemon=True
        )
        names = ", ".join(str(inner.port) for _, inner, *_ in self._ports)
        log.info(
            "Open to the network at %s, ports %s: for students with a certificate of this class, "
            "over TLS.",
            host,
            names,
        )

    def start(self) -> None:
        """Begin to admit students."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Admit nobody any more, and let the service finish what it is answering."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(2 * _GRACE)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        accepting = [self._loop.create_task(self._accept(*port)) for port in self._ports]
        self._started.set()
        await self._ended.wait()
        for task in accepting:
            task.cancel()
        if self._open.tasks:
            await asyncio.wait(list(self._open.tasks), timeout=_GRACE)

    async def _accept(
        self,
        listening: socket.socket,
        inner: Any,
        outer_tls: ssl.SSLContext,
        inner_tls: ssl.SSLContext | None,
    ) -> None:
        with listening:
            while True:
                try:
                    connection, address = await self._loop.sock_accept(listening)
                except OSError as error:  # no descriptor is left, or the caller has gone
                    self._say("A connection cannot be accepted: %s", error)
                    await asyncio.sleep(0.1)
                    continue
                task = self._loop.create_task(self._admit(connection, inner, outer_tls, inner_tls))
                self._handshakes.take(task, address[0])
                await asyncio.sleep(0)  # it begins now; cut off before, it could close nothing

    async def _admit(
        self,
        connection: socket.socket,
        inner: Any,
        outer_tls: ssl.SSLContext,
        inner_tls: ssl.SSLContext | None,
    ) -> None:
        address = connection.getpeername()[0]
        reader = asyncio.StreamReader(CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=outer_tls,
                ssl_handshake_timeout=_HANDSHAKE,
                ssl_shutdown_timeout=_HANDSHAKE,
            )
        except OSError as error:  # ssl.SSLError is one
            connection.close()
            self._say("%s was not admitted: %s", address, error)
            return
        finally:
            self._handshakes.give_back(asyncio.current_task())
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        tls = transport.get_extra_info("ssl_object")
        certificate = hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()
        student = self._students.with_certificate(certificate)
        if not student:
            self._say("%s was not admitted: its certificate is of no student of now", address)
            await close(writer)
            return
        self._open.take(asyncio.current_task(), student)
        try:
            is_tunnel = tls.selected_alpn_protocol() == TUNNEL
            await self._lead(reader, writer, certificate, inner, inner_tls, is_tunnel=is_tunnel)
        except OSError as error:
            log.warning("Port %d does not answer its own door: %s", inner.port, error)
            await close(writer)
        finally:
            self._open.give_back(asyncio.current_task())

    async def _lead(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        certificate: str,
        inner: Any,
        inner_tls: ssl.SSLContext | None,
        *,
        is_tunnel: bool,
    ) -> None:
        inside = await asyncio.open_connection(
            _LOOPBACK, inner.port, ssl=None if is_tunnel else inner_tls, limit=CHUNK
        )
        # Before anything is sent: without it the connection would count as its owner's.
        own = inside[1].get_extra_info("sockname")
        self._students.remote[own] = certificate
        try:
            if is_tunnel:
                writer.write(ADMITTED)
            await carry((reader, writer), inside)
        finally:
            del self._students.remote[own]

    def _say(self, text: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._logged >= _LOG_EVERY:
            self._logged = now
            log.warning(text, *arguments)


class _Places:
    """So many tasks at once; when there are more, whoever has the most loses the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.tasks: dict[Any, str] = {}

    def take(self, task: Any, whose: str) -> None:
        self.tasks[task] = whose
        if len(self.tasks) > self._most:
            greediest = collections.Counter(self.tasks.values()).most_common(1)[0][0]
            oldest = next(one for one, other in self.tasks.items() if other == greediest)
            self.give_back(oldest)
            oldest.cancel()

    def give_back(self, task: Any) -> None:
        self.tasks.pop(task, None)


def _listen(host: str, port: int) -> socket.socket:
    try:
        own = bind(host, port)
    except OSError as error:
        raise OSError(error.errno, f"cannot bind {host}:{port}: {error.strerror}") from error
    own.setblocking(False)
    own.listen(_BACKLOG)
    return own


def _outer(folder: Path, protocol: str) -> ssl.SSLContext:
    """Return how it speaks with the network."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credentials.certificate(folder))
    context.load_verify_locations(credentials.ca_file(folder))
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([TUNNEL, protocol])
    # A session that is taken up again would prove a certificate that may have expired since.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context


def _inner(folder: Path, inner: Any) -> ssl.SSLContext | None:
    """Return how it speaks with a loopback port, if that has TLS."""
    if not inner.tls:
        return None
    context = ssl.create_default_context(cafile=credentials.ca_file(folder))
    context.set_alpn_protocols([inner.protocol])
    return context
