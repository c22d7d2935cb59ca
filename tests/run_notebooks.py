"""Runs notebooks in place: outputs and widget state are kept, execution times are not."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm import tqdm

from practice import manager

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def main() -> int:
    """Run the notebooks named, or all, with practice services of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="all if none")
    paths = parser.parse_args().notebooks or sorted(NOTEBOOKS.glob("**/*.ipynb"))
    with tempfile.TemporaryDirectory(prefix="otw-notebooks-") as folder:
        os.environ["OTW_STATE_DIR"] = folder
        os.environ["TQDM_DISABLE"] = "1"  # a bar is no output to be stored
        try:
            manager.up()  # a chapter that needs another one starts it
            for path in tqdm(paths, unit="notebook"):
                run_in_place(path)
        except CellExecutionError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        finally:
            manager.down()
    return 0


def run_in_place(path: Path) -> None:
    """Run one notebook from top to bottom in a fresh kernel, and store it."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, record_timing=False, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    notebook.metadata = _kept(notebook.metadata)
    _forget_folder(notebook.metadata)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, path)


def _forget_folder(metadata: Any) -> None:
    """Take the state folder's path out of the widgets: the panel's CA file lies in it."""
    states = metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    for widget in states.values():
        value = widget.state.get("value")
        if isinstance(value, str):
            widget.state.value = value.replace(os.environ["OTW_STATE_DIR"], "OTW_STATE_DIR")


def _kept(metadata: Any) -> dict[str, Any]:
    """Keep the kernel and the widgets; the Python version and the rest change by machine."""
    kept = {
        "kernelspec": metadata.kernelspec,
        "language_info": {"name": "python"},
    }
    if "widgets" in metadata:
        kept["widgets"] = metadata.widgets
    return nbformat.from_dict(kept)


if __name__ == "__main__":
    sys.exit(main())
