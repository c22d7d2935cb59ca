"""The service's outer process: it starts Ray's side, and ends all of it whatever happens."""

import argparse
import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from helpers.interrupts import Stop
from practice import processes
from practice.host import flags as shared
from practice.host import server
from practice.ports import DEFAULT as PORTS

log = logging.getLogger("practice.rayserve")
CONFIG = Path(__file__).with_name("serve_config.yaml")
_PATIENCE = 4.0  # seconds; the manager gives a service five


def main(arguments: list[str] | None = None) -> int:
    """Start Ray in a process of its own, and stay until that ends or is to end."""
    words = sys.argv[1:] if arguments is None else arguments
    flags = parse(words)
    server.start_log()
    stop = Stop()
    adopt()
    # Short, and in /tmp: the path of a UNIX socket has 107 characters at most, on macOS 103.
    folder = tempfile.mkdtemp(prefix="otw-ray-", dir="/tmp" if os.name == "posix" else None)  # noqa: S108
    try:
        inner = subprocess.Popen(
            [sys.executable, "-m", "practice.rayserve.head", *words, f"--ray_folder={folder}"],
            stdin=subprocess.PIPE,  # its end tells the other side that this one has ended
            start_new_session=True,  # Ctrl-C is for this process, which ends all others
        )
        watched = _process(flags.exit_with_pid)
        while inner.poll() is None and not stop.wait(0.1):
            if watched and not processes.alive(watched):
                log.info("Process %d has ended: ending too.", flags.exit_with_pid)
                break
        assert inner.stdin is not None  # noqa: S101  (for mypy)
        inner.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            inner.wait(_PATIENCE)
        return inner.poll() or 0
    finally:
        end_all()
        shutil.rmtree(folder, ignore_errors=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m practice.rayserve",
        description="Ray Serve with the models of the practice TensorFlow Serving.",
        allow_abbrev=False,
    )
    ports = PORTS["rayserve"]
    parser.add_argument("--port", type=shared.port, default=ports["grpc"], help="gRPC's")
    parser.add_argument("--api_port", type=shared.port, default=ports["api"], help="the REST API's")
    parser.add_argument("--config", type=Path, default=CONFIG, help="what `serve deploy` takes")
    parser.add_argument("--models", type=Path, help="its models' folder, in place of its own")
    parser.add_argument("--num_cpus", type=shared.count, default=2, help="that Ray may give out")
    parser.add_argument("--token_file", type=Path, required=True, help="who has it may submit")
    parser.add_argument("--ray_folder", type=Path, help=argparse.SUPPRESS)
    shared.add_lifetime(parser)
    return parser.parse_args(arguments)


def adopt() -> None:
    """Let what loses its parent below this process still be found; only Linux can."""
    if sys.platform == "linux":
        from practice.rayserve import namespace

        namespace.adopt()


def end_all() -> None:
    """Kill every process below this one. Ray's own end would take half a minute."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        remaining = psutil.Process().children(recursive=True)
        if not remaining:
            return
        for process in remaining:
            with contextlib.suppress(psutil.Error):
                process.kill()
        with contextlib.suppress(ChildProcessError):
            while hasattr(os, "WNOHANG") and os.waitpid(-1, os.WNOHANG)[0]:
                pass  # on Unix, what has ended stays until it is asked for
        time.sleep(0.02)


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid) if pid else None
    raise SystemExit(0)  # it has ended already
