"""`otw explore`: the explorer in the browser without a notebook, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import gc
import os
import secrets
import shutil
import socket
import stat
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import filelock

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError
from helpers.interrupts import Stop
from helpers.language import _
from otw import kernel, statuses, terminal

HOST = "127.0.0.1"
PORT = 8866
_PREFIX = "otw-explore-"
_LOCK = "lock"


def explore(arguments: argparse.Namespace) -> int:
    """Show the explorer in the browser until Ctrl-C; returns the exit status."""
    address = arguments.address
    is_path = ":" not in address and os.path.basename(address) != address
    exists = os.path.exists(os.path.expanduser(address))
    if not is_path and not exists and ":" not in address:
        return terminal.guarded(lambda: _refuse(address), arguments)
    if is_path or exists:
        return terminal.guarded(lambda: _explore_folder(arguments), arguments)
    return terminal.guarded(lambda: _explore_endpoint(arguments), arguments)


def _refuse(word: str) -> None:
    raise statuses.AskedWrongly(
        _(
            "There is no file or folder {word} here, and it is no address. Name a SavedModel's "
            "folder, a .tflite file, HOST:PORT of gRPC, or http://HOST:PORT of REST.",
            word=word,
        )
    )


def _explore_endpoint(arguments: argparse.Namespace) -> None:
    endpoint, examples = terminal.endpoint_of(arguments), _examples(arguments.examples)
    if not _shows_nothing_here(endpoint, arguments, examples):
        _explore(endpoint, arguments, examples)


def _shows_nothing_here(endpoint: Endpoint, arguments: argparse.Namespace, examples: str) -> bool:
    """Whether this is JupyterHub, whose browsers see no page of here; then say what to do."""
    if "JUPYTERHUB_USER" not in os.environ:
        return False
    from otw import page  # 0.5 s

    names = [*arguments.models, *_names(arguments.config)]
    print(_("On JupyterHub your browser cannot open a page of this command. In a notebook, run:"))
    for line in (
        "import os",
        "from helpers.endpoints import Endpoint",
        "from workbench.explorer import Explorer",
        page.explorer(endpoint, names, arguments.timeout, examples),
    ):
        print(f"  {line}", flush=True)
    return True


def _explore_folder(arguments: argparse.Namespace) -> None:
    """Serve a model's folder for as long as the page is shown."""
    # Only here: an endpoint is explored also where the practice services do not work.
    from otw import serve
    from practice.state import PracticeError

    try:
        files = serve.find(arguments.address)
        name = serve.name_of(files)
        examples = _examples(arguments.examples)
        with contextlib.suppress(BadInput):  # those requests cannot be read
            if not examples and _came_along(files.folder):
                examples = str(files.folder)
        with Stop() as stop, serve.served(stop, files, name) as own:
            if _shows_nothing_here(own.endpoints[name], arguments, examples):
                stop.wait()  # the model is served until then
                return
            _explore(own.endpoints[name], arguments, examples)
    except PracticeError as error:
        raise CallError(" ".join(str(error).splitlines())) from error


def _explore(endpoint: Endpoint, arguments: argparse.Namespace, examples: str) -> None:
    names = [*arguments.models, *_names(arguments.config)]
    address = arguments.address.rpartition("//")[2]
    with _listen(arguments.port) as listener, _folder() as folder, Stop() as stop:
        token = secrets.token_hex(24)
        os.environ.update(kernel.environment(endpoint, folder))
        with kernel.started(folder) as started:
            url = f"http://{HOST}:{listener.getsockname()[1]}/?token={token}"
            print(_("The explorer of {address} is at", address=address))
            print(f"  {url}")
            print(_("Ctrl-C ends it."), flush=True)
            if arguments.browser:
                _open(url, folder)  # it waits until the page is there
            page = _page()
            title = _("Explorer · {address}", address=address)
            notebook = page.notebook(title, endpoint, names, arguments.timeout, examples)
            asyncio.run(page.serve(page.voila(notebook, folder, token, started), listener, stop))
    print("\n" + _("The explorer of {address} has ended.", address=address))


def _page() -> ModuleType:
    """Import the page's server."""
    gc.disable()  # it looks through all that is imported, again and again: 0.1 s
    from otw import page  # 0.5 s

    gc.enable()
    return page


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for this page; those go whose `otw explore` was killed, and lock it no more."""
    for folder in filter(_is_own, Path(tempfile.gettempdir()).glob(f"{_PREFIX}*")):
        # It cannot be locked while it is in use.
        with contextlib.suppress(OSError), filelock.FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with filelock.FileLock(folder / _LOCK):
            yield folder


def _is_own(folder: Path) -> bool:
    """Whether this user made a folder: in another's, a link could lead anywhere."""
    status = folder.lstat()
    own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return own and stat.S_ISDIR(status.st_mode)


def _names(config_file: str) -> list[str]:
    if not config_file:
        return []
    from workbench.explorer import catalog  # 0.1 s

    try:
        return catalog.names_of_config(config_file)
    except BadInput as error:
        raise statuses.AskedWrongly(str(error)) from error


def _examples(folder: str) -> str:
    if not folder:
        return ""
    from workbench.values import warmup  # 0.1 s

    try:
        if _came_along(folder):
            return os.path.abspath(folder)
    except BadInput as error:
        raise statuses.AskedWrongly(str(error)) from error
    raise statuses.AskedWrongly(
        _(
            "{folder} has no example inputs, for {file} is missing or empty, and no model card.",
            folder=folder,
            file=warmup.FILE,
        )
    )


def _came_along(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder has example inputs or a model card; BadInput for broken ones."""
    from workbench.values import modelcards, warmup  # 0.1 s

    return bool(warmup.read(folder) or modelcards.read(folder))


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port or PORT))
    except OSError as error:
        if port:
            raise statuses.AskedWrongly(
                _(
                    "Port {port} cannot be had: {why}. Without --port, a free one is taken.",
                    port=port,
                    why=error.strerror,
                )
            ) from error
        return socket.create_server((HOST, 0))


def _open(url: str, folder: Path) -> None:
    # As JupyterLab does it: on a command line, the token would be everybody's to read.
    file = folder / "open.html"
    file.write_text(f'<meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
    threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
