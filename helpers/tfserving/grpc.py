"""TensorFlow Serving's gRPC: requests to messages, and answers back to arrays."""

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from numpy.typing import ArrayLike, NDArray

from helpers import channels, serving_api, transport
from helpers.endpoints import Endpoint
from helpers.errors import ServiceFailed
from helpers.tfserving import codec
from helpers.tfserving.signatures import Signatures, from_signature_defs

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_predicts: "weakref.WeakKeyDictionary[grpc.Channel, Any]" = weakref.WeakKeyDictionary()
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
    request = encode(endpoint, inputs, signature_name)
    method, left = predict_method(endpoint), ends - time.monotonic()
    return decode(endpoint, transport.unary(endpoint, method, request, left))


def encode(endpoint: Endpoint, inputs: Mapping[str, ArrayLike], signature_name: str) -> bytes:
    """Write the request."""
    return codec.encode_predict(
        endpoint.model,
        inputs,
        signature_name=signature_name,
        version=endpoint.version,
        version_label=endpoint.version_label,
    )


def predict_method(endpoint: Endpoint) -> Any:
    """Return the method Predict of the shared channel, which takes and gives bytes."""
    channel = channels.channel(endpoint)
    known = _predicts.get(channel)
    if known is None:
        known = _predicts[channel] = channel.unary_unary(PREDICT)
    return known


def decode(endpoint: Endpoint, answer: bytes) -> tuple[int, dict[str, NDArray]]:
    """Read the answer: the version, and the outputs."""
    try:
        return codec.decode_answer(answer)
    except ServiceFailed as error:  # with what gRPC says when a stub cannot read an answer
        error.service, error.endpoint, error.code = endpoint.service, endpoint.grpc, "INTERNAL"
        raise


def infer(
    endpoint: Endpoint,
    method: str,
    examples: Sequence[Mapping[str, list]],
    context: Mapping[str, list],
    signature_name: str,
    ends: float,
) -> list:
    """Classify or regress; returns pairs of label and score for each example, or values."""
    kinds = {
        "classify": ("Classify", serving_api.classification_pb2.ClassificationRequest),
        "regress": ("Regress", serving_api.regression_pb2.RegressionRequest),
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
    request = serving_api.get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=_model_spec(endpoint), metadata_field=["signature_def"]
    )
    response = _call(endpoint, "GetModelMetadata", request, ends)
    unpacked = serving_api.get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(unpacked)
    version = response.model_spec.version.value
    return from_signature_defs(endpoint.model, version, unpacked.signature_def)


def status(endpoint: Endpoint, ends: float) -> Any:
    """Ask for the states; returns a GetModelStatusResponse."""
    request = serving_api.get_model_status_pb2.GetModelStatusRequest(
        model_spec=_model_spec(endpoint)
    )
    return _call(endpoint, "GetModelStatus", request, ends)


def _call(endpoint: Endpoint, method: str, request: Any, ends: float) -> Any:
    channel = channels.channel(endpoint)
    if method == "GetModelStatus":
        stub = serving_api.model_service_pb2_grpc.ModelServiceStub(channel)
    else:
        stub = _stubs.get(channel)
        if stub is None:
            stub = _stubs[channel] = serving_api.prediction_service_pb2_grpc.PredictionServiceStub(
                channel
            )
    return transport.unary(endpoint, getattr(stub, method), request, ends - time.monotonic())


def _model_spec(endpoint: Endpoint, signature_name: str = "") -> Any:
    which = endpoint.version, endpoint.version_label
    return codec.model_spec(endpoint.model, signature_name, *which)


def _fill(example: Any, features: Mapping[str, list]) -> None:
    kinds = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
    for name, values in features.items():
        feature = example.features.feature[name]
        if values:
            getattr(feature, kinds[type(values[0])]).value.extend(values)
