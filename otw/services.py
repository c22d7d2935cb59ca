"""`otw describe` and `otw predict` for a service of ModelArts: JSON or a file goes in, JSON out."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from helpers import errors, modelarts
from helpers.endpoints import Endpoint
from helpers.language import _
from helpers.progress import bar
from otw.statuses import AskedWrongly
from workbench.answers.listings import printable
from workbench.explorer import catalog
from workbench.values import reading


def describe(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    """Show that the service answers this caller, and what else its project serves, if that is told.

    Which inputs it takes, ModelArts tells on the service's page only.
    """
    modelarts.check(endpoint, timeout=arguments.timeout)
    entries = catalog.entries(endpoint, timeout=arguments.timeout)
    rows = [
        {"name": entry.name, "state": entry.note, "address": entry.endpoint.rest}
        for entry in entries
    ]
    if arguments.json:
        print(json.dumps({"address": endpoint.rest, "ready": True, "services": rows}))
        return
    print(_("{address} answers, and lets you in.", address=endpoint.rest))
    if [row["address"] for row in rows] != [endpoint.rest]:
        for row in rows:
            print(printable(f"{row['name']}: {row['state']}  {row['address']}"))


def infer(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    """Make a call for each input, and print the answers."""
    if arguments.signature or arguments.version is not None or arguments.label:
        raise AskedWrongly(_("A service of ModelArts has no signature, version or label."))
    words = arguments.input
    if not words:
        raise AskedWrongly(
            _(
                "A service of ModelArts takes JSON, such as --input @body.json, or a file in a "
                "field of a form, such as --input images=@photo.jpg. Its page says which."
            )
        )
    if sum(word.endswith("@-") for word in words) > 1:
        raise AskedWrongly(_("Standard input can be read once only, so @- is for one input."))
    count = len(words)
    done = 0
    with bar(count, " " + _("calls"), shown=count > 1 and not sys.stdout.isatty()) as tick:
        try:
            for done, answer in enumerate(_answers(endpoint, arguments), start=1):
                _tell(answer, done, arguments)
                tick()
        except errors.CallError as error:
            if count > 1:
                text = _(
                    "After {done} of {count} calls: {error}", done=done, count=count, error=error
                )
                error.args = (text,)
            raise


def _answers(endpoint: Endpoint, arguments: argparse.Namespace) -> Iterator[Any]:
    for word in arguments.input:
        if word[:1] in ("@", "{", "["):
            body = _json(word)
            yield modelarts.infer_json(endpoint, body, timeout=arguments.timeout)
            continue
        name, at, path = word.partition("=@")
        if not (name and at and path):
            raise AskedWrongly(
                _(
                    "--input takes JSON, @FILE with JSON, or NAME=@FILE for a service of "
                    "ModelArts, not {word}.",
                    word=repr(word),
                )
            )
        yield modelarts.infer_image(endpoint, _read(path), name=name, timeout=arguments.timeout)


def _json(word: str) -> Any:
    text = _read(word[1:]) if word.startswith("@") else word
    try:
        return json.loads(text)
    except ValueError as error:
        raise errors.BadInput(
            _("{what} is no JSON: {error}.", what=word.partition("{")[0] or "--input", error=error)
        ) from error


def _read(path: str) -> bytes:
    try:
        if path == "-" and sys.stdin is not None:
            return reading.content(sys.stdin.buffer)
        with open(os.path.expanduser(path), "rb") as file:
            return reading.content(file)
    except OSError as error:
        why = error.strerror or error
        raise errors.BadInput(_("{path} cannot be read: {why}.", path=path, why=why)) from error


def _tell(answer: Any, number: int, arguments: argparse.Namespace) -> None:
    count = len(arguments.input)
    if arguments.save:
        before = f"{number:0{len(str(count))}}-" if count > 1 else ""
        path = os.path.join(arguments.save, f"{before}answer.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(answer, file, ensure_ascii=False, indent=2)
    if arguments.json:
        print(json.dumps({"call": number, "outputs": answer}), flush=True)
        return
    if count > 1:
        print(_("call {number} of {count}", number=number, count=count))
    lines = json.dumps(answer, ensure_ascii=False, indent=2).split("\n")
    print("\n".join(map(printable, lines)), flush=True)
