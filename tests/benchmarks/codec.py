"""What does it cost to write and read a predict call's bytes, against a copy and against others?"""

import contextlib
import functools
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from helpers.serving_api import predict_pb2
from helpers.tfserving import codec
from practice.tfserving.tensorproto import fill
from tests.benchmarks import contenders
from tests.benchmarks.contenders import per_call
from tests.benchmarks.contenders.codec import CONTENDERS, SHAPES
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio

_ROUNDS = 25
_Ask = Callable[[str], Callable[[], float]]


def measure() -> list[Row]:
    """Let the contenders take turns, each in its own process."""
    with contextlib.ExitStack() as stack:
        tensorflow, ovmsclient, tritonclient = (
            stack.enter_context(contenders.running("codec", name)) for name in CONTENDERS
        )
        return [
            *(
                _encode_large(size, (tensorflow, ovmsclient, tritonclient))
                for size in ("0.6 MB", "4.8 MB")
            ),
            _encode_small(ovmsclient),
            *(_decode(form, (tensorflow, ovmsclient)) for form in ("tensor_content", "float_val")),
        ]


def _encode_large(size: str, others: Sequence[_Ask]) -> Row:
    array = contenders.array(SHAPES[size])
    encode = functools.partial(codec.encode_predict, "iris", {"features": array})
    theirs = [other(f"encode {size}") for other in others]
    ours, copy, *rest = interleaved([per_call(encode), per_call(array.copy), *theirs], _ROUNDS)
    slower, faster = ratio(ours, copy), [ratio(each, ours) for each in rest]
    return Row(
        f"`codec.encode_predict`, {size} of float32: against a memory copy; against "
        "`tf.make_tensor_proto`, ovmsclient and, without a promise, tritonclient, all to bytes",
        f"{slower:.2f}x ({_time(ours)}); {', '.join(f'{each:.1f}x' for each in faster)} as fast",
        [at_most(slower, 2), at_least(min(faster[:2]), 5)],
    )


def _encode_small(ovmsclient: _Ask) -> Row:
    array = contenders.array(SHAPES["(1, 4)"])
    encode = functools.partial(codec.encode_predict, "iris", {"features": array})
    assert encode() == _by_hand(array)
    by_hand = functools.partial(_by_hand, array)
    contending = [per_call(encode), per_call(by_hand), ovmsclient("encode (1, 4)")]
    ours, hand, other = interleaved(contending, _ROUNDS)
    slower, faster = ratio(ours, hand), ratio(other, ours)
    return Row(
        "`codec.encode_predict`, shape (1, 4): against the official classes filled by hand; "
        "against ovmsclient",
        f"{slower:.2f}x ({_time(ours)}); {faster:.1f}x as fast",
        [at_most(slower, 1.5), at_least(faster, 2)],
    )


def _decode(form: str, others: Sequence[_Ask]) -> Row:
    array = contenders.array(SHAPES["0.6 MB"])
    response = predict_pb2.PredictResponse()
    fill(response.outputs["y"], array, as_content=form == "tensor_content")
    data = response.SerializeToString()
    np.testing.assert_array_equal(codec.decode_predict(data)["y"], array)
    mine = [per_call(functools.partial(codec.decode_predict, data, each)) for each in (False, True)]
    theirs = [other(f"decode 0.6 MB {form}") for other in others]
    view, copied, copy, *rest = interleaved([*mine, per_call(array.copy), *theirs], _ROUNDS)
    seen, slower = ratio(view, copy), ratio(copied, copy)
    faster = [ratio(each, copied) for each in rest]
    promised = [at_least(min(faster), 100)] if form == "float_val" else []
    return Row(
        f"`codec.decode_predict`, 0.6 MB in `{form}`: as a view and copied, against a memory copy; "
        "copied, against `tf.make_ndarray` and ovmsclient, both from bytes",
        f"{seen:.2f}x ({_time(view)}) and {slower:.2f}x; {faster[0]:.1f}x and {faster[1]:.1f}x "
        "as fast",
        [at_most(seen, 1), at_most(slower, 2), *promised],
    )


def _by_hand(array: np.ndarray) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    proto = request.inputs["features"]
    proto.dtype = 1
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = array.tobytes()
    return request.SerializeToString()


def _time(figures: Sequence[float]) -> str:
    return f"{1e6 * statistics.median(figures):.0f} microseconds"
