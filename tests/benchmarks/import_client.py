"""How long does `import helpers.tfserving` take, and how much memory?"""

import statistics
import subprocess
import sys

from tests.benchmarks.measure import Row, interleaved, ratio, seconds

_MEMORY = """
import psutil, sys
import helpers.tfserving
print(psutil.Process().memory_info().rss / 1e6, "tensorflow" in sys.modules)
"""
_OFFICIAL = "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc"


def measure() -> list[Row]:
    """Compare fresh processes."""
    ours, bare = interleaved(
        [seconds("import helpers.tfserving"), seconds("import numpy, grpc")], rounds=31
    )
    again, official = interleaved(
        [seconds("import helpers.tfserving"), seconds(_OFFICIAL)], rounds=5
    )
    printed = subprocess.run(
        [sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True
    ).stdout.split()
    megabytes, tensorflow = float(printed[0]), printed[1] == "True"
    slower, faster = ratio(ours, bare), ratio(official, again)
    median = statistics.median(ours)
    return [
        Row("`import helpers.tfserving` against `import numpy, grpc`",
            f"{slower:.2f}x ({median:.2f} s)", "at most 1.3x", slower <= 1.3),
        Row("the official stubs' import against ours",
            f"{faster:.0f}x ({statistics.median(official):.1f} s)", "at least 15x", faster >= 15),
        Row("memory after `import helpers.tfserving`",
            f"{megabytes:.0f} MB, TensorFlow {'loaded' if tensorflow else 'not loaded'}",
            "at most 60 MB, not loaded", megabytes <= 60 and not tensorflow),
    ]  # fmt: skip
