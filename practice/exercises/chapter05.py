"""Chapter 05: secure gRPC."""

import csv
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import requests
import trustme
from PIL import Image

from helpers import endpoints
from helpers.language import _
from practice.exercises import Check, Wrong, expect, run
from practice.launch import DATA
from protos import inference_service_pb2 as messages
from protos import inference_service_pb2_grpc

_NOTE = DATA / "notes" / "note.jpg"


def _status(status: Any) -> None:
    code = status.status_code if isinstance(status, requests.Response) else status
    expect(str(code).isdecimal() or isinstance(code, int), _("the answer is a number."))
    expect(int(code) != 200, _("200 is the answer to a caller with a user."))
    expect(int(code) == 401, _("the service answers another status to a caller without a user."))


def _said(words: Any) -> None:
    text: Any = words.json if isinstance(words, messages.Result) else words
    if isinstance(text, str) and text.lstrip().startswith("{"):
        text = json.loads(text)
    if isinstance(text, dict):
        text = text.get("text")
    expect(isinstance(text, str), _("the answer is a text, the words that were said."))
    expect(
        text.strip() != "",
        _("it is empty. The service could not read what was sent, or nothing was said in it."),
    )
    expect(
        text.lower().split() == ["go", "forward", "ten", "meters"],
        _("the service hears other words in that recording."),
    )


def _texts(texts: Any) -> None:
    expect(
        isinstance(texts, Iterable) and not isinstance(texts, str),
        _("the answer is a list of two texts."),
    )
    given = [text.json if isinstance(text, messages.Result) else text for text in texts]
    expect(
        len(given) == 2 and all(isinstance(text, str) for text in given),
        _("the answer is a list of two texts, as the service sent them."),
    )
    expect(given[0] != given[1], _("the service gives two different texts."))
    expect(given != ["", "[]"], _("the texts are right, but not their order."))
    expect(given == ["[]", ""], _("the service gives other texts. Look at `response.json`."))


def _metadata(metadata: Any) -> None:
    endpoint = _endpoint()
    credentials = grpc.ssl_channel_credentials(Path(endpoint.ca_file).read_bytes())
    with grpc.secure_channel(endpoint.grpc, credentials) as channel:
        stub = inference_service_pb2_grpc.InferenceStub(channel)
        try:
            expect(
                all(name == name.lower() for name, _value in metadata),
                _("gRPC wants the names in metadata in small letters."),
            )
            stub.HealthCheck(messages.Empty(), timeout=15, metadata=tuple(metadata))
        except (TypeError, ValueError) as error:
            raise Wrong(_("gRPC does not take this as metadata: pairs of texts.")) from error
        except grpc.RpcError as error:
            raise Wrong(_refused(error)) from error


def _refused(error: grpc.RpcError) -> str:
    if error.code() == grpc.StatusCode.UNAUTHENTICATED:
        return _("with it the service does not see who is calling (UNAUTHENTICATED).")
    if error.code() == grpc.StatusCode.PERMISSION_DENIED:
        return _("the service sees a user, and does not accept this user (PERMISSION_DENIED).")
    return _("the call ended with {code}.", code=error.code().name)


def _client(read_lines: Any) -> None:
    endpoint = _endpoint()
    who = (endpoint.user, endpoint.password)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, wanted in _pieces(folder).items():
            returned = run(read_lines, endpoint.grpc, endpoint.ca_file, *who, str(path))
            expect(
                not isinstance(returned, str) and _listed(returned) == wanted,
                _(
                    "for {name} it returned {returned}; there are {count} lines in the image.",
                    name=path.name,
                    returned=repr(returned)[:100],
                    count=len(wanted),
                ),
            )
        other = folder / "another-authority.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        expect(
            _raises(read_lines, endpoint.grpc, str(other), *who, str(_NOTE)),
            _("it got an answer, although the authority that it was given is another one."),
        )
        text = folder / "text.jpg"
        text.write_text("not an image")
        expect(
            _raises(read_lines, endpoint.grpc, endpoint.ca_file, *who, str(text)),
            _("for a file that is no image it returned something. The service had not read it."),
        )


def _pieces(folder: Path) -> dict[Path, list[str]]:
    """Cut the chapter's note in two; returns the lines of text in each file."""
    with (DATA / "notes" / "note.csv").open(newline="", encoding="utf-8") as file:
        lines = [row["text"] for row in csv.DictReader(file)]
    pieces = {}
    with Image.open(_NOTE) as picture:
        for name, top, bottom, held in (
            ("top.png", 0, 340, lines[:2]),
            ("bottom.png", 460, picture.height, lines[3:]),
        ):
            picture.crop((0, top, picture.width, bottom)).save(folder / name)
            pieces[folder / name] = held
    return pieces


def _raises(function: Any, *arguments: Any) -> bool:
    try:
        run(function, *arguments)
    except Wrong:
        return True
    return False


def _listed(lines: Any) -> list[str]:
    return [str(line) for line in lines] if isinstance(lines, Iterable) else []


def _endpoint() -> endpoints.Endpoint:
    return endpoints.load("ccai", "practice-secure")


CHECKS: dict[int, Check] = {1: _status, 2: _said, 3: _texts, 4: _metadata, 5: _client}
