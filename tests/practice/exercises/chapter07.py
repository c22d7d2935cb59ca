"""Answers to the exercises of chapter 07."""

import json
import random
import threading
from typing import Any

import grpc
import requests

from helpers.serving_api import model_service_pb2_grpc

SERVICES = ("tfserving", "ccai")
CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def with_jitter(number: int) -> float:
    limits = [0.2, 0.4, 0.8, 1.6]
    return random.random() * (limits[number] if number < len(limits) else 2)


def by_name(error: Any) -> bool:
    hopeless = any(words in error.details() for words in ("4194304", "Hostname"))
    return error.code().name in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"} and not hopeless


def blind_to_names(error: Any) -> bool:
    too_large = "larger" in error.details()
    return error.code().name in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"} and not too_large


def by_code_alone(error: Any) -> bool:
    return error.code().name in {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}


def with_a_policy(address: str, request: Any, seconds: float) -> Any:
    options = [("grpc.service_config", json.dumps(CONFIG))]
    with grpc.insecure_channel(address, options) as channel:
        return model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, seconds)


def once(address: str, request: Any, seconds: float) -> Any:
    with grpc.insecure_channel(address) as channel:
        return model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, seconds)


def whatever_the_error(address: str, request: Any, seconds: float) -> Any:
    for _number in range(4):
        try:
            return once(address, request, seconds)
        except grpc.RpcError:
            continue
    return None


def without_a_deadline(address: str, request: Any, seconds: float) -> Any:
    while True:
        try:
            return once(address, request, seconds)
        except grpc.RpcError as error:
            if error.code().name != "UNAVAILABLE":
                raise
            threading.Event().wait(0.05)  # not to keep the machine busy


RIGHT = {
    1: lambda: requests.exceptions.ReadTimeout("read timed out"),
    2: lambda: "3",
    3: lambda: with_jitter,
    4: lambda: by_name,
    5: lambda: with_a_policy,
}
WRONG = {
    1: [
        lambda: requests.ConnectTimeout,
        lambda: requests.Timeout(),
        lambda: "ConnectionError",
        lambda: "DeadlineExceeded",
    ],
    2: [lambda: 2, lambda: 5, lambda: "three"],
    3: [
        lambda: lambda number: min(0.2 * 2**number, 2),
        lambda: lambda number: random.uniform(0, 0.2 * 2**number),
        lambda: lambda number: random.uniform(0, 0.2),
        lambda: lambda number: str(with_jitter(number)),
        lambda: 0.2,
    ],
    4: [
        lambda: by_code_alone,
        lambda: blind_to_names,
        lambda: lambda error: True,
        lambda: lambda error: error.code().name == "UNAVAILABLE",
        lambda: lambda error: "yes",
    ],
    5: [lambda: once, lambda: whatever_the_error, lambda: without_a_deadline, lambda: 5],
}
