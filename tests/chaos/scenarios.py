"""What is done to the services while clients call them; each scenario returns the outcomes."""

import contextlib
import functools
import itertools
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from PIL import Image, ImageDraw

from helpers import ccai, channels, endpoints, modelarts
from helpers.errors import ConnectionFailed, DeadlineExceeded
from practice import instance, manager, state
from tests.chaos import greedy
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


_OTHER_USER = """
import itertools, os, sys, time
import grpc, requests
from helpers.serving_api import (
    model_management_pb2, model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc
)
from tests.tfserving import config_of
os.setgroups([]); os.setgid(12345); os.setuid(12345)
channel = grpc.insecure_channel(sys.argv[2])
reload = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
config = config_of({"name": "iris", "base_path": "/tmp"})
def refused(call, request):
    try:
        call(request, timeout=10)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.PERMISSION_DENIED
    return False
ends = time.monotonic() + float(sys.argv[1])
well = True
while time.monotonic() < ends:
    well &= refused(reload, model_management_pb2.ReloadConfigRequest(config=config))
    well &= refused(predict, predict_pb2.PredictRequest())
    for url in sys.argv[3:]:
        well &= requests.post(url, {"local": 0}, timeout=10, verify=False).status_code == 403
sys.exit(not well)
"""


def other_user(seconds: float) -> Outcomes:
    """Another user of the machine asks for models of his own, and for everything else."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise NotRun("only Linux tells who calls, and only root can play another user")
    manager.up(*NAMES)
    rest = [endpoints.load(name).rest for name in NAMES]
    command = [sys.executable, "-W", "ignore", "-c", _OTHER_USER, str(seconds)]
    with calling(_shared()) as outcomes:
        other = subprocess.Popen([*command, endpoints.load("tfserving").grpc, *rest], cwd=ROOT)
        if other.wait(seconds + 90):
            outcomes[NAMES[0]].wrong.append("a call of another user was not refused")
    return outcomes


def busy(seconds: float) -> Outcomes:
    """One service reads large scans without a pause, and `ready()` is called all the while."""
    manager.up(*NAMES)
    _warm()
    before = state.read_services()
    page = Image.new("L", (900, 600), "white")
    for row in range(0, 600, 60):
        ImageDraw.Draw(page).text((20, row), f"Line {row} of a large scan", font_size=40)
    scan, reader = np.stack([np.asarray(page)] * 3, axis=-1), endpoints.load("ccai")
    with calling(_shared()) as outcomes, futures.ThreadPoolExecutor(1) as pool:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            call = pool.submit(ccai.ocr, reader, scan, protocol="grpc", timeout=60)
            while not call.done():
                manager.up(*NAMES)
                _pass(time.monotonic() + 0.1)
            outcomes["ccai"].note("", "" if call.result() else "nothing was read", 0)
    if state.read_services() != before:
        outcomes["ccai"].wrong.append("a service that worked was replaced")
    return outcomes


def silent_iam(seconds: float) -> Outcomes:
    """One account's IAM accepts and never answers; the others' tokens have to be fetched anew."""
    manager.up(*NAMES)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        iam = f"https://127.0.0.1:{silent.getsockname()[1]}"
        hung = endpoints.load("modelarts").replace(iam=iam)
        with calling(_shared()) as outcomes, futures.ThreadPoolExecutor(4) as pool:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                calls = [pool.submit(modelarts.get_token, hung, timeout=2) for _ in range(4)]
                while not all(call.done() for call in calls):
                    modelarts._tokens.clear()
                    _pass(time.monotonic() + 0.2)
                if any(not isinstance(call.exception(), DeadlineExceeded) for call in calls):
                    outcomes["modelarts"].wrong.append("a silent IAM was no DeadlineExceeded")
    if outcomes["modelarts"].slowest > 4:  # two turns of those that hang
        outcomes["modelarts"].wrong.append("an account waited for another one's IAM")
    return outcomes


def stepped_clock(seconds: float) -> Outcomes:
    """The clock goes five seconds forth and back, as after sleep; the machine's own does not."""
    if not _FAKETIME:
        raise NotRun("libfaketime is not installed")
    clock = state.make_folder(state.folder()) / "clock"
    clock.write_text("+0", encoding="utf-8")
    faked = {
        "LD_PRELOAD": str(_FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with _environment(faked):
        manager.up(*NAMES)
    before = state.read_services()
    booted = psutil.boot_time()
    with calling(_shared()) as outcomes:
        ends = time.monotonic() + seconds
        for step in itertools.cycle((5, 0, -5, 0)):
            clock.write_text(f"{step:+d}", encoding="utf-8")
            # What the manager sees of it: the kernel's start moves with its clock.
            with mock.patch("psutil._pslinux.boot_time", lambda step=step: booted + step):
                manager.up(*NAMES)
            _pass(min(time.monotonic() + 1, ends))
            if time.monotonic() >= ends:
                break
    if state.read_services() != before:
        outcomes[NAMES[0]].wrong.append("a step of the clock had a service started again")
    return outcomes


SCENARIOS: dict[str, tuple[str, Callable[[float], Outcomes]]] = {
    "a": ("a service is killed every 20 s and brought back", killed),
    "b": ("a proxy cuts one connection in five", cut_by_a_proxy),
    "c": ("one call in five fails, or stalls for a second", failing),
    "d": ("the state folder's disk is full", full_disk),
    "e": ("the services' clocks are a day off", another_day),
    "f": ("two programs start and stop the services at once", two_kernels),
    "g": ("another user of the machine calls them, too", other_user),
    "h": ("one service reads large scans, and ready() is called all the while", busy),
    "i": ("calls that are half sent, more than there are workers", greedy.half_sent),
    "j": ("messages that become far larger than they are", greedy.bombs),
    "k": ("one account's IAM never answers", silent_iam),
    "l": ("the clock is set five seconds forth and back", stepped_clock),
    "m": ("250 idle connections a port, 256 descriptors at the start", greedy.few_descriptors),
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
