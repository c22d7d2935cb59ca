"""Numbers in JSON: long nested lists of them read at once, and floats in the product's own form."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float32).max)
MOST_DIMENSIONS = 60  # NumPy has 64 at most
_DIGITS = b"0123456789+-.eE"
_TO_ZERO = bytes.maketrans(_DIGITS, b"0" * len(_DIGITS))
_WITHOUT_BRACKETS = bytes.maketrans(b"[]", b"  ")
_SPACE = b" \t\n\r"


class Numbers(NamedTuple):
    """A nested list of JSON numbers: all of them in one list, and its shape."""

    flat: list[int | float]
    shape: tuple[int, ...]


def read(text: bytes) -> Numbers | None:
    """Read a nested list of numbers; None when it is anything else, or ragged, or no JSON.

    The numbers are parsed as one flat list, which saves making the inner ones. That the brackets
    are where they should be is seen without the numbers.
    """
    if b'"' in text:
        return None  # seen at once, and often so: text, or objects
    marks = text.translate(_TO_ZERO, _SPACE)
    brackets = marks.translate(None, b"0")
    shape = _shape(brackets)
    if shape is None or brackets != _brackets(shape) or _misplaced(marks):
        return None
    try:
        flat = orjson.loads(b"[%b]" % text.translate(_WITHOUT_BRACKETS))
    except orjson.JSONDecodeError:
        return None
    return Numbers(flat, shape) if len(flat) == math.prod(shape) else None


def plain(value: Any, levels: int = 2) -> Any:
    """Return a JSON value with nested lists in place of `Numbers`, which are never deep inside."""
    if type(value) is Numbers:
        return _nested(value)
    if type(value) is dict and levels:
        return {key: plain(each, levels - 1) for key, each in value.items()}
    return value


def flatten(value: Any) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return a nested list's leaves and its shape; None when it is ragged.

    Examples
    --------
    >>> flatten([[1, 2, 3], [4, 5, 6]])
    ([1, 2, 3, 4, 5, 6], (2, 3))
    """
    leaves: list[Any] = [value]
    sizes: list[int] = []
    while leaves and type(leaves[0]) is list:
        if set(map(type, leaves)) != {list} or len(sizes) > MOST_DIMENSIONS:
            return None
        found = set(map(len, leaves))
        if len(found) != 1:
            return None
        sizes.append(found.pop())
        leaves = list(itertools.chain.from_iterable(leaves))
    return leaves, tuple(sizes)


@np.errstate(all="ignore")  # infinite numbers, and those that are none
def decimals(values: Sequence[float] | NDArray, *, single: bool) -> list[str]:
    """Write floats as the product does: six digits if they are enough, else all.

    Parameters
    ----------
    values : sequence of float, or one-dimensional ndarray
    single : bool
        Whether they are 32-bit numbers.

    Examples
    --------
    >>> decimals([0.2, 1 / 3, 3.0, 1e6, float("nan")], single=True)
    ['0.2', '0.333333343', '3.0', '1e+06', 'NaN']
    """
    exact = np.asarray(values, np.float32 if single else np.float64)
    form = "%.9g " if single else "%.17g "
    finite = np.isfinite(exact)
    short = finite & _may_be_short(exact)
    texts = np.empty(len(exact), object)
    texts[short] = _formatted("%g ", exact[short])
    texts[~short] = _formatted(form, exact[~short])
    read_back = np.array(list(map(float, texts[short])), exact.dtype)
    cut = np.flatnonzero(short)[read_back != exact[short]]
    texts[cut] = _formatted(form, exact[cut])
    texts[~finite] = list(map(_not_finite, exact[~finite].tolist()))
    written = texts.tolist()
    for index in np.flatnonzero(finite & (np.trunc(exact) == exact)).tolist():
        text = written[index]
        if "." not in text and "e" not in text:
            written[index] = text + ".0"
    return written


def _may_be_short(exact: NDArray) -> NDArray:
    """Tell which numbers are so near to one of six digits that the text may be as good."""
    wide = np.abs(exact.astype(np.float64))
    scale = 10.0 ** (5 - np.floor(np.log10(wide)))
    far = np.abs(np.rint(wide * scale) / scale - wide) > wide * 1e-7
    return ~far | (wide < np.finfo(exact.dtype).tiny)


def _formatted(form: str, values: NDArray) -> list[str]:
    return (form * len(values) % tuple(values.tolist())).split()


def _not_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _nested(numbers: Numbers) -> list[Any]:
    nested: list[Any] = numbers.flat
    for size in reversed(numbers.shape[1:]):
        nested = [nested[i : i + size] for i in range(0, len(nested), size)]
    return nested


def _shape(brackets: bytes) -> tuple[int, ...] | None:
    """Guess a nested list's shape from the first element of each level: `[[,,],[,,]]` is (2, 3)."""
    rank = len(brackets) - len(brackets.lstrip(b"["))
    if not 0 < rank <= MOST_DIMENSIONS:
        return None
    shape: list[int] = []
    length = 0  # of one list of the level below, as it is written
    for depth in range(1, rank + 1):
        end = brackets.find(b"]" * depth)
        if end < 0:
            return None
        whole = end + depth - (rank - depth)
        shape.insert(0, (whole - 1) // (length + 1))
        length = whole
    return tuple(shape)


def _brackets(shape: Iterable[int]) -> bytes:
    text = b""
    for size in reversed(tuple(shape)):
        text = b"[" + b",".join([text] * size) + b"]"
    return text


def _misplaced(marks: bytes) -> bool:
    """Tell whether a number stands before an opening or after a closing bracket."""
    codes = np.frombuffer(marks, np.uint8)
    numbers = codes == ord("0")
    return bool(
        (numbers[:-1] & (codes[1:] == ord("["))).any()
        or (numbers[1:] & (codes[:-1] == ord("]"))).any()
    )
