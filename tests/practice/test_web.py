"""The web server of practice services: slow clients, those that leave, its start and its end."""

import asyncio
import contextlib
import errno
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from practice import credentials, processes
from practice.credentials import Certificate
from practice.host import limits, server, waiting, web
from tests import ccai

PATIENCE = 1.0
HEADER = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


class Running:
    """A web server in this process, and what happened in its application."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self.activity = server.Activity()
        self.begun = threading.Event()  # somebody has been let in
        self.go_on = threading.Event()  # a request for /wait is answered
        self.working = threading.Event()
        self.given_up = threading.Event()  # the work for /work is over
        self.lengths: list[int] = []
        self.port = processes.choose_port()
        self.server = web.WebServer(self._application, self.port, self.activity, certificate)
        self.server.start()

    async def _application(self, scope, receive, send) -> None:
        from starlette.concurrency import run_in_threadpool

        self.begun.set()
        request = Request(scope, receive)
        if request.url.path == "/wait":
            await run_in_threadpool(self.go_on.wait, 30)
        if request.url.path == "/much":
            await Response(bytes(20_000_000))(scope, receive, send)
            return
        try:
            body = await web.read_body(request, limit=1_000_000)
        except web.TooLarge:
            await Response("too large", 413)(scope, receive, send)
            return
        if request.url.path == "/work":
            await web.in_thread(request, self._work)
        self.lengths.append(len(body))
        await Response(str(len(body)))(scope, receive, send)

    def _work(self) -> None:
        self.working.set()
        while not waiting.is_over() and not self.go_on.is_set():
            self.given_up.wait(0.02)
        self.given_up.set()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, body: bytes = b"", path: str = "/") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(web, "PATIENCE", PATIENCE)
    running = Running()
    yield running
    running.go_on.set()
    running.server.stop()


def drip(client: socket.socket, content: bytes, pause: float) -> int:
    """Send a byte at a time until the other side closes; returns how many it took."""
    for sent, number in enumerate(content):
        client.settimeout(pause)
        try:
            client.sendall(bytes([number]))
            assert client.recv(1) == b"", "answered before it was complete"
            return sent + 1
        except TimeoutError:
            continue
        except OSError:
            return sent + 1
    return len(content)


def is_cut_off(client: socket.socket) -> bool:
    """Wait until the other side closes; False when it does not within twenty seconds."""
    try:
        while client.recv(1000):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


# Slow clients.


@pytest.mark.parametrize(
    ("beginning", "slowly"),
    [(b"", HEADER % 0 + b"x" * 50), (HEADER % 100, b"x" * 100)],
    ids=["header", "body"],
)
def test_who_sends_a_byte_at_a_time_is_cut_off(
    here: Running, beginning: bytes, slowly: bytes
) -> None:
    with here.connect() as slow:
        slow.sendall(beginning)
        assert drip(slow, slowly, pause=PATIENCE / 10) < len(slowly)
    assert here.lengths == []


@pytest.mark.parametrize("beginning", [b"", b"POST", HEADER % 5, HEADER % 5 + b"1234"])
def test_who_falls_silent_is_cut_off(here: Running, beginning: bytes) -> None:
    with here.connect() as slow:
        slow.sendall(beginning)
        assert is_cut_off(slow)


def test_others_are_answered_meanwhile(here: Running) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(here.connect()) for _ in range(50)]
        for client in slow:
            client.sendall(HEADER % 5 + b"1")
        assert here.ask(b"hello") == (200, b"5")
        for client in slow:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):  # they are still waiting
                client.recv(1)


def test_patience_ends_with_the_request_and_not_with_the_answer(here: Running) -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(here.ask, b"hello", "/wait")
        with here.connect() as slow:
            assert is_cut_off(slow)  # so patience has passed for the one that waits as well
        time.sleep(PATIENCE / 2)
        here.go_on.set()
        assert answer.result() == (200, b"5")


def test_every_request_on_a_connection_has_its_own_time(here: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", here.port, timeout=20)
    with contextlib.closing(connection):
        for _ in range(4):
            connection.request("POST", "/", b"hello")
            assert connection.getresponse().read() == b"5"
            time.sleep(PATIENCE / 2)


def test_a_second_request_that_never_ends_is_cut_off(here: Running) -> None:
    with here.connect() as client:
        client.sendall(HEADER % 5 + b"12345")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        client.sendall(HEADER % 5 + b"1")
        assert is_cut_off(client)


def test_work_can_hear_that_its_client_has_gone(here: Running) -> None:
    with here.connect() as client:
        client.sendall(b"POST /work HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
        assert here.working.wait(20)
        assert not here.given_up.is_set()
    assert here.given_up.wait(20)


def test_work_goes_on_while_its_client_waits(here: Running) -> None:
    threading.Timer(0.5, here.go_on.set).start()
    assert here.ask(b"12345", "/work") == (200, b"5")
    assert here.ask(b"12345", "/work") == (200, b"5")


def test_an_answer_that_nobody_reads_is_cut_off(here: Running) -> None:
    with here.connect() as client:
        client.sendall(HEADER.replace(b"/ ", b"/much ") % 0)
        assert here.begun.wait(10)
        connections = here.server._server.server_state.connections
        deadline = time.monotonic() + 20
        while connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not connections
    assert here.ask(b"hello") == (200, b"5")


def test_a_large_body_waits_for_room_and_a_small_one_does_not(here: Running) -> None:
    large = bytes(2 * limits.SMALL)
    with limits.messages.holding(10**12):
        assert here.ask(b"hello") == (200, b"5")
        with pytest.raises((OSError, http.client.HTTPException)):
            here.ask(large)
    assert here.ask(large) == (413, b"too large")  # so it was read


def test_a_new_connection_ends_the_one_that_is_idle_longest(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PATIENCE", 60.0)
    monkeypatch.setattr(limits, "connections", lambda: 3)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(here.connect()) for _ in range(3)]
        assert here.ask(b"hello") == (200, b"5")
        assert is_cut_off(idle[0])
        for client in idle[1:]:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)


def test_a_full_table_of_descriptors_is_told_once(
    here: Running, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.new_event_loop()
    quiet = web._Quiet()
    for _ in range(100):
        quiet(loop, {"message": "", "exception": OSError(errno.EMFILE, "Too many open files")})
    loop.close()
    assert len(caplog.records) == 1


def test_a_handshake_that_is_never_made_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PATIENCE", PATIENCE)
    running = Running(credentials.certificate(tmp_path))
    try:
        with running.connect() as slow:
            assert is_cut_off(slow)
    finally:
        running.server.stop()


@pytest.mark.slow
def test_the_real_service_has_half_a_minute_of_patience() -> None:
    with ccai.running() as service, contextlib.ExitStack() as stack:
        plain = ("127.0.0.1", int(service.plain.rest.rpartition(":")[2]))
        secure = ("127.0.0.1", int(service.secure.rest.rpartition(":")[2]))
        trust = ssl.create_default_context(cafile=service.secure.ca_file)

        def connected(address: tuple[str, int]) -> socket.socket:
            return stack.enter_context(socket.create_connection(address, timeout=60))

        user = ccai.basic(service.secure.user, service.secure.password)
        path = b"POST /cgi-bin/fcgi_py_policy HTTP/1.1\r\nHost: localhost\r\n"
        path += f"Authorization: {user}\r\n".encode()
        body = path + b"Content-Length: 100\r\n\r\n"
        clients = []
        for beginning, slowly in [(b"", path), (path, b"x" * 90), (body, b"x" * 90)]:
            clients.append((connected(plain), beginning, slowly))
            encrypted = trust.wrap_socket(connected(secure), server_hostname="127.0.0.1")
            clients.append((stack.enter_context(encrypted), beginning, slowly))
        clients.append((connected(secure), b"", b"\x16\x03\x01\x02\x00" + b"x" * 85))
        for client, beginning, _ in clients:
            client.sendall(beginning)
        began = time.monotonic()
        with futures.ThreadPoolExecutor(len(clients)) as pool:
            taken = [pool.submit(drip, client, slowly, 1.0) for client, _, slowly in clients]
            while not all(each.done() for each in taken):
                answer = ccai.post(service.plain, "py_policy", {"healthcheck": 1})
                assert answer.body == b"healthcheck ok"
                futures.wait(taken, timeout=1)
        assert 20 < time.monotonic() - began < 120
        for each, (_, _, slowly) in zip(taken, clients, strict=True):
            assert each.result() < len(slowly)


# Clients that leave, and large ones.


def test_a_client_that_goes_in_the_middle_leaves_nothing(
    here: Running, caplog: pytest.LogCaptureFixture
) -> None:
    for beginning in (b"", b"POST / HT", HEADER % 5 + b"12", HEADER % 900_000 + b"x" * 100_000):
        with here.connect() as client:
            client.sendall(beginning)
    assert here.ask(b"hello") == (200, b"5")
    assert here.lengths == [5]
    assert not [record for record in caplog.records if record.exc_info]


def test_a_client_that_goes_before_its_answer_leaves_nothing(
    here: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with here.connect() as client:
        client.sendall(HEADER.replace(b"/ ", b"/wait ") % 0)
        assert here.begun.wait(10)
    here.go_on.set()
    assert here.ask(b"hello") == (200, b"5")
    assert not [record for record in caplog.records if record.exc_info]


def test_a_body_at_the_limit_is_read_and_one_above_it_thrown_away(here: Running) -> None:
    assert here.ask(bytes(1_000_000)) == (200, b"1000000")
    assert here.ask(bytes(1_000_001)) == (413, b"too large")
    assert here.ask(b"hello") == (200, b"5")


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=range(7),
)
def test_what_is_no_http_is_a_bad_request(
    here: Running, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with here.connect() as client, contextlib.suppress(ConnectionError):
        client.sendall(request_)
        first = client.recv(1000)
        assert first == b"" or re.match(rb"HTTP/1\.1 400 ", first), first
    assert here.ask(b"hello") == (200, b"5")
    assert not [record for record in caplog.records if record.exc_info]


# Start and end.


def test_a_port_that_is_taken_says_so_at_once(here: Running) -> None:
    with pytest.raises(OSError, match="(?i)in use|address"):
        web.WebServer(lambda *_: None, here.port, here.activity)
    assert here.ask(b"hello") == (200, b"5")


def test_nothing_is_answered_before_the_start() -> None:
    port = processes.choose_port()
    web.WebServer(lambda *_: None, port, server.Activity())
    assert not processes.accepts(port)


def test_only_this_machine_can_call(here: Running) -> None:
    addresses = {each.laddr for each in _listening(here.port)}
    assert {address.ip for address in addresses} == {"127.0.0.1"}


def _listening(port: int) -> list:
    import psutil

    own = psutil.Process().net_connections(kind="tcp")
    return [each for each in own if each.status == "LISTEN" and each.laddr.port == port]


def test_a_request_is_noticed(here: Running) -> None:
    before = here.activity.last_call
    here.ask()
    assert here.activity.last_call > before


def test_stop_frees_the_port_and_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running()
    assert running.ask(b"hello") == (200, b"5")
    running.server.stop()
    assert processes.is_free(running.port)
    assert not [thread for thread in threading.enumerate() if str(running.port) in thread.name]
    with pytest.raises(ConnectionError):
        running.ask()


def test_stop_waits_for_an_answer_that_is_on_its_way() -> None:
    running = Running()
    with futures.ThreadPoolExecutor(2) as pool:
        answer = pool.submit(running.ask, b"hello", "/wait")
        assert running.begun.wait(10)
        stopped = pool.submit(running.server.stop)
        running.go_on.set()
        assert answer.result() == (200, b"5")
        stopped.result()


def test_stop_does_not_wait_for_who_keeps_the_connection_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = Running()
    with running.connect() as idle, running.connect() as slow:
        idle.sendall(HEADER % 5 + b"12345")
        assert idle.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        slow.sendall(HEADER % 5)
        began = time.monotonic()
        running.server.stop()
        assert time.monotonic() - began < 60
        assert is_cut_off(idle)
        assert is_cut_off(slow)
    assert not [record for record in caplog.records if record.exc_info]


def test_the_port_can_be_taken_again_at_once() -> None:
    first = Running()
    assert first.ask(b"hello") == (200, b"5")
    first.server.stop()
    second = web.WebServer(lambda *_: None, first.port, server.Activity())
    second.start()
    second.stop()
