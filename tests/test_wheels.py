"""Every promised system and Python has wheels for the lock: uv resolves it without building."""

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from otw import supported

ROOT = Path(__file__).parent.parent
LOCKS = [ROOT / "requirements.txt", *sorted(ROOT.glob("requirements/*.txt"))]
PROMISED = [
    (system, f"{major}.{minor}")
    for system in (
        "x86_64-pc-windows-msvc",
        "aarch64-apple-darwin",
        "x86_64-manylinux_2_28",
        "aarch64-manylinux_2_28",
    )
    for major, minor in supported.PYTHONS
    if (system, minor) != ("aarch64-manylinux_2_28", 12)
]
NOT_PROMISED = [
    ("aarch64-manylinux_2_28", "3.12", "pocketsphinx"),
    ("x86_64-unknown-linux-musl", "3.13", "ai-edge-litert"),
    ("x86_64-apple-darwin", "3.13", "ai-edge-litert"),
    ("aarch64-pc-windows-msvc", "3.13", "ai-edge-litert"),
]


def resolve(folder: Path, system: str, python: str) -> subprocess.CompletedProcess[str]:
    """Ask uv to install all files of the lock there; or skip the test."""
    if not (uv := shutil.which("uv")):
        pytest.skip("not run: there is no uv")
    done = subprocess.run(
        [
            *(uv, "pip", "install", "--dry-run", "--only-binary", ":all:"),
            *("--no-deps", "--require-hashes", "--target", folder),
            *("--python-platform", system, "--python-version", python),
            *(word for path in LOCKS for word in ("-r", path)),
        ],
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        text=True,
    )
    if re.search("error sending request|dns error|Failed to fetch", done.stderr):
        pytest.skip("not run: no network to ask for wheels")
    return done


@pytest.mark.parametrize(("system", "python"), PROMISED)
def test_a_promised_system_has_wheels_of_all_packages(
    system: str, python: str, tmp_path: Path
) -> None:
    done = resolve(tmp_path, system, python)
    assert done.returncode == 0, done.stderr
    count = re.search(r"Would install (\d+) packages", done.stderr)
    assert count is not None
    assert int(count[1]) > 170


@pytest.mark.parametrize(("system", "python", "missing"), NOT_PROMISED)
def test_what_is_not_promised_has_no_wheel_of_something(
    system: str, python: str, missing: str, tmp_path: Path
) -> None:
    """Once this fails, `otw/supported.py` and the docs can promise more."""
    done = resolve(tmp_path, system, python)
    assert done.returncode != 0
    assert missing in done.stderr


def test_the_wheel_has_the_data_and_the_settings_of_jupyterlab(tmp_path: Path) -> None:
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
    assert "practice/data/models/iris/1/model.tflite" in names
    assert any(name.endswith("etc/jupyter/jupyter_server_config.json") for name in names)
    assert any(name.endswith("etc/jupyter/labconfig/page_config.json") for name in names)
    tops = {name.partition("/")[0] for name in names}
    assert {name for name in tops if not name.startswith("over_the_wire")} == {
        *("otw", "workbench", "practice", "helpers", "protos"),
    }
