"""Pictures' pixels, with OpenCV as the original does it."""

import os
from typing import Any

# A small file can unpack to gigabytes. OpenCV reads this when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**26))


def decode(content: bytes) -> Any:
    """Return the pixels of an image file, uint8 [height, width, 3] in the order blue, green, red.

    None for what is no image.
    """
    # 0.1 s, longer than all else at start.
    import cv2
    import numpy as np

    if not content:
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # larger than the limit above
        return None


def grey(image: Any, largest: int) -> tuple[Any, float]:
    """Return an image in grey, with so many pixels on a side at most, and how much it shrank."""
    import cv2  # as above

    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    scale = min(largest / max(pixels.shape), 1.0)
    if scale < 1:
        size = [max(round(side * scale), 1) for side in pixels.shape[::-1]]
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return pixels, scale
