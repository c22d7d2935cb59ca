"""What does a whole predict call cost, against the wire alone and against others?"""

import contextlib
import functools
import statistics

import grpc
import numpy as np

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving import codec
from helpers.tfserving import grpc as tfserving_grpc
from tests.benchmarks import contenders, ready
from tests.benchmarks.contenders import per_call
from tests.benchmarks.contenders.round_trip import IMAGE
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio

_SERVER = "a gRPC server that answers with ready bytes"
_ROUNDS = 51


def measure() -> list[Row]:
    """Call one server in turns, each contender from its own process and over its own channel."""
    return [_one(), _batch(32)]


def _one() -> Row:
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(ready.served(IMAGE, (1, 1000)))
        channel = grpc.insecure_channel(endpoint.grpc, [("grpc.enable_http_proxy", 0)])
        call = stack.enter_context(channel).unary_unary(tfserving_grpc.PREDICT)
        inputs = {"x": contenders.array((1, *IMAGE))}
        content = codec.encode_predict(endpoint.model, inputs)
        ours, ready_made, bare, ovmsclient = interleaved(
            [
                _predict(endpoint, inputs),
                per_call(lambda: codec.decode_predict(call(content, timeout=60))),
                per_call(lambda: call(content, timeout=60)),
                _theirs(stack, "ovmsclient", endpoint, 1),
            ],
            _ROUNDS,
        )
    slower, faster = ratio(ours, ready_made), ratio(ovmsclient, ours)
    return Row(
        f"`tfserving.predict` of one 0.6 MB image, at {_SERVER}: against the same bytes made "
        "before and, without a promise, their answer not even read; against ovmsclient's `predict`",
        f"{slower:.2f}x ({_milliseconds(ours)}) and {ratio(ours, bare):.2f}x; "
        f"{faster:.2f}x as fast",
        [at_most(slower, 1.15), at_least(faster, 1.1)],
    )


def _batch(images: int) -> Row:
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(ready.served(IMAGE, (images, 1000)))
        inputs = {"x": contenders.array((images, *IMAGE))}
        ours, official = interleaved(
            [_predict(endpoint, inputs), _theirs(stack, "tensorflow", endpoint, images)], _ROUNDS
        )
    faster = ratio(official, ours)
    return Row(
        f"`tfserving.predict` of {images} images, 19 MB, at {_SERVER}: against the official stub "
        "with `tf.make_tensor_proto` and `tf.make_ndarray`",
        f"{faster:.2f}x as fast ({_milliseconds(ours)})",
        [at_least(faster, 1.5)],
    )


def _predict(endpoint: Endpoint, inputs: dict[str, np.ndarray]):
    return per_call(functools.partial(tfserving.predict, endpoint, inputs, timeout=60))


def _theirs(stack: contextlib.ExitStack, name: str, endpoint: Endpoint, images: int):
    running = contenders.running("round_trip", name, endpoint.grpc, str(images))
    return stack.enter_context(running)("predict")


def _milliseconds(figures: list[float]) -> str:
    return f"{1000 * statistics.median(figures):.1f} ms"
