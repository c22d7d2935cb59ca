"""What a practice service is to its manager: how it is started, asked and described."""

import contextlib
import dataclasses
import http.client
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from helpers.endpoints import Endpoint
from helpers.interrupts import Interrupts
from helpers.language import _
from practice import processes, state
from practice.files import DATA as DATA  # the manager's and the notebooks', too
from practice.files import MODELS as MODELS
from practice.files import ROOT
from practice.ports import HEALTH_PATH

LIMIT = 60.0  # seconds in which a service that starts does something, or is given up
_LEAST = 0.01  # of `processes.effort`, for each second: one that only waits does less
IDLE = 7200  # seconds without a request after which a service ends itself
UNLOAD = 600  # seconds without a request after which it gives back what its engines take
TROUBLE = "trouble.json"  # in a private service's folder
_TRIES = 5  # times another port is tried when somebody was quicker


# Of TensorFlow's own log: what it would do with a GPU or another build of it.
_NOTE = re.compile(
    r"absl::InitializeLog|To enable the following instructions"
    r"|(^|: )[IWE](0000)? .*(?i:cuda|cudnn|cublas|cufft|tensorrt|cpu_feature_guard|onednn)",
)


@dataclasses.dataclass(frozen=True)
class Service:
    """One kind of practice service.

    Parameters
    ----------
    name, module : str
        What people call it, and the module that `python -m` runs.
    ports : dict of str to int
        For each of its addresses the port that it takes when that is free.
    addresses : dict of str to str
        How each address is written, with {} for the port.
    prepare : callable
        Takes a folder of its own and the folder of the models; writes what the service
        reads at start.
    arguments : callable
        Takes those same folders and a port for each address; returns the command line's rest.
    endpoints : callable
        Takes those same folders and the addresses; returns an endpoint for each profile.
    health : str
        Which of its addresses is asked how it does.
    variables : tuple of str
        What other programs are told beside the endpoints: keys of its entry or its secrets.
    troubled : bool
        Whether a private one can be given trouble.
    on_demand : bool
        Whether it is started only when it is named.
    """

    name: str
    module: str
    ports: Mapping[str, int]
    addresses: Mapping[str, str]
    prepare: Callable[[Path, Path], object]
    arguments: Callable[[Path, Path, Mapping[str, int]], list[str]]
    endpoints: Callable[[Path, Path, Mapping[str, str]], Mapping[str, Endpoint]]
    health: str
    variables: tuple[str, ...] = ()
    troubled: bool = True
    on_demand: bool = False

    def wishes(self, old: state.Record) -> dict[str, int]:
        """Return the ports it should get: those of its last run, else its default ones."""
        ports = {}
        for key, default in self.ports.items():
            port = str(old.get(key, "")).rpartition(":")[2]
            ports[key] = int(port) if port.isdigit() else default
        return ports


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
        self.service = service
        self.folder = folder
        self.models = models
        self.private = private
        self.flags = flags
        self.log = folder / f"{service.name}.log"
        self.wishes = {} if private else service.wishes(old or {})
        self.ports: dict[str, int] = {}
        self.endpoints: Mapping[str, Endpoint] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.entry: state.Record = {}  # what services.json says about it
        self.tries = 0
        self._effort = 0.0  # of its process, when that was last asked
        self._asked = time.monotonic()
        service.prepare(folder, models)

    def _begin(self) -> None:
        """Start its process."""
        self.tries += 1
        self.ports = {}
        addresses = {}
        for key, form in self.service.addresses.items():
            taken = self.ports.values()
            port = processes.choose_port(self.wishes.get(key, 0), but_not=taken)
            self.ports[key] = port
            addresses[key] = form.format(port)
        self.endpoints = self.service.endpoints(self.folder, self.models, addresses)
        arguments = self.service.arguments(self.folder, self.models, self.ports)
        arguments += [f"--idle_timeout_seconds={IDLE}", "--this_user_only"]
        if not self.private:
            arguments.append(f"--unload_timeout_seconds={UNLOAD}")
            if server := processes.hub_server():  # which no `otw lab` has started, to end them
                arguments.append(f"--exit_with_pid={server}")
        arguments += self.flags
        if self.private:
            arguments.append(f"--exit_with_pid={os.getpid()}")
            if self.service.troubled:
                arguments.append(f"--trouble_file={self.folder / TROUBLE}")
        state.add_to_log(self.log, f"starts {self.service.module} {' '.join(arguments)}")
        command = [sys.executable, "-m", self.service.module, *arguments]
        # From the repository, so that a random.py beside somebody's notebook is not imported.
        with Interrupts() as interrupts:
            self.process = interrupts.finish(processes.spawn, command, self.log, cwd=ROOT)
        public = {profile: one.public() for profile, one in self.endpoints.items()}
        health = f"{addresses[self.service.health]}{HEALTH_PATH}"
        self.entry = {**addresses, "endpoints": public, "health": health}
        with contextlib.suppress(psutil.NoSuchProcess):  # is_up() says that it ended, and why
            self.entry |= processes.record(self.process.pid)

    @property
    def passwords(self) -> dict[str, dict[str, str]]:
        """What secrets.json says about its endpoints."""
        return {
            profile: {"password": endpoint.password}
            for profile, endpoint in self.endpoints.items()
            if endpoint.password
        }

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
            raise self._failure(
                _(
                    "The practice service {name} did not start: it ended with status {status}.",
                    name=self.service.name,
                    status=status,
                )
            )
        if self._is_stuck(self.process.pid):
            raise self._failure(
                _(
                    "The practice service {name} did not start: it did nothing for {seconds:.0f} "
                    "s.",
                    name=self.service.name,
                    seconds=LIMIT,
                )
            )
        # Whoever answers may be somebody else, who took the port a moment before us.
        return problem(self.entry, 2.0) == "" and all(
            processes.listens(self.process.pid, port) for port in self.ports.values()
        )

    def _is_stuck(self, pid: int) -> bool:
        """Whether it waits in vain: a slow machine, or a large model, may take any time."""
        now = time.monotonic()
        if now - self._asked < LIMIT:
            return False
        before = self._effort
        self._effort = processes.effort(pid)
        least = _LEAST * (now - self._asked)
        self._asked = now
        return self._effort - before < least

    def end(self) -> None:
        """End its process."""
        if self.process and self.process.poll() is None:  # not reaped, so the number is its own
            processes.end([psutil.Process(self.process.pid)])

    def _lost_its_port(self) -> bool:
        # Whoever had the port may have left it since, and then only the log knows.
        taken = not all(map(processes.is_free, self.ports.values()))
        return taken or any(" bind" in line for line in state.last_lines(self.log, 3))

    @property
    def last_lines(self) -> str:
        """The end of its log, indented, without TensorFlow's notes about what a GPU would need."""
        lines = [line for line in state.last_lines(self.log, 50) if not _NOTE.search(line)]
        return "\n".join(f"    {line}" for line in lines[-15:])

    def _failure(self, problem: str) -> state.PracticeError:
        begin = _("{problem} The last lines of its log:", problem=problem)
        end = _("They name the reason; put it right and ask again.")
        if not self.private:
            end = _(
                "They name the reason; put it right and ask again. `otw practice logs {name}` "
                "shows the whole of it.",
                name=self.service.name,
            )
        return state.PracticeError(f"{begin}\n{self.last_lines}\n{end}")


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
    waiting = list(launches)
    failures = []
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


def problem(entry: Mapping[str, Any], seconds: float) -> str | None:
    """Ask a service how it does, which it answers before and beside all its work.

    Parameters
    ----------
    entry : dict
        What services.json says about it.
    seconds : float
        How long to wait.

    Returns
    -------
    str or None
        What is not as it was at its start; empty when all is well, None without an answer.
    """
    try:
        url = urllib.parse.urlsplit(entry["health"])
        if url.scheme == "https":
            authority = next(iter(entry["endpoints"].values()))["ca_file"]
            context = ssl.create_default_context(cafile=authority)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.netloc, timeout=seconds, context=context
            )
        else:
            connection = http.client.HTTPConnection(url.netloc, timeout=seconds)
        with contextlib.closing(connection):
            connection.request("GET", url.path)
            response = connection.getresponse()
            text = response.read(1000).decode(errors="replace")
            return text if response.status == 200 else None
    except (OSError, http.client.HTTPException, KeyError):  # an earlier version's entry has none
        return None
