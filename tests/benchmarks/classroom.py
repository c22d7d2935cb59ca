"""Ten students in chapters 00 to 05 at once against one class: memory and time, and what fails.

    python -m tests.benchmarks.classroom [STUDENTS]

As root on Linux: each student is a user number that nobody has, with a kernel of their own. The
Python that runs it must be one that other users can run. Memory is what the processes have for
themselves (PSS, so that a shared library counts once), looked at each second. The program that
runs a student's notebooks, in place of a browser, is not counted.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from practice import classroom, launch

FIRST = 42_000
CHAPTERS = [str(path) for path in sorted((launch.ROOT / "notebooks").glob("0[0-5]*.ipynb"))]
STUDENT = """
import json, sys, time, nbformat
from nbclient import NotebookClient
result = {"seconds": 0.0, "failed": []}
for path in sys.argv[1:]:
    notebook = nbformat.read(path, 4)
    began = time.monotonic()
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", allow_errors=True)
    client.execute()
    result["seconds"] += time.monotonic() - began
    for number, cell in enumerate(notebook.cells):
        expected = "raises-exception" in cell.metadata.get("tags", ())
        for output in cell.get("outputs", ()):
            if output.output_type == "error" and not expected:
                where = path.rpartition("/")[2], number
                result["failed"].append([*where, output.ename, output.evalue[:200]])
print(json.dumps(result))
"""


def main(count: int) -> int:
    """Run it; returns the exit status."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o711)
        os.environ["OTW_STATE_DIR"] = name
        listed = [{"name": f"student-{n}", "uid": FIRST + n} for n in range(count)]
        try:
            files = classroom.up(listed)
            report = classroom.status()["services"]
            services = [psutil.Process(row["pid"]) for row in report.values()]
            idle = {key: _megabytes([psutil.Process(row["pid"])]) for key, row in report.items()}
            print("the class's services, warm:", idle, flush=True)
            began = time.monotonic()
            running = [_student(place, files, one) for one in listed]
            peaks = _watch(running, services)
            printed = [process.communicate()[0] for process in running]
            results = [json.loads(text or '{"failed": ["no result"]}') for text in printed]
            print("all chapters took", round(time.monotonic() - began), "s")
            used = sum(sum(process.cpu_times()[:2]) for process in services)
            print("CPU of the services:", round(used), "s since their start")
            print("peak of the services:", peaks["services"], "MB; of a student:", peaks["student"])
            failed = [failure for result in results for failure in result["failed"]]
            print("failed cells:", len(failed), *failed, sep="\n  ")
            print("seconds a student:", [round(result.get("seconds", 0)) for result in results])
            calls = [row for one in classroom.status()["students"] for row in one["calls"]]
            print("calls:", sum(row["calls"] for row in calls))
        finally:
            classroom.down()
    return 1 if failed else 0


def _student(place: Path, files: Path, one: dict[str, Any]) -> subprocess.Popen[str]:
    home = place / one["name"]
    home.mkdir(mode=0o700)
    os.chown(home, one["uid"], one["uid"])
    variables = json.loads((files / f"{one['name']}.json").read_text("utf-8"))
    return subprocess.Popen(
        [sys.executable, "-c", STUDENT, *CHAPTERS],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(launch.ROOT),
            "HOME": str(home),
            "OTW_STATE_DIR": str(home / "state"),
            **variables,
        },
        stdout=subprocess.PIPE,
        text=True,
        user=one["uid"],
        group=one["uid"],
        extra_groups=[],
    )


def _watch(running: list[subprocess.Popen[str]], services: list[psutil.Process]) -> dict[str, Any]:
    peaks: dict[str, Any] = {"services": 0, "student": [0] * len(running), "students": 0}
    while any(process.poll() is None for process in running):
        sizes = [_megabytes(_family(process.pid)[1:]) for process in running]
        peaks["student"] = [max(pair) for pair in zip(peaks["student"], sizes, strict=True)]
        peaks["students"] = max(peaks["students"], sum(sizes))
        peaks["services"] = max(peaks["services"], _megabytes(services))
        threading.Event().wait(1.0)
    print("peak of all students together:", peaks["students"], "MB")
    return peaks


def _family(pid: int) -> list[psutil.Process]:
    """Return a student's program, and what it started: kernels, and private services."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _megabytes(processes: list[psutil.Process]) -> int:
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return round(total / 1e6)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 10))
