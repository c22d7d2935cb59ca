"""What a server cannot do to a call over REST: outlast its deadline, fill memory, send it on."""

import contextlib
import gzip
import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import channels, transport
from helpers.endpoints import Endpoint
from helpers.errors import (
    CallError,
    ConnectionFailed,
    DeadlineExceeded,
    NotThisProtocol,
    TooLarge,
    explain,
)
from tests.http_answers import drip, http_answer, moved, received
from workbench.watching import Watch

OK = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = 1024 * 1024
Listen = Callable[..., str]


def at(address: str, scheme: str = "http") -> Endpoint:
    return Endpoint("tfserving", rest=f"{scheme}://{address}", model="any")


def ask(endpoint: Endpoint, timeout: float = 0.5, **content: bytes) -> bytes:
    response = transport.request(endpoint, "POST", f"{endpoint.rest}/any", timeout, **content)
    return response.content


def stopped(connection: socket.socket) -> None:
    received(connection)
    connection.sendall(OK + b"Content-Length: 9\r\n\r\nhalf")
    connection.recv(1)  # until the client goes


DRIPPED = {
    "status line": drip(b"", b"H"),
    "headers": drip(OK, b"A: b\r\n"),
    "body": drip(OK + b"Content-Length: 100\r\n\r\n", b"x"),
    "body without a length": drip(OK + b"\r\n", b"x"),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "one chunk": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\n", b"x"),
    "continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "stopped": stopped,
}


@pytest.mark.parametrize("part", DRIPPED)
def test_a_deadline_ends_an_answer_that_does_not_end(tcp_server: Listen, part: str) -> None:
    with pytest.raises(DeadlineExceeded, match="did not answer in time"):
        ask(at(tcp_server(DRIPPED[part])))


def test_the_deadline_is_the_same_for_a_call_that_is_watched(tcp_server: Listen) -> None:
    with pytest.raises(DeadlineExceeded), Watch():
        ask(at(tcp_server(DRIPPED["body"])))


def test_no_retry_goes_beyond_the_deadline(tcp_server: Listen) -> None:
    endpoint = at(tcp_server(DRIPPED["body"])).replace(retries=4)
    with pytest.raises(DeadlineExceeded):
        ask(endpoint)


def test_same_server_redirects_share_the_deadline(tcp_server: Listen) -> None:
    def around(connection: socket.socket) -> None:
        received(connection)
        time.sleep(0.2)
        connection.sendall(moved("/again", 302))

    with pytest.raises(DeadlineExceeded):
        ask(at(tcp_server(around)))


@pytest.fixture
def secured(tls_server: Listen, tmp_path: Path) -> Callable[[Callable], Endpoint]:
    """Return a function that answers over TLS, whose authority is trusted."""
    return lambda answer: at(tls_server(answer), "https").replace(ca_file=str(tmp_path / "ca.pem"))


def test_the_deadline_holds_over_tls(secured) -> None:
    with pytest.raises(DeadlineExceeded):
        ask(secured(DRIPPED["headers"]), 1)


def test_a_deadline_ends_a_request_that_is_taken_in_too_slowly(secured) -> None:
    def slow(connection: ssl.SSLSocket) -> None:
        for _ in range(200):
            connection.recv(16_384)
            time.sleep(0.05)
        received(connection)
        connection.sendall(http_answer(b"{}"))

    with pytest.raises(DeadlineExceeded):
        ask(secured(slow), 1, data=bytes(16 * MEGABYTE))


def test_a_tls_handshake_that_does_not_end_is_ended(tcp_server: Listen) -> None:
    silent = at(tcp_server(None), "https")
    with pytest.raises(DeadlineExceeded):
        ask(silent)


def test_of_a_name_with_many_addresses_none_is_tried_after_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def unreachable(connecting: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address)
        time.sleep(connecting.gettimeout() or 0)
        raise TimeoutError("timed out")

    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address] * 3)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    with pytest.raises(DeadlineExceeded):
        ask(at("service.invalid"), 0.3)
    assert len(tried) == 1


def test_a_proxy_that_drips_is_ended(tcp_server: Listen, monkeypatch) -> None:
    proxy = tcp_server(drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{proxy}")
    monkeypatch.setenv("no_proxy", "")
    for scheme in ("http", "https"):
        with pytest.raises(DeadlineExceeded):
            ask(at("service.invalid", scheme))


# Connections that are kept open.

KEPT = OK + b"Content-Length: 2\r\n\r\n{}"
HUNG_UP = {
    "unread": lambda connection: connection.recv(1),
    "read": received,
}


class Idle:
    """A server that answers once on each connection, and hangs up when asked again on it."""

    def __init__(self, hang_up: Callable, answers: int = 9) -> None:
        self.connections = 0
        self._hang_up = hang_up
        self._answers = answers

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        if self.connections <= self._answers:
            received(connection)
            connection.sendall(KEPT)
        self._hang_up(connection)
        connection.close()


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("hang_up", HUNG_UP)
def test_a_kept_connection_that_the_server_closes_is_opened_anew(
    tcp_server: Listen, secured, hang_up: str, watched: bool, secure: bool
) -> None:
    server = Idle(HUNG_UP[hang_up])
    endpoint = secured(server) if secure else at(tcp_server(server))
    for _ in range(3):
        with Watch() if watched else contextlib.nullcontext():
            assert ask(endpoint, 20, data=b"a picture" * 100_000) == b"{}"
    assert server.connections == 3


@pytest.mark.parametrize("hang_up", HUNG_UP)
def test_a_new_connection_that_the_server_closes_is_an_error(
    tcp_server: Listen, hang_up: str
) -> None:
    server = Idle(HUNG_UP[hang_up], answers=1)
    endpoint = at(tcp_server(server))
    ask(endpoint, 20)
    with pytest.raises(ConnectionFailed):
        ask(endpoint, 20, data=b"a picture")
    assert server.connections == 2


def test_a_call_whose_answer_has_begun_is_not_made_again(tcp_server: Listen) -> None:
    def begin(connection: socket.socket) -> None:
        received(connection)
        connection.sendall(b"HTTP/1.1 2")

    server = Idle(begin)
    endpoint = at(tcp_server(server))
    ask(endpoint, 20)
    with pytest.raises(CallError):
        ask(endpoint, 20, data=b"a picture")
    assert server.connections == 1


# Sizes.


@pytest.fixture
def small(monkeypatch) -> int:
    monkeypatch.setattr(channels, "MAX_MESSAGE", MEGABYTE)
    return MEGABYTE


@pytest.mark.parametrize("framed", ["length", "chunked", "until the end"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_has_a_limit_after_inflating(
    tcp_server: Listen, small: int, encoding: str, framed: str
) -> None:
    def answer(size: int) -> bytes:
        body = gzip.compress(bytes(size)) if encoding == "gzip" else bytes(size)
        head = OK + b"Connection: close\r\nContent-Encoding: %b\r\n" % encoding.encode()
        if framed == "length":
            return head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        if framed == "chunked":
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + body
        return head + b"\r\n" + body

    assert ask(at(tcp_server(answer(small))), 30) == bytes(small)
    with pytest.raises(TooLarge, match="more than 1,048,576 bytes") as caught:
        ask(at(tcp_server(answer(small + 1))), 30)
    assert "unpacked" in explain(caught.value).means


def test_what_inflates_a_thousandfold_is_not_inflated_further_than_the_limit(
    tcp_server: Listen, small: int
) -> None:
    body = gzip.compress(bytes(64 * MEGABYTE))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    endpoint = at(tcp_server(head + body))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge), Watch():
            ask(endpoint, 30)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEGABYTE
    finally:
        tracemalloc.stop()


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nothing_is_sent_to_where_another_server_points(tcp_server: Listen, status: int) -> None:
    requests: list[bytes] = []

    def other(connection: socket.socket) -> None:
        requests.append(received(connection))
        connection.sendall(http_answer(b"{}"))

    there = f"http://{tcp_server(other)}/v1"
    endpoint = at(tcp_server(moved(there, status)))
    with pytest.raises(NotThisProtocol, match="redirects to") as caught:
        ask(endpoint, 20, data=b"a picture")
    assert there in str(caught.value)
    assert (caught.value.code, requests) == (status, [])
    assert "endpoint.replace(rest=...)" in explain(caught.value).checks[0]


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_within_the_server_is_followed(tcp_server: Listen, status: int) -> None:
    def answer(connection: socket.socket) -> None:
        request = received(connection)
        there = request.startswith(b"POST /there ")
        connection.sendall(http_answer(request[-9:]) if there else moved("/there", status))

    assert ask(at(tcp_server(answer)), 20, data=b"a picture") == b"a picture"


def test_https_is_never_left_for_http(secured) -> None:
    def answer(connection: ssl.SSLSocket) -> None:
        received(connection)
        port = connection.getsockname()[1]
        connection.sendall(moved(f"http://127.0.0.1:{port}/any"))

    with pytest.raises(NotThisProtocol, match="redirects to http://127"):
        ask(secured(answer), 20, data=b"a picture")


BROKEN = ("http://[", "//", "http://host:port/", "\\\\other", "http:///x", "/\xff")


@pytest.mark.parametrize("there", BROKEN)
def test_a_broken_location_is_an_error_of_the_tree(tcp_server: Listen, there: str) -> None:
    with pytest.raises(CallError):
        ask(at(tcp_server(moved(there))), 20)
