"""Callers who take more than their share, while the others go on: each is a scenario."""

import contextlib
import functools
import gzip
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import grpc
import psutil
import requests
from PIL import Image

from helpers.serving_api import predict_pb2
from practice import instance
from practice.instance import PrivateEndpoint
from protos import inference_service_pb2
from tests.chaos.clients import CALLS, Outcome, calling, once

Outcomes = dict[str, Outcome]
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_CLASSIFY = "/inference_service.Inference/Classification"
_HALF_SENT = 4 * (os.cpu_count() or 1) + 8  # more than a service has workers
_IDLE = 250  # connections to each port
_FEW_FILES = 256  # descriptors, macOS's default
_LARGE = 40_000_000  # bytes, once inflated


def half_sent(seconds: float) -> Outcomes:
    """Calls and connections that begin and send no message."""

    def attack(stack: contextlib.ExitStack, services: dict[str, PrivateEndpoint]) -> None:
        ended = threading.Event()

        def nothing() -> Iterator[bytes]:
            ended.wait()
            yield b""

        for name, method in (("tfserving", _PREDICT), ("ccai", _CLASSIFY)):
            channel = stack.enter_context(grpc.insecure_channel(services[name].grpc))
            for _ in range(_HALF_SENT):
                channel.stream_unary(method).future(nothing())
        for service in services.values():
            _connect(stack, service.rest, _HALF_SENT, b"POST / HTTP/1.1\r\n")
        stack.callback(ended.set)

    return _against(attack, seconds)


def bombs(seconds: float) -> Outcomes:
    """Small messages that stand for large ones: claimed, compressed, pictures."""

    def attack(stack: contextlib.ExitStack, services: dict[str, PrivateEndpoint]) -> None:
        ended = threading.Event()
        sender = threading.Thread(target=_send_bombs, args=(services, ended), daemon=True)
        sender.start()
        stack.callback(sender.join, 60)
        stack.callback(ended.set)

    return _against(attack, seconds)


def few_descriptors(seconds: float) -> Outcomes:
    """Idle connections to services that started with few descriptors."""

    def attack(stack: contextlib.ExitStack, services: dict[str, PrivateEndpoint]) -> None:
        for service in services.values():
            for address in filter(None, (service.rest, service.grpc)):
                _connect(stack, address, _IDLE)

    return _against(attack, seconds, descriptors=_FEW_FILES)


def _against(
    attack: Callable[[contextlib.ExitStack, dict[str, PrivateEndpoint]], None],
    seconds: float,
    descriptors: int = 0,
) -> Outcomes:
    """Let eight clients call private services while an attack is on."""
    with contextlib.ExitStack() as stack:
        with _soft_limit(descriptors):
            services = {name: stack.enter_context(instance.private(name)) for name in CALLS}
        for name, service in services.items():
            once(service, name)
        before = {name: _memory(service) for name, service in services.items()}
        places = {name: functools.partial(services.__getitem__, name) for name in CALLS}
        with contextlib.ExitStack() as attacked, calling(places) as outcomes:
            attack(attacked, services)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                for name, service in services.items():
                    grown = _memory(service) - before[name]
                    outcomes[name].memory = max(outcomes[name].memory, grown)
                time.sleep(0.1)
    return outcomes


def _send_bombs(services: dict[str, PrivateEndpoint], ended: threading.Event) -> None:
    claim = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    claim.inputs["features"].dtype = 1
    claim.inputs["features"].float_val.append(1.0)
    for size in (2**24, 4):
        claim.inputs["features"].tensor_shape.dim.add(size=size)
    zeros = inference_service_pb2.Input(buffer=bytes(_LARGE)).SerializeToString()
    document = gzip.compress(b'{"instances": [' + b"0," * (_LARGE // 2) + b"0]}")
    picture = io.BytesIO()
    Image.new("RGB", (4000, 4000)).save(picture, "png")
    image = inference_service_pb2.Input(buffer=picture.getvalue()).SerializeToString()
    url = f"{services['tfserving'].rest}/v1/models/iris:predict"
    with (
        grpc.insecure_channel(services["tfserving"].grpc) as tfserving,
        grpc.insecure_channel(services["ccai"].grpc) as ccai,
    ):
        predict = tfserving.unary_unary(_PREDICT)
        classify = ccai.unary_unary(_CLASSIFY)
        gzipped = {"timeout": 30, "compression": grpc.Compression.Gzip}
        bombs: list[Callable[[], object]] = [
            lambda: predict(claim.SerializeToString(), timeout=30),
            lambda: predict(zeros, **gzipped),
            lambda: classify(zeros, **gzipped),
            lambda: classify(image, timeout=30),
            lambda: requests.post(url, document, headers={"Content-Encoding": "gzip"}, timeout=30),
        ]
        while not ended.is_set():
            for send in bombs:
                with contextlib.suppress(grpc.RpcError, requests.RequestException):
                    send()


def _connect(stack: contextlib.ExitStack, address: str, count: int, begin: bytes = b"") -> None:
    host, _, port = address.rpartition("//")[2].partition("/")[0].partition(":")
    for _ in range(count):
        with contextlib.suppress(OSError):
            opened = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            opened.sendall(begin)


def _memory(service: PrivateEndpoint) -> int:
    process = service._own.process
    assert process is not None
    return psutil.Process(process.pid).memory_info().rss // 2**20


@contextlib.contextmanager
def _soft_limit(descriptors: int) -> Iterator[None]:
    """Let what starts in this block have so many descriptors, unless it asks for more."""
    if not descriptors or os.name == "nt":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
