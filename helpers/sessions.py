"""HTTP sessions that heed a deadline and cap an answer, as gRPC's channels do; none of our own.

The timeout of `requests` is for each read: a server that sends a byte now and then is waited for
without end.
"""

import contextlib
import io
import socket
import time
from collections.abc import Iterator
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

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

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        stream = resp.stream

        def limited(amt: int, decode_content: bool) -> Iterator[bytes]:
            size = 0
            for part in stream(_BUFFER, decode_content):
                size += len(part)
                if size > self._limit:
                    resp.close()
                    raise requests.RequestException(f"an answer of more than {self._limit:,} bytes")
                yield part

        resp.stream = limited
        return super().build_response(req, resp)


class _Connection(HTTPConnection):
    """Gives no step of a call more time than there is until its deadline."""

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
        response.fp = io.BufferedReader(_Received(sock, response.fp.detach()), _BUFFER)
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

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_remaining(self._sock.gettimeout()))
        return self._raw.readinto(buffer)

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
