"""Is `predict_many` faster than one call after the other, and does its memory stay level?"""

import statistics
import subprocess
import sys

import numpy as np

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving import predict_many
from practice import instance
from tests.benchmarks import ready
from tests.benchmarks.measure import Row, at_most, interleaved, ratio, timed

_BATCHES = 200
_MEMORY = """
import sys
import numpy as np, psutil
from helpers.endpoints import Endpoint
from helpers.tfserving import predict_many
endpoint = Endpoint("tfserving", grpc=sys.argv[1], model="iris")
batches = ({"features": np.full((1, 4), number % 7, "float32")} for number in range(10_000))
for number, _ in enumerate(predict_many(endpoint, batches, progress=False), 1):
    if number in (1000, 10_000):
        print(psutil.Process().memory_info().rss / 1e6)
"""


def measure() -> list[Row]:
    """Take the practice TensorFlow Serving, then a server that is not what they wait for."""
    with instance.private("tfserving") as endpoint:
        served = endpoint.replace(model="iris")
        measured = _faster(served, "features")
        growth = _growth(served)
    with ready.served((4,), (1, 3)) as endpoint:
        without = _faster(endpoint, "x")
    return [
        Row(
            "`predict_many` with 16 in flight, shape (1, 4): against `predict` one after the "
            "other, at a gRPC server that answers with ready bytes",
            without,
        ),
        Row(
            "the same at the practice TensorFlow Serving, which shares the machine's cores",
            measured,
        ),
        Row(
            "memory of `predict_many` over 10,000 batches, growth from the 1,000th to the last",
            f"{growth:.1f} MB",
            [at_most(growth, 5, " MB")],
        ),
    ]


def _faster(endpoint: Endpoint, name: str) -> str:
    array = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)

    def one_by_one() -> None:
        for _ in range(_BATCHES):
            tfserving.predict(endpoint, {name: array})

    def many() -> None:
        batches = ({name: array} for _ in range(_BATCHES))
        assert sum(1 for _ in predict_many(endpoint, batches, progress=False)) == _BATCHES

    single, together = interleaved([timed(one_by_one), timed(many)], rounds=31)
    rates = [f"{_BATCHES / statistics.median(each):,.0f}" for each in (together, single)]
    return f"{ratio(single, together):.2f}x as fast ({rates[0]} against {rates[1]} per second)"


def _growth(endpoint: Endpoint) -> float:
    command = [sys.executable, "-c", _MEMORY, endpoint.grpc]
    early, late = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(late) - float(early)
