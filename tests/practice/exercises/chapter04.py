"""Answers to the exercises of chapter 04."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from helpers import endpoints, tfserving
from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_tensor_proto
from practice.exercises import detector
from practice.launch import ROOT

SERVICES = ("tfserving",)
IMAGES = ROOT / "data" / "images"


def pixels(name: str) -> np.ndarray:
    with Image.open(IMAGES / name) as picture:
        return np.array(picture.convert("L"), "float32").reshape(1, 96, 96, 1) / 255


def response(name: str, *outputs: str) -> predict_pb2.PredictResponse:
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = "digits_detector"
    request.model_spec.signature_name = "detected_model"
    request.inputs["images"].CopyFrom(to_tensor_proto(pixels(name)))
    with grpc.insecure_channel(endpoints.load("tfserving").grpc) as channel:
        return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request)


def detect_with_the_helper(address: str, path: str) -> list[int]:
    endpoint = endpoints.Endpoint(
        "tfserving", grpc=address, model="digits_detector", signature_name="detected_model"
    )
    outputs = tfserving.predict(endpoint, {"images": pixels(path)})
    rows = zip(
        outputs["detection_scores"][0],
        outputs["detection_boxes"][0],
        outputs["detection_classes"][0],
        strict=True,
    )
    sure = [(box[1], digit) for score, box, digit in rows if score >= 0.5]
    return [int(digit) for _, digit in sorted(sure)]


def elsewhere(_address: str, path: str) -> list[int]:
    return detect_with_the_helper(endpoints.load("tfserving").grpc, path)


def from_a_table(_address: str, path: str) -> list[int]:
    return detector.truth(Path(path).name)


def from_a_table_after_a_call(address: str, path: str) -> list[int]:
    tfserving.status(endpoints.Endpoint("tfserving", grpc=address, model="digits_detector"))
    return detector.truth(Path(path).name)


def with_another_picture(address: str, path: str) -> list[int]:
    detect_with_the_helper(address, str(IMAGES / "digits-01.png"))
    return detector.truth(Path(path).name)


def unsorted(address: str, path: str) -> list[int]:
    return sorted(detect_with_the_helper(address, path))


def with_a_wrong_name(address: str, path: str) -> Any:
    return tfserving.predict(endpoints.Endpoint("tfserving", grpc=address, model="digit"), {})


RIGHT = {
    1: lambda: response("digits-06.png", "detection_scores"),
    2: lambda: np.array([4, 0, 4]),
    3: lambda: "NOT_FOUND",
    4: lambda: IMAGES / "digits-09.png",
    5: lambda: detect_with_the_helper,
}
WRONG = {
    1: [
        lambda: response("digits-06.png"),
        lambda: response("digits-05.png", "detection_scores"),
        lambda: response("digits-06.png", "detection_boxes"),
        lambda: [0.94, 0.84, 0.75],
    ],
    2: [lambda: [6, 4, 0], lambda: [0, 4], lambda: [0, 4, 9], lambda: 0],
    3: [
        lambda: grpc.StatusCode.INVALID_ARGUMENT,
        lambda: grpc.StatusCode.UNAVAILABLE,
        lambda: "the service",
    ],
    4: [lambda: "digits-05.png", lambda: "digits-10.png", lambda: 9],
    5: [
        lambda: elsewhere,
        lambda: from_a_table,
        lambda: from_a_table_after_a_call,
        lambda: with_another_picture,
        lambda: unsorted,
        lambda: with_a_wrong_name,
        lambda: [6, 4, 0],
        lambda: lambda *_: [],
    ],
}
