"""What the exercises of more than one chapter know of the digit detector and of its pictures."""

import csv
import socket
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from helpers import endpoints, tfserving
from helpers.language import _
from practice.exercises import Wrong, expect, recorder, run
from practice.exercises.recorder import Call
from practice.launch import DATA

IMAGES = DATA / "images"
SURE = 0.5  # the score above which the chapters take a candidate for a digit
_SAME = 0.06  # between grey values of one picture, which a client may round


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


def check_client(
    function: Any, protocol: str, names: Sequence[str], sent: Callable[[Call], np.ndarray]
) -> tuple[Call, ...]:
    """Let a reader's client look at pictures; Wrong unless it returns their digits in order.

    And unless it sends them to the address that it is given, and fails at one where nothing
    listens: it may have one of its own.

    Parameters
    ----------
    function : callable
        The client.
    protocol : str
        `grpc` or `rest`.
    names : sequence of str
        The pictures.
    sent : callable
        Returns the numbers that a call asks the detector about; none of another call.
    """
    with recorder.recorded(endpoints.load("tfserving"), protocol) as (address, calls):
        for name in names:
            _look(function, address, name)
            expect(
                any(_is_picture(sent(call), name) for call in calls),
                _(
                    "for {name} it returned the right digits, but did not send the picture to "
                    "`digits_detector` at the address that it was given.",
                    name=name,
                ),
            )
    _look_elsewhere(function, address, names[0])
    return tuple(calls)


def _look(function: Any, address: str, name: str) -> None:
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


def _is_picture(numbers: np.ndarray, name: str) -> bool:
    wanted = pixels(name)
    if numbers.size != wanted.size:
        return False
    return bool(np.abs(numbers.reshape(wanted.shape) - wanted).max() < _SAME)


def _look_elsewhere(function: Any, address: str, name: str) -> None:
    with socket.socket() as silent:  # bound, so that nobody else begins to listen there
        silent.bind(("127.0.0.1", 0))
        host, _colon, _port = address.rpartition(":")
        elsewhere = f"{host}:{silent.getsockname()[1]}"
        try:
            given = whole_numbers(function(elsewhere, str(IMAGES / name)))
        except Exception:  # whatever it raises, it has used the address
            return
    expect(
        given != truth(name),
        _("it found the digits without a service at its address. Does it use `address`?"),
    )
