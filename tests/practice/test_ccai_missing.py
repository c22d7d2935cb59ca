"""A machine for which an engine's package has no wheel: the other services go on."""

from pathlib import Path

import pytest

import practice
from helpers import ccai
from helpers.ccai.speech import Speech
from helpers.errors import BadInput, ServiceFailed

DATA = Path(__file__).parents[2] / "data"


def test_without_two_engines_their_services_say_so_and_the_rest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pocketsphinx", "rapidocr"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('no wheel for this system')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    note, recording = DATA / "notes" / "note.jpg", DATA / "audio" / "go-forward.wav"
    with practice.private("ccai") as here:
        ccai.check(here)
        with pytest.raises(ServiceFailed, match="no wheel for this system"):
            ccai.speech_to_text(here, Speech.read(recording))
        with pytest.raises(ServiceFailed, match="inference failed"):
            ccai.ocr(here, note)
        with pytest.raises(BadInput, match="empty answer"):
            ccai.ocr(here, note, protocol="grpc")
        assert ccai.text_to_speech(here, "Still here").seconds > 0
        assert len(ccai.detect_faces(here, DATA / "photos" / "astronaut.png")) == 1
