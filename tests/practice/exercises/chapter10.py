"""Answers to the exercises of chapter 10."""

import collections
import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import yaml

from practice.rayserve.command import CONFIG

SERVICES = ("tfserving",)


def config(**options: Any) -> dict[str, Any]:
    text = yaml.safe_load(CONFIG.read_text("utf-8"))
    text["applications"][0]["deployments"][0] |= options
    return text


def other_route() -> dict[str, Any]:
    changed = copy.deepcopy(config(num_replicas=3, ray_actor_options={"num_cpus": 2}))
    changed["applications"][0]["route_prefix"] = "/other"
    return changed


def counted(names: list[str]) -> dict[str, float]:
    return {name: count / len(names) for name, count in collections.Counter(names).items()}


def by_arrays(versions: list[int]) -> Any:
    array = np.array(versions)
    return np.argmax(array == array.max()), np.flatnonzero(array == array.min())[-1]


def one_by_one(rate: int, seconds: float, processors: int) -> int:
    return next(n for n in itertools.count(1) if n * processors >= round(rate * seconds, 9))


def recursive(call: Callable[[], Any], tries: int) -> Any:
    try:
        return call()
    except grpc.RpcError as error:
        if tries == 1 or error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
    return recursive(call, tries - 1)


def whatever_it_is(call: Callable[[], Any], tries: int) -> Any:
    for attempt in range(tries):
        try:
            return call()
        except grpc.RpcError:
            if attempt == tries - 1:
                raise
    return None


def twice_only(call: Callable[[], Any], tries: int) -> Any:
    try:
        return call()
    except grpc.RpcError:
        return call()


RIGHT = {
    1: lambda: config(num_replicas=3, ray_actor_options={"num_cpus": 2.0}),
    2: lambda: counted,
    3: lambda: by_arrays,
    4: lambda: one_by_one,
    5: lambda: recursive,
}
WRONG = {
    1: [
        lambda: config(),
        lambda: config(num_replicas=3),
        lambda: {"num_replicas": 3},
        other_route,
        lambda: 3,
    ],
    2: [
        lambda: collections.Counter,
        lambda: lambda names: {"a": 1.0},
        lambda: lambda names: [1.0],
        lambda: lambda names: dict.fromkeys(names, "half"),
        lambda: {"a": 1.0},
    ],
    3: [
        lambda: lambda versions: (0, len(versions)),
        lambda: lambda versions: versions.index(2),
        lambda: lambda versions: (versions.index(2), versions.index(2) - 1),
    ],
    4: [
        lambda: lambda rate, seconds, processors: rate * seconds / processors,
        lambda: lambda rate, seconds, processors: int(rate * seconds / processors),
        lambda: lambda rate, seconds, processors: math.ceil(rate * seconds),
    ],
    5: [
        lambda: lambda call, tries: call(),
        lambda: whatever_it_is,
        lambda: twice_only,
        lambda: "again",
    ],
}
