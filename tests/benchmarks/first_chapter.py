"""How long do `otw doctor` and chapter 00 take?"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.benchmarks.measure import Row, at_most, interleaved

_CHAPTER = Path(__file__).parents[2] / "notebooks" / "00-start-here.ipynb"


def measure() -> list[Row]:
    """Each in a state folder of its own; the chapter starts the practice service itself."""
    doctors, chapters = interleaved([_doctor, _chapter], rounds=3)
    doctor, chapter = statistics.median(doctors), statistics.median(chapters)
    return [
        Row("`otw doctor`", f"{doctor:.1f} s", [at_most(doctor, 3, " s")]),
        Row(
            "chapter 00, from a new kernel to its last cell",
            f"{chapter:.1f} s",
            [at_most(chapter, 15, " s")],
        ),
    ]


def _doctor() -> float:
    started = time.perf_counter()
    otw = str(Path(sys.executable).with_name("otw"))
    subprocess.run([otw, "doctor"], check=False, capture_output=True)
    return time.perf_counter() - started


def _chapter() -> float:
    from practice import manager

    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OTW_STATE_DIR"] = folder
        try:
            notebook = nbformat.read(_CHAPTER, as_version=4)
            started = time.perf_counter()
            resources = {"metadata": {"path": _CHAPTER.parent}}
            NotebookClient(notebook, timeout=120, resources=resources).execute()
            return time.perf_counter() - started
        finally:
            manager.down()
            os.environ.clear()
            os.environ.update(before)
