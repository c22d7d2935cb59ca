"""A request that is one long nested list of numbers, read three times as fast as its lists."""

import dataclasses
from typing import Any

import numpy as np
import orjson

MOST_DIMENSIONS = 60  # NumPy has 64 at most
_DIGITS = b"0123456789+-.eE"
_TO_ZERO = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_WITHOUT_BRACKETS = bytes.maketrans(b"[]", b"  ")
_SPACE = b" \t\n\r"


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """A nested list of JSON numbers: all of them in one list, and its shape."""

    flat: list[int | float]
    shape: tuple[int, ...]

    def nested(self) -> list[Any]:
        """Return the list as it was written."""
        return np.array(self.flat, object).reshape(self.shape).tolist()


def read(body: bytes) -> dict[str, Any] | None:
    """Read an object whose only list is one of numbers, as `Numbers`; None for anything else."""
    start = body.find(b"[")
    end = body.rfind(b"]") + 1
    numbers = _numbers(body[start:end])
    if numbers is None:
        return None
    try:
        document = orjson.loads(body[:start] + b"[]" + body[end:])
    except orjson.JSONDecodeError:
        return None
    for fields in (document, *document.values()) if type(document) is dict else ():
        for key, value in fields.items() if type(fields) is dict else ():
            if value == []:
                fields[key] = numbers
                return document
    return None


def _numbers(text: bytes) -> Numbers | None:
    """Read a nested list of numbers; None when it is anything else, or ragged, or no JSON.

    The numbers are parsed as one flat list, which saves making the inner ones. That the brackets
    are where they should be is seen without the numbers.
    """
    if b'"' in text:
        return None  # seen at once, and often so: text, or objects
    marks = text.translate(_TO_ZERO, _SPACE)
    shape = _shape(marks.translate(None, b"0"))
    if not shape or _misplaced(marks):
        return None
    try:
        flat = orjson.loads(b"[%b]" % text.translate(_WITHOUT_BRACKETS))
    except orjson.JSONDecodeError:
        return None
    return Numbers(flat, shape) if flat else None


def _misplaced(marks: bytes) -> bool:
    """Tell whether a number stands before an opening or after a closing bracket."""
    codes = np.frombuffer(marks, np.uint8)
    numbers = codes == ord("0")
    before_opening = numbers[:-1] & (codes[1:] == ord("["))
    after_closing = numbers[1:] & (codes[:-1] == ord("]"))
    return bool(before_opening.any() or after_closing.any())


def _shape(brackets: bytes) -> tuple[int, ...] | None:
    """Return the shape of a regular list without its numbers: of `[[,,],[,,]]` it is (2, 3)."""
    rank = len(brackets) - len(brackets.lstrip(b"["))
    if rank > MOST_DIMENSIONS or not brackets.endswith(b"]" * rank):
        return None
    shape: list[int] = []
    length = 0  # of one list of the level below, as it is written
    for depth in range(1, rank + 1):
        whole = brackets.find(b"]" * depth) + 2 * depth - rank
        shape.insert(0, (whole - 1) // (length + 1))
        length = whole
    regular = b""
    for size in reversed(shape):
        regular = b"[%b]" % b",".join([regular] * size)
    return tuple(shape) if regular == brackets else None
