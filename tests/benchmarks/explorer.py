"""Is the explorer's form there at once, does a what-if pay, and does the kernel stay free?"""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving import predict_many
from practice import instance
from tests import odd_models
from tests.benchmarks.measure import Row, at_most, interleaved, ratio, timed
from tests.tfserving import AVAILABLE, eventually, running

_POINTS = 1000
_FORM = """
import time
from helpers.endpoints import Endpoint
from workbench.explorer import Explorer
explorer = Explorer(Endpoint("tfserving", grpc={grpc!r}, rest={rest!r}), names=["odd"])
explorer.choose("odd", "serving_default")
started = time.perf_counter()
explorer.choose("odd", "two hundred")
print(len(explorer.form.signature.inputs), time.perf_counter() - started)
"""
_CALL = """
import numpy as np
from helpers.endpoints import Endpoint
from workbench.explorer import Explorer
explorer = Explorer(Endpoint("tfserving", grpc={grpc!r}, rest={rest!r}), names=["digits_detector"])
explorer.choose("digits_detector")
explorer.fill(images=np.random.default_rng(0).random((256, 96, 96, 1), np.float32))
explorer.form.per_call.value = '64'
explorer.protocol.value = ("grpc", "rest")
explorer.wait()
explorer.send_button.click()
"""


def measure() -> list[Row]:
    """Take a model with 200 inputs, a what-if of 1,000 points, and a call of several seconds."""
    with tempfile.TemporaryDirectory() as folder:
        odd_models.make(Path(folder) / "odd" / "1")
        flags = ["--model_name=odd", f"--model_base_path={folder}/odd"]
        with running(Path(folder), *flags) as service:
            eventually(lambda: service.states("odd") == {1: AVAILABLE})
            form = _form(service.endpoint)
    with instance.private("tfserving") as endpoint:
        quotient, rate = _what_if(endpoint.replace(model="iris"))
        blocks, calls = _blocks(endpoint)
    return [
        Row(
            "signature tree and form of a model with 200 inputs, in a kernel",
            f"{1000 * form:.0f} ms",
            [at_most(1000 * form, 1000, " ms")],
        ),
        Row(
            "what-if: 1,000 points as 20 batches through `predict_many`, against 1,000 calls one "
            "after the other",
            f"{quotient:.3f}x ({rate:,.0f} points per second)",
            [at_most(quotient, 0.4)],
        ),
        Row(
            f"the longest that a message to the kernel waits while the explorer makes {calls} "
            "calls of 2.4 MB and shows what came of them",
            f"{1000 * max(blocks):.0f} ms (median {1000 * statistics.median(blocks):.1f} ms)",
            [at_most(1000 * max(blocks), 200, " ms")],
        ),
    ]


@contextlib.contextmanager
def _kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel()
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _printed(client: BlockingKernelClient, code: str) -> str:
    texts: list[str] = []

    def hear(message: dict) -> None:
        content = message["content"]
        texts.append(content.get("text", "") + "".join(content.get("traceback", [])))

    client.execute_interactive(code, timeout=120, output_hook=hear)
    return "".join(texts)


def _form(endpoint: Endpoint) -> float:
    figures = []
    with _kernel() as client:
        for _ in range(5):
            where = {"grpc": endpoint.grpc, "rest": endpoint.rest}
            count, seconds = _printed(client, _FORM.format(**where)).split()
            assert int(count) == odd_models.MANY
            figures.append(float(seconds))
    return statistics.median(figures)


def _what_if(iris: Endpoint) -> tuple[float, float]:
    flowers = np.repeat(np.array([[6.0, 3.2, 4.0, 1.2]], np.float32), _POINTS, axis=0)
    flowers[:, 2] = np.linspace(1, 7, _POINTS)

    def together() -> None:
        batches = [{"features": part} for part in np.array_split(flowers, 20)]
        answers = predict_many(iris, batches, progress=False)
        assert sum(len(each["probabilities"]) for each in answers) == _POINTS

    def one_by_one() -> None:
        for flower in flowers:
            tfserving.predict(iris, {"features": flower[np.newaxis]})

    ours, other = interleaved([timed(together), timed(one_by_one)], rounds=5)
    return ratio(ours, other), _POINTS / statistics.median(ours)


def _blocks(endpoint: Endpoint) -> tuple[list[float], int]:
    """Ask the kernel again and again while calls are under way; returns how long each took."""
    figures = []
    with _kernel() as client:
        where = {"grpc": endpoint.grpc, "rest": endpoint.rest}
        assert not _printed(client, _CALL.format(**where))
        for _ in range(2000):
            started = time.perf_counter()
            client.kernel_info(reply=True, timeout=60)
            figures.append(time.perf_counter() - started)
            if _printed(client, "print(explorer._open)").strip() == "0":
                break
        calls = int(_printed(client, "print(len(explorer.history.records))"))
        assert calls == 8
    return figures, calls
