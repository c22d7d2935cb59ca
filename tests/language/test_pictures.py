"""Words in pictures are in the reader's language, in a font that has its letters."""

import subprocess
import sys

import pytest

from practice.launch import ROOT

CODE = """
import warnings
warnings.simplefilter("error")  # matplotlib's for a letter that no font has
from workbench import plots
axes = plots.draw_ratios({"gRPC": [1.0, 1.1], "REST": [2.0, 2.2]}, title="一朵花")
plots.png(axes.figure)
print(axes.get_xlabel())
"""


def test_a_picture_has_chinese_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zhplot", reason="not installed: make chinese")
    monkeypatch.setenv("OTW_LANGUAGE", "zh")
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert (done.stdout, done.stderr) == ("时间（gRPC 的倍数）\n", "")
