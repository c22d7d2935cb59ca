"""The inference services: what each takes and gives, and the model that does the work."""

import json
import logging
import math
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import JSONResponse

from practice.ccai.engines import EngineFailed
from practice.host import limits, pixels
from practice.modelarts.answers import dispatcher, gateway, recognition_failed
from practice.tfserving.engine import Task

log = logging.getLogger("practice.modelarts")
FLOWERS = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_MOST_VALUES = 2**20  # of a JSON document: 12 MB of flowers are fewer, but not 12 MB of brackets
_FORM = "multipart/form-data"
_SIZE = 96  # pixels on each side of what the detector takes
_CERTAIN = 0.5  # the detector's scores below this mean nothing


class NotRecognized(Exception):
    """Raised by a model for an input that it can do nothing with."""


class Model:
    """One model with its engine, loaded when it is deployed.

    Parameters
    ----------
    name : str
        A folder of `folder`.
    folder : Path
    """

    signature = "serving_default"

    def __init__(self, name: str, folder: Path) -> None:
        from practice.tfserving.litert import LiteRTModel  # 30 ms: the port opens without it

        self._engine = LiteRTModel(str(folder / name / "1" / "model.tflite"))
        outputs = tuple(self._engine.signatures[self.signature].outputs)
        self._tasks = [Task(self.signature, outputs)]

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Run the model."""
        return self._engine.run(self._tasks, inputs, math.inf)[0]

    def answer(self, content: Any) -> dict[str, Any]:
        """Answer what was sent: read JSON, or a form's fields by name."""
        raise NotImplementedError


class Iris(Model):
    """`meta` and `data.req_data` to `meta` and `data.resp_data`."""

    def answer(self, content: Any) -> dict[str, Any]:
        """Tell each flower."""
        try:
            rows = content["data"]["req_data"]
            meta = content.get("meta") or {}
            features = np.array([[_number(row[name]) for name in FIELDS] for row in rows])
            uuid = meta.get("uuid", "")
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise NotRecognized(f"{type(error).__name__}: {error}") from error
        if not isinstance(rows, list) or not rows:
            raise NotRecognized("req_data is no list with something in it")
        with np.errstate(over="ignore"):
            lengths = features.astype(np.float32)
        if not np.isfinite(lengths).all():
            raise NotRecognized("a length is larger than the model's numbers can be")
        best = self.run(features=lengths)["probabilities"].argmax(axis=1)
        flowers = [
            row | {"predictresult": FLOWERS[flower]} for row, flower in zip(rows, best, strict=True)
        ]
        return {"meta": {"uuid": uuid}, "data": {"resp_data": flowers}}


class Digits(Model):
    """A picture of one digit to `predicted_label` and `scores`."""

    def answer(self, content: Any) -> dict[str, Any]:
        """Tell the digit."""
        from practice.ccai.engines.digits import prepared  # 30 ms: the port opens without it

        try:
            pixels = prepared(_pixels(content))
        except EngineFailed as error:
            raise NotRecognized(str(error)) from error
        scores = self.run(images=pixels[np.newaxis, ..., np.newaxis])["probabilities"][0]
        order = np.argsort(-scores, kind="stable")
        return {
            "predicted_label": str(order[0]),
            "scores": [[str(digit), float(scores[digit])] for digit in order],
        }


class Detector(Model):
    """A picture to `detection_classes`, `detection_boxes` and `detection_scores`."""

    signature = "detected_model"

    def answer(self, content: Any) -> dict[str, Any]:
        """Find the digits; a box is ymin, xmin, ymax, xmax in pixels of the picture sent."""
        import cv2  # 30 ms: the port opens without it

        pixels = _pixels(content)
        height, width = pixels.shape[:2]
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        small = cv2.resize(grey, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
        white = small.astype(np.float32)[np.newaxis, ..., np.newaxis] / np.float32(255)
        outputs = self.run(images=white)
        scores = outputs["detection_scores"][0]
        sure = scores >= _CERTAIN
        boxes = outputs["detection_boxes"][0][sure] * np.array([height, width] * 2, np.float32)
        return {
            "detection_classes": [str(int(name)) for name in outputs["detection_classes"][0][sure]],
            "detection_boxes": boxes.tolist(),
            "detection_scores": scores[sure].tolist(),
        }


# In the order in which they are deployed: whoever is answered by the last one finds all running.
KINDS: dict[str, type[Model]] = {"digits_detector": Detector, "digits": Digits, "iris": Iris}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{type(value).__name__} is no number")
    return float(value)


def _pixels(content: Any) -> Any:
    files = content.get("images", []) if isinstance(content, dict) else []
    if not isinstance(files, list) or len(files) != 1 or not isinstance(files[0], bytes):
        raise NotRecognized("there has to be one file in the field images")
    image = pixels.decode(files[0])
    if image is None:
        raise NotRecognized("the file is no picture")
    return image


async def read(headers: Headers, body: bytes) -> Any:
    """Read a request's body: the files of a form by name, or JSON.

    Whatever is no form is read as JSON, also without a Content-Type: the documentation's own
    Python sends none.
    """
    if not body:
        raise dispatcher(400, "4202", "The request is empty.")
    if headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        return await _read_form(headers, body)
    if limits.json_values(body) > _MOST_VALUES:
        raise gateway(413, "0201", "Request entity too large")
    try:
        # In a thread: a large one takes a while.
        return await run_in_threadpool(json.loads, body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise dispatcher(400, "4105", "The request body is not correct JSON.") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


async def _read_form(headers: Headers, body: bytes) -> dict[str, list[Any]]:
    async def stream() -> Any:
        yield body

    _, options = parse_options_header(headers["content-type"])
    if b"--" + options.get(b"boundary", b"") + b"--" not in body:
        raise dispatcher(400, "4200", "The form has no end.")
    try:
        form = await MultiPartParser(headers, stream(), max_part_size=len(body)).parse()
    except (MultiPartException, ValueError, LookupError, UnicodeError, KeyError) as error:
        raise dispatcher(400, "4200", "The request is no multipart form.") from error
    fields: dict[str, list[Any]] = {}
    for name, value in form.multi_items():
        content = value if isinstance(value, str) else await value.read()
        fields.setdefault(name, []).append(content)
    await form.close()
    return fields


def problem(deployments: "Iterable[Deployment]") -> str:
    """Tell which services do not run, but might; one that failed would fail again."""
    return ", ".join(
        f"{deployment.name} is {deployment.status}"
        for deployment in deployments
        if deployment.status in ("waiting", "deploying", "stopped")
    )


class Deployment:
    """A service as its owner sees it: its state, its counters, and the model while it runs.

    Parameters
    ----------
    name : str
    folder : Path
        Where the models are.
    delay : float
        Seconds added to each inference: for tests that need a slow model.
    """

    def __init__(self, name: str, folder: Path, delay: float = 0) -> None:
        self.name = name
        self._folder = folder
        self._delay = delay
        self.status = "waiting"
        self.error = ""
        self.published = time.time()
        self.calls = 0
        self.failures = 0
        self._model: Model | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Deploy it, in a thread of its own."""
        self.status = "deploying"
        threading.Thread(target=self.load, daemon=True).start()

    def stop(self) -> None:
        """Stop it; the model is let go."""
        self.status = "stopped"
        self._model = None

    def load(self) -> None:
        """Deploy it, and return when it runs or has failed."""
        self.status = "deploying"
        self.error = ""
        try:
            self._model = KINDS[self.name](self.name, self._folder)
        except Exception as error:  # whatever it is, its owner should read it
            log.error("%s cannot be deployed: %s", self.name, error)
            self.error = str(error)
            self.status = "failed"
        else:
            self.published = time.time()
            self.status = "running"
            log.info("%s is running.", self.name)

    def model(self) -> Model:
        """Return the model; Refusal while the service does not run."""
        model = self._model
        if self.status != "running" or model is None:
            raise dispatcher(400, "4203", f"service {self.name} unavailable: it is {self.status}")
        return model

    def infer(self, model: Model, content: Any) -> JSONResponse:
        """Let the model answer; Refusal when it cannot."""
        with self._lock:
            self.calls += 1
        try:
            if self._delay:
                time.sleep(self._delay)
            return JSONResponse(model.answer(content))
        except Exception as error:
            with self._lock:
                self.failures += 1
            log.info("%s: %s: %.200s", self.name, type(error).__name__, error)
            raise recognition_failed() from error
