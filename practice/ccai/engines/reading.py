"""Reading text in images with RapidOCR, whose models lie inside its package."""

import dataclasses
import logging
import os
import queue
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from practice.ccai.engines import EngineFailed
from practice.host import waiting

_THINNEST = 4  # pixels; nothing can be read in a strip that is thinner
_LONGEST = 1280  # pixels on the longer side that are searched
_FLATTEST = 100  # times as long as high, and nothing longer


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of text.

    Parameters
    ----------
    text : str
    box : tuple of int
        x, y, width and height of the upright rectangle around it, in pixels.
    characters : tuple of (str, float)
        Each character with a confidence from 0 to 1.
    """

    text: str
    box: tuple[int, int, int, int]
    characters: tuple[tuple[str, float], ...]


class Reader:
    """Reads Chinese and English.

    Parameters
    ----------
    at_once : int
        Images that are read at once; the processors are shared out among them.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(at_once):
            self._idle.put(_engine(max(1, (os.cpu_count() or 1) // at_once)))

    def read(self, image: Any) -> list[Line]:
        """Find the lines of text in an image, from top to bottom.

        Parameters
        ----------
        image : ndarray, uint8, shape (height, width, 3)
            Blue, green, red.

        Raises
        ------
        EngineFailed
            For an image that is too thin, and when the caller has gone.
        """
        page = self._run(image, whole_page=True)
        if page.boxes is None or page.txts is None:
            return []
        rows = zip(page.txts, page.scores, page.boxes, page.word_results or (), strict=True)
        return [
            Line(text, _upright(box, image), _characters(text, score, cells))
            for text, score, box, cells in rows
            if text.strip()
        ]

    def read_line(self, image: Any) -> str:
        """Read an image that holds one line and nothing else."""
        return "".join(self._run(image, whole_page=False).txts or ()).strip()

    def _run(self, image: Any, whole_page: bool) -> Any:
        height, width = image.shape[:2]
        if min(height, width) < _THINNEST or max(height, width) > _FLATTEST * min(height, width):
            raise EngineFailed(f"no text can be read in {width}x{height} pixels")
        engine = self._idle.get()  # one alone: it keeps what it is working on in itself
        try:
            # All of them each time: it keeps those of the last call.
            return engine(
                image,
                use_det=whole_page,
                use_cls=whole_page,
                use_rec=True,
                return_word_box=whole_page,
                return_single_char_box=whole_page,
            )
        finally:
            self._idle.put(engine)


def _engine(threads: int) -> Any:
    logging.getLogger("RapidOCR").disabled = True
    from rapidocr import RapidOCR  # 0.7 s

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            # Else a flat image, such as one line, is made 736 pixels high before it is
            # searched: that takes ten times as long, and more is read wrong.
            "Det.limit_type": "max",
            "Det.limit_side_len": _LONGEST,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    for search in (True, False):  # it loads its models when first used
        engine(np.full((64, 64, 3), 255, np.uint8), use_det=search)
    steps: Any = engine.text_det, engine.text_cls, engine.text_rec
    for step in steps:
        step.session = _unless_over(step.session)
    return engine


def _unless_over(session: Callable) -> Callable:
    """Let a page be given up between its steps, of which a few lines are one, for want of a caller.

    RapidOCR has no means for it.
    """

    def run(batch: Any) -> Any:
        if waiting.is_over():
            raise EngineFailed("its caller has gone")
        return session(batch)

    return run


def _upright(box: Any, image: Any) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    corners = np.clip(np.round(box), 0, [width, height]).astype(int)
    x1, y1 = corners.min(axis=0).tolist()
    x2, y2 = corners.max(axis=0).tolist()
    return x1, y1, x2 - x1, y2 - y1


def _characters(text: str, score: float, cells: Any) -> tuple[tuple[str, float], ...]:
    """Give each character its confidence; spaces, which have no cell, get the line's."""
    remaining = deque((str(cell[0]), float(cell[1])) for cell in cells)
    return tuple(
        remaining.popleft()
        if remaining and remaining[0][0] == character
        else (character, float(score))
        for character in text
    )
