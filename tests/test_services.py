"""Each practice service, started and called once: that all works on this machine."""

from collections.abc import Callable

import numpy as np
import pytest
import requests

import practice
from helpers import ccai, endpoints, modelarts, tfserving
from practice import manager, services, state

FLOWER = [5.1, 3.5, 1.4, 0.2]  # a setosa, the first of three kinds


def call_tfserving(profile: str) -> None:
    endpoint = endpoints.load("tfserving", profile).replace(model="iris")
    inputs = {"features": np.array([FLOWER], np.float32)}
    for protocol in ("grpc", "rest"):
        answer = tfserving.predict(endpoint, inputs, protocol=protocol)
        assert answer["probabilities"].argmax() == 0


def call_rayserve() -> None:
    endpoint = endpoints.load("tfserving", "practice-ray").replace(model="iris")
    answer = tfserving.predict(endpoint, {"features": np.array([FLOWER], np.float32)})
    assert answer["probabilities"].argmax() == 0


def call_ccai() -> None:
    speech = ccai.text_to_speech(endpoints.load("ccai"), "one two three")
    secure = endpoints.load("ccai", "practice-secure")
    assert "two" in ccai.speech_to_text(secure, speech, protocol="grpc")


def call_modelarts() -> None:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    body = {"data": {"req_data": [dict(zip(names, FLOWER, strict=True))]}}
    answer = modelarts.infer_json(endpoints.load("modelarts"), body)
    assert "setosa" in str(answer)


def call_proxy() -> None:
    proxy = state.read_services()["proxy"]["http"]
    status = f"{endpoints.load('tfserving').rest}/v1/models/iris"
    seen = practice.proxy_log()
    with requests.Session() as session:
        session.trust_env = False  # no_proxy would lead past it
        answer = session.get(status, proxies={"http": proxy}, timeout=30)
    assert answer.json()["model_version_status"][0]["state"] == "AVAILABLE"
    assert len(practice.proxy_log(since=seen)) == 1


CALLS: dict[str, Callable[[], None]] = {
    "tfserving": lambda: call_tfserving("practice"),
    "tfserving-tf": lambda: call_tfserving("practice-tf"),
    "ccai": call_ccai,
    "modelarts": call_modelarts,
    "proxy": call_proxy,
    "rayserve": call_rayserve,
}

NEEDS = {"tfserving-tf": pytest.mark.tensorflow, "rayserve": pytest.mark.ray}


def test_there_is_a_call_for_each_service() -> None:
    assert CALLS.keys() == services.SERVICES.keys()


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, ())) for name in CALLS])
def test_it_starts_and_answers(name: str) -> None:
    manager.up(name, *(["tfserving"] if name == "proxy" else []))
    CALLS[name]()
