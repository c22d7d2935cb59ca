"""Image files to pixels, with OpenCV as the original does it."""

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
