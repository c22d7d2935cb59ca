"""Answers and errors as the product's REST door writes them: pretty, with numbers of its own form.

Rows stand on one line and columns have a line for each value: RapidJSON's PrettyWriter with and
without kFormatSingleLineArray. See tensorflow_serving/util/json_tensor.cc.
"""

import base64
import math
from collections.abc import Mapping, Sequence

from numpy.typing import NDArray

from helpers.serving_api import types_pb2
from helpers.tensors import to_data_type
from practice.tfserving.failures import Failure
from practice.tfserving.inference import Classes
from practice.tfserving.json_numbers import decimals

_ESCAPES = {code: f"\\u{code:04X}" for code in range(32)} | {
    ord(special): "\\" + letter for special, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)
}


def predictions(outputs: Mapping[str, NDArray]) -> bytes:
    """Write the answer to `instances`: an element for each row, of all outputs.

    Raises
    ------
    Failure
        For outputs that are not of one batch, or of a type that JSON does not carry.
    """
    names = sorted(outputs)
    _check_batch(outputs)
    if len(names) == 1:
        return _answer("predictions", _line(_rows(names[0], outputs[names[0]], 2), "\n    "))
    columns = [
        [f"            {_string(name.encode())}: {row}" for row in _rows(name, outputs[name], 3)]
        for name in names
    ]
    rows = ["{\n" + ",\n".join(row) + "\n        }" for row in zip(*columns, strict=True)]
    return _answer("predictions", _lines(rows, (len(rows),), 1))


def columns(outputs: Mapping[str, NDArray]) -> bytes:
    """Write the answer to `inputs`: each output as it is.

    Raises
    ------
    Failure
        For an output of a type that JSON does not carry.
    """
    if not outputs:
        raise _nothing()
    names = sorted(outputs)
    depth = 1 if len(names) == 1 else 2
    values = []
    for name in names:
        array = outputs[name]
        values.append(_lines(_texts(name, array, depth + array.ndim), array.shape, depth))
    if len(names) == 1:
        return _answer("outputs", values[0])
    fields = zip(names, values, strict=True)
    text = ",\n".join(f"        {_string(name.encode())}: {value}" for name, value in fields)
    return _answer("outputs", f"{{\n{text}\n    }}")


def classifications(results: Classes) -> bytes:
    """Write the answer to classify: for each example its pairs of a label and a score."""
    scores = iter(decimals([each.score for row in results for each in row], single=True))
    rows = [_line([_line([_string(each.label), next(scores)]) for each in row]) for row in results]
    return _answer("results", _line(rows, "\n    "))


def regressions(values: Sequence[float]) -> bytes:
    """Write the answer to regress: for each example its value."""
    return _answer("results", _line(decimals(values, single=True)))


def error(text: str) -> bytes:
    """Write an error."""
    return _answer("error", _string(text.encode(errors="surrogateescape")))


def _answer(key: str, value: str) -> bytes:
    return f'{{\n    "{key}": {value}\n}}'.encode(errors="surrogateescape")


def _check_batch(outputs: Mapping[str, NDArray]) -> None:
    if not outputs:
        raise _nothing()
    size = None
    for name in sorted(outputs):
        array = outputs[name]
        if array.ndim == 0:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        if size not in (None, len(array)):
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)


def _rows(name: str, array: NDArray, depth: int) -> list[str]:
    """Write each row on a line; `depth` tells how many brackets are open around it."""
    texts = _texts(name, array, depth + array.ndim - 1)
    for level in range(array.ndim - 1, 0, -1):
        size, count = array.shape[level], math.prod(array.shape[:level])
        texts = [_line(texts[i * size : (i + 1) * size]) for i in range(count)]
    return texts


def _line(texts: Sequence[str], before_the_end: str = "") -> str:
    return f"[{', '.join(texts)}{before_the_end if texts else ''}]"


def _lines(texts: list[str], shape: tuple[int, ...], depth: int) -> str:
    for level in range(len(shape) - 1, -1, -1):
        size, count = shape[level], math.prod(shape[:level])
        outer = "\n" + "    " * (depth + level)
        inner = outer + "    "
        groups = (texts[i * size : (i + 1) * size] for i in range(count))
        texts = [f"[{inner}{f',{inner}'.join(each)}{outer}]" if each else "[]" for each in groups]
    return texts[0]


def _texts(name: str, array: NDArray, depth: int) -> list[str]:
    kind = array.dtype.name
    if kind in ("float32", "float64"):
        return decimals(array.reshape(-1), single=kind == "float32")
    values = array.reshape(-1).tolist()
    if kind == "bool":
        return ["true" if each else "false" for each in values]
    if array.dtype.kind in "iu" and array.dtype.isbuiltin:
        return list(map(str, values))
    if kind != "object":
        type_name = types_pb2.DataType.Name(to_data_type(array.dtype)).removeprefix("DT_").lower()
        if values:
            raise _invalid(f"Failed to write JSON value for tensor type: {type_name}")
    if not name.endswith("_bytes"):
        return list(map(_string, values))
    inner = "\n" + "    " * (depth + 1)
    outer = "\n" + "    " * depth
    return [f'{{{inner}"b64": "{base64.b64encode(each).decode()}"{outer}}}' for each in values]


def _string(value: bytes) -> str:
    return f'"{value.decode(errors="surrogateescape").translate(_ESCAPES)}"'


def _nothing() -> Failure:
    return _invalid("Cannot convert empty tensor map to JSON")


def _invalid(text: str) -> Failure:
    return Failure("INVALID_ARGUMENT", text)
