"""JupyterLab as `otw lab` starts it, on a copy of the notebooks, in a real browser."""

import dataclasses
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]
WHOLE_NOTEBOOK = {"windowingMode": "none"}  # else cells out of sight are not in the page


@dataclasses.dataclass
class Lab:
    """A running JupyterLab."""

    address: str
    token: str
    root: Path
    profiles: Path

    def url(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/notebooks/{notebook}?token={self.token}&reset"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "data"):
        shutil.copytree(ROOT / name, root / name)
    settings = root / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps(WHOLE_NOTEBOOK))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), root, root / "endpoints.toml")
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "JUPYTER_TOKEN": made.token,
        "OTW_ENDPOINTS": str(made.profiles),
    }
    otw = str(Path(sys.executable).with_name("otw"))
    command = [otw, "lab", "--no-browser", f"--port={port}"]
    with open(root / "lab.log", "wb") as log:
        process = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={root}"], env=environment, stdout=log, stderr=log
        )
    try:
        _wait(made, process)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(lab: Lab, process: subprocess.Popen) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        f"{lab.address}/api/status", headers={"Authorization": f"token {lab.token}"}
    )
    while process.poll() is None:
        try:
            direct.open(request, timeout=30).close()
            return
        except urllib.error.URLError:
            time.sleep(0.05)  # the pace of asking
    pytest.fail((lab.root / "lab.log").read_text())


@pytest.fixture(scope="session")
def browser() -> Iterator:
    if CHROMIUM is None:
        pytest.skip("not run: there is no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser) -> Iterator:
    opened = new_page(browser)
    yield opened
    opened.close()


def new_page(browser):
    """Open a page in a window of the size that screenshots have."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.set_default_timeout(30_000)
    return opened
