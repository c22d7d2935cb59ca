"""The page of `otw explore`: what Voila runs, what it may do, and where it keeps its files."""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.log import log_request
from tornado.httpserver import HTTPServer
from traitlets.config import Config
from voila.app import Voila

from helpers.channels import MAX_MESSAGE
from helpers.endpoints import Endpoint
from otw.terminal import PASSWORD

# Bytes of a file on its way from the browser: more than a message, so that a form can still say
# that it is too large.
MAX_UPLOAD = 2 * MAX_MESSAGE
IDLE = 60  # seconds without a page until a kernel is ended
# Voila's page names style sheets elsewhere, and widgets may: the browser is to ask for none.
# And no page from elsewhere is to show this one in a frame, where a click on it is a click here.
_FROM_HERE_ONLY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
)


def notebook(
    title: str, endpoint: Endpoint, names: Sequence[str], timeout: float
) -> nbformat.NotebookNode:
    """Make the notebook that shows the explorer; the password stays in the environment."""
    code = f"""%load_ext workbench
import os
from helpers.endpoints import Endpoint
from workbench.explorer import Explorer
os.chdir({os.getcwd()!r})
Explorer({_as_code(endpoint)}, names={list(names)!r}, timeout={timeout!r})"""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code)], metadata={"title": title, "kernelspec": kernel}
    )


def _as_code(endpoint: Endpoint) -> str:
    if endpoint.user:
        return f"{endpoint!r}.replace(password=os.environ[{PASSWORD!r}])"
    if endpoint.tls:
        return repr(endpoint)
    return repr(endpoint.rest or endpoint.grpc)  # there may be a profile that knows more of it


def environment(folder: Path) -> dict[str, str]:
    """Return variables that keep what Jupyter and IPython write in this folder."""
    own = {name: str(folder / name) for name in ("JUPYTER_DATA_DIR", "IPYTHONDIR")}
    # The kernel works where the command was started, but imports nothing from there.
    return own | {"PYTHONSAFEPATH": "1"}


def voila(notebook: nbformat.NotebookNode, folder: Path, token: str) -> Voila:
    """Make a Voila that shows a notebook to whoever has the token."""
    path = folder / "explorer.ipynb"
    nbformat.write(notebook, path)
    made = _Voila.instance(config=_config(path, token))
    before = signal.getsignal(signal.SIGTERM)
    made.initialize([])
    signal.signal(signal.SIGTERM, before)  # Voila's own ends a loop that it started
    return made


class _Voila(Voila):
    """Voila in an event loop that is not its own."""

    def listen(self) -> None:
        """Leave this, and the end, to `serve`: Voila's own leaves a file behind."""


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
        VoilaConfiguration={"prelaunch_hook": _set_xsrf_cookie},
        VoilaExecutor={"allow_errors": True},  # they are shown as cards
        # A tab that is closed ends its kernel; this is for browsers that could not tell so.
        MappingKernelManager={"cull_idle_timeout": IDLE, "cull_interval": max(1, IDLE // 4)},
        KernelManager={"transport_encryption": "auto"},
    )


def _set_xsrf_cookie(handler: Any, **of: Any) -> None:
    _ = handler.xsrf_token  # without it, Voila refuses what its page says when it is closed


async def serve(
    voila: Voila, listener: socket.socket, ready: Callable[[], None], stop: threading.Event
) -> None:
    """Serve the page, and end its kernels when it is told to stop.

    Parameters
    ----------
    voila : Voila
    listener : socket
        Whoever can connect to it, and has the token, can use the page.
    ready : callable
        Called when the page can be opened.
    stop : threading.Event
    """
    voila.start()
    server = HTTPServer(voila.app)
    listener.setblocking(False)
    server.add_socket(listener)
    try:
        ready()
        while not stop.is_set():
            await asyncio.sleep(0.2)  # on Windows, a signal is seen only when the loop turns
    finally:
        logging.disable()  # a page that is still being made has no kernel now, and would say so
        server.stop()
        await voila.kernel_manager.shutdown_all(now=True)
        await server.close_all_connections()
