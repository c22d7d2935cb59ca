"""TensorFlow Serving's gRPC: requests to messages, and answers back to arrays."""

import weakref
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from helpers import channels, serving_api, transport
from helpers.endpoints import Endpoint
from helpers.errors import ServiceFailed
from helpers.language import _
from helpers.tfserving import codec
from helpers.tfserving.features import Examples, Features, fill
from helpers.tfserving.signatures import Signatures, from_signature_defs

if TYPE_CHECKING:
    from helpers.tfserving import Call, Inputs

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_predict_methods: "weakref.WeakKeyDictionary[grpc.Channel, Any]" = weakref.WeakKeyDictionary()


class Grpc:
    """The protocol gRPC: what a `Call` asks of it."""

    name = "grpc"

    def connection(self, endpoint: Endpoint) -> grpc.Channel:
        """Return the shared channel; what is kept for it is forgotten with it."""
        return channels.channel(endpoint)

    def predict(self, call: "Call", inputs: "Inputs") -> tuple[int | None, dict[str, NDArray]]:
        """Return the version that answered, and the outputs."""
        request = self.encode(call, inputs)
        method = self.predict_method(call)
        return self.decode(call, transport.unary(call.endpoint, method, request, call.remaining))

    def encode(self, call: "Call", inputs: "Inputs") -> bytes:
        """Write the request."""
        return codec.encode_predict(
            call.endpoint.model,
            inputs,
            signature_name=call.signature_name,
            version=call.endpoint.version,
            version_label=call.endpoint.version_label,
        )

    def predict_method(self, call: "Call") -> Any:
        """Return the method Predict of the shared channel, which takes and gives bytes."""
        channel = channels.channel(call.endpoint)
        method = _predict_methods.get(channel)
        if method is None:
            method = _predict_methods[channel] = channel.unary_unary(PREDICT)
        return method

    def decode(self, call: "Call", answer: bytes) -> tuple[int | None, dict[str, NDArray]]:
        """Read the answer: the version, and the outputs."""
        try:
            return codec.decode_answer(answer)
        except ServiceFailed as error:
            raise _unreadable(call, str(error)) from error

    def classify(self, call: "Call", examples: Examples, context: Features) -> list:
        """Return pairs of label and score for each example."""
        request = serving_api.classification_pb2.ClassificationRequest(
            model_spec=_spec(call, call.signature_name)
        )
        _fill_input(request.input, examples, context)
        response = _unary(call, _stub(call).Classify, request)
        return [
            [(scored.label, scored.score) for scored in row.classes]
            for row in response.result.classifications
        ]

    def regress(self, call: "Call", examples: Examples, context: Features) -> list:
        """Return a number for each example."""
        request = serving_api.regression_pb2.RegressionRequest(
            model_spec=_spec(call, call.signature_name)
        )
        _fill_input(request.input, examples, context)
        response = _unary(call, _stub(call).Regress, request)
        return [regression.value for regression in response.result.regressions]

    def signatures(self, call: "Call") -> Signatures:
        """Ask what a model takes and gives."""
        request = serving_api.get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=_spec(call), metadata_field=["signature_def"]
        )
        response = _unary(call, _stub(call).GetModelMetadata, request)
        unpacked = serving_api.get_model_metadata_pb2.SignatureDefMap()
        try:
            packed = response.metadata["signature_def"].Unpack(unpacked)
        except DecodeError as error:
            raise _unreadable(
                call, _("The signatures cannot be read: {error}", error=error)
            ) from error
        if not packed:
            raise _unreadable(call, _("The service's answer has no signatures."))
        version = response.model_spec.version.value
        return from_signature_defs(call.endpoint.model, version, unpacked.signature_def)

    def status(self, call: "Call") -> Any:
        """Ask for the states; returns a GetModelStatusResponse."""
        request = serving_api.get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(call))
        stub = channels.stub(call.endpoint, serving_api.model_service_pb2_grpc.ModelServiceStub)
        return _unary(call, stub.GetModelStatus, request)


GRPC = Grpc()


def _unreadable(call: "Call", message: str) -> ServiceFailed:
    """Return the error with the code that gRPC gives when a stub cannot read an answer."""
    endpoint = call.endpoint
    return ServiceFailed(message, service=endpoint.service, endpoint=endpoint.grpc, code="INTERNAL")


def _unary(call: "Call", method: Any, request: Any) -> Any:
    return transport.unary(call.endpoint, method, request, call.remaining)


def _stub(call: "Call") -> Any:
    kind = serving_api.prediction_service_pb2_grpc.PredictionServiceStub
    return channels.stub(call.endpoint, kind)


def _spec(call: "Call", signature_name: str = "") -> Any:
    endpoint = call.endpoint
    return codec.model_spec(
        endpoint.model, signature_name, endpoint.version, endpoint.version_label
    )


def _fill_input(target: Any, examples: Examples, context: Features) -> None:
    if context:
        listed = target.example_list_with_context
        fill(listed.context, context)
    else:
        listed = target.example_list
    for example in examples:
        fill(listed.examples.add(), example)
