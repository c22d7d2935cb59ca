"""What is wrong with a predict request's values: found in the product's order, in its words."""

from collections.abc import Iterable, Mapping
from typing import Any

from helpers.serving_api import types_pb2
from practice.tfserving.failures import Failure
from practice.tfserving.json_document import dump, type_name
from practice.tfserving.json_numbers import MOST_DIMENSIONS, Numbers
from practice.tfserving.json_values import CONVERTIBLE, decode_base64, is_base64, to_array

_Shape = tuple[int, ...]


def check_instances(document: Mapping[str, Any]) -> None:
    """Raise Failure unless `instances` is a list with something in it, and alone."""
    instances = document["instances"]
    if "inputs" in document:
        what = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    elif type(instances) not in (list, Numbers):
        what = "Expecting 'instances' to be an list/array"
    elif not instances:
        what = "No values in 'instances' array"
    else:
        return
    raise _invalid(f"JSON Value: {dump(document)} {what}")


def in_rows(instances: list[Any], data_types: Mapping[str, int]) -> Failure:
    """Return what is wrong with a list of rows."""
    if type(instances[0]) is not dict and len(data_types) > 1:
        return _invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_named(instances[0])
    seen: dict[str, tuple[int, _Shape]] = {}
    for number, row in enumerate(instances):
        if named != _is_named(row):
            expected = "object but got list" if named else "value/list but got object"
            return _invalid(f"Expecting {expected} at item {number} of input list")
        fault = _in_row(row if named else {min(data_types): row}, data_types, seen)
        if fault is not None:
            key, failure = fault
            place = f"{number} key: {key}" if named else str(number)
            return _invalid(
                f"Failed to process element: {place} of 'instances' list. Error: {failure}"
            )
        if named and row.keys() != data_types.keys():
            return _invalid(
                f"Failed to process element: {number} of 'instances' list. "
                f"JSON object: {dump(row)} keys must be equal to: {','.join(sorted(data_types))}"
            )
    return _unexplained()


def in_columns(inputs: Any, data_types: Mapping[str, int]) -> Failure:
    """Return what is wrong with a value, or with an object of one for each input."""
    if not _is_named(inputs):
        if len(data_types) > 1:
            return _invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        inputs = {min(data_types): inputs}
    for name in sorted(data_types):
        if name not in inputs:
            return _invalid(f"Missing named input: {name} in 'inputs' object.")
        try:
            _check(inputs[name], data_types[name])
        except Failure as failure:
            return failure
    return _unexplained()


def _is_named(value: Any) -> bool:
    return type(value) is dict and not is_base64(value)


def _in_row(
    row: Mapping[str, Any], data_types: Mapping[str, int], seen: dict[str, tuple[int, _Shape]]
) -> tuple[str, Failure] | None:
    for name, value in row.items():
        if name not in data_types:
            return name, _invalid(f"JSON object: does not have named input: {name}")
        try:
            size, shape = _check(value, data_types[name])
        except Failure as failure:
            return name, failure
        first_size, first_shape = seen.setdefault(name, (size, shape))
        if size != first_size:
            return name, _invalid(f"Expecting tensor size: {first_size} but got: {size}")
        if shape != first_shape:
            return name, _invalid(
                f"Expecting shape {_written(first_shape)} but got: {_written(shape)}"
            )
    return None


def _check(value: Any, data_type: int) -> tuple[int, _Shape]:
    """Return how many values a tensor has, and its shape, or raise Failure."""
    shape: list[int] = []
    first = value
    while type(first) is list and len(shape) <= MOST_DIMENSIONS:
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > MOST_DIMENSIONS:
        raise _invalid(f"A tensor here has {MOST_DIMENSIONS} dimensions at most.")
    return _count(value, 0, tuple(shape), data_type), tuple(shape)


def _count(value: Any, level: int, shape: _Shape, data_type: int) -> int:
    if type(value) is not list:
        if level != len(shape):
            raise _invalid(
                f"JSON Value: {dump(value)} found at incorrect level: {level + 1} "
                f"in the JSON DOM. Expected at level: {len(shape)}"
            )
        _check_leaf(value, data_type)
        return 1
    if level >= len(shape):
        raise _invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise _invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    return sum(_count(each, level + 1, shape, data_type) for each in value)


def _check_leaf(value: Any, data_type: int) -> None:
    name = types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()
    if type(value) is dict and data_type == types_pb2.DT_STRING:
        if not is_base64(value):
            raise _invalid(f"JSON Value: {dump(value)} not formatted correctly for base64 data")
        decode_base64(value)
    elif type(value) is not dict and data_type not in CONVERTIBLE:
        text = f"Conversion of JSON Value: {dump(value)} to type: {name}"
        raise Failure("UNIMPLEMENTED", text)
    elif to_array([value], data_type) is None:
        raise _invalid(
            f"JSON Value: {dump(value)} Type: {type_name(value)} is not of expected type: {name}"
        )


def _written(shape: Iterable[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def _unexplained() -> Failure:
    return Failure("INTERNAL", "These values cannot be made tensors.")


def _invalid(text: str) -> Failure:
    return Failure("INVALID_ARGUMENT", text)
