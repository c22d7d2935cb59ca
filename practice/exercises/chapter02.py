"""Chapter 02: REST with a token."""

import json
import re
import shlex
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from helpers import endpoints, modelarts
from helpers.language import _
from practice.exercises import Check, Wrong, expect, run

_FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
_FLOWERS = ((7.0, 3.2, 4.7, 1.4), (7.1, 3.0, 5.9, 2.1))  # two of the chapter's six
_OTHERS = ((5.0, 3.4, 1.5, 0.2), (6.5, 3.0, 5.8, 2.2), (6.0, 2.9, 4.5, 1.5))  # not in the chapter
_MANUAL = "10eb0091-887f-4839-9929-cbc884f1e20e"  # the UUID of the manual's example
_NOON = "20200101T120000Z"  # when the second exercise signs
_CURL_TIME = 30.0  # seconds


def _two_flowers(answer: Any) -> None:
    decoded = answer.json() if isinstance(answer, requests.Response) else answer
    try:
        number, results = decoded["meta"]["uuid"], decoded["data"]["resp_data"]
    except (KeyError, TypeError) as error:
        raise Wrong(_("this is not what the service answers: meta or data is missing.")) from error
    expect(number != "", _("no UUID came back. Was one sent?"))
    expect(number != _MANUAL, _("this is the UUID of the manual's example."))
    try:
        uuid.UUID(number)
    except ValueError as error:
        raise Wrong(_("{number} is no UUID.", number=repr(number))) from error
    expect(len(results) == 2, _("the number of results is {count}.", count=len(results)))
    sent = [tuple(result[name] for name in _FIELDS) for result in results]
    expect(sorted(sent) == sorted(_FLOWERS), _("these are the results for other flowers."))


def _clock(answer: Any) -> None:
    text = answer.text if isinstance(answer, requests.Response) else str(answer)
    expect(
        "reach the limit" not in text,
        _("after more than five wrong signatures a key is refused for five minutes."),
    )
    expect(
        "canonicalRequest" not in text,
        _("this signature does not fit its request. Was the time set after signing?"),
    )
    expect("signature expired" in text, _("this is not the error of an old signature."))
    expect(f"signature time:{_NOON}" in text, _("the request was signed for another time."))


def _curl(answer: Any) -> None:
    try:
        words = shlex.split(answer) if isinstance(answer, str) else [str(word) for word in answer]
    except (TypeError, ValueError) as error:
        raise Wrong(_("this is no command that a terminal could read.")) from error
    expect(
        bool(words) and Path(words[0]).stem == "curl", _("the command does not begin with curl.")
    )
    unchecked = [word for word in words if re.fullmatch("--insecure|-[a-zA-Z]*k[a-zA-Z]*", word)]
    expect(not unchecked, _("with {word} no certificate is checked.", word=" ".join(unchecked)))
    expect(
        not any("x-auth-token" in word.lower() for word in words),
        _("the command sends the token."),
    )
    text = _printed(words)
    try:
        results = json.loads(text)["data"]["resp_data"]
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong(_("it printed {text}.", text=repr(text[:200]))) from error
    expect(len(results) > 0, _("the answer has no results."))


def _code(answer: Any) -> None:
    given = str(answer).strip().upper()
    expect(
        re.fullmatch(r"(APIG|MODELARTS|MR|IAM)\.\d{4}", given) is not None,
        _("this is no code of an error, such as ModelArts.4105."),
    )
    expect(
        given != "APIG.0301",
        _("so the first address answers, or the second one does to something else."),
    )
    expect(given.startswith("APIG"), _("another part of the cloud refuses this request."))
    expect(given == "APIG.0303", _("the gateway refuses it, with another code."))


def _client(function: Any) -> None:
    endpoint = endpoints.load("modelarts")
    names = ("iam", "user", "password", "domain", "project")
    account = {name: getattr(endpoint, name) for name in names}
    wanted = [row["predictresult"] for row in _results(endpoint)]
    flowers = [list(flower) for flower in _OTHERS]
    try:
        returned = run(function, account, endpoint.rest, endpoint.ca_file, flowers)
    except Wrong as error:
        if not isinstance(error.__cause__, requests.exceptions.SSLError):
            raise
        raise Wrong(
            _(
                "it refuses the server with the right authority's file. Give `verify` with each "
                "request: a session's own is not always used, as the chapter's Caution says."
            )
        ) from error
    expect(
        isinstance(returned, list | tuple) or hasattr(returned, "tolist"),
        _("it returned no list, but {type}.", type=type(returned).__name__),
    )
    given = [str(name) for name in returned]
    expect(
        len(given) == len(wanted),
        _(
            "for {count} flowers it returned {given}.",
            count=len(wanted),
            given=", ".join(given)[:200] or _("nothing"),
        ),
    )
    expect(given == wanted, _("it returned {given}.", given=", ".join(given)[:200]))
    try:
        # The authorities of the public web have not signed this service's certificate.
        function(account, endpoint.rest, requests.certs.where(), flowers)
    except Exception:  # whatever it raises, it has not accepted the server
        return
    raise Wrong(_("it trusts the server with another authority's file, too."))


def _results(endpoint: endpoints.Endpoint) -> list[dict[str, Any]]:
    rows = [dict(zip(_FIELDS, flower, strict=True)) for flower in _OTHERS]
    answer: Mapping[str, Any] = modelarts.infer_json(endpoint, {"data": {"req_data": rows}})
    return answer["data"]["resp_data"]


def _printed(words: list[str]) -> str:
    """Run a command, and return what it prints."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CURL_TIME,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        kind = type(error).__name__  # its text has the words of the command, secrets too
        raise Wrong(_("the command did not run to its end: {kind}.", kind=kind)) from error
    expect(
        done.returncode == 0,
        _("curl ended with status {status}. With -v it says why.", status=done.returncode),
    )
    return done.stdout


CHECKS: dict[int, Check] = {
    1: _two_flowers,
    2: _clock,
    3: _curl,
    4: _code,
    5: _client,
}
