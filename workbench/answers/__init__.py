"""Any service's answer, shown by what it is.

`show` tells kinds of answers apart. Arrays are looked at in `outputs`, JSON in `documents`; both
find parts such as scores or sounds, which `drawings` writes as HTML.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.answers import Face, Tag, TextItem
from helpers.ccai.speech import Speech
from helpers.language import _
from helpers.tfserving import Class
from workbench.answers import documents, drawings, rasters
from workbench.answers.detections import SURE
from workbench.answers.drawings import EXAMPLES, Part, table
from workbench.answers.outputs import parts
from workbench.answers.transcripts import raw

__all__ = ["Part", "parts", "raw", "show", "table"]


def show(
    answer: Any, sent: Any = None, labels: Sequence[str] = (), sure: float = SURE
) -> list[Part]:
    """Choose how to look at an answer.

    Parameters
    ----------
    answer : mapping of str to ndarray, what `helpers.ccai` or `tfserving` returns, str, or JSON
    sent : mapping of str to ndarray or bytes, or bytes, optional
        Boxes and points are drawn on the first picture in it.
    labels : sequence of str
        Names of the classes, where scores are.
    sure : float
        Boxes of a lower score are not drawn.

    Returns
    -------
    list of Part
        Empty when `table` or `raw` says it all. What cannot be drawn is a part that says so.

    Examples
    --------
    >>> [part.kind for part in show([Tag("teapot", 0.8)])]
    ['scores']
    """
    return drawings.drawn("answer", partial(_shown, answer, sent, labels, sure))


def _shown(answer: Any, sent: Any, labels: Sequence[str], sure: float) -> list[Part]:
    if isinstance(sent, bytes):
        sent = {"file": sent}
    inputs = _arrays(sent) if isinstance(sent, Mapping) else {}
    match answer:
        case Mapping():
            arrays = _arrays(answer)
            if len(arrays) == len(answer):
                return parts(arrays, inputs, labels, sure)
            return documents.parts(answer, inputs, labels, sure)
        case np.ndarray():
            return _array(answer, inputs)
        case Speech():
            return [drawings.sounds(_("speech"), [answer], 1)]
        case str():
            return documents.text(_("text"), answer)
        case list():
            return _list(answer, inputs, labels)
    return []


def _list(answer: list, inputs: Mapping[str, NDArray], labels: Sequence[str]) -> list[Part]:
    match answer:
        case []:
            return [
                drawings.sentence(_("answer"), _("The answer is an empty list: nothing was found."))
            ]
        case [Face(), *_]:
            rows = [tuple(map(str, face)) for face in answer]
            return [_placed(_("faces"), answer, (_("face"), *Face._fields), rows, inputs)]
        case [TextItem(), *_]:
            corners = [(x, y, x + w, y + h) for x, y, w, h in (item.box for item in answer)]
            head = (_("number"), _("text"), "x", "y", _("width"), _("height"))
            rows = [(item.text, *map(str, item.box)) for item in answer]
            return [_placed(_("text"), corners, head, rows, inputs)]
        case [Tag() | Class(), *_]:
            return [drawings.scores(_("classes"), [answer], 1)]
        case [[Class(), *_], *_]:
            return [drawings.scores(_("classes"), answer[:EXAMPLES], len(answer))]
    return documents.parts(answer, inputs, labels)


def _arrays(values: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return the values that are arrays, and the files among them as arrays of one string."""
    files = {n: np.array([file], object) for n, file in values.items() if isinstance(file, bytes)}
    return files | {n: array for n, array in values.items() if isinstance(array, np.ndarray)}


def _array(array: NDArray, inputs: Mapping[str, NDArray]) -> list[Part]:
    pixels = rasters.only_input(inputs)
    if array.ndim == 3 and array.shape[2] == 2 and pixels is not None:
        return [drawings.points(_("points"), pixels, array.reshape(-1, 2).tolist())]
    values = {"values": array}
    return parts(values, inputs) or [Part("values", "table", table(values))]


def _placed(
    title: str,
    corners: Sequence[Sequence[float]],
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    inputs: Mapping[str, NDArray],
) -> Part:
    """Show boxes with their numbers on the picture that was sent, and what they are beside it."""
    numbered = [(str(number), *row) for number, row in enumerate(rows)]
    caption = _("{title}, {count} in all, in pixels", title=title, count=len(corners))
    listed = drawings.beginning(caption, head, numbered, len(corners), _("boxes"))
    pixels = rasters.only_input(inputs)
    if pixels is None:
        return Part(title, "table", listed)
    numbers = [row[0] for row in numbered[: drawings.ROWS]]
    return drawings.boxes(title, pixels, corners[: drawings.ROWS], numbers, listed)
