"""A service that nobody has called for a while gives back what its engines took, and goes on."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ccai, endpoints, tfserving
from practice import launch, manager, state
from tests.tfserving import eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot, see docs/systems")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the state of each test apart, with services that unload after ten seconds."""
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(launch, "UNLOAD", 10)
    yield tmp_path
    manager.down()


def unloaded(name: str) -> bool:
    """Whether a service has given its engines back, and answers again."""
    log = state.log_file(name).read_text("utf-8")
    _before, _giving, after = log.partition("giving the engines' memory back")
    return "Ended." in after and manager.status(name)[name]["healthy"]


def test_ccai_is_the_same_process_on_the_same_ports_without_its_engines() -> None:
    manager.up("ccai")
    before = state.read_services()["ccai"]
    endpoint = endpoints.load("ccai")
    first = ccai.text_to_speech(endpoint, "Hello")
    eventually(lambda: unloaded("ccai"))
    assert manager.status("ccai")["ccai"]["pid"] == before["pid"]
    assert ccai.text_to_speech(endpoint, "Hello").samples.tolist() == first.samples.tolist()
    log = state.log_file("ccai").read_text("utf-8")
    assert log.count("Loaded the engine speaker.") == 2
    assert state.read_services()["ccai"] == before


@pytest.mark.tensorflow
@pytest.mark.slow
def test_a_call_loads_the_models_of_tensorflow_again() -> None:
    manager.up("tfserving-tf")
    before = state.read_services()["tfserving-tf"]
    endpoint = endpoints.load("tfserving", "practice-tf").replace(model="iris")
    flower = {"features": [[5.9, 3.0, 5.1, 1.8]]}
    first = tfserving.predict(endpoint, flower, timeout=300)
    eventually(lambda: unloaded("tfserving-tf"))
    again = tfserving.predict(endpoint, flower, timeout=300)
    assert again["probabilities"].tolist() == first["probabilities"].tolist()
    assert state.read_services()["tfserving-tf"] == before
