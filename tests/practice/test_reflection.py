"""A client that has no .proto file, as grpcurl and Postman: reflection describes every method."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from helpers.endpoints import Endpoint
from tests import ccai

# The fixtures of this file.
service, here, there = ccai.service, ccai.here, ccai.there

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
SPEC = {"model_spec": {"name": "iris"}}
# A call of every method: what is sent, and the status.
CALLS: dict[str, tuple[dict[str, Any], str]] = {
    "tensorflow.serving.PredictionService/Predict": (
        {
            **SPEC,
            "inputs": {
                "features": {
                    "dtype": 1,
                    "tensor_shape": {"dim": [{"size": 1}, {"size": 4}]},
                    "float_val": [5.1, 3.5, 1.4, 0.2],
                }
            },
        },
        "OK",
    ),
    "tensorflow.serving.PredictionService/Classify": (SPEC, "INVALID_ARGUMENT"),
    "tensorflow.serving.PredictionService/Regress": (SPEC, "INVALID_ARGUMENT"),
    "tensorflow.serving.PredictionService/MultiInference": ({}, "INVALID_ARGUMENT"),
    "tensorflow.serving.PredictionService/GetModelMetadata": (
        {**SPEC, "metadata_field": ["signature_def"]},
        "OK",
    ),
    "tensorflow.serving.ModelService/GetModelStatus": (SPEC, "OK"),
    "tensorflow.serving.ModelService/HandleReloadConfigRequest": ({}, "INVALID_ARGUMENT"),
    "grpc.health.v1.Health/Check": ({"service": "PredictionService"}, "OK"),
    "grpc.health.v1.Health/List": ({}, "UNIMPLEMENTED"),  # newer than the library's servicer
    "grpc.health.v1.Health/Watch": ({"service": "PredictionService"}, "OK"),
    "inference_service.Inference/HealthCheck": ({}, "OK"),
    **{
        f"inference_service.Inference/{name}": ({"buffer": b"no file"}, "OK")
        for name in ("Classification", "FaceDetection", "FacialLandmark", "OCR", "ASR")
    },
}


class Generic:
    """Knows nothing but an address."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def methods(self) -> dict[str, Any]:
        """Return the descriptors of all methods, by `service/method`."""
        return {
            f"{name}/{method.name}": method
            for name in self.database.get_services()
            for method in self.pool.FindServiceByName(name).methods
        }

    def call(self, path: str, fields: dict[str, Any]) -> tuple[str, Any]:
        """Return the status and, when all went well, the first message of the answer."""
        method = self.methods()[path]
        request = message_factory.GetMessageClass(method.input_type)(**fields)
        response = message_factory.GetMessageClass(method.output_type)
        streams = method.server_streaming
        make = self.channel.unary_stream if streams else self.channel.unary_unary
        call = make(f"/{path}", type(request).SerializeToString, response.FromString)
        try:
            answer = call(request, timeout=30)
            return "OK", next(answer) if streams else answer
        except grpc.RpcError as error:
            return error.code().name, None


@pytest.fixture
def tfserving(endpoint: Endpoint) -> Iterator[Generic]:
    with grpc.insecure_channel(endpoint.grpc) as channel:
        yield Generic(channel)


@pytest.fixture
def inference(here: Endpoint) -> Iterator[Generic]:
    with grpc.insecure_channel(here.grpc) as channel:
        yield Generic(channel)


@pytest.mark.parametrize("name", ["tfserving", "inference"])
def test_every_method_of_every_service_is_described_and_called(
    name: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(name)
    paths = {path for path in client.methods() if not path.startswith(REFLECTION)}
    packages = "inference_service" if name == "inference" else ("tensorflow.", "grpc.health")
    assert paths == {path for path in CALLS if path.startswith(packages)}
    for path in paths:
        fields, status = CALLS[path]
        assert (path, client.call(path, fields)[0]) == (path, status)


def test_a_prediction_is_read_without_a_proto_file(tfserving: Generic) -> None:
    path = "tensorflow.serving.PredictionService/Predict"
    _, answer = tfserving.call(path, CALLS[path][0])
    assert sum(answer.outputs["probabilities"].float_val) == pytest.approx(1)


def test_what_an_any_holds_is_described_too(tfserving: Generic) -> None:
    path = "tensorflow.serving.PredictionService/GetModelMetadata"
    _, answer = tfserving.call(path, CALLS[path][0])
    packed = any_pb2.Any.FromString(answer.metadata["signature_def"].SerializeToString())
    described = tfserving.pool.FindMessageTypeByName(packed.TypeName())
    signatures: Any = message_factory.GetMessageClass(described).FromString(packed.value)
    assert "serving_default" in signatures.signature_def


@pytest.mark.parametrize(
    "file",
    [
        "tensorflow_serving/apis/prediction_service.proto",
        "tensorflow_serving/apis/model_service.proto",
        "tensorflow/core/framework/tensor.proto",
    ],
)
def test_files_are_described_by_name(tfserving: Generic, file: str) -> None:
    assert tfserving.pool.FindFileByName(file).name == file


def test_a_stranger_is_described_nothing(there: Endpoint) -> None:
    with ccai.channel(there) as channel, pytest.raises(grpc.RpcError) as caught:
        Generic(channel).methods()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
