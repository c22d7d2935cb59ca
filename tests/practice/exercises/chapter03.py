"""Answers to the exercises of chapter 03."""

import base64
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import requests

from helpers import endpoints, tfserving
from practice.exercises import detector
from practice.launch import DATA

SERVICES = ("tfserving",)


def models() -> str:
    return f"{endpoints.load('tfserving').rest}/v1/models"


def ask(name: str, **body: Any) -> requests.Response:
    url = f"{models()}/digits_detector:predict"
    batch = detector.pixels(name).reshape(1, 96, 96, 1).tolist()
    key = body.pop("key", "instances")
    return requests.post(url, json={"signature_name": "detected_model", key: batch, **body})


def encoded(name: str) -> str:
    return base64.b64encode((DATA / "images" / name).read_bytes()).decode()


def body(name: str, digits: int, **more: Any) -> dict[str, Any]:
    rows = np.round(detector.pixels(name).astype(float), digits).reshape(1, 96, 96, 1).tolist()
    return {"signature_name": "detected_model", "inputs": {"images": rows}, **more}


def detect_with_the_helper(address: str, path: str) -> list[str]:
    endpoint = endpoints.Endpoint(
        "tfserving", rest=address, model="digits_detector", signature_name="detected_model"
    )
    images = detector.pixels(path).reshape(1, 96, 96, 1)
    outputs = tfserving.predict(endpoint, {"images": images}, protocol="rest")
    sure = outputs["detection_scores"][0] > 0.5
    order = outputs["detection_boxes"][0][sure][:, 1].argsort()
    return [str(int(digit)) for digit in outputs["detection_classes"][0][sure][order]]


def elsewhere(_address: str, path: str) -> list[str]:
    return detect_with_the_helper(endpoints.load("tfserving").rest, path)


def with_all_candidates(address: str, path: str) -> list[int]:
    row = ask(path).json()["predictions"][0]
    return row["detection_classes"]


def detect_by_rows(address: str, path: str) -> list[int]:
    rows = [{"images": detector.pixels(path).round(2).reshape(96, 96, 1).tolist()}]
    body: dict[str, Any] = {"signature_name": "detected_model", "instances": rows}
    url = f"{address}/v1/models/digits_detector/versions/1:predict"
    row = requests.post(url, json=body).json()["predictions"][0]
    columns = (row["detection_boxes"], row["detection_classes"], row["detection_scores"])
    candidates = zip(*columns, strict=True)
    sure = sorted((box[1], digit) for box, digit, score in candidates if score > 0.5)
    return [int(digit) for _, digit in sure]


def from_a_table_after_a_call(address: str, path: str) -> list[int]:
    requests.get(f"{address}/v1/models/digits_detector").raise_for_status()
    return detector.truth(Path(path).name)


RIGHT = {
    1: lambda: ask("digits-03.png"),
    2: lambda: json.dumps({"b64": encoded("digits-10.png")}),
    3: lambda: np.float32(0.72),
    4: lambda: Fraction(12),
    5: lambda: json.dumps(body("digits-03.png", 3), separators=(",", ":")).encode(),
    6: lambda: detect_with_the_helper,
}
WRONG = {
    1: [
        lambda: ask("digits-03.png", key="inputs").json(),
        lambda: ask("digits-02.png").json(),
        lambda: ask("digits-03.png", signature_name="other"),
        lambda: {"predictions": [1, 2]},
        lambda: 1,
    ],
    2: [
        lambda: {"b64": encoded("digit.png")},
        lambda: {"b64": encoded("digits-10.png").encode()},
        lambda: {"image_bytes": encoded("digits-10.png")},
        lambda: {"b64": "!"},
        lambda: encoded("digits-10.png"),
    ],
    3: [lambda: 0.1455, lambda: 1, lambda: 72, lambda: [0.1, 0.7]],
    4: [lambda: 438, lambda: 9, lambda: 0, lambda: {"classes": 4}],
    5: [
        lambda: body("digits-03.png", 9),
        lambda: body("digits-03.png", 2),
        lambda: body("digits-02.png", 3),
        lambda: body("digits-03.png", 3, signature_name="other"),
        lambda: np.zeros(3),
    ],
    6: [
        lambda: elsewhere,
        lambda: from_a_table_after_a_call,
        lambda: with_all_candidates,
        lambda: lambda *_: [],
        lambda: [9, 1, 5],
    ],
}
