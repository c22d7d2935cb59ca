"""Arrays and files that are pictures, as pixels; the other way round than in `pictures`."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench.answers.drawings import EXAMPLES
from workbench.answers.transcripts import plain
from workbench.values import pictures
from workbench.values.arrays import kind

_SUM = 1e-3  # how near to 1 the classes of a pixel are, which are no colours
# Names for what else could be rows of features.
_NAMED = re.compile(
    r"(?:image|picture|photo|pixel|mask|heat_?map|depth|saliency|segmentation)(?:_?map)?s?[_\d:]*$",
    re.IGNORECASE,
)
_FILE = pictures.Preprocessing(-1, -1, 3, "HWC", "0..255", "none")
_FILE_SPEC = TensorSpec(np.dtype(np.uint8), (-1, -1, 3))


class Rasters(NamedTuple):
    """The first pictures of a batch.

    Parameters
    ----------
    pixels : list of ndarray, uint8, shape (height, width, 1, 3 or 4)
    total : int
        How many there are in all.
    note : str
        What was made black and white, where that is not 0 and 1, or 0 and 255.
    """

    pixels: list[NDArray[np.uint8]]
    total: int
    note: str = ""


def of_array(name: str, array: NDArray, *, sent: bool = False) -> Rasters | None:
    """Return the pictures that an array is, or None when it may be something else.

    Parameters
    ----------
    name : str
        Of rank 2 and 3, where other data is as likely, it has to name a picture.
    array : ndarray
        Strings are files.
    sent : bool
        Whether it was an input, whose values may have been shifted and scaled in any way.

    Examples
    --------
    >>> of_array("y", np.zeros((9, 64, 64, 3), "uint8")).total
    9
    >>> of_array("y", np.zeros((64, 64), "float32"))
    """
    if array.dtype.kind in "OSU":
        return _of_files(array)
    batch = _as_batch(name, array) if kind(array.dtype) in "bif" and array.size else None
    if batch is None:
        return None
    first = plain(batch[:EXAMPLES])
    if first.dtype == np.uint8 and (sent or first.shape[-1] > 1 or first.max() > 127):
        return Rasters(list(first), len(batch))
    with np.errstate(over="ignore"):  # infinity is no colour
        levels = _levels(first.astype(np.float32, copy=False), sent)
    if levels is None:
        return None
    black, white = levels
    scaled = np.clip(first, black, white, dtype=np.float32)
    scaled -= black  # in place: there may be hundreds of megabytes
    scaled *= 255 / (white - black or 1)
    usual = (black, white) in ((0, 1), (0, 255))
    note = "" if usual else _("Black is {black:g}, white is {white:g}.", black=black, white=white)
    return Rasters(list(np.rint(scaled, out=scaled).astype(np.uint8)), len(batch), note)


def of_inputs(inputs: Mapping[str, NDArray]) -> Rasters | None:
    """Return the pictures that were sent: of the first input that is some."""
    pictures_of = (of_array(name, np.asarray(array), sent=True) for name, array in inputs.items())
    return next(filter(None, pictures_of), None)


def only_input(inputs: Mapping[str, NDArray]) -> NDArray[np.uint8] | None:
    """Return the picture that was sent, if it was one."""
    sent = of_inputs(inputs)
    return sent.pixels[0] if sent and sent.total == 1 else None


def _of_files(array: NDArray) -> Rasters | None:
    first = array.flat[:EXAMPLES].tolist()
    if not first or not all(isinstance(file, bytes) for file in first):
        return None
    try:
        decoded = [pictures.apply(file, _FILE_SPEC, _FILE) for file in first]
    except BadInput:
        return None
    return Rasters(decoded, array.size)


def _as_batch(name: str, array: NDArray) -> NDArray | None:
    """Return an array as [n, height, width, channels], or None when its shape is no picture's."""
    named = _NAMED.search(name) is not None
    whole = array.dtype == np.uint8
    if array.ndim == 4 and array.shape[3] not in pictures.CHANNELS:
        array = np.moveaxis(array, 1, 3)  # channels first
    elif array.ndim == 3 and array.shape[2] in (3, 4) and (whole or named):
        array = array[np.newaxis]
    elif array.ndim in (2, 3) and named:
        array = array.reshape(-1, *array.shape[-2:], 1)
    if array.ndim != 4 or array.shape[3] not in pictures.CHANNELS:
        return None
    if array.shape[3] == 4 and not whole:
        return None  # four of anything are more likely than floats with alpha
    return array if pictures.are_sides(*array.shape[1:3]) else None


def _levels(values: NDArray[np.float32], sent: bool) -> tuple[float, float] | None:
    """Return what is black and what is white, or None when colours cannot be it."""
    low = float(values.min())
    high = float(values.max())
    if not np.isfinite([low, high]).all():
        return None
    if low >= 0 and high <= 1:
        return None if not sent and _are_classes(values) else (0, 1)
    if values.shape[-1] == 1:
        return (0, 255) if low >= 0 and 127 < high <= 255 else (low, high)
    if low >= 0 and high <= 255:
        return 0, 255
    if low >= -1 and high <= 1:
        return -1, 1
    return (low, high) if sent else None


def _are_classes(values: NDArray[np.float32]) -> bool:
    """Whether each pixel has the probabilities of three classes; mostly the first row tells."""
    parts = (values[:, :1], values)
    return values.shape[-1] == 3 and all(np.allclose(p.sum(-1), 1, atol=_SUM) for p in parts)
