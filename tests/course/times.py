"""Measures what a chapter's time is made of, and writes the table of docs/teaching/syllabus.md."""

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

from practice import manager
from tests import tables

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def main() -> int:
    """Run all chapters with practice services of their own, and write the table."""
    rows = [
        "| chapter | words to read | lines of code | the computer runs |\n",
        "|---|---|---|---|\n",
    ]
    with tempfile.TemporaryDirectory(prefix="otw-times-") as folder:
        os.environ["OTW_STATE_DIR"] = folder
        try:
            for path in tqdm(sorted(NOTEBOOKS.glob("*.ipynb")), unit="chapter"):
                notebook = nbformat.read(path, as_version=4)
                words, lines = count(notebook)
                rows.append(f"| {path.stem[:2]} | {words:,} | {lines} | {run(notebook):.0f} s |\n")
        finally:
            manager.down()
    tables.write("times", "".join(rows))
    return 0


def count(notebook: Any) -> tuple[int, int]:
    """Return a chapter's words and its lines of code, without its exercises and links."""
    words = lines = 0
    for cell in notebook.cells:
        text, exercises, _rest = cell.source.partition("## Exercises")
        if cell.cell_type == "code":
            lines += len(text.splitlines())
        else:
            words += len(re.findall(r"\w[\w'-]*", re.sub(r"\]\([^)]*\)", "]", text)))
        if exercises:
            break
    return words, lines


def run(notebook: Any) -> float:
    """Run a chapter from top to bottom in a fresh kernel; returns the seconds."""
    began = time.perf_counter()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": NOTEBOOKS}}).execute()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
