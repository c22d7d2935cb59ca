"""Chapter 09: what a model takes, what-if, and scores."""

import functools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import endpoints, tfserving
from helpers.language import _
from practice.exercises import Wrong, expect, run, whole_number
from practice.launch import DATA

_SURE = 0.8
_FLOWER = (6.0, 3.2, 4.0, 1.2)


def _shape(answer: Any) -> None:
    given = _sizes(answer)
    wanted = _inputs("digits")["images"]
    expect(
        len(given) == len(wanted),
        _("the signature has another number of sizes than {count}.", count=len(given)),
    )
    expect(
        given[1:] == wanted[1:],
        _("one of the sizes behind the first is not that of the signature."),
    )
    expect(given == wanted, _("the first size is not written as the signature writes it."))


def _width(answer: Any) -> None:
    try:
        given = float(answer)
    except (TypeError, ValueError) as error:
        raise Wrong(_("the answer is a number of centimetres.")) from error
    widths = np.linspace(0.1, 2.5, 1000)
    flowers = np.repeat([_FLOWER], len(widths), axis=0).astype(np.float32)
    flowers[:, 3] = widths
    endpoint = endpoints.load("tfserving").replace(model="iris")
    chosen = tfserving.predict(endpoint, {"features": flowers})["probabilities"].argmax(axis=1)
    changes = widths[np.flatnonzero(np.diff(chosen))]
    expect(0.1 <= given <= 2.5, _("that is no width from 0.1 to 2.5."))
    expect(
        float(np.abs(changes - given).min()) < 0.06,
        _("just below and just above this width, the model says the same. Is it the width?"),
    )


def _matrix(answer: Any) -> None:
    try:
        given = np.asarray(answer, float)
    except (TypeError, ValueError) as error:
        raise Wrong(_("the answer is an array of numbers.")) from error
    expect(
        given.shape == (10, 10), _("its shape is {shape}, not 10 by 10.", shape=list(given.shape))
    )
    wanted = _confusion(2)
    expect(
        given.sum() == wanted.sum(),
        _("its numbers are {sum:.0f} together, and there are 450 pictures.", sum=given.sum()),
    )
    expect(not np.array_equal(given, _confusion(1)), _("that is the matrix of version 1."))
    expect(not np.array_equal(given, wanted.T), _("its rows and its columns are exchanged."))
    expect(np.array_equal(given, wanted), _("some pictures stand in another place."))


def _sure_and_wrong(answer: Any) -> None:
    given = whole_number(answer)
    wrong, sure = _judged(1)
    newer = np.logical_and(*_judged(2)).sum()
    expect(given != wrong.sum(), _("that is all that are wrong, the unsure ones too."))
    expect(given != sure.sum(), _("that is all that are sure, the right ones too."))
    expect(given != newer, _("that is the number of version 2."))
    expect(given == (wrong & sure).sum(), _("there is another number of such pictures."))


def _judged(version: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for each picture whether a version is wrong, and whether it is sure."""
    probabilities = _answers(version)
    return probabilities.argmax(axis=1) != _truth(), probabilities.max(axis=1) >= _SURE


def _inputs_of(answer: Any) -> None:
    address = endpoints.load("tfserving").grpc
    for model in ("iris", "digits", "digits_detector"):
        given = run(answer, address, model)
        wanted = _inputs(model)
        expect(
            isinstance(given, dict),
            _("what it returns is no dict, but {type}.", type=type(given).__name__),
        )
        expect(
            given.keys() == wanted.keys(),
            _("for {model} it returns the names {names}.", model=model, names=list(given)),
        )
        for name, sizes in wanted.items():
            expect(
                _sizes(given[name]) == sizes,
                _("the shape of {model}'s {name} is another one.", model=model, name=name),
            )


def _sizes(answer: Any) -> list[int]:
    """Return a shape that is written in one of many forms; None is a size that may be any."""
    if isinstance(answer, str):
        return [int(size) for size in re.findall(r"(?<![\w.])-?\d+", answer)]
    try:
        return [-1 if size is None else int(size) for size in answer]
    except (TypeError, ValueError) as error:
        raise Wrong(_("a shape is a list of whole numbers.")) from error


@functools.cache
def _inputs(model: str) -> dict[str, list[int]]:
    endpoint = endpoints.load("tfserving").replace(model=model)
    (signature,) = tfserving.signatures(endpoint).values()
    return {name: list(tensor.shape or ()) for name, tensor in signature.inputs.items()}


@functools.cache
def _answers(version: int) -> NDArray[np.float32]:
    images = np.load(DATA / "labelled" / "digits.npy").astype(np.float32)
    endpoint = endpoints.load("tfserving").replace(model="digits", version=version)
    return tfserving.predict(endpoint, {"images": images})["probabilities"]


def _truth() -> NDArray[np.int64]:
    return np.loadtxt(DATA / "labelled" / "digits.csv", dtype=np.int64, skiprows=1)


def _confusion(version: int) -> NDArray[np.int64]:
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (_truth(), _answers(version).argmax(axis=1)), 1)
    return counts


CHECKS = {1: _shape, 2: _width, 3: _matrix, 4: _sure_and_wrong, 5: _inputs_of}
