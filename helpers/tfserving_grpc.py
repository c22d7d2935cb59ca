"""TensorFlow Serving's gRPC: requests to messages, and answers back to arrays."""

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from numpy.typing import ArrayLike, NDArray

from helpers import channels, transport
from helpers.endpoints import Endpoint
from helpers.serving_api import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from helpers.signatures import Signatures, from_signature_defs
from helpers.tensors import to_ndarray, to_tensor_proto

_stubs: "weakref.WeakKeyDictionary[grpc.Channel, Any]" = weakref.WeakKeyDictionary()
connection = channels.channel  # what is kept for one of these is forgotten with it


def predict(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    signature_name: str,
    signatures: Signatures | None,
    ends: float,
) -> tuple[int, dict[str, NDArray]]:
    """Return the version that answered, and the outputs."""
    request = predict_pb2.PredictRequest(model_spec=_model_spec(endpoint, signature_name))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value))
    response = _call(endpoint, "Predict", request, ends)
    outputs = {name: to_ndarray(proto) for name, proto in response.outputs.items()}
    return response.model_spec.version.value, outputs


def infer(
    endpoint: Endpoint,
    method: str,
    examples: Sequence[Mapping[str, list]],
    context: Mapping[str, list],
    signature_name: str,
    ends: float,
) -> list:
    """Classify or regress; returns pairs of label and score for each example, or values."""
    from helpers.serving_api import classification_pb2, regression_pb2  # only here: most predict

    kinds = {
        "classify": ("Classify", classification_pb2.ClassificationRequest),
        "regress": ("Regress", regression_pb2.RegressionRequest),
    }
    name, kind = kinds[method]
    request = kind(model_spec=_model_spec(endpoint, signature_name))
    if context:
        target = request.input.example_list_with_context
        _fill(target.context, context)
    else:
        target = request.input.example_list
    for example in examples:
        _fill(target.examples.add(), example)
    result = _call(endpoint, name, request, ends).result
    if method == "regress":
        return [each.value for each in result.regressions]
    return [[(one.label, one.score) for one in each.classes] for each in result.classifications]


def signatures(endpoint: Endpoint, ends: float) -> Signatures:
    """Ask what a model takes and gives."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=_model_spec(endpoint), metadata_field=["signature_def"]
    )
    response = _call(endpoint, "GetModelMetadata", request, ends)
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(unpacked)
    version = response.model_spec.version.value
    return from_signature_defs(endpoint.model, version, unpacked.signature_def)


def status(endpoint: Endpoint, ends: float) -> Any:
    """Ask for the states; returns a GetModelStatusResponse."""
    from helpers.serving_api import get_model_status_pb2  # only here: most calls ask no status

    request = get_model_status_pb2.GetModelStatusRequest(model_spec=_model_spec(endpoint))
    return _call(endpoint, "GetModelStatus", request, ends)


def _call(endpoint: Endpoint, method: str, request: Any, ends: float) -> Any:
    channel = channels.channel(endpoint)
    if method == "GetModelStatus":
        from helpers.serving_api import model_service_pb2_grpc  # a service of its own

        stub = model_service_pb2_grpc.ModelServiceStub(channel)
    else:
        stub = _stubs.get(channel)
        if stub is None:
            stub = _stubs[channel] = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return transport.unary(endpoint, getattr(stub, method), request, ends - time.monotonic())


def _model_spec(endpoint: Endpoint, signature_name: str = "") -> Any:
    spec = model_pb2.ModelSpec(name=endpoint.model, signature_name=signature_name)
    if endpoint.version is not None:
        spec.version.value = endpoint.version
    elif endpoint.version_label:
        spec.version_label = endpoint.version_label
    return spec


def _fill(example: Any, features: Mapping[str, list]) -> None:
    kinds = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
    for name, values in features.items():
        feature = example.features.feature[name]
        if values:
            getattr(feature, kinds[type(values[0])]).value.extend(values)
