"""Chapter 04: object detection over gRPC."""

import csv
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from PIL import Image

from helpers import endpoints, tfserving
from helpers.language import _
from helpers.serving_api import predict_pb2
from helpers.tensors import to_ndarray
from practice.exercises import Check, Wrong, expect, run
from practice.launch import ROOT

IMAGES = ROOT / "data" / "images"
_SURE = 0.5  # the score above which the chapter takes a candidate for a digit


def _only_scores(response: Any) -> None:
    expect(
        isinstance(response, predict_pb2.PredictResponse),
        _("the answer is what stub.Predict returns, a PredictResponse."),
    )
    names = sorted(response.outputs)
    expect(
        names == ["detection_scores"],
        _("the response still has the outputs {names}.", names=", ".join(names)),
    )
    scores = to_ndarray(response.outputs["detection_scores"])
    wanted = _detected("digits-06.png")["detection_scores"]
    expect(
        scores.shape == wanted.shape and np.allclose(scores, wanted, atol=1e-3),
        _("the scores are not those of the chapter's picture. Put it into the input again."),
    )


def _turned(digits: Any) -> None:
    outputs = _detect(_pixels("digits-06.png")[::-1])
    sure = outputs["detection_scores"][0] > _SURE
    wanted = sorted(outputs["detection_classes"][0][sure].astype(int).tolist())
    given = sorted(_whole_numbers(digits))
    expect(
        given != sorted(_truth("digits-06.png")),
        _("these are the digits of the picture as it was. Was it sent upside down?"),
    )
    expect(
        len(given) == len(wanted),
        _("the model is sure (a score above 0.5) of another number of digits."),
    )
    expect(given == wanted, _("the number of digits is right; at least one has another name."))


def _code_of_version(code: Any) -> None:
    name = code.name if isinstance(code, grpc.StatusCode) else str(code).rpartition(".")[2]
    expect(
        name in grpc.StatusCode.__members__,
        _("the answer is the error's code, a grpc.StatusCode or its name."),
    )
    expect(
        name != "INVALID_ARGUMENT",
        _("that is what a wrong input gives. Put the chapter's picture into the input again."),
    )
    expect(name == "NOT_FOUND", _("the service answers something else to version 7."))


def _least_sure(name: Any) -> None:
    stem = Path(str(name)).stem
    lowest = {path.stem: _lowest(path.name) for path in IMAGES.glob("digits-*.png")}
    expect(
        stem in lowest, _("the answer is the name of one of the ten files, such as digits-01.png.")
    )
    expect(
        lowest[stem] < 1,
        _("in {name} the model found no digit with a score above 0.5.", name=stem),
    )
    expect(
        lowest[stem] == min(lowest.values()),
        _("in {name} no digit has the lowest score; one in another picture has.", name=stem),
    )


def _lowest(name: str) -> float:
    """Return the lowest score of a digit that the model found, or 1 where it found none."""
    scores = _detected(name)["detection_scores"][0]
    return float(scores[scores > _SURE].min(initial=1))


def _client(detect: Any) -> None:
    address = endpoints.load("tfserving").grpc
    for name in ("digits-04.png", "digits-10.png", "digits-03.png"):
        returned = run(detect, address, str(IMAGES / name))
        wanted = _truth(name)
        given = _whole_numbers(returned)
        expect(
            sorted(given) == sorted(wanted),
            _(
                "for {name} it returned {given}; there are {count} digits in the picture.",
                name=name,
                given=given,
                count=len(wanted),
            ),
        )
        expect(
            given == wanted,
            _("for {name} the digits are right, but not from left to right.", name=name),
        )


def _whole_numbers(values: Any) -> list[int]:
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError) as error:
        raise Wrong(
            _("the answer is a list of digits, not {type}.", type=type(values).__name__)
        ) from error


def _truth(name: str) -> list[int]:
    """Return the digits of a picture from left to right."""
    with (IMAGES / "boxes.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == name]
    return [int(row["digit"]) for row in sorted(rows, key=lambda row: float(row["xmin"]))]


def _pixels(name: str) -> np.ndarray:
    with Image.open(IMAGES / name) as picture:
        return np.asarray(picture.convert("L"), "float32") / 255


def _detected(name: str) -> dict[str, np.ndarray]:
    return _detect(_pixels(name))


def _detect(pixels: np.ndarray) -> dict[str, np.ndarray]:
    endpoint = endpoints.load("tfserving").replace(
        model="digits_detector", signature_name="detected_model"
    )
    return tfserving.predict(endpoint, {"images": pixels[np.newaxis, :, :, np.newaxis]})


CHECKS: dict[int, Check] = {
    1: _only_scores,
    2: _turned,
    3: _code_of_version,
    4: _least_sure,
    5: _client,
}
