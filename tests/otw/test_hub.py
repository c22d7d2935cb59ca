"""JupyterHub as docs/class.md sets it up: a shared installation, two users, one class."""

import functools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from hatchling.builders.wheel import WheelBuilder

from practice import classroom, processes
from practice.launch import ROOT
from tests.explore_page import Kernel
from tests.tfserving import eventually

HUB = ROOT / "build" / "hub"
PROXY = HUB / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
USERS = {"ada": 12345, "ben": 12346}
pytestmark = [pytest.mark.nightly, pytest.mark.slow]
# What a hub with users of the machine needs none of: these two have a number, and no account.
CONFIG = """
import os
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner

USERS = {users}

class Spawner(SimpleLocalProcessSpawner):
    def make_preexec_fn(self, name):
        def become():
            os.setgroups([])
            os.setgid(USERS[name])
            os.setuid(USERS[name])
            os.chdir(self.home_dir)
        return become

c.JupyterHub.spawner_class = Spawner
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.environment = {{"FILES": {folder!r} + "/class/class/students"}}
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/home/{{username}}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = set(USERS)
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api_port}"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.JupyterHub.services = [{{"name": "test", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{
    "name": "test",
    "services": ["test"],
    "scopes": ["admin:users", "admin:servers", "access:servers"],
}}]
"""
AS_A_STUDENT = """
import io, json, os, sys, contextlib
from pathlib import Path
import practice
from helpers import endpoints, tfserving
from helpers.endpoints import profiles
from otw import cli
from otw.doctor import doctor

said = {}
with contextlib.redirect_stdout(io.StringIO()) as printed:
    practice.ready("tfserving", "modelarts")
said["ready"] = printed.getvalue()
endpoint = endpoints.load("tfserving").replace(model="iris")
said["answered"] = sorted(tfserving.predict(endpoint, {"features": [[5.9, 3.0, 5.1, 1.8]]}))
said["writable"] = os.access(Path(practice.__file__).parent, os.W_OK)
profiles.save("mine", endpoint)
said["profile"] = profiles.path()
said["home"] = os.environ["HOME"]
said["asks"] = [line for line in doctor() if line.state != "green" and line.name.startswith("port")]
said["models"] = sorted(path.name for path in (practice.DATA / "models").iterdir())[:2]
with contextlib.redirect_stdout(io.StringIO()) as printed:
    cli.main(["explore", "127.0.0.1:8500"])
said["explore"] = printed.getvalue()
said["user"] = os.environ["OTW_MODELARTS_USER"]
for name in ("ada", "ben"):
    said[name] = os.access(os.environ["FILES"] + f"/{name}.json", os.R_OK)
with contextlib.redirect_stdout(io.StringIO()):
    practice.ready("proxy")
said["proxy"] = endpoints.read_services()["proxy"]["pid"]
print(json.dumps(said))
"""


class Hub:
    """A hub that runs, as its administrator calls it."""

    def __init__(self, http: requests.Session, url: str, log: Path) -> None:
        self.http, self.url, self.log = http, url, log

    def answers(self) -> bool:
        """Whether it is there; the proxy is so before."""
        try:
            return self.http.get(f"{self.url}/hub/api/", timeout=60).ok
        except requests.ConnectionError:
            return False

    def ask(self, method: str, path: str, **named: Any) -> Any:
        """Call its REST API."""
        answer = self.http.request(method, f"{self.url}/hub/api{path}", timeout=60, **named)
        assert answer.ok, self.log.read_text("utf-8")[-3000:]
        return answer.json() if answer.content else None

    def start(self, name: str) -> str:
        """Start a user's server; returns its address."""
        self.ask("POST", f"/users/{name}/server")
        eventually(
            lambda: self.ask("GET", f"/users/{name}")["servers"].get("", {}).get("ready"), 180
        )
        return f"{self.url}/user/{name}"

    def stop(self, name: str) -> None:
        """Stop it."""
        self.ask("DELETE", f"/users/{name}/server")

    def run(self, server: str, code: str) -> str:
        """Run code in a new kernel; returns what it prints last."""
        made = self.http.post(f"{server}/api/kernels", json={}, timeout=60)
        made.raise_for_status()
        kernel = Kernel(self.http, server, made.json()["id"])
        kernel.socket.settimeout(120)
        kernel.tell("execute_request", {"code": code, "silent": False})
        message = kernel.received(lambda each: each["header"]["msg_type"] in ("stream", "error"))
        assert message["header"]["msg_type"] == "stream", message["content"]
        return str(message["content"]["text"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Install everything where all may read it, and only root may write: the wheel, of course."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("not run: only root on Linux can play two users")
    if not (PROXY.exists() and shutil.which("node")):
        pytest.skip("not run: there is no JupyterHub. make hub installs it")
    base = Path(sysconfig.get_config_var("BINDIR"), f"python3.{sys.version_info.minor}")
    for python in (base, Path(f"/usr/bin/python3.{sys.version_info.minor}")):
        command = ["setpriv", "--reuid=12345", "--clear-groups", "sh", "-c", f"{python} -c ''"]
        if not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
            break
    else:
        pytest.skip(f"not run: other users cannot run the Python of {base}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        made = str(folder / "shared")
        subprocess.run([str(python), "-m", "venv", "--without-pip", made], check=True)
        (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
        packages = Path(sysconfig.get_path("purelib"))
        (target,) = (folder / "shared" / "lib").glob("python3*/site-packages")
        (target / "packages.pth").write_text(f"{HUB}\n{packages}\n")
        for part in ("etc/jupyter/jupyter_server_config.d", "share/jupyter"):  # the packages' own
            link = Path(made, part)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(Path(sys.prefix, part))
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", f"{made}/bin/python"]
        subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
        yield folder


@pytest.fixture(scope="module")
def hub(shared: Path) -> Iterator["Hub"]:
    """Run the hub, and a class."""
    port, hub_port, api_port = (processes.choose_port() for _ in range(3))
    http = requests.Session()
    http.trust_env = False
    token = secrets.token_hex(16)
    http.headers["Authorization"] = f"token {token}"
    config = CONFIG.format(
        users=USERS,
        python=str(shared / "shared/bin/python"),
        folder=str(shared),
        port=port,
        hub_port=hub_port,
        api_port=api_port,
        proxy=str(PROXY),
        token=token,
    )
    page = (ROOT / "docs" / "class.md").read_text("utf-8").partition("## JupyterHub")[2]
    block = re.search(r"in `jupyterhub_config.py`:\n\n((?: {4}.*\n|\n)+)", page, re.I)
    assert block
    own = re.sub(r"^ {4}", "", block[1], flags=re.M).replace("/srv/otw", str(shared / "class"))
    (shared / "jupyterhub_config.py").write_text(config + own)
    for name, uid in USERS.items():
        (shared / "home" / name).mkdir(parents=True)
        os.chown(shared / "home" / name, uid, uid)
    with pytest.MonkeyPatch.context() as environment, open(shared / "hub.log", "wb") as log:
        environment.setenv("OTW_STATE_DIR", str(shared / "class"))
        environment.setattr(classroom, "names", lambda: ["tfserving", "modelarts"])  # in a moment
        classroom.up(classroom.students("ada:12345,ben:12346"))
        process = subprocess.Popen(
            [
                shared / "shared/bin/python",
                "-m",
                "jupyterhub",
                "-f",
                shared / "jupyterhub_config.py",
            ],
            cwd=shared,
            stdout=log,
            stderr=log,
            env=os.environ | {"no_proxy": "*"},
        )
        try:
            hub = Hub(http, f"http://127.0.0.1:{port}", shared / "hub.log")
            eventually(lambda: process.poll() is not None or hub.answers(), 180)
            assert process.poll() is None, (shared / "hub.log").read_text("utf-8")
            yield hub
        finally:
            family = psutil.Process(process.pid).children(recursive=True)
            process.terminate()
            process.wait(60)
            processes.end(family)  # the proxy, where the hub had not begun to look after it
            classroom.down()


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_two_students_of_a_hub_share_a_class_and_nothing_else(hub: Hub) -> None:
    for name, other in (("ada", "ben"), ("ben", "ada")):
        server = hub.start(name)
        said = json.loads(hub.run(server, AS_A_STUDENT))
        assert said["ready"].count("none is started here") == 2
        assert said["answered"] == ["probabilities"]
        assert not said["writable"]
        assert said["profile"].startswith(said["home"])
        assert said["asks"] == []
        assert said["models"] == ["digits", "digits_detector"]
        assert "Explorer('127.0.0.1:8500'" in said["explore"]
        assert said["user"] == name
        assert (said[name], said[other]) == (True, False)
        hub.stop(name)
        eventually(functools.partial(has_ended, said["proxy"]))
    (ada,) = (one for one in classroom.status()["students"] if one["name"] == "ada")
    assert "tensorflow.serving.PredictionService/Predict" in {row["method"] for row in ada["calls"]}


def test_jupyterlab_asks_nobody_for_news_and_has_no_button_of_voila(hub: Hub) -> None:
    server = hub.start("ada")
    page = hub.http.get(f"{server}/lab", timeout=60).text
    data = re.search(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.S)
    assert data
    disabled = json.loads(data[1])["disabledExtensions"]
    wanted = {
        "@jupyterlab/apputils-extension:announcements",
        "@voila-dashboards/jupyterlab-preview",
    }
    assert wanted <= set(disabled)
    assert hub.http.get(f"{server}/voila/tree", timeout=60).status_code == 404
