"""How does the cost of writing and reading a tensor grow with its size, from 16 B to 64 MB?"""

import contextlib
import functools
import statistics
from collections.abc import Callable

from helpers.serving_api import predict_pb2
from helpers.tensors import to_tensor_proto
from helpers.tfserving import codec
from tests.benchmarks import contenders
from tests.benchmarks.contenders import per_call
from tests.benchmarks.contenders.sizes import SIZES
from tests.benchmarks.measure import Row, interleaved

_OTHERS = {"tf.make_tensor_proto": "tensorflow", "ovmsclient": "ovmsclient"}


def measure() -> list[Row]:
    """Give the seconds of each way at each size; docs/measured.md has a plot of them."""
    with contextlib.ExitStack() as stack:
        others = {
            way: stack.enter_context(contenders.running("sizes", name))
            for way, name in _OTHERS.items()
        }
        series: dict[str, list[float]] = {"size in bytes": list(SIZES)}
        for size in SIZES:
            ways = _ways(size) | {way: ask(str(size)) for way, ask in others.items()}
            figures = interleaved(list(ways.values()), rounds=9)
            for way, each in zip(ways, figures, strict=True):
                series.setdefault(way, []).append(statistics.median(each))
    smallest, largest = (series["encode_predict"][at] / series["memory copy"][at] for at in (0, -1))
    return [
        Row(
            "`codec.encode_predict` of 16 bytes and of 64 MB, against a memory copy",
            f"{smallest:.0f}x and {largest:.1f}x",
            series=series,
        ),
    ]


def _ways(size: int) -> dict[str, Callable[[], float]]:
    array = contenders.array((1, size // 4))
    inputs = {"x": array}
    response = predict_pb2.PredictResponse(outputs={"y": to_tensor_proto(array)})
    data = response.SerializeToString()
    ways: dict[str, Callable[[], object]] = {
        "memory copy": array.copy,
        "encode_predict": functools.partial(codec.encode_predict, "m", inputs),
        "decode_predict": functools.partial(codec.decode_predict, data),
        "decode_predict, copy=False": functools.partial(codec.decode_predict, data, copy=False),
        "protobuf's classes, encode": functools.partial(_with_classes, array),
    }
    return {way: per_call(call) for way, call in ways.items()}


def _with_classes(array) -> bytes:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"})
    request.inputs["x"].CopyFrom(to_tensor_proto(array))
    return request.SerializeToString()
