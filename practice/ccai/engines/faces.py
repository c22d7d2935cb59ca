"""Finds faces: OpenCV's Haar cascade proposes, MediaPipe's face mesh says whether it is one."""

import threading
from pathlib import Path

import cv2
import cv2.data
import numpy as np
from numpy.typing import ArrayLike, NDArray

from practice.ccai.engines.landmarks import Landmarks
from practice.host import pixels

_CASCADE = "haarcascade_frontalface_alt2.xml"
_STEP = 1.1  # from one size of face to the next
_NEIGHBOURS = 3  # so many hits close together make a proposal; few, as each is looked at again
_SMALLEST = 24  # pixels on a side
_LARGEST = 1024  # pixels on a side of a picture; of a larger one faces are found when reduced
_CONFIDENCE = 0.5  # as in CCAI
_ENLARGED = 1.2


class FaceFinder:
    """Finds faces that are upright and seen from the front."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cascade = cv2.CascadeClassifier()
        # Through memory, as OpenCV opens no file in a folder with an umlaut on Windows.
        text = (Path(cv2.data.haarcascades) / _CASCADE).read_text(encoding="ascii")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        if not self._cascade.read(storage.getFirstTopLevelNode()):
            raise OSError(f"{_CASCADE} is broken. Install opencv-python-headless again.")
        self._landmarks = Landmarks()

    def find(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Find the faces.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)

        Returns
        -------
        ndarray of int, shape (faces, 4)
            x1, y1, x2, y2 of each, the largest first.
        """
        faces: list[NDArray[np.int64]] = []
        for box in self._proposals(image):
            middle = (box[:2] + box[2:]) / 2
            if any((face[:2] < middle).all() and (middle < face[2:]).all() for face in faces):
                continue
            if self._landmarks.confidence(image, squared(box)[0]) >= _CONFIDENCE:
                faces.append(box)
        return np.array(faces, np.int64).reshape(-1, 4)

    def squares(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Find the faces; returns the square around each, see `squared`."""
        return squared(self.find(image))

    def _proposals(self, image: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
        grey, scale = pixels.grey(image, _LARGEST)
        grey = cv2.equalizeHist(grey)
        with self._lock:
            rectangles = self._cascade.detectMultiScale(
                grey, _STEP, _NEIGHBOURS, minSize=(_SMALLEST, _SMALLEST)
            )
        boxes = [np.array([x, y, x + width, y + height]) for x, y, width, height in rectangles]
        boxes = [np.rint(box / scale).astype(np.int64) for box in boxes]
        return sorted(boxes, key=lambda box: (box[0] - box[2], *box))


def squared(boxes: ArrayLike) -> NDArray[np.int64]:
    """Make boxes square and larger, as CCAI's Python and gRPC services do.

    Parameters
    ----------
    boxes : array-like of int, shape (faces, 4)
        x1, y1, x2, y2 of each.

    Returns
    -------
    ndarray of int, shape (faces, 4)
        May be negative and may exceed the image.

    Examples
    --------
    >>> squared([[10, 10, 110, 60]]).tolist()
    [[0, -25, 120, 95]]
    """
    corners = np.asarray(boxes, np.int64).reshape(-1, 4)
    middles = (corners[:, :2] + corners[:, 2:]) / 2
    sides = (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True, initial=0) * _ENLARGED
    first = np.floor(middles - sides / 2)
    return np.hstack([first, first + np.floor(sides)]).astype(np.int64)
