"""How long does `otw lab`, installed and warm, take until JupyterLab answers?"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from tests.benchmarks.measure import Row, at_most, interleaved
from tests.benchmarks.start_service import _free_port


def measure() -> list[Row]:
    """Start it a few times, in a state folder of its own."""
    (figures,) = interleaved([_start], rounds=3)
    median = statistics.median(figures)
    return [Row("`make lab`, until JupyterLab answers", f"{median:.1f} s",
                [at_most(median, 5, " s")])]  # fmt: skip


def _start() -> float:
    port = _free_port()
    otw = Path(sys.executable).with_name("otw")
    arguments = ["--no-browser", f"--port={port}", "--IdentityProvider.token=bench"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/lab", headers={"Authorization": "token bench"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        process = psutil.Popen(
            [otw, "lab", *arguments], env=os.environ | {"OTW_STATE_DIR": folder},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while True:
                try:
                    direct.open(request, timeout=30).close()
                    return time.perf_counter() - started
                except urllib.error.URLError:
                    if process.poll() is not None:
                        raise
                    time.sleep(0.01)  # the pace of asking
        finally:
            process.terminate()
            process.wait(timeout=60)
