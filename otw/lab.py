"""JupyterLab, and the practice services for as long as it runs."""

import argparse
import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from helpers import endpoints, language
from helpers.language import _
from practice import manager, state
from practice.launch import ROOT

START = {"en": "notebooks/00-start-here.ipynb", "zh_CN": "notebooks/zh/00-start-here.ipynb"}
_PATIENCE = 20.0  # seconds


def run(arguments: argparse.Namespace) -> int:
    """Run JupyterLab and the services; returns JupyterLab's exit status.

    Parameters
    ----------
    arguments : Namespace
        Its `rest` is for JupyterLab.
    """
    if arguments.language:
        language.choose(arguments.language)
    if not (ROOT / START["en"]).exists():
        print(
            "otw:",
            _(
                "The notebooks and the data are in the repository, not in this package: clone it, "
                "and run `make lab` there."
            ),
            file=sys.stderr,
        )
        return 1
    if language.chosen() != "en":
        _write_chapters()
    with _signals_for_jupyter() as processes:
        answers = _first_answer()
        jupyter = subprocess.Popen(
            jupyter_command(arguments.rest),
            env=_environment(),
            stdin=subprocess.PIPE,  # which ends with this process, however that ends
            start_new_session=sys.platform != "win32",  # Ctrl-C is passed on: see below
        )
        processes.append(jupyter)
        ended = threading.Event()
        leases: list[Path] = []
        starter = threading.Thread(target=_start_services, args=(answers, ended, leases))
        starter.start()
        status = jupyter.wait()
        ended.set()
        starter.join()
        _leave(leases)
    return status if status >= 0 else 128 - status  # as a shell tells of a signal


def _write_chapters() -> None:
    """Write the chapters in Chinese that are not there; `make chinese` brings others up to date."""
    from otw import translation  # 0.1 s, which English does not need

    try:
        for name, place in translation.missing(ROOT).items():
            (ROOT / place).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / place).write_text(translation.made(name, place), encoding="utf-8")
    except OSError as error:
        print("otw:", _("The chapters cannot be written: {why}.", why=error), file=sys.stderr)
    if sys.platform == "linux" and importlib.util.find_spec("zhplot") is None:
        print(_("For pictures with Chinese words, install a font: make chinese"))


def _start() -> str:
    start = START[language.chosen()]
    return start if (ROOT / start).exists() else START["en"]


def jupyter_command(options: list[str]) -> list[str]:
    """Return the command line of JupyterLab; what the options set is not set once more."""
    command = [sys.executable, "-m", "otw.jupyterlab"]
    # JupyterLab refuses an option that is given twice: whoever calls decides.
    if not any("root_dir" in word or word.startswith("--notebook-dir") for word in options):
        command.append(f"--ServerApp.root_dir={ROOT}")
    if not any("default_url" in word for word in options):
        command.append(f"--LabApp.default_url=/lab/tree/{_start()}")
    # In containers and on classroom images everybody is root, and JupyterLab would refuse.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in options:
        command.append("--allow-root")
    return [*command, *options]


def _environment() -> dict[str, str]:
    # A classroom has no internet: .jupyter tells JupyterLab not to ask for news and updates. And
    # that uploads may be large; in a file, where the user's own files add to it.
    # Its terminals and cells find `otw` without the virtual environment activated.
    first = {"JUPYTER_CONFIG_PATH": ROOT / ".jupyter", "PATH": Path(sys.executable).parent}
    return os.environ | {
        name: os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
        for name, folder in first.items()
    }


def _first_answer() -> Callable[[], bool]:
    """Return a function that tells whether a Jupyter server was started since now."""

    # Each server writes such a file as soon as it listens; an old one may have the same name.
    def listening() -> set[tuple[Path, int]]:
        servers = set()
        for file in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
            with contextlib.suppress(OSError):  # that server has just ended
                servers.add((file, file.stat().st_mtime_ns))
        return servers

    before = listening()
    return lambda: not listening() <= before


def _start_services(
    answers: Callable[[], bool], ended: threading.Event, leases: list[Path]
) -> None:
    def tick() -> None:
        if ended.is_set():
            raise state.PracticeError(_("JupyterLab ended before the practice services were up."))

    try:
        leases.append(manager.enter_lab(tick))
        # After JupyterLab, for the page is what somebody waits for; the services start while the
        # browser draws it. Where JupyterLab leaves no such file, they start after a while.
        limit = time.monotonic() + _PATIENCE
        while not answers() and time.monotonic() < limit:
            if ended.wait(0.05):
                return
        if names := [name for name in manager.usual() if not endpoints.named(name)]:
            manager.up(*names, tick=tick)
    except state.PracticeError as error:  # JupyterLab goes on: its chapters can still be read
        print(f"otw: {error}", file=sys.stderr)


def _leave(leases: list[Path]) -> None:
    try:
        stopped = [name for lease in leases for name in manager.leave_lab(lease)]
    except state.PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return
    if stopped:
        print(_("Practice services stopped: {names}.", names=", ".join(stopped)))


@contextlib.contextmanager
def _signals_for_jupyter() -> Iterator[list[subprocess.Popen]]:
    """Pass on the signals that end programs; to JupyterLab, SIGTERM is one that it asks nobody of.

    On Windows Ctrl-C reaches JupyterLab by itself, and there it does not ask either.
    """
    children: list[subprocess.Popen] = []

    def pass_on(*_: object) -> None:
        for child in children:
            child.terminate()

    # A function and not SIG_IGN, which JupyterLab would inherit.
    on_ctrl_c = pass_on if sys.platform != "win32" else lambda *_: None
    handlers = {signal.SIGINT: on_ctrl_c, signal.SIGTERM: pass_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = pass_on
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
