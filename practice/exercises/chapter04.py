"""Chapter 04: object detection over gRPC."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np

from helpers.errors import BadInput
from helpers.language import _
from helpers.serving_api import predict_pb2
from helpers.tensors import to_ndarray
from practice.exercises import Check, detector, expect
from practice.exercises.recorder import Call


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
    wanted = detector.detected("digits-06.png")["detection_scores"]
    expect(
        scores.shape == wanted.shape and np.allclose(scores, wanted, atol=1e-3),
        _("the scores are not those of the chapter's picture. Put it into the input again."),
    )


def _turned(digits: Any) -> None:
    outputs = detector.detect(detector.pixels("digits-06.png")[::-1])
    sure = outputs["detection_scores"][0] > detector.SURE
    wanted = sorted(outputs["detection_classes"][0][sure].astype(int).tolist())
    given = sorted(detector.whole_numbers(digits))
    expect(
        given != sorted(detector.truth("digits-06.png")),
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
    lowest = {path.stem: _lowest(path.name) for path in detector.IMAGES.glob("digits-*.png")}
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
    scores = detector.detected(name)["detection_scores"][0]
    return float(scores[scores > detector.SURE].min(initial=1))


def _client(function: Any) -> tuple[Call, ...]:
    names = ("digits-04.png", "digits-10.png", "digits-03.png")
    return detector.check_client(function, "grpc", names, _sent)


def _sent(call: Call) -> np.ndarray:
    request = call.predict_request
    spec = request.model_spec
    if (spec.name, spec.signature_name) != ("digits_detector", "detected_model"):
        return np.empty(0)
    try:
        return to_ndarray(request.inputs["images"])
    except BadInput:  # a service refuses it too
        return np.empty(0)


CHECKS: dict[int, Check] = {
    1: _only_scores,
    2: _turned,
    3: _code_of_version,
    4: _least_sure,
    5: _client,
}
