"""A predict call as bytes: PredictRequest written and PredictResponse read around NumPy's memory.

An answer that is not laid out as expected (`Unusual`) is read by protobuf's classes as a whole.
"""

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import ArrayLike, NDArray

from helpers.errors import BadInput, ServiceFailed
from helpers.serving_api import model_pb2, predict_pb2, tensor_pb2
from helpers.tensor_bytes import (
    KEY,
    LEN,
    OUTPUTS,
    VALUE,
    Unusual,
    fields,
    tensor_header,
    tensor_view,
)
from helpers.tensors import MOST_REPEATED, as_array, fill, to_ndarray

_MODEL_SPEC = 2 << 3 | LEN  # of a PredictResponse
_LARGEST_SPEC = 1000  # bytes


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
    >>> import numpy as np
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
            header, dtype = tensor_header(name, array.dtype, array.shape)
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
        except Unusual:
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


def _answer(data: bytes, copy: bool) -> tuple[int | None, dict[str, NDArray]]:
    version = 0
    tensors = {}
    for tag, _, start, end in fields(data, 0, len(data)):
        if tag == OUTPUTS:
            entry = fields(data, start, end)
            if [field[0] for field in entry] != [KEY, VALUE]:
                raise Unusual
            (_, _, key, key_end), (_, _, value, value_end) = entry
            name = data[key:key_end]
            if name in tensors:
                raise Unusual
            tensors[name] = value, value_end
        elif tag == _MODEL_SPEC and not version and end - start < _LARGEST_SPEC:
            version = _version(data[start:end])
        else:
            raise Unusual
    unpacker = _Unpacker(copy)
    return version or None, {
        name.decode(): _array(data, start, end, unpacker) for name, (start, end) in tensors.items()
    }


def _array(data: bytes, at: int, end: int, unpacker: "_Unpacker") -> NDArray:
    try:
        _, array = tensor_view(data, at, end)
    except Unusual:
        return unpacker.array(tensor_pb2.TensorProto.FromString(data[at:end]), end - at)
    if unpacker.copy:
        return array if array.flags.writeable else array.copy()
    array.flags.writeable = False
    return array


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
