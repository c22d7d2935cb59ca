"""Installing from a folder, where there is no network: as a class does it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_offline import DEAD, PROXIES, ROOT, namespace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="make is for POSIX systems")


def make(*arguments: str, cwd: Path = ROOT, words: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run make, behind the words that give it another world; returns status and output."""
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    if words:
        environment |= dict.fromkeys(PROXIES + [name.upper() for name in PROXIES], DEAD)
        environment["PIP_CONFIG_FILE"] = os.devnull
        environment.pop("PIP_FIND_LINKS", None)
    done = subprocess.run(
        [*words, "make", *arguments, f"PYTHON={sys.executable}"],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_a_missing_folder_is_said_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "no wheels"
    status, output = make("lint", f"VENV={tmp_path / 'venv'}", f"WHEELS={folder}")
    assert status != 0
    assert f"There is no folder {folder}. Fill it with: make wheelhouse" in output


def test_a_folder_that_lacks_a_package_says_where_to_fill_it(tmp_path: Path) -> None:
    status, output = make("lint", f"VENV={tmp_path / 'venv'}", f"WHEELS={tmp_path}")
    assert status != 0
    assert "lacks a package for this Python and system" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_class_installs_from_a_stick_and_runs_the_chapters_with_loopback_only(
    tmp_path: Path,
) -> None:
    words = tuple(namespace())
    wheels = tmp_path / "a stick" / "wheels"
    status, output = make("wheelhouse", f"WHEELS={wheels}")
    if status:
        pytest.skip(f"not run: no wheelhouse could be filled here: {output[-300:]}")
    clone = tmp_path / "a clone"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(lambda name: (ROOT / name).is_file(), listed.splitlines()):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, clone / name)
    try:
        arguments = ("test", f"WHEELS={wheels}", "ARGS=notebooks")
        status, output = make(*arguments, cwd=clone, words=words)
        assert status == 0, output[-3000:]
        status, output = make(*arguments, cwd=clone, words=words)
        assert status == 0, output[-3000:]
        assert "pip" not in output  # the second time nothing is installed
    finally:
        shutil.rmtree(tmp_path)  # three gigabytes
