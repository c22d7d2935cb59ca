"""What does a start cost: JupyterLab, the explorer's page, the short commands?

In seconds of CPU, of all processes together: the clock on the wall tells more of the machine.
"""

import contextlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil

import practice
from practice import processes
from tests import explore_page
from tests.benchmarks.measure import Row, at_most, compiled, cpu_seconds, interleaved, ratio

_OTW = str(Path(sys.executable).with_name("otw"))
_LAB = [_OTW, "lab"]
_PLAIN = [sys.executable, "-m", "jupyterlab", "--allow-root"]
_PYTHON = [sys.executable, "-c", "import numpy, grpc"]


def measure() -> list[Row]:
    """Start each a few times, in turn, in a state folder of its own."""
    walls: list[float] = []
    lab, plain = interleaved([lambda: _lab(_LAB, walls), lambda: _lab(_PLAIN, [])], rounds=5)
    with practice.private("tfserving") as service:
        describe = [_OTW, "describe", service.grpc, "iris"]
        page, bare, doctor, described = interleaved(
            [lambda: _page(service.grpc), *map(cpu_seconds, (_PYTHON, [_OTW, "doctor"], describe))],
            rounds=9,
        )
    count, dearest = _imported()
    return [
        Row(
            "CPU of `make lab` until JupyterLab answers, against plain `jupyter lab`",
            f"{ratio(lab, plain):.2f}x ({statistics.median(lab):.1f} s; on the wall "
            f"{statistics.median(walls):.1f} s)",
            [at_most(ratio(lab, plain), 1.2)],
        ),
        Row(
            "modules that JupyterLab has imported then, and the dearest of them",
            f"{count} ({dearest})",
            [at_most(count, 1500, "")],
        ),
        Row(
            "CPU of `otw explore` until *Send* can be pressed, the browser's own left out, "
            "against `import numpy, grpc`",
            f"{ratio(page, bare):.0f}x ({statistics.median(page):.1f} s)",
            [at_most(ratio(page, bare), 12)],
        ),
        Row(
            "the same of `otw doctor` and `otw describe`",
            f"{ratio(doctor, bare):.2f}x and {ratio(described, bare):.2f}x",
            [at_most(ratio(doctor, bare), 1.5), at_most(ratio(described, bare), 1.5)],
        ),
    ]


@contextlib.contextmanager
def _jupyterlab(
    command: list[str], errors: IO[str] | int = subprocess.DEVNULL
) -> Iterator[psutil.Popen]:
    """Start a JupyterLab; gives it as soon as its page answers."""
    port = processes.choose_port()
    words = ["--no-browser", f"--port={port}", "--IdentityProvider.token=bench"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/lab", headers={"Authorization": "token bench"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with tempfile.TemporaryDirectory() as folder:
        environment = compiled() | {"OTW_STATE_DIR": folder}
        process = psutil.Popen(
            [*command, *words], env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            while True:
                try:
                    direct.open(request, timeout=30).close()
                    break
                except urllib.error.URLError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.01)  # the pace of asking
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)


def _lab(command: list[str], walls: list[float]) -> float:
    started = time.perf_counter()
    with _jupyterlab(command) as process:
        walls.append(time.perf_counter() - started)
        return _cpu_of_all(process)


def _page(address: str) -> float:
    with tempfile.TemporaryDirectory() as name, explore_page.starting(Path(name)) as start:
        page = start(address, "--model", "iris")
        kernel = page.kernel(page.open())
        while not _can_send(kernel.states('"Send"')):
            time.sleep(0.02)  # the pace of asking
        used = _cpu_of_all(psutil.Process(page.process.pid))
        page.end()
        return used


def _can_send(states: str) -> bool:
    widgets = json.loads(states)["data"]["states"].values()
    return any(
        each["state"].get("description") == "Send" and not each["state"].get("disabled")
        for each in widgets
    )


def _cpu_of_all(process: psutil.Process) -> float:
    used = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used += times.user + times.system
    return used


def _imported() -> tuple[int, str]:
    """Return how many modules JupyterLab imports at its start, and which take longest."""
    with tempfile.TemporaryFile("w+") as told:
        command = [sys.executable, "-X", "importtime", *_PLAIN[1:]]
        with _jupyterlab(command, told):
            pass
        told.seek(0)
        times = re.findall(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", told.read(), re.MULTILINE)
    dearest = sorted(((int(own), name) for own, name in times), reverse=True)[:3]
    return len(times), ", ".join(f"{name} {own / 1000:.0f} ms" for own, name in dearest)
