"""Tells which digit a picture shows, with the small network in data/models/digits."""

import threading

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from practice.ccai.engines import EngineFailed
from practice.files import MODELS
from practice.host import pixels

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_MODEL = MODELS / "digits" / "1" / "model.tflite"
_SIZE = 8  # pixels on each side of what the network takes
_LARGEST = 256  # pixels on a side that are looked at; more only take time
_CONTRAST = 20  # greys of 256 between paper and ink; less is an empty sheet
_INK = 0.15  # of the darkest; what is lighter is paper


class Digits:
    """Classifies pictures of one digit."""

    def __init__(self) -> None:
        if not _MODEL.is_file():
            raise OSError(f"{_MODEL} is missing. Restore data/models from the repository.")
        interpreter = Interpreter(model_content=_MODEL.read_bytes(), num_threads=1)
        self._run = interpreter.get_signature_runner("serving_default")
        self._interpreter = interpreter  # the runner does not keep it
        self._lock = threading.Lock()

    def classify(self, image: NDArray[np.uint8]) -> tuple[str, float]:
        """Tell the digit.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
            One digit, dark on light or light on dark.

        Returns
        -------
        name : str
            The English word for the digit.
        probability : float

        Raises
        ------
        EngineFailed
            When there is nothing on the paper.
        """
        batch = prepared(image)[np.newaxis, ..., np.newaxis]
        with self._lock:
            outputs = self._run(images=batch)
        probabilities = outputs["probabilities"][0]
        best = int(np.argmax(probabilities))
        return NAMES[best], float(probabilities[best])


def prepared(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Make of a picture what the network was trained on.

    Returns
    -------
    ndarray of float32, shape (8, 8)
        From 0, paper, to 1, ink. As in the training data the digit is as high as the picture
        and in the middle.
    """
    ink = _crop(_ink(image))
    height, width = ink.shape
    side = max(height, width)
    sheet = np.zeros((height, side), np.float32)
    start = (side - width) // 2
    sheet[:, start : start + width] = ink
    # The area that falls on a pixel, as the training data counted the dots in 4x4 blocks.
    small = cv2.resize(sheet, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _ink(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey, _ = pixels.grey(image, _LARGEST)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey.astype(np.float32) - np.float32(np.median(border)))
    if ink.max() < _CONTRAST:
        raise EngineFailed("the picture shows no digit, only paper")
    return (ink / ink.max()).astype(np.float32)


def _crop(ink: NDArray[np.float32]) -> NDArray[np.float32]:
    dark = ink > _INK
    rows = np.flatnonzero(dark.any(axis=1))
    columns = np.flatnonzero(dark.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
