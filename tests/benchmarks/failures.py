"""What error mapping and retries add to a call that succeeds, and how fast a failure is told."""

import statistics
import time
from collections.abc import Callable

import grpc
import numpy as np
import requests

from helpers import channels, errors, modelarts, tfserving, tfserving_grpc
from helpers.endpoints import Endpoint
from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_tensor_proto
from practice import instance, processes
from tests.benchmarks.measure import Row, interleaved

_BODY = {
    "data": {
        "req_data": [{"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}]
    }
}
_ROUNDS = 3000


def measure() -> list[Row]:
    """Compare each with the same call without it."""
    with instance.private("tfserving") as endpoint:
        mapping, retrying = _over_grpc(endpoint.replace(model="iris"))
    with instance.private("modelarts", flags=["--requests_per_second=0"]) as endpoint:
        over_rest = _over_rest(endpoint)
    explained, refused = _explained(), _refused()
    return [
        Row("error mapping of a gRPC call that succeeds", f"{1e6 * mapping:.0f} microseconds more",
            "under 20 more", mapping < 2e-5),
        Row("a retry policy on a gRPC call that succeeds",
            f"{1e6 * retrying:.0f} microseconds more", "under 20 more", retrying < 2e-5),
        Row("a retry policy on a REST call that succeeds",
            f"{1e6 * over_rest:.0f} microseconds more", "under 20 more", over_rest < 2e-5),
        Row("`errors.explain`", f"{1000 * explained:.2f} ms", "under 5 ms", explained < 0.005),
        Row("a refused connection, until it is told", f"{1000 * refused:.0f} ms",
            "within 1.5 s", refused <= 1.5),
    ]  # fmt: skip


def _over_grpc(endpoint: Endpoint) -> tuple[float, float]:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = endpoint.model
    request.inputs["features"].CopyFrom(to_tensor_proto(np.ones((1, 4), np.float32)))

    def stub(channel: grpc.Channel) -> Callable:
        return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

    plain = stub(channels.channel(endpoint))
    with_retries = stub(channels.channel(endpoint.replace(retries=4)))
    bare, mapped, tried = interleaved(
        [
            lambda: _once(lambda: plain(request, timeout=10)),
            lambda: _once(
                lambda: tfserving_grpc._call(endpoint, "Predict", request, time.monotonic() + 10)
            ),
            lambda: _once(lambda: with_retries(request, timeout=10)),
        ],
        rounds=_ROUNDS,
    )
    return _more(mapped, bare), _more(tried, bare)


def _over_rest(endpoint: Endpoint) -> float:
    token = {"X-Auth-Token": modelarts.get_token(endpoint).value}

    def calls(session: requests.Session) -> Callable[[], float]:
        return lambda: _once(
            lambda: session.post(
                endpoint.rest, json=_BODY, headers=token, verify=endpoint.ca_file, timeout=10
            )
        )

    plain, tried = channels.session(endpoint), channels.session(endpoint.replace(retries=4))
    bare, more = interleaved([calls(plain), calls(tried)], rounds=_ROUNDS // 3)
    return _more(more, bare)


def _explained() -> float:
    try:
        requests.get(f"http://127.0.0.1:{processes.choose_port()}", timeout=2)
    except requests.ConnectionError as error:
        caught = error
    return statistics.median(_once(lambda: errors.explain(caught)) for _ in range(200))


def _refused() -> float:
    def call() -> None:
        nobody = f"127.0.0.1:{processes.choose_port()}"
        try:
            tfserving.status(Endpoint("tfserving", grpc=nobody, model="iris"))
        except errors.ConnectionFailed:
            return
        raise AssertionError("somebody answered")

    return max(_once(call) for _ in range(5))


def _more(longer: list[float], shorter: list[float]) -> float:
    return statistics.median(longer) - statistics.median(shorter)


def _once(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
