"""Answers to the exercises of chapter 01."""

import csv
import hashlib
import wave
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from helpers import ccai, endpoints
from helpers.ccai.speech import Speech
from practice import DATA

SERVICES = ("ccai",)
FIELDS = "app_id=1000001&nonce_str=abc&text=hello{}world&time_stamp=1700000000&app_key=demo-key"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def health(name: str, healthcheck: int = 1) -> requests.Response:
    url = f"{endpoints.load('ccai').rest}/cgi-bin/{name}"
    return requests.post(url, {"healthcheck": healthcheck}, timeout=30)


def healthy() -> list[requests.Response]:
    return [health(name) for name in ("fcgi_py_tts", "fcgi_py_asr", "fcgi_ocr")]


def widths(photograph: str) -> list[int]:
    path = DATA / "photos" / photograph
    squares = [
        ccai.detect_faces(endpoints.load("ccai"), path, dialect=dialect)[0]
        for dialect in ("py", "cpp")
    ]
    return [square.x2 - square.x1 for square in squares]


def ratio() -> np.float32:
    python, cpp = widths("grace-hopper.jpg")
    return np.float32(python / cpp)


def tag(digit: str) -> ccai.Tag:
    with (DATA / "images" / "boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == "digits-05.png"]
    (row,) = (row for row in rows if row["digit"] == digit)
    top, left, bottom, right = (
        int(96 * float(row[side])) for side in ("ymin", "xmin", "ymax", "xmax")
    )
    with Image.open(DATA / "images" / "digits-05.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))[top : bottom + 1, left : right + 1]
    return ccai.classify(endpoints.load("ccai"), pixels)[0]


def with_the_helper(address: str, path: str) -> str:
    return ccai.speech_to_text(endpoints.Endpoint("ccai", rest=address), Speech.read(path))


def elsewhere(_address: str, path: str) -> str:
    return with_the_helper(endpoints.load("ccai").rest, path)


def after_another_recording(address: str, path: str) -> str:
    with_the_helper(address, str(DATA / "audio" / "sense-0920.wav"))
    return with_the_helper(endpoints.load("ccai").rest, path)


def without_a_look_at_ret(address: str, path: str) -> str:
    with wave.open(path) as file:
        samples = Speech.read(path).pcm() if file.getnframes() else b""
    form = {
        "realtime": "OFFLINE",
        "language": "ENGLISH",
        "rate": 16000,
        "samplewidth": 2,
        "speech": ccai.answers.base64_text(samples),
    }
    url = f"{address}/cgi-bin/fcgi_py_asr"
    return requests.post(url, form, timeout=60).json()["data"]["text"]


def with_the_whole_file(address: str, path: str) -> str:
    text = ccai.answers.base64_text(Path(path).read_bytes()[:40000])
    form = {"realtime": "OFFLINE", "language": "ENGLISH", "rate": 16000, "samplewidth": 2}
    url = f"{address}/cgi-bin/fcgi_py_asr"
    return requests.post(url, form | {"speech": text}, timeout=60).json()["data"]["text"]


RIGHT = {
    1: lambda: md5(FIELDS.format("+")),
    2: lambda: tuple(healthy()),
    3: ratio,
    4: lambda: tag("3"),
    5: lambda: with_the_helper,
}
WRONG = {
    1: [
        lambda: md5(FIELDS.format(" ")),
        lambda: md5(FIELDS.format("+")).lower(),
        lambda: md5(FIELDS.format("%20")),
        lambda: 42,
    ],
    2: [
        lambda: "healthcheck ok",
        lambda: ["healthcheck ok", b"healthcheck ok"],
        lambda: [*healthy()[:2], health("fcgi_ocr", healthcheck=0)],
        lambda: [14, 14, 14],
    ],
    3: [
        lambda: 1 / ratio(),
        lambda: widths("grace-hopper.jpg")[0],
        lambda: 1.3,
        lambda: widths("grace-hopper.jpg"),
    ],
    4: [lambda: tag("1"), lambda: 3, lambda: ["three"]],
    5: [
        lambda: elsewhere,
        lambda: after_another_recording,
        lambda: without_a_look_at_ret,
        lambda: with_the_whole_file,
        lambda: "go forward ten meters",
        lambda: lambda address, path: None,
    ],
}
