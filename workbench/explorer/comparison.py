"""Two answers compared."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.language import _, plural
from workbench.answers.transcripts import plain
from workbench.values.arrays import kind


def difference(one: Any, other: Any) -> str:
    """Say in a sentence whether two answers are equal, and if not, by how much they differ.

    Examples
    --------
    >>> difference({"y": np.array([1.0])}, {"y": np.array([1.5])})
    'The answers differ: y by at most 0.5.'
    """
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return difference({"values": one}, {"values": other})
    if not (are_arrays(one) and are_arrays(other)):
        return _("Both answers are equal.") if _alike(one, other) else _("The answers differ.")
    differences = []
    for name in dict.fromkeys([*one, *other]):
        if name not in one or name not in other:
            differences.append(_("{name} is in one of them only", name=name))
        elif one[name].shape != other[name].shape:
            differences.append(
                _(
                    "{name} has the shapes {one} and {other}",
                    name=name,
                    one=list(one[name].shape),
                    other=list(other[name].shape),
                )
            )
        elif not _equal(one[name], other[name]):
            differences.append(_by_how_much(name, one[name], other[name]))
    if not differences:
        return _("Both answers are equal.")
    return _("The answers differ: {listed}.", listed="; ".join(differences))


def are_arrays(value: Any) -> bool:
    """Whether an answer is arrays by name, as those of TensorFlow Serving are."""
    return isinstance(value, Mapping) and all(isinstance(v, np.ndarray) for v in value.values())


def _alike(one: Any, other: Any) -> bool:
    """Whether two things are equal that may hold arrays, which `==` does not compare as one."""
    pairs = [(one, other)]  # no recursion: an answer may be nested deeply
    while pairs:
        one, other = pairs.pop()
        parts = _parts(one)
        others = _parts(other)
        if parts is not None and others is not None:
            if parts.keys() != others.keys():
                return False
            pairs += [(parts[name], others[name]) for name in parts]
        elif isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
            if type(one) is not type(other) or not _equal(one, other):
                return False
        elif one != other:
            return False
    return True


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """Return what a value holds, by name or place; None for what holds nothing."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if not dataclasses.is_dataclass(value):
        return None
    names = [field.name for field in dataclasses.fields(value) if field.compare]
    return {type(value): None, **{name: getattr(value, name) for name in names}}


def _equal(one: NDArray, other: NDArray) -> bool:
    both_nan = kind(one.dtype) in "fc" and kind(other.dtype) in "fc"
    try:
        return np.array_equal(one, other, equal_nan=both_nan)
    except (TypeError, ValueError):  # types that have nothing in common, or arrays within
        return one.shape == other.shape and _alike(one.tolist(), other.tolist())


def _by_how_much(name: str, one: NDArray, other: NDArray) -> str:
    kinds = kind(one.dtype) + kind(other.dtype)
    if set(kinds) <= set("bi"):
        differ = one != other
        # As Python's integers: what lies between two of NumPy's may fit none of these.
        apart = plain(one[differ]).astype(object) - plain(other[differ]).astype(object)
        return _("{name} by at most {most:,}", name=name, most=np.abs(apart).max())
    if not set(kinds) <= set("bifc"):
        return name
    wide = complex if "c" in kinds else float
    one = one.astype(wide)
    other = other.astype(wide)
    nan_in_one = np.isnan(one) != np.isnan(other)
    apart = (one != other) & ~np.isnan(one) & ~np.isnan(other)
    text = name
    if apart.any():
        with np.errstate(over="ignore"):
            most = np.abs(one[apart] - other[apart]).max()
        text = _("{name} by at most {most:.3g}", name=name, most=most)
    if count := np.count_nonzero(nan_in_one):
        text = plural(
            "{text}, in 1 place one is NaN and the other is not",
            "{text}, in {count:,} places one is NaN and the other is not",
            int(count),
            text=text,
        )
    return text
