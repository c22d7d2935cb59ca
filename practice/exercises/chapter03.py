"""Chapter 03: object detection over REST."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import requests

from helpers import endpoints
from helpers.language import _
from practice.exercises import Check, Wrong, detector, expect
from practice.exercises.recorder import Call
from practice.launch import DATA

_PICTURE = "digits-03.png"  # of the chapter
_BLANK = np.zeros((1, 8, 8, 1)).tolist()
_MOST = 100_000  # bytes of the body that the fifth exercise asks for
_CLOSE = 0.01  # between scores


def _rows(answer: Any) -> None:
    decoded = _decoded(answer)
    expect(
        not (isinstance(decoded, Mapping) and "outputs" in decoded),
        _("this is the answer to a request in the column format."),
    )
    rows: Any = decoded.get("predictions") if isinstance(decoded, Mapping) else decoded
    expect(isinstance(rows, list), _("there are no rows in this answer."))
    expect(len(rows) == 1, _("there are {count} rows for one picture.", count=len(rows)))
    wanted = detector.detected(_PICTURE)
    expect(
        isinstance(rows[0], Mapping) and rows[0].keys() == wanted.keys(),
        _("the row does not have the outputs of the detector."),
    )
    scores = np.asarray(rows[0]["detection_scores"])
    expect(
        np.allclose(scores, wanted["detection_scores"][0], atol=1e-3),
        _("the scores are not those of the chapter's picture."),
    )


def _file(answer: Any) -> None:
    encoded = _decoded(answer)
    expect(isinstance(encoded, Mapping), _("this is no object of JSON, which is a dict in Python."))
    keys = ", ".join(map(str, encoded))
    expect(keys == "b64", _("an object with the keys {keys} is not taken for a file.", keys=keys))
    text = encoded["b64"]
    expect(
        isinstance(text, str),
        _("the value is of type {type}, which JSON does not have.", type=type(text).__name__),
    )
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Wrong(_("the value is no base64.")) from error
    wanted = (detector.IMAGES / "digits-10.png").read_bytes()
    expect(content == wanted, _("the value holds other bytes than those of the file."))


def _blank(answer: Any) -> None:
    given = _number(answer)
    expect(0 <= given <= 1, _("a probability lies between 0 and 1."))
    newest, first = (_of_digits(path, _BLANK)[0]["probabilities"] for path in ("", "/versions/1"))
    expect(abs(given - max(first)) > _CLOSE, _("that is what the other version answers."))
    expect(abs(given - max(newest)) < _CLOSE, _("the model gives none of its digits so much."))


def _disagreements(answer: Any) -> None:
    given = _number(answer)
    labelled = np.load(DATA / "labelled" / "digits.npy").tolist()
    stable, canary = (
        np.array([row["classes"] for row in _of_digits(f"/labels/{label}", labelled)])
        for label in ("stable", "canary")
    )
    count = int((stable != canary).sum())
    expect(given != len(stable) - count, _("on so many the versions agree."))
    expect(given == count, _("the versions disagree on another number of pictures."))


def _small_body(answer: Any) -> None:
    body = answer if isinstance(answer, bytes) else _text(answer).encode()
    expect(len(body) < _MOST, _("the body has {size:,} bytes.", size=len(body)))
    url = f"{_models()}/digits_detector:predict"
    decoded = _decoded(requests.post(url, data=body, timeout=10))
    outputs = decoded["outputs"] if "outputs" in decoded else decoded["predictions"][0]
    scores = np.ravel(outputs["detection_scores"])
    wanted = detector.detected(_PICTURE)
    sure = wanted["detection_scores"][0] > detector.SURE
    change = np.abs(scores[: len(sure)] - wanted["detection_scores"][0])[sure].max()
    expect(
        change <= _CLOSE,
        _("a score changes by {change}, more than {close}.", change=f"{change:.3f}", close=_CLOSE),
    )
    classes = np.ravel(outputs["detection_classes"])[: len(sure)][sure]
    expect(
        classes.astype(int).tolist() == wanted["detection_classes"][0][sure].astype(int).tolist(),
        _("the detector names other digits."),
    )


def _client(function: Any) -> tuple[Call, ...]:
    names = ("digits-07.png", "digits-10.png", "digits-09.png")
    return detector.check_client(function, "rest", names, _sent)


def _sent(call: Call) -> np.ndarray:
    if not re.fullmatch(r"/v1/models/digits_detector(/[^:]*)?:predict", call.path):
        return np.empty(0)
    images = call.json.get("inputs", call.json.get("instances"))
    # By name, or without, as one input may be written; of rows, the first and only one.
    if isinstance(images, list) and images and isinstance(images[0], Mapping):
        images = images[0]
    if isinstance(images, Mapping):
        images = images.get("images")
    try:
        return np.asarray(images, "float32")
    except (TypeError, ValueError):  # a service refuses it too
        return np.empty(0)


def _decoded(answer: Any) -> Any:
    """Return the content of an answer: of a `Response`, of JSON as text, or as it is."""
    if isinstance(answer, requests.Response):
        answer = answer.text
    if isinstance(answer, str | bytes):
        try:
            answer = json.loads(answer)
        except ValueError as error:
            raise Wrong(_("this text is no JSON.")) from error
    if isinstance(answer, Mapping) and "error" in answer:
        text = str(answer["error"])[:200]
        raise Wrong(_("the service refused the request: {error}.", error=text))
    return answer


def _text(body: Any) -> str:
    if isinstance(body, str):
        return body
    try:
        return json.dumps(body)
    except (TypeError, ValueError) as error:
        raise Wrong(_("this cannot be written as JSON: {error}.", error=error)) from error


def _number(answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError) as error:
        raise Wrong(
            _("the answer is one number, not {type}.", type=type(answer).__name__)
        ) from error


def _of_digits(path: str, images: list[Any]) -> list[dict[str, Any]]:
    """Return the rows that a version or label of `digits` answers."""
    url = f"{_models()}/digits{path}:predict"
    answer = requests.post(url, json={"instances": images}, timeout=30)
    return answer.json()["predictions"]


def _models() -> str:
    return f"{endpoints.load('tfserving').rest}/v1/models"


CHECKS: dict[int, Check] = {
    1: _rows,
    2: _file,
    3: _blank,
    4: _disagreements,
    5: _small_body,
    6: _client,
}
