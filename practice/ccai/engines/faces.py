"""Finding faces with OpenCV's Haar cascade."""

import os
import threading
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_CASCADE = "haarcascade_frontalface_alt2.xml"
_LONGEST = 1024  # pixels; a larger image is made smaller before it is searched
_ENLARGED = 1.2


class FaceFinder:
    """Finds faces that look at the camera."""

    def __init__(self) -> None:
        path = os.path.join(cv2.data.haarcascades, _CASCADE)  # type: ignore[attr-defined]
        self._cascade = cv2.CascadeClassifier(path)
        if self._cascade.empty():
            raise OSError(f"OpenCV does not find its cascade {_CASCADE}.")
        self._lock = threading.Lock()  # a cascade keeps what it is working on in itself

    def find(self, image: Any) -> NDArray[np.int64]:
        """Find the faces in an image.

        Parameters
        ----------
        image : ndarray, uint8, shape (height, width, 3)
            Blue, green, red.

        Returns
        -------
        ndarray, int64, shape (faces, 4)
            x1, y1, x2, y2 in pixels, the largest face first.
        """
        height, width = image.shape[:2]
        scale = min(1.0, _LONGEST / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        grey = cv2.equalizeHist(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
        least = max(24, min(size) // 20)
        with self._lock:
            found = self._cascade.detectMultiScale(
                grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least)
            )
        boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in found], float).reshape(-1, 4)
        boxes = np.round(boxes / scale).astype(np.int64)
        sizes = boxes[:, 2] - boxes[:, 0]
        # By place where sizes are the same, so that the order is always the same.
        return boxes[np.lexsort((boxes[:, 0], boxes[:, 1], -sizes))]


def squared(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make boxes square and enlarge them by 1.2, as CCAI does; they may leave the image.

    Examples
    --------
    >>> squared(np.array([[10, 20, 30, 40]]))
    array([[ 8, 18, 32, 42]])
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)[:, np.newaxis] * _ENLARGED
    corners = np.floor(centres - sides / 2)
    return np.hstack([corners, corners + np.floor(sides)]).astype(np.int64)
