"""Boxes in an answer, found by the names that object detection has for them.

What can be read in two ways is not read: a wrong box looks as right as a right one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _
from workbench.values.arrays import kind

SURE = 0.5  # a box of a lower score is not drawn, unless another one is asked for
_MOST = 100  # boxes on one picture
_BOXES = re.compile(r"(?:^|[_.])b?boxes$", re.IGNORECASE)
# TensorFlow's own names: of its object detection, and of combined_non_max_suppression.
_TENSORFLOW = re.compile(r"(?:^|[_.])(?:detection|nmsed)_boxes$", re.IGNORECASE)
_SCORES = re.compile(r"score|confidence", re.IGNORECASE)
_CLASSES = re.compile(r"class", re.IGNORECASE)
_WHOLE = 1e15  # smaller numbers are written with all of their digits
_OUTSIDE = 0.25  # of a side, that a box may reach over the picture's edge


class Group(NamedTuple):
    """Names of the outputs that belong together; `others` have a value for each box, too."""

    boxes: str
    scores: str
    classes: str | None
    others: frozenset[str]


class Detections(NamedTuple):
    """The boxes of one picture that are sure.

    Parameters
    ----------
    boxes : ndarray, float64, shape (n, 4)
        xmin, ymin, xmax, ymax in pixels, from edge to edge.
    classes : list
        Numbers or text.
    scores : ndarray, float64, shape (n,)
    reading : str
        How the numbers were read.
    sure : float
        The score from which on they are.
    """

    boxes: NDArray[np.float64]
    classes: list
    scores: NDArray[np.float64]
    reading: str
    sure: float


def find(outputs: Mapping[str, NDArray]) -> Group | None:
    """Look for boxes of shape [n, 4] or [examples, n, 4] with a score, and maybe a class, each.

    Examples
    --------
    >>> find({"boxes": np.zeros((1, 9, 4)), "scores": np.zeros((1, 9))}).scores
    'scores'
    """
    for name, array in outputs.items():
        if not _BOXES.search(name) or array.shape[-1:] != (4,) or array.ndim not in (2, 3):
            continue
        per_box = [other for other, a in outputs.items() if a.shape == array.shape[:-1]]
        scores = [n for n in per_box if _SCORES.search(n) and kind(outputs[n].dtype) == "f"]
        classes = [n for n in per_box if _CLASSES.search(n) and n not in scores]
        classes.sort(key=lambda n: outputs[n].dtype.kind not in "OSU")  # names before numbers
        if scores and kind(array.dtype) in "fi":
            depth = array.ndim - 1
            others = {n for n, a in outputs.items() if a.shape[:depth] == array.shape[:depth]}
            return Group(name, scores[0], next(iter(classes), None), frozenset(others))
    return None


def read(
    outputs: Mapping[str, NDArray],
    group: Group,
    example: int,
    height: int,
    width: int,
    sure: float = SURE,
) -> Detections:
    """Read the boxes of one example on a picture, those with that score or a higher one.

    Raises
    ------
    BadInput
        Says why they cannot be drawn.
    """
    place = (example,) if outputs[group.boxes].ndim == 3 else ()
    boxes, scores = (outputs[name][place].astype(float) for name in (group.boxes, group.scores))
    if not ((scores >= 0) & (scores <= 1)).all():
        raise BadInput(_("The scores, {scores!r}, are not all from 0 to 1.", scores=group.scores))
    best = np.argsort(-scores, kind="stable")[:_MOST]
    best = best[scores[best] >= sure]
    corners = boxes[best]
    normalised = bool((np.abs(corners) <= 1 + _OUTSIDE).all())
    if not (_TENSORFLOW.search(group.boxes) or (normalised and group.classes is not None)):
        raise BadInput(_("Nothing tells whether x or y comes first."))
    sides = np.array([height, width, height, width])
    fractions = corners if normalised else corners / sides
    if (
        not (np.abs(fractions - 0.5) <= 0.5 + _OUTSIDE).all()
        or (fractions[:, :2] > fractions[:, 2:]).any()
    ):
        raise BadInput(_("They are no corners (ymin, xmin, ymax, xmax) within the picture."))
    reading = _("Read as ymin, xmin, ymax, xmax in pixels, as TensorFlow has them.")
    if normalised:
        reading = _("Read as ymin, xmin, ymax, xmax from 0 to 1, as TensorFlow has them.")
    return Detections(
        (fractions * sides)[:, [1, 0, 3, 2]],
        [""] * len(best) if group.classes is None else outputs[group.classes][place][best].tolist(),
        scores[best],
        reading,
        sure,
    )


def label(name: Any, labels: Sequence[str]) -> str:
    """Write a class, given by its name or its number, for a person.

    Examples
    --------
    >>> label(np.int64(1), ["cat", "dog"]), label(3.0, ()), label(b"dog", ())
    ('dog (1)', '3', 'dog')
    """
    if isinstance(name, bytes):
        return name.decode(errors="replace")
    if isinstance(name, str):
        return name
    number = float(name)
    whole = number.is_integer() and abs(number) < _WHOLE
    written = str(int(number)) if whole else f"{number:g}"
    name = labels[int(number)] if whole and 0 <= number < len(labels) else ""
    return f"{name} ({written})" if name else written
