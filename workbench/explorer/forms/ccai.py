"""The form of a path of CCAI, and the requests that it makes."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import ipywidgets as w

from helpers import ccai
from helpers.ccai import answers
from helpers.ccai import calls as ccai_wire
from helpers.ccai.speech import Speech
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.images import file_bytes
from workbench.code.ccai import preview
from workbench.explorer.calls import Request
from workbench.explorer.forms.base import OneThing
from workbench.explorer.uploads import Upload
from workbench.fields import Fields
from workbench.values import pictures


class _Service(NamedTuple):
    """A service that there is a function for: what it is given, and its method over gRPC."""

    gets: str
    method: str
    call: Callable[..., Any]


_SERVICES = {
    "tts": _Service("text", "", ccai.text_to_speech),
    "asr": _Service("speech", "ASR", ccai.speech_to_text),
    "ocr": _Service("image", "OCR", ccai.ocr),
    "face_detection": _Service("image", "FaceDetection", ccai.detect_faces),
    "facial_landmark": _Service("image", "FacialLandmark", ccai.facial_landmarks),
    "classification": _Service("image", "Classification", ccai.classify),
    "ppocr": _Service("image", "", partial(ccai.read_text, service="ppocr")),
    "digitalnote": _Service("image", "", partial(ccai.read_text, service="digitalnote")),
    "handwritten": _Service("image", "", partial(ccai.read_text, service="handwritten")),
}
_BY_METHOD = {each.method: each for each in _SERVICES.values() if each.method}


class CcaiForm(OneThing):
    """What one path of CCAI takes: a text, or a file; for others, the fields of the form.

    Parameters
    ----------
    endpoint : Endpoint
    path : str
        Such as `fcgi_py_ocr`; or a method of its gRPC service, such as `OCR`.
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """

    def __init__(
        self, endpoint: Endpoint, path: str, fields: Fields, changed: Callable[[], object]
    ) -> None:
        self.endpoint, self.path = endpoint, path
        self._service = _find(path)
        gets = self._service.gets if self._service else "form"
        has_method = bool(self._service and self._service.method)
        over = {
            "rest": endpoint.rest and path.startswith("fcgi"),
            "grpc": endpoint.grpc and has_method,
        }
        self.ways = tuple(way for way, possible in over.items() if possible)
        label = {"text": "Text", "form": "Other fields"}.get(gets, "")
        hint = {"text": "What to say", "form": 'as JSON: {"name": "value"}'}.get(gets, "")
        self.text = fields(w.Textarea, label, "What is sent", placeholder=hint)
        self.upload = Upload("the field image" if gets == "form" else gets, changed)
        shown = {"text": [self.text], "form": [self.upload, self.text]}.get(gets, [self.upload])
        super().__init__(fields, ccai.TIMEOUT, changed)
        self.children = [*shown, self.told, self.timeout]
        self._watch(self.text)

    def fill(self, value: Any) -> None:
        """Give the text, or a file by its path or bytes, from a cell."""
        if self._service and self._service.gets == "text":
            self.text.value = value
        else:
            self.upload.take([("a cell", file_bytes(value))])

    def summary(self) -> str:
        """Name the fields that would be sent; BadInput when one is missing."""
        file = self.upload.files[0][0] if self.upload.files else ""
        parts = (
            f"{name}: {len(value):,} bytes of {file}" if isinstance(value, bytes) else name
            for name, value in self._form().items()
        )
        return ", ".join(parts) or "no fields"

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        form, timeout = self._form(), self.timeout.value
        content = self.upload.content
        method = self._service.method if self._service else ""
        show = partial(
            preview,
            self.endpoint,
            self.path if self.path.startswith("fcgi") else "",
            form,
            method=method,
            content=content,
            timeout=timeout,
        )
        given = content or form.get("text", "")
        call = partial(self._call, form, content, timeout)
        return [Request(self.endpoint, self.path, given, self.ways, call, show)]

    def _form(self) -> dict[str, Any]:
        gets = self._service.gets if self._service else "form"
        if gets == "text":
            if not self.text.value.strip():
                raise BadInput("There is no text yet. Write what to say.")
            return {"text": self.text.value}
        content = self.upload.content
        if gets != "form" and not content:
            raise BadInput("There is no file yet. Choose one.")
        if gets == "speech":
            heard = Speech.read(content).resampled(16000)
            more = {"realtime": "OFFLINE", "language": "ENGLISH", "rate": 16000, "samplewidth": 2}
            return {**more, "speech": heard.pcm()}
        if gets == "image":
            pictures.check(content)
        others = _fields_of(self.text.value) if gets == "form" else {}
        return {**others, **({"image": content} if content else {})}

    def _call(self, form: dict[str, Any], content: bytes, timeout: float, way: str) -> Any:
        if self._service is None:
            return _posted(self.endpoint, self.path, form, timeout)
        how: dict[str, Any] = {"timeout": timeout}
        if self._service.method:
            how["protocol"] = way
        if self._service.gets == "image" and self._service.method and way == "rest":
            how["dialect"] = "py" if self.path.startswith("fcgi_py_") else "cpp"
        value = form["text"] if self._service.gets == "text" else content
        if self._service.gets == "speech":
            value = Speech.read(content)
        return self._service.call(self.endpoint, value, **how)


def _find(path: str) -> _Service | None:
    if path in _BY_METHOD:
        return _BY_METHOD[path]
    name = path.removeprefix("fcgi_").removeprefix("py_")
    found = _SERVICES.get(name)
    python_only = found is not None and (not found.method or found.gets == "speech")
    if python_only and not path.startswith("fcgi_py_"):
        return None
    return found


def _fields_of(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The fields are no JSON: {error}.") from error
    known = isinstance(found, dict) and all(
        isinstance(v, str | int | float) for v in found.values()
    )
    if not known:
        raise BadInput('The fields are an object of texts and numbers, such as {"text": "a"}.')
    return found


def _posted(endpoint: Endpoint, path: str, form: dict[str, Any], timeout: float) -> Any:
    """Return the data of an answer, or its text, where it is no JSON."""
    fields = {
        name: answers.base64_text(value) if isinstance(value, bytes) else value
        for name, value in form.items()
    }
    text = ccai_wire.send(endpoint, path, fields, timeout)
    return answers.data_of(text) if text.lstrip()[:1] in ("{", "[") else text
