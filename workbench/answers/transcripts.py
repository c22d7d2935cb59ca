"""An answer as JSON for a person: whole if it is short, else how it begins."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.language import _
from helpers.tensors import of_ml_dtypes
from workbench.code import literals
from workbench.values.arrays import kind

_LENGTH = 100_000  # characters, more or less, that a person may want to scroll through
_SHARE = 500  # of them that each of many arrays has at least
_DEEPEST = 50  # lists in lists
_WIDTH = 80  # characters of lists in lists that still go on one line


def raw(answer: Any, length: int = _LENGTH) -> str:
    """Write an answer as JSON.

    Parameters
    ----------
    answer : mapping of str to ndarray, ndarray, str, JSON, or what `helpers.ccai` returns
    length : int
        Characters, more or less, from which on lists and texts end early.

    Returns
    -------
    str
        A row of numbers on each line, or all on one if they are few. NaN and Infinity are written
        as TensorFlow Serving's REST does, bytes that are no text as `{"b64": ...}`, a complex
        number as a pair. Of what is too long, a line below the JSON says how much is left out and
        how to get it. This is text, not HTML.

    Examples
    --------
    >>> print(raw({"scores": np.array([[0.9, 0.1]], np.float32), "n": np.array(2)}))
    {"scores": [[0.9, 0.1]], "n": 2}
    """
    writer = _Writer(length)
    text = writer.write(answer)
    left_out = []
    if writer.values:
        left_out.append(_("{count:,} values", count=writer.values))
    if writer.characters:
        left_out.append(_("{count:,} characters of text", count=writer.characters))
    if left_out:
        words = _(
            "{listed} are left out here. The Python code of the preview gets all of them.",
            listed=_(" and ").join(left_out),
        )
        text += f"\n\n{words}"
    return text.encode(errors="backslashreplace").decode()  # a lone surrogate, as JSON has it


class _Writer:
    """Writes until its characters are used up, and counts what it leaves out."""

    def __init__(self, remaining: int) -> None:
        self.remaining = remaining
        self.values = 0
        self.characters = 0

    def write(self, value: Any, indent: str = "") -> str:
        value = self._plain(value)
        if len(indent) > 2 * _DEEPEST:
            self.values += _count(value)
            return '"..."'
        inner = f"{indent}  "
        if isinstance(value, dict):
            return _joined(self._items(value, inner), "{}", indent)
        if not isinstance(value, list):
            return self._leaf(value)
        if all(isinstance(item, str | int | float | None) for item in value):
            return f"[{', '.join(self._until_full(value, self._leaf))}]"
        parts = self._until_full(value, lambda item: self.write(item, inner), 3 + len(indent))
        return _joined(parts, "[]", indent)

    def _items(self, values: dict[Any, Any], indent: str) -> list[str]:
        """Write names and values; the short ones first, so that the long ones share the rest."""
        remaining = self.remaining
        written = {}
        for number, name in enumerate(sorted(values, key=lambda name: _count(values[name]))):
            self.remaining = share = max(_SHARE, remaining // (len(values) - number))
            written[name] = f"{self._leaf(str(name))}: {self.write(values[name], indent)}"
            remaining -= share - self.remaining + len(indent)
        self.remaining = remaining
        return [written[name] for name in values]

    def _until_full(
        self, values: list[Any], write: Callable[[Any], str], more: int = 0
    ) -> list[str]:
        parts: list[str] = []
        for number, value in enumerate(values):
            if self.remaining <= 0:
                self.values += sum(map(_count, values[number:]))
                break
            parts.append(write(value))
            self.remaining -= more
        return parts

    def _leaf(self, value: Any) -> str:
        if isinstance(value, str) and len(value) > (kept := max(self.remaining, _SHARE)):
            self.characters += len(value) - kept
            value = f"{value[:kept]}..."
        text = json.dumps(value, ensure_ascii=False, default=str)
        self.remaining -= len(text) + 2
        return text

    def _plain(self, value: Any) -> Any:
        """Return a value as dicts, lists and what JSON has besides; long arrays are cut."""
        if isinstance(value, np.ndarray | np.generic):
            array = np.asarray(value)
            cut = _beginning(
                array, max(1, self.remaining // 2)
            )  # a digit and a comma, at the least
            self.values += array.size - cut.size
            return literals.listed(plain(cut))
        if isinstance(value, bytes):
            return literals.in_json(value)
        if hasattr(value, "_asdict"):
            return value._asdict()
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return dict(value)
        return list(value) if isinstance(value, list | tuple) else value


def _joined(parts: list[str], brackets: str, indent: str) -> str:
    line = ", ".join(parts).join(brackets)
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    lines = f",\n{indent}  ".join(parts)
    return f"\n{indent}  {lines}\n{indent}".join(brackets)


def plain(array: NDArray) -> NDArray:
    """Return numbers in a dtype that JSON can carry; a complex number becomes a pair.

    Examples
    --------
    >>> plain(np.array([1 + 2j], np.complex64))
    array([[1., 2.]], dtype=float32)
    """
    if array.dtype.kind == "c":
        return np.stack([array.real, array.imag], -1)
    if of_ml_dtypes(array.dtype):  # NumPy's own kind of them is not always V
        return array.astype(np.float32 if kind(array.dtype) == "f" else np.int8)
    return array


def _beginning(array: NDArray, most: int) -> NDArray:
    """Return the first rows of an array, or the beginning of the first, with `most` values."""
    for axis, size in enumerate(array.shape):
        inner = math.prod(array.shape[axis + 1 :])
        if size * inner <= most:
            break
        array = array[(slice(None),) * axis + (slice(max(1, most // max(1, inner))),)]
    return array


def _count(value: Any) -> int:
    """Return how many values there are in arrays, lists and dicts, at the least."""
    count = 0
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            rest += item.values()
        elif isinstance(item, list | tuple):
            rest += item
        else:
            count += item.size if isinstance(item, np.ndarray) else 1
    return count
