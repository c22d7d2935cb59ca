"""The page of `otw explore`: what Voila runs, what it may do, and where it keeps its files."""

import asyncio
import contextlib
import json
import logging
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import nbformat
import tornado.web
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager
from jupyter_core.utils import ensure_async
from jupyter_server.log import log_request
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from tornado.httpserver import HTTPServer
from traitlets.config import Config
from voila.app import Voila
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler

from helpers.channels import MAX_MESSAGE
from helpers.endpoints import Endpoint
from otw.kernel import VARIABLES

# Bytes of a file on its way from the browser: more than a message, so that a form can still say
# that it is too large.
MAX_UPLOAD = 2 * MAX_MESSAGE
IDLE = 600  # seconds without a page until its kernel is ended, and what was done there is gone
FIRST_LOOK = 1  # seconds that the page waits for an answer of the service
# Voila's page names style sheets elsewhere, and widgets may: the browser is to ask for none.
# And no page from elsewhere is to show this one in a frame, where a click on it is a click here.
_FROM_HERE_ONLY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
)
_TEMPLATE = Path(__file__).with_name("template")


def notebook(
    title: str, endpoint: Endpoint, names: Sequence[str], timeout: float, examples: str = ""
) -> nbformat.NotebookNode:
    """Make the notebook that shows the explorer; the password stays in the environment."""
    # A widget that is made just when the page connects is lost there: mostly the form is there by
    # then. What takes longer to answer has nearly always none that are made in that moment.
    code = f"""%load_ext ipywidgets
%load_ext workbench
import contextlib
import os
from helpers.endpoints import Endpoint, headers
from helpers.errors import DeadlineExceeded, places
from workbench.explorer import Explorer
places.HERE.set(places.TERMINAL)
os.chdir({os.getcwd()!r})
explorer = {explorer(endpoint, names, timeout, examples)}
with contextlib.suppress(DeadlineExceeded):
    explorer.wait({FIRST_LOOK})
explorer"""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code)], metadata={"title": title, "kernelspec": kernel}
    )


def explorer(endpoint: Endpoint, names: Sequence[str], timeout: float, examples: str) -> str:
    """Return the line of a notebook that shows the explorer."""
    return (
        f"Explorer({_as_code(endpoint)}, names={list(names)!r}, timeout={timeout!r}, "
        f"examples={examples!r})"
    )


def _as_code(endpoint: Endpoint) -> str:
    if endpoint.public().keys() <= {"kind", "grpc", "rest", "models"}:
        return repr(endpoint.grpc or endpoint.rest)  # a profile may know more of it by then
    secret = [field for field in VARIABLES if getattr(endpoint, field)]
    read = ", ".join(f"{field}=os.environ[{VARIABLES[field]!r}]" for field in secret)
    return f"{endpoint!r}.replace({read})"


def voila(
    notebook: nbformat.NotebookNode, folder: Path, token: str, started: subprocess.Popen[bytes]
) -> Voila:
    """Make a Voila that shows a notebook, in a kernel that `started`, to whoever has the token."""
    _Kernel.started = started
    os.environ["NBFORMAT_VALIDATOR"] = "jsonschema"  # the other one compiles its schemas first
    path = folder / "explorer.ipynb"
    nbformat.write(notebook, path)
    made = _Voila.instance(config=_config(path, token))
    before = signal.getsignal(signal.SIGTERM)
    made.initialize([])
    signal.signal(signal.SIGTERM, before)  # Voila's own ends a loop that it started
    made.template_paths.insert(0, str(_TEMPLATE))
    # Each tab that is closed or loaded again asks for the end of its kernel, and is refused.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    return made


class _Page(TornadoVoilaHandler):
    """One page, for all who have the token: loaded again, it has its kernel, and all that is there.

    Voila would start a kernel each time, and end it when a tab is closed or loaded again.
    """

    made = asyncio.Lock()  # one at a time; a second tab waits for it
    html: ClassVar[list[str]] = []
    kernel = ""
    theme = ""

    @tornado.web.authenticated
    async def get(self, path: str | None = None) -> None:
        """Send the page that is there; else, or in another theme, make one."""
        cls = type(self)
        theme = self.get_argument("theme", "")
        async with self.made:
            if theme == self.theme and await self._is_alive():
                self.set_header("Cache-Control", "no-store")
                self.write("".join(self.html))
                return
            others = set(self.kernel_manager.list_kernel_ids())
            html = []
            async for part in self.get_generator(path=path):
                html.append(part)
                self.write(part)
                self.flush()  # not awaited: who has gone meanwhile finds it when coming back
            cls.html = html
            cls.theme = theme
            cls.kernel = next(iter(set(self.kernel_manager.list_kernel_ids()) - others), "")

    async def _is_alive(self) -> bool:
        kernels = self.kernel_manager
        return self.kernel in kernels and await ensure_async(kernels.is_alive(self.kernel))


class _Kernels(KernelSpecManager):
    """The one kind of kernel there is: Jupyter would look for others, and import IPython for it."""

    def find_kernel_specs(self) -> dict[str, str]:
        """Return its name; it has no folder."""
        return {NATIVE_KERNEL_NAME: ""}

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return how one is started."""
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3",
            language="python",
            metadata={"supported_encryption": ["curve"]},
        )


class _Kernel(ServerKernelManager):
    """A kernel: the first one has been started already."""

    started: ClassVar[subprocess.Popen[bytes] | None] = None

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        started = type(self).started
        type(self).started = None
        if started is None or started.poll() is not None:
            await super()._async_launch_kernel(kernel_cmd, **options)
            return
        arguments: Any = started.args
        info = json.loads(Path(arguments[-1]).read_bytes())
        self._reconcile_connection_info(info | {"key": info["key"].encode()})
        provisioner: Any = self.provisioner
        provisioner.process = started
        provisioner.pid = started.pid
        if hasattr(os, "getpgid"):
            provisioner.pgid = os.getpgid(started.pid)


class _Client(AsyncKernelClient):
    """Knows that a kernel is ready from its answer: Jupyter's waits 0.2 s for no more of them."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        """Wait until the kernel has answered, on both channels that are read."""
        limit = time.monotonic() + (timeout or math.inf)
        while True:
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                await self.get_shell_msg(timeout=1)
                await self.get_iopub_msg(timeout=0.2)
                return
            if not await self.is_alive() or time.monotonic() > limit:
                raise RuntimeError("The kernel does not answer.")


class _Voila(Voila):
    """Voila in an event loop that is not its own, with a page that stays."""

    def init_handlers(self) -> list:
        """Return Voila's handlers, with our page, and without the end of a kernel with its tab."""
        return [
            (address, _Page if handler is TornadoVoilaHandler else handler, *more)
            for address, handler, *more in super().init_handlers()
            if handler is not VoilaShutdownKernelHandler
        ]

    def listen(self) -> None:
        """Leave this, and the end, to `serve`: Voila's own leaves a file behind."""


def _page_config(config: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return what the page's script is told: no text here is a formula, so it loads no MathJax."""
    return config | {"fullMathjaxUrl": ""}


def _config(path: Path, token: str) -> Config:
    tornado = {
        "headers": {"Content-Security-Policy": _FROM_HERE_ONLY},
        "log_function": log_request,  # tornado's own would log the token
        "websocket_max_message_size": MAX_UPLOAD,  # an upload is one message
        "ws_ping_interval": 0,  # this machine's connections do not break unseen
    }
    return Config(
        Voila={
            "notebook_path": str(path),
            "connection_dir_root": str(path.parent),
            "config_file_paths": [],  # what somebody set for dashboards is not for this one
            "log_level": "ERROR",
            "token": token,
            "tornado_settings": tornado,
        },
        VoilaConfiguration={
            "kernel_spec_manager_class": f"{__name__}.{_Kernels.__name__}",
            "page_config_hook": _page_config,
            "extension_denylist": ["jupyterlab_pygments"],
        },
        VoilaExecutor={"allow_errors": True},  # they are shown as cards
        MappingKernelManager={
            "kernel_manager_class": f"{__name__}.{_Kernel.__name__}",
            "cull_idle_timeout": IDLE,
            "cull_interval": max(1, IDLE // 4),
        },
        # A kernel that was started again would know of no explorer.
        KernelManager={
            "transport_encryption": "auto",
            "autorestart": False,
            "client_class": f"{__name__}.{_Client.__name__}",
        },
    )


async def serve(voila: Voila, listener: socket.socket, stop: threading.Event) -> None:
    """Serve the page, and end its kernels when it is told to stop.

    Parameters
    ----------
    voila : Voila
    listener : socket
        Whoever can connect to it, and has the token, can use the page.
    stop : threading.Event
    """
    voila.start()
    server = HTTPServer(voila.app)
    listener.setblocking(False)
    server.add_socket(listener)
    try:
        while not stop.is_set():
            await asyncio.sleep(0.2)  # on Windows, a signal is seen only when the loop turns
    finally:
        logging.disable()  # a page that is still being made has no kernel now, and would say so
        server.stop()
        await voila.kernel_manager.shutdown_all(now=True)
        await server.close_all_connections()
