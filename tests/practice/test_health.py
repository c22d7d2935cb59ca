"""A service that works is left alone; what is not as at its start is said, and put right."""

import concurrent.futures
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from PIL import Image, ImageDraw

import practice
from helpers import ccai, endpoints
from otw import doctor
from otw.cli import main
from practice import launch, manager, state
from tests.ccai import png
from tests.practice.test_other_users import reload


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path / "state"))
    yield tmp_path
    manager.down()


def pid(name: str) -> int:
    return state.read_services()[name]["pid"]


def test_a_service_that_reads_a_large_scan_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    practice.ready("ccai")
    endpoint, before = endpoints.load("ccai"), pid("ccai")
    monkeypatch.setattr(manager, "PATIENCE", 2.0)
    page = Image.new("L", (1000, 1000), "white")
    draw = ImageDraw.Draw(page)
    for row in range(0, 1000, 60):
        draw.text((20, row), f"The line at {row} of a large scan", font_size=40)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(ccai.ocr, endpoint, png(page), protocol=protocol, timeout=120)
            for protocol in ("rest", "grpc")
        ]
        while not all(call.done() for call in calls):
            practice.ready("ccai")
            assert pid("ccai") == before
        assert all(call.result() for call in calls)


def reloaded(endpoint: endpoints.Endpoint) -> None:
    assert reload(endpoint.grpc, launch.MODELS / "iris") == "OK"


def set_to_remote(endpoint: endpoints.Endpoint) -> None:
    url = f"{endpoint.rest}/cgi-bin/fcgi_py_policy"
    requests.post(url, {"local": 0}, timeout=20).raise_for_status()


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("tfserving", reloaded, "a reload changed what is served: digits, digits_detector"),
        ("ccai", set_to_remote, "its policy was set to remote"),
    ],
)
def test_what_is_not_served_as_at_the_start_is_said_and_put_right(
    name: str,
    change: Callable[[endpoints.Endpoint], None],
    problem: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    practice.ready(name)
    change(endpoints.load(name))
    assert manager.status(name)[name]["problem"] == problem
    monkeypatch.setattr(doctor, "DEFAULT_PORTS", {name: doctor.DEFAULT_PORTS[name]})
    (line,) = doctor.services()
    assert (line.state, line.meaning) == ("amber", problem)
    capsys.readouterr()
    practice.ready(name)
    said, ready = capsys.readouterr().out.splitlines()
    assert said == f"{name} was started again: {problem}."
    assert ready.startswith(f"{name} is ready.")
    assert manager.status(name)[name]["healthy"]
    (line,) = doctor.services()
    assert line.state == "green"


def test_up_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["practice", "up", "ccai"]) == 0
    set_to_remote(endpoints.load("ccai"))
    assert main(["practice", "up", "ccai"]) == 0
    assert "its policy was set to remote" in capsys.readouterr().out
