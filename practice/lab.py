"""JupyterLab, and the practice services for as long as it runs."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from practice import manager, services, state

START = "notebooks/00-start-here.ipynb"


def run(arguments: list[str]) -> int:
    """Run JupyterLab and the services; returns JupyterLab's exit status.

    Parameters
    ----------
    arguments : list of str
        For JupyterLab.
    """
    with _signals_for_jupyter() as processes:
        jupyter = subprocess.Popen(_jupyter_command(arguments), env=_environment())
        processes.append(jupyter)
        ended, leases = threading.Event(), list[Path]()
        # Beside JupyterLab, so that neither waits for the other.
        starter = threading.Thread(target=_start_services, args=(ended, leases))
        starter.start()
        status = jupyter.wait()
        ended.set()
        starter.join()
        _leave(leases)
    return status if status >= 0 else 128 - status  # as a shell tells of a signal


def _jupyter_command(given: list[str]) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab"]
    # JupyterLab refuses an option that is given twice: whoever calls decides.
    if not any("root_dir" in word or word.startswith("--notebook-dir") for word in given):
        command.append(f"--ServerApp.root_dir={services.ROOT}")
    if not any("default_url" in word for word in given):
        command.append(f"--LabApp.default_url=/lab/tree/{START}")
    # In containers and on classroom images everybody is root, and JupyterLab would refuse.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in given:
        command.append("--allow-root")
    return [*command, *given]


def _environment() -> dict[str, str]:
    # A classroom has no internet: .jupyter tells JupyterLab not to ask for news and updates. And
    # that uploads may be large; in a file, where the user's own files add to it.
    # Its terminals and cells find `otw` without the virtual environment activated.
    first = {"JUPYTER_CONFIG_PATH": services.ROOT / ".jupyter", "PATH": Path(sys.executable).parent}
    return os.environ | {
        name: os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
        for name, folder in first.items()
    }


def _start_services(ended: threading.Event, leases: list[Path]) -> None:
    def tick() -> None:
        if ended.is_set():
            raise state.PracticeError("JupyterLab ended before the practice services were up.")

    try:
        leases.append(manager.enter_lab())
        manager.up(tick=tick)
    except state.PracticeError as error:  # JupyterLab goes on: its chapters can still be read
        print(f"otw: {error}", file=sys.stderr)


def _leave(leases: list[Path]) -> None:
    try:
        stopped = [name for lease in leases for name in manager.leave_lab(lease)]
    except state.PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return
    if stopped:
        print(f"Practice services stopped: {', '.join(stopped)}.")


@contextlib.contextmanager
def _signals_for_jupyter() -> Iterator[list[subprocess.Popen]]:
    """Leave Ctrl-C to JupyterLab, which asks first, and pass on the signals that end programs."""
    children: list[subprocess.Popen] = []

    def pass_on(*_: object) -> None:
        for child in children:
            child.terminate()

    # A function and not SIG_IGN, which JupyterLab would inherit.
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: pass_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = pass_on
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
