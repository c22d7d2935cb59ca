"""Answers as TensorProtos, in the two forms that the product has; and what requests claim."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.serving_api import tensor_pb2
from helpers.tensors import as_bytes, to_data_type, to_dtype, to_tensor_proto, typed_field, varint
from practice.tfserving.failures import invalid

_MOST_REPEATED = 8 * 1024 * 1024  # bytes of a request's tensors that did not come themselves
# Of the fields that hold floating-point numbers, in tensor.proto.
_NUMBERS = {"float_val": 5, "double_val": 6, "scomplex_val": 9, "dcomplex_val": 12}


def check_claims(inputs: Mapping[str, Any], complete: Collection[str] = ()) -> None:
    """Refuse tensors that are far larger than the values that came for them.

    A typed field may hold one value for all of a shape; so 40 bytes can stand for gigabytes.

    Parameters
    ----------
    inputs : mapping of str to TensorProto
    complete : collection of str
        Those that are known to have all their values.

    Raises
    ------
    Failure
        INVALID_ARGUMENT, as for any tensor that cannot be unpacked.
    """
    repeated = 0
    for alias in sorted(inputs):
        proto = inputs[alias]
        if alias in complete or proto.tensor_content:
            continue
        try:
            dtype = to_dtype(proto.dtype)
        except BadInput:
            continue  # whoever unpacks it says what is wrong
        values = getattr(proto, typed_field(dtype))
        sizes = [max(dim.size, 0) for dim in proto.tensor_shape.dim]
        size = len(values[-1]) if dtype.kind == "O" and values else 0
        repeated += max(math.prod(sizes) - len(values), 0) * (dtype.itemsize + size)
        if repeated > _MOST_REPEATED:
            raise invalid(f"tensor parsing error: {alias}")


def fill(proto: Any, array: NDArray, *, as_content: bool = False) -> None:
    """Fill a TensorProto by typed fields, the product's default, or by `tensor_content`."""
    if not as_content:
        _fill_typed(proto, array)
    elif array.dtype.kind == "O":
        _fill_head(proto, array)
        texts = [as_bytes(text) for text in array.ravel().tolist()]
        proto.tensor_content = b"".join([*(varint(len(text)) for text in texts), *texts])
    else:
        proto.CopyFrom(to_tensor_proto(array))


def _fill_head(proto: Any, array: NDArray) -> None:
    proto.dtype = to_data_type(array.dtype)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)


def _fill_typed(proto: Any, array: NDArray) -> None:
    _fill_head(proto, array)
    values = np.ascontiguousarray(array).reshape(-1)
    field = typed_field(array.dtype)
    if field == "float8_val":
        proto.float8_val = values.tobytes()
        return
    if field == "half_val":
        values = values.view(np.uint16)
    elif values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    if values.dtype.kind == "f" and values.size:
        # `extend` would make a Python object of each number first. A packed field is written as
        # bytes are: tag, length, content.
        data = values.astype(f"<f{values.itemsize}", copy=False).tobytes()
        content = tensor_pb2.TensorProto(tensor_content=data)
        tag = _NUMBERS[field] << 3 | 2  # 2 means: a length follows
        proto.MergeFromString(bytes([tag]) + content.SerializeToString()[1:])
    else:
        getattr(proto, field).extend(values.tolist())
