"""Installing from a folder, where there is no network: as a class does it.

`make test-all WHEELS=folder` takes the packages from there. Without it they are downloaded.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.notebooks.test_offline import DEAD, PROXIES, ROOT, namespace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="make is for POSIX systems")


def make(*arguments: str, cwd: Path = ROOT, words: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run make, behind the words that give it another world; returns status and output."""
    ours = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "WHEELS", "VENV", "ARGS", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    if words:
        for name in [each for each in environment if re.search("proxy|^pip_", each, re.I)]:
            del environment[name]
        environment |= dict.fromkeys(PROXIES + [name.upper() for name in PROXIES], DEAD)
        environment["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(
        [*words, "make", *arguments, f"PYTHON={sys.executable}"],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def wheelhouse(folder: Path) -> Path:
    """Return the folder that WHEELS names, else one that is filled now; or skip the test."""
    if given := os.environ.get("WHEELS"):
        return (ROOT / given).resolve()
    status, output = make("wheelhouse", f"WHEELS={folder}")
    if status and "connection broken" in output:
        pytest.skip("not run: no network to fill a folder from. Name one: make test-all WHEELS=...")
    assert status == 0, output[-3000:]
    return folder


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what git knows or would add: a clone that has today's changes."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(lambda name: (ROOT / name).is_file(), listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def test_a_missing_folder_is_said_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "no wheels"
    status, output = make("lint", f"VENV={tmp_path / 'venv'}", f"WHEELS={folder}")
    assert status != 0
    assert f"There is no folder {folder}." in output
    assert "make wheelhouse WHEELS=folder" in output
    assert len(output.splitlines()) == 2  # the sentence, and make's own word
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_folder_that_lacks_a_package_is_said_without_a_traceback(
    installer: str, tmp_path: Path
) -> None:
    uv = "" if installer == "pip" else shutil.which("uv")
    if uv is None:
        pytest.skip("not run: there is no uv")
    (tmp_path / "a stick").mkdir()
    arguments = (f"VENV={tmp_path / 'an environment'}", f"WHEELS={tmp_path / 'a stick'}")
    status, output = make("lint", *arguments, f"UV={uv}")
    assert status != 0
    reasons = {"pip": "No matching distribution found for absl-py", "uv": "no version of absl-py"}
    assert reasons[installer] in output
    assert f"The packages cannot be installed from the folder {tmp_path / 'a stick'}" in output
    assert f"(Python {sys.version.split()[0]}): make wheelhouse WHEELS=folder" in output
    assert "Traceback" not in output
    assert not (tmp_path / "an environment" / ".installed").exists()


@pytest.mark.slow
def test_a_class_installs_from_a_stick_and_runs_a_chapter_with_loopback_only() -> None:
    words = tuple(namespace())
    with tempfile.TemporaryDirectory(prefix="otw-") as name:  # three gigabytes
        wheels = wheelhouse(Path(name, "a stick"))
        clone = copy_of_the_tree(Path(name, "a clone"))
        # With pip, which everybody has; where uv is found, .ci/run has installed with it.
        arguments = ("test", f"WHEELS={wheels}", "UV=", "ARGS=notebooks/01-rest-ccai.ipynb")
        status, output = make(*arguments, cwd=clone, words=words)
        assert status == 0, output[-3000:]
        assert " passed" in output
        # From now on nothing is installed, and the stick is not needed.
        status, output = make("test", "ARGS=--version", cwd=clone, words=words)
        assert status == 0, output[-3000:]
        assert " -m pip " not in output
        assert "pytest" in output.splitlines()[-1]
