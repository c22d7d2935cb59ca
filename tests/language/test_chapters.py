"""The chapters in Chinese run as the English ones do, and print the same, in Chinese."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from otw import translation
from practice import manager, needs
from practice.launch import ROOT

EARLY = ("notebooks/00-start-here.ipynb", "notebooks/04-grpc-tensorflow-serving.ipynb")
# A Chinese letter is as wide as two others: columns of a table have other widths.
SPACES = "\n[columns]\nregex: [ ]{2,}\nreplace: SPACES\n"


def marked(name: str) -> object:
    marks = [] if name in EARLY else [pytest.mark.nightly]
    text = (ROOT / name).read_text(encoding="utf-8")
    marks += [getattr(pytest.mark, need) for need in needs.NEEDS if f"%%needs {need}" in text]
    return pytest.param(name, marks=marks, id=name)


@pytest.mark.parametrize("name", [marked(name) for name in translation.chapters()])
def test_a_chapter_runs_in_chinese(name: str, tmp_path: Path) -> None:
    # Its pictures have Chinese letters, and without a font matplotlib warns of each.
    pytest.importorskip("zhplot", reason="not installed: make chinese")
    manager.up()
    chapter = tmp_path / Path(name).name
    chapter.write_text(translation.made(name, translation.place(name)), encoding="utf-8")
    differences = tmp_path / "sanitize.cfg"
    english = (ROOT / "tests" / "nbval-sanitize.cfg").read_text(encoding="utf-8")
    differences.write_text(english + SPACES, encoding="utf-8")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "-c", os.devnull),
            *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"),
            *("--nbval-sanitize-with", str(differences), str(chapter)),
        ],
        env={
            **os.environ,
            **{"OTW_LANGUAGE": "zh", "TQDM_DISABLE": "1", "PYTHON_COLORS": "0"},
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
