"""What a reader typed, pasted or uploaded, as the array that a signature's input takes.

Whatever comes from here, `signatures.check_inputs` accepts.
"""

import json
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from helpers.channels import MAX_MESSAGE
from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench.values import choices, pictures, sounds, strings, tables
from workbench.values.arrays import NPY, finite, fit, from_npy, kind, one

Note = Callable[[str], object]
_PICTURES = {"png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "ppm", "pgm"}
_TEXTS = {"csv": ",", "tsv": "\t", "txt": ""}  # and what their columns are separated by
_LARGEST_INTEGER = 9  # made by chance
_WORDS = "wire tensor channel stub model label batch score signal ocean river garden".split()


def content(file: BinaryIO) -> bytes:
    """Read a file, but not much more than a message may have."""
    return file.read(MAX_MESSAGE + 1)  # one more, so that it is seen to be too large


def _unheard(sentence: str) -> None:
    """Drop a note."""


def from_text(
    name: str, text: str, spec: TensorSpec, *, texts: str = "", note: Note = _unheard
) -> NDArray:
    """Read what was typed or pasted.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    text : str
        A number, `true`, a list as JSON, or a table whose cells are separated by tabs,
        semicolons, commas or spaces. For string inputs it is the text itself, or JSON: a string,
        `{"b64": ...}` for bytes, or a list of them.
    spec : TensorSpec
    texts : str, optional
        For string inputs: one of `choices.TEXTS`.
    note : callable, optional
        Called with a sentence that says what was taken for what, where it can be meant otherwise.

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
        return fit(name, strings.read(name, text, spec, texts, note), spec)
    text = text.removeprefix("\ufeff").strip()
    if not text:
        raise BadInput(_("Input {name!r} is empty; expected {spec}.", name=name, spec=spec))
    value = _json(name, text, spec) if text[0] in "[{" else tables.parse(name, text, spec, note)
    return fit(name, value, spec)


def from_file(
    name: str,
    filename: str,
    content: bytes,
    spec: TensorSpec,
    preprocessing: pictures.Preprocessing | None = None,
    *,
    texts: str = "",
    note: Note = _unheard,
) -> NDArray:
    """Read a file; its extension says what it is, or else its first bytes do.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    filename : str
        May be empty, as of standard input.
    content : bytes
        `.npy`, a picture, a sound, or text in UTF-8 as for `from_text`. For string inputs `.csv`,
        `.tsv` and `.txt` are a string for each line, where the input takes several; any other file
        but `.npy` and `.json` is one string: its bytes.
    spec : TensorSpec
    preprocessing : Preprocessing, optional
        Of a picture; without it `pictures.suggest` decides.
    texts, note
        As for `from_text`.

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
        raise BadInput(
            _(
                "Input {name!r} has {size:,} bytes; at most {most:,} fit.",
                name=name,
                size=len(content),
                most=MAX_MESSAGE,
            )
        )
    form = _form(filename, content)
    if form == "npy":
        return fit(name, from_npy(name, content, spec), spec)
    if spec.dtype.kind == "O":
        return fit(name, _strings(name, filename, content, spec, texts, note), spec)
    if form == "picture":
        return fit(name, _picture(name, content, spec, preprocessing, note), spec)
    if form == "sound":
        return fit(name, sounds.read(name, content, spec, note), spec)
    try:
        return from_text(name, content.decode("utf-8-sig"), spec, note=note)
    except UnicodeDecodeError as error:
        raise BadInput(
            _(
                "Input {name!r}: {file} is no array, no picture, and no text in UTF-8. "
                "Give .npy, .csv, .tsv, .txt, .json, .wav or a picture. The input takes {spec}.",
                name=name,
                file=filename or _("this"),
                spec=spec,
            )
        ) from error


def at_random(
    spec: TensorSpec,
    sizes: Sequence[int] = (),
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
) -> NDArray:
    """Make values by chance, the same ones for the same seed.

    Parameters
    ----------
    spec : TensorSpec
        Of numbers, or strings, which are words.
    sizes : sequence of int
        One for each of `ask_sizes`, in order; where the rank may be any, the whole shape.
    seed : int
        From 0 on.
    bounds : tuple of two numbers, optional
        The least and the largest number; without them, what `usual_bounds` says.

    Returns
    -------
    ndarray
        Of the spec's dtype and shape.

    Raises
    ------
    BadInput
        When the sizes are not as many as asked for, when the array would be too large, and when
        the dtype does not hold the bounds.

    Examples
    --------
    >>> at_random(TensorSpec(np.dtype("int8"), (-1, 2)), [3]).shape
    (3, 2)
    """
    axes = ask_sizes(spec)
    if spec.shape is not None and len(sizes) != len(axes):
        raise BadInput(
            _(
                "{spec} has {count} sizes to choose, but {given} were given.",
                spec=spec,
                count=len(axes),
                given=len(sizes),
            )
        )
    if min(sizes, default=0) < 0 or seed < 0:
        raise BadInput(_("Sizes and the seed are whole numbers from 0 on."))
    shape = list(sizes if spec.shape is None else spec.shape)
    for axis, size in zip(axes, sizes, strict=False):
        shape[axis] = size
    wide = max(spec.dtype.itemsize, 8)  # as they are made, and as strings are held
    if len(shape) > 32 or math.prod(max(size, 1) for size in shape) * wide > MAX_MESSAGE:
        raise BadInput(_("An array of shape {shape} is too large to be made here.", shape=shape))
    low, high = _bounds(spec, bounds)
    made = _random(np.random.default_rng(seed), shape, spec.dtype, low, high)
    return np.asarray(made, spec.dtype)  # NumPy makes a scalar where the shape is empty


def ask_sizes(spec: TensorSpec) -> list[int]:
    """Return the axes whose size may be any.

    Examples
    --------
    >>> ask_sizes(TensorSpec(np.dtype("float32"), (-1, 96, -1)))
    [0, 2]
    """
    return [axis for axis, size in enumerate(spec.shape or ()) if size == -1]


def usual_texts(filename: str, spec: TensorSpec) -> str:
    """Return which of `choices.TEXTS` a file is for a string input, unless somebody says it.

    Examples
    --------
    >>> usual_texts("reviews.txt", TensorSpec(np.dtype(object), (-1,)))
    'lines'
    """
    if _extension(filename) == "json":
        return ""
    is_list = _extension(filename) in _TEXTS and strings.takes_several(spec)
    return choices.LINES if is_list else choices.WHOLE


def _strings(
    name: str, filename: str, content: bytes, spec: TensorSpec, texts: str, note: Note
) -> NDArray:
    texts = texts or usual_texts(filename, spec)
    if texts == choices.WHOLE:
        if b"\n" in content.strip() and b"\0" not in content:
            strings.note_lines(content.decode(errors="replace"), note)
        return one(content, spec)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(
            _(
                "Input {name!r}: {file} is no text in UTF-8, so its lines cannot be told apart. "
                "Save it in UTF-8, or give all of it as one text.",
                name=name,
                file=filename or _("this"),
            )
        ) from error
    delimiter = _TEXTS.get(_extension(filename), "")
    return strings.read(name, text, spec, texts, note, delimiter=delimiter)


def _json(name: str, text: str, spec: TensorSpec) -> Any:
    place = _("Input {name!r}", name=name)

    def number(digits: str) -> float:
        return finite(place, digits, float(digits), spec)

    try:
        value = json.loads(text, parse_float=number)
    except RecursionError as error:
        raise BadInput(
            _("Input {name!r} has too many brackets within each other.", name=name)
        ) from error
    except ValueError as error:
        raise BadInput(
            _(
                "Input {name!r} is no JSON: {error}. Write lists as in [[1, 2], [3, 4]].",
                name=name,
                error=error,
            )
        ) from error
    if isinstance(value, dict):
        raise BadInput(
            _(
                "Input {name!r} is a JSON object; expected {spec}. Give the list of its values "
                "alone.",
                name=name,
                spec=spec,
            )
        )
    return value


def _form(filename: str, content: bytes) -> str:
    extension = _extension(filename)
    if extension in ("npy", "json"):
        return extension
    if extension in _TEXTS:
        return "text"
    if extension in _PICTURES or pictures.is_picture(content):
        return "picture"
    if sounds.is_sound(content):
        return "sound"
    return "npy" if content.startswith(NPY) else "text"


def _extension(filename: str) -> str:
    return os.path.splitext(filename)[1].lower().removeprefix(".")


def _picture(
    name: str,
    content: bytes,
    spec: TensorSpec,
    preprocessing: pictures.Preprocessing | None,
    note: Note,
) -> NDArray:
    preprocessing = preprocessing or pictures.suggest(spec)
    if preprocessing is None:
        raise BadInput(
            _(
                "Input {name!r} takes {spec}, which does not look like a picture. Give numbers, or "
                "say how the picture becomes them.",
                name=name,
                spec=spec,
            )
        )
    try:
        array = pictures.apply(content, spec, preprocessing)
    except BadInput as error:
        raise BadInput(_("Input {name!r}: {error}", name=name, error=error)) from error
    note(pictures.described(content, spec, preprocessing))
    return array


def usual_bounds(dtype: np.dtype) -> tuple[float, float] | None:
    """Return the least and the largest of random numbers; None for what has no range.

    Examples
    --------
    >>> usual_bounds(np.dtype("float32")), usual_bounds(np.dtype("uint8"))
    ((0.0, 1.0), (0, 9))
    """
    match kind(dtype):
        case "f" | "c":
            return 0.0, 1.0
        case "i":
            return 0, min(_LARGEST_INTEGER, int(_limits(dtype).max))
    return None


def _limits(dtype: np.dtype) -> Any:
    if kind(dtype) == "i":
        return ml_dtypes.iinfo(dtype) if dtype.kind == "V" else np.iinfo(dtype)
    return ml_dtypes.finfo(dtype)


def _bounds(spec: TensorSpec, bounds: tuple[float, float] | None) -> tuple[float, float]:
    usual = usual_bounds(spec.dtype)
    if usual is None or bounds is None:
        return usual or (0, 0)
    low, high = bounds
    if not low <= high:
        raise BadInput(
            _(
                "Random numbers are from the smaller to the larger: not {low} to {high}.",
                low=low,
                high=high,
            )
        )
    limits = _limits(spec.dtype if kind(spec.dtype) != "c" else spec.dtype.type(0).real.dtype)
    number = int if kind(spec.dtype) == "i" else float
    if low < number(limits.min) or high > number(limits.max):
        raise BadInput(
            _("{dtype} does not hold {low} to {high}.", dtype=spec.dtype, low=low, high=high)
        )
    return low, high


def _random(
    generator: np.random.Generator, shape: list[int], dtype: np.dtype, low: float, high: float
) -> Any:
    match kind(dtype):
        case "O":
            return np.array(_WORDS, object)[generator.integers(0, len(_WORDS), shape)]
        case "b":
            return generator.integers(0, 2, shape)
        case "i":
            wide = np.uint64 if high > np.iinfo(np.int64).max else np.int64
            return generator.integers(int(low), int(high), shape, wide, endpoint=True)
        case "c":
            real, imaginary = generator.random(shape), generator.random(shape)
            return low + (high - low) * real + 1j * (low + (high - low) * imaginary)
    numbers = generator.random(shape, np.float32)
    return numbers if (low, high) == (0, 1) else low + (high - low) * numbers.astype(float)
