"""PredictRequests read and PredictResponses written around NumPy's memory, as the client does it.

Protobuf's classes would copy a large tensor three times on its way in, and five times on its way
out. They still read and write all that is not large, and nothing here is checked.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grpc
import numpy as np
from numpy.typing import NDArray

from helpers import tensor_bytes
from helpers.errors import BadInput
from helpers.serving_api import predict_pb2
from practice.tfserving import tensorproto

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_LARGE = 64 * 1024  # bytes; to read less, protobuf's classes are as quick
_FLOATS = {np.dtype(np.float32): tensor_bytes.FLOATS, np.dtype(np.float64): tensor_bytes.DOUBLES}


class PredictRequest(NamedTuple):
    """A PredictRequest; its large tensors have no values there, but are arrays beside it.

    The arrays are read-only views of the bytes that came.
    """

    message: Any
    arrays: Mapping[str, NDArray]

    @property
    def model_spec(self) -> Any:
        """The message's own."""
        return self.message.model_spec


class Predicting(grpc.ServerInterceptor):
    """Lets Predict read and write its messages itself.

    Parameters
    ----------
    predict : callable
        Takes a PredictRequest of this module and the call's context; returns bytes.
    """

    def __init__(self, predict: Callable) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(predict, read)

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        if handler_call_details.method == PREDICT:
            return self._handler
        return continuation(handler_call_details)


def read(data: bytes) -> PredictRequest:
    """Read a request.

    Raises
    ------
    DecodeError
        For what is none.
    """
    if len(data) > _LARGE:
        try:
            return _read_large(data)
        except (tensor_bytes.Unusual, BadInput, ValueError):  # ValueError: a name that is no text
            pass
    return PredictRequest(predict_pb2.PredictRequest.FromString(data), {})


def write(
    name: str,
    version: int,
    signature_name: str,
    outputs: Mapping[str, NDArray],
    *,
    as_content: bool,
) -> bytes:
    """Write a response, by typed fields, the product's default, or by `tensor_content`."""
    parts: list[Any] = []
    for alias, array in outputs.items():
        field = tensor_bytes.CONTENT if as_content else _FLOATS.get(array.dtype)
        if field is None or array.dtype.kind == "O" or not array.ndim:
            alone = predict_pb2.PredictResponse()
            tensorproto.fill(alone.outputs[alias], array, as_content=as_content)
            parts.append(alone.SerializeToString())  # messages joined are messages merged
        else:
            header, dtype = tensor_bytes.tensor_header(
                alias, array.dtype, array.shape, tensor_bytes.OUTPUTS, field
            )
            parts += header, array.astype(dtype, "C", copy=False)
    parts.append(_model_spec(name, version, signature_name))  # behind `outputs`, as its number says
    return b"".join(parts)


@functools.lru_cache
def _model_spec(name: str, version: int, signature_name: str) -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = name
    response.model_spec.version.value = version
    response.model_spec.signature_name = signature_name
    return response.SerializeToString()


def _read_large(data: bytes) -> PredictRequest:
    rest = []
    data_types: dict[str, int] = {}
    arrays: dict[str, NDArray] = {}
    for tag, begin, start, end in tensor_bytes.fields(data, 0, len(data)):
        if tag & 7 != tensor_bytes.LEN or tag > 0x7F:
            raise tensor_bytes.Unusual
        if tag != tensor_bytes.INPUTS or end - start <= _LARGE:
            rest.append(data[begin:end])
            continue
        entry = tensor_bytes.fields(data, start, end)
        if [field[0] for field in entry] != [tensor_bytes.KEY, tensor_bytes.VALUE]:
            raise tensor_bytes.Unusual
        (_, _, key, key_end), (_, _, value, value_end) = entry
        name = data[key:key_end].decode()
        if name in arrays:
            raise tensor_bytes.Unusual
        data_types[name], arrays[name] = tensor_bytes.tensor_view(data, value, value_end)
    message = predict_pb2.PredictRequest.FromString(b"".join(rest))
    for name, data_type in data_types.items():
        if name in message.inputs:
            raise tensor_bytes.Unusual
        message.inputs[name].dtype = data_type
    return PredictRequest(message, arrays)
