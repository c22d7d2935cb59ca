"""HTTP sessions that heed a deadline and cap an answer, as gRPC's channels do; none of our own.

The timeout of `requests` is for each read: a server that sends a byte now and then is waited for
without end.
"""

import contextlib
import io
import socket
import ssl
import time
from collections.abc import Iterator
from contextvars import ContextVar
from http.client import HTTPResponse, RemoteDisconnected
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import rewind_body
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError

_DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)  # by time.monotonic
_RECORD = 16_384  # bytes; over TLS, the socket's timeout is for each record that is sent
_BUFFER = 65_536  # bytes that are read at once


@contextlib.contextmanager
def until(deadline: float) -> Iterator[None]:
    """Let what a `Session` does in this block end at a moment of `time.monotonic`."""
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


class Session(requests.Session):
    """Follows a redirect within one server only: what is sent is not for another one.

    Parameters
    ----------
    limit : int
        Bytes of an answer at most, after inflating.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.mount("http://", _Adapter(limit))
        self.mount("https://", _Adapter(limit))

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where to go on, or None: then the redirect itself is the answer."""
        try:
            target = super().get_redirect_target(resp)
            if target and _origin(urljoin(resp.url, target)) == _origin(resp.url):
                return target
        except ValueError:  # no URL, or no text at all
            pass
        return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


class _Adapter(HTTPAdapter):
    def __init__(self, limit: int) -> None:
        self._limit = limit
        super().__init__()

    def get_connection_with_tls_context(self, *arguments: Any, **named: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*arguments, **named)
        pool.ConnectionCls = _CONNECTIONS.get(pool.ConnectionCls, pool.ConnectionCls)
        return pool

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> Any:
        while True:
            try:
                return super().send(request, *arguments, **named)
            except requests.ConnectionError as error:
                if not _is_stale(error):
                    raise
            # Even a POST is sent again: nothing came back on a connection that had been kept
            # open, and servers close idle ones (RFC 9110, 9.2.2; RFC 9112, 9.3.1). What a new
            # connection meets is an error.
            if not isinstance(request.body, bytes | str | None):
                rewind_body(request)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        stream = resp.stream

        def limited(amt: int, decode_content: bool) -> Iterator[bytes]:
            content = io.BytesIO()
            for part in stream(_BUFFER, decode_content):
                content.write(part)
                if content.tell() > self._limit:
                    resp.close()
                    raise requests.RequestException(f"an answer of more than {self._limit:,} bytes")
            yield content.getvalue()  # one part, which `requests` does not copy to join it

        resp.stream = limited
        return super().build_response(req, resp)


class _Stale(RemoteDisconnected):
    """Raised when a connection that has served a call is closed before it answers the next one."""


def _is_stale(error: requests.ConnectionError) -> bool:
    reason = error.args[0] if error.args else None
    return isinstance(reason, ProtocolError) and isinstance(reason.args[-1], _Stale)


class _Connection(HTTPConnection):
    """Gives no step of a call more time than there is until its deadline."""

    _has_served = False
    _received: "_Received"

    def connect(self) -> None:
        self._has_served = False
        super().connect()

    def request(self, *arguments: Any, **named: Any) -> None:
        try:
            super().request(*arguments, **named)
        # Windows' and TLS's. After the others urllib3 looks for an answer, which may be there.
        except (ConnectionAbortedError, ssl.SSLEOFError) as error:
            if self._has_served:
                raise _Stale(str(error)) from error
            raise

    def getresponse(self) -> Any:
        try:
            response = super().getresponse()
        except ConnectionError as error:
            if self._has_served and not self._received.anything:
                raise _Stale(str(error)) from error
            raise
        self._has_served = True
        return response

    def _new_conn(self) -> socket.socket:
        self.timeout = _remaining(self.timeout)
        self.socket_options = _Options(self.socket_options or ())
        opened = super()._new_conn()
        opened.settimeout(_remaining(self.timeout))  # of the TLS handshake
        return opened

    def send(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _RECORD):
            if self.sock:
                self.sock.settimeout(_remaining(self.sock.gettimeout()))
            super().send(view[start : start + _RECORD])

    def response_class(self, sock: Any, *arguments: Any, **named: Any) -> HTTPResponse:  # type: ignore[override]
        response = HTTPResponse(sock, *arguments, **named)
        self._received = _Received(sock, response.fp.detach())
        response.fp = io.BufferedReader(self._received, _BUFFER)
        return response


class _SecureConnection(_Connection, HTTPSConnection):
    pass


# Those that a SOCKS proxy needs stay as they are.
_CONNECTIONS = {HTTPConnection: _Connection, HTTPSConnection: _SecureConnection}


class _Options(list):
    """Options of sockets, until the deadline.

    urllib3 tries all addresses of a name, each with the whole timeout; before each it reads these.
    """

    def __iter__(self) -> Iterator:
        _remaining(None)
        return super().__iter__()


class _Received(io.RawIOBase):
    """What a socket receives, until the deadline."""

    anything = False

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_remaining(self._sock.gettimeout()))
        size = self._raw.readinto(buffer)
        self.anything = self.anything or bool(size)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def _remaining(timeout: Any) -> Any:
    """Return the seconds until the deadline, or else the timeout as it is."""
    deadline = _DEADLINE.get()
    if deadline is None:
        return timeout
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("timed out")
    return remaining
