"""What the tests of CCAI share: a service of their own, plain HTTP, and things to send."""

import base64
import contextlib
import dataclasses
import functools
import hashlib
import http.client
import io
import re
import shutil
import ssl
import tempfile
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import matplotlib
import pytest
from PIL import Image, ImageDraw, ImageFont

from helpers.endpoints import Endpoint
from practice import launch, services
from practice.launch import MODELS
from protos import inference_service_pb2_grpc

DATA = Path(__file__).parent.parent / "data"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PYTHON_IMAGE_SERVICES = (
    "classification",
    "digitalnote",
    "face_detection",
    "facial_landmark",
    "formula",
    "handwritten",
    "ocr",
    "ppocr",
    "segmentation",
    "super_resolution",
)
PYTHON_SERVICES = (*PYTHON_IMAGE_SERVICES, "tts", "asr", "policy")
CPP_IMAGE_SERVICES = (
    "classification",
    "classification_pd",
    "classification_tf",
    "classification_torch",
    "face_detection",
    "face_detection_onnx",
    "face_detection_torch",
    "facial_landmark",
    "ocr",
    "segmentation",
    "super_resolution",
)
CPP_SERVICES = (*CPP_IMAGE_SERVICES, "policy")
INFORMATION = ("cpuinfo", "gpuinfo", "meminfo", "apiinfo")
PATHS = (
    *(f"/cgi-bin/fcgi_py_{name}" for name in PYTHON_SERVICES),
    *(f"/cgi-bin/fcgi_{name}" for name in (*CPP_SERVICES, *INFORMATION)),
    "/cgi-bin/streaming",
)


@dataclasses.dataclass(frozen=True)
class Running:
    """A service of one's own: all four doors, its process and its log."""

    plain: Endpoint
    secure: Endpoint
    pid: int
    log: Path

    def written(self) -> str:
        """Return what the service wrote to its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def running(prepared: Path | None = None) -> Iterator[Running]:
    """Start one, as `practice.private` does, which tells of two doors only.

    In a folder that was prepared there may be a certificate already.
    """
    folder = prepared or Path(tempfile.mkdtemp(prefix="otw-ccai-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        own = launch.Launch(services.get("ccai"), folder, MODELS, private=True)
        stack.callback(own.end)
        launch.bring_up([own])
        plain = own.endpoints["practice"]
        secure = own.endpoints["practice-secure"]
        yield Running(plain, secure, own.entry["pid"], own.log)


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    """Start a service for the tests of one file: `service = ccai.service` there."""
    with running() as one:
        yield one


@pytest.fixture(scope="module")
def here(service: Running) -> Endpoint:
    """The doors without TLS of that service."""
    return service.plain


@pytest.fixture(scope="module")
def there(service: Running) -> Endpoint:
    """Its doors with TLS and a user."""
    return service.secure


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return one header's value."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def shape(self) -> tuple[int, str | None, bytes]:
        """Status, content type and body."""
        return self.status, self.header("content-type"), self.body


def connect(endpoint: Endpoint, timeout: float = 60) -> http.client.HTTPConnection:
    """Open a connection to the REST door, over TLS when the address says so."""
    scheme, _, address = endpoint.rest.partition("://")
    if scheme == "http":
        return http.client.HTTPConnection(address, timeout=timeout)
    context = ssl.create_default_context(cafile=endpoint.ca_file)
    return http.client.HTTPSConnection(address, timeout=timeout, context=context)


def ask(
    endpoint: Endpoint,
    path: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] = FORM,
    method: str = "POST",
    timeout: float = 60,
) -> Answer:
    """Make one request on a connection of its own."""
    with contextlib.closing(connect(endpoint, timeout)) as connection:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())


def post(endpoint: Endpoint, name: str, form: Mapping[str, Any], **options: Any) -> Answer:
    """Post a form to `/cgi-bin/fcgi_NAME`, encoded as it should be."""
    return ask(endpoint, f"/cgi-bin/fcgi_{name}", urlencode(form), **options)


def basic(user: str, password: str) -> str:
    """Return the value of an authorization header."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def authorized(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers of a form sent by the endpoint's user."""
    return {**FORM, "Authorization": basic(endpoint.user, endpoint.password)}


def text64(content: bytes) -> str:
    """Return bytes as base64 in one line."""
    return base64.b64encode(content).decode()


def channel(endpoint: Endpoint) -> grpc.Channel:
    """Open a channel of one's own; over TLS without a user."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_send_message_length", -1)]
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.grpc, options)
    authority = grpc.ssl_channel_credentials(Path(endpoint.ca_file).read_bytes())
    return grpc.secure_channel(endpoint.grpc, authority, options)


@contextlib.contextmanager
def stub(endpoint: Endpoint) -> Iterator[Any]:
    """Open a channel of one's own and give the stub; over TLS without a user."""
    with channel(endpoint) as opened:
        yield inference_service_pb2_grpc.InferenceStub(opened)


def png(image: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@functools.cache
def written(text: str, size: int = 40) -> bytes:
    """Return a PNG file with lines of text on white."""
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    lines = text.split("\n")
    width = int(max(font.getlength(line) for line in lines)) + 2 * size
    image = Image.new("RGB", (width, 2 * size * len(lines) + size), "white")
    for number, line in enumerate(lines):
        ImageDraw.Draw(image).text((size, size * (2 * number + 0.5)), line, "black", font)
    return png(image)


@functools.cache
def blank(width: int = 64, height: int = 64) -> bytes:
    """Return a PNG file that shows nothing."""
    return png(Image.new("RGB", (width, height), "white"))


@functools.cache
def face() -> bytes:
    """Return the file of a photograph with one face."""
    return (DATA / "photos" / "astronaut.png").read_bytes()


@functools.cache
def two_faces() -> bytes:
    """Return a PNG file with the same photograph twice, side by side."""
    one = Image.open(io.BytesIO(face())).convert("RGB")
    both = Image.new("RGB", (2 * one.width, one.height))
    both.paste(one, (0, 0))
    both.paste(one, (one.width, 0))
    return png(both)


@functools.cache
def recording() -> bytes:
    """Return the bare samples of a person who says "go forward ten meters"."""
    with wave.open(str(DATA / "audio" / "go-forward.wav")) as file:
        return file.readframes(file.getnframes())


def strict_wav(samples: bytes, extra: bytes = b"", **changed: int | bytes) -> bytes:
    """Write a WAV file of 16000 Hz by hand, with single fields of its header changed."""
    fields: dict[str, tuple[int, int | bytes]] = {
        "riff": (4, b"RIFF"),
        "size": (4, 36 + len(extra) + len(samples)),
        "wave": (4, b"WAVE"),
        "fmt": (4, b"fmt "),
        "fmt_size": (4, 16 + len(extra)),
        "tag": (2, 1),
        "channels": (2, 1),
        "rate": (4, 16000),
        "byte_rate": (4, 32000),
        "align": (2, 2),
        "bits": (2, 16),
        "extra": (len(extra), extra),
        "data": (4, b"data"),
        "length": (4, len(samples)),
    }
    unknown = set(changed) - set(fields)
    assert not unknown
    values = ((size, changed.get(name, value)) for name, (size, value) in fields.items())
    header = (v if isinstance(v, bytes) else v.to_bytes(size, "little") for size, v in values)
    return b"".join(header) + samples


def speech_of(answer: Answer) -> bytes:
    """Return the WAV file in a TTS answer."""
    import json

    data = json.loads(answer.body)["data"]
    wav = base64.b64decode(data["speech"], validate=True)
    assert hashlib.md5(wav).hexdigest() == data["md5sum"]
    return wav


def without_time(text: str | bytes) -> str:
    """Return an answer with the one number in it that differs from call to call left out."""
    text = text.decode() if isinstance(text, bytes) else text
    return re.sub(r'("time": ?)\d+\.\d+', r"\1T", text)
