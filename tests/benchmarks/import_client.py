"""How long does `import helpers.tfserving` take, and how much memory?"""

import statistics
import subprocess
import sys

from tests.benchmarks import contenders
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio, seconds

_OURS = "import helpers.tfserving"
_MEMORY = """
import psutil, sys
import helpers.tfserving
assert "tensorflow" not in sys.modules
print(psutil.Process().memory_info().rss / 1e6)
"""
_OFFICIAL = "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc"


def measure() -> list[Row]:
    """Compare fresh processes."""
    theirs = seconds("import ovmsclient", contenders.python())
    ours, bare, ovmsclient = interleaved(
        [seconds(_OURS), seconds("import numpy, grpc"), theirs], rounds=31
    )
    again, official = interleaved([seconds(_OURS), seconds(_OFFICIAL)], rounds=5)
    printed = subprocess.run(
        [sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True
    ).stdout
    megabytes = float(printed)
    slower, part, faster = ratio(ours, bare), ratio(ours, ovmsclient), ratio(official, again)
    return [
        Row(
            "`import helpers.tfserving` against `import numpy, grpc` and `import ovmsclient`",
            f"{slower:.2f}x and {part:.2f}x ({statistics.median(ours):.2f} s)",
            [at_most(slower, 1.3), at_most(part, 0.75)],
        ),
        Row(
            "the official stubs' import against ours",
            f"{faster:.0f}x ({statistics.median(official):.1f} s)",
            [at_least(faster, 15)],
        ),
        Row(
            "memory after `import helpers.tfserving`",
            f"{megabytes:.0f} MB, TensorFlow not loaded",
            [at_most(megabytes, 60, " MB")],
        ),
    ]
