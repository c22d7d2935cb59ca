"""What error mapping and retries add to a call that succeeds, and how fast a failure is told."""

import statistics
from collections.abc import Callable

import grpc
import numpy as np
import requests

from helpers import channels, errors, modelarts, tfserving, transport
from helpers.endpoints import Endpoint
from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_tensor_proto
from practice import instance, processes
from tests.benchmarks.measure import Row, at_most, interleaved, timed

_BODY = {
    "data": {
        "req_data": [{"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}]
    }
}
_ROUNDS = 3000


def measure() -> list[Row]:
    """Compare each with the same call without it."""
    with instance.private("tfserving") as endpoint:
        mapping, retrying = (1e6 * more for more in _over_grpc(endpoint.replace(model="iris")))
    with instance.private("modelarts", flags=["--requests_per_second=0"]) as endpoint:
        over_rest = 1e6 * _over_rest(endpoint)
    explained, refused = 1000 * _explained(), _refused()
    return [
        Row(
            "error mapping of a gRPC call that succeeds",
            f"{mapping:.0f} microseconds more",
            [at_most(mapping, 20, " more")],
        ),
        Row(
            "a retry policy on a gRPC call that succeeds",
            f"{retrying:.0f} microseconds more",
            [at_most(retrying, 20, " more")],
        ),
        Row(
            "a retry policy on a REST call that succeeds",
            f"{over_rest:.0f} microseconds more",
            [at_most(over_rest, 20, " more")],
        ),
        Row("`errors.explain`", f"{explained:.2f} ms", [at_most(explained, 5, " ms")]),
        Row(
            "a refused connection, until it is told",
            f"{1000 * refused:.0f} ms",
            [at_most(refused, 1.5, " s")],
        ),
    ]


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
            timed(lambda: plain(request, timeout=10)),
            timed(lambda: transport.unary(endpoint, plain, request, 10)),
            timed(lambda: with_retries(request, timeout=10)),
        ],
        rounds=_ROUNDS,
    )
    return _more(mapped, bare), _more(tried, bare)


def _over_rest(endpoint: Endpoint) -> float:
    token = {"X-Auth-Token": modelarts.get_token(endpoint).value}

    def calls(session: requests.Session) -> Callable[[], float]:
        return timed(
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
    (figures,) = interleaved([timed(lambda: errors.explain(caught))], rounds=200)
    return statistics.median(figures)


def _refused() -> float:
    def call() -> None:
        nobody = f"127.0.0.1:{processes.choose_port()}"
        try:
            tfserving.status(Endpoint("tfserving", grpc=nobody, model="iris"))
        except errors.ConnectionFailed:
            return
        raise AssertionError("somebody answered")

    return max(timed(call)() for _ in range(5))


def _more(longer: list[float], shorter: list[float]) -> float:
    return statistics.median(longer) - statistics.median(shorter)
