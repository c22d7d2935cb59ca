"""HTTP for practice services: uvicorn in a thread of its own, with limits on size and time."""

import asyncio
import contextlib
import errno
import functools
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from helpers.endpoints.endpoint import host_of_url
from practice.credentials import HOSTS, Certificate
from practice.host import limits, server, streams, waiting
from practice.host.peers import Peers
from practice.ports import HEALTH_PATH

PATIENCE = limits.PATIENCE  # for a request, from its first byte to its last, and for its answer
_BACKLOG = 128  # who connects now is answered in a moment
_LOG_EVERY = 60.0  # seconds between two lines about connections that cannot be accepted
BODY_LIMIT = 64 * 1024 * 1024  # bytes


class TooLarge(Exception):
    """Raised for a body above the limit, once it has been read and thrown away."""


class WebServer:
    """An ASGI application on a loopback port; it answers once `start` is called.

    Parameters
    ----------
    app : ASGI application
    port : int
    activity : Activity
        Told of each request.
    certificate : Certificate, optional
        With it, the port speaks TLS 1.2 or newer.
    headers_limit : int
        Bytes that a request's line and headers may have before it is refused with 400.

    Raises
    ------
    OSError
        When the port is taken.
    """

    protocol = "http/1.1"  # as TLS calls it

    def __init__(
        self,
        app: Callable,
        port: int,
        activity: server.Activity,
        certificate: Certificate | None = None,
        headers_limit: int = 65536,
    ) -> None:
        async def noticed(scope: Any, receive: Any, send: Any) -> None:
            activity.notice()
            if activity.peers and _is_foreign(scope, activity.peers):
                refused = PlainTextResponse(
                    activity.peers.refusal, 403, headers={"connection": "close"}
                )
                await refused(scope, receive, send)
                return
            if scope["path"] == HEALTH_PATH:  # here, where no work is waited for
                await PlainTextResponse(activity.problem())(scope, receive, send)
                return
            # Nobody is left to answer: the client went, or this server is ending.
            activity.begin()
            try:
                if activity.students:
                    await _counted(app, activity, scope, receive, send)
                else:
                    await _answer(app, scope, receive, send)
            except (ClientDisconnect, asyncio.CancelledError):
                pass
            finally:
                activity.end()

        self.port = port
        self.tls = certificate is not None
        self._socket = streams.bind(server.LOOPBACK, port)
        files: dict[str, Any] = {}
        if certificate:
            files = {"ssl_certfile": certificate.chain, "ssl_keyfile": certificate.key}
        self._server = uvicorn.Server(
            uvicorn.Config(
                noticed,
                http=_Punctual,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # or who calls would be whoever the caller says
                headers=[("server", "practice")],
                timeout_graceful_shutdown=2,
                h11_max_incomplete_event_size=headers_limit,
                backlog=_BACKLOG,
                **files,
            )
        )
        self._thread = threading.Thread(target=self._run, name=f"port {port}", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._socket.listen(_BACKLOG)
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being answered, for two seconds at most."""
        self._server.should_exit = True
        self._thread.join(4)

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(_Quiet())
        # asyncio gives a TLS handshake sixty seconds and its end thirty, and uvicorn has no setting
        # for them. A client that keeps its connection open does not answer the end at all.
        timely = functools.partial(
            loop.create_server, ssl_handshake_timeout=PATIENCE / 3, ssl_shutdown_timeout=0.2
        )
        create = timely if self._server.config.is_ssl else loop.create_server
        loop.create_server = create  # type: ignore[method-assign]
        with contextlib.closing(loop):
            loop.run_until_complete(self._server.serve(sockets=[self._socket]))
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()  # one that was in the middle of its request
            loop.run_until_complete(asyncio.sleep(0))


async def read_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Return a request's body.

    Raises
    ------
    TooLarge
        For more than `limit` bytes.
    ClientDisconnect
        When the client goes before the body is complete.
    """
    size = 0
    body = io.BytesIO()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message["body"]
        more = message["more_body"]
        size += len(chunk)
        if size <= limit:
            body.write(chunk)
        else:
            # Read on all the same: a client that is still sending hears nothing.
            body = io.BytesIO()
    if size > limit:
        raise TooLarge
    return body.getvalue()  # not a copy, as joining chunks would be


async def in_thread(request: Request, function: Callable, *arguments: Any) -> Any:
    """Call a function in a thread, where `waiting.is_over` tells whether the client has gone.

    All of the request's body has to be read.
    """
    gone = threading.Event()

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.set()

    listening = asyncio.ensure_future(listen())
    try:
        with waiting.caller(lambda: not gone.is_set()):
            return await run_in_threadpool(function, *arguments)
    finally:
        listening.cancel()


def _is_foreign(scope: Any, peers: Peers) -> bool:
    """Whether another user calls, or a page from elsewhere in this user's own browser."""
    if not peers.admits(scope["client"], scope["server"]):
        return True
    remote = peers.remote(scope["client"]) is not None
    hosts = (*HOSTS, *peers.hosts) if remote else HOSTS
    for name, value in scope["headers"]:
        if name == b"origin" and not _is_of(hosts, value):
            return True
        # A certificate names only these hosts.
        if name == b"host" and scope["scheme"] == "http" and not _is_of(hosts, b"//" + value):
            return True
    return False


@functools.lru_cache  # most callers send the same
def _is_of(hosts: tuple[str, ...], url: bytes) -> bool:
    try:
        return not url.strip(b"/") or host_of_url(url.decode("latin-1")) in hosts
    except ValueError:  # it is no URL
        return False


async def _counted(
    app: Callable, activity: server.Activity, scope: Any, receive: Any, send: Any
) -> None:
    """Answer, and count the call as that of the student whose it is."""
    statuses = []

    async def noted(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        await send(message)

    students: Any = activity.students
    peers: Any = activity.peers
    student = peers.student(scope["client"], scope["server"])
    with students.calling(student, f"{scope['method']} {scope['path']}") as call:
        await _answer(app, scope, receive, noted)
        call.failed = not statuses or statuses[0] >= 400


async def _answer(app: Callable, scope: Any, receive: Any, send: Any) -> None:
    """Answer once there is room for the request's body; it is held until the answer is read."""
    headers = dict(scope["headers"])
    unsaid = BODY_LIMIT if b"transfer-encoding" in headers else 0
    size = int(headers.get(b"content-length", unsaid))
    if size <= limits.SMALL:
        await app(scope, receive, send)
        return
    taken = await _take(size)

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # The web server waits for the client before it sends anything more.
            await send({**message, "more_body": True})
            message = {"type": "http.response.body"}
        await send(message)

    try:
        await app(scope, receive, sent)
    finally:
        limits.messages.give_back(taken)


async def _take(size: int) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(limits.Full):
            return limits.messages.take(size)
        await asyncio.sleep(0.02)
    raise ClientDisconnect  # cut off: it took too long to send what nobody read


class _Punctual(H11Protocol):
    """Cuts off a client who does not send its request, or read its answer, in time."""

    _limit: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _last_heard = 0.0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._last_heard = self.loop.time()
        self._make_place()
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._last_heard = self.loop.time()
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let_go()
        self._was_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(PATIENCE, self._cut_off, "read its answer")

    def resume_writing(self) -> None:
        self._was_read()
        super().resume_writing()

    def _watch(self) -> None:
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._let_go()  # all of it is here; the answer takes as long as it takes
        elif self._limit is None:
            self._limit = self.loop.call_later(PATIENCE, self._cut_off, "send its request")

    def _let_go(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _was_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cut_off(self, what: str) -> None:
        server.log.info("A client took over %.0f s to %s: cut off.", PATIENCE, what)
        self.transport.abort()

    def _make_place(self) -> None:
        """End the connection that has asked for nothing for the longest time, if there are many."""
        if len(self.connections) <= limits.connections():
            return
        connections: set[Any] = self.connections
        opened = [one for one in connections if not one.transport.is_closing()]
        idle = [one for one in opened if one.conn.their_state is h11.IDLE]
        if len(opened) > limits.connections():
            min(idle, key=lambda one: one._last_heard).transport.abort()


class _Quiet:
    """Tells once a minute, and not 128 times a second, that no connection can be accepted."""

    def __init__(self) -> None:
        self._logged = -_LOG_EVERY

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() - self._logged >= _LOG_EVERY:
            self._logged = loop.time()
            server.log.warning("A connection cannot be accepted: %s", error)
