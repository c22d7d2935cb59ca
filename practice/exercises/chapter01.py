"""Chapter 01: speech, text and faces over REST."""

import base64
import csv
import hashlib
import tempfile
import urllib.parse
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from helpers import ccai, endpoints
from helpers.ccai.answers import Tag
from helpers.ccai.speech import Speech
from helpers.language import _
from practice.exercises import Check, Wrong, expect, recorder, run
from practice.exercises.recorder import Call
from practice.launch import DATA

_FIELDS = {"app_id": 1000001, "nonce_str": "abc", "text": "hello world", "time_stamp": 1700000000}
_KEY = "demo-key"
_HEALTHY = "healthcheck ok"


def _signature(signed: Any) -> None:
    given = _text(signed)
    wanted = ccai.sign(_FIELDS, _KEY)
    expect(given != wanted.lower(), _("the sum is right, but its letters are small."))
    plain = "&".join(f"{name}={value}" for name, value in _FIELDS.items()) + f"&app_key={_KEY}"
    expect(
        given.upper() != _sum(plain),
        _("this is the sum of the fields as they are, not as a form writes them."),
    )
    expect(
        given.upper() != _sum(plain.replace(" ", "%20")),
        _("a form writes a space in another way. Section 2 shows it."),
    )
    expect(given == wanted, _("this is the sum of something else. Print what goes into `md5`."))


def _sum(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest().upper()


def _health(bodies: Any) -> None:
    expect(
        isinstance(bodies, Iterable) and not isinstance(bodies, (str, bytes, requests.Response)),
        _("the answer is a list of three bodies."),
    )
    given = [_text(body) for body in bodies]
    expect(
        len(given) == 3,
        _("there are {count} bodies in the list; three are asked for.", count=len(given)),
    )
    for body in given:
        expect(
            body == _HEALTHY,
            _("{body!r} is no answer to a health check.", body=body[:40]),
        )


def _widths(ratio: Any) -> None:
    try:
        given = float(ratio)
    except (TypeError, ValueError) as error:
        raise Wrong(_("the answer is a number, not {type}.", type=type(ratio).__name__)) from error
    endpoint = endpoints.load("ccai")
    widths = []
    for dialect in ("py", "cpp"):
        (face,) = ccai.detect_faces(endpoint, DATA / "photos" / "grace-hopper.jpg", dialect=dialect)
        widths.append(face.x2 - face.x1)
    wanted = max(widths) / min(widths)
    expect(given >= 1, _("that is the smaller one, divided by the larger one."))
    expect(given < 10, _("that is a number of pixels, not a ratio."))
    expect(
        abs(given - wanted) < 0.02,
        _("the ratio is another one. Take both widths from the same photograph."),
    )


def _tag(tag_name: Any) -> None:
    given = tag_name.name if isinstance(tag_name, Tag) else tag_name
    expect(
        isinstance(given, str) and not given.strip().isdigit(),
        _("the answer is the name that the service gives, a word."),
    )
    expect(
        given.strip().lower() == "three",
        _("the service saw another digit. Draw what you have cut out."),
    )


def _client(listen: Any) -> tuple[Call, ...]:
    endpoint = endpoints.load("ccai")
    with (DATA / "audio" / "transcripts.csv").open(newline="", encoding="utf-8") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    with recorder.recorded(endpoint, "rest") as (address, calls):
        for name in (names[0], names[2]):
            path = DATA / "audio" / name
            wanted = ccai.speech_to_text(endpoint, Speech.read(path))
            returned = run(listen, address, str(path))
            expect(
                isinstance(returned, str) and returned.strip() == wanted,
                _(
                    "for {name} it returned {returned!r}; the service hears something else.",
                    name=name,
                    returned=str(returned)[:100],
                ),
            )
            expect(
                any(_has_speech(call, path) for call in calls),
                _(
                    "for {name} it returned the right words, but did not send the samples to the "
                    "service at the address that it was given.",
                    name=name,
                ),
            )
        _refuses_silence(listen, address)
    return tuple(calls)


def _has_speech(call: Call, path: Path) -> bool:
    """Whether a call sent the samples of a recording to be heard."""
    samples = base64.b64encode(Speech.read(path).pcm())
    form = urllib.parse.unquote_to_bytes(call.body).translate(None, b"\r\n")
    return "asr" in call.path and samples in form


def _refuses_silence(listen: Any, address: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        silent = Path(folder) / "empty.wav"
        with wave.open(str(silent), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
        try:
            returned = run(listen, address, str(silent))
        except Wrong:
            return
    raise Wrong(
        _(
            "for a recording without any sample it returned {returned!r}. "
            "The service had said that it failed.",
            returned=str(returned)[:100],
        )
    )


def _text(answer: Any) -> str:
    """Return the text of a body, which may still be bytes or in its response."""
    content = answer.content if isinstance(answer, requests.Response) else answer
    if isinstance(content, bytes):
        return content.decode(errors="replace")
    expect(
        isinstance(content, str),
        _("a text is asked for, not {type}.", type=type(answer).__name__),
    )
    return content


CHECKS: dict[int, Check] = {1: _signature, 2: _health, 3: _widths, 4: _tag, 5: _client}
