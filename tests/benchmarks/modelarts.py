"""ModelArts: signing, many calls at once, and what the helper adds to a bare call."""

import hashlib
import statistics
from collections.abc import Callable

import requests

from helpers import channels, modelarts
from helpers.endpoints import Endpoint
from practice import instance
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio, timed

_BODY = {
    "data": {
        "req_data": [{"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}]
    }
}


def measure() -> list[Row]:
    """Compare each with the least that would do."""
    unlimited = "--requests_per_second=0"
    with instance.private("modelarts", flags=[unlimited]) as endpoint:
        added = 1e6 * _added(endpoint)
    with instance.private(
        "modelarts", flags=[unlimited, "--inference_delay_seconds=0.02"]
    ) as endpoint:
        one, eight = _many(endpoint)
    signing = _signing()
    faster = statistics.median(one) / statistics.median(eight)
    return [
        Row(
            "`modelarts.sign` of a request with 1 MB, against one SHA-256 of it",
            f"{signing:.2f}x",
            [at_most(signing, 3)],
        ),
        Row(
            "`modelarts.infer_many` with 8 threads against one after the other, "
            "with a model that takes 20 ms",
            f"{faster:.1f}x as fast",
            [at_least(faster, 2)],
        ),
        Row(
            "`modelarts.infer_json` against a bare call with a `requests` session",
            f"{added:.0f} microseconds more",
            [at_most(added, 150, " more")],
        ),
    ]


def _signing() -> float:
    content = bytes(range(256)) * 4096
    url = "https://infer.example.com/v1/infers/eb3e0c54-3dfa-4750-af0c-95c45e5d3e83"
    headers = {"Content-Type": "application/json"}

    def sign() -> object:
        request.headers.pop("Authorization", None)
        return modelarts.sign(request, "AK", "SK")

    request = requests.Request("POST", url, headers, data=content).prepare()

    def hashing() -> str:
        return hashlib.sha256(content).hexdigest()

    ours, bare = interleaved([timed(sign), timed(hashing)], rounds=200)
    return ratio(ours, bare)


def _many(endpoint: Endpoint) -> list[list[float]]:
    bodies = [_BODY] * 40
    modelarts.check(endpoint)

    def with_threads(threads: int) -> Callable[[], float]:
        return timed(
            lambda: modelarts.infer_many(endpoint, bodies, threads=threads, progress=False)
        )

    return interleaved([with_threads(1), with_threads(8)], rounds=5)


def _added(endpoint: Endpoint) -> float:
    session = requests.Session()
    session.trust_env, session.verify = False, endpoint.ca_file
    session.headers["X-Auth-Token"] = modelarts.get_token(endpoint).value
    channels.session(endpoint)

    def bare() -> object:
        return session.post(endpoint.rest, json=_BODY, timeout=45).json()

    def ours() -> object:
        return modelarts.infer_json(endpoint, _BODY)

    mine, plain = interleaved([timed(ours), timed(bare)], rounds=600)
    return statistics.median(a - b for a, b in zip(mine, plain, strict=True))
