"""The lights on the real practice services, clicked as a browser would click."""

from collections.abc import Iterator

import pytest

from practice import manager
from practice.lights import Lights


@pytest.fixture
def lights(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lights]:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    yield Lights()
    manager.down()


def click(lights: Lights, what: str) -> str:
    lights.rows["tfserving"].buttons[what].click()
    lights.wait()
    return lights.rows["tfserving"].light.value


def test_a_light_goes_on_and_out(lights: Lights) -> None:
    assert "tfserving is off" in lights.rows["tfserving"].light.value
    assert "tfserving is on http://127.0.0.1:" in click(lights, "start")
    assert lights.rows["tfserving"].buttons["start"].disabled
    assert "tfserving is off" in click(lights, "stop")
    assert lights.rows["tfserving"].buttons["stop"].disabled


def test_the_log_is_shown(lights: Lights) -> None:
    click(lights, "log")
    assert "No log yet." in lights.text.value
    click(lights, "start")
    click(lights, "log")
    assert "Running gRPC ModelServer at 127.0.0.1" in lights.text.value


def test_what_goes_wrong_is_shown_beside_the_light(
    lights: Lights, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("OTW_STATE_DIR", str(blocked))
    click(lights, "start")
    assert "cannot be written" in lights.text.value
    monkeypatch.undo()


def test_its_plain_text_is_the_same_in_every_run(lights: Lights) -> None:
    assert lights._repr_mimebundle_()["text/plain"] == "Lights()"


def test_a_service_that_the_environment_names_is_nobodys_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTW_TFSERVING_GRPC", "192.0.2.7:8500")
    row = Lights().rows["tfserving"]
    assert "192.0.2.7:8500, as OTW_TFSERVING_GRPC says" in row.light.value
    assert all(button.disabled for button in row.buttons.values())
