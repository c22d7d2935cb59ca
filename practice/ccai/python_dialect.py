"""CCAI's Python services: `/cgi-bin/fcgi_py_...`, one function each."""

import base64
import hashlib
import json
import logging
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from practice.ccai import pages
from practice.ccai.backend import Backend
from practice.ccai.engines import EngineFailed
from practice.ccai.sound import float_wav
from practice.host import pixels

MAX_FIELDS = 1000
MAX_LETTERS = 5000  # to speak at once; the original has no limit, but one caller would block all
NO_SPEAKER = (
    "Only generates wave file, not send to the host speaker because of the pulseaudio service "
    "error!"
)
NO_MICROPHONE = (
    "Error to get pulse server ip address. Please run pulseaudio and health-monitor services!"
)
Fields = Mapping[str, bytes]
log = logging.getLogger("practice.ccai")


def names() -> list[str]:
    """Return the services there are."""
    return [*_SPECIAL, *_SERVICES]


def answer(name: str, backend: Backend, request: Request, body: bytes) -> Response:
    """Answer one request.

    Parameters
    ----------
    name : str
        The path's end: `ocr` for `/cgi-bin/fcgi_py_ocr`.
    backend : Backend
    request : Request
        The services look at the body only, so any method will do; HEAD is answered without a look.
    body : bytes
        A form.
    """
    if request.method == "HEAD":
        return _text("")
    try:
        fields = _fields(body)
        if "healthcheck" in fields and int(fields["healthcheck"]) == 1:
            return _text("healthcheck ok")
        if name in _SPECIAL:
            return _text(_SPECIAL[name](fields, backend))
        return _text(_run(name, fields, backend))
    except Exception as error:
        # Whatever the form lacks ends here: the services themselves check nothing.
        log.info("fcgi_py_%s: %s: %.200s", name, type(error).__name__, error)
        return pages.unhandled_exception()


def _fields(body: bytes) -> Fields:
    # Of a repeated field the first counts; a blank one is as good as missing.
    parsed = parse_qs(body.decode("latin-1"), encoding="latin-1", max_num_fields=MAX_FIELDS)
    return {name: values[0].encode("latin-1") for name, values in parsed.items()}


def _run(name: str, fields: Fields, backend: Backend) -> str:
    service = _SERVICES[name]
    started = time.time()
    service.field(fields)  # before the policy: without it, a remote service stops as well
    if not backend.policy.local and not service.has_cloud_twin:
        return _dump({"ret": 2, "msg": "no remote inference"})
    try:
        backend.policy.check()
        data = service.run(fields, backend)
    except EngineFailed as failure:
        log.error("fcgi_py_%s: %s", name, failure)
        # Oddity: no data and no time, unlike the C++ services.
        return _dump({"ret": 1, "msg": "inference failed"})
    return _dump({"ret": 0, "msg": service.msg, "data": data, "time": _since(started)})


def _classification(fields: Fields, backend: Backend) -> Any:
    # Oddity: the bytes go to the engine unseen, so what is no image is its failure, not a 500.
    image = pixels.decode(_content(fields))
    if image is None:
        raise EngineFailed("the bytes are no image")
    name, confidence = backend.digit(image)
    return {"tag_list": [{"tag_name": name, "tag_confidence": confidence}]}


def _face_detection(fields: Fields, backend: Backend) -> Any:
    corners = ("x1", "y1", "x2", "y2")
    boxes = backend.squares(_image(fields)).tolist()
    return {"face_list": [dict(zip(corners, box, strict=True)) for box in boxes]}


def _facial_landmark(fields: Fields, backend: Backend) -> Any:
    image = _image(fields)
    points = [{"x": x, "y": y} for x, y in backend.points(image)]
    height, width = image.shape[:2]
    return {"image_width": width, "image_height": height, "face_shape_list": points}


def _ocr(fields: Fields, backend: Backend) -> Any:
    sides = ("x", "y", "width", "height")
    return {
        "item_list": [
            {
                "item": "",
                # Oddity: a list of one; over gRPC it is the object itself.
                "itemcoord": [dict(zip(sides, line.box, strict=True))],
                "itemstring": line.text,
                "word": [{"character": c, "confidence": sure} for c, sure in line.characters],
            }
            for line in backend.lines(_image(fields))
        ]
    }


def _ppocr(fields: Fields, backend: Backend) -> Any:
    # Oddity: each line comes with a space in front.
    return "".join(f" {line.text}" for line in backend.lines(_image(fields)))


def _digitalnote(fields: Fields, backend: Backend) -> Any:
    # Oddity: the fields latex, handwritten and html of the manual are not looked at.
    return "".join(f"{line.text}\n " for line in backend.lines(_image(fields)))


def _handwritten(fields: Fields, backend: Backend) -> Any:
    image = _image(fields)
    with backend.engine("reader") as reader:
        return reader.read_line(image)


def _formula(fields: Fields, backend: Backend) -> Any:
    _image(fields)
    return _no_engine(fields, backend)


def _no_engine(fields: Fields, backend: Backend) -> Any:
    raise EngineFailed("there is no engine for this service here")


def _tts(fields: Fields, backend: Backend) -> Any:
    text = _speakable(_words(fields))
    with backend.engine("speaker") as speaker:
        samples, rate = speaker.say(text)
    wav = float_wav(samples, rate)
    return {
        "format": 2,  # WAV, whatever the form's field of that name asks for
        "speech": base64.b64encode(wav).decode(),
        "md5sum": hashlib.md5(wav, usedforsecurity=False).hexdigest(),
    }


class _Service(NamedTuple):
    run: Callable[[Fields, Backend], Any]
    has_cloud_twin: bool = True
    msg: str = "ok"
    field: Callable[[Fields], Any] = lambda fields: _content(fields)


_SERVICES = {
    "classification": _Service(_classification),
    "face_detection": _Service(_face_detection),
    "facial_landmark": _Service(_facial_landmark),
    "ocr": _Service(_ocr),
    "ppocr": _Service(_ppocr, has_cloud_twin=False),
    "handwritten": _Service(_handwritten, has_cloud_twin=False),
    "formula": _Service(_formula, has_cloud_twin=False),
    "digitalnote": _Service(_digitalnote, has_cloud_twin=False),
    "segmentation": _Service(_no_engine, has_cloud_twin=False),
    "super_resolution": _Service(_no_engine, has_cloud_twin=False),
    # Oddity: a success says so; nobody here has the original's loudspeaker.
    "tts": _Service(_tts, msg=NO_SPEAKER, field=lambda fields: _words(fields)),
}


def _asr(fields: Fields, backend: Backend) -> str:
    started = time.time()
    realtime = fields["realtime"].decode()
    try:
        text = _recognized(realtime, fields, backend)
    except EngineFailed as failure:
        log.error("fcgi_py_asr: %s", failure)
        # Oddity: the reason is in the data, and the time is there, unlike elsewhere.
        envelope = {"ret": 1, "msg": "error", "data": {"text": str(failure)}}
    else:
        envelope = {"ret": 0, "msg": "ok", "data": {"text": text}}
    return _dump({**envelope, "time": _since(started)})


def _recognized(realtime: str, fields: Fields, backend: Backend) -> str:
    if realtime not in ("OFFLINE", "ONLINE_READ", "ONLINE_STOP"):
        raise EngineFailed("The realtime parameter error!")
    source = b"" if realtime == "OFFLINE" else fields["audio_input"]
    if fields["language"] == b"CHINESE" and realtime != "ONLINE_STOP":
        raise EngineFailed("There is no Chinese model here; ENGLISH works.")
    if realtime == "ONLINE_STOP":
        backend.live.stop()
        return "Stop online mode successfully"
    if realtime == "ONLINE_READ":
        if source == b"MIC":
            raise EngineFailed(NO_MICROPHONE)
        return backend.live.read(base64.b64decode(fields.get("speech", b"")))
    backend.live.stop()
    rate = int(fields["rate"])
    if "speech" not in fields:
        raise EngineFailed("Error: no speech data!")
    pcm = base64.b64decode(fields["speech"])
    if len(pcm) % 2 or int(fields["samplewidth"]) != 2 or abs(rate / 16000 - 1) >= 0.1:
        raise ValueError("only 16 bit at 16000 Hz is supported")
    return backend.transcribe(pcm)


def _policy(fields: Fields, backend: Backend) -> str:
    # Oddity: a form without fields succeeds too, and sets what the service starts with.
    local = int(fields.get("local", b"1")) != 0
    return backend.policy.set(fields.get("device", b"CPU").decode(), local)


_SPECIAL: dict[str, Callable[[Fields, Backend], str]] = {"asr": _asr, "policy": _policy}


def _words(fields: Fields) -> str:
    return fields["text"].decode()


def _content(fields: Fields) -> bytes:
    return base64.b64decode(fields["image"])


def _image(fields: Fields) -> Any:
    image = pixels.decode(_content(fields))
    if image is None:
        raise ValueError("the bytes are no image")
    return image


def _speakable(text: str) -> str:
    """Keep what the original's network knows: a to z, space, and four signs."""
    plain = unicodedata.normalize("NFD", text)
    plain = "".join(c for c in plain if unicodedata.category(c) != "Mn").lower()
    spoken = re.sub(r"\s+", " ", re.sub(r"[^a-z '.?]", " ", plain)).strip()
    if not re.search("[a-z]", spoken):
        raise ValueError("nothing in the text can be spoken")
    if len(spoken) > MAX_LETTERS:
        raise ValueError(f"the text is longer than {MAX_LETTERS} letters")
    return spoken


def _since(started: float) -> float:
    return round(time.time() - started, 3)


def _dump(envelope: dict[str, Any]) -> str:
    return json.dumps(envelope, indent=1)


def _text(body: str) -> Response:
    # Oddity: no charset. The JSON is ASCII only, so guessing wrong does no harm.
    return Response(body, headers={"content-type": "text/plain"})
