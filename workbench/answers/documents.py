"""JSON by what is in it: short values as a table of fields, lists as what they may be."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.language import _
from workbench.answers import drawings, outputs
from workbench.answers.detections import SURE
from workbench.answers.drawings import Part

_WIDEST = 30  # fields of a row
_LONGEST = 200  # letters in a table's cell
_DEEPEST = 5  # objects within each other that are looked into
_FILES = ("iVBORw0KGgo", "/9j/", "UklGR")  # how PNG, JPEG and WAV begin in base64


def parts(
    document: Any, inputs: Mapping[str, NDArray], labels: Sequence[str], sure: float = SURE
) -> list[Part]:
    """Choose how to look at JSON; parameters are as for `outputs.parts`."""
    leaves = dict(_leaves(document))
    arrays = {name: array for name, leaf in leaves.items() if (array := _array(leaf)) is not None}
    shown = outputs.parts(arrays, inputs, labels, sure)
    fields = [(name, _written(leaf)) for name, leaf in leaves.items() if _is_short(leaf)]
    if fields:
        listed = drawings.beginning(
            _("Fields"), (_("name"), _("value")), fields, len(fields), _("fields")
        )
        shown.append(Part("fields", "table", listed))
    for name, leaf in leaves.items():
        if isinstance(leaf, str) and not _is_short(leaf):
            shown += drawings.drawn(name, partial(text, name, leaf))
        elif isinstance(leaf, list) and name not in arrays:
            shown += drawings.drawn(name, partial(_list, name, leaf))
    return shown


def text(title: str, content: str) -> list[Part]:
    """Show a text, or the picture or the sound that it is in base64."""
    if content.startswith(_FILES):
        with contextlib.suppress(ValueError):
            shown = outputs.parts({title: np.array([base64.b64decode(content)], object)}, {})
            if shown[0].kind != "text":
                return shown
    return [drawings.texts(title, [content], 1)]


def _leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Give the values within objects, by their paths such as `data.resp_data`."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for key, inner in value.items():
            name = str(key).encode(errors="replace").decode()  # half a character cannot be sent
            yield from _leaves(inner, f"{path}.{name}" if path else name, depth + 1)
    else:
        yield path or "answer", value


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST and "\n" not in value
    return value is None or isinstance(value, bool | int | float)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _array(value: Any) -> NDArray | None:
    """Return a list of numbers, of texts, or of such lists of one length, as an array."""
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(item, str) for item in value):
        return np.array(value, object)
    try:
        array = np.array(value)
    except (ValueError, OverflowError):  # lists of different lengths, or objects
        return None
    return array if array.dtype.kind in "iuf" else None


def _list(title: str, values: list) -> list[Part]:
    if values and all(map(_is_score, values)):
        return [drawings.scores(title, [values], 1)]
    flat = (isinstance(row, Mapping) and all(map(_is_short, row.values())) for row in values)
    if not values or not all(flat):
        return []  # the JSON says it
    names = list(dict.fromkeys(name for row in values[: drawings.ROWS] for name in row))
    head = names[:_WIDEST]
    rows = (
        (str(number), *(_written(row.get(name, "")) for name in head))
        for number, row in enumerate(values)
    )
    listed = drawings.beginning(title, [_("number"), *head], rows, len(values), _("rows"))
    wide = drawings.of_batch(len(head), len(names), _("fields"))
    return [Part(title, "table", listed + drawings.notes(wide))]


def _is_score(value: Any) -> bool:
    """Whether this is a label with its score, as ModelArts gives them."""
    pair = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
    return pair and isinstance(value[1], int | float) and 0 <= value[1] <= 1
