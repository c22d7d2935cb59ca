"""CCAI's C++ services: `/cgi-bin/fcgi_...` and `streaming`, with JSON written by hand.

Their line ends are CR LF in some places and LF in others; tests compare them byte by byte.
"""

import base64
import json
import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import psutil
from starlette.requests import Request
from starlette.responses import Response

from practice.ccai.backend import Backend
from practice.ccai.engines import EngineFailed
from practice.host import pixels

FORM = "application/x-www-form-urlencoded"
_SAFE = {"x-content-type-options": "nosniff", "x-frame-options": "deny"}
# Oddity: the character set has a header of its own.
_HEADERS = {"content-type": "text/html", "charset": "utf-8", **_SAFE}
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "DELETE, POST, GET, OPTIONS",
    "access-control-allow-headers": "Content-Type, Access-Control-Allow-Headers, Authorization, "
    "X-Requested-With",
}
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
# Oddity: whatever is no base64 counts as A, the letter for zero.
_LENIENT = bytes(code if code in _BASE64 else ord("A") for code in range(256))
_NO_LENGTH = "get content length error"
log = logging.getLogger("practice.ccai")


def names() -> list[str]:
    """Return the services there are."""
    return ["policy", *_SERVICES]


def answer(name: str, backend: Backend, request: Request, body: bytes) -> Response:
    """Answer one request.

    Parameters
    ----------
    name : str
        The path's end: `ocr` for `/cgi-bin/fcgi_ocr`.
    backend : Backend
    request : Request
        Has to say that its body is a form, and its length before it is sent.
    body : bytes
        A form; it ends at its first NUL, as a text in C does.
    """
    if FORM not in request.headers.get("content-type", ""):
        return _refused("not Acceptable")
    if "content-length" not in request.headers:
        return _refused(_NO_LENGTH)
    started = time.time()
    form = body.partition(b"\0")[0]
    if _field(form, b"healthcheck") == b"1":
        return _text("healthcheck ok")
    if name == "policy":
        return _text(_policy(form, backend))
    image = pixels.decode(_decode_base64(unquote_to_bytes(_field(form, b"image"))))
    run, end = _SERVICES[name]
    if image is not None:
        text = _inferred(name, run, end, image, backend)
    else:  # Oddity: what follows makes it no JSON at all.
        text = f"error: frame is empty{end if end == _BARE else ''}"
    # Cut, not rounded, unlike the Python services.
    seconds = f"{time.time() - started:.6f}"[:-3]
    return _text(f'{text}\t"time":{seconds}\n}}')


def _inferred(name: str, run: Callable, end: str, image: Any, backend: Backend) -> str:
    if run is _no_engine and not backend.policy.local:
        return f'{{\r\n\t"ret":2,\r\n\t"msg":"can not support remote inference"{end}'
    try:
        backend.policy.check()
        data = run(image, backend)
    except EngineFailed as failure:
        log.error("fcgi_%s: %s", name, failure)
        return f'{{\r\n\t"ret":1,\r\n\t"msg":"inference error"{end}'
    if data is None:
        return "error: no face is detected"
    return f'{{\r\n\t"ret":0,\r\n\t"msg":"ok",\r\n\t"data":{{\r\n{data}\t}},\r\n'


def _classification(image: Any, backend: Backend) -> str:
    name, confidence = backend.digit(image)
    tag = f'\t\t\t{{"tag_name":{_quoted(name)},"tag_confidence":{confidence:.6f}}}\n'
    return f'\t\t"tag_list":[\r\n{tag if confidence > 0.5 else ""}\t\t]\r\n'


def _face_detection(image: Any, backend: Backend) -> str:
    # Oddity: neither made square nor enlarged, unlike those of the Python service.
    with backend.engine("faces") as faces:
        boxes = faces.find(image).tolist()
    sides = ("x1", "y1", "x2", "y2")
    return _list("face_list", [_object(2, zip(sides, box, strict=True)) for box in boxes])


def _facial_landmark(image: Any, backend: Backend) -> str | None:
    points = backend.points(image)
    if not points:
        return None
    height, width = image.shape[:2]
    items = [f'\t\t\t{{"x":{x:.6f},\n\t\t\t"y":{y:.6f}}}' for x, y in points]
    size = f'\t\t"image_width":{width:.6f},\n\t\t"image_height":{height:.6f},\n'
    return size + _list("face_shape_list", items)


def _ocr(image: Any, backend: Backend) -> str:
    return _list("item_list", map(_ocr_item, backend.lines(image)))


def _ocr_item(line: Any) -> str:
    place = (f"{value:.6f}" for value in line.box)
    # Oddity: "words", which the Python service calls "word".
    words = (
        _object(3, [("character", _quoted(character)), ("confidence", f"{confidence:.6f}")])
        for character, confidence in line.characters
    )
    return (
        '\t\t{\n\t\t\t"itemcoord":[\n'
        + _object(3, zip(("x", "y", "width", "height"), place, strict=True))
        + '\n\t\t\t],\n\t\t\t"words":[\n'
        + ",\n".join(words)
        + f'\t\t\t],\n\t\t\t"itemstring":{_quoted(line.text)}\n\t\t}}'
    )


def _list(name: str, items: Iterable[str]) -> str:
    return f'\t\t"{name}":[\r\n' + ",\n".join(items) + "\t\t]\r\n"


def _object(depth: int, fields: Iterable[tuple[str, object]]) -> str:
    tabs = "\t" * depth
    lines = ",\n".join(f'{tabs}\t"{name}":{value}' for name, value in fields)
    return f"{tabs}{{\n{lines}\n{tabs}}}"


def _no_engine(image: Any, backend: Backend) -> str:
    raise EngineFailed("there is no engine for this service here")


_LINE = ",\r\n"
_BARE = ",\n"
# What is behind `msg` when there are no data: each service has its own line end.
_SERVICES: dict[str, tuple[Callable[[Any, Backend], str | None], str]] = {
    "classification": (_classification, _LINE),
    "classification_pd": (_classification, _LINE),
    "classification_tf": (_classification, _LINE),
    "classification_torch": (_classification, _LINE),
    "face_detection": (_face_detection, _LINE),
    "face_detection_onnx": (_face_detection, _LINE),
    "face_detection_torch": (_face_detection, _LINE),
    "facial_landmark": (_facial_landmark, _LINE),
    "ocr": (_ocr, _LINE),
    "segmentation": (_no_engine, _BARE),
    "super_resolution": (_no_engine, _BARE),
}


def _policy(form: bytes, backend: Backend) -> str:
    # Oddity: nothing is unquoted here, so a device with a colon or a comma is never known.
    device = _field(form, b"device").decode("latin-1")
    return backend.policy.set(device, local=_field(form, b"local") != b"0")


def streaming(request: Request, body: bytes) -> Response:
    """Answer `/cgi-bin/streaming` as a machine without a camera does: -1 for every start."""
    if not request.headers.get("content-type"):
        return _refused("not Acceptable")
    if "content-length" not in request.headers:
        return _refused(_NO_LENGTH)
    if b"healthcheck=1" in body:
        return _text("healthcheck ok")
    try:
        values = {}
        for name, value in json.loads(body.partition(b"\0")[0]).items():
            # Oddity: keys and methods are compared by their first letters only.
            for key in ("pipeline", "method"):
                if name.startswith(key):
                    values[key] = value
        pipeline = values["pipeline"]
        method = values["method"]
    except (ValueError, AttributeError, KeyError, RecursionError):
        return _text("-1")
    # No pipeline ever runs: to stop or read it is a success, to configure it is not.
    failed = pipeline is None or method is None or str(method).startswith(("start", "config"))
    return _text("-1" if failed else "0")


def smartphoto(request: Request, body: bytes) -> Response:
    """Answer `/cgi-bin/smartphoto` as it does when it cannot: there are no photographs here."""
    if "content-length" not in request.headers:
        return _refused(_NO_LENGTH, _CORS)
    well = _field(body.partition(b"\0")[0], b"healthcheck") == b"1"
    headers = {**_HEADERS, "content-type": "application/json", **_CORS}
    return Response("healthcheck ok" if well else '{"result" : -1}', headers=headers)


INFORMATION = ("cpuinfo", "gpuinfo", "meminfo", "apiinfo")


def information(name: str, paths: Iterable[str], request: Request, body: bytes) -> Response:
    """Answer `fcgi_cpuinfo` and the others of `INFORMATION`."""
    texts = {"cpuinfo": _cpu, "meminfo": _memory, "gpuinfo": _gpu}
    text = texts[name]() if name in texts else "".join(f"{path}\n" for path in paths)
    return Response(text, headers={"content-type": "text/plain", **_SAFE})


def _cpu() -> str:
    model = platform.processor()
    cores = range(psutil.cpu_count() or 1)
    lines = (f"processor\t: {core}\nmodel name\t: {model}\n\n" for core in cores)
    return _file("/proc/cpuinfo") or "".join(lines)


def _memory() -> str:
    memory = psutil.virtual_memory()
    lines = f"MemTotal: {memory.total // 1024} kB\nMemAvailable: {memory.available // 1024} kB\n"
    return _file("/proc/meminfo") or lines


def _gpu() -> str:
    card = "/sys/class/drm/card0"
    text = f"Vendor: {_file(f'{card}/device/vendor').strip()}\n"
    text += f"Device: {_file(f'{card}/device/device').strip()}\n"
    for name in ("max", "min", "cur", "RP0", "RP1", "RPn"):
        frequency = _file(f"{card}/gt_{name}_freq_mhz")
        text += f"{name}: {frequency}" if frequency else ""
    return text


def _file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or no such device
        return ""


def _field(form: bytes, name: bytes) -> bytes:
    # Oddity: the name is looked for anywhere, also inside another name or a value.
    return form.partition(name + b"=")[2].partition(b"&")[0]


def _decode_base64(text: bytes) -> bytes:
    """Decode as the original does: without ever finding an error."""
    text = text.translate(_LENIENT, delete=b"\r\n")
    text = text[: len(text) - len(text) % 4]
    letters = text.rstrip(b"=")
    padding = min(len(text) - len(letters), 2)
    letters = text[: len(text) - padding].replace(b"=", b"A")
    return base64.b64decode(letters + b"=" * padding)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _refused(text: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(text, 404, headers={"content-type": "text/html", **(headers or {})})


def _text(body: str) -> Response:
    return Response(body, headers=_HEADERS)
