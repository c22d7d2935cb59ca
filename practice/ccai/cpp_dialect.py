"""CCAI's C++ services: `/cgi-bin/fcgi_...` and `streaming`, with JSON written by hand.

Their line ends are CR LF in some places and LF in others; tests compare them byte by byte.
"""

import base64
import json
import logging
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import psutil
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
log = logging.getLogger("practice.ccai")


def answer(
    name: str, content_type: str, has_length: bool, body: bytes, backend: Backend
) -> Response:
    """Answer one request.

    Parameters
    ----------
    name : str
        The path's end: `ocr` for `/cgi-bin/fcgi_ocr`.
    content_type : str
        Has to say that the body is a form.
    has_length : bool
        Whether the request told its length before sending.
    body : bytes
        A form; it ends at its first NUL, as a text in C does.
    backend : Backend
    """
    if FORM not in content_type:
        return not_acceptable()
    if not has_length:
        return no_length()
    started = time.time()
    form = body.partition(b"\0")[0]
    if _field(form, b"healthcheck") == b"1":
        return _text("healthcheck ok")
    if name == "policy":
        return _text(_policy(form, backend))
    image = pixels.decode(_decode_base64(unquote_to_bytes(_field(form, b"image"))))
    run, end = _SERVICES[name]
    if image is None:
        # Oddity: what follows makes it no JSON at all.
        return _text(f"error: frame is empty{end if end == _BARE else ''}{_since(started)}\n}}")
    text = _inferred(name, run, end, image, backend)
    return _text(f"{text}{_since(started)}\n}}")


def names() -> list[str]:
    """Return the services there are."""
    return ["policy", *_SERVICES]


def not_acceptable() -> Response:
    """Return the answer to a request that is no form."""
    return Response("not Acceptable", 404, headers={"content-type": "text/html"})


def no_length() -> Response:
    """Return the answer to a request that did not tell its length."""
    return Response("get content length error", 404, headers={"content-type": "text/html"})


def _inferred(name: str, run: Callable, end: str, image: Any, backend: Backend) -> str:
    remote = not backend.policy.local
    if remote and run is _no_engine:
        return f'{{\r\n\t"ret":2,\r\n\t"msg":"can not support remote inference"{end}'
    try:
        if remote:
            raise EngineFailed("the policy is remote, and this machine forwards nothing")
        data = run(image, backend)
    except EngineFailed as failure:
        log.error("fcgi_%s: %s", name, failure)
        return f'{{\r\n\t"ret":1,\r\n\t"msg":"inference error"{end}'
    if data is None:
        return "error: no face is detected"
    return f'{{\r\n\t"ret":0,\r\n\t"msg":"ok",\r\n\t"data":{{\r\n{data}\t}},\r\n'


def _classification(image: Any, backend: Backend) -> str:
    with backend.engines.use("digits") as digits:
        name, confidence = digits.classify(image)
    tag = f'\t\t\t{{"tag_name":{_quoted(name)},"tag_confidence":{confidence:.6f}}}\n'
    return f'\t\t"tag_list":[\r\n{tag if confidence > 0.5 else ""}\t\t]\r\n'


def _face_detection(image: Any, backend: Backend) -> str:
    # Oddity: neither made square nor enlarged, unlike those of the Python service.
    with backend.engines.use("faces") as faces:
        boxes = faces.find(image).tolist()
    items = [
        f'\t\t{{\n\t\t\t"x1":{x1},\n\t\t\t"y1":{y1},\n\t\t\t"x2":{x2},\n\t\t\t"y2":{y2}\n\t\t}}'
        for x1, y1, x2, y2 in boxes
    ]
    return '\t\t"face_list":[\r\n' + ",\n".join(items) + "\t\t]\r\n"


def _facial_landmark(image: Any, backend: Backend) -> str | None:
    points = backend.points(image)
    if not points:
        return None
    height, width = image.shape[:2]
    items = [f'\t\t\t{{"x":{x:.6f},\n\t\t\t"y":{y:.6f}}}' for x, y in points]
    return (
        f'\t\t"image_width":{width:.6f},\n\t\t"image_height":{height:.6f},\n'
        '\t\t"face_shape_list":[\r\n' + ",\n".join(items) + "\t\t]\r\n"
    )


def _ocr(image: Any, backend: Backend) -> str:
    with backend.engines.use("reader") as reader:
        lines = reader.read(image)
    return '\t\t"item_list":[\r\n' + ",\n".join(map(_ocr_item, lines)) + "\t\t]\r\n"


def _ocr_item(line: Any) -> str:
    sides = zip(("x", "y", "width", "height"), line.box, strict=True)
    place = ",\n".join(f'\t\t\t\t"{side}":{value:.6f}' for side, value in sides)
    # Oddity: "words", which the Python service calls "word".
    words = ",\n".join(
        f'\t\t\t{{\n\t\t\t\t"character":{_quoted(character)},\n'
        f'\t\t\t\t"confidence":{confidence:.6f}\n\t\t\t}}'
        for character, confidence in line.characters
    )
    return (
        f'\t\t{{\n\t\t\t"itemcoord":[\n\t\t\t{{\n{place}\n\t\t\t}}\n\t\t\t],\n'
        f'\t\t\t"words":[\n{words}\t\t\t],\n\t\t\t"itemstring":{_quoted(line.text)}\n\t\t}}'
    )


def _no_engine(image: Any, backend: Backend) -> str:
    raise EngineFailed("there is no engine for this service here")


_LINE, _BARE = ",\r\n", ",\n"
# What is behind `msg` when there are no data: each service has its own line end.
_SERVICES: dict[str, tuple[Callable[[Any, Backend], str | None], str]] = {
    **{
        f"classification{engine}": (_classification, _LINE)
        for engine in ("", "_pd", "_tf", "_torch")
    },
    **{f"face_detection{engine}": (_face_detection, _LINE) for engine in ("", "_onnx", "_torch")},
    "facial_landmark": (_facial_landmark, _LINE),
    "ocr": (_ocr, _LINE),
    "segmentation": (_no_engine, _BARE),
    "super_resolution": (_no_engine, _BARE),
}


def _policy(form: bytes, backend: Backend) -> str:
    # Oddity: nothing is unquoted here, so a device with a colon or a comma is never known.
    device, local = _field(form, b"device").decode("latin-1"), _field(form, b"local") != b"0"
    if backend.policy.set(device, local):
        return "successfully set the policy daemon"
    return "failed to set policy daemon"


def streaming(content_type: str, has_length: bool, body: bytes) -> Response:
    """Answer `/cgi-bin/streaming` as a machine without a camera does: -1 for every start."""
    if not content_type:
        return not_acceptable()
    if not has_length:
        return no_length()
    if b"healthcheck=1" in body:
        return _text("healthcheck ok")
    try:
        request = json.loads(body.partition(b"\0")[0])
        # Oddity: keys and methods are compared by their first letters only.
        found = {
            key: value
            for name, value in request.items()
            for key in ("pipeline", "method")
            if name.startswith(key)
        }
        pipeline, method = found["pipeline"], found["method"]
    except (ValueError, AttributeError, KeyError, RecursionError):
        return _text("-1")
    # No pipeline ever runs: to stop or read it is a success, to configure it is not.
    failed = pipeline is None or method is None or str(method).startswith(("start", "config"))
    return _text("-1" if failed else "0")


def smartphoto(has_length: bool, body: bytes) -> Response:
    """Answer `/cgi-bin/smartphoto` as it does when it cannot: there are no photographs here."""
    if not has_length:
        return Response(
            "get content length error", 404, headers={"content-type": "text/html", **_CORS}
        )
    well = _field(body.partition(b"\0")[0], b"healthcheck") == b"1"
    headers = {**_HEADERS, "content-type": "application/json", **_CORS}
    return Response("healthcheck ok" if well else '{"result" : -1}', headers=headers)


def information(name: str, paths: list[str]) -> Response:
    """Answer one of `fcgi_cpuinfo`, `fcgi_meminfo`, `fcgi_gpuinfo` and `fcgi_apiinfo`."""
    texts = {"cpuinfo": _cpu, "meminfo": _memory, "gpuinfo": _gpu}
    text = texts[name]() if name in texts else "".join(f"{path}\n" for path in paths)
    return Response(text, headers={"content-type": "text/plain", **_SAFE})


def _cpu() -> str:
    lines = [
        f"processor\t: {n}\nmodel name\t: {platform.processor()}\n\n"
        for n in range(psutil.cpu_count() or 1)
    ]
    return _file("/proc/cpuinfo") or "".join(lines)


def _memory() -> str:
    found = psutil.virtual_memory()
    lines = f"MemTotal: {found.total // 1024} kB\nMemAvailable: {found.available // 1024} kB\n"
    return _file("/proc/meminfo") or lines


def _gpu() -> str:
    card = "/sys/class/drm/card0"
    text = "".join(
        f"{label}: {_file(f'{card}/device/{label.lower()}').strip()}\n"
        for label in ("Vendor", "Device")
    )
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


def _since(started: float) -> str:
    # Cut, not rounded, unlike the Python services.
    return f'\t"time":{time.time() - started:.6f}'[:-3]


def _text(body: str) -> Response:
    return Response(body, headers=_HEADERS)
