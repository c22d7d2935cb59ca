"""Answers to the exercises of chapter 00."""

from collections.abc import Iterator

import numpy as np
import requests
from PIL import Image

from helpers import endpoints, tfserving
from practice import DATA

SERVICES = ("tfserving",)


def detected(name: str) -> Iterator[int]:
    """Ask over gRPC, in place of the chapter's REST; yields the digits from right to left."""
    with Image.open(DATA / "images" / name) as picture:
        images = np.array(picture.convert("L"), "float32").reshape(1, 96, 96, 1) / 255
    endpoint = endpoints.load("tfserving").replace(model="digits_detector")
    outputs = tfserving.predict(endpoint, {"images": images}, signature_name="detected_model")
    lefts = outputs["detection_boxes"][0, :, 1]
    for index in reversed(np.argsort(lefts)):
        if outputs["detection_scores"][0, index] > 0.5:
            yield outputs["detection_classes"][0, index]


def state_of_iris() -> str:
    answer = requests.get(f"{endpoints.load('tfserving').rest}/v1/models/iris", timeout=10).json()
    return answer["model_version_status"][0]["state"]


RIGHT = {
    1: lambda: detected("digits-07.png"),
    2: state_of_iris,
    3: lambda: endpoints.Endpoint("tfserving", grpc="192.0.2.7:8500", model="iris"),
}
WRONG = {
    1: [
        lambda: detected("digits-02.png"),
        lambda: [7, 1, 0],
        lambda: [7, 1, 0, 9],
        lambda: 4,
        lambda: ["boxes"],
    ],
    2: [lambda: "LOADING", lambda: "OK", lambda: {"state": "AVAILABLE"}],
    3: [
        lambda: "192.0.2.7:8500",
        lambda: endpoints.Endpoint("ccai", grpc="192.0.2.7:8500"),
        lambda: endpoints.Endpoint("tfserving", rest="http://192.0.2.7:8501", model="iris"),
        lambda: endpoints.Endpoint("tfserving", grpc="192.0.2.7:8501", model="iris"),
        lambda: endpoints.Endpoint("tfserving", grpc="192.0.2.7:8500", model="digits"),
        lambda: endpoints.Endpoint(
            "tfserving", grpc="192.0.2.7:8500", model="iris", signature_name="detected_model"
        ),
    ],
}
