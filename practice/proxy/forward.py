"""What the proxy does with a request: forward it, refuse it, or answer it itself."""

import base64
import dataclasses
import hmac
import http
import socket

from proxy.common.utils import build_http_response
from proxy.http import httpHeaders
from proxy.http.exception import HttpRequestRejected, ProxyConnectionFailed
from proxy.http.plugin import HttpProtocolHandlerPlugin
from proxy.http.protocols import httpProtocols
from proxy.http.proxy import HttpProxyPlugin

from practice.host import server
from practice.proxy import log
from practice.proxy.answers import PlainAnswer, TunnelAnswer
from practice.proxy.faults import Faults

HEALTH_PATH = "/health"
HEALTHY = b"practice proxy"
_CHALLENGE = {b"Proxy-Authenticate": b'Basic realm="practice proxy"'}


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
    """

    port: int
    user: str
    password: str
    authenticate: bool
    faults: Faults
    record: log.Record
    activity: server.Activity

    def admits(self, authorization: bytes) -> bool:
        """Whether a header's value is the right user and password."""
        scheme, _, code = authorization.partition(b" ")
        right = base64.b64encode(f"{self.user}:{self.password}".encode())
        # In constant time: how long a wrong guess takes must not tell how good it was.
        return hmac.compare_digest(code.strip(), right) and scheme.lower() == b"basic"


class Forward(HttpProxyPlugin):
    """Forwards one request, or opens one tunnel.

    The library would read a whole request before it sends any of it, and the next request of a
    connection to the same server, whatever its host. Here a connection carries one request, and
    bodies pass as they come.
    """

    exchange: log.Exchange
    _answer: PlainAnswer | TunnelAnswer

    def on_request_complete(self) -> socket.socket | bool:
        """Decide about a request whose head has come."""
        settings: Settings = self.flags.settings
        request = self.request
        host = request.host or b""
        method = request.method or b""
        target = f"{host.decode('ascii', 'replace')}:{request.port}"
        # This proxy, asked through itself how it does: no fault is meant for that.
        own = f"{server.LOOPBACK}:{settings.port}"
        if target == own and request.path == HEALTH_PATH.encode():
            self.exchange = log.Exchange(0, "", "GET", target)  # a look at itself is in no record
        else:
            self.exchange = settings.record.begin(method.decode("ascii", "replace"), target)
            self._check(settings)
        if self.exchange.fault == "stalled":
            return False
        cut = self.exchange.fault == "cut"
        if request.is_https_tunnel:
            self._answer = TunnelAnswer(cut)
        else:
            self._answer = PlainAnswer(method, cut)
            self.exchange.up = request.total_size
            if not request.is_connection_upgrade:
                request.del_headers([b"Keep-Alive"])
                request.add_header(b"Connection", b"close")
        request.host = host.strip(b"[]")  # an IPv6 address; the library would look for a name
        try:
            over = super().on_request_complete()
        except ProxyConnectionFailed as error:
            text = f"The proxy cannot reach {target}: {error.__cause__}."
            raise self._refusal(502, text) from error
        if request.is_https_tunnel:
            self.exchange.status = 200
        return over

    def connect_upstream(self) -> None:
        """Connect to the server; small pieces go on at once."""
        super().connect_upstream()
        if self.upstream:
            self.upstream.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def on_client_data(self, raw: memoryview) -> None:
        """Pass on what the client sent behind the request's head."""
        self.exchange.up += len(raw)
        if self.upstream and not self.upstream.closed:
            self._answer.asked(raw.tobytes())
            self.upstream.queue(raw)

    async def read_from_descriptors(self, r: list[int]) -> bool:
        """Pass on what the server sent; returns True at its end."""
        if not self.upstream or self.upstream.closed or self.upstream.connection.fileno() not in r:
            return False
        try:
            raw = self.upstream.recv(self.flags.server_recvbuf_size)
        except BlockingIOError:
            return False
        except OSError:
            raw = None
        if raw is None:
            self._end_of_answer()
            return True
        self.flags.settings.activity.notice()
        self.exchange.down += len(raw)
        passing = self._answer.passing(raw.tobytes())
        if isinstance(self._answer, PlainAnswer):
            self.exchange.status = self._answer.status
        if passing:
            self.client.queue(memoryview(passing))
        return self._answer.over

    def _end_of_answer(self) -> None:
        """Answer in the place of a server that went without an answer."""
        if isinstance(self._answer, PlainAnswer) and not self._answer.begun:
            refusal = self._refusal(502, f"{self.exchange.target} closed without an answer.")
            if packet := refusal.response(self.request):
                self.client.queue(packet)

    def on_client_connection_close(self) -> None:
        """End: the record has its line before the client hears of it."""
        if self.upstream and not self.upstream.closed:
            self.upstream.close()
        self.flags.settings.record.end(self.exchange)

    def _check(self, settings: Settings) -> None:
        """Raise for who is not admitted, and for who is refused on purpose."""
        headers = self.request.headers or {}
        _, authorization = headers.get(httpHeaders.PROXY_AUTHORIZATION, (b"", b""))
        if settings.authenticate and not settings.admits(authorization):
            raise self._refusal(407, "The proxy asks for user and password.", _CHALLENGE)
        if not self.request.host or not self.request.host.isascii():
            raise self._refusal(400, "The request names no host.")
        if self.request._url and self.request._url.scheme not in (None, b"http"):
            raise self._refusal(400, "The proxy takes https through CONNECT only.")
        self.exchange.fault = settings.faults.next()
        if self.exchange.fault == "refused":
            raise self._refusal(503, "The proxy refuses this request, on purpose.")

    def _refusal(
        self, status: int, text: str, headers: dict[bytes, bytes] | None = None
    ) -> HttpRequestRejected:
        self.exchange.status = status
        more = {b"Content-Type": b"text/plain; charset=utf-8", **(headers or {})}
        body = f"{text}\n".encode()
        return HttpRequestRejected(status, http.HTTPStatus(status).phrase.encode(), more, body)


class Pages(HttpProtocolHandlerPlugin):
    """What the proxy answers itself: whether it is well, and its record."""

    @staticmethod
    def protocols() -> list[int]:
        """Return which requests these are: those without a host in their first line."""
        return [httpProtocols.WEB_SERVER]

    def on_request_complete(self) -> bool:
        """Answer, and end the connection."""
        settings: Settings = self.flags.settings
        path = (self.request.path or b"").decode("ascii", "replace")
        _, authorization = (self.request.headers or {}).get(b"authorization", (b"", b""))
        if path == HEALTH_PATH:
            self._answer(200, HEALTHY)
        elif path == log.PATH and settings.admits(authorization):
            self._answer(200, settings.record.text().encode())
        elif path == log.PATH:
            self._answer(401, b"The log is for who started the proxy.\n")
        else:
            self._answer(400, b"This is a proxy. Name it in http_proxy, and ask for something.\n")
        return True

    def _answer(self, status: int, body: bytes) -> None:
        phrase = http.HTTPStatus(status).phrase.encode()
        headers = {b"Content-Type": b"text/plain; charset=utf-8"}
        packet = build_http_response(
            status, reason=phrase, headers=headers, body=body, conn_close=True
        )
        self.client.queue(memoryview(packet))

    def on_client_data(self, raw: memoryview) -> None:
        """Nothing here has a body."""

    def on_response_chunk(self, chunk: list[memoryview]) -> list[memoryview]:
        """Leave the answer as it is."""
        return chunk

    def on_client_connection_close(self) -> None:
        """Nothing is open."""
