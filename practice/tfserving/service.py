"""The gRPC services: what a client of TensorFlow Serving sees on the wire."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.serving_api import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    types_pb2,
)
from helpers.tensors import to_data_type, to_ndarray, typed_field
from practice.tfserving.failures import Failure
from practice.tfserving.models import Models

log = logging.getLogger("practice.tfserving")

DEFAULT_SIGNATURE = "serving_default"
_MAX_STATUS_TEXT = 1024  # bytes; the product cuts longer texts


def _answers_failures(method: Callable) -> Callable:
    """Turn a Failure into the call's status; anything unforeseen is INTERNAL and logged."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if not request.HasField("model_spec"):
                raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
            return method(self, request, context)
        except Failure as failure:
            code, text = failure.code, failure.text
        except Exception as error:
            log.exception("%s failed", method.__name__)
            code, text = "INTERNAL", f"{type(error).__name__}: {error}"
        return context.abort(grpc.StatusCode[code], _cut(text))

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_answers_failures
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        number, runner = self._models.find(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in runner.signatures:
            raise Failure("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        signature = runner.signatures[name]
        inputs = _inputs(request, signature)
        wanted = _wanted_outputs(request, signature)
        left = context.time_remaining()
        ends = time.monotonic() + left if left is not None else float("inf")
        outputs = runner.run(name, inputs, ends)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name
        response.model_spec.version.value = number
        for alias in wanted:
            _fill_typed(response.outputs[alias], outputs[alias])
        return response

    @_answers_failures
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.metadata_field:
            raise Failure(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise Failure("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        number, runner = self._models.find(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in runner.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_answers_failures
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in self._models.status(request.model_spec).items():
            status = response.model_version_status.add(version=number, state=version.state)
            status.status.SetInParent()
            if version.failure:
                status.status.error_code = grpc.StatusCode[version.failure.code].value[0]
                status.status.error_message = version.failure.text
        return response


def _inputs(request: Any, signature: Any) -> dict[str, NDArray]:
    sent, wanted = set(request.inputs), set(signature.inputs)
    if len(sent) != len(wanted):
        raise Failure(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_braced(sent)}) != len({_braced(wanted)}). "
            f"Sent extra: {_braced(sent - wanted)}. "
            f"Missing but required: {_braced(wanted - sent)}.",
        )
    arrays = {}
    for alias in sorted(sent):
        if alias not in wanted:
            raise Failure(
                "INVALID_ARGUMENT",
                f"input tensor alias not found in signature: {alias}. "
                f"Inputs expected to be in the set {_braced(wanted)}.",
            )
        try:
            arrays[alias] = to_ndarray(request.inputs[alias])
        except BadInput as error:
            raise Failure("INVALID_ARGUMENT", f"tensor parsing error: {alias}: {error}") from error
    for position, alias in enumerate(sorted(wanted)):
        expected, given = signature.inputs[alias].dtype, request.inputs[alias].dtype
        if expected != given:
            raise Failure(
                "INVALID_ARGUMENT",
                f"Expects arg[{position}] to be {_type_name(expected)} "
                f"but {_type_name(given)} is provided",
            )
    return arrays


def _wanted_outputs(request: Any, signature: Any) -> list[str]:
    for index, alias in enumerate(request.output_filter):
        if alias not in signature.outputs:
            raise Failure(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_braced(signature.outputs)}.",
            )
        if alias in request.output_filter[:index]:
            raise Failure("INVALID_ARGUMENT", f"duplicate output tensor alias: {alias}")
    return list(request.output_filter) or list(signature.outputs)


def _fill_typed(proto: Any, array: NDArray) -> None:
    """Fill a TensorProto by typed fields, the product's default form for answers."""
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
    if values.dtype.kind == "f":
        proto.MergeFromString(_packed(proto, field, values))
    else:
        getattr(proto, field).extend(values.tolist())


def _packed(proto: Any, field: str, values: NDArray) -> bytes:
    """Encode a repeated float or double as protobuf does: tag, length, then the numbers.

    `extend` would make a Python object of each number first.
    """
    data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    tag = proto.DESCRIPTOR.fields_by_name[field].number << 3 | 2  # 2 means: a length follows
    return _varint(tag) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _type_name(data_type: int) -> str:
    return types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()


def _braced(names: Any) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _MAX_STATUS_TEXT:
        return text
    return data[:_MAX_STATUS_TEXT].decode(errors="ignore") + "...TRUNCATED"
