"""The command `otw`, with real services in a state folder of their own."""

import http.client
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from helpers import tables
from otw import cli, practice
from otw.lab import jupyter_command
from practice import manager, processes, services, state


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "state"
    monkeypatch.setenv("OTW_STATE_DIR", str(path))
    yield path
    if not path.is_file():
        manager.down()


def otw(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "import sys; from otw.cli import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code]  # -P: like the installed command, not from here
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )


def test_status_lists_what_does_not_run(folder: Path) -> None:
    told = otw("practice", "status", "--json")
    assert json.loads(told.stdout) == {
        "state_dir": str(folder),
        "services": {
            name: {
                "healthy": False,
                "problem": "is not running",
                "pid": None,
                **dict.fromkeys(service.addresses),
            }
            for name, service in services.SERVICES.items()
        },
    }
    assert not folder.exists(), "asking makes nothing"


def test_the_table_of_services_stays_one_with_long_and_with_chinese_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    problems = ["a reload changed what is served: digits", "没有运行"]
    rows = {name: {"healthy": False, "problem": name, "rest": "R"} for name in problems}
    practice.print_table({f"s{number}": row for number, row in enumerate(rows.values())})
    long, chinese = capsys.readouterr().out.splitlines()
    assert long.endswith("digits rest R")
    assert tables.width(chinese.removesuffix("rest R")) == 30


def test_up_status_env_logs_and_down_tell_one_story(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')", encoding="utf-8")
    up = otw("practice", "up", "tfserving", cwd=tmp_path)
    assert up.returncode == 0, up.stderr
    place = json.loads(otw("practice", "status", "--json").stdout)["services"]["tfserving"]
    assert place["healthy"]
    assert place == {"healthy": True, **{k: manager.status()["tfserving"][k] for k in place}}
    assert re.search(rf"tfserving +is ready +pid {place['pid']} +grpc", up.stdout)

    shell = otw("practice", "env", "tfserving", "--shell", "sh")
    assert shell.stdout == (
        f"export OTW_TFSERVING_GRPC={place['grpc']}\nexport OTW_TFSERVING_REST={place['rest']}\n"
    )
    shell = otw("practice", "env", "tfserving", "--shell", "powershell")
    assert shell.stdout.startswith(f"$env:OTW_TFSERVING_GRPC = '{place['grpc']}'\n")

    logs = otw("practice", "logs", "tfserving")
    assert "manager: starts practice.tfserving" in logs.stdout
    assert str(folder / "tfserving.log") in logs.stderr

    assert otw("practice", "down").stdout == "Stopped: tfserving.\n"
    assert otw("practice", "down").stdout == "Nothing was running.\n"


def test_env_of_a_service_that_does_not_run_says_how_to_start_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["practice", "env", "tfserving"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "otw practice up tfserving" in told.err


def test_logs_of_a_service_that_never_ran_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["practice", "logs"]) == 1
    assert "was never started here" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "down", "logs", "env"])
def test_an_unknown_name_suggests_the_near_one(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["practice", command, "tfservin"]) == 2
    assert "Did you mean 'tfserving'?" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["pratice"], ["practice", "up", "--fast"], []])
def test_a_wrong_command_line_exits_with_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(wrong)
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_an_unwritable_state_folder_is_one_sentence(folder: Path) -> None:
    folder.write_text("not a folder", encoding="utf-8")
    up = otw("practice", "up")
    assert up.returncode == 1
    assert "OTW_STATE_DIR" in up.stderr
    assert "Traceback" not in up.stderr


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys; from otw import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'grpc', 'numpy', 'psutil', 'tqdm'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "[]"


def test_options_given_for_jupyterlab_replace_ours() -> None:
    ours = jupyter_command(["--no-browser"])
    assert any(word.startswith("--ServerApp.root_dir=") for word in ours)
    assert ours[-1] == "--no-browser"
    theirs = jupyter_command(["--notebook-dir=.", "--LabApp.default_url=/lab", "--allow-root"])
    assert theirs[3:] == ["--notebook-dir=.", "--LabApp.default_url=/lab", "--allow-root"]


def start_lab(log: Path, terminal: int | None = None) -> tuple[subprocess.Popen[bytes], int]:
    """Start `otw lab`, with a terminal of its own if there is one; returns it and its port."""
    port = processes.choose_port()
    options = ["lab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    code = "import sys; from otw.cli import main; sys.exit(main())"
    with log.open("wb") as output:
        lab = subprocess.Popen(
            [sys.executable, "-c", code, *options],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            preexec_fn=None if terminal is None else take_terminal,
        )
    return lab, port


def take_terminal() -> None:
    import fcntl  # Windows has neither
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def wait_for_lab(port: int, log: Path) -> None:
    limit = time.monotonic() + 120
    while not processes.accepts(port):
        assert time.monotonic() < limit, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api")
    assert connection.getresponse().status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_lab_opens_the_first_chapter_and_takes_the_services_with_it(
    folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "lab.log"
    keyboard, terminal = os.openpty()
    lab, port = start_lab(log, terminal)
    try:
        wait_for_lab(port, log)
        assert "/lab/tree/notebooks/00-start-here.ipynb?token=" in log.read_text(encoding="utf-8")
        manager.up()
        assert [p.name for p in (folder / "labs").iterdir()] == [f"{lab.pid}.json"]
        os.write(keyboard, b"\x03")  # Ctrl-C, pressed once
        assert lab.wait(timeout=120) == 0, log.read_text(encoding="utf-8")
    finally:
        lab.kill()
        os.close(keyboard)
        os.close(terminal)
    stopped = "Practice services stopped: tfserving, ccai, modelarts, proxy."
    assert stopped in log.read_text(encoding="utf-8")
    assert state.read_services() == {}
    assert not processes.accepts(port)


def test_a_lab_that_is_killed_leaves_no_jupyterlab_and_no_service(
    folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "lab.log"
    lab, port = start_lab(log)
    try:
        wait_for_lab(port, log)
        manager.up()
        jupyter = psutil.Process(lab.pid).children()
    finally:
        lab.kill()
    assert [p for p in psutil.wait_procs(jupyter, timeout=60)[1] if p.is_running()] == []
    assert state.read_services() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_lab_opens_even_when_the_services_cannot_start(folder: Path, tmp_path: Path) -> None:
    folder.write_text("not a folder", encoding="utf-8")
    log = tmp_path / "lab.log"
    lab, port = start_lab(log)
    try:
        wait_for_lab(port, log)
        lab.terminate()
        assert lab.wait(timeout=120) == 0
    finally:
        lab.kill()
    assert "OTW_STATE_DIR" in log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_env_of_ccai_has_four_addresses_the_user_and_the_authority(folder: Path) -> None:
    manager.up("ccai")
    lines = otw("practice", "env", "ccai", "--shell", "sh").stdout.splitlines()
    told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert list(told) == [
        "OTW_CCAI_REST",
        "OTW_CCAI_GRPC",
        "OTW_CCAI_SECURE_REST",
        "OTW_CCAI_SECURE_GRPC",
        "OTW_CCAI_USER",
        "OTW_CCAI_PASSWORD",
        "OTW_CA",
    ]
    assert Path(told["OTW_CA"].strip("'")).is_file()
    known = {**os.environ, **{name: value.strip("'") for name, value in told.items()}}
    code = (
        "from helpers import ccai, endpoints\n"
        "for profile in ('practice', 'practice-secure'):\n"
        "    ccai.check(endpoints.load('ccai', profile))"
    )
    del known["OTW_STATE_DIR"]  # the variables alone are enough
    subprocess.run([sys.executable, "-c", code], env=known, check=True, timeout=60)


@pytest.mark.parametrize("words", [["doctor"], ["practice", "status"], ["practice", "down"]])
def test_a_reader_that_goes_away_is_no_traceback(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from otw.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_log_moves_no_cursor(folder: Path) -> None:
    state.make_folder(folder)
    state.log_file("proxy").write_bytes(b"GET \x1b[2J\x1b]0;taken\x07\xc2\x9b2J\n")
    assert otw("practice", "logs", "proxy").stdout == "GET \\x1b[2J\\x1b]0;taken\\x07\\x9b2J\n"


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    for command in (["describe", "127.0.0.1:1", "iris"], ["explore", "127.0.0.1:1"], ["doctor"]):
        assert cli.main(command) == 130
        assert capsys.readouterr().err == "otw: interrupted.\n"
