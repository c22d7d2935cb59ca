"""What a reader typed, pasted or uploaded, as the array that a signature's input takes.

Whatever comes from here, `signatures.check_inputs` accepts.
"""

import json
import math
import os
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from helpers.channels import MAX_MESSAGE
from helpers.errors import BadInput
from helpers.tfserving.signatures import TensorSpec
from workbench.values import pictures, tables
from workbench.values.arrays import NPY, finite, fit, from_npy, kind, one

_PICTURES = {"png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "ppm", "pgm"}
_TEXTS = {"csv", "tsv", "txt"}
_FILES = "Give .npy, .csv, .tsv, .txt, .json or a picture."
_LARGEST_INTEGER = 9  # made by chance
_WORDS = "wire tensor channel stub model label batch score signal ocean river garden".split()


def from_text(name: str, text: str, spec: TensorSpec) -> NDArray:
    """Read what was typed or pasted.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    text : str
        A number, `true`, a list as JSON, or a table whose cells are separated by tabs,
        semicolons, commas or spaces. For string inputs it is the text itself, or JSON: a string
        or a list of them.
    spec : TensorSpec

    Returns
    -------
    ndarray
        Of the spec's dtype and shape. A missing batch axis is added where it then fits.

    Raises
    ------
    BadInput
        One sentence says what was given and what was expected.

    Examples
    --------
    >>> from_text("x", "5.1 3.5", TensorSpec(np.dtype("float32"), (-1, 2)))
    array([[5.1, 3.5]], dtype=float32)
    """
    if spec.dtype.kind == "O":
        return fit(name, _text(text, spec), spec)
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise BadInput(f"Input {name!r} is empty; expected {spec}.")
    value = _json(name, text, spec) if text[0] in "[{" else tables.parse(name, text, spec)
    return fit(name, value, spec)


def from_file(
    name: str,
    filename: str,
    content: bytes,
    spec: TensorSpec,
    preprocessing: pictures.Preprocessing | None = None,
) -> NDArray:
    """Read a file; its extension says what it is, or else its first bytes do.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    filename : str
        May be empty, as of standard input.
    content : bytes
        `.npy`, a picture, or text in UTF-8 as for `from_text`. For string inputs any file but
        `.npy` and `.json` is one string: its bytes.
    spec : TensorSpec
    preprocessing : Preprocessing, optional
        Of a picture; without it `pictures.suggest` decides.

    Returns
    -------
    ndarray
        As `from_text` returns it.

    Raises
    ------
    BadInput
        One sentence says what was given and what was expected.
    """
    if len(content) > MAX_MESSAGE:
        raise BadInput(f"Input {name!r} has {len(content):,} bytes; at most {MAX_MESSAGE:,} fit.")
    form = _form(filename, content)
    if form == "npy":
        return fit(name, from_npy(name, content, spec), spec)
    if spec.dtype.kind == "O" and form != "json":
        return fit(name, one(content, spec), spec)
    if form == "picture":
        return fit(name, _picture(name, content, spec, preprocessing), spec)
    try:
        return from_text(name, content.decode("utf-8-sig"), spec)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"Input {name!r}: {filename or 'this'} is no array, no picture, and no text in UTF-8. "
            f"{_FILES} The input takes {spec}."
        ) from error


def at_random(spec: TensorSpec, sizes: Sequence[int] = (), seed: int = 0) -> NDArray:
    """Make values by chance, the same ones for the same seed.

    Parameters
    ----------
    spec : TensorSpec
        Floats are from 0 to 1, integers from 0 to 9 or what the dtype holds; strings are words.
    sizes : sequence of int
        One for each of `ask_sizes`, in order; where the rank may be any, the whole shape.
    seed : int
        From 0 on.

    Returns
    -------
    ndarray
        Of the spec's dtype and shape.

    Raises
    ------
    BadInput
        When the sizes are not as many as asked for, and when the array would be too large.

    Examples
    --------
    >>> at_random(TensorSpec(np.dtype("int8"), (-1, 2)), [3]).shape
    (3, 2)
    """
    axes = ask_sizes(spec)
    if spec.shape is not None and len(sizes) != len(axes):
        raise BadInput(f"{spec} has {len(axes)} sizes to choose, but {len(sizes)} were given.")
    if min(sizes, default=0) < 0 or seed < 0:
        raise BadInput("Sizes and the seed are whole numbers from 0 on.")
    shape = list(sizes if spec.shape is None else spec.shape)
    for axis, size in zip(axes, sizes, strict=False):
        shape[axis] = size
    wide = max(spec.dtype.itemsize, 8)  # as they are made, and as strings are held
    if len(shape) > 32 or math.prod(max(size, 1) for size in shape) * wide > MAX_MESSAGE:
        raise BadInput(f"An array of shape {shape} is too large to be made here.")
    made = _random(np.random.default_rng(seed), shape, spec.dtype)
    return np.asarray(made, spec.dtype)  # NumPy makes a scalar where the shape is empty


def ask_sizes(spec: TensorSpec) -> list[int]:
    """Return the axes whose size may be any.

    Examples
    --------
    >>> ask_sizes(TensorSpec(np.dtype("float32"), (-1, 96, -1)))
    [0, 2]
    """
    return [axis for axis, size in enumerate(spec.shape or ()) if size == -1]


def _text(text: str, spec: TensorSpec) -> Any:
    value: Any = text
    if spec.shape != () and text.lstrip()[:1] in ("[", '"'):
        try:
            read = json.loads(text)
            value = read if _is_text(read) else text
        except (ValueError, RecursionError):
            pass  # no JSON, so it is the text itself
    return one(value, spec) if isinstance(value, str) else value


def _is_text(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(map(_is_text, value))
    return isinstance(value, str)


def _json(name: str, text: str, spec: TensorSpec) -> Any:
    def number(digits: str) -> float:
        return finite(f"Input {name!r}", digits, float(digits), spec)

    try:
        value = json.loads(text, parse_float=number)
    except RecursionError as error:
        raise BadInput(f"Input {name!r} has too many brackets within each other.") from error
    except ValueError as error:
        raise BadInput(
            f"Input {name!r} is no JSON: {error}. Write lists as in [[1, 2], [3, 4]]."
        ) from error
    if isinstance(value, dict):
        raise BadInput(
            f"Input {name!r} is a JSON object; expected {spec}. Give the list of its values alone."
        )
    return value


def _form(filename: str, content: bytes) -> str:
    extension = os.path.splitext(filename)[1].lower().removeprefix(".")
    if extension in ("npy", "json"):
        return extension
    if extension in _TEXTS:
        return "text"
    if extension in _PICTURES or pictures.is_picture(content):
        return "picture"
    return "npy" if content.startswith(NPY) else "text"


def _picture(
    name: str, content: bytes, spec: TensorSpec, preprocessing: pictures.Preprocessing | None
) -> NDArray:
    preprocessing = preprocessing or pictures.suggest(spec)
    if preprocessing is None:
        raise BadInput(
            f"Input {name!r} takes {spec}, which does not look like a picture. Give numbers, or "
            "say how the picture becomes them."
        )
    try:
        return pictures.apply(content, spec, preprocessing)
    except BadInput as error:
        raise BadInput(f"Input {name!r}: {error}") from error


def _random(generator: np.random.Generator, shape: list[int], dtype: np.dtype) -> Any:
    match kind(dtype):
        case "O":
            return np.array(_WORDS, object)[generator.integers(0, len(_WORDS), shape)]
        case "b":
            return generator.integers(0, 2, shape)
        case "i":
            limits = ml_dtypes.iinfo(dtype) if dtype.kind == "V" else np.iinfo(dtype)
            return generator.integers(0, min(_LARGEST_INTEGER, limits.max) + 1, shape)
        case "c":
            return generator.random(shape) + 1j * generator.random(shape)
    return generator.random(shape, np.float32)
