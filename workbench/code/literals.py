"""Values as code: NumPy arrays written in Python and as what JSON carries."""

import base64
import io
import itertools
import json
import math
import re
import textwrap
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.tensors import as_bytes, of_ml_dtypes
from helpers.tfserving.rest import to_json

Files = dict[str, Callable[[], bytes]]  # by name, what gives the content

_LISTED = 64  # values; of more, code shows their bytes
_CARRIED = 8_000  # characters of code for one value; above, it is loaded from a file
_PACKED = 250_000  # bytes that are worth a try to make them short
_WIDTH = 80
_RESERVED = re.compile(r"|con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)  # in any Windows folder


def python(value: Any, name: str = "value", files: Files | None = None) -> str:
    """Write a value in Python.

    Parameters
    ----------
    value : ndarray, dict, list, str, bytes, number or bool
        An array of any dtype that TensorFlow has. A short one is listed, a longer one is carried
        along as compressed base64.
    name : str
        What a file would be called.
    files : dict, optional
        Gets the `.npy` file that the code loads, for an array that is too long to be carried.

    Returns
    -------
    str
        An expression for a module that imports what `imports` says.

    Raises
    ------
    BadInput
        For objects other than text and bytes, and for a long array where there are no files.

    Examples
    --------
    >>> python({"x": np.array([0.1, np.nan], "float32"), "n": np.zeros((9, 9), "uint8")})
    '{"x": np.array([0.1, np.nan], "float32"), "n": np.zeros((9, 9), "uint8")}'
    """
    match value:
        case np.ndarray():
            return _array(value, name, files)
        case dict():
            return mapping({key: python(item, str(key), files) for key, item in value.items()})
        case list():
            nested = any(isinstance(item, list | str | bytes | dict) for item in value)
            return block([python(item, name, files) for item in value], "[]", alone=nested)
        case str():
            return _quoted(value)
        case bytes():
            return _bytes(value)
        case complex():  # as a sum, it would lose the sign of zeros
            return f"complex({python(value.real)}, {python(value.imag)})"
        case float() if not math.isfinite(value):
            return "np.nan" if math.isnan(value) else f"{'-' if value < 0 else ''}np.inf"
    return repr(value)


def python_for_json(array: NDArray, name: str, files: Files) -> str:
    """Write an array in Python as the lists that become JSON; the rest is as for `python`."""
    if array.dtype.kind not in "OSU":
        short = array.size <= _LISTED
        return python(listed(array)) if short else f"{_array(array, name, files)}.tolist()"
    if array.size > _LISTED and (first := _same(array)) is not None:
        return f"np.full({array.shape}, {python(in_json(as_bytes(first)))}, object).tolist()"
    if _length(array) <= _CARRIED:
        return python(listed(array))
    file = _save(array, name, files)
    encoded = 'lambda text: {"b64": text.decode()}'
    return f'np.vectorize({encoded}, [object])(np.load("{file}")).tolist()'


def listed(array: NDArray) -> Any:
    """Return an array as JSON has it: nested lists; text as text, other bytes as `b64`.

    Raises
    ------
    BadInput
        For a dtype that REST does not carry.

    Examples
    --------
    >>> listed(np.array([b"flower", b"\\xff"], object))
    ['flower', {'b64': '/w=='}]
    """
    if array.dtype.kind in "OSU":
        write = np.vectorize(lambda text: in_json(as_bytes(text)), [object])
        return write(array.astype(object)).tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _numbers(array)
    return json.loads(to_json(array))


def imports(code: str) -> list[list[str]]:
    """Return the imports that a piece of code needs: Python's own, and those of packages."""
    return [
        [line for word, line in group.items() if re.search(rf"{word}(?<![\w.]{word})", code)]
        for group in _IMPORTS
    ]


_IMPORTS: tuple[dict[str, str], ...] = (
    {
        **{rf"{name}\.": f"import {name}" for name in ("base64", "json", "os", "zlib")},
        r"Path\(": "from pathlib import Path",
    },
    {
        **{rf"{name}\.": f"import {name}" for name in ("grpc", "ml_dtypes")},
        r"np\.": "import numpy as np",
        r"requests\.": "import requests",
    },
)


def _array(array: NDArray, name: str, files: Files | None) -> str:
    dtype = _dtype(array.dtype)
    if array.size == 0:
        return f"np.zeros({array.shape}, {dtype})"
    if array.dtype.kind in "OSU":
        return _texts(array, name, files)
    if array.size <= _LISTED and (values := _exactly(array)) is not None:
        return f"np.array({python(values)}, {dtype})"
    array = np.ascontiguousarray(array).reshape(array.shape)
    if (first := _same(array)) is not None:
        zero = first.tobytes() == bytes(first.nbytes)
        full = f"np.full({array.shape}, {python(_numbers(first))}, {dtype})"
        return f"np.zeros({array.shape}, {dtype})" if zero else full
    if array.nbytes <= _PACKED:
        little = array.astype(_little(array.dtype), copy=False)
        packed = _base64(zlib.compress(little.tobytes(), 9))
        if len(packed) <= _CARRIED:
            return f"np.frombuffer(zlib.decompress({packed}), {dtype}).reshape({array.shape})"
    file = _save(array, name, files)
    return f'np.load("{file}")' + (f".view({dtype})" if of_ml_dtypes(array.dtype) else "")


def _texts(array: NDArray, name: str, files: Files | None) -> str:
    if array.size > _LISTED and (first := _same(array)) is not None:
        return f"np.full({array.shape}, {python(first)}, object)"
    if _length(array) <= _CARRIED:
        return f"np.array({python(array.astype(object).tolist())}, object)"
    file = _save(array, name, files)
    return f'np.vectorize(base64.b64decode, [object])(np.load("{file}"))'


def _exactly(array: NDArray) -> Any:
    """Return nested lists that give the same array, if there are any."""
    values = _numbers(array)
    again = np.array(values, array.dtype)
    return values if np.array_equal(again, array, equal_nan=array.dtype.kind in "fc") else None


def _numbers(array: NDArray) -> Any:
    if of_ml_dtypes(array.dtype):
        return array.astype(float).tolist()
    if array.dtype.kind == "f":  # as text they have the fewest digits
        return array.astype(str).astype(float).tolist()
    return array.tolist()


def _same(array: NDArray) -> Any:
    """Return the one value that all of an array's have, if they have."""
    values = array.reshape(-1)
    text = array.dtype.kind in "OSU"
    first = values[0] if text else values[0].tobytes()
    for block in np.array_split(values, 1 + array.size // 65_536):  # mostly the first one tells
        if not ((block == first).all() if text else block.tobytes() == first * block.size):
            return None
    return values[0]


def _length(array: NDArray) -> int:
    return sum(4 + len(as_bytes(text)) * 4 // 3 for text in array.ravel().tolist())


def _save(array: NDArray, name: str, files: Files | None) -> str:
    if files is None:
        raise BadInput(
            _(
                "{name!r} is too long to be written as code: {size} values.",
                name=name,
                size=array.size,
            )
        )
    file = file_name(file_stem(name), ".npy", files)
    files[file] = lambda: npy(array)
    return file


def file_stem(name: str) -> str:
    """Return letters that any system takes for a file, of an input's or a field's name."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII)[:50]


def file_name(stem: str, ending: str, taken: Iterable[str]) -> str:
    """Return a file's name that Windows takes too, and that is not taken in another case."""
    stem = f"{stem}_" if _RESERVED.fullmatch(stem) else stem
    lower = {name.lower() for name in taken}
    numbered = (f"{stem}_{number}{ending}" for number in itertools.count(2))
    names = itertools.chain([f"{stem}{ending}"], numbered)
    return next(name for name in names if name.lower() not in lower)


def npy(array: NDArray) -> bytes:
    """Return the content of an `.npy` file that needs no pickle: bytes go as base64."""
    if array.dtype.kind in "OSU":
        encode = np.vectorize(lambda text: base64.b64encode(as_bytes(text)), otypes=[object])
        array = encode(array).astype("S")
    elif of_ml_dtypes(array.dtype):  # a type that NumPy's files do not know
        array = array.view(f"u{array.itemsize}")
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _dtype(dtype: np.dtype) -> str:
    if dtype.kind in "OSU":
        return "object"
    return f"ml_dtypes.{dtype.name}" if of_ml_dtypes(dtype) else f'"{dtype.name}"'


def _little(dtype: np.dtype) -> np.dtype:
    return dtype if of_ml_dtypes(dtype) else dtype.newbyteorder("<")


def in_json(value: Any) -> Any:
    """Return text, bytes or a number as JSON has it."""
    if not isinstance(value, bytes):
        return value
    text = _text(value)
    return {"b64": base64.b64encode(value).decode()} if text is None else text


def _text(value: bytes) -> str | None:
    """Return bytes as text where a person can read it."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def _quoted(text: str) -> str:
    """Return text in double quotes, if it has none."""
    return repr(text) if '"' in text else f'"{repr(chr(39) + text)[2:-1]}"'


def _bytes(value: bytes) -> str:
    text = _text(value)
    if text is None:
        return _base64(value)
    return f"b{_quoted(text)}" if text.isascii() else f"{_quoted(text)}.encode()"


def _base64(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    if len(text) <= _WIDTH:
        return f'base64.b64decode("{text}")'
    return f'base64.b64decode("""\n{textwrap.fill(text, _WIDTH)}\n""")'


def mapping(values: Mapping[Any, str]) -> str:
    """Write a dict whose values are code already."""
    return block([f"{python(key)}: {code}" for key, code in values.items()], "{}", alone=True)


def block(parts: list[str], brackets: str, alone: bool) -> str:
    """Join parts in brackets: on one line if they fit, else each alone on a line, or many."""
    line = f"{brackets[0]}{', '.join(parts)}{brackets[1]}"
    if len(line) <= _WIDTH and "\n" not in line:
        return line
    rows = [""]
    for part in parts:
        if rows[-1] and (alone or len(rows[-1]) + len(part) > _WIDTH):
            rows.append("")
        rows[-1] += f"{' ' if rows[-1] else ''}{part},"
    return f"{brackets[0]}\n{textwrap.indent(chr(10).join(rows), '    ')}\n{brackets[1]}"
