"""What is done to the services while clients call them; each scenario returns the outcomes."""

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from helpers import channels, endpoints
from helpers.errors import ConnectionFailed
from practice import instance, manager, state
from tests.chaos.clients import CALLS, Outcome, calling, once

Outcomes = dict[str, Outcome]
NAMES = tuple(CALLS)
_FAKETIME = [
    *Path("/usr/lib").glob("*/faketime/libfaketime.so.1"),
    *Path("/opt").glob("**/libfaketime*"),
]
ROOT = Path(__file__).parents[2]


class NotRun(Exception):
    """Raised where this machine lacks what a scenario needs; its text says what."""


def killed(seconds: float) -> Outcomes:
    """One service is killed every 20 s, and `ready()` brings it back."""
    manager.up(*NAMES)
    with calling(_shared()) as outcomes:
        ends, turn = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            until = min(time.monotonic() + 20, ends)
            _warm()
            psutil.Process(state.read_services()[NAMES[turn % len(NAMES)]]["pid"]).kill()
            manager.up(*NAMES)
            turn += 1
            _pass(until)
    return outcomes


def cut_by_a_proxy(seconds: float) -> Outcomes:
    """A proxy on the way cuts one connection in five."""
    manager.up(*NAMES)
    with (
        instance.private("proxy", flags=["--cut=0.2"]) as proxy,
        _through(proxy.url),
        calling(_shared()) as outcomes,
    ):
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            _pass(min(time.monotonic() + 0.5, ends))
            _connect_anew()
        cut = {each.target for each in proxy.log() if each.fault == "cut"}
        if len(cut) < sum(map(len, CALLS.values())):
            outcomes[NAMES[0]].wrong.append(f"only these were cut: {', '.join(cut)}")
    return outcomes


def failing(seconds: float) -> Outcomes:
    """One call in five fails; a few seconds later, one in five stalls for a second."""
    with contextlib.ExitStack() as stack:
        services = {name: stack.enter_context(instance.private(name)) for name in NAMES}
        for name, service in services.items():
            once(service, name)
        places = {name: functools.partial(services.__getitem__, name) for name in NAMES}
        with calling(places) as outcomes:
            ends = time.monotonic() + seconds
            for faults in _turns({"fail": "UNAVAILABLE"}, {"delay": 1.0}, ends=ends):
                for service in services.values():
                    service.trouble(rate=0.2, **faults)
                _pass(min(time.monotonic() + 5, ends))
    return outcomes


def full_disk(seconds: float) -> Outcomes:
    """The state folder's disk is full; in a namespace of its own, and on 1 MB of memory."""
    manager.up(*NAMES)
    _warm()
    filler = state.folder() / "filler"
    with calling(_shared()) as outcomes:
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        if shutil.disk_usage(state.folder()).free:
            outcomes[NAMES[0]].wrong.append("the disk was not full")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            with contextlib.suppress(state.PracticeError):
                manager.up(*NAMES)
            _pass(min(time.monotonic() + 5, ends))
        filler.unlink()
    return outcomes


def another_day(seconds: float) -> Outcomes:
    """The services' clocks are a day off; nobody else's is."""
    if not _FAKETIME:
        raise NotRun("libfaketime is not installed")
    faked = {
        "LD_PRELOAD": str(_FAKETIME[0]),
        "FAKETIME": "+1d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with contextlib.ExitStack() as stack:
        services = {}
        with _environment(faked):
            for name in NAMES:
                services[name] = stack.enter_context(instance.private(name))
        for name, service in services.items():
            once(service, name)
        places = {name: functools.partial(services.__getitem__, name) for name in NAMES}
        with calling(places) as outcomes:
            _pass(time.monotonic() + seconds)
    return outcomes


def two_kernels(seconds: float) -> Outcomes:
    """Two programs start and stop the practice services at once."""
    manager.up(*NAMES)
    names = ", ".join(map(repr, NAMES))
    script = (
        "import random, sys, time\nfrom practice import manager\n"
        f"ends = time.monotonic() + {seconds}\nchance = random.Random(int(sys.argv[1]))\n"
        "while time.monotonic() < ends:\n"
        f"    name = chance.choice([{names}])\n"
        "    (manager.down if chance.random() < 0.3 else manager.up)(name)\n"
        "    time.sleep(chance.random())\n"
    )
    with calling(_shared()) as outcomes:
        kernels = [
            subprocess.Popen([sys.executable, "-c", script, str(seed)], cwd=ROOT) for seed in (1, 2)
        ]
        for kernel in kernels:
            if kernel.wait(seconds + 90):
                outcomes[NAMES[0]].wrong.append("a program that starts and stops them failed")
    return outcomes


SCENARIOS: dict[str, tuple[str, Callable[[float], Outcomes]]] = {
    "a": ("a service is killed every 20 s and brought back", killed),
    "b": ("a proxy cuts one connection in five", cut_by_a_proxy),
    "c": ("one call in five fails, or stalls for a second", failing),
    "d": ("the state folder's disk is full", full_disk),
    "e": ("the services' clocks are a day off", another_day),
    "f": ("two programs start and stop the services at once", two_kernels),
}


def _shared() -> dict[str, Callable]:
    """Return where the shared services are, found anew for each call: they may have moved."""
    found = {name: endpoints.load(name) for name in NAMES}

    def place(name: str) -> endpoints.Endpoint:
        with contextlib.suppress(ConnectionFailed):  # it is down just now
            found[name] = endpoints.load(name)
        return found[name]

    return {name: functools.partial(place, name) for name in NAMES}


def _warm() -> None:
    for name in NAMES:
        once(endpoints.load(name), name)


def _turns(*faults: dict, ends: float) -> Iterator[dict]:
    while time.monotonic() < ends:
        yield from faults


def _pass(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))  # the scenario's own length


def _connect_anew() -> None:
    """Let the next calls open connections of their own; those under way keep theirs."""
    with channels._lock:
        channels._channels.clear()
        channels._sessions.clear()


@contextlib.contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _through(url: str) -> Iterator[None]:
    """Let calls go through a proxy that would never get them: loopback passes it by."""
    is_loopback = channels.is_loopback
    names = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
    with _environment({"http_proxy": url, "https_proxy": url, "grpc_proxy": url}):
        for name in names:
            os.environ.pop(name, None)
        channels.is_loopback = lambda host: False
        channels.close()
        try:
            yield
        finally:
            channels.is_loopback = is_loopback
            channels.close()
