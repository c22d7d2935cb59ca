"""A model's outputs by what they are: scores, boxes, images, sound, text or series.

What an output is, is told from names, dtypes, shapes and values; nothing here knows a model.
What may be two things is left to the table.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.speech import Speech
from helpers.errors import BadInput
from helpers.language import _, plural
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


def parts(
    outputs: Arrays, inputs: Arrays, labels: Sequence[str] = (), sure: float = detections.SURE
) -> list[Part]:
    """Choose how to look at the outputs of a model.

    Parameters
    ----------
    outputs, inputs : mapping of str to ndarray
        Boxes are drawn on the first input that is a picture.
    labels : sequence of str
        Names of the classes, where scores are. An output may have them instead.
    sure : float
        Boxes of a lower score are not drawn.

    Returns
    -------
    list of Part
        Empty when a table says it all. Of a batch the first examples are shown.

    Examples
    --------
    >>> shown = parts({"scores": np.array([[0.9, 0.1]]), "n": np.array([3])}, {})
    >>> [(part.title, part.kind) for part in shown]
    [('scores', 'scores')]
    """
    outputs = {name: np.asarray(array) for name, array in outputs.items()}
    inputs = {name: np.asarray(array) for name, array in inputs.items()}
    shown: list[Part] = []
    drawn: frozenset[str] = frozenset()
    if group := detections.find(outputs):
        draw = partial(_boxes, outputs, group, inputs, labels, sure)
        shown += drawings.drawn(group.boxes, draw)
        drawn = group.others
    classes = {name: _classes(name, outputs) for name in outputs if name not in drawn}
    rate = _rate(outputs | inputs)
    remaining = [name for name in classes if name not in classes.values()]
    for number, name in enumerate(remaining):
        if len(shown) >= _MOST:
            more = _("{count} more outputs are in the table.", count=len(remaining) - number)
            return [*shown, drawings.sentence(_("more outputs"), more)]
        pair = classes[name]
        ids = None if pair is None else outputs[pair]
        shown += drawings.drawn(name, partial(_output, name, outputs[name], ids, labels, rate))
    return shown


def _output(
    name: str, array: NDArray, classes: NDArray | None, labels: Sequence[str], rate: int
) -> list[Part]:
    if classes is not None:
        return [_scores(name, array, classes, labels)]
    if pictures := rasters.of_array(name, array):
        return [drawings.images(name, pictures.pixels, pictures.total, pictures.note)]
    is_text = array.dtype.kind in "OSU"
    count = len(array) if array.ndim > 1 else 1
    if speeches := _speeches(name, array, rate or _RATE):
        if is_text:  # files say their rate themselves
            return [drawings.sounds(name, speeches, array.size)]
        note = ""
        if not rate:
            note = _("Played at {rate:,} a second: nothing says how many they are.", rate=_RATE)
        return [drawings.sounds(name, speeches, count, note)]
    if is_text and array.size:
        return [drawings.texts(name, array.flat[: drawings.TEXTS].tolist(), array.size)]
    rows = _rows(array)
    if rows is None:
        return []
    if _are_scores(rows):
        named = _SCORES.search(name) is not None
        whole = np.allclose(rows.sum(axis=1), 1, atol=_SUM)
        if (named and whole) or (array.ndim == 2 and (named or whole)):
            return [_scores(name, array, None, labels)]
    return [drawings.series(name, list(rows), count)] if _are_series(rows) else []


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
    same = [other for other in outputs if outputs[other].shape == array.shape]
    kinds = {other: arrays.kind(outputs[other].dtype) for other in same}
    texts = [other for other in same if kinds[other] == "O"]
    named = [other for other in same if _CLASSES.search(other) and kinds[other] in "iO"]
    return next(iter(texts if len(texts) == 1 else named), None)


def _scores(name: str, array: NDArray, classes: NDArray | None, labels: Sequence[str]) -> Part:
    array = np.atleast_2d(array)
    rows = plain(array[:EXAMPLES])
    size = rows.shape[1]
    notes = []
    if labels and classes is None and len(labels) != size:
        notes.append(
            _(
                "The {labels:,} labels are left out: there are {size:,} scores.",
                labels=len(labels),
                size=size,
            )
        )
        labels = ()
    if size > drawings.BARS:
        notes.append(_("The highest {most} of {size:,}.", most=drawings.BARS, size=size))
    examples = []
    for number, row in enumerate(rows):
        places = _highest(row, drawings.BARS)
        ids = places if classes is None else classes[number, places].tolist()
        names = [detections.label(class_id, labels) for class_id in ids]
        examples.append(list(zip(names, row[places].tolist(), strict=True)))
    return drawings.scores(name, examples, len(array), " ".join(notes))


def _highest(row: NDArray, most: int) -> NDArray:
    """Return where the highest values are, from the highest on; of equal ones the first."""
    places = np.arange(len(row))
    if len(row) > most:  # millions would take seconds to sort
        places = np.flatnonzero(row >= np.partition(row, -most)[-most])
    return places[np.argsort(-row[places], kind="stable")[:most]]


def _boxes(
    outputs: Arrays,
    group: detections.Group,
    inputs: Arrays,
    labels: Sequence[str],
    sure: float,
) -> list[Part]:
    boxes = outputs[group.boxes]
    count = len(boxes) if boxes.ndim == 3 else 1
    sent = rasters.of_inputs(inputs)
    try:
        if sent is None:
            raise BadInput(_("No input is a picture."))
        if sent.total != count:
            raise BadInput(
                _(
                    "They are of {count} pictures, but {sent} were sent.",
                    count=count,
                    sent=sent.total,
                )
            )
        detected = [
            detections.read(outputs, group, number, pixels.shape[0], pixels.shape[1], sure)
            for number, pixels in enumerate(sent.pixels)
        ]
    except BadInput as error:
        return [
            drawings.sentence(
                group.boxes, _("{boxes} are not drawn. {error}", boxes=group.boxes, error=error)
            )
        ]
    note = drawings.of_batch(len(detected), count)
    return [
        _picture(drawings.example(group.boxes, number, count), *pair, labels, note)
        for number, pair in enumerate(zip(sent.pixels, detected, strict=True))
    ]


def _picture(
    title: str,
    pixels: NDArray[np.uint8],
    detected: detections.Detections,
    labels: Sequence[str],
    note: str,
) -> Part:
    marks = []
    rows = []
    corners = detected.boxes.tolist()
    for number, score in enumerate(detected.scores):
        name = detections.label(detected.classes[number], labels)
        # What cannot be written on the picture stands beside it.
        written = name and name.isascii() and name.isprintable()
        short = name if len(name) <= _LETTERS else f"{name[:_LETTERS]}..."
        marks.append(f"{short} {score:.2f}" if written else str(number))
        box = [f"{side:.1f}" for side in corners[number]]
        rows.append([str(number), name, f"{score:.3f}", *box])
    head = (_("box"), _("class"), _("score"), "xmin", "ymin", "xmax", "ymax")
    caption = plural(
        "1 box with a score of {sure:g} or more, in pixels",
        "{count} boxes with a score of {sure:g} or more, in pixels",
        len(rows),
        sure=detected.sure,
    )
    listed = drawings.grid(caption, head, rows)
    note = " ".join(filter(None, [detected.reading, note]))
    return drawings.boxes(title, pixels, corners, marks, listed, note)


def _speeches(name: str, array: NDArray, rate: int) -> list[Speech]:
    """Return the sounds that an array is: WAV files, or samples if its name says so."""
    if array.dtype.kind in "OSU":
        first = array.flat[:EXAMPLES].tolist()
        waves = [file for file in first if isinstance(file, bytes) and file[:4] == b"RIFF"]
        try:
            return list(map(Speech.read, waves))
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


def _rate(values: Arrays) -> int:
    """Return how many samples a second there are, if anything says so; else 0."""
    for name, array in values.items():
        if _RATES.search(name) and array.size == 1 and arrays.kind(array.dtype) in "if":
            rate = float(plain(array).item())
            if 1_000 <= rate <= 400_000:
                return int(rate)
    return 0
