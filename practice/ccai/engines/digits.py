"""Telling which handwritten digit an image shows, with the model in data/models/digits."""

import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from practice.ccai.engines import EngineFailed

_MODEL = Path(__file__).parents[3] / "data" / "models" / "digits" / "1" / "model.tflite"
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIDE = 8  # pixels on each side of what the model looks at
_INK = 0.25  # darker than this, from 0 to 1, counts as ink when the digit is looked for


class Digits:
    """Names one digit."""

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._run = Interpreter(model_path=str(_MODEL), num_threads=1).get_signature_runner()
        self._lock = threading.Lock()  # one call at a time

    def classify(self, image: Any) -> tuple[str, float]:
        """Name the digit in an image.

        Parameters
        ----------
        image : ndarray, uint8, shape (height, width, 3)
            One digit, dark on light or light on dark, of any size.

        Returns
        -------
        name : str
            `"zero"` to `"nine"`.
        confidence : float
            From 0 to 1.

        Raises
        ------
        EngineFailed
            When all pixels are the same.
        """
        pixels = _fitted(image)[np.newaxis, :, :, np.newaxis]
        with self._lock:
            probabilities = self._run(images=pixels)["probabilities"][0].copy()
        best = int(probabilities.argmax())
        return NAMES[best], float(probabilities[best])


def _fitted(image: Any) -> Any:
    """Bring an image to what the model was trained on: 0 paper to 1 ink, the digit filling 8x8."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    darkest, lightest = grey.min(), grey.max()
    if lightest - darkest < 16:
        raise EngineFailed("the image has one colour only")
    ink = (lightest - grey) / (lightest - darkest)
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    if np.median(border) > 0.5:
        ink = 1 - ink  # light on dark
    rows, columns = np.nonzero(ink > _INK)
    digit = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = digit.shape
    side = max(height, width)
    square = np.zeros((side, side), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = digit
    return cv2.resize(square, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
