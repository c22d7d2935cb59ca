"""Pictures' pixels, with OpenCV as the original does it."""

import io
import os
import weakref
from typing import Any

from practice.host import limits

_PIXEL_SIZE = 6  # bytes: the pixels, and once more while they are decoded
# A small file can unpack to gigabytes. OpenCV reads this when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))


def decode(content: bytes) -> Any:
    """Return the pixels of an image file, uint8 [height, width, 3] in the order blue, green, red.

    None for what is no image, and for one that finds no room. The room is given back with the
    pixels.
    """
    # 0.1 s, longer than all else at start.
    import cv2
    import numpy as np

    if not content:
        return None
    try:
        taken = limits.unpacked.take(_PIXEL_SIZE * _size(content), limits.PATIENCE)
    except limits.Full:
        return None
    image = None
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # larger than the limit above
        return None
    finally:
        if image is None:
            limits.unpacked.give_back(taken)
        else:
            weakref.finalize(image, limits.unpacked.give_back, taken)
    return image


def _size(content: bytes) -> int:
    """Return how many pixels a file says it has, without decoding it."""
    from PIL import Image  # as above

    try:
        with Image.open(io.BytesIO(content)) as file:
            return file.width * file.height
    except Exception:  # it raises whatever it stumbles over
        return limits.LARGEST


def grey(image: Any, largest: int) -> tuple[Any, float]:
    """Return an image in grey, with so many pixels on a side at most, and how much it shrank."""
    import cv2  # as above

    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scale = min(largest / max(pixels.shape), 1.0)
    if scale < 1:
        size = [max(round(side * scale), 1) for side in pixels.shape[::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, scale
