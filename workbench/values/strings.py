"""A text as the strings that an input takes: JSON, one a line, all of it as one, or examples."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _, plural
from helpers.tfserving.signatures import TensorSpec
from workbench.values import examples, tables
from workbench.values.arrays import of_base64, one
from workbench.values.choices import EXAMPLES, HEADING, LINES

_SHOWN = 40  # characters of a text in a note


def read(
    name: str,
    text: str,
    spec: TensorSpec,
    texts: str,
    note: Callable[[str], object],
    *,
    delimiter: str = "",
) -> NDArray:
    """Read a text for a string input.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    text : str
    spec : TensorSpec
    texts : str
        One of `choices.TEXTS`. Empty for JSON, or else all of it as one.
    note : callable
        Called with a sentence that says what was taken for what.
    delimiter : str, optional
        Of a CSV file's columns.

    Returns
    -------
    ndarray of object
        Blank lines are left out.

    Raises
    ------
    BadInput
        For base64 and examples that are none, and for rows with other columns than the input has.
    """
    if texts == EXAMPLES:
        return _of_examples(examples.read(text), spec, note)
    if texts in (LINES, HEADING):
        return _listed(name, text, spec, texts == HEADING, delimiter, note)
    value = None if texts else _json(text)
    if isinstance(value, bytes) or (value is not None and spec.shape != () and _are_texts(value)):
        return one(value, spec) if isinstance(value, str | bytes) else _objects(value)
    if _are_objects(value) and examples.are_likely(name, spec):
        return _of_examples(examples.read(text), spec, note)
    if text.lstrip()[:1] in ("[", "{") and spec.shape != ():
        note(_("one text, as it stands: it is no JSON list of texts"))
    elif is_several(text):
        note_lines(text, note)
    elif not text:
        note(_("one empty text"))
    return one(text, spec)


def note_lines(text: str, note: Callable[[str], object]) -> None:
    """Say that several lines are one text."""
    count = len(text.strip().splitlines())
    note(plural("one text of {count} line", "one text of {count} lines", count))


def is_several(text: str) -> bool:
    """Whether a text has several lines, blank ones aside."""
    return len(text.strip().splitlines()) > 1


def is_list(text: str) -> bool:
    """Whether a text is a JSON list, whose line breaks mean nothing."""
    return isinstance(_json(text), list)


def takes_several(spec: TensorSpec) -> bool:
    """Whether a string input takes more than one string.

    Examples
    --------
    >>> takes_several(TensorSpec(np.dtype(object), (1,)))
    False
    """
    return spec.shape is None or any(size != 1 for size in spec.shape)


def _json(text: str) -> Any:
    """Return a text's JSON with bytes for `b64`, or None where it is no JSON."""
    if text.lstrip()[:1] not in ("[", "{", '"'):
        return None
    try:
        return of_base64(json.loads(text))
    except (ValueError, RecursionError):
        return None


def _are_texts(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_are_texts, value))
    return isinstance(value, str | bytes)


def _are_objects(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
    )


def _of_examples(read: list[dict], spec: TensorSpec, note: Callable[[str], object]) -> NDArray:
    note(examples.described(read))
    strings = examples.serialized(read)
    return one(strings[0], spec) if len(strings) == 1 else strings


def _listed(
    name: str,
    text: str,
    spec: TensorSpec,
    heading: bool,
    delimiter: str,
    note: Callable[[str], object],
) -> NDArray:
    columns = spec.shape[1] if spec.shape and len(spec.shape) == 2 else 1
    if delimiter or columns != 1:
        rows = tables.texts(name, text, delimiter)
    else:
        rows = [[line.rstrip("\n")] for line in io.StringIO(text, newline=None) if line.strip()]
    if not rows[heading:]:
        raise BadInput(_("Input {name!r} is empty; expected {spec}.", name=name, spec=spec))
    rows = rows[heading:]
    if columns == 1 and any(len(row) != 1 for row in rows):
        number = next(number for number, row in enumerate(rows, 1 + heading) if len(row) != 1)
        sentence = _(
            "Input {name!r}: row {number} of the table has several columns, and the input takes "
            "{spec}. Save the column that is meant alone, or as .txt, where a line is a text.",
            name=name,
            number=number,
            spec=spec,
        )
        raise BadInput(sentence)
    if len({len(row) for row in rows}) > 1:
        raise BadInput(
            _("Input {name!r}: the rows of the table have different lengths.", name=name)
        )
    note(_said(rows))
    strings = _objects(rows)
    return strings if columns != 1 else _column(strings[:, 0], spec)


def _said(rows: list[list[str]]) -> str:
    first, last = (row[0][:_SHOWN] for row in (rows[0], rows[-1]))
    if len(rows[0]) > 1:
        return plural(
            "{count} row of {columns} texts",
            "{count} rows of {columns} texts",
            len(rows),
            columns=len(rows[0]),
        )
    return plural(
        "{count} text: {first!r}",
        "{count} texts, one a line: {first!r} to {last!r}",
        len(rows),
        first=first,
        last=last,
    )


def _objects(value: Any) -> NDArray:
    """Make objects of nested lists: NumPy's own texts lose NUL bytes at their ends."""
    try:
        return np.array(value, object)
    except ValueError as error:
        raise BadInput(_("The lists within the list differ in length.")) from error


def _column(strings: NDArray, spec: TensorSpec) -> NDArray:
    """Give a list of strings the axes of size 1 that an input has behind it."""
    behind = (1,) * (len(spec.shape or (0,)) - 1)
    return strings.reshape(strings.shape + behind)
