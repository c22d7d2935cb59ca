"""A REST request's JSON made into arrays and tf.Examples.

Its texts and what it takes follow tensorflow_serving/util/json_tensor.cc; what the parser makes of
broken JSON is what the libraries here make of it.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import orjson
import rapidjson
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.json_numbers import MOST_DIMENSIONS, Numbers
from helpers.serving_api import example_pb2, types_pb2
from helpers.tensors import to_dtype
from practice.tfserving.failures import Failure, invalid
from practice.tfserving.inference import type_name

_QUOTED = 256  # characters of a value that an error text quotes
_QUOTES = json.JSONEncoder(
    separators=(",", ":"),
    ensure_ascii=False,
    default=lambda _: None,  # `Numbers`: whoever gave them asks again, with lists
)
_PLACE = re.compile(r"Parse error at offset (\d+): (.*)")  # as the parser's library words it
_TYPE_NAMES = {type(None): "Null", dict: "Object", list: "Array", str: "String"}
_INTEGERS = ("int8", "uint8", "int16", "int32", "uint32", "int64", "uint64")
# What may stand in JSON for a type: nothing is converted to it.
_ACCEPTED: dict[str, set[type]] = {
    **{name: {int} for name in _INTEGERS},
    "float": {int, float},
    "double": {int, float},
    "bool": {bool},
    "string": {str, dict},
}


class Inputs(NamedTuple):
    """A request's tensors, and whether they came row by row: the answer comes the same way."""

    arrays: dict[str, NDArray]
    by_row: bool


def parse(body: bytes) -> dict[str, Any]:
    """Read a request's object; NaN and Infinity are numbers, as in the product.

    Raises
    ------
    Failure
        For what is no JSON, or no object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            document = rapidjson.loads(body, number_mode=rapidjson.NM_NAN)
        except RecursionError:
            raise invalid("JSON Parse error: Nested too deeply.") from None
        except ValueError as error:
            raise invalid(f"JSON Parse error: {_reason(body, error)}") from error
    if type(document) is not dict:
        raise invalid(f"JSON Value: {_quoted(document)} Is not object")
    return document


def _reason(body: bytes, error: ValueError) -> str:
    """Say why something is no JSON in the product's order: the reason, then the place."""
    if not body:
        return "The document is empty"
    if isinstance(error, UnicodeDecodeError):
        return f"Invalid encoding in string. at offset: {error.start}"
    place = _PLACE.fullmatch(str(error))
    return f"{place[2]} at offset: {place[1]}" if place else str(error)


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the signature that a request asks for; empty when it does not say."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise invalid(
            f"JSON Value: {_quoted(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def predict_inputs(document: Mapping[str, Any], data_types: Mapping[str, int]) -> Inputs:
    """Read the tensors of a predict request.

    Parameters
    ----------
    document : mapping
        As `parse` or `json_numbers.read` gives it.
    data_types : mapping of str to int
        TensorFlow's number of each input's type, by the signature's names.

    Raises
    ------
    Failure
        For what does not fit the signature, with the place of the first row that does not; a
        document of `json_numbers` may be told of without its place.
    ValueError
        For such a document that is no JSON after all.
    """
    if "instances" not in document:
        if "inputs" not in document:
            raise invalid("Missing 'inputs' or 'instances' key")
        return Inputs(_columns(document["inputs"], data_types), False)
    instances = document["instances"]
    if "inputs" in document:
        reason = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif type(instances) not in (list, Numbers):
        reason = "Expecting 'instances' to be an list/array"
    elif instances == []:
        reason = "No values in 'instances' array"
    else:
        return Inputs(_rows(instances, data_types), True)
    raise invalid(f"JSON Value: {_quoted(document)} {reason}")


def examples(document: Mapping[str, Any]) -> list[bytes]:
    """Read the examples of a classify or regress request, each serialized and after its context.

    Raises
    ------
    Failure
        For no examples, and values that no feature can have.
    """
    context = _example(document["context"]) if "context" in document else b""
    rows = document.get("examples")
    if "examples" not in document:
        reason = "When method is classify, key 'examples' is expected and was not found"
    elif type(rows) is not list:
        reason = "Expecting 'examples' value to be an list/array"
    elif not rows:
        reason = "'examples' value is an empty array"
    else:
        return [context + _example(row) for row in rows]
    raise invalid(f"JSON Value: {_quoted(document)} {reason}")


def _columns(inputs: Any, data_types: Mapping[str, int]) -> dict[str, NDArray]:
    if not _is_named(inputs):
        if len(data_types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        inputs = {min(data_types): inputs}
    for name in sorted(data_types):
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(inputs[name], data_types[name]) for name in sorted(data_types)}


def _rows(instances: list[Any] | Numbers, data_types: Mapping[str, int]) -> dict[str, NDArray]:
    """Make one tensor of each input's rows."""
    is_plain = isinstance(instances, Numbers) or not _is_named(instances[0])
    if is_plain and len(data_types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    try:
        return _rows_at_once(instances, data_types)
    except Failure:
        if isinstance(instances, list):
            _check_row(_misfit_row(instances, data_types), instances, data_types)
        raise


def _rows_at_once(
    instances: list[Any] | Numbers, data_types: Mapping[str, int]
) -> dict[str, NDArray]:
    columns: Mapping[str, Any] = {min(data_types): instances}
    if isinstance(instances, list) and _is_named(instances[0]):
        if not all(_is_named(row) and row.keys() == data_types.keys() for row in instances):
            raise invalid("The rows of 'instances' do not have the same names.")
        columns = {name: [row[name] for row in instances] for name in data_types}
    return {name: _tensor(column, data_types[name]) for name, column in columns.items()}


def _misfit_row(rows: list[Any], data_types: Mapping[str, int]) -> int:
    """Return the number of the first row that does not fit, where there is one.

    All rows at once are read far faster than each by itself; but that tells no place, so the half
    with the misfit is halved again.
    """
    start, stop = 0, len(rows)
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            _rows_at_once([rows[0], *rows[start:middle]], data_types)
        except Failure:
            stop = middle
        else:
            start = middle
    return start


def _check_row(number: int, rows: list[Any], data_types: Mapping[str, int]) -> None:
    """Say what is wrong with a row; the first one tells what all are like."""
    named = _is_named(rows[0])
    shapes: dict[str, tuple[int, ...]] = {}
    for index in (0, number):
        row = rows[index]
        if _is_named(row) != named:
            expected = "object but got list" if named else "value/list but got object"
            raise invalid(f"Expecting {expected} at item {index} of input list")
        for name, value in row.items() if named else [(min(data_types), row)]:
            try:
                _check_in_row(name, value, data_types, shapes)
            except Failure as failure:
                place = f"{index} key: {name}" if named else str(index)
                raise invalid(
                    f"Failed to process element: {place} of 'instances' list. Error: {failure}"
                ) from None
        if named and row.keys() != data_types.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{_quoted(row)} keys must be equal to: {','.join(sorted(data_types))}"
            )


def _check_in_row(
    name: str, value: Any, data_types: Mapping[str, int], shapes: dict[str, tuple[int, ...]]
) -> None:
    if name not in data_types:
        raise invalid(f"JSON object: does not have named input: {name}")
    shape = _tensor(value, data_types[name]).shape
    first = shapes.setdefault(name, shape)
    if math.prod(shape) != math.prod(first):
        raise invalid(f"Expecting tensor size: {math.prod(first)} but got: {math.prod(shape)}")
    if shape != first:
        raise invalid(
            f"Expecting shape [{','.join(map(str, first))}] but got: [{','.join(map(str, shape))}]"
        )


def _is_named(value: Any) -> bool:
    return type(value) is dict and not _is_base64(value)


def _tensor(value: Any, data_type: int) -> NDArray:
    """Make an array of a nested list of JSON values, all of which have to fit the type."""
    if type(value) is Numbers:
        return _tensor_of_numbers(value, data_type)
    shape = _shape(value)
    leaves = [value]
    for level, size in enumerate(shape):
        if set(map(type, leaves)) != {list}:
            stray = next(item for item in leaves if type(item) is not list)
            raise invalid(
                f"JSON Value: {_quoted(stray)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        if set(map(len, leaves)) != {size}:
            other = next(len(item) for item in leaves if len(item) != size)
            raise invalid(
                f"Encountered list at unexpected size: {other} at level: {level} "
                f"expected size: {size}"
            )
        leaves = list(chain.from_iterable(leaves))
    types: set[type] = set(map(type, leaves))
    if list in types:
        rank = len(shape)
        raise invalid(f"Encountered list at unexpected level: {rank} expected < {rank}")
    return _array(leaves, data_type, types).reshape(shape)


def _tensor_of_numbers(numbers: Numbers, data_type: int) -> NDArray:
    # To look at the type of each of a picture's numbers takes as long as to convert them.
    is_float = data_type in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)

    def convert(values: list[Any]) -> NDArray:
        return _array(values, data_type, {float} if is_float else set(map(type, values)))

    return numbers.array(_dtype(data_type), convert)


def _shape(value: Any) -> tuple[int, ...]:
    """Return the shape that the first value of a nested list stands for."""
    shape: list[int] = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    if len(shape) > MOST_DIMENSIONS:
        raise invalid(f"A tensor here has {MOST_DIMENSIONS} dimensions at most.")
    return tuple(shape)


def _array(flat: list[Any], data_type: int, types: set[type]) -> NDArray:
    dtype = _dtype(data_type)
    if not flat:
        return np.empty(0, dtype)
    name = type_name(data_type)
    if name not in _ACCEPTED and dict not in types:
        text = f"Conversion of JSON Value: {_quoted(flat[0])} to type: {name}"
        raise Failure("UNIMPLEMENTED", text)
    misfits = types - _ACCEPTED.get(name, set())
    if misfits:
        raise _misfit(next(value for value in flat if type(value) in misfits), name)
    if name == "string":
        texts = np.empty(len(flat), object)
        texts[:] = [v.encode() if type(v) is str else _decode_base64(v) for v in flat]
        return texts
    # Small integers travel as int32, and are cut without a look at their range.
    carrier = np.dtype(np.int32) if dtype.kind in "iu" and dtype.itemsize < 4 else dtype
    try:
        with np.errstate(over="ignore"):  # as C does, a float32 that is too large is infinite
            return np.array(flat, carrier).astype(dtype, copy=False)
    except OverflowError:
        fitting = range(-(2**1023), 2**1023)
        if name in _INTEGERS:
            fitting = range(np.iinfo(carrier).min, np.iinfo(carrier).max + 1)
        misfit = next(v for v in flat if type(v) is int and v not in fitting)
        raise _misfit(misfit, name) from None


def _dtype(data_type: int) -> np.dtype:
    try:
        return to_dtype(data_type)
    except BadInput as error:
        raise invalid(str(error)) from error


def _misfit(value: Any, type_name: str) -> Failure:
    return invalid(
        f"JSON Value: {_quoted(value)} Type: {_type_name(value)} "
        f"is not of expected type: {type_name}"
    )


def _is_base64(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def _decode_base64(value: Any) -> bytes:
    """Return the bytes of `{"b64": "..."}`: white space does not count, padding may be left out."""
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_quoted(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split())
    bare = text.rstrip("=.")
    missing = -len(bare) % 4
    try:
        if len(text) - len(bare) not in (0, missing):
            raise ValueError
        return base64.b64decode(bare + "=" * missing, validate=True)
    except ValueError as error:
        raise invalid("Unable to base64 decode") from error


def _example(fields: Any) -> bytes:
    if type(fields) is not dict:
        raise invalid(f"Example must be JSON object but got JSON {_type_name(fields)}")
    example = example_pb2.Example()
    for name, content in fields.items():
        _fill(example.features.feature[name], name, content if type(content) is list else [content])
    return example.SerializeToString()


def _fill(feature: Any, name: str, values: list[Any]) -> None:
    """Add values: numbers all at once, as there may be many; a misfit after the first of them."""
    kind = type(values[0]) if values else None
    if kind is float:
        misfits = (value for value in values if type(value) is not float)
        numbers = feature.float_list.value
    elif kind in (bool, int):
        misfits = (
            value
            for value in values
            if type(value) not in (bool, int) or not -(2**63) <= value < 2**63
        )
        numbers = feature.int64_list.value
    else:
        for value in values:
            _add(value, name, feature)
        return
    for misfit in misfits:
        _add(values[0], name, feature)
        _add(misfit, name, feature)
    numbers.extend(values if kind is float else map(int, values))


def _add(value: Any, name: str, feature: Any) -> None:
    if type(value) in (bool, int):
        kind = "int64_list"
        value = int(value)
    elif type(value) is float:
        kind = "float_list"
    elif type(value) is str or _is_base64(value):
        kind = "bytes_list"
        value = value.encode() if type(value) is str else _decode_base64(value)
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {_type_name(value)}")
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        expected = before.removesuffix("_list")
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {expected}")
    if kind == "int64_list" and not -(2**63) <= value < 2**63:
        raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    getattr(feature, kind).value.append(value)


def _type_name(value: Any) -> str:
    return str(value) if type(value) is bool else _TYPE_NAMES.get(type(value), "Number")


def _quoted(value: Any) -> str:
    """Write a value as error texts quote it: on one line, and only its beginning."""
    return "".join(islice(_QUOTES.iterencode(value), _QUOTED))[:_QUOTED]
