"""`otw explore`, as a shell runs it: the page and its kernel, without a browser; large uploads."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import websocket
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

import practice
from helpers import cli
from practice import processes
from tests.tfserving import eventually, write_config

PASSWORD = "correct horse"
# What it must do without: the practice services.
OTW = [
    sys.executable, "-P", "-c",
    "import sys; sys.modules['practice'] = None; from helpers.cli import main; sys.exit(main())",
]  # fmt: skip
LAB = [sys.executable, "-P", "-c", "import sys; from helpers.cli import main; sys.exit(main())"]
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
PROTOCOL = "v1.kernel.websocket.jupyter.org"
PARTS = ("header", "parent_header", "metadata", "content")
CONTROL = "jupyter.widget.control"
LARGE = secrets.token_bytes(20_000_000)
IMAGE = {
    "_model_module": "@jupyter-widgets/controls", "_model_module_version": "2.0.0",
    "_model_name": "ImageModel", "_view_module": "@jupyter-widgets/controls",
    "_view_module_version": "2.0.0", "_view_name": "ImageView",
}  # fmt: skip


class Kernel:
    """The websocket of a kernel, as a page has it."""

    def __init__(self, http: requests.Session, address: str, kernel: str) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        header = [f"{name}: {value}" for name, value in http.headers.items() if name[0] == "A"]
        url = f"ws{address.removeprefix('http')}/api/kernels/{kernel}/channels"
        self.socket = websocket.create_connection(
            url, timeout=30, cookie=cookie, header=header, subprotocols=[PROTOCOL]
        )
        self.session = Session()

    def tell(self, kind: str, content: dict[str, Any], *buffers: bytes) -> str:
        """Send a message; returns its id."""
        protocol = "1.0.0" if content.get("target_name") == CONTROL else "2.1.0"
        made = self.session.msg(kind, content, metadata={"version": protocol})
        parts = [self.session.pack(made[name]) for name in PARTS]
        self.socket.send_binary(serialize_msg_to_ws_v1([*parts, *buffers], "shell"))
        return made["header"]["msg_id"]

    def told(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message that is wanted."""
        while True:
            opcode, received = self.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError(received)
            _, parts = deserialize_msg_from_ws_v1(received)
            message = dict(zip(PARTS, map(json.loads, parts), strict=False))
            if wanted(message):
                return message | {"buffers": parts[len(PARTS) :]}

    def done(self, sent: str) -> None:
        """Wait until the kernel has done what a message asked for."""
        self.told(lambda each: is_done(each, sent))

    def send_back(self, content: bytes) -> str:
        """Set the picture of a new image widget; returns the hash of what the kernel has then."""
        comm = uuid.uuid4().hex
        data = {"state": {**IMAGE, "value": None}, "buffer_paths": [["value"]]}
        self.tell("comm_open", {"comm_id": comm, "target_name": "jupyter.widget", "data": data},
                  content)  # fmt: skip
        back = self.told(
            lambda each: (
                each["header"]["msg_type"] == "comm_msg" and each["content"]["comm_id"] == comm
            )
        )
        return hashlib.sha256(back["buffers"][0]).hexdigest()

    def states(self, wanted: str) -> str:
        """Return the states of all widgets, as soon as this is in them."""
        comm, limit = uuid.uuid4().hex, time.monotonic() + 30
        self.tell("comm_open", {"comm_id": comm, "target_name": CONTROL, "data": {}})
        ask, found = {"comm_id": comm, "data": {"method": "request_states"}}, ""
        while wanted not in found:
            assert time.monotonic() < limit, found
            time.sleep(0.05)  # the pace of asking
            found = self.states_or_end(self.tell("comm_msg", ask))
        return found

    def states_or_end(self, sent: str) -> str:
        answer = self.told(lambda each: is_states(each) or is_done(each, sent))
        return json.dumps(answer["content"], ensure_ascii=False)


def is_states(message: dict[str, Any]) -> bool:
    return message["content"].get("data", {}).get("method") == "update_states"


def is_done(message: dict[str, Any], sent: str) -> bool:
    idle = message["content"].get("execution_state") == "idle"
    return idle and message["parent_header"].get("msg_id") == sent


class Page:
    """An explorer that was started, and what a browser does with it."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process, self.folder = process, folder
        self.printed, self.url = "", ""
        while not self.url:
            line = process.stdout.readline() if process.stdout else ""
            assert line, f"it ended: {self.printed}"
            self.printed += line
            self.url = "".join(re.findall(r"http://\S+\?token=\w+", line))
        self.address, _, self.token = self.url.partition("/?token=")
        self.http = requests.Session()
        self.http.trust_env = False

    def open(self) -> str:
        answer = self.http.get(self.url, timeout=60)
        answer.raise_for_status()
        assert re.fullmatch(r"[^;]+", answer.headers["Content-Security-Policy"])
        answer.encoding = "utf-8"  # as the page itself says
        return answer.text

    def kernel(self, text: str) -> Kernel:
        return Kernel(self.http, self.address, self.kernel_id(text))

    def kernel_id(self, text: str) -> str:
        return re.findall(r'"kernelId": "([\w-]+)"', text)[0]

    def kernels(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.printed += self.process.communicate(timeout=30)[0]
        return self.process.returncode


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[Callable[..., Page]]:
    """Give a function that starts `otw explore` with a home folder of its own."""
    places = {name: folder / name for name in ("home", "temporary", "work")}
    for place in places.values():
        place.mkdir()
    own = {"HOME": str(places["home"]), "OTW_STATE_DIR": str(folder / "state")}
    own |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(places["temporary"]))
    with contextlib.ExitStack() as stack:

        def start(*words: str, **variables: str) -> Page:
            quiet = [] if "BROWSER" in variables else ["--no-browser"]
            process = subprocess.Popen(
                [*OTW, "explore", *quiet, *words],
                cwd=places["work"],
                env=os.environ | own | variables,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Page(process, folder)

        yield start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return an explorer of an address where nobody listens, for tests that leave it running."""
    with starting(tmp_path_factory.mktemp("shared")) as start:
        yield start("127.0.0.1:1")


def left_behind(folder: Path) -> list[str]:
    return [str(each) for each in folder.rglob("*") if each.is_file()]


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with practice.private("tfserving") as service:
        yield service


def test_the_page_has_the_explorer_and_no_code(
    service: Any, start: Callable[..., Page], tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    write_config(config, {"name": "iris", "base_path": "anywhere"})
    page = start(service.grpc, "--model", "digits", "--config", str(config))
    text = page.open()
    assert f"<title>Explorer · {service.grpc}</title>" in text
    assert "application/vnd.jupyter.widget-view+json" in text
    for code in ("load_ext", "os.chdir", "import Explorer"):
        assert code not in text
    states = page.kernel(text).states("serving_default")
    assert "digits" in states
    assert "iris" in states
    assert not (tmp_path / "state").exists(), "no practice service is needed, and none is started"


def test_the_models_of_an_address_over_rest_are_found_too(
    service: Any, start: Callable[..., Page]
) -> None:
    bare = service.rest.removeprefix("http://")
    for words in ([service.rest], [bare, "--over", "rest"]):
        page = start(*words, "--model", "iris")
        text = page.open()
        assert f"<title>Explorer · {bare}</title>" in text
        assert "serving_default" in page.kernel(text).states("serving_default")


def test_the_browser_is_told_to_ask_nobody_else(page: Page) -> None:
    answer = page.http.get(page.url, timeout=60)
    assert "https://" in "".join(re.findall(r"<link[^>]*>", answer.text)), "Voila's page would"
    (policy,) = answer.headers["Content-Security-Policy"].split(";")
    name, *sources = policy.split()
    assert name == "default-src"
    assert set(sources) == {"'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}


def test_without_the_token_nothing_is_served(page: Page) -> None:
    kernel = page.kernel_id(page.open())
    count = len(page.kernels())
    for query in ("", "?token=wrong", f"?token={page.token[:-1]}"):
        answer = requests.get(f"{page.address}/{query}", timeout=10, allow_redirects=False)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/login")
        for address in (f"api/kernels/{kernel}", f"api/kernels/{kernel}/channels"):
            answer = requests.get(f"{page.address}/{address}{query}", timeout=10)
            assert answer.status_code == 403
            answer = requests.delete(f"{page.address}/{address}{query}", timeout=10)
            assert answer.status_code in (403, 405)
        socket = f"ws{page.address[4:]}/api/kernels/{kernel}/channels{query}"
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            websocket.create_connection(socket, timeout=10)
    answer = requests.post(f"{page.address}/voila/api/shutdown/{kernel}", timeout=10)
    assert answer.status_code == 403
    assert len(page.kernels()) == count
    host, port = page.address.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    assert {
        each.laddr.ip
        for each in psutil.Process(page.process.pid).net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port == int(port)
    } == {"127.0.0.1"}


ENDS = ["SIGINT", "SIGTERM", "SIGHUP"]


@pytest.fixture
def hang_up() -> Iterator[None]:
    """Let what is started end with its terminal, also when the tests themselves are not to."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@unix
@pytest.mark.usefixtures("hang_up")
@pytest.mark.parametrize("name", ENDS)
def test_a_signal_ends_it_and_nothing_is_left(name: str, start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    page.open()
    kernels = page.kernels()
    assert kernels
    assert page.end(getattr(signal, name)) == 0
    assert page.printed.endswith("\nThe explorer of 127.0.0.1:1 has ended.\n")
    assert not any(each.is_running() for each in kernels)
    assert left_behind(page.folder) == []
    assert list((page.folder / "temporary").iterdir()) == []


@unix
def test_a_signal_while_the_page_is_made_leaves_nothing_either(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    page.http.get(page.url, stream=True, timeout=60).close()  # its head is there, the kernel starts
    kernels = page.kernels()
    assert page.end() == 0
    assert "Traceback" not in page.printed
    assert not any(each.is_running() for each in kernels)
    assert list((page.folder / "temporary").iterdir()) == []


@unix
def test_the_browser_is_opened_and_its_command_line_has_no_token(
    start: Callable[..., Page], tmp_path: Path
) -> None:
    browser, given = tmp_path / "browser.sh", tmp_path / "given"
    browser.write_text('echo "$1" > draft; cat "${1#file://}" >> draft; mv draft "$2"')
    page = start("127.0.0.1:1", BROWSER=f"sh {browser} %s {given}")
    eventually(given.exists, seconds=30)
    address, shown = given.read_text(encoding="utf-8").splitlines()
    assert address.startswith("file://")
    assert page.token not in address
    assert f'content="0; url={page.url}"' in shown


def test_a_second_one_takes_another_port(start: Callable[..., Page]) -> None:
    pages = [start("127.0.0.1:1") for _ in range(2)]
    assert len({page.address for page in pages}) == 2
    for page in pages:
        assert page.http.get(page.url, timeout=60).status_code == 200


def test_a_port_is_the_one_asked_for_or_none(
    start: Callable[..., Page], capsys: pytest.CaptureFixture[str]
) -> None:
    port = str(processes.choose_port())
    assert start("127.0.0.1:1", "--port", port).address == f"http://127.0.0.1:{port}"
    assert cli.main(["explore", "127.0.0.1:1", "--port", port]) == 2
    said = capsys.readouterr().err
    assert f"Port {port} cannot be had" in said
    assert "Without --port, a free one is taken." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["127.0.0.1"], "'127.0.0.1' is not a gRPC address"),
        (["127.0.0.1:1", "--port", "0"], "a port is a whole number from 1 to 65535, not '0'"),
        (["127.0.0.1:1", "--port", "65536"], "a port is a whole number from 1 to 65535"),
        (["127.0.0.1:1", "--port", "web"], "a port is a whole number from 1 to 65535"),
        (["127.0.0.1:1", "--timeout", "0"], "seconds are a number above 0"),
        (["127.0.0.1:1", "--config", "no.config"], "no.config cannot be read: No such file"),
        (["127.0.0.1:1", "--config", __file__], "cannot be read as a config file"),
        (["127.0.0.1:1", "--ca-file", "no.pem"], "no.pem"),
        (["127.0.0.1:1", "--user", "ada"], "OTW_PASSWORD"),
        (["http://127.0.0.1:1", "--over", "grpc"], "gRPC takes HOST:PORT, without http://"),
        (["http://127.0.0.1:1", "--tls"], "http:// is not encrypted"),
        (["127.0.0.1:1", "digits"], "unknown argument: digits"),
        ([], "HOST:PORT"),
    ],
)
def test_a_wrong_flag_is_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:  # as the command ends, and as argparse does
        sys.exit(cli.main(["explore", *words]))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_an_address_where_nobody_listens_is_explained_on_the_page(
    start: Callable[..., Page],
) -> None:
    address = f"127.0.0.1:{processes.choose_port()}"
    page = start(address, "--model", "digits")
    states = page.kernel(page.open()).states("What it usually means")
    assert "Traceback" not in states


def test_an_error_is_a_card_and_no_traceback(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    (page.folder / "work").rename(page.folder / "moved")  # where the kernel is to work
    text = page.open()
    assert "otw-explanation" in text
    assert "FileNotFoundError" in text
    assert "There was an error when executing cell" not in text
    page.end()
    assert "Traceback" not in page.printed


def test_the_password_is_in_the_environment_only(
    start: Callable[..., Page], tmp_path: Path
) -> None:
    import trustme

    trustme.CA().cert_pem.write_to_path(tmp_path / "work.pem")
    words = ("--model", "digits", "--user", "ada", "--ca-file", "../work.pem")
    page = start("127.0.0.1:1", *words, OTW_PASSWORD=PASSWORD)
    text = page.open()
    (kernel,) = page.kernels()
    assert kernel.environ()["OTW_PASSWORD"] == PASSWORD
    commands = [kernel.cmdline(), psutil.Process(page.process.pid).cmdline()]
    states = page.kernel(text).states("What it usually means")
    files = [Path(each).read_bytes() for each in left_behind(tmp_path)]
    assert any(b"OTW_PASSWORD" in each for each in files), "the notebook"
    page.end()
    for told in (text, str(commands), states, page.printed, str(files)):
        assert PASSWORD not in told
    assert page.token not in str(commands)


def test_a_large_upload_reaches_the_kernel(page: Page) -> None:
    kernel = page.kernel(page.open())
    assert kernel.send_back(LARGE) == hashlib.sha256(LARGE).hexdigest()


def test_a_tab_that_is_closed_ends_its_kernel_alone(page: Page) -> None:
    before = set(page.kernels())  # of other tests: they may end meanwhile
    kernel = page.kernel_id(page.open())
    (closed,) = set(page.kernels()) - before
    page.open()
    (other,) = set(page.kernels()) - before - {closed}
    answer = page.http.post(
        f"{page.address}/voila/api/shutdown/{kernel}",
        data={"_xsrf": page.http.cookies["_xsrf"]},
        timeout=30,
    )
    assert answer.status_code == 204
    assert not closed.is_running()
    assert other.is_running()


@pytest.mark.slow
def test_a_kernel_that_no_page_is_connected_to_ends(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    page.open()
    (lost,) = page.kernels()
    kept = page.kernel(page.open())
    lost.wait(timeout=120)
    kept.done(kept.tell("kernel_info_request", {}))


@contextlib.contextmanager
def lab(folder: Path, *words: str) -> Iterator[Kernel]:
    """Start `otw lab`; gives a kernel that has imported ipywidgets."""
    http = requests.Session()
    http.trust_env = False
    token, port = secrets.token_hex(16), processes.choose_port()
    http.headers["Authorization"] = f"token {token}"
    with open(folder / "lab.log", "wb") as log:
        process = subprocess.Popen(
            [*LAB, "lab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", *words],
            env=os.environ | {"JUPYTER_TOKEN": token, "OTW_STATE_DIR": str(folder / "state")},
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        limit = time.monotonic() + 60
        while not processes.accepts(port):
            assert time.monotonic() < limit, (folder / "lab.log").read_text(encoding="utf-8")
            time.sleep(0.05)  # the pace of asking
        made = http.post(f"http://127.0.0.1:{port}/api/kernels", json={}, timeout=30).json()
        kernel = Kernel(http, f"http://127.0.0.1:{port}", made["id"])
        code = {"code": "import ipywidgets", "silent": False}
        kernel.done(kernel.tell("execute_request", code))
        yield kernel
    finally:
        process.terminate()
        process.wait(timeout=60)


@unix
def test_a_large_upload_reaches_a_kernel_of_jupyterlab_and_comes_back(tmp_path: Path) -> None:
    with lab(tmp_path) as kernel:
        assert kernel.send_back(LARGE) == hashlib.sha256(LARGE).hexdigest()


@unix
def test_a_limit_given_to_jupyterlab_replaces_ours(tmp_path: Path) -> None:
    limit = "--ServerApp.tornado_settings={'websocket_max_message_size': 1_000_000}"
    with (
        lab(tmp_path, limit) as kernel,
        pytest.raises(ConnectionError),
    ):
        kernel.send_back(LARGE[:2_000_000])
