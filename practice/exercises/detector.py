"""What the exercises of more than one chapter know of the digit detector and of its pictures."""

import csv
import socket
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from helpers import endpoints, tfserving
from helpers.language import _
from practice.exercises import Wrong, expect, run
from practice.launch import DATA

IMAGES = DATA / "images"
SURE = 0.5  # the score above which the chapters take a candidate for a digit


def truth(name: str) -> list[int]:
    """Return the digits of a picture from left to right."""
    with (IMAGES / "boxes.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == name]
    return [int(row["digit"]) for row in sorted(rows, key=lambda row: float(row["xmin"]))]


def pixels(name: str) -> np.ndarray:
    """Return a picture as numbers from 0 to 1, shape (96, 96)."""
    with Image.open(IMAGES / name) as picture:
        return np.asarray(picture.convert("L"), "float32") / 255


def detected(name: str) -> dict[str, np.ndarray]:
    """Return what the detector says of a picture."""
    return detect(pixels(name))


def detect(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the detector says of pixels, shape (96, 96)."""
    endpoint = endpoints.load("tfserving").replace(
        model="digits_detector", signature_name="detected_model"
    )
    return tfserving.predict(endpoint, {"images": values[np.newaxis, :, :, np.newaxis]})


def whole_numbers(values: Any) -> list[int]:
    """Return the digits that a reader gave; Wrong when they are none."""
    try:
        return [int(value) for value in values]
    except (TypeError, ValueError) as error:
        raise Wrong(
            _("the answer is a list of digits, not {type}.", type=type(values).__name__)
        ) from error


def check_client(function: Any, address: str, names: Sequence[str]) -> None:
    """Let a reader's client look at pictures; Wrong unless it returns their digits in order.

    And unless it fails at an address where nothing listens: it may have one of its own.
    """
    for name in names:
        returned = run(function, address, str(IMAGES / name))
        wanted = truth(name)
        given = whole_numbers(returned)
        expect(
            sorted(given) == sorted(wanted),
            _(
                "for {name} it returned {given}; there are {count} digits in the picture.",
                name=name,
                given=given,
                count=len(wanted),
            ),
        )
        expect(
            given == wanted,
            _("for {name} the digits are right, but not from left to right.", name=name),
        )
    with socket.socket() as silent:  # bound, so that nobody else begins to listen there
        silent.bind(("127.0.0.1", 0))
        host, _colon, _port = address.rpartition(":")
        elsewhere = f"{host}:{silent.getsockname()[1]}"
        try:
            given = whole_numbers(function(elsewhere, str(IMAGES / names[0])))
        except Exception:  # whatever it raises, it has used the address
            return
    expect(
        given != truth(names[0]),
        _("it found the digits without a service at its address. Does it use `address`?"),
    )
