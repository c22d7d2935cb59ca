"""A model's outputs by what they are: scores, boxes, images, sound, text or series.

What an output is, is told from names, dtypes, shapes and values; nothing here knows a model.
What may be two things is left to the table.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.speech import Speech
from helpers.errors import BadInput
from workbench.answers import detections, drawings, rasters
from workbench.answers.drawings import EXAMPLES, Part
from workbench.answers.transcripts import plain
from workbench.values import arrays

Arrays = Mapping[str, NDArray]

_MOST = 12  # outputs that are drawn; the table has all
_SHORT = 8  # values; fewer are read more easily than a line
_RATE = 16_000  # samples a second, where nobody says another
_LARGEST = 1e300  # that can be drawn
_LETTERS = 60  # of a class's name on a picture
_SUM = 0.01  # how near to 1 probabilities are, of 16 bits as well
_SCORES = re.compile(r"prob|score|softmax|confiden", re.IGNORECASE)
_CLASSES = re.compile(r"class|label|categor|ind(?:ex|ices)|(?:^|_)ids?$", re.IGNORECASE)
_SOUND = re.compile(
    r"(?:audio|sound|wave?(?:form)?|speech|voice|pcm)s?(?:_?(?:samples|data|out(?:put)?))?[_\d:]*$",
    re.IGNORECASE,
)
_SAMPLES = 400  # that a sound has at least
_RATES = re.compile(r"(?:^|_)rate$", re.IGNORECASE)


def parts(outputs: Arrays, inputs: Arrays, labels: Sequence[str] = ()) -> list[Part]:
    """Choose how to look at the outputs of a model.

    Parameters
    ----------
    outputs, inputs : mapping of str to ndarray
        Boxes are drawn on the first input that is a picture.
    labels : sequence of str
        Names of the classes, where scores are. An output may have them instead.

    Returns
    -------
    list of Part
        Empty when a table says it all. Of a batch the first examples are shown.

    Examples
    --------
    >>> found = parts({"scores": np.array([[0.9, 0.1]]), "n": np.array([3])}, {})
    >>> [(each.title, each.kind) for each in found]
    [('scores', 'scores')]
    """
    outputs = {name: np.asarray(array) for name, array in outputs.items()}
    inputs = {name: np.asarray(array) for name, array in inputs.items()}
    found: list[Part] = []
    taken: set[str] = set()
    if group := detections.find(outputs):
        found += drawings.drawn(group.boxes, partial(_boxes, outputs, group, inputs, labels))
        taken |= group.others
    pairs = {name: _classes(name, outputs) for name in outputs if name not in taken}
    rate = _rate(outputs | inputs)
    left = [name for name in pairs if name not in pairs.values()]
    for number, name in enumerate(left):
        if len(found) >= _MOST:
            told = f"{len(left) - number} more outputs are in the table."
            return [*found, Part("more outputs", "text", drawings.notes(told))]
        pair = pairs[name]
        classes = None if pair is None else outputs[pair]
        draw = partial(_of_output, name, outputs[name], classes, labels, rate)
        found += drawings.drawn(name, draw)
    return found


def kind(name: str, array: NDArray) -> str:
    """Say what an output is: `text`, `image`, `sound`, `scores`, `series` or `table`.

    Examples
    --------
    >>> kind("probabilities", np.array([[0.9, 0.1]]))
    'scores'
    >>> kind("answer", np.array([b"yes"], object))
    'text'
    >>> kind("y", np.zeros((1, 64, 64, 3), "uint8"))
    'image'
    """
    array = np.asarray(array)
    if rasters.of_array(name, array):
        return "image"
    return "sound" if _speeches(name, array, _RATE) else _kind_of_others(name, array)


def _kind_of_others(name: str, array: NDArray) -> str:
    if array.dtype.kind in "OSU" and array.size:
        return "text"
    rows = _rows(array)
    if rows is None:
        return "table"
    if _are_scores(rows):
        named, whole = _SCORES.search(name), np.allclose(rows.sum(axis=1), 1, atol=_SUM)
        if (named and whole) or (array.ndim == 2 and (named or whole)):
            return "scores"
    return "series" if _are_series(rows) else "table"


def _of_output(
    name: str, array: NDArray, classes: NDArray | None, labels: Sequence[str], rate: int
) -> list[Part]:
    if classes is not None:
        return [_scores(name, array, classes, labels)]
    if found := rasters.of_array(name, array):
        return [drawings.images(name, found.pixels, found.total, found.note)]
    files, count = array.dtype.kind in "OSU", len(array) if array.ndim > 1 else 1
    if heard := _speeches(name, array, rate or _RATE):
        told = f"Played at {_RATE:,} a second: nothing says how many they are."
        told = "" if rate or files else told  # files say it themselves
        return [drawings.sounds(name, heard, array.size if files else count, told)]
    what, rows = _kind_of_others(name, array), _rows(array)
    if what == "text":
        return [drawings.texts(name, array.flat[: drawings.TEXTS].tolist(), array.size)]
    if what == "scores":
        return [_scores(name, array, None, labels)]
    if what == "series" and rows is not None:
        return [drawings.series(name, list(rows), count)]
    return []


def _rows(array: NDArray) -> NDArray | None:
    """Return numbers as the first rows of a batch, or None when they are no rows."""
    if arrays.kind(array.dtype) not in "if" or not array.size:
        return None
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    return plain(np.atleast_2d(array)[:EXAMPLES]) if array.ndim in (1, 2) else None


def _are_scores(rows: NDArray | None) -> bool:
    if rows is None or rows.dtype.kind != "f" or rows.shape[1] < 2:
        return False
    return bool(((rows >= 0) & (rows <= 1 + 1e-6)).all())


def _are_series(rows: NDArray) -> bool:
    finite = rows[np.isfinite(rows)]
    if rows.shape[1] <= _SHORT or not finite.size:
        return False
    return float(finite.max()) < _LARGEST and float(finite.min()) > -_LARGEST


def _classes(name: str, outputs: Arrays) -> str | None:
    """Return the output that names the classes whose scores this one has."""
    array = outputs[name]
    if array.ndim != 2 or not _are_scores(_rows(array)):
        return None
    same = [other for other, each in outputs.items() if each.shape == array.shape]
    texts = [other for other in same if outputs[other].dtype.kind in "OSU"]
    named = [
        other
        for other in same
        if _CLASSES.search(other) and arrays.kind(outputs[other].dtype) in "iO"
    ]
    return next(iter(texts if len(texts) == 1 else named), None)


def _scores(name: str, array: NDArray, classes: NDArray | None, labels: Sequence[str]) -> Part:
    array = np.atleast_2d(array)
    rows, told = plain(array[:EXAMPLES]), []
    size = rows.shape[1]
    if labels and classes is None and len(labels) != size:
        told.append(f"The {len(labels):,} labels are left out: there are {size:,} scores.")
        labels = ()
    if size > drawings.BARS:
        told.append(f"The highest {drawings.BARS} of {size:,}.")
    examples = []
    for number, row in enumerate(rows):
        places = _highest(row, drawings.BARS)
        ids = places if classes is None else classes[number, places].tolist()
        names = [detections.label(each, labels) for each in ids]
        examples.append(list(zip(names, row[places].tolist(), strict=True)))
    return drawings.scores(name, examples, len(array), " ".join(told))


def _highest(row: NDArray, most: int) -> NDArray:
    """Return where the highest values are, from the highest on; of equal ones the first."""
    places = np.arange(len(row))
    if len(row) > most:  # millions would take seconds to sort
        places = np.flatnonzero(row >= np.partition(row, -most)[-most])
    return places[np.argsort(-row[places], kind="stable")[:most]]


def _boxes(
    outputs: Arrays, group: detections.Group, inputs: Arrays, labels: Sequence[str]
) -> list[Part]:
    boxes, sent = outputs[group.boxes], rasters.of_inputs(inputs)
    count = len(boxes) if boxes.ndim == 3 else 1
    try:
        if sent is None:
            raise BadInput("No input is a picture.")
        if sent.total != count:
            raise BadInput(f"They are of {count} pictures, but {sent.total} were sent.")
        found = [
            detections.read(outputs, group, example, *pixels.shape[:2])
            for example, pixels in enumerate(sent.pixels)
        ]
    except BadInput as error:
        told = f"{group.boxes} are not drawn. {error}"
        return [Part(group.boxes, "text", drawings.notes(told))]
    shown = []
    for example, (pixels, each) in enumerate(zip(sent.pixels, found, strict=True)):
        title = group.boxes if count == 1 else f"{group.boxes}, example {example}"
        names = [detections.label(of, labels) for of in each.classes]
        shown.append(_drawn(title, pixels, each, names, drawings.of_batch(len(found), count)))
    return shown


def _drawn(
    title: str, pixels: NDArray[np.uint8], found: detections.Detections, names: list[str], told: str
) -> Part:
    marks, rows = [], []
    for number, (box, name, score) in enumerate(
        zip(found.boxes.tolist(), names, found.scores, strict=True)
    ):
        # What cannot be written on the picture stands beside it.
        short = name if len(name) <= _LETTERS else f"{name[:_LETTERS]}..."
        marks.append(
            f"{short} {score:.2f}"
            if name.isascii() and name.isprintable() and name
            else str(number)
        )
        rows.append([str(number), name, f"{score:.3f}", *(f"{each:.1f}" for each in box)])
    head = ("box", "class", "score", "xmin", "ymin", "xmax", "ymax")
    boxes = "1 box" if len(rows) == 1 else f"{len(rows)} boxes"
    caption = f"{boxes} with a score of {detections.SURE} or more, in pixels"
    listed = drawings.grid(caption, head, rows)
    told = " ".join(filter(None, [found.reading, told]))
    return drawings.boxes(title, pixels, found.boxes.tolist(), marks, listed, told)


def _speeches(name: str, array: NDArray, rate: int) -> list[Speech]:
    """Return the sounds that an array is: WAV files, or samples if its name says so."""
    if array.dtype.kind in "OSU":
        first = array.flat[:EXAMPLES].tolist()
        try:
            return [Speech.read(each) for each in first if _is_wav(each)]
        except BadInput:
            return []
    rows = _rows(array) if _SOUND.search(name) else None
    if rows is None or rows.shape[1] < _SAMPLES:
        return []
    if rows.dtype == np.int16:
        rows = rows / np.float32(32768)
    if rows.dtype.kind != "f" or not (np.abs(rows) <= 1.05).all():
        return []
    return [Speech(row.astype(np.float32), rate) for row in rows]


def _is_wav(value: Any) -> bool:
    return isinstance(value, bytes) and value[:4] == b"RIFF"


def _rate(given: Arrays) -> int:
    """Return how many samples a second there are, if anything says so; else 0."""
    for name, array in given.items():
        if _RATES.search(name) and array.size == 1 and arrays.kind(array.dtype) in "if":
            rate = float(plain(array).item())
            if 1_000 <= rate <= 400_000:
                return int(rate)
    return 0
