"""Processes and ports: start, recognise and end our own, and never touch anybody else's."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from practice import state

HOST = "127.0.0.1"
_OF_HUB = "JUPYTERHUB_USER"

# Kept so that a child that ended is reaped and not left as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


def spawn(command: Sequence[str], log: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a program that outlives this one, with its output in a log."""
    options: dict[str, Any] = {}
    if sys.platform == "win32":
        # A console of its own that is not shown. DETACHED_PROCESS would give it none, and then
        # a virtual environment's python.exe, which starts a second process, opens a window.
        options["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True  # Ctrl-C in a terminal is not meant for it
    # A service's answers and its log are in English, as the real one's, whoever started it.
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "OTW_LANGUAGE": "en"}
    with state.open_log(log) as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=environment,
            **options,
        )
    _children[process.pid] = process
    return process


def hub_server() -> int:
    """Return the process that is this user's server on a JupyterHub; 0 elsewhere.

    It is the outermost one that has the hub's variables: between it and a kernel or a terminal may
    stand others.
    """
    if _OF_HUB not in os.environ:
        return 0
    outermost = 0
    for parent in psutil.Process().parents():
        try:
            if _OF_HUB not in parent.environ():
                break
        except psutil.Error:  # another user's: the hub's own
            break
        outermost = parent.pid
    return outermost


def record(pid: int) -> state.Record:
    """Return what tells a process from a later one with the same number, whatever the clock does.

    Raises
    ------
    psutil.NoSuchProcess
        When it has ended.
    """
    return {"pid": pid, "started": _started(pid)}


def _started(pid: int) -> str:
    """Return when a process started, as its system keeps it."""
    if sys.platform != "linux":  # there it is a date, written down once
        return str(psutil.Process(pid).create_time())
    # Linux counts ticks since it was started. Made a date of, that moves with each clock step.
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    ticks = status.rpartition(")")[2].split()[19]  # the 22nd field; the second may have blanks
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    except OSError:  # some containers have none
        boot = ""
    return f"{ticks} {boot}"


def find(entry: state.Record, *words: str) -> psutil.Process | None:
    """Return the process a record is about, or None when it is gone.

    Parameters
    ----------
    entry : dict
        Its `pid` and `started` must both agree with the process.
    *words : str
        Arguments that its command line must have.
    """
    pid = entry.get("pid")
    if not isinstance(pid, int):
        return None
    if pid in _children and _children[pid].poll() is not None:
        del _children[pid]
    try:
        process = psutil.Process(pid)
        if _started(pid) != entry.get("started"):
            return None
        return process if alive(process) and _has(process, words) else None
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None


def search(*words: str) -> list[psutil.Process]:
    """Return every process whose command line has all these arguments."""
    matches = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _has(process, words):
                matches.append(process)
    return matches


def end(processes: Iterable[psutil.Process], patience: float = 5.0) -> None:
    """Ask processes to end, wait, and kill those that do not. Pass only what `find` gave."""
    remaining = list(processes)
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in remaining:
            # psutil itself makes sure that the number still means the same process.
            with contextlib.suppress(psutil.Error):
                ask(process)
        deadline = time.monotonic() + patience
        while remaining and time.monotonic() < deadline:
            time.sleep(0.01)
            remaining = [process for process in remaining if alive(process)]


def alive(process: psutil.Process) -> bool:
    """Whether a process still runs; a later one with the same number does not count."""
    child = _children.get(process.pid)
    if child is not None and child.returncode is None:
        return child.poll() is None  # and it is reaped
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _has(process: psutil.Process, words: Sequence[str]) -> bool:
    return set(words) <= set(process.cmdline()) if words else True


def listens(pid: int, port: int) -> bool:
    """Whether a process, or a child of it, is the one that listens on a port."""
    try:
        process = psutil.Process(pid)
        # On Windows the python.exe of a virtual environment starts the real one.
        family = [process, *process.children(recursive=True)]
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for member in family
            for connection in member.net_connections(kind="tcp")
        )
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True  # the system does not tell; the caller has other signs


def effort(pid: int) -> float:
    """Return what a process and its children have done until now: seconds of CPU, and MB read."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):  # see listens
            times = member.cpu_times()
            total += times.user + times.system
            if hasattr(member, "io_counters"):  # macOS has none
                total += member.io_counters().read_bytes / 1e6
    return total


def choose_port(preferred: int = 0, but_not: Iterable[int] = ()) -> int:
    """Return a port nobody listens on: the preferred one if it is free, else any."""
    if preferred and preferred not in but_not and is_free(preferred):
        return preferred
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = int(probe.getsockname()[1])
        if port not in but_not:
            return port


def is_free(port: int) -> bool:
    """Whether a service could listen on a port of this machine."""
    if accepts(port):
        return False  # macOS lets two bind when one of them chose all interfaces
    with socket.socket() as probe:
        if sys.platform == "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Else a port whose service was just killed would count as taken for a minute.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


def wait_until_free(ports: Iterable[int], patience: float = 0.5) -> None:
    """Give a process that was just killed a moment: its last thread may still hold the ports."""
    deadline = time.monotonic() + patience
    while not all(map(is_free, ports)) and time.monotonic() < deadline:
        time.sleep(0.01)


def accepts(port: int) -> bool:
    """Whether anybody listens on a port of this machine."""
    try:
        # Short: Windows takes two seconds to find that nobody listens.
        socket.create_connection((HOST, port), timeout=0.2).close()
    except (OSError, OverflowError):
        return False
    return True
