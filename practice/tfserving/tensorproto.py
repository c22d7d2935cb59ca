"""Answers as TensorProtos, in the two forms that the product has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.serving_api import tensor_pb2
from helpers.tensors import to_data_type, to_tensor_proto, typed_field

# Of the fields that hold floating-point numbers, in tensor.proto.
_NUMBERS = {"float_val": 5, "double_val": 6, "scomplex_val": 9, "dcomplex_val": 12}


def fill(proto: Any, array: NDArray, *, as_content: bool = False) -> None:
    """Fill a TensorProto by typed fields, the product's default, or by `tensor_content`."""
    if as_content:
        proto.CopyFrom(to_tensor_proto(array))
    else:
        _fill_typed(proto, array)


def _fill_typed(proto: Any, array: NDArray) -> None:
    proto.dtype = to_data_type(array.dtype)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
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
