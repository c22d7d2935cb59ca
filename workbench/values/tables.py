"""A pasted table, or one of a CSV file, as rows of values."""

import csv
import io
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench.values.arrays import finite, kind

_PAIR = re.compile(r"\s*[+-]?\d+,\d+\s*")  # two whole numbers, or one with a decimal comma
_READ: dict[str, Callable[[str], Any]] = {
    "b": lambda cell: bool(("false", "true").index(cell.lower())),
    "i": int,
    "f": float,
    "c": complex,
}


def parse(
    name: str, text: str, spec: TensorSpec, note: Callable[[str], object] = lambda sentence: None
) -> Any:
    """Read a table.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    text : str
        Cells are separated by tabs, semicolons, commas or spaces, whichever the last line has
        first in this order. A first row without a value is a heading, and left out.
    spec : TensorSpec
        Of numbers or booleans.
    note : callable
        Called with a sentence when a heading was left out.

    Returns
    -------
    list of list, list, or one value
        As many axes as the spec has, where one row or one column can be it.

    Raises
    ------
    BadInput
        For cells that are no values, rows of different lengths, decimal commas, and quotes that
        stay open.

    Examples
    --------
    >>> parse("x", "width;height\\n5.1;3.5", TensorSpec(np.dtype("float32"), (-1, 2)))
    [[5.1, 3.5]]
    """
    # Not csv.Sniffer: of 5,1;3,5 it takes the comma, and one column is none to it.
    # Each line keeps its end: without it, a quoted cell of two lines, 1 and 2, would be read as 12.
    lines = [f"{line}\n" for line in text.splitlines() if line.strip()]
    delimiter = next((mark for mark in "\t;," if mark in lines[-1]), " ")
    values = _numbers(lines, delimiter, spec.dtype)
    if not values:
        rows = _rows(name, lines, delimiter)
        if len(rows) > 1 and _is_heading(rows[0], delimiter, spec.dtype):
            note(_("below the heading {first!r}", first=", ".join(rows[0])[:40]))
            rows = rows[1:]
            lines = lines[-len(rows) :]  # a heading's cells may have several
        values = _values(name, rows, spec)
    if delimiter == "," and kind(spec.dtype) in "fc" and all(map(_PAIR.fullmatch, lines)):
        _refuse_two_readings(name, lines, spec)
    return _with_axes(values, spec)


def texts(name: str, text: str, delimiter: str = "") -> list[list[str]]:
    """Read a table of texts; its cells stay as they are, and blank rows are left out.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    text : str
    delimiter : str, optional
        Without it, tab, semicolon or comma: whichever the first line has first in this order.

    Raises
    ------
    BadInput
        For quotes that stay open.
    """
    first = text.strip().partition("\n")[0]
    delimiter = delimiter or next((mark for mark in "\t;," if mark in first), ",")
    rows = _csv(name, io.StringIO(text, newline=""), delimiter)
    return [row for row in rows if any(cell.strip() for cell in row)]


def _numbers(lines: list[str], delimiter: str, dtype: np.dtype) -> list[list[Any]]:
    """Read floats, and nothing but floats: of a table that has something else, nothing."""
    if kind(dtype) != "f":
        return []
    mark = None if delimiter == " " else delimiter
    try:
        numbers = np.loadtxt(lines, delimiter=mark, comments=None, ndmin=2)
    except ValueError:
        return []
    return [] if np.isinf(numbers).any() else numbers.tolist()  # some do not say that they are


def _values(name: str, rows: list[list[str]], spec: TensorSpec) -> list[list[Any]]:
    """Read cell by cell, and say of the first one that is no value where it is."""
    values = []
    read = _reader(spec.dtype)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise BadInput(
                _(
                    "Input {name!r}: row {number} has {size} values, and row 1 has "
                    "{first}. All rows of a table are of one length.",
                    name=name,
                    number=number,
                    size=len(row),
                    first=len(rows[0]),
                )
            )
        try:
            values.append([_value(cell, spec, read) for cell in row])
        except BadInput:  # said again with its place, which takes as long as all the rest
            for column, cell in enumerate(row, start=1):
                place = _(
                    "Input {name!r}, row {number}, column {column}",
                    name=name,
                    number=number,
                    column=column,
                )
                _value(cell, spec, read, place)
    return values


def _rows(name: str, lines: list[str], delimiter: str) -> list[list[str]]:
    if delimiter == " ":
        return [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in _csv(name, lines, delimiter)]


def _csv(name: str, lines: Iterable[str], delimiter: str) -> list[list[str]]:
    try:
        # Strict: an open quote would take all lines after it into one cell.
        return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise BadInput(
            _("Input {name!r} is no table: {error}. Is a quote left open?", name=name, error=error)
        ) from error


def _is_heading(cells: list[str], delimiter: str, dtype: np.dtype) -> bool:
    """Whether no cell is a value; nor part of one of several lines, as an open quote makes it."""
    lines = (line for cell in cells for line in cell.splitlines()[1:])
    parts = (part.strip() for line in lines for part in line.split(delimiter))
    read = _reader(dtype)
    return all(read(part) is None for part in (*cells, *parts))


def _refuse_two_readings(name: str, lines: list[str], spec: TensorSpec) -> None:
    """Refuse what fits as one number with a decimal comma for each line."""
    column = [[0.0]] * len(lines)
    shape = np.shape(_with_axes(column, spec))
    if spec.takes(shape) or spec.takes((1, *shape)):
        one = lines[0].strip()
        raise BadInput(
            _(
                "Input {name!r}: {one!r} can be one number or two. Write {number!r} "
                "for one, and {pair!r} for two.",
                name=name,
                one=one,
                number=one.replace(",", "."),
                pair=one.replace(",", ", "),
            )
        )


def _value(cell: str, spec: TensorSpec, read: Callable[[str], Any], place: str = "") -> Any:
    value = read(cell)
    if value is None:
        shown = repr(cell if len(cell) <= 40 else f"{cell[:40]} ...")
        hint = _("The input takes {spec}.", spec=spec)
        if "," in cell or " " in cell:
            hint = _("Write decimals with a point, as in 1.5: a comma separates values.")
        if kind(spec.dtype) in "fc":
            raise BadInput(
                _(
                    "{place}: {shown} is no number. {hint}",
                    place=place,
                    shown=shown,
                    hint=hint,
                )
            )
        words = {"b": _("true or false"), "i": _("whole number")}
        word = words.get(kind(spec.dtype), str(spec.dtype))
        raise BadInput(
            _(
                "{place}: {shown} is no {word}. {hint}",
                place=place,
                shown=shown,
                word=word,
                hint=hint,
            )
        )
    return finite(place, cell, value, spec)


def _reader(dtype: np.dtype) -> Callable[[str], Any]:
    """Return what reads one cell, or returns None when it is no value."""
    convert = _READ.get(kind(dtype))

    def read(cell: str) -> Any:
        try:
            return convert(cell) if convert and "_" not in cell else None  # Python reads 1_000
        except ValueError:
            return None

    return read


def _with_axes(rows: list[list[Any]], spec: TensorSpec) -> Any:
    """Take a row or a column for what it is, when the spec has fewer than two axes."""
    rank = None if spec.shape is None else len(spec.shape)
    if rank in (0, None) and len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    if rank in (1, None) and 1 in (len(rows), len(rows[0])):
        return [value for row in rows for value in row]
    return rows
