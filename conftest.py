"""Every test run gets a state folder, and so practice services, of its own.

Where pytest-xdist shares the work out, that is true of each of its workers.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from nbformat.v4 import new_output

from practice import needs
from protos import official
from tests import fuzzing as fuzzing  # before Hypothesis looks for the profile that was asked for

_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Move the state before anything is imported that might read it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts it with `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # our children obey Ctrl-C
    for name in [name for name in os.environ if name.startswith("OTW_")]:
        del os.environ[name]
    os.environ["OTW_LANGUAGE"] = "en"  # whatever the system speaks
    config.stash[_FOLDER] = os.environ["OTW_STATE_DIR"] = tempfile.mkdtemp(prefix="otw-tests-")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Import no module for its examples that has none: some import TensorFlow, for 6 seconds."""
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return ">>>" not in collection_path.read_text(encoding="utf-8") or None


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what needs TensorFlow or Ray, where that is missing, and expect it of notebooks."""
    for item in items:
        if item.path.suffix == ".ipynb":
            _expect_what_is_left_out(item)
            continue
        if "needs_tensorflow" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.tensorflow)
        for need in needs.NEEDS:
            if item.get_closest_marker(need) and not needs.is_installed(need):
                item.add_marker(pytest.mark.skip(reason=f"not installed: make test-{need}"))


def _expect_what_is_left_out(item: pytest.Item) -> None:
    text = item.path.read_text(encoding="utf-8")
    cell = item.cell  # type: ignore[attr-defined]  # nbval's
    for need in needs.NEEDS:
        if f"%%needs {need}" not in text:
            continue
        item.add_marker(need)  # all cells: they stand on each other
        if cell.source.startswith(f"%%needs {need}") and not needs.is_installed(need):
            cell.outputs = [new_output("stream", name="stdout", text=f"{needs.left_out(need)}\n")]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start what the notebooks call, and draw no bars in them: they are no stored output."""
    os.environ.pop("TQDM_DISABLE", None)
    if item.path.suffix == ".ipynb":
        os.environ["TQDM_DISABLE"] = "1"
        os.environ["PYTHON_COLORS"] = "0"  # 3.13 colours the tracebacks of a cell's own programs
        from practice import manager

        manager.up()
        if item.get_closest_marker("tensorflow") and official.has_tensorflow():
            manager.up("tfserving-tf")


def pytest_sessionfinish() -> None:
    """Leave no service behind. Not later: xdist kills a worker that takes its time to end."""
    from practice import manager

    manager.down()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no file behind."""
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
