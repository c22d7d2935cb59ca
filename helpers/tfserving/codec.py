"""A predict call as bytes: PredictRequest written and PredictResponse read around NumPy's memory.

What protobuf's classes do well, all the small fields, is left to them. Only the payload, the
one field that can be large, goes past them: it is copied once or not at all. An answer that is
not laid out as expected (`_Unusual`) is read by protobuf's classes as a whole.

See protobuf.dev/programming-guides/encoding.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike, NDArray

from helpers.errors import BadInput, ServiceFailed, TooLarge
from helpers.serving_api import model_pb2, predict_pb2, tensor_pb2, types_pb2
from helpers.tensors import (
    MOST_REPEATED,
    as_array,
    fill,
    to_data_type,
    to_dtype,
    to_ndarray,
    typed_field,
    varint,
)

# A tag is the field's number, shifted by three bits, and how its value is written.
VARINT: Final = 0
LEN: Final = 2  # a length follows, then so many bytes
_KEY = 1 << 3 | LEN  # of a map's entry
_VALUE = 2 << 3 | LEN
_INPUTS = 2 << 3 | LEN  # of a PredictRequest
_OUTPUTS = 1 << 3 | LEN  # of a PredictResponse
_MODEL_SPEC = 2 << 3 | LEN
_CONTENT = 4 << 3 | LEN  # of a TensorProto
# Its fields that hold the values just as NumPy's memory does, and of which type.
_PAYLOADS = {_CONTENT: None, 5 << 3 | LEN: types_pb2.DT_FLOAT, 6 << 3 | LEN: types_pb2.DT_DOUBLE}
# Its fields that hold a varint for each value.
_VARINTS = {7 << 3 | LEN: "int_val", 10 << 3 | LEN: "int64_val", 11 << 3 | LEN: "bool_val"}
_SMALL_FIELDS = {1 << 3 | VARINT, 2 << 3 | LEN, 3 << 3 | VARINT}  # dtype, shape, version number
_LARGEST_MESSAGE = 2**31 - 1  # protobuf's own limit, bytes
_MOST_FIELDS = 4096  # of one message; what has more is read by protobuf's classes
_SMALL = 1000  # bytes of a tensor that are not its payload, or of a ModelSpec
_KEPT = 4096  # descriptions of tensors: a model may have hundreds, and each call asks for all


def encode_predict(
    model: str,
    inputs: Mapping[str, ArrayLike],
    *,
    signature_name: str = "",
    version: int | None = None,
    version_label: str = "",
) -> bytes:
    """Write a PredictRequest.

    Parameters
    ----------
    model : str
    inputs : mapping of str to array-like
        By the signature's names.
    signature_name : str, optional
        The service's default is `serving_default`.
    version : int, optional
        The service's default is the newest.
    version_label : str, optional
        In place of a version.

    Returns
    -------
    bytes
        What protobuf makes of the same message; several inputs keep their order.

    Raises
    ------
    BadInput
        For what `tensors.to_tensor_proto` refuses.
    TooLarge
        For a tensor of 2 GiB, which no protobuf message can hold.

    Examples
    --------
    >>> encode_predict("m", {"x": np.zeros(2, "float32")}).hex(" ", -4)
    '0a030a01 6d12170a 01781212 08011204 12020802 22080000 00000000 0000'
    """
    parts: list[Any] = [_head(model, signature_name, version, version_label)]
    for name, value in inputs.items():
        array = as_array(value)
        if array.dtype.kind in "OSU":
            alone = predict_pb2.PredictRequest()
            fill(alone.inputs[name], array)
            parts.append(alone.SerializeToString())  # messages joined are messages merged
        else:
            header, dtype = _header(name, array.dtype, array.shape)
            parts += header, array.astype(dtype, "C", copy=False)
    return b"".join(parts)


def decode_predict(data: bytes, copy: bool = True) -> dict[str, NDArray]:
    """Read the outputs of a PredictResponse.

    Parameters
    ----------
    data : bytes
        As they came.
    copy : bool
        Whether the arrays get memory of their own. Otherwise they are read-only, and numbers
        that came as `tensor_content`, `float_val` or `double_val` are views into `data`.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ServiceFailed
        When the bytes are no PredictResponse, or one that contradicts itself: whatever is
        wrong with an answer, it is not the caller's input.

    Examples
    --------
    >>> from helpers.tensors import to_tensor_proto
    >>> response = predict_pb2.PredictResponse(outputs={"y": to_tensor_proto([1.5, 2.5])})
    >>> decode_predict(response.SerializeToString())
    {'y': array([1.5, 2.5])}
    """
    return decode_answer(data, copy)[1]


def decode_answer(data: bytes, copy: bool = True) -> tuple[int | None, dict[str, NDArray]]:
    """Return the version that answered, and the outputs as `decode_predict` does."""
    try:
        try:
            return _answer(data, copy)
        except _Unusual:
            response = predict_pb2.PredictResponse.FromString(data)
            unpacker = _Unpacker(copy)
            outputs = {
                name: unpacker.array(proto, proto.ByteSize())
                for name, proto in response.outputs.items()
            }
            return response.model_spec.version.value or None, outputs
    except (DecodeError, BadInput, ValueError) as error:  # ValueError: a name that is no text
        raise ServiceFailed(f"The service's answer cannot be read: {error}") from error


def model_spec(model: str, signature_name: str, version: int | None, version_label: str) -> Any:
    """Return a ModelSpec; a version goes before a label."""
    spec = model_pb2.ModelSpec(name=model, signature_name=signature_name)
    if version is not None:
        spec.version.value = version
    elif version_label:
        spec.version_label = version_label
    return spec


@functools.lru_cache
def _head(model: str, signature_name: str, version: int | None, version_label: str) -> bytes:
    spec = model_spec(model, signature_name, version, version_label)
    return predict_pb2.PredictRequest(model_spec=spec).SerializeToString()


@functools.lru_cache(_KEPT)
def _header(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[bytes, np.dtype]:
    """Return an input's bytes up to where the array's own begin, and the dtype of those."""
    proto = tensor_pb2.TensorProto(dtype=to_data_type(dtype))
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    after = math.prod(shape) * dtype.itemsize
    if after > _LARGEST_MESSAGE:
        raise TooLarge(f"Input {name!r} has {after:,} bytes; a message holds {_LARGEST_MESSAGE:,}.")
    header = proto.SerializeToString()
    if after:
        header += varint(_CONTENT) + varint(after)
    header = varint(_VALUE) + varint(len(header) + after) + header
    key = name.encode()
    header = varint(_KEY) + varint(len(key)) + key + header
    return varint(_INPUTS) + varint(len(header) + after) + header, dtype.newbyteorder("<")


class _Unusual(Exception):
    """Raised for bytes that protobuf's own classes are to read; it may refuse them, too."""


def _answer(data: bytes, copy: bool) -> tuple[int | None, dict[str, NDArray]]:
    version = 0
    tensors = {}
    for tag, _, start, end in _fields(data, 0, len(data)):
        if tag == _OUTPUTS:
            entry = _fields(data, start, end)
            if [field[0] for field in entry] != [_KEY, _VALUE]:
                raise _Unusual
            (_, _, key, key_end), (_, _, value, value_end) = entry
            name = data[key:key_end]
            if name in tensors:
                raise _Unusual
            tensors[name] = value, value_end
        elif tag == _MODEL_SPEC and not version and end - start < _SMALL:
            version = _version(data[start:end])
        else:
            raise _Unusual
    unpacker = _Unpacker(copy)
    return version or None, {
        name.decode(): _array(data, start, end, unpacker) for name, (start, end) in tensors.items()
    }


def _array(data: bytes, at: int, end: int, unpacker: "_Unpacker") -> NDArray:
    try:
        array = _view(data, at, end)
    except _Unusual:
        return unpacker.array(tensor_pb2.TensorProto.FromString(data[at:end]), end - at)
    if unpacker.copy:
        return array if array.flags.writeable else array.copy()
    array.flags.writeable = False
    return array


def _view(data: bytes, at: int, end: int) -> NDArray:
    """Take the payload out of a TensorProto; what is left says how to see it.

    Small whole numbers do not lie there as in NumPy's memory, but are converted all at once.
    """
    payload = None
    for field in _fields(data, at, end):
        if (field[0] in _PAYLOADS or field[0] in _VARINTS) and payload is None:
            payload = field
        elif field[0] not in _SMALL_FIELDS:
            raise _Unusual
    if payload is None:
        raise _Unusual
    tag, begin, start, stop = payload
    if start == stop or begin - at + end - stop > _SMALL:
        raise _Unusual
    data_type, dtype, shape = _description(data[at:begin] + data[stop:end])
    if tag in _VARINTS:
        if dtype.kind not in "iub" or typed_field(dtype) != _VARINTS[tag]:
            raise _Unusual
        numbers = _short_varints(np.ndarray(stop - start, np.uint8, data, start))
        if numbers.size != math.prod(shape):
            raise _Unusual
        return numbers.astype(dtype).reshape(shape)
    if math.prod(shape) * dtype.itemsize != stop - start:
        raise _Unusual
    if _PAYLOADS[tag] not in (None, data_type):
        raise _Unusual
    view = np.ndarray(shape, dtype, data, start)
    if dtype.kind == "b" and view.view(np.uint8).max() > 1:
        raise _Unusual  # NumPy's own have 0 and 1 only
    return view


def _short_varints(data: NDArray[np.uint8]) -> NDArray:
    """Read varints of one byte or two; protobuf's classes are as quick with longer ones."""
    if data.max() < 0x80:
        return data
    more = data > 0x7F
    if more[-1] or (more[1:] & more[:-1]).any():
        raise _Unusual
    numbers = (data & 0x7F).astype(np.uint16)
    numbers[:-1] |= (numbers[1:] << 7) * more[:-1]
    begins = np.ones(len(data), bool)
    begins[1:] = ~more[:-1]
    return numbers[np.flatnonzero(begins)]  # four times as fast as by the booleans


@functools.lru_cache(_KEPT)
def _description(rest: bytes) -> tuple[int, np.dtype, tuple[int, ...]]:
    """Read dtype and shape; answers of one model mostly have the same."""
    proto = tensor_pb2.TensorProto.FromString(rest)
    dtype = to_dtype(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if dtype.kind == "O" or proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise _Unusual
    return proto.dtype, dtype.newbyteorder("<"), shape


@functools.lru_cache
def _version(spec: bytes) -> int:
    return model_pb2.ModelSpec.FromString(spec).version.value


class _Unpacker:
    """Makes arrays of the tensors of one answer, which have one limit on repeated values."""

    def __init__(self, copy: bool) -> None:
        self.copy = copy
        self._room = MOST_REPEATED

    def array(self, proto: Any, size: int) -> NDArray:
        """Make an array of a tensor that came as so many bytes."""
        array = to_ndarray(proto, self._room)
        self._room -= max(0, array.nbytes - size)
        array.flags.writeable = self.copy
        return array


def _fields(data: bytes, at: int, end: int) -> list[tuple[int, int, int, int]]:
    """Return each field's tag, where it begins, and where its content begins and ends.

    Right for tags of one byte that say VARINT or LEN; whoever asks looks for these only.
    """
    fields: list[tuple[int, int, int, int]] = []
    while at < end - 1 and len(fields) < _MOST_FIELDS:
        begin = at
        tag = data[at]
        size = data[at + 1]
        start = at + 2
        shift = 7
        while size >> shift:  # a byte's highest bit says that another one follows
            if start == end or shift > 28:
                raise _Unusual
            size += (data[start] - 1) << shift  # 1: that bit, which the byte before left in size
            start += 1
            shift += 7
        at = start + size if tag & 7 == LEN else start
        fields.append((tag, begin, start, at))
    if at != end:
        raise _Unusual
    return fields
