"""Calls to CCAI over REST and gRPC: speech, text in images, faces, tags."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from helpers import errors
from helpers.ccai import answers
from helpers.ccai.answers import Face, Tag, TextItem
from helpers.ccai.calls import Protocol, call, infer, is_grpc, post, send, unary
from helpers.ccai.speech import Speech
from helpers.channels import BasicAuthenticationPlugin
from helpers.endpoints import Endpoint
from helpers.images import Image, file_bytes
from helpers.language import _

__all__ = [
    "BasicAuthenticationPlugin",
    "Face",
    "Speech",
    "Tag",
    "TextItem",
    "check",
    "classify",
    "detect_faces",
    "facial_landmarks",
    "ocr",
    "read_text",
    "services",
    "sign",
    "speech_to_text",
    "text_to_speech",
]

TIMEOUT = 30.0  # seconds; an engine that has not been used yet is loaded first


def text_to_speech(endpoint: Endpoint, text: str, *, timeout: float = TIMEOUT) -> Speech:
    """Let CCAI say a text.

    Parameters
    ----------
    endpoint : Endpoint
    text : str
        English. CCAI keeps the letters a to z, space, `'`, `.` and `?`, nothing else.
    timeout : float
        Seconds until the call is given up.

    Returns
    -------
    Speech
        float32 samples at 22050 Hz; shows as a player.

    Raises
    ------
    CallError
        `BadInput` when nothing in the text can be spoken, for instance.

    See CCAI's path `fcgi_py_tts`.
    """
    data = post(endpoint, "fcgi_py_tts", {"text": text}, timeout)
    return answers.speech(data)


def speech_to_text(
    endpoint: Endpoint,
    speech: Speech,
    *,
    language: str = "ENGLISH",
    protocol: Protocol = "rest",
    timeout: float = TIMEOUT,
) -> str:
    """Let CCAI write down what is said.

    Parameters
    ----------
    endpoint : Endpoint
    speech : Speech
        Of any rate; it is sent as int16 at 16000 Hz, as CCAI wants it.
    language : str
        `ENGLISH` or `CHINESE`; REST only.
    protocol : str
        `rest` sends the bare samples, `grpc` a WAV file.
    timeout : float

    Returns
    -------
    str
        In lower case: over gRPC CCAI answers in upper case, over REST in lower case.

    Raises
    ------
    CallError

    See CCAI's path `fcgi_py_asr` and method `ASR`.
    """
    heard = speech.resampled(16000)
    if is_grpc(protocol):
        return answers.words(call(endpoint, "ASR", heard.wav(), timeout))
    form = {
        "realtime": "OFFLINE",
        "language": language,
        "rate": 16000,
        "samplewidth": 2,
        "speech": answers.base64_text(heard.pcm()),
    }
    return answers.words(post(endpoint, "fcgi_py_asr", form, timeout))


def ocr(
    endpoint: Endpoint,
    image: Image,
    *,
    protocol: Protocol = "rest",
    dialect: str = "py",
    timeout: float = TIMEOUT,
) -> list[TextItem]:
    """Find the text in an image.

    Parameters
    ----------
    endpoint : Endpoint
    image : path, bytes, or uint8 ndarray of shape (height, width, 3) in RGB
        Bytes are those of a JPEG or PNG file. An array is sent as PNG.
    protocol : str
        `rest` or `grpc`.
    dialect : str
        Over REST `py` or `cpp`: CCAI has each service in Python and in C++.
    timeout : float

    Returns
    -------
    list of TextItem
        With text, box and, over REST, a confidence for each character.

    Raises
    ------
    CallError

    See CCAI's paths `fcgi_py_ocr` and `fcgi_ocr`, and method `OCR`.
    """
    return answers.text_items(infer(endpoint, "ocr", image, protocol, dialect, timeout))


def detect_faces(
    endpoint: Endpoint,
    image: Image,
    *,
    protocol: Protocol = "rest",
    dialect: str = "py",
    timeout: float = TIMEOUT,
) -> list[Face]:
    """Find the faces in an image; the parameters are those of `ocr`.

    Returns
    -------
    list of Face
        Corners in pixels. CCAI makes them square and larger than the face, so they may lie
        outside of the image; its C++ service over REST does not. Over gRPC, what is no image
        gives an empty list too: the service answers both the same way.

    See CCAI's paths `fcgi_py_face_detection` and `fcgi_face_detection`, and method
    `FaceDetection`.
    """
    data = infer(endpoint, "face_detection", image, protocol, dialect, timeout)
    return answers.faces(data)


def facial_landmarks(
    endpoint: Endpoint,
    image: Image,
    *,
    protocol: Protocol = "rest",
    dialect: str = "py",
    timeout: float = TIMEOUT,
) -> NDArray[np.int64]:
    """Find 35 points on each face of an image; the parameters are those of `ocr`.

    Returns
    -------
    ndarray, int64, shape (faces, 35, 2)
        x and y in whole pixels, as CCAI gives them over gRPC.

    See CCAI's paths `fcgi_py_facial_landmark` and `fcgi_facial_landmark`, and method
    `FacialLandmark`.
    """
    data = infer(endpoint, "facial_landmark", image, protocol, dialect, timeout)
    return answers.landmarks(data)


def classify(
    endpoint: Endpoint,
    image: Image,
    *,
    protocol: Protocol = "rest",
    dialect: str = "py",
    timeout: float = TIMEOUT,
) -> list[Tag]:
    """Say what an image shows; the parameters are those of `ocr`.

    Returns
    -------
    list of Tag
        Name and confidence. CCAI's Python service always names one; the others name none when
        the confidence is under 0.5.

    See CCAI's paths `fcgi_py_classification` and `fcgi_classification`, and method
    `Classification`.
    """
    data = infer(endpoint, "classification", image, protocol, dialect, timeout)
    return answers.tags(data)


def read_text(
    endpoint: Endpoint, image: Image, *, service: str = "ppocr", timeout: float = TIMEOUT
) -> str:
    """Read an image as one text, without places.

    Parameters
    ----------
    endpoint : Endpoint
    image : as in `ocr`
    service : str
        `ppocr`, `digitalnote`, or `handwritten` for a single line.
    timeout : float

    See CCAI's paths `fcgi_py_ppocr`, `fcgi_py_digitalnote` and `fcgi_py_handwritten`.
    """
    form = {"image": answers.base64_text(file_bytes(image))}
    return str(post(endpoint, f"fcgi_py_{service}", form, timeout)).strip()


def check(endpoint: Endpoint, *, timeout: float = TIMEOUT) -> None:
    """Ask each address of an endpoint whether the service is well; raise CallError if not."""
    if not endpoint.rest and not endpoint.grpc:
        raise errors.BadInput(_("This endpoint has no address. Give a REST or a gRPC address."))
    if endpoint.rest:
        text = send(endpoint, "fcgi_py_policy", {"healthcheck": 1}, timeout)
        if text != "healthcheck ok":
            raise errors.NotThisProtocol(
                _(
                    "Something answers at {address}, but it is no CCAI: its health check "
                    "should be 'healthcheck ok'. Is this another service's address?",
                    address=endpoint.rest,
                ),
                service=endpoint.service,
                endpoint=endpoint.rest,
            )
    if endpoint.grpc:
        from protos import inference_service_pb2 as messages  # optional: REST needs none of it

        status = unary(endpoint, "HealthCheck", messages.Empty(), timeout).status
        if status != messages.HealthStatus.SUCCESS:
            raise errors.DeadlineExceeded(
                _(
                    "{address} is busy: an inference takes longer than ten seconds.",
                    address=endpoint.grpc,
                ),
                service=endpoint.service,
                endpoint=endpoint.grpc,
            )


def services(endpoint: Endpoint, *, timeout: float = TIMEOUT) -> list[str]:
    """Ask which services there are; returns their paths, such as `fcgi_py_ocr`.

    See CCAI's path `fcgi_apiinfo`.
    """
    lines = send(endpoint, "fcgi_apiinfo", {}, timeout).splitlines()
    return sorted(line.rpartition("/")[2] for line in lines if line.startswith("/cgi-bin/"))


def sign(parameters: Mapping[str, Any], app_key: str) -> str:
    """Sign form parameters, as CCAI's sample clients do for the cloud behind it.

    Parameters
    ----------
    parameters : mapping
        In the order in which they are sent.
    app_key : str
        The key; it is not sent.

    Returns
    -------
    str
        MD5 in upper case. A local CCAI never looks at it.

    Examples
    --------
    >>> form = {"app_id": 1000001, "nonce_str": "abc", "text": "hello world"}
    >>> sign(form | {"time_stamp": 1700000000}, "demo-key")
    'C672691BEF8DD823314E78BA6BF9C784'
    """
    text = f"{urlencode(parameters)}&app_key={app_key}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()
