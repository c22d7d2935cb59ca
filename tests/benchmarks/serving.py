"""The practice TensorFlow Serving under load: its engines compared, batching, and its own cost."""

import contextlib
import functools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_ndarray, to_tensor_proto
from practice import processes
from tests.benchmarks.measure import Row, at_most, interleaved, ratio, timed

_MODELS = Path(__file__).parents[2] / "data" / "models"
_IN_FLIGHT = 32
_BATCHING = """
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }
"""
# A server with the same messages that answers with a response made once.
_ECHO = """
import sys
from concurrent import futures
import grpc
from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
with open(sys.argv[2], "rb") as file:
    response = predict_pb2.PredictResponse.FromString(file.read())
class Echo(prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):
        return response
server = grpc.server(futures.ThreadPoolExecutor(8))
prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Echo(), server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
"""
_PLAIN = """
import sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](features=tf.constant([[5.1, 3.5, 1.4, 0.2]]))
assert answer["probabilities"].numpy().argmax() == 0
"""


def measure() -> list[Row]:
    """Put LiteRT, TensorFlow and TensorFlow with batching beside each other, and an echo."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "batching").write_text(_BATCHING)
        file = f"--batching_parameters_file={folder / 'batching'}"
        start = functools.partial(_served, stack, "digits")
        threads = f"--grpc_max_threads={_IN_FLIGHT + 8}"  # fewer would keep batches small
        light = start("--prefer_tflite_model", threads)
        full = start(threads)
        batched = start("--enable_batching", file, threads)
        rates = interleaved([functools.partial(_rate, each) for each in (light, full, batched)], 7)
        iris = _served(stack, "iris", "--prefer_tflite_model")
        ours, echo = interleaved(
            [functools.partial(_p50, each) for each in (iris, _echo(stack, folder, iris))], 15
        )
    first, plain = interleaved([_first_answer, _plain], 3)
    faster, together = 1 / ratio(rates[1], rates[0]), ratio(rates[2], rates[1])
    slower, later = ratio(ours, echo), ratio(first, plain)
    per_second = [f"{statistics.median(each):,.0f}" for each in rates]
    return [
        Row(
            f"`digits` with {_IN_FLIGHT} requests in flight: LiteRT against TensorFlow, requests "
            "per second",
            f"{faster:.1f}x ({per_second[0]} against {per_second[1]})",
        ),
        Row(
            "the same: TensorFlow with `--enable_batching` against without",
            f"{together:.1f}x ({per_second[2]} against {per_second[1]})",
        ),
        Row(
            "p50 of `iris` on LiteRT, one request after the other, against a gRPC server that "
            "answers with a ready response",
            f"{slower:.2f}x ({1e6 * statistics.median(ours):.0f} microseconds)",
            [at_most(slower, 1.25)],
        ),
        Row(
            "TensorFlow engine, process start to first right answer, against "
            "`import tensorflow; tf.saved_model.load` and one call in a plain process",
            f"{later:.2f}x ({statistics.median(first):.1f} s)",
            [at_most(later, 1.2)],
        ),
    ]


def _served(stack: contextlib.ExitStack, model: str, *flags: str) -> grpc.Channel:
    port = processes.choose_port()
    base = [f"--port={port}", f"--model_name={model}", f"--model_base_path={_MODELS / model}"]
    stack.enter_context(_process("-m", "practice.tfserving", *base, *flags))
    return _channel(stack, port)


def _echo(stack: contextlib.ExitStack, folder: Path, served: grpc.Channel) -> grpc.Channel:
    port, file = processes.choose_port(), folder / "response"
    response = _stub(served).Predict(_iris(), timeout=60)
    file.write_bytes(response.SerializeToString())
    stack.enter_context(_process("-c", _ECHO, str(port), str(file)))
    return _channel(stack, port)


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _channel(stack: contextlib.ExitStack, port: int) -> grpc.Channel:
    options = [
        ("grpc.max_reconnect_backoff_ms", 50),
        ("grpc.initial_reconnect_backoff_ms", 10),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}", options))
    grpc.channel_ready_future(channel).result(timeout=60)
    return channel


def _stub(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _iris() -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    request.inputs["features"].CopyFrom(to_tensor_proto([[5.1, 3.5, 1.4, 0.2]], "float32"))
    return request


def _rate(channel: grpc.Channel, calls: int = 1000) -> float:
    """Return calls per second with so many in flight; bytes go as they are, made once."""
    request = predict_pb2.PredictRequest(model_spec={"name": "digits"})
    request.inputs["images"].CopyFrom(to_tensor_proto(np.full((1, 8, 8, 1), 0.5, "f4")))
    content = request.SerializeToString()
    predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    room, failed = threading.Semaphore(_IN_FLIGHT), []

    def done(call: Any) -> None:
        if call.code() is not grpc.StatusCode.OK:
            failed.append(call.details())
        room.release()

    started = time.perf_counter()
    for _ in range(calls):
        room.acquire()
        predict.future(content, timeout=60).add_done_callback(done)
    for _ in range(_IN_FLIGHT):
        room.acquire()
    taken = time.perf_counter() - started
    assert not failed, failed[0]
    return calls / taken


def _p50(channel: grpc.Channel, calls: int = 300) -> float:
    stub, request = _stub(channel), _iris()
    once = timed(lambda: stub.Predict(request, timeout=60))
    return statistics.median(once() for _ in range(calls))


def _first_answer() -> float:
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        response = _stub(_served(stack, "iris")).Predict(_iris(), timeout=60)
        taken = time.perf_counter() - started
    assert to_ndarray(response.outputs["probabilities"]).argmax() == 0
    return taken


def _plain() -> float:
    command = [sys.executable, "-c", _PLAIN, str(_MODELS / "iris" / "1")]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))()
