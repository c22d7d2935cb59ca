"""Answers to the exercises of chapter 05."""

import base64
from http import HTTPStatus
from pathlib import Path
from typing import Any

import grpc
import requests

from helpers import ccai, endpoints
from practice import DATA
from protos import inference_service_pb2 as messages
from protos import inference_service_pb2_grpc

SERVICES = ("ccai",)
RECORDING = DATA / "audio" / "go-forward.wav"


def secure() -> endpoints.Endpoint:
    return endpoints.load("ccai", "practice-secure")


def answer(method: str, content: bytes) -> messages.Result:
    endpoint = secure()
    authority = Path(endpoint.ca_file).read_bytes()
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(authority),
        grpc.metadata_call_credentials(
            ccai.BasicAuthenticationPlugin(endpoint.user, endpoint.password)
        ),
    )
    with grpc.secure_channel(endpoint.grpc, credentials) as channel:
        stub = inference_service_pb2_grpc.InferenceStub(channel)
        return getattr(stub, method)(messages.Input(buffer=content), timeout=30)


def both() -> tuple[messages.Result, ...]:
    rocket = (DATA / "photos" / "rocket.jpg").read_bytes()
    return tuple(answer("OCR", content) for content in (rocket, b"\0"))


def without_a_user() -> requests.Response:
    url = f"{secure().rest}/cgi-bin/fcgi_py_tts"
    return requests.post(url, {"text": "hello"}, verify=secure().ca_file, timeout=30)


def metadata(password: str, form: str = "Basic {}") -> Any:
    token = base64.b64encode(f"{secure().user}:{password}".encode()).decode()
    return {"authorization": form.format(token)}.items()


def with_the_helper(
    address: str, ca_file: str, user: str, password: str, path: str
) -> tuple[str, ...]:
    there = endpoints.Endpoint("ccai", grpc=address, ca_file=ca_file, user=user, password=password)
    return tuple(item.text for item in ccai.ocr(there, path, protocol="grpc"))


def with_any_authority(address: str, ca_file: str, user: str, password: str, path: str) -> Any:
    return with_the_helper(address, secure().ca_file, user, password, path)


def without_an_error(address: str, ca_file: str, user: str, password: str, path: str) -> Any:
    try:
        return with_the_helper(address, ca_file, user, password, path)
    except ccai.errors.BadInput:
        return []


def as_one_text(*arguments: str) -> str:
    return "\n".join(with_the_helper(*arguments))


RIGHT = {
    1: lambda: HTTPStatus.UNAUTHORIZED,
    2: lambda: answer("ASR", RECORDING.read_bytes()),
    3: both,
    4: lambda: metadata(secure().password),
    5: lambda: with_the_helper,
}
WRONG = {
    1: [lambda: 200, lambda: "UNAUTHENTICATED", lambda: 403, lambda: HTTPStatus.NOT_FOUND],
    2: [
        lambda: answer("ASR", RECORDING.read_bytes()[44:]),
        lambda: "go forward",
        lambda: {"words": "go forward ten meters"},
    ],
    3: [
        lambda: both()[::-1],
        lambda: both()[:1],
        lambda: ["", ""],
        lambda: [[], None],
        lambda: ["[]", "error"],
    ],
    4: [
        lambda: metadata("open sesame"),
        lambda: metadata(secure().password, "{}"),
        lambda: [],
        lambda: 42,
    ],
    5: [
        lambda: with_any_authority,
        lambda: without_an_error,
        lambda: as_one_text,
        lambda: ["Monday, 9:30, room 204"],
    ],
}
