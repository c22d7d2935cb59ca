"""The engines' figures, one function each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from helpers.ccai.speech import Speech
from practice.ccai.engines.digits import NAMES, Digits
from practice.ccai.engines.faces import FaceFinder
from practice.ccai.engines.hearing import Listener
from practice.ccai.engines.reading import Reader
from practice.ccai.engines.speaking import Speaker
from practice.host.pixels import decode
from tests.quality import samples


class Figure(NamedTuple):
    """What was measured, on what, and how much of it has to be right."""

    what: str
    on: str
    right: float
    least: float | None = None


def all_figures(show: Callable[[Iterable], Iterable] = lambda things: things) -> list[Figure]:
    """Measure everything; `show` may wrap what takes long in a progress bar."""
    return [*reading(show), *hearing(show), faces(), digits()]


def reading(show: Callable[[Iterable], Iterable]) -> list[Figure]:
    """Characters that are read right: 1 - edit distance / length."""
    reader = Reader()

    def accuracy(lines: list[tuple[str, Any]]) -> float:
        wrong = sum(
            edits(text, " ".join(line.text for line in reader.read(image)))
            for text, image in show(lines)
        )
        return 1 - wrong / sum(len(text) for text, _ in lines)

    english, chinese = samples.english_lines(200), samples.chinese_lines(40)
    found = [Figure("OCR, English, characters", "200 rendered lines", accuracy(english), 0.98)]
    if chinese:
        on = f"{len(chinese)} rendered lines"
        found.append(Figure("OCR, Chinese, characters", on, accuracy(chinese), 0.98))
    return found


def hearing(show: Callable[[Iterable], Iterable]) -> list[Figure]:
    """Words that are heard right: 1 - edit distance / number of words."""
    listener, speaker = Listener(), Speaker()

    def accuracy(pairs: Sequence[tuple[str, bytes]]) -> float:
        wrong = sum(
            edits(text.split(), listener.transcribe(pcm).split()) for text, pcm in show(pairs)
        )
        return 1 - wrong / sum(len(text.split()) for text, _ in pairs)

    human = [(text, Speech.read(path).pcm()) for text, path in samples.recordings()]
    spoken = [(text, Speech(*speaker.say(text)).resampled(16000).pcm()) for text in samples.PHRASES]
    return [
        Figure(
            "speech recognition, words",
            f"{len(human)} human recordings, data/audio",
            accuracy(human),
            0.7,
        ),
        Figure(
            "speech recognition, words",
            f"{len(spoken)} short phrases spoken by espeak-ng",
            accuracy(spoken),
        ),
    ]


def faces() -> Figure:
    """Photographs in which exactly the true number of faces is found."""
    finder, shown = FaceFinder(), samples.photographs()
    right = sum(len(finder.find(decode(path.read_bytes()))) == count for count, path in shown)
    on = f"{len(shown)} photographs, data/photos"
    return Figure("faces, photographs counted right", on, right / len(shown), 1.0)


def digits() -> Figure:
    """Digits that are named right."""
    engine, shown = Digits(), list(samples.digits())
    right = sum(engine.classify(image)[0] == NAMES[digit] for digit, image in shown)
    return Figure("digits", f"{len(shown)} held-out digits", right / len(shown), 0.97)


def edits(truth: Sequence, found: Sequence) -> int:
    """Return how many insertions, deletions and changes lie between two sequences.

    Examples
    --------
    >>> edits("kitten", "sitting")
    3
    """
    row = list(range(len(found) + 1))
    for number, wanted in enumerate(truth, 1):
        diagonal, row[0] = row[0], number
        for column, had in enumerate(found, 1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (wanted != had))
            diagonal, row[column] = row[column], best
    return row[-1]
