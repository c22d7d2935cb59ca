"""JSON whose nested lists of numbers are read straight into arrays, piece by piece.

A Python object for each number would take seven times a float's memory, and its lists more still.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import DTypeLike, NDArray

LONG = 16 * 1024  # bytes; of less, lists are made as fast
MOST_DIMENSIONS = 60  # NumPy has 64 at most
_PIECE = 64 * 1024  # bytes that are read at once
_MOST_PARTS = 1000  # texts and lists of a document that are looked at
_PART = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\[', re.DOTALL)
_STAND_IN = f"numbers {os.urandom(8).hex()} "  # which no document has
_DIGITS = b"0123456789+-.eE"
_TO_ZERO = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_SPACE = b" \t\n\r"


@dataclasses.dataclass(frozen=True, slots=True)
class Numbers:
    """A nested list of JSON numbers that have not been read yet, and its shape."""

    shape: tuple[int, ...]
    _pieces: Callable[[], Iterator[bytes]]

    def array(self, dtype: DTypeLike, convert: Callable[[list[Any]], NDArray]) -> NDArray:
        """Read the numbers.

        Parameters
        ----------
        dtype : numpy dtype
        convert : callable
            Makes an array of one dimension from some of the numbers, which are int or float.

        Raises
        ------
        ValueError
            For what is no JSON after all; and whatever `convert` raises.
        """
        array = np.empty(self.shape, dtype)
        flat = array.reshape(-1)
        at = 0
        for piece in self._pieces():
            text = piece.replace(b"[", b" ").replace(b"]", b" ").removesuffix(b",")
            values = orjson.loads(b"[%b]" % text)
            if not values:
                raise ValueError("A list has no number where one is expected.")
            flat[at : at + len(values)] = convert(values)
            at += len(values)
        return array


def read(body: bytes) -> dict[str, Any] | None:
    """Read an object; its own lists of numbers, and those one level below, become `Numbers`.

    None when there are none, and for what is no JSON object.
    """
    parts: list[bytes] = []
    lists: dict[str, Numbers] = {}
    end = at = 0
    for _ in range(_MOST_PARTS):
        match = _PART.search(body, at)
        if not match:
            break
        start, at = match.span()
        if match[0] != b"[":
            continue
        places = [body.find(mark, at) for mark in (b'"', b"{", b"}")]
        at = min([place for place in places if place >= 0], default=len(body))
        stop = body.rfind(b"]", start, at) + 1
        numbers = _numbers(body, start, stop)
        if not numbers:
            continue
        stand_in = f"{_STAND_IN}{len(lists)}"
        lists[stand_in] = numbers
        parts += body[end:start], b'"%b"' % stand_in.encode()
        end = stop
    if not lists:
        return None
    try:
        document = orjson.loads(b"".join([*parts, body[end:]]))
    except orjson.JSONDecodeError:
        return None
    for fields in (document, *document.values()) if type(document) is dict else ():
        for key, value in fields.items() if type(fields) is dict else ():
            if type(value) is str and value in lists:
                fields[key] = lists.pop(value)
    return None if lists else document  # some are elsewhere


def _numbers(body: bytes, start: int, stop: int) -> Numbers | None:
    """Find the shape of a nested list of numbers; None when it is anything else, or ragged.

    That the brackets are where they should be is seen without the numbers.
    """

    def pieces() -> Iterator[bytes]:
        at = start
        while at < stop:
            comma = body.find(b",", at + _PIECE, stop)
            end = comma + 1 or stop
            yield body[at:end]
            at = end

    brackets = []
    for piece in pieces():
        marks = piece.translate(_TO_ZERO, _SPACE)
        if _misplaced(marks):
            return None
        brackets.append(marks.translate(None, b"0"))
    shape = _shape(b"".join(brackets))
    return Numbers(shape, pieces) if shape else None


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
        regular = b"[%b]" % ((regular + b",") * size)[:-1]
    return tuple(shape) if regular == brackets else None
