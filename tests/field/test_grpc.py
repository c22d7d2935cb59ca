"""Reports about calls over gRPC, and clients that make them."""

import shutil
import subprocess

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc.beta import implementations
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from numpy.typing import ArrayLike

from helpers.serving_api import (
    get_model_metadata_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_pb2,
    types_pb2,
)
from helpers.tensors import to_ndarray, to_tensor_proto
from tests.tfserving import MODELS, Running, config_of, refusal

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
INVALID = "INVALID_ARGUMENT"


def predict(model: str = "iris", **inputs: ArrayLike) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": model})
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value, np.float32))
    return request


def test_01_a_generic_client_describes_a_service_and_calls_it(light: Running) -> None:
    """serving 2148: grpcurl and Postman learn of the service from reflection alone."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(light.channel))
    service = pool.FindServiceByName("tensorflow.serving.PredictionService")
    method = service.methods_by_name["GetModelMetadata"]
    call = light.channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    request = message_factory.GetMessageClass(method.input_type)(
        model_spec={"name": "iris"}, metadata_field=["signature_def"]
    )
    assert call(request, timeout=30).model_spec.version.value == 1


def test_02_text_in_tensor_content_is_read() -> None:
    """serving 1276, tensorflow 25064: the lengths stand first, then the bytes."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape={"dim": [{"size": 3}]},
        tensor_content=b"\x05\x00\x02abcdeyz",
    )
    assert to_ndarray(tensor).tolist() == [b"abcde", b"", b"yz"]


def test_03_values_beyond_the_shape_are_left_out(light: Running) -> None:
    """serving 510, 600: clients of other languages fill float_val by hand."""
    request = predict(features=FLOWER)
    right = light.prediction.Predict(request, timeout=30)
    tensor = request.inputs["features"]
    tensor.ClearField("tensor_content")
    tensor.float_val.extend([*FLOWER[0], 9.0])
    assert light.prediction.Predict(request, timeout=30) == right


def test_03_eight_megabytes_are_sent_with_keepalive_and_a_deadline(light: Running) -> None:
    """serving 510: a Node client with these options."""
    options = [("grpc.keepalive_time_ms", 10_000), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(light.grpc, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        rows = 500_000
        request = predict(features=np.repeat(FLOWER, rows, axis=0))
        assert request.ByteSize() > 8_000_000
        response = stub.Predict(request, timeout=60)
        assert to_ndarray(response.outputs["probabilities"]).shape == (rows, 3)


def test_04_the_commonest_mistakes_are_told_in_the_words_since_2_16(light: Running) -> None:
    """serving 510: a wrong input name, and a tensor that cannot be read."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "iris"}, metadata_field=["signature_def"]
    )
    packed = light.prediction.GetModelMetadata(request, timeout=30).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap.FromString(packed.value)
    feed = signatures.signature_def["serving_default"].inputs["features"].name
    assert refusal(light.prediction.Predict, predict(flowers=FLOWER)) == (
        INVALID,
        f"Signature input alias: features(feed name: {feed}) not found in request and no default "
        "value provided. Inputs expected to be in the request {flowers}, or default input alias "
        "set: ",
    )
    broken = predict(features=FLOWER)
    broken.inputs["features"].tensor_content = b"abc"
    text = "tensor parsing error: features"
    assert refusal(light.prediction.Predict, broken) == (INVALID, text)


def test_19_a_channel_of_the_beta_api_and_dotted_names_work(light: Running) -> None:
    """model_server 2582: a client pattern of 2017 that is still copied."""
    host, _, port = light.grpc.partition(":")
    channel = implementations.insecure_channel(host, int(port))._channel
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(predict("my.iris.v1", features=FLOWER), timeout=30)
    assert to_ndarray(response.outputs["probabilities"]).argmax() == 0
    channel.close()


def test_25_another_implementation_of_http2_gets_answers_and_errors(light: Running) -> None:
    """grpclib 0.4.9: a client that shares no code with gRPC's own; here it is curl's."""
    program = shutil.which("curl") or ""
    if not program or b"HTTP2" not in subprocess.check_output([program, "-V"]):
        pytest.skip("there is no curl that speaks HTTP/2")

    def call(request: predict_pb2.PredictRequest) -> bytes:
        message = request.SerializeToString()
        url = f"http://{light.grpc}/tensorflow.serving.PredictionService/Predict"
        command = [program, "--http2-prior-knowledge", "--silent", "--include", "--noproxy", "*"]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        return subprocess.run(
            [*command, *headers, "--max-time", "30", "--data-binary", "@-", url],
            input=b"\0" + len(message).to_bytes(4, "big") + message,
            capture_output=True,
            check=True,
        ).stdout

    request = predict(features=FLOWER)
    answer = call(request)
    right = light.prediction.Predict(request, timeout=30).outputs["probabilities"]
    assert b"grpc-status: 0" in answer
    body = answer[answer.index(b"\r\n\r\n") + 9 :]
    length = int.from_bytes(answer[answer.index(b"\r\n\r\n") + 5 :][:4], "big")
    response = predict_pb2.PredictResponse.FromString(body[:length])
    assert response.outputs["probabilities"] == right
    assert b"grpc-status: 5" in call(predict("no", features=FLOWER))


@pytest.mark.parametrize("names", [[], ["/tensorflow/serving/request_count", "/no/such"]])
def test_26_a_reload_answers_with_the_metrics_it_was_asked_for(light: Running, names) -> None:
    """model_service_impl.cc: by how much each of them grew, 0 for one that there is not."""
    entries = [("iris", "iris"), ("digits", "digits"), ("my.iris.v1", "iris")]
    config = config_of(*({"name": name, "base_path": MODELS / of} for name, of in entries))
    request = model_management_pb2.ReloadConfigRequest(config=config, metric_names=names)
    response = light.models.HandleReloadConfigRequest(request, timeout=60)
    assert [(metric.name, metric.int64_value_increase) for metric in response.metric] == [
        (name, 0) for name in names
    ]
