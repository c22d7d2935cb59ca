"""The form of a path of CCAI, and the requests that it makes."""

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
from helpers.language import _
from workbench.code.ccai import CcaiWriter
from workbench.explorer.calls import Request
from workbench.explorer.forms.form import Form, read_json
from workbench.explorer.uploads import Upload
from workbench.values import pictures


class _Service(NamedTuple):
    """What a service takes, its method over gRPC, and its function, where there are any."""

    takes: str  # text, speech, image; or form, for those that there is no function for
    method: str = ""
    call: Callable[..., Any] | None = None


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
_BY_METHOD = {service.method: service for service in _SERVICES.values() if service.method}
_OTHER = _Service("form")


class CcaiForm(Form):
    """What one path of CCAI takes, or a method of its gRPC service.

    A text, or a file; for paths that nothing is known of, the fields of a form.
    """

    TIMEOUT = ccai.TIMEOUT

    def make(self) -> None:
        """Make the fields of what the service takes."""
        self.path = self.target if self.target.startswith("fcgi") else ""
        self._service = _find(self.target)
        over_rest = self.endpoint.rest and self.path
        over_grpc = self.endpoint.grpc and self._service.method
        self.protocols = (*(["rest"] if over_rest else []), *(["grpc"] if over_grpc else []))
        takes = self._service.takes
        if takes == "text":
            self.text = self.field(
                w.Textarea, _("Text"), _("What is sent"), placeholder=_("What to say")
            )
        else:
            hint = _('as JSON: {"name": "value"}')
            self.text = self.field(
                w.Textarea, _("Other fields"), _("What is sent"), placeholder=hint
            )
        purposes = {"form": _("the field image"), "image": _("image"), "speech": _("speech")}
        self.upload = Upload(purposes.get(takes, takes), self._changed)
        fields = {"text": [self.text], "form": [self.upload, self.text]}.get(takes, [self.upload])
        self.children = [*fields, self.status, self.timeout]

    def fill(self, value: Any) -> None:
        """Give the text, or a file by its path or bytes, from a cell."""
        if self._service.takes == "text":
            self.text.value = value
        else:
            self.upload.take([(_("a cell"), file_bytes(value))])

    def summary(self) -> str:
        """Name the fields that would be sent; BadInput when one is missing."""
        file = self.upload.files[0][0] if self.upload.files else ""
        parts = (
            _("{name}: {size:,} bytes of {file}", name=name, size=len(value), file=file)
            if isinstance(value, bytes)
            else name
            for name, value in self._form().items()
        )
        return ", ".join(parts) or _("no fields")

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        form = self._form()
        content = self.upload.content
        how = {"content": content, "timeout": self.timeout.value}
        method = self._service.method
        writer = CcaiWriter(self.endpoint, self.path, form, method=method, **how)
        payload = content or form.get("text", "")
        return [self.request(payload, partial(self._call, form, **how), writer)]

    def _form(self) -> dict[str, Any]:
        takes = self._service.takes
        content = self.upload.content
        if takes == "text":
            if not self.text.value.strip():
                raise BadInput(_("There is no text yet. Write what to say."))
            return {"text": self.text.value}
        if takes == "form":
            fields = _fields_of(self.text.value)
            return {**fields, "image": content} if content else fields
        if not content:
            raise BadInput(_("There is no file yet. Choose one."))
        if takes == "image":
            pictures.check(content)
            return {"image": content}
        speech = Speech.read(content).resampled(16000).pcm()
        settings = {"realtime": "OFFLINE", "language": "ENGLISH", "rate": 16000, "samplewidth": 2}
        return {**settings, "speech": speech}

    def _call(self, form: dict[str, Any], protocol: str, content: bytes, timeout: float) -> Any:
        service = self._service
        if service.call is None:
            return _posted(self.endpoint, self.target, form, timeout)
        options: dict[str, Any] = {"timeout": timeout}
        if service.method:
            options["protocol"] = protocol
        if service.method and service.takes == "image" and protocol == "rest":
            options["dialect"] = "py" if self.path.startswith("fcgi_py_") else "cpp"
        value: Any = form.get("text", content)
        if service.takes == "speech":
            value = Speech.read(content)
        return service.call(self.endpoint, value, **options)


def _find(target: str) -> _Service:
    if target in _BY_METHOD:
        return _BY_METHOD[target]
    service = _SERVICES.get(target.removeprefix("fcgi_").removeprefix("py_"), _OTHER)
    python_only = not service.method or service.takes == "speech"
    return _OTHER if python_only and not target.startswith("fcgi_py_") else service


def _fields_of(text: str) -> dict[str, Any]:
    fields = read_json(text, _("The fields are no JSON: {error}.")) if text.strip() else {}
    simple = isinstance(fields, dict) and all(
        isinstance(value, str | int | float) for value in fields.values()
    )
    if not simple:
        raise BadInput(_('The fields are an object of texts and numbers, such as {"text": "a"}.'))
    return fields


def _posted(endpoint: Endpoint, path: str, form: dict[str, Any], timeout: float) -> Any:
    """Return the data of an answer, or its text, where it is no JSON."""
    fields = {
        name: answers.base64_text(value) if isinstance(value, bytes) else value
        for name, value in form.items()
    }
    text = ccai_wire.send(endpoint, path, fields, timeout)
    return answers.data_of(text) if text.lstrip()[:1] in ("{", "[") else text
