"""Errors that nobody caught are shown as cards, in kernels of their own."""

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def run(*cells: str) -> list[Any]:
    """Run cells in a kernel of their own; returns the outputs of each."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, allow_errors=True).execute()
    return [cell.outputs for cell in notebook.cells]


def test_the_extension_shows_cards_and_folds_the_traceback() -> None:
    outputs = run(
        "%load_ext workbench\nimport socket",
        "socket.create_connection(('127.0.0.1', 1))",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    print('caught')",
        "%unload_ext workbench",
        "1 / 0",
    )
    data = outputs[1][0].data
    assert "nobody listens on this port" in data["text/plain"]
    assert "Traceback" not in data["text/plain"]
    assert "<details class='otw-traceback'>" in data["text/html"]
    assert "create_connection" in data["text/html"]
    assert outputs[2][0].text == "caught\n"
    assert outputs[4][0].output_type == "error"


def test_without_the_extension_nothing_is_hooked() -> None:
    outputs = run("import workbench\nfrom helpers import errors, tfserving", "1 / 0")
    assert outputs[1][0].output_type == "error"
    assert outputs[1][0].ename == "ZeroDivisionError"


def test_a_program_that_runs_the_notebook_is_told_of_the_error() -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in ("%load_ext workbench", "{}['a']")]
    )
    with pytest.raises(CellExecutionError, match="What it usually means"):
        NotebookClient(notebook, timeout=60).execute()
