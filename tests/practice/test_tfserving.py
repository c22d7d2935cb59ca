"""The practice TensorFlow Serving on the wire, row by row as the product behaves."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import practice
from helpers.endpoints import Endpoint
from helpers.serving_api import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    tensor_pb2,
    types_pb2,
)
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving import inference
from practice.tfserving.failures import Failure

MODELS = Path(__file__).parents[2] / "data" / "models"
FLOWER = np.array([[5.1, 3.5, 1.4, 0.2]], "float32")


@pytest.fixture
def channel(endpoint: Endpoint) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(endpoint.grpc) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def models_stub(channel: grpc.Channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def iris_request(**spec: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": "iris", **spec})
    request.inputs["features"].CopyFrom(to_tensor_proto(FLOWER))
    return request


def refusal(method, request) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=10)
    return caught.value.code().name, caught.value.details()


def test_an_answer_names_model_signature_and_version(stub) -> None:
    spec = stub.Predict(iris_request(), timeout=10).model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("iris", "serving_default", 1)


def test_a_version_may_be_named(stub) -> None:
    response = stub.Predict(iris_request(version={"value": 1}), timeout=10)
    assert response.model_spec.version.value == 1


def test_outputs_come_in_typed_fields(stub) -> None:
    output = stub.Predict(iris_request(), timeout=10).outputs["probabilities"]
    assert (len(output.float_val), output.tensor_content) == (3, b"")


def test_integers_come_in_typed_fields_too(stub) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "digits"})
    request.inputs["images"].CopyFrom(to_tensor_proto(np.zeros((2, 8, 8, 1), "float32")))
    output = stub.Predict(request, timeout=10).outputs["classes"]
    assert (output.dtype, len(output.int64_val)) == (types_pb2.DT_INT64, 2)


def test_typed_inputs_and_tensor_content_give_the_same_answer(stub) -> None:
    request = iris_request()
    expected = stub.Predict(request, timeout=10).outputs["probabilities"]
    typed = request.inputs["features"]
    typed.ClearField("tensor_content")
    typed.float_val.extend(FLOWER.ravel().tolist())
    assert stub.Predict(request, timeout=10).outputs["probabilities"] == expected


def test_one_value_is_broadcast(stub) -> None:
    request = iris_request()
    request.inputs["features"].ClearField("tensor_content")
    request.inputs["features"].float_val.append(1.0)
    broadcast = stub.Predict(request, timeout=10).outputs["probabilities"]
    request.inputs["features"].CopyFrom(to_tensor_proto(np.ones((1, 4), "float32")))
    assert stub.Predict(request, timeout=10).outputs["probabilities"] == broadcast


def test_output_filter_gives_just_what_was_asked_for(stub) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "digits"}, output_filter=["classes"])
    request.inputs["images"].CopyFrom(to_tensor_proto(np.zeros((1, 8, 8, 1), "float32")))
    assert list(stub.Predict(request, timeout=10).outputs) == ["classes"]


def changed(**fields: Any) -> predict_pb2.PredictRequest:
    request = iris_request()
    for name, value in fields.items():
        if name == "inputs":
            request.ClearField("inputs")
            for key, array in value.items():
                request.inputs[key].CopyFrom(to_tensor_proto(array))
        elif name == "output_filter":
            request.output_filter.extend(value)
        else:
            request.model_spec.CopyFrom(predict_pb2.PredictRequest(model_spec=value).model_spec)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (changed(model_spec={"name": ""}), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            changed(model_spec={"name": "no"}),
            "NOT_FOUND",
            "Servable not found for request: Latest(no)",
        ),
        (
            changed(model_spec={"name": "iris", "version": {"value": 7}}),
            "NOT_FOUND",
            "Servable not found for request: Specific(iris, 7)",
        ),
        (
            changed(model_spec={"name": "no", "version": {"value": 7}}),
            "NOT_FOUND",
            "Servable not found for request: Specific(no, 7)",
        ),
        (
            changed(model_spec={"name": "iris", "version_label": "x"}),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            changed(model_spec={"name": "no", "version_label": "x"}),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: x",
        ),
        (
            changed(model_spec={"name": "iris", "signature_name": "no"}),
            "FAILED_PRECONDITION",
            'Serving signature key "no" not found.',
        ),
        (
            changed(inputs={}),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({features}). "
            "Sent extra: {}. Missing but required: {features}.",
        ),
        (
            changed(inputs={"b": FLOWER, "a": FLOWER}),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({a,b}) != len({features}). "
            "Sent extra: {a,b}. Missing but required: {features}.",
        ),
        (
            changed(inputs={"flower": FLOWER}),
            "INVALID_ARGUMENT",
            "Signature input alias: features(feed name: features) not found in request and no "
            "default value provided. Inputs expected to be in the request {flower}, "
            "or default input alias set: ",
        ),
        (
            changed(inputs={"features": FLOWER > 0}),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but bool is provided",
        ),
        (
            changed(output_filter=["no"]),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: no "
            "Outputs expected to be in the set {probabilities}.",
        ),
        (
            changed(output_filter=["probabilities", "probabilities"]),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: probabilities",
        ),
    ],
)
def test_predict_refuses_as_the_product_does(stub, request_, code: str, text: str) -> None:
    assert refusal(stub.Predict, request_) == (code, text)


def test_a_wrong_name_beside_inputs_with_defaults() -> None:
    signature = meta_graph_pb2.SignatureDef()
    signature.inputs["x"].name = "x:0"
    signature.inputs["scale"].name = "scale:0"
    signature.defaults["scale"].float_val.append(1)
    inference.check_names(signature, ["x"])
    with pytest.raises(Failure) as caught:
        inference.check_names(signature, ["scale"])
    assert caught.value.text == (
        "Signature input alias: x(feed name: x:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {scale}, or default input alias set: scale"
    )
    with pytest.raises(Failure) as caught:
        inference.check_names(signature, ["x", "y"])
    assert caught.value.text == (
        "Inputs contains invalid name. Used request inputs: x, request input: x,y"
    )


def test_a_tensor_that_cannot_be_decoded(stub) -> None:
    request = iris_request()
    request.inputs["features"].tensor_content = b"123"
    refused = ("INVALID_ARGUMENT", "tensor parsing error: features")
    assert refusal(stub.Predict, request) == refused


def test_of_more_values_than_the_shape_has_the_first_count(stub) -> None:
    request = iris_request()
    expected = to_ndarray(stub.Predict(request, timeout=10).outputs["probabilities"])
    request.inputs["features"].ClearField("tensor_content")
    request.inputs["features"].float_val.extend([*FLOWER[0], 9, 9])
    answer = stub.Predict(request, timeout=10)
    assert to_ndarray(answer.outputs["probabilities"]).tolist() == expected.tolist()


def test_a_promised_shape_without_numbers_takes_no_memory(stub) -> None:
    request = iris_request()
    huge = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0])
    huge.tensor_shape.dim.add(size=2**40)
    request.inputs["features"].CopyFrom(huge)
    assert refusal(stub.Predict, request)[0] == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("dtype", "field", "values", "sizes"),
    [
        ("DT_FLOAT", "float_val", [1.0], [2**22, 4]),
        ("DT_FLOAT", "float_val", [], [2**22, 4]),
        ("DT_STRING", "string_val", [b"x" * 2**20], [64]),
    ],
    ids=["numbers", "nothing", "texts"],
)
def test_a_tensor_may_not_claim_far_more_than_came(stub, dtype, field, values, sizes) -> None:
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    getattr(tensor, field).extend(values)
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    request = iris_request()
    request.inputs["features"].CopyFrom(tensor)
    code, text = refusal(stub.Predict, request)
    assert code == "INVALID_ARGUMENT"
    assert text == "tensor parsing error: features"


def test_many_examples_of_nothing_are_refused(stub) -> None:
    request = classification_pb2.ClassificationRequest(model_spec={"name": "iris"})
    request.input.MergeFromString(b"\x0a\x84\x80\x80\x01" + b"\x0a\x00" * (2**20 + 2))
    assert refusal(stub.Classify, request)[0] == "RESOURCE_EXHAUSTED"


def test_a_long_status_text_is_cut(stub) -> None:
    code, text = refusal(stub.Predict, changed(model_spec={"name": "x" * 3000}))
    assert (code, len(text), text[-12:]) == ("NOT_FOUND", 1024 + 12, "...TRUNCATED")


def test_bytes_that_are_no_message_end_nothing(channel: grpc.Channel, stub) -> None:
    raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError):
        raw(b"\xff\xff\xff garbage", timeout=10)
    assert stub.Predict(iris_request(), timeout=10).outputs


def test_metadata_gives_the_signatures_and_no_signature_name(stub) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "digits_detector"}, metadata_field=["signature_def"]
    )
    response = stub.GetModelMetadata(request, timeout=10)
    assert (response.model_spec.version.value, response.model_spec.signature_name) == (1, "")
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(unpacked)
    signature = unpacked.signature_def["detected_model"]
    assert signature.method_name == "tensorflow/serving/predict"
    sizes = [dim.size for dim in signature.inputs["images"].tensor_shape.dim]
    assert (signature.inputs["images"].dtype, sizes) == (types_pb2.DT_FLOAT, [-1, 96, 96, 1])
    assert set(signature.outputs) == {"detection_boxes", "detection_scores", "detection_classes"}


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"metadata_field": ["signature_def"]}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            {"model_spec": {"name": "iris"}},
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            {"model_spec": {"name": "no"}, "metadata_field": ["x"]},
            "INVALID_ARGUMENT",
            "Metadata field x is not supported",
        ),
        (
            {"model_spec": {"name": "no"}, "metadata_field": ["signature_def"]},
            "NOT_FOUND",
            "Servable not found for request: Latest(no)",
        ),
    ],
)
def test_metadata_refuses_as_the_product_does(stub, fields, code: str, text: str) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(**fields)
    assert refusal(stub.GetModelMetadata, request) == (code, text)


def test_status_is_available_and_ok(models_stub) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "iris"})
    (version,) = models_stub.GetModelStatus(request, timeout=10).model_version_status
    assert (version.version, version.state, version.status.error_code) == (1, 30, 0)
    assert version.HasField("status")


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        ({"model_spec": {"name": "no"}}, "NOT_FOUND", "Could not find any versions of model no"),
        ({"model_spec": {"name": ""}}, "NOT_FOUND", "Could not find any versions of model "),
        (
            {"model_spec": {"name": "iris", "version": {"value": 7}}},
            "NOT_FOUND",
            "Could not find version 7 of model iris",
        ),
    ],
)
def test_status_refuses_as_the_product_does(models_stub, fields, code: str, text: str) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(**fields)
    assert refusal(models_stub.GetModelStatus, request) == (code, text)


@pytest.mark.parametrize("service", ["ModelService", "PredictionService"])
def test_health_is_served_under_the_bare_names(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_session_service_is_not_served(channel: grpc.Channel) -> None:
    run = channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")
    assert refusal(run, b"")[0] == "UNIMPLEMENTED"


def test_many_callers_get_their_own_answers(stub) -> None:
    rows = np.random.default_rng(0).uniform(0.1, 7, (64, 1, 4)).astype("float32")
    futures = []
    for row in rows:
        request = iris_request()
        request.inputs["features"].CopyFrom(to_tensor_proto(row))
        futures.append(stub.Predict.future(request, timeout=20))
    many = np.concatenate([to_ndarray(f.result().outputs["probabilities"]) for f in futures])
    request.inputs["features"].CopyFrom(to_tensor_proto(rows.reshape(64, 4)))
    at_once = to_ndarray(stub.Predict(request, timeout=10).outputs["probabilities"])
    assert many == pytest.approx(at_once, abs=1e-6)


# How it starts, and how it does not.


def start(*flags: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the service until it ends by itself."""
    command = [sys.executable, "-m", "practice.tfserving", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS, tmp_path / "models"))


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (["--port=0"], "At least one of server_options.grpc_port or "),
        (["--model_config_file=/no/such/file"], "NOT_FOUND: /no/such/file"),
    ],
)
def test_without_what_it_needs_it_ends_with_255(flags: list[str], text: str) -> None:
    done = start(*flags)
    assert done.returncode == 255
    assert "Failed to start server. Error: " in done.stdout
    assert text in done.stdout


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("model_config_list {", "Invalid protobuf file: '"),
        (
            'model_config_list { config { name: "m" base_path: "rel" '
            'model_platform: "tensorflow" } }',
            "Expected model m to have an absolute path or URI; got base_path()=rel",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" } }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "caffe" } }',
            "Model m requests unsupported platform caffe",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" },'
            'config: { name: "m" base_path: "/m" model_platform: "tensorflow" } }',
            "Illegal to list model m multiple times in config list",
        ),
    ],
)
def test_a_bad_config_file_ends_it_with_the_reason(tmp_path: Path, config: str, text: str) -> None:
    file = tmp_path / "models.config"
    file.write_text(config)
    done = start(f"--model_config_file={file}")
    assert (done.returncode, text in done.stdout) == (255, True), done.stdout
    if "protobuf" in text:
        assert "Error parsing text-format tensorflow.serving.ModelServerConfig: " in done.stderr


def test_a_bad_flag_shows_the_usage_and_ends_with_255() -> None:
    done = start("--port=many")
    assert (done.returncode, "usage: " in done.stdout) == (255, True)


CORRUPT = {
    "truncated": ("model.tflite", 1000, "is not a valid Flatbuffer"),
    "empty": ("model.tflite", 0, "cannot be loaded"),
    "bad saved model": ("saved_model.pb", 5, "Can't parse"),
    "nothing": ("saved_model.pb", None, "Could not find SavedModel .pb or .pbtxt"),
}


def spoil(folder: Path, how: str) -> str:
    name, size, text = CORRUPT[how]
    if name == "saved_model.pb":
        (folder / "model.tflite").unlink()
    if size is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:size])
    return text


@pytest.mark.parametrize("how", CORRUPT)
def test_a_corrupt_model_ends_it_as_it_does_the_product(models: Path, how: str) -> None:
    text = spoil(models / "iris" / "1", how)
    done = start(
        "--model_name=iris",
        f"--model_base_path={models / 'iris'}",
        "--prefer_tflite_model",
        "--max_num_load_retries=1",
        "--load_retry_interval_micros=1000",
    )
    assert done.returncode == 255
    assert (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        "{{{name: iris version: 1} due to error: " in done.stdout
    )
    assert text in done.stdout
    assert done.stderr.count("Loading servable") == 2


@pytest.mark.parametrize("how", ["truncated", "empty", "nothing"])
def test_managed_one_corrupt_model_leaves_the_others_served(models: Path, how: str) -> None:
    from helpers import errors, tfserving

    text = spoil(models / "digits_detector" / "1", how)
    with practice.private("tfserving", models=models) as endpoint:
        broken = endpoint.replace(model="digits_detector")
        assert tfserving.predict(endpoint.replace(model="iris"), {"features": FLOWER})
        state = tfserving.status(broken)[1]
        assert state.state == "END"
        assert text in state.message
        with pytest.raises(errors.UnknownModel, match="version 1 is END .*"):
            tfserving.predict(broken, {"images": np.zeros((1, 8, 8, 1), "float32")})


def test_versions_follow_the_policy(models: Path, tmp_path: Path) -> None:
    iris = models / "iris"
    for name in ("00000007", "3", "notes", "12x"):
        shutil.copytree(iris / "1", iris / name)
    config = tmp_path / "models.config"
    entry = 'config: {{ name: "{}", base_path: "{}", model_platform: "tensorflow", {} }},'
    path = iris.as_posix()
    config.write_text(
        "model_config_list {"
        + entry.format("newest", path, "")
        + entry.format("two", path, "model_version_policy { latest { num_versions: 2 } }")
        + entry.format("all", path, "model_version_policy { all {} }")
        + entry.format(
            "some",
            path,
            "model_version_policy { specific { versions: 1 versions: 3 } } "
            'version_labels { key: "stable" value: 1 }',
        )
        + "}"
    )
    process, address = serve(
        f"--model_config_file={config}",
        "--prefer_tflite_model",
        "--allow_version_labels_for_unavailable_models",
    )
    try:
        with grpc.insecure_channel(address) as channel:
            status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
            asked = {
                name: [
                    version.version
                    for version in status(
                        get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name}),
                        timeout=10,
                    ).model_version_status
                ]
                for name in ("newest", "two", "all", "some")
            }
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = iris_request(version_label="stable")
            request.model_spec.name = "some"
            labelled = stub.Predict(request, timeout=10).model_spec
    finally:
        process.terminate()
        assert process.wait(timeout=120) == 0
    assert asked == {"newest": [7], "two": [7, 3], "all": [7, 3, 1], "some": [3, 1]}
    assert (labelled.version.value, labelled.version_label) == (1, "")


def test_an_unknown_flag_is_said_and_passed_over(models: Path) -> None:
    process, _ = serve(
        f"--model_base_path={models / 'iris'}", "--prefer_tflite_model=true", "--no_such_flag=1"
    )
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, "unknown argument: --no_such_flag=1" in output) == (0, True)


def test_a_missing_folder_is_waited_for(models: Path, tmp_path: Path) -> None:
    late = tmp_path / "late"
    process, address = serve(
        f"--model_base_path={late}",
        "--prefer_tflite_model",
        "--file_system_poll_wait_seconds=0.05",
        wait=False,
    )
    try:
        for line in process.stderr or ():
            if f"Could not find base path {late} for servable default" in line:
                break
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 5)
        shutil.copytree(models / "iris", late)
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
    finally:
        process.terminate()
        process.communicate(timeout=120)


def test_a_taken_port_is_not_shared(endpoint: Endpoint, models: Path) -> None:
    port = endpoint.grpc.rpartition(":")[2]
    done = start(f"--port={port}", f"--model_base_path={models / 'iris'}", "--prefer_tflite_model")
    assert done.returncode == 255
    assert "Failed to start server. Error: UNKNOWN: Error starting gRPC server" in done.stdout


def test_idle_it_ends_by_itself(models: Path) -> None:
    process, _ = serve(
        f"--model_base_path={models / 'iris'}",
        "--prefer_tflite_model",
        "--idle_timeout_seconds=0.2",
        wait=False,
    )
    _, log = process.communicate(timeout=120)
    assert (process.returncode, "No call for 0 s: ending." in log) == (0, True)


def serve(*flags: str, wait: bool = True) -> tuple[subprocess.Popen[str], str]:
    """Start the service on a free port; returns its process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "practice.tfserving", f"--port={port}", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"127.0.0.1:{port}"
    if wait:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
    return process, address
