"""One client's connection: a request's head, and then bytes both ways.

The library proxy.py reads and writes the heads. Its own loop would wake forty times a second, read
a whole request before it sends any of it, and go on to read from who is faster than the other.
"""

import base64
import contextlib
import dataclasses
import hmac
import http
import socket
import threading
import time

from proxy.common.constants import PROXY_AGENT_HEADER_VALUE
from proxy.common.utils import build_http_response
from proxy.http import httpHeaders
from proxy.http.parser import HttpParser, httpParserTypes
from proxy.http.protocols import httpProtocols
from proxy.http.responses import PROXY_TUNNEL_ESTABLISHED_RESPONSE_PKT

from practice.host import server
from practice.host.peers import REFUSAL
from practice.ports import HEALTH_PATH
from practice.proxy import log
from practice.proxy.answers import HEAD_LIMIT, PlainAnswer, TunnelAnswer
from practice.proxy.faults import Faults

PATIENCE = 30.0  # seconds a client may take to send a request's head
_CONNECTING = 10.0  # seconds until a server counts as out of reach
_LINGER = 3.0  # seconds to read on, after our last word, what a client still sends
_PIECE = 65536  # bytes


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all connections share.

    Parameters
    ----------
    port : int
        Where this proxy listens.
    user, password : str
        Who may read the log, and use the proxy if it asks.
    authenticate : bool
        Whether the proxy asks.
    faults : Faults
    record : Record
    activity : Activity
        Told of all that passes.
    places : Semaphore
        One for each request or tunnel that may be under way.
    """

    port: int
    user: str
    password: str
    authenticate: bool
    faults: Faults
    record: log.Record
    activity: server.Activity
    places: threading.Semaphore

    def admits(self, request: HttpParser, name: bytes) -> bool:
        """Whether a header has the right user and password."""
        _, authorization = (request.headers or {}).get(name, (b"", b""))
        scheme, _, code = authorization.partition(b" ")
        right = base64.b64encode(f"{self.user}:{self.password}".encode())
        # In constant time: how long a wrong guess takes must not tell how good it was.
        return hmac.compare_digest(code.strip(), right) and scheme.lower() == b"basic"


class Refusal(Exception):
    """Raised where a request ends: with an answer of the proxy's own."""

    def __init__(self, status: int, text: str, headers: dict[bytes, bytes] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.packet = build_http_response(
            status,
            reason=http.HTTPStatus(status).phrase.encode(),
            headers={b"Content-Type": b"text/plain; charset=utf-8", **(headers or {})},
            body=text.encode(),
            conn_close=True,
        )


class Connection:
    """A connection that carries one request, or one tunnel.

    Parameters
    ----------
    client : socket
    settings : Settings

    Attributes
    ----------
    has_place : bool
        Whether it had one of `Settings.places`; until then nothing is lost with it.
    """

    def __init__(self, client: socket.socket, settings: Settings) -> None:
        self.has_place = False
        self._client = client
        self._settings = settings
        self._upstream: socket.socket | None = None
        self._sender: threading.Thread | None = None
        self._client_went = False

    def serve(self) -> None:
        """Serve until either side ends it."""
        with contextlib.suppress(OSError):  # somebody went
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._answer()
            except Refusal as refusal:
                self._client.sendall(refusal.packet)
        if self._upstream:
            _shut(self._upstream, socket.SHUT_RDWR)
        # Closed on what it still sends, a client would lose our last word.
        _shut(self._client, socket.SHUT_WR)
        if self._sender:
            self._sender.join(_LINGER)
        else:
            self._drain(_LINGER)
        self.stop()

    def stop(self) -> None:
        """End both sides at once."""
        for side in filter(None, (self._client, self._upstream)):
            _shut(side, socket.SHUT_RDWR)  # which wakes who waits for it
            side.close()

    def _answer(self) -> None:
        peers = self._settings.activity.peers
        if peers and not peers.admits(self._client.getpeername(), self._client.getsockname()):
            raise Refusal(403, f"{REFUSAL}\n")
        data = self._read_head()
        head, end, rest = data.partition(b"\r\n\r\n")
        if not data:
            return
        request = _Head(httpParserTypes.REQUEST_PARSER)
        try:
            request.parse(memoryview(head + end))
        except Exception as error:  # the library raises whatever it stumbles over
            raise Refusal(400, "This is no HTTP request.\n") from error
        if len(head) > HEAD_LIMIT or request.http_handler_protocol == httpProtocols.UNKNOWN:
            raise Refusal(400, "This is no HTTP request.\n")
        if request.http_handler_protocol == httpProtocols.WEB_SERVER:
            raise self._page(request)
        self._forward(request, rest)

    def _read_head(self) -> bytes:
        """Return what has come when the head is complete or too large; nothing when it never is."""
        deadline = time.monotonic() + PATIENCE
        data = b""
        while b"\r\n\r\n" not in data and len(data) <= HEAD_LIMIT:
            self._client.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._client.recv(_PIECE)
            if not piece:
                return b""
            self._settings.activity.notice()
            data += piece
        self._client.settimeout(None)
        return data

    def _page(self, request: HttpParser) -> Refusal:
        """Return what the proxy answers itself: whether it is well, and its record."""
        if request.path == HEALTH_PATH.encode():
            return Refusal(200, self._settings.activity.problem())
        if request.path != log.PATH.encode():
            return Refusal(400, "This is a proxy. Name it in http_proxy, and ask for something.\n")
        if not self._settings.admits(request, b"authorization"):
            return Refusal(401, "The log is for who started the proxy.\n")
        return Refusal(200, self._settings.record.text())

    def _forward(self, request: HttpParser, rest: bytes) -> None:
        settings = self._settings
        method = (request.method or b"").decode("ascii", "replace")
        target = f"{(request.host or b'').decode('ascii', 'replace')}:{request.port}"
        exchange = settings.record.begin(method, target)
        try:
            self._check(request, exchange)
            self._carry(request, rest, exchange)
        except Refusal as refusal:
            exchange.status = refusal.status
            raise
        finally:
            settings.record.end(exchange)  # before the client hears of the end

    def _check(self, request: HttpParser, exchange: log.Exchange) -> None:
        """Raise Refusal for who is not admitted, and for who is refused on purpose."""
        settings = self._settings
        if settings.authenticate and not settings.admits(request, b"proxy-authorization"):
            challenge = {b"Proxy-Authenticate": b'Basic realm="practice proxy"'}
            raise Refusal(407, "The proxy asks for user and password.\n", challenge)
        if not request.host or not request.host.isascii():
            raise Refusal(400, "The request names no host.\n")
        if request._url and request._url.scheme not in (None, b"http"):
            raise Refusal(400, "The proxy takes https through CONNECT only.\n")
        exchange.fault = settings.faults.next()
        if exchange.fault == "refused":
            raise Refusal(503, "The proxy refuses this request, on purpose.\n")

    def _carry(self, request: HttpParser, rest: bytes, exchange: log.Exchange) -> None:
        """Pass on what either side sends, or stall, if there is a place."""
        if not self._settings.places.acquire(blocking=False):
            text = (
                "The proxy carries as many connections as it may. Try again when one has ended.\n"
            )
            raise Refusal(503, text)
        self.has_place = True
        try:
            if exchange.fault == "stalled":
                self._drain(None)
            else:
                self._pass(request, rest, exchange)
        finally:
            self._settings.places.release()

    def _pass(self, request: HttpParser, rest: bytes, exchange: log.Exchange) -> None:
        """Pass on what either side sends, until the server ends it, or a fault does."""
        host = (request.host or b"").strip(b"[]").decode()  # of an IPv6 address, the number
        try:
            upstream = socket.create_connection((host, request.port or 80), _CONNECTING)
        except (OSError, UnicodeError, OverflowError) as error:
            text = f"The proxy cannot reach {exchange.target}: {error}.\n"
            raise Refusal(502, text) from error
        self._upstream = upstream
        upstream.settimeout(None)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cut = exchange.fault == "cut"
        answer: PlainAnswer | TunnelAnswer
        if request.is_https_tunnel:
            answer = TunnelAnswer(cut)
            exchange.status = 200
            self._client.sendall(PROXY_TUNNEL_ESTABLISHED_RESPONSE_PKT)
        else:
            answer = PlainAnswer(request.method or b"", cut)
            exchange.up = request.total_size
            upstream.sendall(_rebuilt(request))
        self._sender = threading.Thread(
            target=self._send_up, args=(rest, upstream, exchange, answer), daemon=True
        )
        self._sender.start()
        while not answer.over:
            try:
                raw = upstream.recv(_PIECE)
            except OSError:
                raw = b""
            if not raw:
                break
            self._settings.activity.notice()
            exchange.down += len(raw)
            passing = answer.passing(raw)
            if isinstance(answer, PlainAnswer):
                exchange.status = answer.status
            self._client.sendall(passing)
        if isinstance(answer, PlainAnswer) and not answer.begun and not self._client_went:
            raise Refusal(502, f"{exchange.target} closed without an answer.\n")

    def _send_up(
        self,
        data: bytes,
        upstream: socket.socket,
        exchange: log.Exchange,
        answer: PlainAnswer | TunnelAnswer,
    ) -> None:
        with contextlib.suppress(OSError):
            if not data:
                data = self._client.recv(_PIECE)
            while data:
                self._settings.activity.notice()
                exchange.up += len(data)
                answer.asked(data)
                with contextlib.suppress(OSError):  # it went; the client is heard to its end
                    upstream.sendall(data)
                data = self._client.recv(_PIECE)
        self._client_went = True
        _shut(upstream, socket.SHUT_RDWR)  # nobody waits for its answer any more

    def _drain(self, seconds: float | None) -> None:
        """Read away what the client sends."""
        with contextlib.suppress(OSError):
            self._client.settimeout(seconds)
            deadline = time.monotonic() + (seconds or float("inf"))
            while self._client.recv(_PIECE) and time.monotonic() < deadline:
                pass


class _Head(HttpParser):
    """A request without its body, which passes as it comes."""

    def _process_header(self, raw: bytes) -> None:
        super()._process_header(raw)
        self._content_expected = self._is_chunked_encoded = False


def _rebuilt(request: HttpParser) -> bytes:
    """Return a request's head as the server gets it: what is between client and proxy stays."""
    request.del_headers([httpHeaders.PROXY_AUTHORIZATION, httpHeaders.PROXY_CONNECTION])
    request.add_header(b"Via", b"1.1 %s" % PROXY_AGENT_HEADER_VALUE)
    if not request.is_connection_upgrade:
        request.del_header(b"Keep-Alive")
        request.add_header(b"Connection", b"close")
    return request.build()


def _shut(side: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(how)
