"""Answers of several calls as one, and two answers compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.explorer.calls import Record


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
    if not (are_arrays(one) and are_arrays(other)):
        return "Both answers are equal." if one == other else "The answers differ."
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


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    both_nan = one.dtype.kind in "fc" and other.dtype.kind in "fc"
    return np.array_equal(one, other, equal_nan=both_nan)


def _by_how_much(one: np.ndarray, other: np.ndarray) -> str:
    if one.dtype.kind not in "biufc" or other.dtype.kind not in "biufc":
        return ""
    apart = np.abs(one.astype(complex) - other.astype(complex))
    return f" by at most {np.nanmax(apart):.3g}" if not np.isnan(apart).all() else ""
