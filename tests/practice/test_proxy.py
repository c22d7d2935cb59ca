"""The practice proxy between real clients and the real services, with faults and without."""

import base64
import contextlib
import http.client
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
import requests

import practice
from helpers import endpoints
from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_tensor_proto
from otw import doctor
from practice import credentials, launch, manager, processes, state
from practice.ports import HEALTH_PATH
from practice.proxy import log as proxy_log
from practice.proxy.answers import PlainAnswer
from practice.proxy.command import main
from practice.proxy.faults import Faults
from practice.proxy.log import Exchange, Proxy
from protos import inference_service_pb2, inference_service_pb2_grpc

CURL = shutil.which("curl")
LARGE = np.random.default_rng(1).bytes(64 * 1024 * 1024)
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state folder of this module's own: its services run until its last test."""
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("state")
        patch.setenv("OTW_STATE_DIR", str(path))
        for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy", "no_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        yield path
        manager.down()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with practice.private("proxy") as own:
        yield own


@pytest.fixture(scope="module")
def keeper() -> Iterator[Proxy]:
    """A proxy that asks for user and password."""
    with practice.private("proxy", flags=["--authenticate"]) as own:
        yield own


class Echo(http.server.BaseHTTPRequestHandler):
    """Sends back what it gets, in the way that the path asks for."""

    protocol_version = "HTTP/1.1"
    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        self.server.seen.append(dict(self.headers))  # type: ignore[attr-defined]
        body = self._body()
        getattr(self, self.path.strip("/").partition("?")[0] or "plain")(body)

    do_GET = do_HEAD = do_PUT = do_POST  # noqa: N815

    def plain(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 1000):
            piece = body[start : start + 1000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def nothing(self, body: bytes) -> None:
        self.send_response(204)
        self.end_headers()

    def until_closed(self, body: bytes) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def endless(self, body: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(100_000))

    def slow(self, body: bytes) -> None:
        time.sleep(1)
        self.plain(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *arguments: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, certificate: credentials.Certificate | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen: list[dict[str, str]] = []
        self.address = f"127.0.0.1:{self.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serving(certificate: credentials.Certificate | None = None) -> Iterator[Server]:
    with Server(certificate) as own:
        threading.Thread(target=own.serve_forever, daemon=True).start()
        yield own
        own.shutdown()


@pytest.fixture
def echo() -> Iterator[Server]:
    with serving() as own:
        yield own


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> credentials.Certificate:
    return credentials.certificate(tmp_path_factory.mktemp("tls"))


def through(proxy: Proxy | str) -> requests.Session:
    url = proxy if isinstance(proxy, str) else proxy.url
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": url, "https": url}
    return session


def raw(proxy: Proxy, timeout: float = 10) -> socket.socket:
    port = int(proxy.http.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def channel(proxy: Proxy, address: str, secure: Any = None) -> grpc.Channel:
    options = [
        ("grpc.http_proxy", proxy.url),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),  # or channels would share a tunnel
    ]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):  # where `practice.private` put loopback
            patch.delenv(name, raising=False)
        if secure:
            return grpc.secure_channel(address, secure, options=options)
        return grpc.insecure_channel(address, options=options)


def until(question: Callable[[], object], seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


def process_of(proxy: Proxy) -> psutil.Process:
    port = proxy.http.rpartition(":")[2]
    (found,) = processes.search("practice.proxy", f"--port={port}")
    return found


# What passes, unharmed


def test_plain_http_reaches_the_real_service(proxy: Proxy) -> None:
    manager.up("ccai")
    url = f"{endpoints.load('ccai').rest}/cgi-bin/fcgi_py_policy"
    seen = proxy.log()
    response = through(proxy).post(url, {"healthcheck": "1"}, timeout=10)
    assert response.content == b"healthcheck ok"
    assert response.headers["Connection"] == "close"
    (entry,) = proxy.log(since=seen)
    assert (entry.method, entry.status, entry.fault) == ("POST", 200, "")
    assert entry.target == url.split("/")[2]
    assert entry.up > len("healthcheck=1")
    assert entry.down > len("healthcheck ok")


def test_http_client_and_curl_get_the_same(proxy: Proxy, echo: Server) -> None:
    port = int(proxy.http.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", f"http://{echo.address}/plain", b"words")
    assert connection.getresponse().read() == b"words"
    if CURL:
        seen = proxy.log()
        # curl takes no_proxy, where `practice.private` put loopback, for more than its own -x.
        command = [CURL, "-s", "--noproxy", "", "-x", proxy.url, "-d", "words"]
        for more in ([], ["--proxytunnel"]):
            done = [*command, *more, f"http://{echo.address}/plain"]
            assert subprocess.run(done, capture_output=True, timeout=10).stdout == b"words"
        assert [entry.method for entry in proxy.log(since=seen)] == ["POST", "CONNECT"]


def test_a_token_goes_through_connect_and_the_proxy_sees_the_name_only(proxy: Proxy) -> None:
    manager.up("modelarts")
    endpoint = endpoints.load("modelarts")
    seen = proxy.log()
    who = {"name": endpoint.user, "password": endpoint.password, "domain": {"name": "x"}}
    body: Any = {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}}}
    session = through(proxy)
    response = session.post(
        f"{endpoint.iam}/v3/auth/tokens", json=body, verify=endpoint.ca_file, timeout=10
    )
    assert response.status_code == 401  # the domain is wrong: the service has read it
    session.close()
    (entry,) = proxy.log(since=seen)
    assert (entry.method, entry.status) == ("CONNECT", 200)
    assert f"https://{entry.target}" == endpoint.iam
    kept = "".join(path.read_text("utf-8") for path in proxy.folder.glob("proxy*"))
    for secret in ("tokens", endpoint.user, endpoint.password):
        assert secret not in kept


def test_grpc_passes_as_it_is(proxy: Proxy) -> None:
    manager.up("tfserving")
    seen = proxy.log()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    flower = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
    request.inputs["features"].CopyFrom(to_tensor_proto(flower))
    address = endpoints.load("tfserving").grpc
    with channel(proxy, address) as own:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(own)
        answers = [stub.Predict(request, timeout=10) for _ in range(20)]
        assert all(answer == answers[0] for answer in answers)
        (entry,) = proxy.log(since=seen)  # and it is still open
        assert (entry.method, entry.target, entry.status) == ("CONNECT", address, 200)
        assert entry.down > 0


def test_grpc_over_tls_passes_as_it_is(proxy: Proxy) -> None:
    manager.up("ccai")
    endpoint = endpoints.load("ccai", "practice-secure")
    authority = grpc.ssl_channel_credentials(Path(endpoint.ca_file).read_bytes())
    code = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
    with channel(proxy, endpoint.grpc, authority) as own:
        stub = inference_service_pb2_grpc.InferenceStub(own)
        health = stub.HealthCheck(
            inference_service_pb2.Empty(),
            timeout=10,
            metadata=[("authorization", f"Basic {code}")],
        )
    assert health.status == inference_service_pb2.HealthStatus.SUCCESS
    assert proxy.log()[-1].target == endpoint.grpc


@pytest.mark.parametrize("path", ["plain", "chunked"])
def test_64_mb_pass_both_ways(proxy: Proxy, echo: Server, path: str) -> None:
    seen = proxy.log()
    response = through(proxy).post(f"http://{echo.address}/{path}", LARGE, timeout=60)
    assert response.content == LARGE
    (entry,) = proxy.log(since=seen)
    assert len(LARGE) < entry.up < len(LARGE) + 1000
    assert len(LARGE) < entry.down < len(LARGE) * 1.02


def test_64_mb_pass_both_ways_in_chunks(proxy: Proxy, echo: Server) -> None:
    pieces = (LARGE[start : start + 2**20] for start in range(0, len(LARGE), 2**20))
    response = through(proxy).post(f"http://{echo.address}/plain", pieces, timeout=60)
    assert response.content == LARGE


def test_64_mb_pass_both_ways_over_tls(proxy: Proxy, certificate: credentials.Certificate) -> None:
    authority = credentials.ca_file(certificate.key.parent)
    with serving(certificate) as echo:
        url = f"https://{echo.address}/plain"
        response = through(proxy).post(url, LARGE, verify=str(authority), timeout=60)
        assert response.content == LARGE


def test_64_mb_pass_both_ways_over_grpc(proxy: Proxy) -> None:
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    generic = grpc.method_handlers_generic_handler("otw.Echo", {"Back": handler})
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    own = grpc.server(futures.ThreadPoolExecutor(2), [generic], options=unlimited)
    port = own.add_insecure_port("127.0.0.1:0")
    own.start()
    with channel(proxy, f"127.0.0.1:{port}") as opened:
        assert opened.unary_unary("/otw.Echo/Back")(LARGE, timeout=60) == LARGE
    own.stop(None)


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "chunked", b"a" * 5000, b"a" * 5000),
        ("POST", "until_closed", b"a" * 5000, b"a" * 5000),
        ("HEAD", "plain", None, b""),
        ("PUT", "nothing", b"a", b""),
        ("GET", "plain", None, b""),
        ("GET", "plain?a=%20b&c", None, b""),
    ],
)
def test_every_kind_of_answer_passes(
    proxy: Proxy, echo: Server, method: str, path: str, body: bytes | None, answer: bytes
) -> None:
    url = f"http://{echo.address}/{path}"
    response = through(proxy).request(method, url, data=body, timeout=10)
    assert response.content == answer
    assert proxy.log()[-1].status == response.status_code
    assert proxy.log()[-1].method == method


def test_who_asks_whether_to_go_on_is_answered(proxy: Proxy, echo: Server) -> None:
    with raw(proxy) as connection:
        head = (
            f"POST http://{echo.address}/plain HTTP/1.1\r\nHost: {echo.address}\r\n"
            "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"words")
        assert received(connection).endswith(b"words")
    assert proxy.log()[-1].status == 200


def test_one_session_reaches_two_servers(proxy: Proxy, echo: Server) -> None:
    with serving() as other, through(proxy) as session:
        for server in (echo, other, echo, other):
            session.get(f"http://{server.address}/", timeout=10)
        assert [len(echo.seen), len(other.seen)] == [2, 2]
        assert [e.target for e in proxy.log()[-2:]] == [echo.address, other.address]


def test_ipv6_is_an_address_too(proxy: Proxy) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener, raw(proxy) as connection:
        target = f"[::1]:{listener.getsockname()[1]}"
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert proxy.log()[-1].target == target


def test_what_is_between_client_and_proxy_stays_there(keeper: Proxy, echo: Server) -> None:
    headers = {"Proxy-Connection": "keep-alive", "Connection": "keep-alive", "X-Kept": "yes"}
    through(keeper).get(f"http://{echo.address}/", headers=headers, timeout=10)
    (seen,) = echo.seen
    assert seen["X-Kept"] == "yes"
    assert seen["Connection"] == "close"
    assert not {name.lower() for name in seen} & {"proxy-authorization", "proxy-connection"}


# Who is admitted


def test_without_a_password_it_is_407(keeper: Proxy, echo: Server) -> None:
    response = through(keeper.http).get(f"http://{echo.address}/", timeout=10)
    assert response.status_code == 407
    assert response.headers["Proxy-Authenticate"] == 'Basic realm="practice proxy"'
    assert echo.seen == []
    assert keeper.log()[-1].status == 407
    with pytest.raises(requests.exceptions.ProxyError, match="407"):
        through(keeper.http).get(f"https://{echo.address}/", timeout=10)


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic x",
        "Basic " + "x" * 10_000,
        "Bearer {right}",
        "{right}",
        "Basic {wrong}",
        "Basic {right}x",
        "Basic {half}",
        "Basic \xff",
        "",
        "Basic {other}",
    ],
)
def test_no_other_word_is_admitted(keeper: Proxy, echo: Server, header: str) -> None:
    right = base64.b64encode(f"{keeper.user}:{keeper.password}".encode()).decode()
    words = {
        "right": right,
        "half": right[: len(right) // 2],
        "wrong": base64.b64encode(f"{keeper.user}:wrong".encode()).decode(),
        "other": base64.b64encode(f"other:{keeper.password}".encode()).decode(),
    }
    value = header.format(**words).encode("latin-1")
    with raw(keeper) as connection:
        connection.sendall(
            f"GET http://{echo.address}/ HTTP/1.1\r\nProxy-Authorization: ".encode()
            + value
            + b"\r\n\r\n"
        )
        assert received(connection).startswith(b"HTTP/1.1 407 ")
    assert echo.seen == []


def test_the_right_password_is_admitted_however_the_scheme_is_written(
    keeper: Proxy, echo: Server
) -> None:
    assert through(keeper).get(f"http://{echo.address}/", timeout=10).status_code == 200
    right = base64.b64encode(f"{keeper.user}:{keeper.password}".encode()).decode()
    headers = {"Proxy-Authorization": f"bAsIc  {right}"}
    session = through(keeper.http)
    assert session.get(f"http://{echo.address}/", headers=headers, timeout=10).status_code == 200


def test_grpc_is_admitted_with_the_password_only(keeper: Proxy) -> None:
    manager.up("ccai")
    address = endpoints.load("ccai").grpc
    with channel(keeper, address) as own:
        stub = inference_service_pb2_grpc.InferenceStub(own)
        stub.HealthCheck(inference_service_pb2.Empty(), timeout=10)
    with channel(Proxy(keeper.http, keeper.folder), address) as own:
        stub = inference_service_pb2_grpc.InferenceStub(own)
        with pytest.raises(grpc.RpcError) as caught:
            stub.HealthCheck(inference_service_pb2.Empty(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert keeper.log()[-1].status == 407


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_refusal_arrives_whatever_the_size(keeper: Proxy, echo: Server, size: int) -> None:
    for _ in range(5):
        answer = through(keeper.http).post(f"http://{echo.address}/", bytes(size), timeout=10)
        assert answer.status_code == 407


def test_no_password_is_shown_or_written_down(keeper: Proxy, echo: Server) -> None:
    through(keeper).get(f"http://ada:open-sesame@{echo.address}/?key=open-sesame", timeout=10)
    with raw(keeper) as connection:  # what the library would write into its log
        connection.sendall(b"GET open-sesame\r\n\r\n")
        assert received(connection).startswith(b"HTTP/1.1 400 ")
    secret = keeper.password
    code = base64.b64encode(f"{keeper.user}:{secret}".encode()).decode()
    written = "".join(path.read_text("utf-8") for path in keeper.folder.glob("proxy*"))
    shown = f"{keeper!r}{keeper.log()!r}{keeper.log()._repr_html_()}"
    for word in (secret, code, "open-sesame", "ada"):
        assert word not in written
        assert word not in shown
    assert secret in keeper.url


@ON_POSIX
def test_only_their_owner_can_read_what_it_keeps(keeper: Proxy, echo: Server) -> None:
    through(keeper).get(f"http://{echo.address}/", timeout=10)
    until(lambda: (keeper.folder / "proxy.jsonl").exists())
    for name in ("proxy.jsonl", "secrets.json", "proxy.log"):
        assert (keeper.folder / name).stat().st_mode & 0o077 == 0, name


def test_the_record_is_for_who_started_the_proxy(proxy: Proxy, keeper: Proxy) -> None:
    for each in (proxy, keeper):
        assert requests.get(f"{each.http}/log", timeout=10).status_code == 401
        auth = ("learner", "wrong")
        assert requests.get(f"{each.http}/log", auth=auth, timeout=10).status_code == 401


# What goes wrong


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
@pytest.mark.parametrize("target", ["nobody.invalid:80", "127.0.0.1:9", "[::1]:9", "a..b:80"])
def test_who_cannot_be_reached_is_502_at_once(proxy: Proxy, method: str, target: str) -> None:
    began = time.monotonic()
    with raw(proxy) as connection:
        first = f"CONNECT {target}" if method == "CONNECT" else f"GET http://{target}/"
        connection.sendall(f"{first} HTTP/1.1\r\n\r\n".encode())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert f"The proxy cannot reach {target}: ".encode() in answer
    assert time.monotonic() - began < 30
    entry = proxy.log()[-1]
    assert (entry.method, entry.target, entry.status) == (method, target, 502)


@pytest.mark.parametrize(
    "words",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET https://127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"CONNECT  HTTP/1.1\r\n\r\n",
        b"GET http://a:b:c/ HTTP/1.1\r\n\r\n",
        b"GET http://a:99999999/ HTTP/1.1\r\n\r\n",
        b"CONNECT a:x HTTP/1.1\r\n\r\n",
        b"CONNECT a:-1 HTTP/1.1\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET http://\xff\xfe/ HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/9\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"a" * 100_000,
    ],
)
def test_what_makes_no_sense_is_answered_and_ends(proxy: Proxy, words: bytes) -> None:
    with raw(proxy) as connection:
        connection.sendall(words)
        answer = received(connection)
    assert answer[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5")
    log = (proxy.folder / "proxy.log").read_text(encoding="utf-8")
    assert "Traceback" not in log


def test_a_client_that_leaves_is_forgotten_and_the_server_hears_of_it(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        for first in (f"GET http://{target}/", f"CONNECT {target}"):
            with raw(proxy) as connection:
                connection.sendall(f"{first} HTTP/1.1\r\n\r\n".encode())
                server_side, _ = listener.accept()
                server_side.settimeout(10)
            with server_side:
                received(server_side)  # to its end
    until(lambda: process_of(proxy).num_threads() <= 2)
    assert "Traceback" not in (proxy.folder / "proxy.log").read_text(encoding="utf-8")


def test_a_client_that_leaves_in_the_middle_of_an_answer_is_forgotten(
    proxy: Proxy, echo: Server
) -> None:
    with raw(proxy) as connection:
        connection.sendall(f"GET http://{echo.address}/endless HTTP/1.1\r\n\r\n".encode())
        connection.recv(100_000)
    until(lambda: process_of(proxy).num_threads() <= 2)
    assert "Traceback" not in (proxy.folder / "proxy.log").read_text(encoding="utf-8")


def test_a_server_that_leaves_ends_the_tunnel(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, raw(proxy) as connection:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        with listener.accept()[0] as server_side:
            server_side.sendall(b"bye")
        assert received(connection) == b"bye"


def test_nobody_is_held_up_by_the_slow(proxy: Proxy, echo: Server) -> None:
    head = f"GET http://{echo.address}/endless HTTP/1.1\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        half, reads_nothing, asked_slow = (stack.enter_context(raw(proxy)) for _ in range(3))
        half.sendall(head[:10])
        reads_nothing.sendall(head)
        asked_slow.sendall(head.replace(b"endless", b"slow"))
        idle = [stack.enter_context(raw(proxy)) for _ in range(300)]
        began = time.monotonic()
        session = through(proxy)
        for _ in range(10):
            assert session.post(f"http://{echo.address}/", b"quick", timeout=60).content == b"quick"
        assert time.monotonic() - began < 60
        assert len(idle) == 300
        # What one does not read waits at the server, not in the proxy's memory.
        assert process_of(proxy).memory_info().rss < 150_000_000
        cpu = process_of(proxy).cpu_times()
        time.sleep(1)
        after = process_of(proxy).cpu_times()
        assert after.user + after.system - cpu.user - cpu.system < 0.3


def test_for_who_leaves_the_proxy_does_not_wait(proxy: Proxy, echo: Server) -> None:
    with raw(proxy) as connection:
        connection.sendall(f"GET http://{echo.address}/slow HTTP/1.1\r\n\r\n".encode())
        until(lambda: echo.seen)
    time.sleep(0.3)
    entry = proxy.log()[-1]
    time.sleep(0.1)
    assert proxy.log()[-1] == entry, "it has ended"
    assert (entry.status, entry.down) == (0, 0)


def with_changed(setting: str) -> list[str]:
    """Return a command that starts a proxy which has another limit."""
    code = (
        "import sys; from practice.host import limits;"
        "from practice.proxy import command, connection;"
        f"{setting}; sys.exit(command.main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", code]


def test_who_does_not_finish_the_head_is_cut_off(tmp_path: Path) -> None:
    port = processes.choose_port()
    with started(with_changed("connection.PATIENCE = 0.5"), port, tmp_path) as own:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET http://")
            assert received(connection) == b""
        assert own.poll() is None


def connect(port: int, target: str) -> tuple[socket.socket, str]:
    """Ask for a tunnel; returns the connection, and the status of the answer."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    return connection, connection.recv(1000).split()[1].decode()


def test_of_too_many_connections_the_next_gets_503_until_one_has_ended(
    tmp_path: Path, echo: Server
) -> None:
    port = processes.choose_port()
    with started(with_changed("limits.connections = lambda: 4"), port, tmp_path):
        first, one = connect(port, echo.address)
        second, two = connect(port, echo.address)
        third, three = connect(port, echo.address)
        assert (one, two, three) == ("200", "200", "503")
        health = requests.get(f"http://127.0.0.1:{port}{HEALTH_PATH}", timeout=20)
        assert (health.status_code, health.text) == (200, "")
        first.close()
        until(lambda: connect(port, echo.address)[1] == "200")
        for one_left in (second, third):
            one_left.close()


def test_of_too_many_idle_connections_the_oldest_is_ended_and_no_tunnel(
    tmp_path: Path, echo: Server
) -> None:
    port = processes.choose_port()
    with started(with_changed("limits.connections = lambda: 8"), port, tmp_path):
        tunnel, _ = connect(port, echo.address)
        idle = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(5)]
        assert received(idle[0]) == b""
        tunnel.sendall(b"GET / HTTP/1.1\r\nHost: echo\r\n\r\n")
        assert tunnel.recv(1000).startswith(b"HTTP/1.1 ")
        for one in (tunnel, *idle):
            one.close()


# Faults on purpose


def outcomes(proxy: Proxy, url: str, times: int, **options: Any) -> list[str]:
    found = []
    for _ in range(times):
        try:
            response = through(proxy).post(url, bytes(1000), timeout=0.5, **options)
            found.append(str(response.status_code))
        except requests.RequestException as error:
            found.append(type(error).__name__)
    return found


def test_a_share_is_exact(echo: Server) -> None:
    flags = ["--refuse=0.2", "--stall=0.1", "--cut=1/5"]
    with practice.private("proxy", flags=flags) as own:
        found = outcomes(own, f"http://{echo.address}/", 20)
        assert found[0] == "200"
        assert sorted(found) == (
            ["200"] * 10 + ["503"] * 4 + ["ChunkedEncodingError"] * 4 + ["ReadTimeout"] * 2
        )
        faults = [entry.fault for entry in own.log()]
        assert [faults.count(name) for name in ("refused", "cut", "stalled", "")] == [4, 4, 2, 10]
        assert {e.status for e in own.log() if e.fault == "stalled"} == {0}
        assert len(echo.seen) == 14, "the refused and the stalled never reach it"


def test_faults_are_spread_evenly() -> None:
    one_in_five = Faults({"cut": Fraction("0.2")})
    found = [one_in_five.next() for _ in range(1000)]
    assert all(found[start : start + 5].count("cut") == 1 for start in range(0, 1000, 5))
    assert {Faults({"cut": Fraction(1)}).next() for _ in range(9)} == {"cut"}
    assert {Faults({"cut": Fraction(0)}).next() for _ in range(9)} == {""}
    thirds = Faults({"cut": Fraction(1, 3), "refused": Fraction(1, 3)})
    assert sorted(thirds.next() for _ in range(3)) == ["", "cut", "refused"]


@pytest.fixture(scope="module")
def cutter() -> Iterator[Proxy]:
    with practice.private("proxy", flags=["--cut=1"]) as own:
        yield own


@pytest.mark.parametrize("path", ["plain", "chunked"])
@pytest.mark.parametrize("size", [2, 1000, 5_000_000])
def test_a_cut_answer_has_bytes_and_an_error(
    cutter: Proxy, echo: Server, path: str, size: int
) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        through(cutter).post(f"http://{echo.address}/{path}", bytes(size), timeout=10)
    entry = cutter.log()[-1]
    assert (entry.status, entry.fault) == (200, "cut")
    if path == "plain":
        with through(cutter) as session:
            answer = session.post(
                f"http://{echo.address}/plain", bytes(size), timeout=10, stream=True
            )
            with pytest.raises(http.client.IncompleteRead) as caught:
                answer.raw._fp.read()
        assert len(caught.value.partial) == size // 2


@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "plain"), ("GET", "nothing"), ("GET", "plain")]
)
def test_a_cut_is_never_taken_for_a_whole_answer(
    cutter: Proxy, echo: Server, method: str, path: str
) -> None:
    with pytest.raises(requests.ConnectionError):
        through(cutter).request(method, f"http://{echo.address}/{path}", timeout=10)


def test_a_cut_tunnel_breaks_after_the_greeting(
    cutter: Proxy, certificate: credentials.Certificate
) -> None:
    authority = str(credentials.ca_file(certificate.key.parent))
    with serving(certificate) as echo, pytest.raises(requests.ConnectionError):
        through(cutter).post(f"https://{echo.address}/", bytes(1000), verify=authority, timeout=10)
    assert cutter.log()[-1].status == 200
    assert cutter.log()[-1].fault == "cut"
    manager.up("ccai")
    with channel(cutter, endpoints.load("ccai").grpc) as own:
        stub = inference_service_pb2_grpc.InferenceStub(own)
        with pytest.raises(grpc.RpcError) as caught:
            stub.HealthCheck(inference_service_pb2.Empty(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("step", [1, 3, 7, 10_000])
@pytest.mark.parametrize("cut", [False, True])
def test_an_answer_is_read_in_whatever_pieces_it_comes(step: int, cut: bool) -> None:
    first, head = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-length: 9\r\n"
    answer = first + head + b"keep-alive: 3\r\nConnection: keep-alive\r\n\r\n123456789"
    found, passing = PlainAnswer(b"GET", cut), b""
    for start in range(0, len(answer), step):
        passing += found.passing(answer[start : start + step])
        if found.over:
            break
    body = b"1234" if cut else b"123456789"
    assert passing == first + head + b"Connection: close\r\n\r\n" + body
    assert found.status == 200
    assert found.over is cut


def test_what_is_no_http_passes_as_it_is() -> None:
    found = PlainAnswer(b"GET", False)
    assert found.passing(b"hello\r\n\r\n") == b"hello\r\n\r\n"
    assert found.passing(b"again") == b"again"
    assert (found.status, found.begun) == (0, True)
    long = PlainAnswer(b"GET", False)
    assert long.passing(b"a" * 65_000) == b""
    assert long.passing(b"a" * 1_000) == b"a" * 66_000


def test_a_server_that_goes_without_an_answer_is_502(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = f"127.0.0.1:{listener.getsockname()[1]}"
        for half in (b"", b"HTTP/1.1 200 OK\r\n"):
            with raw(proxy) as connection:
                connection.sendall(f"GET http://{target}/ HTTP/1.1\r\n\r\n".encode())
                with listener.accept()[0] as server_side:
                    server_side.recv(1000)
                    server_side.sendall(half)
                assert f"{target} closed without an answer.".encode() in received(connection)
            assert proxy.log()[-1].status == 502


def test_a_stalled_request_waits_for_its_client(echo: Server) -> None:
    with practice.private("proxy", flags=["--stall=1"]) as own:
        with pytest.raises(requests.ReadTimeout):
            through(own).get(f"http://{echo.address}/", timeout=0.3)
        with channel(own, echo.address) as opened:
            stub = inference_service_pb2_grpc.InferenceStub(opened)
            with pytest.raises(grpc.RpcError) as caught:
                stub.HealthCheck(inference_service_pb2.Empty(), timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert {(e.status, e.fault) for e in own.log()} == {(0, "stalled")}
        assert problem(own) == ""
        until(lambda: process_of(own).num_threads() <= 3)


# The record


def test_what_has_been_answered_is_in_the_log_already(proxy: Proxy, echo: Server) -> None:
    for number in range(50):
        seen = proxy.log()
        through(proxy).post(f"http://{echo.address}/", bytes(number), timeout=10)
        (entry,) = proxy.log(since=seen)
        assert (entry.status, entry.target) == (200, echo.address)
    numbers = [entry.number for entry in proxy.log()]
    assert numbers == sorted(numbers)


def test_an_entry_says_when_and_how_much(proxy: Proxy, echo: Server) -> None:
    through(proxy).post(f"http://{echo.address}/slow", bytes(10_000), timeout=10)
    entry = proxy.log()[-1]
    age = time.time() - time.mktime(time.strptime(entry.time, "%Y-%m-%dT%H:%M:%SZ"))
    assert abs(age + time.timezone) < 60
    assert 1000 <= entry.ms < 3000
    assert 10_000 < entry.up < 10_500
    assert 10_000 < entry.down < 10_500


def test_the_log_reads_well() -> None:
    entries = [
        Exchange(1, "2026-02-03T04:05:06Z", "CONNECT", "<a>:443", 200, 1234, 5678, 12),
        Exchange(2, "2026-02-03T04:05:07Z", "GET", "b:80", 0, 1, 0, 3, "stalled"),
    ]
    log = proxy_log.Log(entries)
    assert repr(log) == (
        "CONNECT <a>:443 200: 1,234 bytes up, 5,678 down, 12 ms\n"
        "GET b:80 no answer: 1 bytes up, 0 down, 3 ms, stalled on purpose"
    )
    assert ">&lt;a&gt;:443</td>" in log._repr_html_()
    assert ">200</td>" in log._repr_html_()
    assert repr(proxy_log.Log()) == "Nothing passed."


def test_the_log_outlives_the_proxy_and_goes_on_behind_it(tmp_path: Path) -> None:
    port = processes.choose_port()
    here = Proxy(f"http://127.0.0.1:{port}", tmp_path)
    for times in (1, 2):
        with started([sys.executable, "-m", "practice.proxy"], port, tmp_path):
            through(here).get("http://nobody.invalid/", timeout=10)
            assert [e.number for e in here.log()] == list(range(1, times + 1))
        assert [e.number for e in here.log()] == list(range(1, times + 1)), "from its files"
    (tmp_path / "proxy.jsonl").write_text('{"number": 1\nnonsense\n[]\n{"x": 1}\n')
    (tmp_path / "proxy.jsonl.1").unlink()
    assert here.log() == []
    with started([sys.executable, "-m", "practice.proxy"], port, tmp_path):
        assert here.log() == []


def test_the_record_is_bounded(tmp_path: Path) -> None:
    own = proxy_log.Record(tmp_path)
    for number in range(2 * proxy_log.LIMIT + 10):
        own.end(own.begin("GET", f"a:{number}"))
    lines = [json.loads(line) for line in own.text().splitlines()]
    assert len(lines) == proxy_log.LIMIT
    assert lines[-1]["target"] == f"a:{2 * proxy_log.LIMIT + 9}"
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["proxy.jsonl", "proxy.jsonl.1"]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert [e["number"] for e in lines] == [e.number for e in proxy_log.read(tmp_path)][
        -proxy_log.LIMIT :
    ]


def test_a_record_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    own = proxy_log.Record(tmp_path / "nowhere")
    own.end(own.begin("GET", "a:80"))
    assert '"target": "a:80"' in own.text()


# The service


def test_it_is_ready_with_the_others_and_its_log_is_at_hand(echo: Server) -> None:
    practice.ready("proxy")
    url = state.read_services()["proxy"]["http"]
    assert manager.variables("proxy") == {"OTW_PROXY_HTTP": url}
    seen = practice.proxy_log()
    through(url).get(f"http://{echo.address}/", timeout=10)
    assert [e.target for e in practice.proxy_log(since=seen)] == [echo.address]
    port = int(url.rpartition(":")[2])
    assert doctor.practice_port("proxy", "http") == port
    process = psutil.Process(state.read_services()["proxy"]["pid"])
    assert process.children() == []
    assert {c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"} == {"127.0.0.1"}
    assert manager.down("proxy") == ["proxy"]
    assert [e.target for e in practice.proxy_log(since=seen)] == [echo.address]
    assert practice.proxy_log(since=practice.proxy_log()) == []


def test_a_look_at_its_health_is_in_no_record_and_needs_no_password(keeper: Proxy) -> None:
    seen = keeper.log()
    for _ in range(3):
        assert problem(keeper) == ""
    assert keeper.log(since=seen) == []


def problem(proxy: Proxy) -> str | None:
    return launch.problem({"health": f"{proxy.http}{HEALTH_PATH}"}, 2.0)


@contextlib.contextmanager
def started(
    command: list[str], port: int, folder: Path, *flags: str
) -> Iterator[subprocess.Popen[bytes]]:
    own = [*command, f"--port={port}", f"--folder={folder}", *flags]
    process = subprocess.Popen(own, stderr=subprocess.DEVNULL)
    try:
        until(lambda: processes.accepts(port))
        yield process
    finally:
        process.terminate()
        process.wait(timeout=120)


def open_tunnel(proxy: Proxy, target: str) -> socket.socket:
    connection = raw(proxy)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    return connection


@ON_POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_whatever_is_open(tmp_path: Path, echo: Server, number: int) -> None:
    port = processes.choose_port()
    here = Proxy(f"http://127.0.0.1:{port}", tmp_path)
    with (
        started([sys.executable, "-m", "practice.proxy"], port, tmp_path) as process,
        contextlib.ExitStack() as stack,
    ):
        tunnels = [stack.enter_context(open_tunnel(here, echo.address)) for _ in range(20)]
        half = stack.enter_context(raw(here))
        half.sendall(b"GET ")
        process.send_signal(number)
        assert process.wait(timeout=120) == 0
        assert {received(tunnel) for tunnel in tunnels} == {b""}
    assert [e.status for e in here.log()] == [200] * 20


@ON_POSIX
def test_killed_it_leaves_nothing(tmp_path: Path, echo: Server) -> None:
    port = processes.choose_port()
    here = Proxy(f"http://127.0.0.1:{port}", tmp_path)
    with started([sys.executable, "-m", "practice.proxy"], port, tmp_path) as process:
        with open_tunnel(here, echo.address):
            family = [process.pid, *(p.pid for p in psutil.Process(process.pid).children())]
            assert family == [process.pid]
            process.kill()
            process.wait(timeout=120)
            until(lambda: not processes.accepts(port))
        assert processes.search("practice.proxy", f"--port={port}") == []


def test_it_ends_when_nobody_calls_and_not_while_somebody_does(
    tmp_path: Path, echo: Server
) -> None:
    port = processes.choose_port()
    here = Proxy(f"http://127.0.0.1:{port}", tmp_path)
    command = [sys.executable, "-m", "practice.proxy"]
    with (
        started(command, port, tmp_path, "--idle_timeout_seconds=1.5") as process,
        open_tunnel(here, echo.address) as tunnel,
    ):
        for _ in range(8):  # more than two time-outs
            tunnel.sendall(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\na")
            assert tunnel.recv(1000)
            time.sleep(0.5)
            assert process.poll() is None
        assert process.wait(timeout=120) == 0


def test_it_ends_with_the_process_it_was_started_for(tmp_path: Path) -> None:
    port = processes.choose_port()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        flags = (f"--exit_with_pid={other.pid}",)
        command = [sys.executable, "-m", "practice.proxy"]
        with started(command, port, tmp_path, *flags) as process:
            other.kill()
            other.wait()
            assert process.wait(timeout=120) == 0


def test_a_taken_port_is_said_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "practice.proxy", f"--port={port}"]
        done = subprocess.run(
            [*command, f"--folder={tmp_path}"], capture_output=True, text=True, timeout=20
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert " bind" in done.stderr.splitlines()[-1]


def test_a_folder_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "practice.proxy", f"--port={processes.choose_port()}"]
    done = subprocess.run(
        [*command, f"--folder={tmp_path / 'no'}"], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "flag",
    [
        "--port=0",
        "--port=many",
        "--port=65536",
        "--refuse=-0.1",
        "--stall=1.1",
        "--cut=nan",
        "--cut=inf",
        "--cut=some",
        "--cut=1/0",
        "--cut",
        "--unknown",
        "--refus=0.1",
        "--refuse=0.6 --cut=0.5",
        "--idle_timeout_seconds=soon",
        "--exit_with_pid=me",
    ],
)
def test_a_flag_that_makes_no_sense_is_refused(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(flag.split())
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_it_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    port = processes.choose_port()
    environment = os.environ | {"HOME": str(home), "USERPROFILE": str(home)}
    command = [sys.executable, "-m", "practice.proxy", f"--port={port}", f"--folder={tmp_path}"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: processes.accepts(port))
        assert list(home.iterdir()) == []
    finally:
        process.terminate()
        process.wait(timeout=120)
