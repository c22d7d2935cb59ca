"""Starting services: several at once, each until it has answered a real request."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from helpers.interrupts import Postponed
from practice import processes, state
from practice.service import ROOT, Service

LIMIT = 60.0  # seconds a service may take to start
IDLE = 7200  # seconds without a request after which a service ends itself
TROUBLE = "trouble.json"  # in a private service's folder
_TRIES = 5  # times another port is tried when somebody was quicker


class Launch:
    """One service on its way up.

    Parameters
    ----------
    service : Service
        What to start.
    folder : Path
        Where its log and what it reads at start go.
    models : Path
        The folder of its models.
    old : dict, optional
        The entry of its last run, whose ports it takes again if it can.
    private : bool
        Take any ports, and end with this process.
    flags : list of str
        More words for its command line.
    """

    def __init__(
        self,
        service: Service,
        folder: Path,
        models: Path,
        old: state.Record | None = None,
        private: bool = False,
        flags: Sequence[str] = (),
    ) -> None:
        self.service, self.folder, self.models = service, folder, models
        self.private, self.flags = private, flags
        self.log = folder / f"{service.name}.log"
        self.extra = service.prepare(folder, models)
        self.wishes = {} if private else wishes(service, old or {})
        self.ports: dict[str, int] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.record: state.Record = {}
        self.tries = 0
        self.began = time.monotonic()

    @property
    def entry(self) -> state.Record:
        """What services.json says about it."""
        addresses = {
            key: how.format(self.ports[key]) for key, (_, how) in self.service.addresses.items()
        }
        paths = {
            key: f"{addresses[base]}{path}" for key, (base, path) in self.service.paths.items()
        }
        return {**addresses, **paths, **self.record, **self.extra}

    def _begin(self) -> None:
        """Start its process."""
        self.tries += 1
        self.ports = {}
        for key in self.service.addresses:
            taken = self.ports.values()
            self.ports[key] = processes.choose_port(self.wishes.get(key, 0), but_not=taken)
        arguments = self.service.arguments(self.folder, self.models, self.ports)
        arguments += [*self.flags, f"--idle_timeout_seconds={IDLE}"]
        if self.private:
            arguments.append(f"--exit_with_pid={os.getpid()}")
            if self.service.troubled:
                arguments.append(f"--trouble_file={self.folder / TROUBLE}")
        state.add_to_log(self.log, f"starts {self.service.module} {' '.join(arguments)}")
        command = [sys.executable, "-m", self.service.module, *arguments]
        # From the repository, so that a random.py beside somebody's notebook is not imported.
        with Postponed():
            self.process = processes.spawn(command, self.log, cwd=ROOT)
        with contextlib.suppress(psutil.NoSuchProcess):  # is_up() says that it ended, and why
            self.record = processes.record(self.process.pid)

    def is_up(self) -> bool:
        """Whether it answers; PracticeError when it never will. The first time, start it."""
        if self.process is None:
            self._begin()
            return False
        status = self.process.poll()
        ended = status is not None
        if ended and self.tries < _TRIES and self._lost_its_port():
            self._begin()
            return False
        if ended:
            raise self._failure(f"it ended with status {status}")
        if time.monotonic() - self.began > LIMIT:
            raise self._failure(f"it did not answer within {LIMIT:.0f} s")
        # Whoever answers may be somebody else, who took the port a moment before us.
        return self.service.answers(self.entry, 2.0) and all(
            processes.listens(self.process.pid, port) for port in self.ports.values()
        )

    def end(self) -> None:
        """End its process."""
        if self.process and self.process.poll() is None:  # not reaped, so the number is its own
            processes.end([psutil.Process(self.process.pid)])

    def _lost_its_port(self) -> bool:
        # Whoever had the port may have left it since, and then only the log knows.
        taken = not all(map(processes.is_free, self.ports.values()))
        return taken or any(" bind" in line for line in state.last_lines(self.log, 3))

    def _failure(self, what: str) -> state.PracticeError:
        name = self.service.name
        lines = "\n".join(f"    {line}" for line in state.last_lines(self.log, 15))
        where = f" `otw practice logs {name}` shows the whole of it." if not self.private else ""
        return state.PracticeError(
            f"The practice service {name} did not start: {what}. The last lines of its log:\n"
            f"{lines}\nThey name the reason; put it right and ask again.{where}"
        )


def bring_up(
    launches: Sequence[Launch],
    done: Callable[[Launch], Any] = lambda launch: None,
    tick: state.Tick = lambda: None,
) -> None:
    """Start services at once and wait for all; tell of each that answers.

    Parameters
    ----------
    launches : list of Launch
        The services.
    done : callable
        Called with each as soon as it answers.
    tick : callable
        Called while waiting. When it raises, or on Ctrl-C, what does not answer yet is ended.
    """
    waiting, failures = list(launches), []
    try:
        while waiting:
            for launch in list(waiting):
                try:
                    if not launch.is_up():
                        continue
                    done(launch)
                except state.PracticeError as error:
                    failures.append(str(error))
                    launch.end()
                waiting.remove(launch)
            tick()
            if waiting:
                time.sleep(0.02)
    finally:
        for launch in waiting:  # none, unless something was raised
            launch.end()
    if failures:
        raise state.PracticeError("\n\n".join(failures))


def wishes(service: Service, old: state.Record) -> dict[str, int]:
    """Return the ports a service should get: those of its last run, else its default ones."""
    ports = {}
    for key, (default, _) in service.addresses.items():
        port = str(old.get(key, "")).rpartition(":")[2]
        ports[key] = int(port) if port.isdigit() else default
    return ports
