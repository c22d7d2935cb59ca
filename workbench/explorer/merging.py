"""Answers of several calls as one, and two answers compared."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.answers.transcripts import plain
from workbench.explorer.calls import Record
from workbench.values.arrays import kind


def joined(records: Sequence[Record]) -> tuple[Any, Any]:
    """Put the parts of a batch together again; returns what was given, and what was answered.

    Parameters
    ----------
    records : sequence of Record
        Calls that went well, in the order in which their parts were sent.

    Returns
    -------
    tuple
        Arrays along their first axis, where they agree in the others; else the last call's.
    """
    given = [each.request.given for each in records]
    answered = [each.answer for each in records]
    return _together(given), _together(answered)


def difference(one: Any, other: Any) -> str:
    """Say in a sentence whether two answers are equal, and if not, by how much they differ.

    Examples
    --------
    >>> difference({"y": np.array([1.0])}, {"y": np.array([1.5])})
    'The answers differ: y by at most 0.5.'
    """
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        one, other = {"values": one}, {"values": other}
    if not (are_arrays(one) and are_arrays(other)):
        return "Both answers are equal." if _alike(one, other) else "The answers differ."
    found = []
    for name in dict.fromkeys([*one, *other]):
        if name not in one or name not in other:
            found.append(f"{name} is in one of them only")
        elif one[name].shape != other[name].shape:
            shapes = f"{list(one[name].shape)} and {list(other[name].shape)}"
            found.append(f"{name} has the shapes {shapes}")
        elif not _equal(one[name], other[name]):
            found.append(f"{name}{_by_how_much(one[name], other[name])}")
    return f"The answers differ: {'; '.join(found)}." if found else "Both answers are equal."


def _together(values: list[Any]) -> Any:
    if len(values) == 1 or not all(are_arrays(each) for each in values):
        return values[-1]
    try:
        return {name: np.concatenate([each[name] for each in values]) for name in values[0]}
    except (KeyError, ValueError):  # other names or shapes, or scalars
        return values[-1]


def are_arrays(value: Any) -> bool:
    """Whether an answer is arrays by name, as those of TensorFlow Serving are."""
    return isinstance(value, Mapping) and all(isinstance(v, np.ndarray) for v in value.values())


def _alike(one: Any, other: Any) -> bool:
    """Whether two things are equal that may hold arrays, which `==` does not compare as one."""
    rest = [(one, other)]
    while rest:
        a, b = rest.pop()
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            same = _equal(a, b)
        elif isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
            same = False
        elif isinstance(a, Mapping) and isinstance(b, Mapping):
            if same := a.keys() == b.keys():
                rest += [(a[name], b[name]) for name in a]
        elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
            if same := len(a) == len(b):
                rest += zip(a, b, strict=True)
        elif dataclasses.is_dataclass(a) and type(a) is type(b):
            same, names = True, [each.name for each in dataclasses.fields(a) if each.compare]
            rest += [(getattr(a, name), getattr(b, name)) for name in names]
        else:
            same = a == b
        if not same:
            return False
    return True


def _equal(one: NDArray, other: NDArray) -> bool:
    both_nan = kind(one.dtype) in "fc" and kind(other.dtype) in "fc"
    try:
        return np.array_equal(one, other, equal_nan=both_nan)
    except (TypeError, ValueError):  # types that have nothing in common, or arrays within
        return one.shape == other.shape and _alike(one.tolist(), other.tolist())


def _by_how_much(one: NDArray, other: NDArray) -> str:
    kinds = kind(one.dtype) + kind(other.dtype)
    if set(kinds) <= set("bi"):
        return f" by at most {_integers_apart(one, other):,}"
    if not set(kinds) <= set("bifc"):
        return ""
    wide = complex if "c" in kinds else float
    one, other = one.astype(wide), other.astype(wide)
    missing = np.isnan(one), np.isnan(other)
    apart = (one != other) & ~missing[0] & ~missing[1]
    told = ""
    if apart.any():
        with np.errstate(over="ignore"):
            told = f" by at most {np.abs(one[apart] - other[apart]).max():.3g}"
    if count := np.count_nonzero(missing[0] != missing[1]):
        places = "1 place" if count == 1 else f"{count:,} places"
        told += f", in {places} one is NaN and the other is not"
    return told


def _integers_apart(one: NDArray, other: NDArray) -> int:
    """Return how far apart integers are at most, even where no integer of NumPy holds that."""
    one, other = plain(one).reshape(-1), plain(other).reshape(-1)
    common = np.result_type(one, other).kind  # of uint64 with negative numbers it is a float
    wide = np.dtype({"u": np.uint64, "f": object}.get(common, np.int64))
    high, low = np.maximum(one, other, dtype=wide), np.minimum(one, other, dtype=wide)
    if wide == np.int64:  # without a sign the difference fits
        high, low = high.view(np.uint64), low.view(np.uint64)
    return int((high - low).max())
