"""Any service's answer by what it is; what the Explorer shows of one is listed here."""

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.answers import Face, Tag, TextItem
from helpers.ccai.speech import Speech
from helpers.tfserving import Class
from workbench.answers import drawings, rasters
from workbench.answers.drawings import EXAMPLES, Part, table
from workbench.answers.outputs import kind, parts
from workbench.answers.transcripts import raw

__all__ = ["Part", "kind", "parts", "raw", "show", "table"]

_MOST = 100  # rows of a table
_WIDEST = 30  # fields of a row
_LONGEST = 200  # letters in a table's cell
_DEEPEST = 5  # objects within each other that are looked into
_FILES = ("iVBORw0KGgo", "/9j/", "UklGR")  # how PNG, JPEG and WAV begin in base64


def show(answer: Any, given: Any = None, labels: Sequence[str] = ()) -> list[Part]:
    """Choose how to look at an answer.

    Parameters
    ----------
    answer : mapping of str to ndarray, what `helpers.ccai` or `tfserving` returns, str, or JSON
    given : mapping of str to ndarray or bytes, or bytes, optional
        What was sent: boxes and points are drawn on the first picture in it.
    labels : sequence of str
        Names of the classes, where scores are.

    Returns
    -------
    list of Part
        Empty when `table` or `raw` says it all. What cannot be drawn is a part that says so.

    Examples
    --------
    >>> [each.kind for each in show([Tag("teapot", 0.8)])]
    ['scores']
    """
    return drawings.drawn("answer", partial(_read, answer, given, labels))


def _read(answer: Any, given: Any, labels: Sequence[str]) -> list[Part]:
    sent = {"file": given} if isinstance(given, bytes) else given
    inputs = _arrays(sent) if isinstance(sent, Mapping) else {}
    if isinstance(answer, Mapping):
        arrays = _arrays(answer)
        whole = len(arrays) == len(answer)
        return parts(arrays, inputs, labels) if whole else _of_json(answer, inputs, labels)
    if isinstance(answer, Speech):
        return [drawings.sounds("speech", [answer], 1)]
    if isinstance(answer, np.ndarray):
        return _of_array(answer, inputs)
    if isinstance(answer, list):
        return _of_objects(answer, inputs) or _of_json(answer, inputs, labels)
    return _of_text("text", answer) if isinstance(answer, str) else []


def _arrays(given: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return the values that are arrays, and the files among them as arrays of one string."""
    files = {n: np.array([each], object) for n, each in given.items() if isinstance(each, bytes)}
    return files | {n: each for n, each in given.items() if isinstance(each, np.ndarray)}


def _pixels(inputs: Mapping[str, NDArray]) -> drawings.Pixels | None:
    sent = rasters.of_inputs(inputs)
    return sent.pixels[0] if sent and sent.total == 1 else None


def _of_array(array: NDArray, inputs: Mapping[str, NDArray]) -> list[Part]:
    pixels = _pixels(inputs)
    if array.ndim == 3 and array.shape[2] == 2 and pixels is not None:
        return [drawings.points("points", pixels, array.reshape(-1, 2).tolist())]
    values = {"values": array}
    return parts(values, inputs) or [Part("values", "table", table(values))]


def _of_objects(answer: list, inputs: Mapping[str, NDArray]) -> list[Part]:
    """Show what CCAI found on a picture, or classes, of one example or of several."""
    if not answer:
        told = "The answer is an empty list: nothing was found."
        return [Part("answer", "text", drawings.notes(told))]
    first = answer[0]
    if isinstance(first, Face):
        squares = [map(str, each) for each in answer]
        return _placed("faces", answer, squares, ("face", *Face._fields), inputs)
    if isinstance(first, TextItem):
        corners = [(x, y, x + w, y + h) for x, y, w, h in (each.box for each in answer)]
        cells = [(each.text, *map(str, each.box)) for each in answer]
        head = ("number", "text", "x", "y", "width", "height")
        return _placed("text", corners, cells, head, inputs)
    if isinstance(first, Tag | Class):
        return [drawings.scores("classes", [answer], 1)]
    if isinstance(first, list) and all(isinstance(each, Class) for each in first):
        return [drawings.scores("classes", answer[:EXAMPLES], len(answer))]
    return []


def _placed(
    title: str,
    corners: Sequence[Sequence[float]],
    cells: Iterable[Iterable[str]],
    head: Sequence[str],
    inputs: Mapping[str, NDArray],
) -> list[Part]:
    """Show boxes with their numbers on the picture that was sent, and what they are beside it."""
    rows = [(str(number), *each) for number, each in enumerate(cells)][:_MOST]
    listed = drawings.grid(f"{title}, {len(corners)} in all, in pixels", head, rows)
    told = drawings.of_batch(len(rows), len(corners), "boxes")
    if (pixels := _pixels(inputs)) is None:
        return [Part(title, "table", listed + drawings.notes(told))]
    marks = [row[0] for row in rows]
    return [drawings.boxes(title, pixels, corners[: len(rows)], marks, listed, told)]


def _of_text(title: str, text: str) -> list[Part]:
    if text.startswith(_FILES):
        with contextlib.suppress(ValueError):
            file = np.array([base64.b64decode(text)], object)
            if kind(title, file) != "text":
                return parts({title: file}, {})
    return [drawings.texts(title, [text], 1)]


def _of_json(answer: Any, inputs: Mapping[str, NDArray], labels: Sequence[str]) -> list[Part]:
    leaves = dict(_leaves(answer))
    lists = {name: array for name, each in leaves.items() if (array := _as_array(each)) is not None}
    found = parts(lists, inputs, labels)
    fields = {name: each for name, each in leaves.items() if _is_short(each)}
    if fields:
        rows = [(name, _written(each)) for name, each in fields.items()][:_MOST]
        listed = drawings.grid("Fields", ("name", "value"), rows)
        told = drawings.of_batch(len(rows), len(fields), "fields")
        found.append(Part("fields", "table", listed + drawings.notes(told)))
    for name, each in leaves.items():
        if isinstance(each, str) and name not in fields:
            found += drawings.drawn(name, partial(_of_text, name, each))
        elif isinstance(each, list) and name not in lists:
            found += drawings.drawn(name, partial(_of_list, name, each))
    return found


def _leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Give the values within objects, by their paths such as `data.resp_data`."""
    if isinstance(value, Mapping) and depth < _DEEPEST:
        for each in value:
            name = str(each).encode(errors="replace").decode()  # half a character cannot be sent
            yield from _leaves(value[each], f"{path}.{name}" if path else name, depth + 1)
    else:
        yield path or "answer", value


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST and "\n" not in value
    return value is None or isinstance(value, bool | int | float)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _as_array(value: Any) -> NDArray | None:
    """Return a list of numbers, of texts, or of such lists of one length, as an array."""
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(each, str) for each in value):
        return np.array(value, object)
    try:
        array = np.array(value)
    except (ValueError, OverflowError):  # lists of different lengths, or objects
        return None
    return array if array.dtype.kind in "iuf" else None


def _of_list(title: str, values: list) -> list[Part]:
    if values and all(map(_is_score, values)):
        return [drawings.scores(title, [[(name, score) for name, score in values]], 1)]
    flat = (isinstance(e, Mapping) and all(map(_is_short, e.values())) for e in values)
    if not values or not all(flat):
        return []  # the JSON says it
    names = list(dict.fromkeys(name for each in values[:_MOST] for name in each))
    head = names[:_WIDEST]
    rows = [
        (str(n), *(_written(each.get(name, "")) for name in head))
        for n, each in enumerate(values[:_MOST])
    ]
    listed = drawings.grid(title, ["number", *head], rows)
    told = drawings.of_batch(len(rows), len(values), "rows")
    wide = drawings.of_batch(len(head), len(names), "fields")
    return [Part(title, "table", listed + drawings.notes(told, wide))]


def _is_score(value: Any) -> bool:
    """Whether this is a label with its score, as ModelArts gives them."""
    pair = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
    return pair and isinstance(value[1], int | float) and 0 <= value[1] <= 1
