"""Arrays in a table: what they are, and how their values lie, even of large ones at once."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from helpers.explorer import arrays, drawings, listings


def table(outputs: Mapping[str, NDArray], caption: str = "Arrays") -> str:
    """Write as HTML, for each array, dtype, shape, smallest, largest, NaN and first values.

    Examples
    --------
    >>> "<td" in table({"y": np.array([0.5, np.nan])})
    True
    """
    head = ("name", "dtype", "shape", "min", "max", "NaN", "first values")
    rows = []
    for name, each in outputs.items():
        dtype, shape, values = listings.described(np.asarray(each))
        rows.append((name, dtype, shape, *extent(np.asarray(each)), values))
    return drawings.grid(caption, head, rows)


def extent(array: NDArray) -> tuple[str, str, str]:
    """Return the smallest value, the largest one, and how many are NaN; empty where there is none.

    Examples
    --------
    >>> extent(np.array([2.5, np.nan, np.inf]))
    ('2.5', 'inf', '1')
    """
    of = arrays.kind(array.dtype)
    if not array.size or of not in "bifc":
        return "", "", ""
    if of == "f" and array.itemsize <= 2:
        array, missing = _distinct(array)
    else:
        missing = int(np.count_nonzero(np.isnan(array))) if of in "fc" else 0
    found = (np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None))
    if of == "c" or np.isnan(found).any():
        return "", "", f"{missing:,}"
    low, high = (f"{each:.6g}" if of == "f" else str(each) for each in found)
    return low, high, f"{missing:,}"


def _distinct(array: NDArray) -> tuple[NDArray[np.float32], int]:
    """Return the values there are, and how many are NaN, of a type that NumPy compares slowly."""
    bits = array.reshape(-1).view(f"u{array.itemsize}")
    counts = np.zeros(256**array.itemsize, np.int64)
    for start in range(0, bits.size, 1 << 20):
        counts += np.bincount(bits[start : start + (1 << 20)], minlength=counts.size)
    there = np.flatnonzero(counts)
    values = there.astype(bits.dtype).view(array.dtype).astype(np.float32)
    return values, int(counts[there][np.isnan(values)].sum())
