"""The REST port's JSON: a request for a picture read, and answers written."""

import functools
import json
import statistics
from collections.abc import Callable

import numpy as np
import orjson

from helpers import json_numbers
from helpers.serving_api import types_pb2
from practice.tfserving import json_input, json_output
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio, timed

_ROUNDS = 25


def measure() -> list[Row]:
    """Compare reading with `json.loads` and `np.array`; time the writing of floats."""
    chance = np.random.default_rng(8)
    picture = chance.random((1, 224, 224, 3), np.float32)
    body = b'{"instances": %b}' % orjson.dumps(picture, option=orjson.OPT_SERIALIZE_NUMPY)

    def ours() -> np.ndarray:
        document = json_numbers.read(body) or json_input.parse(body)
        return json_input.predict_inputs(document, {"x": types_pb2.DT_FLOAT}).arrays["x"]

    def plain() -> np.ndarray:
        return np.array(json.loads(body)["instances"], np.float32)

    np.testing.assert_array_equal(ours(), picture)
    np.testing.assert_array_equal(plain(), picture)
    mine, other = interleaved([timed(ours), timed(plain)], _ROUNDS)
    faster = 1 / ratio(mine, other)
    small, large = (
        1000 * _median(functools.partial(json_output.predictions, {"y": array}))
        for array in (chance.random((1, 1000), np.float32), chance.random((100, 1000), np.float32))
    )
    return [
        Row(
            "REST: a request for a 224x224x3 picture of floats made an array, against "
            "`json.loads` and `np.array`",
            f"{faster:.1f}x faster ({1000 * statistics.median(mine):.0f} ms)",
            [at_least(faster, 2.5)],
        ),
        Row("an answer of 1,000 floats written", f"{small:.1f} ms", [at_most(small, 1.5, " ms")]),
        Row("an answer of 100,000 floats written", f"{large:.0f} ms", [at_most(large, 100, " ms")]),
    ]


def _median(call: Callable[[], object]) -> float:
    (figures,) = interleaved([timed(call)], _ROUNDS)
    return statistics.median(figures)
