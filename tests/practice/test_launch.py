"""How long a service may take to start: as long as it does something."""

import dataclasses
from pathlib import Path

import pytest

import practice
from helpers import tfserving
from practice import launch, services, state
from practice.launch import MODELS


def test_a_service_that_does_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "LIMIT", 1.0)
    hanging = dataclasses.replace(
        services.get("tfserving"), module="tests.idle", prepare=lambda folder, models: None
    )
    own = launch.Launch(hanging, tmp_path, MODELS, private=True)
    with pytest.raises(state.PracticeError, match="it did nothing for 1 s"):
        launch.bring_up([own])
    assert own.process
    assert own.process.poll() is not None


def test_a_slow_start_is_waited_for(
    needs_tensorflow: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(launch, "LIMIT", 1.0)  # far less than TensorFlow takes
    with practice.private("tfserving-tf") as endpoint:
        assert tfserving.status(endpoint.replace(model="iris"))


def test_a_missing_folder_of_one_s_own_is_not_blamed_on_the_repository(tmp_path: Path) -> None:
    with (
        pytest.raises(state.PracticeError) as caught,
        practice.private("tfserving", models=tmp_path / "absent"),
    ):
        pass
    assert "absent is not a folder. Name a folder that holds" in str(caught.value)
    assert "repository" not in str(caught.value)


def test_tensorflow_s_notes_about_a_gpu_are_no_reason(tmp_path: Path) -> None:
    own = launch.Launch(services.get("tfserving"), tmp_path, MODELS, private=True)
    own.log.write_text(
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        "E0000 00:00:1796065739.165966   11384 cuda_dnn.cc:8579] Unable to register cuDNN factory\n"
        "2026-11-30 19:00:00.000000: I tensorflow/core/platform/cpu_feature_guard.cc:210] This\n"
        "To enable the following instructions: AVX2, rebuild TensorFlow.\n"
        "2026-11-30 19:00:01 ERROR practice.tfserving: the cuda_model cannot be loaded\n",
        encoding="utf-8",
    )
    assert own.last_lines.strip().endswith("the cuda_model cannot be loaded")
    assert own.last_lines.count("\n") == 0
