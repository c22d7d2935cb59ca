"""The manager of the practice services, with real services in a state folder of their own."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbclient
import nbformat
import psutil
import pytest

import practice
from helpers import endpoints, progress
from otw.cli import main
from practice import launch, manager, processes, services, state
from practice.launch import MODELS

LINE = "tfserving is ready. Loopback is in no_proxy.\n"
READY = "import practice; practice.ready('tfserving')"
MODULE = "practice.tfserving"
ON_POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "state"
    monkeypatch.setenv("OTW_STATE_DIR", str(path))
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(variable, "")
    yield path
    if path.parent.is_dir() and not path.is_file():
        manager.down()


def entry(name: str = "tfserving") -> dict:
    return state.read_services()[name]


def shared() -> list[psutil.Process]:
    """Every shared service of this state folder, whatever services.json says."""
    return processes.search(MODULE, f"--model_config_file={state.folder() / 'tfserving.config'}")


def until(question: Callable[[], object], seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.01)


@contextlib.contextmanager
def program(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python program, such as a second kernel or somebody else's service."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def kill(pid: int) -> None:
    processes.end([psutil.Process(pid)], patience=0)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")


def test_ready_prints_the_same_line_whether_it_started_something_or_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    practice.ready("tfserving")
    first = entry()
    practice.ready("tfserving")
    assert capsys.readouterr().out == LINE * 2
    practice.ready()
    practice.ready()
    every = "tfserving, ccai, modelarts and proxy are ready. Loopback is in no_proxy.\n"
    assert capsys.readouterr().out == every * 2
    assert entry() == first
    assert first["endpoints"]["practice"]["models"] == ["digits", "digits_detector", "iris"]
    assert endpoints.load("tfserving").grpc == first["grpc"]


def test_ready_starts_nothing_where_the_environment_names_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTW_TFSERVING_GRPC", "192.0.2.7:8500")
    practice.ready("tfserving")
    assert capsys.readouterr().out == (
        "tfserving is the one at 192.0.2.7:8500, as OTW_TFSERVING_GRPC says: none is started here. "
        "Loopback is in no_proxy.\n"
    )
    assert not folder.exists()
    assert endpoints.load("tfserving").grpc == "192.0.2.7:8500"


def test_what_only_one_of_its_profiles_is_named_for_is_started() -> None:
    secure = {"OTW_CCAI_SECURE_GRPC": "192.0.2.7:8444"}
    both = {**secure, "OTW_CCAI_REST": "http://192.0.2.7:8080"}
    for variables, expected in ((secure, {}), (both, both)):
        with pytest.MonkeyPatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            assert endpoints.named("ccai") == expected


def test_ready_works_with_every_proxy_variable_at_a_dead_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
        monkeypatch.setenv(variable.upper(), "http://127.0.0.1:9")
    practice.ready("tfserving")
    assert manager.status()["tfserving"]["healthy"]


def test_loopback_joins_what_no_proxy_holds_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "corp.example, localhost")
    monkeypatch.setenv("NO_PROXY", "corp.example, localhost")
    manager.bypass_proxy()
    manager.bypass_proxy()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert os.environ["NO_PROXY"] == "corp.example,localhost,127.0.0.1,::1"


def test_a_no_proxy_for_everything_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")
    manager.bypass_proxy()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == "*"


def test_four_programs_asking_at_once_share_one_service() -> None:
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(program(READY)) for _ in range(4)]
        assert [p.communicate(timeout=120)[0] for p in programs] == [LINE] * 4
    assert len(shared()) == 1
    assert shared()[0].pid == entry()["pid"]


def test_a_service_outlives_the_program_that_started_it() -> None:
    with program(READY) as other:
        other.communicate(timeout=120)
    assert manager.status()["tfserving"]["healthy"]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A default port that nobody else on this machine uses, in place of 8500."""
    port = processes.choose_port()
    service = services.SERVICES["tfserving"]
    changed = dataclasses.replace(service, ports={**service.ports, "grpc": port})
    monkeypatch.setitem(services.SERVICES, "tfserving", changed)
    return port


def test_a_taken_port_is_replaced_by_a_free_one(port: int) -> None:
    with listening_on(port):
        practice.ready("tfserving")
        assert entry()["grpc"] != f"127.0.0.1:{port}"


@contextlib.contextmanager
def listening_on(port: int) -> Iterator[None]:
    code = (
        "import socket, time\n"
        f"listener = socket.create_server(('127.0.0.1', {port}))\n"
        "time.sleep(60)"
    )
    with program(code):
        until(lambda: processes.accepts(port))
        yield


@pytest.mark.parametrize("free_again", [False, True])
def test_a_port_that_is_taken_at_the_last_moment_is_replaced_too(
    port: int, free_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose = processes.choose_port
    given: list[int] = []

    def too_late(preferred: int = 0, **options: object) -> int:
        given.append(choose() if given else port)
        return given[-1]

    monkeypatch.setattr(processes, "choose_port", too_late)
    if free_again:
        monkeypatch.setattr(processes, "is_free", lambda port: True)
    with listening_on(port):
        practice.ready("tfserving")
    assert len(given) == 2 * 2  # two ports, and both once more
    assert entry()["grpc"] == f"127.0.0.1:{given[2]}"


def test_a_killed_service_is_started_again_on_its_old_port(port: int) -> None:
    practice.ready("tfserving")
    assert entry()["grpc"] == f"127.0.0.1:{port}"
    before = entry()
    kill(before["pid"])
    assert manager.status()["tfserving"] == {
        "healthy": False,
        "problem": "is not running",
        "pid": None,
        "grpc": None,
        "rest": None,
    }
    practice.ready("tfserving")
    assert entry()["pid"] != before["pid"]
    assert entry()["grpc"] == before["grpc"]


@ON_POSIX
@pytest.mark.parametrize("name", ["tfserving", "ccai", "modelarts", "proxy"])
def test_a_hung_service_is_ended_and_started_again(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(manager, "PATIENCE", 0.5)
    practice.ready(name)
    hung = entry(name)["pid"]
    os.kill(hung, signal.SIGSTOP)
    # Its threads stop one after the other: the first request may still be answered.
    until(lambda: launch.problem(entry(name), 0.2) is None)
    assert manager.status(name)[name]["problem"] == "does not answer"
    practice.ready(name)
    assert entry(name)["pid"] != hung
    assert not psutil.pid_exists(hung)
    assert "did not answer, twice" in state.log_file(name).read_text(encoding="utf-8")
    assert manager.status(name)[name]["healthy"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a start's date stays as it is")
def test_a_step_of_the_clock_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = manager.enter_lab()
    practice.ready("tfserving")
    before = entry()
    # With the clock, the kernel's own start moves, and with it the date of every process's.
    date = psutil.Process(before["pid"]).create_time()
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 5)
    assert psutil.Process(before["pid"]).create_time() == pytest.approx(date + 5)
    practice.ready("tfserving")
    assert entry() == before
    assert manager.status("tfserving")["tfserving"]["healthy"]
    assert processes.find(state.read_json(lease))
    assert [process.pid for process in shared()] == [before["pid"]]


def test_a_foreign_process_in_services_json_is_never_ended() -> None:
    state.make_folder(state.folder())
    sleep = "import time; time.sleep(60)"
    with program(sleep, MODULE) as reused, program(sleep, "something.else") as other:
        another_start = processes.record(reused.pid)
        another_start["started"] = processes.record(os.getpid())["started"]
        for left in (another_start, processes.record(other.pid)):
            entries = {"tfserving": {"grpc": "127.0.0.1:8500", **left}}
            state.write_services(entries)
            assert not manager.status()["tfserving"]["healthy"]
            assert manager.down() == []
            state.write_services(entries)
        practice.ready("tfserving")
        assert entry()["pid"] not in (reused.pid, other.pid)
        assert reused.poll() is other.poll() is None


@pytest.mark.parametrize("text", ["{", "[]", '{"tfserving": 3}', '{"tfserving": {"pid": "x"}}', ""])
def test_a_broken_services_json_counts_as_empty(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "services.json").write_text(text, encoding="utf-8")
    assert not manager.status()["tfserving"]["healthy"]
    assert manager.down() == []


def test_a_service_of_an_earlier_version_is_started_again() -> None:
    practice.ready("tfserving")
    old = entry()
    state.write_services({"tfserving": {k: v for k, v in old.items() if k != "health"}})
    assert not manager.status()["tfserving"]["healthy"]
    practice.ready("tfserving")
    assert entry()["pid"] != old["pid"]
    assert entry()["endpoints"] == old["endpoints"]


def test_a_service_that_services_json_lost_is_replaced_and_the_log_says_so(folder: Path) -> None:
    practice.ready("tfserving")
    lost = entry()["pid"]
    (folder / "services.json").write_text("{", encoding="utf-8")
    practice.ready("tfserving")
    assert [p.pid for p in shared()] == [entry()["pid"]]
    log = state.log_file("tfserving").read_text(encoding="utf-8")
    assert "services.json cannot be read" in log
    assert f"process {lost} was started here" in log
    assert (folder / "tfserving.log.1").exists()


def test_a_state_folder_that_cannot_be_written_is_explained(folder: Path) -> None:
    folder.write_text("not a folder", encoding="utf-8")
    with pytest.raises(practice.PracticeError, match="OTW_STATE_DIR"):
        practice.ready("tfserving")
    with (
        pytest.raises(practice.PracticeError, match="OTW_STATE_DIR"),
        practice.private("tfserving"),
    ):
        pass


@ON_POSIX
def test_only_their_owner_can_read_the_state(folder: Path) -> None:
    practice.ready("tfserving")
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("services.json", "lock", "tfserving.log"):
        assert (folder / name).stat().st_mode & 0o077 == 0, name


def test_manager_and_endpoints_mean_the_same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Path(endpoints.state_dir()) == state.folder()
    monkeypatch.delenv("OTW_STATE_DIR")
    assert Path(endpoints.state_dir()) == state.folder()


def test_an_unknown_service_names_the_known_ones() -> None:
    with pytest.raises(practice.PracticeError, match=r"Known: .*Did you mean 'tfserving'\?"):
        practice.ready("tfservign")


def test_a_service_that_cannot_start_quotes_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = dataclasses.replace(
        services.SERVICES["tfserving"], arguments=lambda folder, models, ports: ["--port=many"]
    )
    monkeypatch.setitem(services.SERVICES, "tfserving", broken)
    with pytest.raises(practice.PracticeError) as caught:
        practice.ready("tfserving")
    text = str(caught.value)
    assert "ended with status 255" in text
    assert "--port" in text
    assert "otw practice logs tfserving" in text
    assert "tfserving" not in state.read_services()


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing here"
    with (
        pytest.raises(practice.PracticeError, match="nothing here"),
        practice.private("tfserving", models=missing),
    ):
        pass


@ON_POSIX
def test_ctrl_c_while_a_service_starts_leaves_nothing_behind() -> None:
    with program(READY) as other:
        until(shared)
        other.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in other.communicate(timeout=120)[1]
    assert not shared()
    assert "tfserving" not in state.read_services()
    practice.ready("tfserving")


def test_a_service_whose_starter_was_killed_is_not_forgotten() -> None:
    with program(READY) as other:
        until(shared)
        other.kill()
    practice.ready("tfserving")
    assert [p.pid for p in shared()] == [entry()["pid"]]


def test_down_ends_the_service_and_removes_its_entry() -> None:
    practice.ready("tfserving")
    pid = entry()["pid"]
    assert manager.down("tfserving") == ["tfserving"]
    assert not psutil.pid_exists(pid)
    assert state.read_services() == {}
    assert manager.down() == []


def test_the_services_end_with_the_last_lab(folder: Path) -> None:
    lease = manager.enter_lab()
    practice.ready("tfserving")
    with program("import time; time.sleep(60)") as other_lab:
        other_lease = folder / "labs" / f"{other_lab.pid}.json"
        state.write_json(other_lease, processes.record(other_lab.pid))
        assert manager.leave_lab(lease) == []
        assert manager.status()["tfserving"]["healthy"]
    lease = manager.enter_lab()
    assert manager.leave_lab(lease) == ["tfserving"], "a killed lab no longer counts"
    assert list((folder / "labs").iterdir()) == []


def test_a_private_service_is_apart_and_ends_with_its_block(folder: Path) -> None:
    practice.ready("tfserving")
    with practice.private("tfserving") as endpoint:
        assert endpoint.grpc != entry()["grpc"]
        assert endpoint.models == ("digits", "digits_detector", "iris")
        assert processes.accepts(int(endpoint.grpc.rpartition(":")[2]))
        (own,) = (folder / "private").iterdir()
        assert (own / "models" / "iris" / "1" / "model.tflite").exists()
    assert not processes.accepts(int(endpoint.grpc.rpartition(":")[2]))
    assert list((folder / "private").iterdir()) == []
    assert manager.status()["tfserving"]["healthy"]


def test_a_private_service_serves_the_models_it_is_given(tmp_path: Path) -> None:
    models = tmp_path / "models"
    broken = models / 'it\'s "broken"' / "1"  # quotes, as the text proto must write them
    broken.mkdir(parents=True)
    (broken / "model.tflite").write_bytes(b"not a model")
    with practice.private("tfserving", models=models) as endpoint:
        assert endpoint.models == ('it\'s "broken"',)


PRIVATE = """
import practice, sys
context = practice.private("tfserving")
print(context.__enter__().grpc, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_a_private_service_ends_with_its_program(folder: Path, how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PRIVATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        port = int(other.stdout.readline().rpartition(":")[2])
        assert processes.accepts(port)
        if how == "killed":
            other.kill()
        else:
            other.communicate()
    until(lambda: not processes.accepts(port), seconds=5)
    with practice.private("tfserving"):
        assert len(list((folder / "private").iterdir())) == 1, "what the killed one left is gone"


BAR = """
import time
from helpers import progress
with progress.waiting("Starting", 60, patience=0) as tick:
    for _ in range(3):
        tick()
        time.sleep(0.1)
print("tfserving is ready.")
"""


def test_the_progress_bar_leaves_nothing_in_a_notebook() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(BAR)])
    nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    (output,) = notebook.cells[0].outputs
    assert output["text"] == "tfserving is ready.\n"


def test_a_large_services_json_is_replaced_in_one_step(folder: Path) -> None:
    state.make_folder(folder)
    code = (
        "import sys; from practice import state\n"
        "while True: state.write_services({'a': {'text': 'x' * 100_000}})"
    )
    with program(code):
        until((folder / "services.json").exists)
        for _ in range(200):
            json.loads((folder / "services.json").read_text(encoding="utf-8"))


@ON_POSIX
@pytest.mark.parametrize(
    "command",
    ["practice up proxy", "practice status", "serve " + str(MODELS / "iris/1/model.tflite")],
)
def test_a_user_without_a_home_folder_is_told_what_to_set(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pwd.getpwuid", unknown)
        for name in ("OTW_STATE_DIR", "XDG_STATE_HOME", "HOME"):
            patch.delenv(name, raising=False)
        assert main(command.split()) == 1
    assert "Set the environment variable OTW_STATE_DIR" in capsys.readouterr().err


def test_a_log_has_a_line_for_each_phase_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.waiting("Starting", 60, patience=0) as tick:
        for phase in ("importing", "importing", "restoring"):
            tick(phase)
    assert capsys.readouterr().err == "Starting, importing\nStarting, restoring\n"


def test_a_bar_that_is_turned_off_is_waited_with_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with progress.waiting("Starting", 60, patience=0) as tick:
        tick("importing")
    assert capsys.readouterr().err == ""
