"""Numbers and text as the array that an input takes: cast without loss, with its batch axis."""

import base64
import cmath
import io
import math
import numbers
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.tensors import as_array, of_ml_dtypes
from helpers.tfserving.signatures import (
    DEFAULT_SIGNATURE,
    Signature,
    Signatures,
    TensorSpec,
    check_inputs,
)

NPY = b"\x93NUMPY"  # how a .npy file begins
_ORDER = "ifc"  # kinds of numbers; each holds those before it
# What an array of objects may hold for each kind.
_PARTS: dict[str, type | tuple[type, ...]] = {
    "b": (bool, np.bool_),
    "i": numbers.Integral,
    "f": numbers.Real,
    "c": numbers.Complex,
    "O": (str, bytes),
}
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_Number = TypeVar("_Number")


def fit(name: str, value: ArrayLike, spec: TensorSpec) -> NDArray:
    """Make a value what `check_inputs` accepts, or raise BadInput that says why it cannot be.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    value : array-like
        Numbers may become another dtype of their kind, and integers floats, if all of them fit.
        An axis of size 1 is put before them where only the batch is missing.
    spec : TensorSpec

    Examples
    --------
    >>> fit("x", [1, 2], TensorSpec(np.dtype("float32"), (-1, 2)))
    array([[1., 2.]], dtype=float32)
    """
    try:
        array = as_array(value)
    except BadInput as error:
        raise BadInput(
            _("Input {name!r}: {error} Expected {spec}.", name=name, error=error, spec=spec)
        ) from error
    if array.dtype.names:
        raise BadInput(
            _(
                "Input {name!r} is a table with the columns {names}; "
                "expected {spec}. Give its numbers alone, column by column: "
                "numpy.lib.recfunctions.structured_to_unstructured makes one array of them.",
                name=name,
                names=str(list(array.dtype.names))[:80],
                spec=spec,
            )
        )
    if _is_rounded(value, array, spec):
        array = np.asarray(value, object)
    if array.dtype.kind in "OU":
        array = _of_parts(name, array, spec)
    array = _cast(name, array, spec)
    if not spec.takes(array.shape) and spec.takes((1, *array.shape)):
        array = array[np.newaxis]
    signatures = Signatures("", 0, {DEFAULT_SIGNATURE: Signature({name: spec}, {})})
    return check_inputs(signatures, DEFAULT_SIGNATURE, {name: array})[name]


def one(value: str | bytes, spec: TensorSpec) -> NDArray:
    """Make an array of one string, with as many axes as the spec has if each may have size 1."""
    array = np.empty((), object)
    array[()] = value
    ones = (1,) * len(spec.shape or ())
    return array.reshape(ones) if spec.takes(ones) else array


def of_base64(value: Any) -> Any:
    """Return JSON's lists and values with bytes for each `{"b64": ...}`, as REST writes them.

    Examples
    --------
    >>> of_base64(["a", {"b64": "/w=="}])
    ['a', b'\\xff']
    """
    if isinstance(value, list):
        return [of_base64(item) for item in value]
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        return value
    try:
        return base64.b64decode(value["b64"], validate=True)
    except ValueError as error:
        shown = value["b64"][:40]
        raise BadInput(
            _('{{"b64": "{text}"}} holds no base64: {error}.', text=shown, error=error)
        ) from error


def from_npy(name: str, content: bytes, spec: TensorSpec) -> NDArray:
    """Read a `.npy` file; its header is not believed before it agrees with the file's size."""
    file = io.BytesIO(content)
    try:
        shape, _order, dtype = _READ_HEADER[np.lib.format.read_magic(file)](file)
    except Exception as error:  # NumPy evaluates the header, which fails in its own ways
        raise BadInput(
            _(
                "Input {name!r}: this is no .npy file with numbers. Write one with numpy.save.",
                name=name,
            )
        ) from error
    if dtype.hasobject or not dtype.itemsize:
        raise BadInput(
            _(
                "Input {name!r}: the .npy file holds {dtype}; expected {spec}. Objects are not "
                "read: they would have to be unpickled, which can run anything. Save numbers or "
                "text.",
                name=name,
                dtype=dtype,
                spec=spec,
            )
        )
    size = len(content) - file.tell()
    file.seek(0)
    try:
        if math.prod(shape) * dtype.itemsize != size:  # NumPy would make room for what it says
            raise ValueError
        array = np.load(file, allow_pickle=False)
    except (ValueError, OverflowError) as error:  # as of too many axes
        raise BadInput(
            _(
                "Input {name!r}: the .npy file is damaged. Its header says {dtype} of shape "
                "{shape}, but {size:,} bytes follow.",
                name=name,
                dtype=dtype,
                shape=str(list(shape))[:80],
                size=size,
            )
        ) from error
    if of_ml_dtypes(spec.dtype) and dtype == np.dtype((np.void, spec.dtype.itemsize)):
        return array.view(spec.dtype)  # numpy.save keeps nothing of bfloat16 but the size
    return array


def finite(place: str, text: str, number: _Number, spec: TensorSpec) -> _Number:
    """Return what a text was read as, or raise BadInput when it is infinite but does not say so.

    Examples
    --------
    >>> finite("Input 'x'", "-inf", float("-inf"), TensorSpec(np.dtype("float32"), ()))
    -inf
    """
    if not isinstance(number, (float, complex)) or cmath.isfinite(number):
        return number
    if cmath.isinf(number) and "inf" not in text.lower():
        raise _does_not_fit(place, text if len(text) <= 40 else f"{text[:40]} ...", spec)
    return number


def summary(array: NDArray) -> str:
    """Say an array's dtype and shape.

    Examples
    --------
    >>> summary(np.array(["a", "b"]))
    'string [2]'
    """
    dtype = "string" if array.dtype.kind in "OSU" else str(array.dtype)
    return f"{dtype} {list(array.shape)}"


def is_batched(spec: TensorSpec) -> bool:
    """Whether an input's first axis may have any size, so that it can hold a batch."""
    return spec.shape is not None and spec.shape[:1] == (-1,)


def kind(dtype: np.dtype) -> str:
    """Return b, i, f, c or O, also for the dtypes of `ml_dtypes`; others as NumPy says.

    Examples
    --------
    >>> kind(np.dtype("uint8"))
    'i'
    """
    if dtype.kind == "V":
        return {"b": "f", "f": "f", "i": "i", "u": "i"}.get(dtype.name[0], "V")
    return {"u": "i", "S": "O", "U": "O"}.get(dtype.kind, dtype.kind)


def _is_near(kind: str, wanted: str) -> bool:
    """Whether numbers of one kind may become another kind."""
    return kind == wanted or (kind in _ORDER and kind in _ORDER[: _ORDER.find(wanted) + 1])


def _is_rounded(value: ArrayLike, array: NDArray, spec: TensorSpec) -> bool:
    """Whether NumPy made floats of whole numbers, as it does of small and large ones together."""
    if array.dtype != np.float64 or kind(spec.dtype) != "i" or not array.size:
        return False
    if isinstance(value, np.ndarray | np.generic):
        return False
    return all(isinstance(part, numbers.Integral) for part in np.asarray(value, object).flat)


def _hint(wanted: str) -> str:
    """Say what to write for a kind of values."""
    hints = {
        "b": _("Write true or false."),
        "i": _("Write whole numbers."),
        "O": _("Write text."),
    }
    return hints.get(wanted) or _("Write a number, or NaN where it is missing.")


def _of_parts(name: str, array: NDArray, spec: TensorSpec) -> NDArray:
    """Make numbers of objects, and check that texts can be sent."""
    wanted = kind(spec.dtype)
    parts = _texts(name, array)
    if not parts or wanted not in _PARTS or (wanted != "O" and isinstance(parts[0], str | bytes)):
        return array  # what is neither text nor numbers is told by check_inputs
    for number, part in enumerate(parts):
        if not isinstance(part, _PARTS[wanted]):
            index = [int(i) for i in np.unravel_index(number, array.shape)]
            value = _("the value at {index}", index=index) if index else _("the value")
            what = (
                _("null (None)") if part is None else _("of type {type}", type=type(part).__name__)
            )
            raise BadInput(
                _(
                    "Input {name!r}: {value} is {what}; expected {spec}. {hint}",
                    name=name,
                    value=value,
                    what=what,
                    spec=spec,
                    hint=_hint(wanted),
                )
            )
    if wanted in "Ob":
        return array if wanted == "O" else array.astype(bool)
    if wanted == "i":
        return _whole(name, array, spec)
    try:
        return array.astype(np.float64 if wanted == "f" else np.complex128)
    except OverflowError as error:
        raise BadInput(
            _(
                "Input {name!r} has a whole number that is too large for {dtype}; expected {spec}.",
                name=name,
                dtype=spec.dtype,
                spec=spec,
            )
        ) from error


def _texts(name: str, array: NDArray) -> list:
    """Return an array's values, once it is sure that those which are text can be written."""
    try:
        parts = array.ravel().tolist()  # SystemError: a .npy file's text is none
        for part in parts:
            if isinstance(part, str):
                part.encode()
    except (ValueError, SystemError) as error:
        raise BadInput(
            _(
                "Input {name!r} holds half a character (a lone surrogate), which UTF-8 cannot "
                "write.",
                name=name,
            )
        ) from error
    return parts


def _whole(name: str, objects: NDArray, spec: TensorSpec) -> NDArray:
    low = objects.min()
    try:
        return objects.astype(np.uint64 if low >= 0 else np.int64)
    except OverflowError as error:
        bounds = np.iinfo(np.uint64 if spec.dtype == np.uint64 else np.int64)
        wrong = low if low < bounds.min else objects.max()
        if abs(wrong) < 2**64:
            raise _does_not_fit(_("Input {name!r}", name=name), wrong, spec) from error
        raise BadInput(
            _("Input {name!r} has a number of over 64 bits; expected {spec}.", name=name, spec=spec)
        ) from error


def _does_not_fit(place: str, what: object, spec: TensorSpec) -> BadInput:
    return BadInput(
        _(
            "{place}: {what} does not fit in {dtype}; expected {spec}.",
            place=place,
            what=what,
            dtype=spec.dtype,
            spec=spec,
        )
    )


def _cast(name: str, array: NDArray, spec: TensorSpec) -> NDArray:
    wanted = kind(spec.dtype)
    if array.dtype == spec.dtype or "O" in (kind(array.dtype), wanted):
        return array  # what is neither text nor numbers is told by check_inputs
    if array.size == 0 and array.dtype == np.float64:
        return array.astype(spec.dtype)  # an empty list, which NumPy takes for floats
    if not _is_near(kind(array.dtype), wanted):
        problem = _(
            "Input {name!r} is {dtype}; expected {spec}.", name=name, dtype=array.dtype, spec=spec
        )
        if wanted in "bi":
            problem = f"{problem} {_hint(wanted)}"
        raise BadInput(problem)
    with np.errstate(all="ignore"):
        cast = array.astype(spec.dtype)
        if wanted == "i":
            wrong = cast.astype(array.dtype) != array
            wrong |= (cast < 0) != (array < 0)
        else:
            wrong = np.isinf(cast) & ~np.isinf(array)
            if spec.dtype.kind == "V":
                wrong |= np.isnan(cast) & ~np.isnan(array)  # some have no infinity
    if wrong.any():
        raise _does_not_fit(_("Input {name!r}", name=name), array[wrong].reshape(-1)[0], spec)
    return cast
