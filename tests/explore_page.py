"""The page of `otw explore` and its kernel, without a browser."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)

OTW = "import sys; from otw.cli import main; "
# What it does without where it is given an address: the practice services.
ALONE = "sys.modules['practice'] = None; "
PROTOCOL = "v1.kernel.websocket.jupyter.org"
PARTS = ("header", "parent_header", "metadata", "content")
CONTROL = "jupyter.widget.control"
IMAGE = {
    "_model_module": "@jupyter-widgets/controls",
    "_model_module_version": "2.0.0",
    "_model_name": "ImageModel",
    "_view_module": "@jupyter-widgets/controls",
    "_view_module_version": "2.0.0",
    "_view_name": "ImageView",
}


class Kernel:
    """The websocket of a kernel, as a page has it."""

    def __init__(self, http: requests.Session, address: str, kernel: str) -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        header = [f"{name}: {value}" for name, value in http.headers.items() if name[0] == "A"]
        url = f"ws{address.removeprefix('http')}/api/kernels/{kernel}/channels"
        self.socket = websocket.create_connection(
            url, timeout=30, cookie=cookie, header=header, subprotocols=[PROTOCOL]
        )
        self.session = Session()

    def tell(self, kind: str, content: dict[str, Any], *buffers: bytes) -> str:
        """Send a message; returns its id."""
        protocol = "1.0.0" if content.get("target_name") == CONTROL else "2.1.0"
        made = self.session.msg(kind, content, metadata={"version": protocol})
        parts = [self.session.pack(made[name]) for name in PARTS]
        self.socket.send_binary(serialize_msg_to_ws_v1([*parts, *buffers], "shell"))
        return made["header"]["msg_id"]

    def received(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first message that is wanted."""
        while True:
            opcode, received = self.socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError(received)
            _, parts = deserialize_msg_from_ws_v1(received)
            message = dict(zip(PARTS, map(json.loads, parts), strict=False))
            if wanted(message):
                return message | {"buffers": parts[len(PARTS) :]}

    def done(self, sent: str) -> None:
        """Wait until the kernel has done what a message asked for."""
        self.received(lambda each: is_done(each, sent))

    def send_back(self, content: bytes) -> str:
        """Set the picture of a new image widget; returns the hash of what the kernel has then."""
        comm = uuid.uuid4().hex
        data = {"state": {**IMAGE, "value": None}, "buffer_paths": [["value"]]}
        self.tell(
            "comm_open", {"comm_id": comm, "target_name": "jupyter.widget", "data": data}, content
        )
        back = self.received(
            lambda each: (
                each["header"]["msg_type"] == "comm_msg" and each["content"]["comm_id"] == comm
            )
        )
        return hashlib.sha256(back["buffers"][0]).hexdigest()

    def states(self, wanted: str) -> str:
        """Return the states of all widgets, as soon as this is in them."""
        limit, found = time.monotonic() + 30, ""
        while wanted not in found:
            assert time.monotonic() < limit, found
            time.sleep(0.05)  # the pace of asking
            found = self.states_now()
        return found

    def states_now(self) -> str:
        """Return the states of all widgets, as a page gets them that connects."""
        comm = uuid.uuid4().hex
        self.tell("comm_open", {"comm_id": comm, "target_name": CONTROL, "data": {}})
        sent = self.tell("comm_msg", {"comm_id": comm, "data": {"method": "request_states"}})
        answer = self.received(lambda each: is_states(each) or is_done(each, sent))
        return json.dumps(answer["content"], ensure_ascii=False)


def is_states(message: dict[str, Any]) -> bool:
    return message["content"].get("data", {}).get("method") == "update_states"


def is_done(message: dict[str, Any], sent: str) -> bool:
    idle = message["content"].get("execution_state") == "idle"
    return idle and message["parent_header"].get("msg_id") == sent


class Page:
    """An explorer that was started, and what a browser does with it."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self.process, self.folder = process, folder
        self.printed, self.url = "", ""
        while not self.url:
            line = process.stdout.readline() if process.stdout else ""
            assert line, f"it ended: {self.printed}"
            self.printed += line
            self.url = "".join(re.findall(r"http://\S+\?token=\w+", line))
        self.address, _, self.token = self.url.partition("/?token=")
        self.http = requests.Session()
        self.http.trust_env = False

    def open(self) -> str:
        answer = self.http.get(self.url, timeout=60)
        answer.raise_for_status()
        assert answer.headers["Content-Security-Policy"].endswith("; frame-ancestors 'self'")
        answer.encoding = "utf-8"  # as the page itself says
        return answer.text

    def kernel(self, text: str) -> Kernel:
        return Kernel(self.http, self.address, self.kernel_id(text))

    def kernel_id(self, text: str) -> str:
        return re.findall(r'"kernelId": "([\w-]+)"', text)[0]

    def kernels(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.printed += self.process.communicate(timeout=120)[0]
        return self.process.returncode


@contextlib.contextmanager
def starting(folder: Path, first: str = ALONE) -> Iterator[Callable[..., Page]]:
    """Give a function that starts `otw explore` with a home folder of its own.

    Its Python does `first` before.
    """
    places = {name: folder / name for name in ("home", "temporary", "work")}
    for place in places.values():
        place.mkdir()
    own = {"HOME": str(places["home"]), "OTW_STATE_DIR": str(folder / "state")}
    own |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(places["temporary"]))
    with contextlib.ExitStack() as stack:

        def start(*words: str, first: str = first, **variables: str) -> Page:
            quiet = [] if "BROWSER" in variables else ["--no-browser"]
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    f"{OTW}{first}sys.exit(main())",
                    "explore",
                    *quiet,
                    *words,
                ],
                cwd=places["work"],
                env=os.environ | own | variables,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return Page(process, folder)

        yield start


def left_behind(folder: Path) -> list[str]:
    return [str(each) for each in folder.rglob("*") if each.is_file()]
