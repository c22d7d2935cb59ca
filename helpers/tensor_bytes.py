"""Tensors as bytes: the entries of PredictRequests and PredictResponses, around NumPy's memory.

What protobuf's classes do well, all the small fields, is left to them. Only the payload, the
one field that can be large, goes past them: it is copied once or not at all.

See protobuf.dev/programming-guides/encoding.
"""

import functools
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from helpers.errors import TooLarge
from helpers.language import _
from helpers.serving_api import tensor_pb2, types_pb2
from helpers.tensors import to_data_type, to_dtype, typed_field, varint

# A tag is the field's number, shifted by three bits, and how its value is written.
VARINT: Final = 0
LEN: Final = 2  # a length follows, then so many bytes
KEY = 1 << 3 | LEN  # of a map's entry
VALUE = 2 << 3 | LEN
INPUTS = 2 << 3 | LEN  # of a PredictRequest
OUTPUTS = 1 << 3 | LEN  # of a PredictResponse
CONTENT = 4 << 3 | LEN  # of a TensorProto
FLOATS = 5 << 3 | LEN
DOUBLES = 6 << 3 | LEN
# Its fields that hold the values just as NumPy's memory does, and of which type.
_PAYLOADS = {CONTENT: None, FLOATS: types_pb2.DT_FLOAT, DOUBLES: types_pb2.DT_DOUBLE}
# Its fields that hold a varint for each value.
_VARINTS = {7 << 3 | LEN: "int_val", 10 << 3 | LEN: "int64_val", 11 << 3 | LEN: "bool_val"}
_SMALL_FIELDS = {1 << 3 | VARINT, 2 << 3 | LEN, 3 << 3 | VARINT}  # dtype, shape, version number
_LARGEST_MESSAGE = 2**31 - 1  # protobuf's own limit, bytes
_MOST_FIELDS = 4096  # of one message; what has more is read by protobuf's classes
_MOST_OF_TENSOR = 8  # fields; texts are one each
_SAMPLE = 100  # bytes of varints that tell what the others are like
_SMALL = 1000  # bytes of a tensor that are not its payload
_KEPT = 4096  # descriptions of tensors: a model may have hundreds, and each call asks for all


class Unusual(Exception):
    """Raised for bytes that protobuf's own classes are to read; it may refuse them, too."""


@functools.lru_cache(_KEPT)
def tensor_header(
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    entry: int = INPUTS,
    field: int = CONTENT,
) -> tuple[bytes, np.dtype]:
    """Return the bytes of a map's entry up to where an array's own begin, and the dtype of those.

    Parameters
    ----------
    name : str
        Of the input or output.
    dtype : numpy dtype
    shape : tuple of int
    entry : int
        The tag of the map, `INPUTS` or `OUTPUTS`.
    field : int
        The tag of the field that the values are in.
    """
    proto = tensor_pb2.TensorProto(dtype=to_data_type(dtype))
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    after = math.prod(shape) * dtype.itemsize
    if after > _LARGEST_MESSAGE:
        raise TooLarge(
            _(
                "Tensor {name!r} has {size:,} bytes; a message holds {most:,}.",
                name=name,
                size=after,
                most=_LARGEST_MESSAGE,
            )
        )
    header = proto.SerializeToString()
    if after:
        header += varint(field) + varint(after)
    header = varint(VALUE) + varint(len(header) + after) + header
    key = name.encode()
    header = varint(KEY) + varint(len(key)) + key + header
    return varint(entry) + varint(len(header) + after) + header, dtype.newbyteorder("<")


def tensor_view(data: bytes, at: int, end: int) -> tuple[int, NDArray]:
    """Take the payload out of a TensorProto; what is left says how to see it.

    Returns TensorFlow's number of its type, and the array.

    Small whole numbers do not lie there as in NumPy's memory, but are converted all at once.
    """
    tag, begin, start, stop = _payload(data, at, end)
    data_type, dtype, shape = _description(data[at:begin] + data[stop:end])
    if tag in _VARINTS:
        if dtype.kind not in "iub" or typed_field(dtype) != _VARINTS[tag]:
            raise Unusual
        numbers = _short_varints(np.ndarray(stop - start, np.uint8, data, start))
        if numbers.size != math.prod(shape):
            raise Unusual
        return data_type, numbers.astype(dtype).reshape(shape)
    if math.prod(shape) * dtype.itemsize != stop - start:
        raise Unusual
    if _PAYLOADS[tag] not in (None, data_type):
        raise Unusual
    view = np.ndarray(shape, dtype, data, start)
    if dtype.kind == "b" and view.view(np.uint8).max() > 1:
        raise Unusual  # NumPy's own have 0 and 1 only
    return data_type, view


def _payload(data: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Return the one field of a TensorProto that has its values, as `fields` does."""
    payload = None
    for field in fields(data, at, end, _MOST_OF_TENSOR):
        if (field[0] in _PAYLOADS or field[0] in _VARINTS) and payload is None:
            payload = field
        elif field[0] not in _SMALL_FIELDS:
            raise Unusual
    if payload is None:
        raise Unusual
    _number, begin, start, stop = payload
    if start == stop or begin - at + end - stop > _SMALL:
        raise Unusual
    return payload


def _short_varints(data: NDArray[np.uint8]) -> NDArray:
    """Read varints of one byte or two; protobuf's classes are quicker with longer ones."""
    if _has_longer(data[:_SAMPLE] > 0x7F):
        raise Unusual
    if data.max() < 0x80:
        return data
    more = data > 0x7F
    if more[-1] or _has_longer(more):
        raise Unusual
    numbers = (data & 0x7F).astype(np.uint16)
    numbers[:-1] |= (numbers[1:] << 7) * more[:-1]
    begins = np.ones(len(data), bool)
    begins[1:] = ~more[:-1]
    return numbers[np.flatnonzero(begins)]  # four times as fast as by the booleans


def _has_longer(more: NDArray[np.bool_]) -> bool:
    return bool((more[1:] & more[:-1]).any())


@functools.lru_cache(_KEPT)
def _description(rest: bytes) -> tuple[int, np.dtype, tuple[int, ...]]:
    """Read dtype and shape; answers of one model mostly have the same."""
    proto = tensor_pb2.TensorProto.FromString(rest)
    dtype = to_dtype(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if dtype.kind == "O" or proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise Unusual
    return proto.dtype, dtype.newbyteorder("<"), shape


def fields(
    data: bytes, at: int, end: int, most: int = _MOST_FIELDS
) -> list[tuple[int, int, int, int]]:
    """Return each field's tag, where it begins, and where its content begins and ends.

    Right for tags of one byte that say VARINT or LEN; whoever asks looks for these only.
    """
    fields: list[tuple[int, int, int, int]] = []
    while at < end - 1 and len(fields) < most:
        begin = at
        tag = data[at]
        size = data[at + 1]
        start = at + 2
        shift = 7
        while size >> shift:  # a byte's highest bit says that another one follows
            if start == end or shift > 28:
                raise Unusual
            size += (data[start] - 1) << shift  # 1: that bit, which the byte before left in size
            start += 1
            shift += 7
        at = start + size if tag & 7 == LEN else start
        fields.append((tag, begin, start, at))
    if at != end:
        raise Unusual
    return fields
