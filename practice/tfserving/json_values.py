"""Single JSON values and lists of them made into arrays of one of TensorFlow's types."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.serving_api import types_pb2
from helpers.tensors import to_dtype
from practice.tfserving.failures import Failure

_FLOATS = (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
# What carries whole numbers. Small ones travel as int32 and are cut without a look at their range.
_CARRIERS = {
    types_pb2.DT_INT8: np.int32,
    types_pb2.DT_UINT8: np.int32,
    types_pb2.DT_INT16: np.int32,
    types_pb2.DT_INT32: np.int32,
    types_pb2.DT_UINT32: np.uint32,
    types_pb2.DT_INT64: np.int64,
    types_pb2.DT_UINT64: np.uint64,
}
CONVERTIBLE = {*_FLOATS, *_CARRIERS, types_pb2.DT_BOOL, types_pb2.DT_STRING}


def is_base64(value: Any) -> bool:
    """Tell whether a value is bytes, as `{"b64": "..."}`."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def decode_base64(value: Mapping[str, str]) -> bytes:
    """Return the bytes of `{"b64": "..."}`: white space does not count, padding may be left out.

    Examples
    --------
    >>> decode_base64({"b64": "aGVs bG8"})
    b'hello'
    """
    text = "".join(value["b64"].split())
    bare = text.rstrip("=.")
    missing, given = -len(bare) % 4, len(text) - len(bare)
    try:
        if given not in (0, missing):
            raise ValueError
        return base64.b64decode(bare + "=" * missing, validate=True)
    except ValueError as error:
        raise Failure("INVALID_ARGUMENT", "Unable to base64 decode") from error


def to_array(flat: list[Any], data_type: int, *, numbers: bool = False) -> NDArray | None:
    """Make an array of JSON values that all fit a type; None when one does not.

    Parameters
    ----------
    flat : list
    data_type : int
        TensorFlow's number.
    numbers : bool
        Whether it is known that they are numbers: floats then need no look at each.
    """
    kinds = {float} if numbers and data_type in _FLOATS else set(map(type, flat))
    if data_type in _FLOATS and kinds <= {int, float}:
        with np.errstate(over="ignore"):  # as C does, a float32 that is too large is infinite
            return np.array(flat, to_dtype(data_type))
    if data_type in _CARRIERS and kinds <= {int}:
        try:
            return np.array(flat, _CARRIERS[data_type]).astype(to_dtype(data_type))
        except OverflowError:
            return None
    if data_type == types_pb2.DT_BOOL and kinds <= {bool}:
        return np.array(flat, bool)
    if data_type == types_pb2.DT_STRING and kinds <= {str, dict}:
        return _strings(flat)
    if not flat:
        return _nothing(data_type)
    return None


def _strings(flat: list[Any]) -> NDArray | None:
    if not all(type(each) is str or is_base64(each) for each in flat):
        return None
    array = np.empty(len(flat), object)
    array[:] = [each.encode() if type(each) is str else decode_base64(each) for each in flat]
    return array


def _nothing(data_type: int) -> NDArray:
    try:
        return np.empty(0, to_dtype(data_type))
    except BadInput as error:
        raise Failure("INVALID_ARGUMENT", str(error)) from error
