"""The services that the reports' requests are sent to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tfserving import MODELS, Running, make_models, make_odd_models, running, write_config

IRIS = {"name": "iris", "base_path": MODELS / "iris"}
DIGITS = {"name": "digits", "base_path": MODELS / "digits"}
MONITORED = "prometheus_config { enable: true }"


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return one with small models on LiteRT, and with metrics."""
    folder = tmp_path_factory.mktemp("light")
    config = write_config(folder / "models.config", IRIS, DIGITS, IRIS | {"name": "my.iris.v1"})
    monitoring = folder / "monitoring.config"
    monitoring.write_text(MONITORED, encoding="utf-8")
    flags = ["--prefer_tflite_model", f"--monitoring_config_file={monitoring}"]
    with running(folder, config, *flags) as service:
        yield service


@pytest.fixture(scope="session")
def made(needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the models of `tests.field.models`, and `dtypes`."""
    folder = tmp_path_factory.mktemp("made")
    make_odd_models(folder)
    return make_models("tests.field.models", folder)


@pytest.fixture(scope="session")
def heavy(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return one with models that TensorFlow runs."""
    folder = tmp_path_factory.mktemp("heavy")
    models = [{"name": name, "base_path": made / name} for name in ("estimator", "dtypes")]
    with running(folder, write_config(folder / "models.config", DIGITS, *models)) as service:
        yield service
