"""`otw explore`, as a shell runs it: the page and its kernel, without a browser; large uploads."""

import contextlib
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
import websocket

import practice
from otw import cli
from otw import page as explore_page
from practice import processes
from practice.launch import ROOT
from tests.explore_page import ALONE, Kernel, Page, left_behind, starting
from tests.tfserving import eventually, write_config
from tests.warmup import predict_record, write_records

PASSWORD = "correct horse"
LAB = [sys.executable, "-P", "-c", "import sys; from otw.cli import main; sys.exit(main())"]
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
LARGE = secrets.token_bytes(20_000_000)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Page]]:
    with starting(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return an explorer of an address where nobody listens, for tests that leave it running."""
    with starting(tmp_path_factory.mktemp("shared")) as start:
        yield start("127.0.0.1:1", "--model", "digits")


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    with practice.private("tfserving") as service:
        yield service


def test_the_page_has_the_explorer_and_no_code(
    service: Any, start: Callable[..., Page], tmp_path: Path
) -> None:
    config = tmp_path / "models.config"
    write_config(config, {"name": "iris", "base_path": "anywhere"})
    write_records(tmp_path, predict_record({"images": np.zeros((3, 8, 8, 1))}))
    words = ["--model", "digits", "--config", str(config), "--examples", str(tmp_path)]
    page = start(service.grpc, *words)
    text = page.open()
    assert f"<title>Explorer · {service.grpc}</title>" in text
    assert "application/vnd.jupyter.widget-view+json" in text
    for code in ("load_ext", "os.chdir", "import Explorer"):
        assert code not in text
    states = page.kernel(text).states("serving_default")
    assert "digits" in states
    assert "iris" in states
    assert "1. serving_default: images float32 [3, 8, 8, 1]" in states
    assert not (tmp_path / "state").exists(), "no practice service is needed, and none is started"


def test_the_models_of_an_address_over_rest_are_found_too(
    service: Any, start: Callable[..., Page]
) -> None:
    bare = service.rest.removeprefix("http://")
    for words in ([service.rest], [bare, "--protocol", "rest"]):
        page = start(*words, "--model", "iris")
        text = page.open()
        assert f"<title>Explorer · {bare}</title>" in text
        assert "serving_default" in page.kernel(text).states("serving_default")


def test_the_first_form_is_there_when_the_page_is(service: Any, start: Callable[..., Page]) -> None:
    patient = f"{ALONE}from otw import page; page.FIRST_LOOK = 30; "
    page = start(service.grpc, "--model", "iris", first=patient)
    states = page.kernel(page.open()).states_now()
    assert "takes float32 [-1, 4]" in states, "what is made while it connects is lost to it"


def test_a_service_that_does_not_answer_holds_up_no_page(start: Callable[..., Page]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        page = start(f"127.0.0.1:{silent.getsockname()[1]}", "--model", "iris")
        assert "asking ..." in page.kernel(page.open()).states_now()


def test_the_browser_is_told_to_ask_nobody_else(page: Page) -> None:
    answer = page.http.get(page.url, timeout=60)
    assert "https://" not in answer.text, "as Voila's own page does"
    policy, frames = answer.headers["Content-Security-Policy"].split(";")
    assert frames.split() == ["frame-ancestors", "'self'"]
    name, *sources = policy.split()
    assert name == "default-src"
    assert set(sources) == {"'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}


def test_the_script_is_on_its_way_before_the_cell_has_run(page: Page) -> None:
    before, _, after = page.open().partition('<div id="rendered_cells">')
    assert re.search(r"<script async src=\S+/voila.js", before)
    assert page.kernel_id(before), "the script reads it when it begins"
    assert "widget-view+json" in after
    assert '"fullMathjaxUrl": ""' in before, "else it loads all of MathJax"
    assert "jupyterlab_pygments" not in before


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
def test_the_next_one_removes_what_a_killed_one_left(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    temporary = page.folder / "temporary"
    (left,) = temporary.iterdir()
    page.process.kill()
    page.process.wait()
    beside = start("127.0.0.1:1")
    assert left not in temporary.iterdir()
    (kept,) = temporary.iterdir()
    start("127.0.0.1:1")
    assert kept in temporary.iterdir(), "one that runs keeps its folder"
    assert beside.http.get(beside.url, timeout=60).status_code == 200


def test_the_kernel_starts_with_it_and_ends_with_it_however_it_ends(
    start: Callable[..., Page],
) -> None:
    page = start("127.0.0.1:1")
    [kernel] = page.kernels()
    page.process.kill()  # while it loads
    kernel.wait(timeout=60)


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
    eventually(given.exists, seconds=120)
    address, shown = given.read_text(encoding="utf-8").splitlines()
    assert address.startswith("file://")
    assert page.token not in address
    assert f'content="0; url={page.url}"' in shown


def test_a_second_one_takes_another_port(page: Page, start: Callable[..., Page]) -> None:
    pages = [page, start("127.0.0.1:1")]
    assert len({each.address for each in pages}) == 2
    for each in pages:
        assert each.http.get(each.url, timeout=60).status_code == 200


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
        (["127.0.0.1"], "There is no file or folder 127.0.0.1 here"),
        (["127.0.0.1:1", "--port", "0"], "a port is a whole number from 1 to 65535, not '0'"),
        (["127.0.0.1:1", "--port", "65536"], "a port is a whole number from 1 to 65535"),
        (["127.0.0.1:1", "--port", "web"], "a port is a whole number from 1 to 65535"),
        (["127.0.0.1:1", "--timeout", "0"], "seconds are a number above 0"),
        (["127.0.0.1:1", "--config", "no.config"], "no.config cannot be read: No such file"),
        (["127.0.0.1:1", "--config", __file__], "cannot be read as a config file"),
        (["127.0.0.1:1", "--examples", "gone"], "gone has no example inputs"),
        (["127.0.0.1:1", "--ca-file", "no.pem"], "no.pem"),
        (["127.0.0.1:1", "--user", "ada"], "OTW_PASSWORD"),
        (["http://127.0.0.1:1", "--protocol", "grpc"], "gRPC takes HOST:PORT, without http://"),
        (["http://127.0.0.1:1", "--tls"], "or leave out --tls, --ca-file and --cert"),
        (["127.0.0.1:1/prefix"], "write http://127.0.0.1:1/prefix or https://127.0.0.1:1/prefix"),
        (["nothere"], "There is no file or folder nothere here, and it is no address"),
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


def test_a_folder_that_cannot_be_served_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.zip").touch()
    assert cli.main(["explore", str(tmp_path / "net.zip")]) == 1
    told = capsys.readouterr().err
    assert "net.zip is an archive. Unpack it" in told
    assert "\\n" not in told
    assert cli.main(["explore", f"{tmp_path}/gone"]) == 1
    assert "There is no " in capsys.readouterr().err


def test_an_address_where_nobody_listens_is_explained_on_the_page(page: Page) -> None:
    states = page.kernel(page.open()).states("What it usually means")
    assert "Traceback" not in states


def test_an_error_is_a_card_and_no_traceback(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1", first="import os; os.getcwd = lambda: 'gone'; ")
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


def test_a_page_that_is_loaded_again_has_its_kernel_and_what_was_done_there(page: Page) -> None:
    text = page.open()
    kernel = page.kernel(text)
    states = json.loads(kernel.states("names, with commas"))["data"]["states"]
    [models] = [each for each in states if states[each]["state"].get("value") == "digits"]
    update = {"method": "update", "state": {"value": "typed here"}, "buffer_paths": []}
    kernel.done(kernel.tell("comm_msg", {"comm_id": models, "data": update}))
    before = page.kernels()
    answer = page.http.post(f"{page.address}/voila/api/shutdown/{page.kernel_id(text)}", timeout=30)
    assert answer.status_code == 403, "what Voila's page says when a tab is closed"
    assert page.open() == text
    assert page.kernels() == before
    page.kernel(text).states("typed here")


def test_a_tab_that_is_closed_prints_nothing(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1")
    kernel = page.kernel_id(page.open())
    page.http.post(f"{page.address}/voila/api/shutdown/{kernel}", timeout=30)
    page.end()
    assert kernel not in page.printed


def test_a_page_whose_kernel_has_died_is_made_anew(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1", "--model", "digits")
    first = page.open()
    (kernel,) = page.kernels()
    kernel.kill()
    eventually(lambda: page.open() != first)  # the kernel's threads end one after another
    page.kernel(page.open()).states("What it usually means")


def test_two_tabs_at_once_have_one_kernel(start: Callable[..., Page]) -> None:
    page = start("127.0.0.1:1", "--model", "digits")
    with ThreadPoolExecutor() as tabs:
        one, other = tabs.map(lambda _: page.open(), range(2))
    assert one == other
    assert len(page.kernels()) == 1


def test_a_kernel_that_no_page_is_connected_to_ends(start: Callable[..., Page]) -> None:
    assert explore_page.IDLE == 600
    page = start("127.0.0.1:1", first="from otw import page; page.IDLE = 3; ")
    page.open()
    (lost,) = page.kernels()
    lost.wait(timeout=120)
    kept = page.kernel(page.open())
    kept.done(kept.tell("kernel_info_request", {}))


def test_on_jupyterhub_it_says_what_to_run_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    assert cli.main(["explore", "127.0.0.1:8500", "--model", "digits"]) == 0
    printed = capsys.readouterr().out
    assert "Explorer('127.0.0.1:8500', names=['digits'], timeout=10.0, examples='')" in printed
    assert "http://" not in printed


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
            stdout=log,
            stderr=log,
        )
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


def test_jupyterlab_takes_messages_as_large_as_the_page_does() -> None:
    text = (ROOT / ".jupyter" / "jupyter_server_config.json").read_text("utf-8")
    settings = json.loads(text)["ServerApp"]["tornado_settings"]
    assert settings["websocket_max_message_size"] == explore_page.MAX_UPLOAD


@unix
def test_a_limit_given_to_jupyterlab_replaces_ours(tmp_path: Path) -> None:
    limit = "--ServerApp.tornado_settings={'websocket_max_message_size': 1_000_000}"
    with (
        lab(tmp_path, limit) as kernel,
        pytest.raises(ConnectionError),
    ):
        kernel.send_back(LARGE[:2_000_000])
