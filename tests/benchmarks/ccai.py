"""The practice CCAI: its start, its memory, and what the helper adds to a bare call."""

import base64
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import requests

from helpers import ccai
from helpers.endpoints import Endpoint
from practice import credentials, instance, processes
from tests.benchmarks.measure import Row, at_most, interleaved, ratio, timed

_DIGIT = Path(__file__).parents[2] / "data" / "images" / "digits-01.png"
_SENTENCE = "The quick brown fox jumps over the lazy dog."
_EMPTY = """
import sys, threading
from concurrent import futures
import grpc, uvicorn
from starlette.responses import Response
echo = grpc.method_handlers_generic_handler(
    "echo.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request)})
server = grpc.server(futures.ThreadPoolExecutor(), handlers=[echo])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
async def app(scope, receive, send):
    await Response("ok")(scope, receive, send)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), lifespan="off", log_config=None)
"""
_memory: list[float] = []


def measure() -> list[Row]:
    """Compare the start with an empty gRPC and REST process, and calls with bare ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        credentials.certificate(folder)
        credentials.user(folder, "ccai")
        ours, empty = interleaved([lambda: _start_ours(folder), _start_empty], rounds=15)
    slower, megabytes = ratio(ours, empty), max(_memory)
    with instance.private("ccai") as endpoint:
        spoken = 1000 * _median(lambda: ccai.text_to_speech(endpoint, _SENTENCE), rounds=30)
        added = 1e6 * _added(endpoint)
    return [
        Row(
            "practice CCAI, process start until its four ports are open, "
            "against an empty grpc and REST server with two",
            f"{slower:.2f}x ({statistics.median(ours):.2f} s)",
            [at_most(slower, 1.5)],
        ),
        Row(
            "its memory before an engine is used",
            f"{megabytes:.0f} MB",
            [at_most(megabytes, 120, " MB")],
        ),
        Row(
            "`ccai.text_to_speech` of a sentence of nine words",
            f"{spoken:.1f} ms",
            [at_most(spoken, 30, " ms")],
        ),
        Row(
            "`ccai.classify` against a bare `requests` call that does the same",
            f"{abs(added):.0f} microseconds {'more' if added > 0 else 'less'}",
            [at_most(added, 100, " more")],
        ),
    ]


def _start_ours(folder: Path) -> float:
    names = ("rest", "grpc", "secure-rest", "secure-grpc")
    ports = [processes.choose_port() for _ in names]
    flags = [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]
    return _timed(["-m", "practice.ccai", *flags, f"--folder={folder}"], ports, _memory)


def _start_empty() -> float:
    ports = [processes.choose_port() for _ in range(2)]
    return _timed(["-c", _EMPTY, *map(str, ports)], ports, [])


def _timed(arguments: list[str], ports: Sequence[int], memory: list[float]) -> float:
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not all(map(processes.accepts, ports)):
            assert process.poll() is None, "it has ended before its ports were open"
            time.sleep(0.002)  # the pace of asking, not a guess at when it is ready
        taken = time.perf_counter() - started
        memory.append(process.memory_info().rss / 1e6)
        return taken
    finally:
        process.kill()
        process.wait()


def _added(endpoint: Endpoint) -> float:
    session, content = requests.Session(), _DIGIT.read_bytes()
    session.trust_env = False

    def bare() -> object:
        form = {"image": base64.b64encode(content).decode()}
        url = f"{endpoint.rest}/cgi-bin/fcgi_py_classification"
        return session.post(url, data=form, timeout=30).json()["data"]["tag_list"]

    def ours() -> object:
        return ccai.classify(endpoint, content)

    mine, plain = interleaved([timed(ours), timed(bare)], rounds=400)
    return statistics.median(a - b for a, b in zip(mine, plain, strict=True))


def _median(call, rounds: int) -> float:
    (figures,) = interleaved([timed(call)], rounds)
    return statistics.median(figures)
