"""The helper against the real practice service: answers, and what each mistake is told."""

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest

from helpers import channels, errors, language, tfserving
from helpers.endpoints import Endpoint
from helpers.serving_api import (
    meta_graph_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    types_pb2,
)
from helpers.tensors import to_ndarray, to_tensor_proto
from helpers.tfserving import codec, rest
from helpers.tfserving.signatures import (
    Signature,
    Signatures,
    TensorSpec,
    check_inputs,
    from_signature_defs,
)
from practice import processes
from tests.http_answers import http_answer

IRIS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


@pytest.fixture
def iris(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(model="iris")


@pytest.fixture
def detector(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(model="digits_detector", signature_name="detected_model")


def test_predict_gives_what_the_plain_stub_gives(iris: Endpoint) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    request.inputs["features"].CopyFrom(to_tensor_proto(IRIS, "float32"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channels.channel(iris))
    raw = to_ndarray(stub.Predict(request, timeout=10).outputs["probabilities"])
    assert (tfserving.predict(iris, {"features": IRIS})["probabilities"] == raw).all()


def test_iris_are_told_apart(iris: Endpoint) -> None:
    answer = tfserving.predict(iris, {"features": IRIS})["probabilities"]
    assert answer.argmax(axis=1).tolist() == [0, 2]
    assert answer.sum(axis=1) == pytest.approx(1)


def test_an_answer_is_an_ordinary_writable_array(iris: Endpoint) -> None:
    answer = tfserving.predict(iris, {"features": IRIS})["probabilities"]
    answer[0] = 0
    assert type(answer) is np.ndarray


def test_signatures_show_as_a_table(detector: Endpoint) -> None:
    signatures = tfserving.signatures(detector)
    assert str(signatures["detected_model"].inputs["images"]) == "float32 [-1, 96, 96, 1]"
    assert "detection_boxes    float32 [-1, 10, 4]" in repr(signatures)
    assert "<td style='text-align:left'>detection_boxes</td>" in signatures._repr_html_()


def test_an_answer_without_a_version_forgets_no_signatures(iris: Endpoint) -> None:
    kept = tfserving.signatures(iris)
    tfserving.Call(iris, 10).answered_by(None)
    assert tfserving.Call(iris, 10).kept_signatures() is kept
    assert codec.decode_answer(b"")[0] is None


def test_inputs_go_by_names_that_are_text(iris: Endpoint) -> None:
    for check in (True, False):
        with pytest.raises(errors.BadInput, match="Inputs go by name"):
            tfserving.predict(iris, {0: [1.0]}, check=check)  # type: ignore[dict-item]


def test_an_empty_list_is_an_empty_tensor_of_text_too() -> None:
    texts = Signature({"text": TensorSpec(np.dtype(object), (-1,))}, {})
    fitting = check_inputs(Signatures("m", 1, {"serving_default": texts}), "", {"text": []})
    assert fitting["text"].dtype == object


def test_status_gives_the_state_of_each_version(iris: Endpoint) -> None:
    assert tfserving.status(iris) == {1: tfserving.VersionStatus("AVAILABLE")}


def test_signatures_are_asked_for_once(iris: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    tfserving.predict(iris, {"features": IRIS})
    monkeypatch.setattr(tfserving.Call, "signatures", None)  # asking again would fail now
    tfserving.predict(iris, {"features": IRIS})


def test_another_version_answering_makes_them_asked_for_again(iris: Endpoint) -> None:
    cached = tfserving.signatures(iris)
    cached.version = 7
    tfserving.predict(iris, {"features": IRIS})
    tfserving.predict(iris, {"features": IRIS})
    assert tfserving.Call(iris, 10).kept_signatures().version == 1


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_sent(iris: Endpoint, number: float) -> None:
    answer = tfserving.predict(iris, {"features": [[number, 1, 1, 1]]})
    assert answer["probabilities"].shape == (1, 3)


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        ("iris", (0, 4), {"probabilities": (0, 3)}),
        ("digits", (0, 8, 8, 1), {"probabilities": (0, 10), "classes": (0,)}),
    ],
)
def test_an_empty_batch_gives_empty_answers(endpoint, model, shape, expected) -> None:
    name = "features" if model == "iris" else "images"
    answer = tfserving.predict(endpoint.replace(model=model), {name: np.zeros(shape, "float32")})
    assert {name: array.shape for name, array in answer.items()} == expected


def test_a_tensor_of_100_megabytes_goes_through(iris: Endpoint) -> None:
    features = np.tile(np.array(IRIS, "float32"), (3_200_000, 1))
    answer = tfserving.predict(iris, {"features": features}, timeout=60)["probabilities"]
    assert features.nbytes > 100e6
    assert answer.shape == (len(features), 3)
    few = tfserving.predict(iris, {"features": IRIS})["probabilities"]
    assert answer[:2] == pytest.approx(few, abs=1e-6)
    assert answer[-2:] == pytest.approx(few, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "inputs", "kind", "sentence"),
    [
        (
            {"model": "iriss"},
            {"features": IRIS},
            errors.UnknownModel,
            "Model 'iriss' is not served at .* Served there: .*iris. Did you mean 'iris'",
        ),
        ({"model": ""}, {"features": IRIS}, errors.UnknownModel, "No model was named"),
        (
            {"version": 9},
            {"features": IRIS},
            errors.UnknownModel,
            "Version 9 of model 'iris' is not available at .*: version 1 is AVAILABLE",
        ),
        (
            {"version_label": "stable"},
            {"features": IRIS},
            errors.UnknownModel,
            "no version label of that name.*stable",
        ),
        (
            {"signature_name": "serving_defualt"},
            {"features": IRIS},
            errors.UnknownSignature,
            "has no signature 'serving_defualt'. It has: serving_default. Did you mean",
        ),
        (
            {},
            {"feature": IRIS},
            errors.BadInput,
            "no input 'feature'. It takes: features. Did you mean 'features'",
        ),
        ({}, {}, errors.BadInput, "Input 'features' is missing; the signature takes float32"),
        ({}, {"features": IRIS, "more": 1}, errors.BadInput, "no input 'more'. It takes: features"),
        ({}, IRIS, errors.BadInput, "Inputs go by name"),
        (
            {},
            {"features": np.zeros((1, 4))},
            errors.BadInput,
            r"is float64; expected float32 \[-1, 4\]. Convert it with .astype\('float32'\)",
        ),
        ({}, {"features": [["a", "b", "c", "d"]]}, errors.BadInput, "is text; expected float32"),
        ({}, {"features": [[1j, 0, 0, 0]]}, errors.BadInput, "is complex128; expected float32"),
        (
            {},
            {"features": IRIS[0]},
            errors.BadInput,
            r"has shape \[4\]; expected float32 \[-1, 4\]",
        ),
        ({}, {"features": [[1, 2, 3]]}, errors.BadInput, r"has shape \[1, 3\]; expected"),
        ({}, {"features": [[1, 2, 3, 4], [1]]}, errors.BadInput, "same length. Expected float32"),
        ({}, {"features": None}, errors.BadInput, "is NoneType; expected"),
    ],
)
def test_one_sentence_says_what_is_wrong(iris, changes, inputs, kind, sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        tfserving.predict(iris.replace(**changes), inputs)


@pytest.mark.parametrize(
    ("changes", "inputs", "kind", "code"),
    [
        (
            {"signature_name": "no"},
            {"features": np.array(IRIS, "float32")},
            errors.UnknownSignature,
            "FAILED_PRECONDITION",
        ),
        ({}, {"feature": np.array(IRIS, "float32")}, errors.BadInput, "INVALID_ARGUMENT"),
        ({}, {"features": np.array(IRIS, "float64")}, errors.BadInput, "INVALID_ARGUMENT"),
        ({}, {"features": np.zeros((1, 3), "float32")}, errors.BadInput, "INVALID_ARGUMENT"),
        ({"version": 9}, {"features": np.array(IRIS, "float32")}, errors.UnknownModel, "NOT_FOUND"),
    ],
)
def test_unchecked_the_service_itself_objects(iris, changes, inputs, kind, code: str) -> None:
    with pytest.raises(kind) as caught:
        tfserving.predict(iris.replace(**changes), inputs, check=False)
    error = caught.value
    assert (error.code, error.service, error.endpoint) == (code, "TensorFlow Serving", iris.grpc)
    assert error.details
    assert error.__cause__.code().name == code


@pytest.mark.parametrize("limit", [200, 2000])
def test_a_message_over_the_limit_is_too_large(iris, monkeypatch, limit: int) -> None:
    """200 bytes are fewer than the signatures have (an answer), 2,000 than the rows (a request)."""
    channels.forget(iris)
    monkeypatch.setattr(channels, "MAX_MESSAGE", limit)
    rows = np.array(IRIS * 100, "float32")
    with pytest.raises(errors.TooLarge, match="larger than max") as caught:
        tfserving.predict(iris, {"features": rows})
    channels.forget(iris)
    assert caught.value.code == "RESOURCE_EXHAUSTED"


def test_status_of_an_unknown_model_names_the_known_ones(iris: Endpoint) -> None:
    with pytest.raises(errors.UnknownModel, match="Did you mean 'iris'"):
        tfserving.status(iris.replace(model="irsi"))


def test_nobody_listening(iris: Endpoint) -> None:
    with pytest.raises(errors.ConnectionFailed, match=r"Nothing answers at 127\.0\.0\.1:1"):
        tfserving.predict(iris.replace(grpc="127.0.0.1:1"), {"features": IRIS})


def test_after_a_refused_connection_the_next_call_connects_anew(
    tcp_server: Callable, endpoint: Endpoint
) -> None:
    gone = endpoint.replace(model="iris", grpc="127.0.0.1:1")
    before = channels.channel(gone)
    with pytest.raises(errors.ConnectionFailed):
        tfserving.status(gone)
    assert channels.channel(gone) is not before


def test_a_service_that_was_started_meanwhile_answers_though_the_old_channel_is_kept() -> None:
    address = f"127.0.0.1:{processes.choose_port()}"
    iris = Endpoint("tfserving", grpc=address, model="iris")
    kept = channels.channel(iris)  # as by a traceback, which a notebook remembers
    with pytest.raises(errors.ConnectionFailed):
        tfserving.status(iris)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_insecure_port(address)
    server.start()
    with pytest.raises(errors.CallError) as caught:
        tfserving.status(iris)
    server.stop(None)
    assert caught.value.code == "UNIMPLEMENTED"
    assert channels.channel(iris) is not kept


def test_a_long_answer_over_rest_is_that_over_grpc(
    iris: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_LARGE", 10_000)
    rows = np.random.default_rng(8).random((5000, 4), np.float32)
    of_grpc, of_rest = (
        tfserving.predict(iris, {"features": rows}, protocol=protocol)["probabilities"]
        for protocol in ("grpc", "rest")
    )
    assert of_rest.dtype == of_grpc.dtype
    np.testing.assert_array_equal(of_rest, of_grpc)


@pytest.mark.parametrize("text", ["1e999", "NaN", "-Infinity", "2.5", "7"])
def test_a_long_answer_may_have_any_number(text: str) -> None:
    spec = TensorSpec(np.dtype(np.float32), (-1,))
    signature = Signature({}, {"y": spec})
    content = b'{"outputs": [%b%b]}' % (b"1.5, " * 1_000_000, text.encode())
    outputs = rest._outputs(content, Endpoint("tfserving", rest="http://127.0.0.1:1"), signature)
    expected = np.append(np.full(1_000_000, 1.5, np.float32), np.float32(text))
    np.testing.assert_array_equal(outputs["y"], expected)


@pytest.fixture
def http_address() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_port_where_http_answers(iris: Endpoint, http_address: str) -> None:
    with pytest.raises(errors.NotThisProtocol, match="does not speak gRPC"):
        tfserving.predict(iris.replace(grpc=http_address), {"features": IRIS})


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", http_answer(status=400)])
def test_a_port_where_something_else_answers(iris, tcp_server, answer: bytes) -> None:
    with pytest.raises(errors.NotThisProtocol, match="does not speak gRPC"):
        tfserving.status(iris.replace(grpc=tcp_server(answer)))


def test_a_server_that_never_answers_meets_the_deadline(iris, tcp_server: Callable) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="did not answer in time"):
        tfserving.predict(iris.replace(grpc=tcp_server(None)), {"features": IRIS}, timeout=0.3)


WRONG_SHAPES = {
    "digits_detector": [
        (),
        (1,),
        (96, 96),
        (1, 96, 96),
        (1, 96, 96, 2),
        (1, 96, 96, 3),
        (1, 50, 70, 1),
        (1, 48, 192, 1),
        (1, 95, 95, 1),
        (1, 0, 0, 1),
        (0, 1, 1, 1),
        (2, 1, 1, 1),
        (1, 96, 96, 0),
        (0,),
        (1, 1, 1, 96, 96, 1),
    ],
    "digits": [(), (1, 64), (1, 8, 8, 3), (1, 8, 8, 16), (1, 16, 16, 1), (1, 9, 8, 1), (0, 0)],
    "iris": [(), (4,), (1, 3), (8, 2), (1, 0), (0, 0), (3, 5, 4), (1, 5)],
}


@pytest.mark.parametrize("model", WRONG_SHAPES)
def test_after_a_wrong_shape_the_next_caller_gets_a_right_answer(endpoint, model: str) -> None:
    signature = "detected_model" if model == "digits_detector" else ""
    called = endpoint.replace(model=model, signature_name=signature)
    ((name, spec),) = tfserving.signatures(called)[signature or "serving_default"].inputs.items()
    right = np.full((1, *(spec.shape or ())[1:]), 0.5, "float32")
    expected = tfserving.predict(called, {name: right})
    for shape in WRONG_SHAPES[model]:
        with contextlib.suppress(errors.BadInput):  # any other error fails the test
            tfserving.predict(called, {name: np.ones(shape, "float32")}, check=False)
        again = tfserving.predict(called, {name: right})
        assert all((again[output] == expected[output]).all() for output in expected), shape


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_call_that_succeeds_reads_no_catalogue(iris: Endpoint, protocol: str) -> None:
    language._catalogue.cache_clear()
    assert tfserving.predict(iris.replace(retries=1), {"features": IRIS}, protocol=protocol)
    assert language._catalogue.cache_info().misses == 0


def test_a_call_without_a_deadline_is_answered(iris: Endpoint) -> None:
    request = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    request.inputs["features"].CopyFrom(to_tensor_proto(IRIS, "float32"))
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channels.channel(iris))
    assert stub.Predict(request).outputs


@pytest.mark.parametrize(
    ("numbers", "fits"), [([0, 255], True), ([256], False), ([-1], False), ([0.5], False)]
)
def test_whole_numbers_in_a_list_fit_unsigned_inputs(numbers: list[float], fits: bool) -> None:
    takes = Signature({"x": TensorSpec(np.dtype("uint8"), (-1,))}, {})
    known = Signatures("any", 1, {"serving_default": takes})
    if fits:
        assert check_inputs(known, "", {"x": numbers})["x"].dtype == np.uint8
        return
    with pytest.raises(errors.BadInput, match="uint8"):
        check_inputs(known, "", {"x": numbers})


def test_a_signature_with_a_ragged_output_leaves_the_others_alone() -> None:
    plain, ragged = meta_graph_pb2.SignatureDef(), meta_graph_pb2.SignatureDef()
    for signature in (plain, ragged):
        signature.inputs["x"].dtype = types_pb2.DT_FLOAT
    plain.outputs["y"].dtype = types_pb2.DT_FLOAT
    spec = ragged.outputs["y"].composite_tensor.type_spec  # and no dtype, as TensorFlow writes it
    spec.type_spec_class_name = "RaggedTensorSpec"
    signatures = from_signature_defs("m", 1, {"plain": plain, "serving_default": ragged})
    assert list(signatures) == ["plain"]
    reason = "cannot be called here: 'y' is several tensors in one (RaggedTensorSpec)."
    assert signatures.uncallable == {"serving_default": reason}
    assert reason in repr(signatures)
    assert check_inputs(signatures, "plain", {"x": 1.0})["x"] == 1
    with pytest.raises(errors.BadInput, match="Signature 'serving_default' cannot be called here"):
        check_inputs(signatures, "", {"x": 1.0})
