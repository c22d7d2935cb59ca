"""Every way to install, each into an empty environment: what came, and what the doctor says.

`make test-all WHEELS=folder` takes the packages of a class without network from that folder.
Without it they are downloaded.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.utils import canonicalize_name

from tests.notebooks.test_offline import DEAD, PROXIES, ROOT, namespace

OWN = {"over-the-wire", "pip", "setuptools"}  # and what comes with an empty environment
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
    skip_without_network(output)
    assert status == 0, output[-3000:]
    return folder


def skip_without_network(output: str) -> None:
    """Skip the test where pip or uv could not reach anything."""
    if re.search("connection broken|error sending request|dns error", output):
        pytest.skip("not run: no network to download from. Name a folder: make test-all WHEELS=...")


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
    first = "ai-edge-litert"
    reasons = {"pip": f"No matching distribution found for {first}", "uv": f"{first} was not found"}
    assert reasons[installer] in output
    assert f"The packages cannot be installed from the folder {tmp_path / 'a stick'}" in output
    assert f"(Python {sys.version.split()[0]}): make wheelhouse WHEELS=folder" in output
    assert "Traceback" not in output
    assert not (tmp_path / "an environment" / ".installed").exists()


@pytest.mark.slow
def test_a_class_installs_from_a_stick_and_runs_a_chapter_with_loopback_only() -> None:
    words = tuple(namespace())
    with tempfile.TemporaryDirectory(prefix="otw-") as name:  # a gigabyte
        wheels = wheelhouse(Path(name, "a stick"))
        clone = copy_of_the_tree(Path(name, "a clone"))
        # With pip, which everybody has; where uv is found, .ci/run has installed with it.
        arguments = ("test", f"WHEELS={wheels}", "UV=", "ARGS=notebooks/01-rest-ccai.ipynb")
        status, output = make(*arguments, cwd=clone, words=words)
        assert status == 0, output[-3000:]
        assert " passed" in output
        python = clone / ".venv" / "bin" / "python"
        assert packages(python) - OWN == locked("requirements.txt", "requirements/test.txt") - OWN
        assert examined(python, clone) == {"Python": "green", "packages": "green"}
        # From now on nothing is installed, and the stick is not needed.
        status, output = make("test", "ARGS=--version", cwd=clone, words=words)
        assert status == 0, output[-3000:]
        assert " -m pip " not in output
        assert "pytest" in output.splitlines()[-1]


def packages(python: Path) -> set[str]:
    """Return the names of what is installed."""
    code = "import importlib.metadata as m; print(*[d.name for d in m.distributions()])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return {canonicalize_name(name) for name in done.stdout.split()}


def locked(*names: str) -> set[str]:
    """Return the names of what these files of the lock have for this machine."""
    found: set[str] = set()
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        for package, marker in re.findall(r"^([\w.-]+)==\S+(?: ; (.+?))? \\$", text, re.M):
            if not marker or Marker(marker).evaluate():
                found.add(canonicalize_name(package))
    return found


def examined(python: Path, clone: Path) -> dict[str, str]:
    """Return what the doctor says of Python and the packages: a state for each."""
    report = subprocess.run(
        [python.with_name("otw"), "doctor", "--json"], cwd=clone, capture_output=True, text=True
    )
    lines = json.loads(report.stdout)["lines"]
    return {line["name"]: line["state"] for line in lines if line["name"] in ("Python", "packages")}


@pytest.mark.slow
def test_lab_brings_the_chapters_packages_and_tensorflow_comes_when_asked(tmp_path: Path) -> None:
    if not (uv := shutil.which("uv")):
        pytest.skip("not run: there is no uv")
    clone = copy_of_the_tree(tmp_path / "a clone")
    python = clone / ".venv" / "bin" / "python"
    status, output = make("lab", f"UV={uv}", "ARGS=--help", cwd=clone)
    skip_without_network(output)
    assert status == 0, output[-3000:]
    chapters = locked("requirements.txt")
    assert packages(python) - OWN == chapters - OWN
    assert not chapters & {"keras", "mypy", "playwright", "pytest", "scipy", "tensorflow"}
    assert examined(python, clone) == {"Python": "green", "packages": "green"}

    status, output = make("tensorflow", f"UV={uv}", cwd=clone)
    assert status == 0, output[-3000:]
    both = locked("requirements.txt", "requirements/tensorflow.txt")
    assert packages(python) - OWN == both - OWN
    assert both & {"tensorflow", "tensorflow-cpu"}
    assert examined(python, clone) == {"Python": "green", "packages": "green"}


@pytest.mark.slow
def test_where_pip_resolves_as_with_conda_tensorflow_comes_along(tmp_path: Path) -> None:
    if not (uv := shutil.which("uv")):
        pytest.skip("not run: there is no uv")
    clone = copy_of_the_tree(tmp_path / "a clone")
    python = clone / ".venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", clone / ".venv"], check=True)
    environment = yaml.safe_load((clone / "environment.yml").read_text(encoding="utf-8"))
    (wanted,) = (part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    # Without the configuration, which overrides what packages ask for; conda's pip knows none.
    done = subprocess.run(
        [uv, "pip", "install", "--no-config", "--python", python, "--editable", ".", *wanted[:-1]],
        cwd=clone,
        capture_output=True,
        text=True,
    )
    skip_without_network(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    came = packages(python)
    assert {"tensorflow", "keras"} <= came
    assert locked("requirements.txt") - came <= {
        "editables",
        "hatchling",
        "pathspec",
        "trove-classifiers",
    }
    states = examined(python, clone)
    assert states.pop("packages") in ("green", "amber")  # of today's versions, not of the lock's
    assert states == {"Python": "green"}
