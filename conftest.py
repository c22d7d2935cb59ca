"""Every test run gets a state folder, and so practice services, of its own.

Where pytest-xdist shares the work out, that is true of each of its workers.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from tests import fuzzing as fuzzing  # before Hypothesis looks for the profile that was asked for

_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Move the state before anything is imported that might read it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts it with `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)  # our children obey Ctrl-C
    for name in [name for name in os.environ if name.startswith("OTW_")]:
        del os.environ[name]
    config.stash[_FOLDER] = os.environ["OTW_STATE_DIR"] = tempfile.mkdtemp(prefix="otw-tests-")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Import no module for its examples that has none: some import TensorFlow, for 6 seconds."""
    if collection_path.suffix != ".py" or collection_path.name.startswith("test_"):
        return None
    return ">>>" not in collection_path.read_text(encoding="utf-8") or None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start what the notebooks call, and draw no bars in them: they are no stored output."""
    os.environ.pop("TQDM_DISABLE", None)
    if item.path.suffix == ".ipynb":
        os.environ["TQDM_DISABLE"] = "1"
        os.environ["PYTHON_COLORS"] = "0"  # 3.13 colours the tracebacks of a cell's own programs
        from practice import manager

        manager.up()
        if "tfserving-tf" in item.path.read_text(encoding="utf-8"):
            manager.up("tfserving-tf")


def pytest_sessionfinish() -> None:
    """Leave no service behind. Not later: xdist kills a worker that takes its time to end."""
    from practice import manager

    manager.down()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no file behind."""
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
