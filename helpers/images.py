"""Images as the bytes of a file, which is what services take."""

import io
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _

Image = str | os.PathLike[str] | bytes | NDArray[np.uint8]


def file_bytes(image: Image) -> bytes:
    """Return the bytes of an image file, of a path, or of an array written as PNG."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | os.PathLike):
        try:
            with open(image, "rb") as file:
                return file.read()
        except OSError as error:
            raise BadInput(
                _("{path} cannot be read: {error}.", path=image, error=error.strerror)
            ) from error
    return png(image)


def png(image: Any) -> bytes:
    """Write an array as a PNG file: uint8, shape (height, width) or (height, width, 3) in RGB."""
    import PIL.Image  # optional: only for arrays

    array = np.asarray(image)
    is_image = array.ndim in (2, 3) and array.shape[2:] in ((), (3,)) and array.size > 0
    if array.dtype != np.uint8 or not is_image:
        raise BadInput(
            _(
                "An image is a uint8 array of shape (height, width) or (height, width, 3), a path, "
                "or the bytes of a file; this is {dtype} of shape {shape}.",
                dtype=array.dtype,
                shape=array.shape,
            )
        )
    buffer = io.BytesIO()
    PIL.Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()
