"""How long does the practice TensorFlow Serving take from process start to the first answer?"""

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import psutil

from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_ndarray, to_tensor_proto
from tests.benchmarks.measure import Row, at_most, interleaved, ratio

_MODELS = Path(__file__).parents[2] / "data" / "models"
_EMPTY = """
import sys
from concurrent import futures
import grpc, numpy
echo = grpc.method_handlers_generic_handler(
    "echo.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(lambda request, context: request)})
server = grpc.server(futures.ThreadPoolExecutor(), handlers=[echo])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
"""
_memory: list[float] = []


def measure() -> list[Row]:
    """Compare with an empty grpc and numpy server, start by start."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "models.config"
        entries = "".join(
            f'config {{ name: "{path.name}" base_path: "{path.as_posix()}" '
            'model_platform: "tensorflow" } '
            for path in sorted(_MODELS.iterdir())
            if any(path.glob("*/model.tflite"))
        )
        config.write_text(f"model_config_list {{ {entries} }}")
        ours, empty = interleaved([lambda: _start_ours(config), _start_empty], rounds=15)
    slower, megabytes = ratio(ours, empty), max(_memory)
    return [
        Row(
            "practice TensorFlow Serving, process start to first right answer, "
            "against an empty grpc and numpy server",
            f"{slower:.2f}x ({statistics.median(ours):.2f} s)",
            [at_most(slower, 1.4)],
        ),
        Row("its memory then", f"{megabytes:.0f} MB", [at_most(megabytes, 90, " MB")]),
    ]


def _start_ours(config: Path) -> float:
    request = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    request.inputs["features"].CopyFrom(to_tensor_proto([[5.1, 3.5, 1.4, 0.2]], "float32"))

    def first_answer(channel: grpc.Channel, process: psutil.Popen) -> None:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = to_ndarray(stub.Predict(request, timeout=30).outputs["probabilities"])
        assert answer.argmax() == 0
        _memory.append(process.memory_info().rss / 1e6)

    port = _free_port()
    flags = [
        f"--port={port}",
        f"--model_config_file={config}",
        "--prefer_tflite_model",
        "--enable_grpc_healthcheck_service",
        "--keep_serving_on_load_failure",
    ]
    return _timed(["-m", "practice.tfserving", *flags], port, first_answer)


def _start_empty() -> float:
    def first_answer(channel: grpc.Channel, process: psutil.Popen) -> None:
        assert channel.unary_unary("/echo.Echo/Echo")(b"hello", timeout=30) == b"hello"

    port = _free_port()
    return _timed(["-c", _EMPTY, str(port)], port, first_answer)


def _timed(arguments: list[str], port: int, first_answer) -> float:
    started = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            first_answer(channel, process)
            return time.perf_counter() - started
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: psutil.Popen) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.002)  # the pace of asking, not a guess at when it is ready
    raise RuntimeError(f"{process.args} has ended before it answered")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
