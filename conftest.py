"""Every test run gets a state folder, and so practice services, of its own."""

import os
import shutil
import tempfile

import pytest

_FOLDER = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Move the state before anything is imported that might read it."""
    for name in [name for name in os.environ if name.startswith("OTW_")]:
        del os.environ[name]
    config.stash[_FOLDER] = os.environ["OTW_STATE_DIR"] = tempfile.mkdtemp(prefix="otw-tests-")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start what the notebooks call, and draw no bars in them: they are no stored output."""
    os.environ.pop("TQDM_DISABLE", None)
    if item.path.suffix == ".ipynb":
        os.environ["TQDM_DISABLE"] = "1"
        from practice import manager

        manager.up()
        if "tfserving-tf" in item.path.read_text(encoding="utf-8"):
            manager.up("tfserving-tf")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave no service and no file behind."""
    from practice import manager

    manager.down()
    shutil.rmtree(config.stash[_FOLDER], ignore_errors=True)
