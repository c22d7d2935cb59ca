"""The helper over REST: the same answers and the same errors as over gRPC."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import practice
from helpers import channels, errors, tfserving
from helpers.endpoints import Endpoint
from helpers.serving_api import example_pb2
from practice.instance import PrivateEndpoint
from tests.fuzzing import examples
from tests.http_answers import http_answer
from tests.tfserving import MODELS, make_odd_models, on_tensorflow

IRIS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
FLOWERS = [
    {"sepal_length": a, "sepal_width": b, "petal_length": c, "petal_width": d}
    for a, b, c, d in IRIS
]
DIGIT = (MODELS.parent / "images" / "digit.png").read_bytes()
# Each shipped model's signatures, and an input for each.
SERIALIZED = [
    example_pb2.Example(
        features={"feature": {n: {"float_list": {"value": [v]}} for n, v in each.items()}}
    ).SerializeToString()
    for each in FLOWERS
]
CHANCE = np.random.default_rng(8)
SHIPPED: list[tuple[str, str, dict[str, Any]]] = [
    ("iris", "serving_default", {"features": IRIS}),
    ("digits", "serving_default", {"images": CHANCE.random((3, 8, 8, 1), "f4")}),
    ("digits_detector", "detected_model", {"images": CHANCE.random((2, 96, 96, 1), "f4")}),
    ("digits_encoded", "serving_default", {"image_bytes": [DIGIT, DIGIT]}),
    ("iris_examples", "serving_default", {"inputs": SERIALIZED}),
    ("iris_examples", "classify", {"inputs": SERIALIZED}),
    ("iris_examples", "regress", {"inputs": SERIALIZED}),
    ("iris_examples", "predict", {"features": IRIS}),
]
NAMES = sorted({model for model, _, _ in SHIPPED})


@pytest.fixture(scope="module")
def service(
    needs_tensorflow, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateEndpoint]:
    """Return one that runs all models on TensorFlow, those that nobody ships too."""
    folder = tmp_path_factory.mktemp("models") / "all"
    shutil.copytree(MODELS, folder)
    make_odd_models(folder)
    flags = ["--rest_api_timeout_in_ms=1500"]
    with practice.private("tfserving-tf", models=folder, flags=flags) as one:
        yield one


def only_rest(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(grpc="")


def both(call: Callable[[str], Any]) -> tuple[Any, Any]:
    return call("grpc"), call("rest")


def assert_equal(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> None:
    assert sorted(one) == sorted(other)
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape)
        np.testing.assert_array_equal(array, other[name])
        assert other[name].flags.writeable


# The same answers.


@pytest.mark.parametrize(("model", "signature", "inputs"), SHIPPED)
def test_every_signature_of_every_shipped_model_predicts_the_same(
    service, model, signature, inputs
) -> None:
    called = service.replace(model=model, signature_name=signature)
    assert_equal(*both(lambda protocol: tfserving.predict(called, inputs, protocol=protocol)))


@pytest.mark.parametrize(("model", "signature", "inputs"), SHIPPED[:4])
def test_unchecked_it_is_the_same(service, model, signature, inputs) -> None:
    called = service.replace(model=model, signature_name=signature)
    given = {
        name: np.array(v, "f4" if name != "image_bytes" else "O") for name, v in inputs.items()
    }
    assert_equal(
        *both(lambda protocol: tfserving.predict(called, given, check=False, protocol=protocol))
    )


@pytest.mark.parametrize("model", NAMES)
def test_status_and_signatures_are_the_same(service, model: str) -> None:
    called = service.replace(model=model)
    status, of_rest = both(lambda protocol: tfserving.status(called, protocol=protocol))
    assert (status, list(status)) == (of_rest, list(of_rest))
    one, other = both(lambda protocol: tfserving.signatures(called, protocol=protocol))
    assert (one, one.model, one.version) == (other, other.model, other.version)
    assert {(m, s) for m, s, _ in SHIPPED if m == model} == {(model, name) for name in other}


@pytest.mark.parametrize("signature", ["", "classify"])
def test_classes_are_the_same(service, signature: str) -> None:
    called = service.replace(model="iris_examples", signature_name=signature)
    one, other = both(lambda protocol: tfserving.classify(called, FLOWERS, protocol=protocol))
    assert one == other
    assert [max(row, key=lambda each: each.score).label for row in other] == ["setosa", "virginica"]


def test_values_are_the_same(service) -> None:
    called = service.replace(model="iris_examples", signature_name="regress")
    one, other = both(lambda protocol: tfserving.regress(called, FLOWERS, protocol=protocol))
    assert (one.dtype, other.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("examples", "context", "values"),
    [
        ([{"v": 1.0}, {"v": 2.5, "shared": 3.0}], {"shared": 2.0, "v": 9.0}, [201, 302.5]),
        ([{"v": [1.0]}], None, [-99]),
        ([{"v": 2**0.5}], {"shared": 0.0}, [np.float32(2**0.5)]),
    ],
)
def test_a_context_is_the_same(service, examples, context, values) -> None:
    called = service.replace(model="odd", signature_name="with_shared")
    for protocol in ("grpc", "rest"):
        found = tfserving.regress(called, examples, context=context, protocol=protocol)
        assert found.tolist() == values


@pytest.mark.parametrize(
    ("signature", "row"),
    [
        ("only_scores", [("", 0.25), ("", 0.75)]),
        ("only_classes", [("no", 0), ("yes", 0)]),
    ],
)
def test_what_a_model_leaves_out_is_the_same(service, signature: str, row) -> None:
    called = service.replace(model="odd", signature_name=signature)
    for protocol in ("grpc", "rest"):
        assert tfserving.classify(called, [{"v": 1.0}], protocol=protocol) == [row]


@pytest.mark.parametrize(
    "features",
    [
        {"v": [1, 2, 3]},
        {"v": [1.0, 2.5]},
        {"v": "text"},
        {"v": [b"\xff\0", b""]},
        {"v": []},
        {"v": True},
        {"v": np.float32(0.1)},
        {"v": np.arange(3)},
        {"v": -(2**63)},
    ],
)
def test_features_of_each_kind_arrive_the_same(service, features) -> None:
    """A feature of another kind than the model's is refused with its kind in the text."""
    called = service.replace(model="iris_examples", signature_name="regress")
    example = FLOWERS[0] | {"sepal_length": features["v"]}
    found = []
    for protocol in ("grpc", "rest"):
        try:
            found.append(tfserving.regress(called, [example], protocol=protocol).tolist())
        except errors.BadInput as error:
            found.append(error.details)
    assert found[0] == found[1]


def test_without_a_grpc_address_rest_is_taken(service) -> None:
    called = only_rest(service).replace(model="iris")
    assert_equal(
        tfserving.predict(called, {"features": IRIS}),
        tfserving.predict(service.replace(model="iris"), {"features": IRIS}, protocol="grpc"),
    )
    assert tfserving.status(called) == {1: tfserving.VersionStatus("AVAILABLE")}
    assert list(tfserving.signatures(called)) == ["serving_default"]
    examples = called.replace(model="iris_examples")
    assert len(tfserving.classify(examples, FLOWERS)) == 2
    assert len(tfserving.regress(examples, FLOWERS, signature_name="regress")) == 2


@pytest.mark.parametrize(
    "which", [{}, {"version": 1}, {"version": 2}, {"version_label": "stable"}], ids=str
)
def test_versions_and_labels_are_the_same(service, which) -> None:
    called = service.replace(model="digits", **which)
    inputs = {"images": CHANCE.random((2, 8, 8, 1), "f4")}
    assert_equal(*both(lambda protocol: tfserving.predict(called, inputs, protocol=protocol)))
    one, other = both(lambda protocol: tfserving.signatures(called, protocol=protocol).version)
    assert one == other == (which.get("version") or (1 if which else 2))
    assert tfserving.status(called, protocol="rest") == tfserving.status(called, protocol="grpc")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_json_does_not_have_go_and_come(service, number: float, dtype: str) -> None:
    called = service.replace(model="dtypes", signature_name=dtype)
    inputs = {"x": np.array([1.5, number], dtype)}
    assert_equal(*both(lambda protocol: tfserving.predict(called, inputs, protocol=protocol)))
    iris, flower = service.replace(model="iris"), {"features": [[number, 1, 1, 1]]}
    assert_equal(*both(lambda protocol: tfserving.predict(iris, flower, protocol=protocol)))


@pytest.mark.parametrize(
    ("model", "signature", "inputs"),
    [
        ("dtypes", "float32", {"x": np.zeros(0, "f4")}),
        ("dtypes", "string", {"x": np.zeros(0, "O")}),
        ("dtypes", "int64", {"x": np.zeros((2, 0), "i8")}),
        ("iris_examples", "", {"inputs": np.zeros(0, "O")}),
    ],
)
def test_an_empty_batch_of_one_dimension_gives_the_same(service, model, signature, inputs) -> None:
    called = service.replace(model=model, signature_name=signature)
    assert_equal(*both(lambda protocol: tfserving.predict(called, inputs, protocol=protocol)))


@pytest.mark.parametrize("name", ["tfserving", on_tensorflow("tfserving-tf")])
def test_an_empty_batch_of_more_dimensions_is_for_grpc_only(service, name: str, endpoint) -> None:
    """JSON writes the shape [0, 4] as `[]`, which reads as [0]."""
    called = (endpoint if name == "tfserving" else service).replace(model="iris")
    inputs = {"features": np.zeros((0, 4), "f4")}
    assert tfserving.predict(called, inputs, protocol="grpc")["probabilities"].shape == (0, 3)
    for check in (True, False):
        with pytest.raises(errors.BadInput):
            tfserving.predict(called, inputs, check=check, protocol="rest")


def test_20_megabytes_go_through(service) -> None:
    rows = CHANCE.random((500_000, 4), "f4")
    called = service.replace(model="dtypes", signature_name="float32")
    answer = tfserving.predict(called, {"x": rows}, timeout=120, protocol="rest", check=False)["y"]
    np.testing.assert_array_equal(answer, rows)


# The same errors.

FAILURES: list[tuple[type[errors.CallError], dict[str, Any], Any]] = [
    (errors.UnknownModel, {"model": "iriss"}, {"features": IRIS}),
    (errors.UnknownModel, {"model": ""}, {"features": IRIS}),
    (errors.UnknownModel, {"model": "a/b"}, {"features": IRIS}),
    (errors.UnknownModel, {"model": "metadata"}, {"features": IRIS}),
    (errors.UnknownModel, {"version": 9}, {"features": IRIS}),
    (errors.UnknownModel, {"version_label": "stable"}, {"features": IRIS}),
    (errors.UnknownModel, {"version_label": "a/b c"}, {"features": IRIS}),
    (errors.UnknownSignature, {"signature_name": "serving_defualt"}, {"features": IRIS}),
    (errors.BadInput, {}, {"feature": IRIS}),
    (errors.BadInput, {}, {}),
    (errors.BadInput, {}, {"features": IRIS, "more": 1}),
    (errors.BadInput, {}, IRIS),
    (errors.BadInput, {}, {"features": np.zeros((1, 4))}),
    (errors.BadInput, {}, {"features": [["a", "b", "c", "d"]]}),
    (errors.BadInput, {}, {"features": [[1j, 0, 0, 0]]}),
    (errors.BadInput, {}, {"features": IRIS[0]}),
    (errors.BadInput, {}, {"features": [[1, 2, 3]]}),
    (errors.BadInput, {}, {"features": [[1, 2, 3, 4], [1]]}),
    (errors.BadInput, {}, {"features": None}),
]


def caught(call: Callable[[], Any]) -> errors.CallError:
    with pytest.raises(errors.CallError) as found:
        call()
    return found.value


@pytest.mark.parametrize(("kind", "changes", "inputs"), FAILURES)
def test_each_mistake_is_told_in_the_same_sentence(service, kind, changes, inputs) -> None:
    called = service.replace(**{"model": "iris", **changes})
    one, other = both(
        lambda protocol: caught(lambda: tfserving.predict(called, inputs, protocol=protocol))
    )
    assert type(one) is type(other) is kind
    assert str(one).replace(service.grpc, "") == str(other).replace(service.rest, "")


@pytest.mark.parametrize(
    ("kind", "changes", "inputs"),
    [
        (errors.UnknownSignature, {"signature_name": "no"}, {"features": np.array(IRIS, "f4")}),
        (errors.BadInput, {}, {"feature": np.array(IRIS, "f4")}),
        (errors.BadInput, {}, {"features": np.array([["a"] * 4])}),
        (errors.BadInput, {}, {"features": np.zeros((1, 3), "f4")}),
        (errors.UnknownModel, {"version": 9}, {"features": np.array(IRIS, "f4")}),
        (errors.UnknownModel, {"version": 2**63 - 1}, {"features": np.array(IRIS, "f4")}),
        (errors.BadInput, {"model": "odd", "signature_name": "divide"}, {"b": np.zeros(1, "i4")}),
        (errors.DeadlineExceeded, {"model": "odd", "signature_name": "slow"}, {"a": np.float32(0)}),
    ],
)
def test_what_the_service_finds_wrong_is_the_same_error(service, kind, changes, inputs) -> None:
    called = service.replace(**{"model": "iris", **changes})
    one, other = both(
        lambda protocol: caught(
            lambda: tfserving.predict(called, inputs, check=False, timeout=0.8, protocol=protocol)
        )
    )
    assert type(one) is type(other) is kind
    assert (other.service, other.endpoint) == ("TensorFlow Serving", service.rest)


def test_the_services_own_timeout_is_a_deadline_too(service) -> None:
    slow = service.replace(model="odd", signature_name="slow")
    error = caught(
        lambda: tfserving.predict(slow, {"a": np.float32(0)}, timeout=30, protocol="rest")
    )
    assert (type(error), error.code) == (errors.DeadlineExceeded, 504)


@pytest.mark.parametrize("method", [tfserving.classify, tfserving.regress])
@pytest.mark.parametrize(
    ("kind", "changes", "examples"),
    [
        (errors.UnknownModel, {"model": "no"}, FLOWERS),
        (errors.UnknownModel, {"version": 9}, FLOWERS),
        (errors.UnknownModel, {"version_label": "x"}, FLOWERS),
        (errors.UnknownSignature, {"signature_name": "no"}, FLOWERS),
        (errors.BadInput, {}, []),
        (errors.BadInput, {}, [{"v": [1, "x"]}]),
        (errors.BadInput, {}, [{"v": None}]),
        (errors.BadInput, {}, ["v"]),
        (errors.BadInput, {"signature_name": "predict"}, FLOWERS),
        (errors.BadInput, {"model": "odd", "signature_name": "two_inputs"}, FLOWERS),
    ],
)
def test_classify_and_regress_fail_the_same(service, method, kind, changes, examples) -> None:
    called = service.replace(**{"model": "iris_examples", **changes})
    one, other = both(lambda protocol: caught(lambda: method(called, examples, protocol=protocol)))
    assert type(one) is type(other) is kind


@pytest.mark.parametrize("call", [tfserving.status, tfserving.signatures])
@pytest.mark.parametrize("changes", [{"model": "irsi"}, {"model": ""}, {"version": 9}])
def test_status_and_signatures_fail_the_same(service, call, changes) -> None:
    called = service.replace(**{"model": "iris", **changes})
    one, other = both(lambda protocol: caught(lambda: call(called, protocol=protocol)))
    assert type(one) is type(other) is errors.UnknownModel
    assert str(one).replace(service.grpc, "") == str(other).replace(service.rest, "")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint16", "complex64"])
def test_what_rest_does_not_carry_is_bad_input(service, dtype: str) -> None:
    import ml_dtypes

    kind = getattr(ml_dtypes, dtype) if dtype == "bfloat16" else dtype
    called = service.replace(model="dtypes", signature_name=dtype)
    inputs = {"x": np.ones(2).astype(kind)}
    assert tfserving.predict(called, inputs, protocol="grpc")["y"].dtype == np.dtype(kind)
    with pytest.raises(errors.BadInput):
        tfserving.predict(called, inputs, protocol="rest")


def test_the_protocol_is_grpc_or_rest(service) -> None:
    with pytest.raises(errors.BadInput, match="protocol is grpc, rest or empty, not 'http'"):
        tfserving.predict(service.replace(model="iris"), {"features": IRIS}, protocol="http")


# Other servers, and bad connections.


CALLS: dict[str, Callable[[Endpoint], Any]] = {
    "predict": lambda e: tfserving.predict(e, {"features": IRIS}, timeout=5),
    "status": lambda e: tfserving.status(e, timeout=5),
    "signatures": lambda e: tfserving.signatures(e, timeout=5),
    "classify": lambda e: tfserving.classify(e, FLOWERS, timeout=5),
    "regress": lambda e: tfserving.regress(e, FLOWERS, timeout=5),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (http_answer(b"<html>Welcome</html>"), errors.NotThisProtocol),
        (http_answer(b""), errors.NotThisProtocol),
        (http_answer(b"null"), errors.NotThisProtocol),
        (http_answer(b"[]"), errors.NotThisProtocol),
        (http_answer(b'{"hello": 1}'), errors.NotThisProtocol),
        (
            http_answer(
                b'{"outputs": {"a": 1}, "results": 1, "metadata": 1, "model_version_status": 1}'
            ),
            errors.NotThisProtocol,
        ),
        (http_answer(b"\xff\xfe"), errors.NotThisProtocol),
        (http_answer(b"<html>Nothing here</html>", 404), errors.NotThisProtocol),
        (http_answer(b"<html>Sorry</html>", 500), errors.ServiceFailed),
        (http_answer(b'{"error": "Sorry"}', 500), errors.ServiceFailed),
        (http_answer(b'{"error": "Later"}', 503), errors.ConnectionFailed),
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.NotThisProtocol),
    ],
)
def test_a_server_that_is_another_is_noticed(tcp_server, name: str, content: bytes, kind) -> None:
    other = Endpoint("tfserving", rest=f"http://{tcp_server(content)}", model="iris")
    found = caught(lambda: CALLS[name](other))
    channels.close()
    assert type(found) is kind


@pytest.mark.parametrize("name", CALLS)
def test_nobody_listening(name: str) -> None:
    gone = Endpoint("tfserving", rest="http://127.0.0.1:1", model="iris")
    with pytest.raises(errors.ConnectionFailed, match=r"Nothing answers at http://127\.0\.0\.1:1"):
        CALLS[name](gone)


def test_a_server_that_never_answers_meets_the_deadline(tcp_server: Callable) -> None:
    silent = Endpoint("tfserving", rest=f"http://{tcp_server(None)}", model="iris")
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        tfserving.predict(silent, {"features": IRIS}, timeout=0.5)
    assert time.monotonic() - began < 60


def test_retries_end_with_the_deadline(tcp_server: Callable) -> None:
    busy = http_answer(status=503).replace(b"Connection: close", b"Retry-After: 600")
    for answer in (None, busy):
        there = Endpoint("tfserving", rest=f"http://{tcp_server(answer)}", model="iris", retries=4)
        with pytest.raises(errors.DeadlineExceeded):
            tfserving.status(there, timeout=0.5)


def test_an_answer_of_a_version_that_came_meanwhile_is_read_by_its_own_signature(service) -> None:
    called = only_rest(service).replace(model="digits")
    kept = tfserving.signatures(called)["serving_default"].outputs
    kept["kinds"] = kept.pop("classes")  # as if the version before had called it so
    outputs = tfserving.predict(called, {"images": np.zeros((1, 8, 8, 1), np.float32)})
    assert outputs.keys() == {"probabilities", "classes"}
    assert tfserving.signatures(called)["serving_default"].outputs.keys() == outputs.keys()


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_the_status_of_a_version_that_is_not_there_says_which_are(service, protocol: str) -> None:
    missing = service.replace(model="iris", version=99)
    with pytest.raises(errors.UnknownModel, match="Version 99 of model 'iris' .* version 1 is AVA"):
        tfserving.status(missing, protocol=protocol)


def test_a_call_is_tried_again(service) -> None:
    called = only_rest(service).replace(model="iris", retries=3)
    for fault in ({"fail": "UNAVAILABLE"}, {"cut": True}):
        service.trouble(**fault, calls=2)
        try:
            assert tfserving.predict(called, {"features": IRIS}, timeout=30)
        finally:
            service.trouble()


def test_without_retries_it_is_not(service) -> None:
    service.trouble(fail="UNAVAILABLE", calls=1)
    with pytest.raises(errors.ServiceFailed) as found:
        tfserving.status(only_rest(service).replace(model="iris"))
    assert found.value.code == 503
    assert tfserving.status(only_rest(service).replace(model="iris"))
    service.trouble()


# What both carry, they carry the same.

CARRIED = (
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool",
)
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=4)
PROPERTY = examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("dtype", CARRIED)
def test_numbers_agree(service, dtype: str) -> None:
    called = service.replace(model="dtypes", signature_name=dtype)

    @PROPERTY
    @given(arrays.arrays(dtype, SHAPES))
    def agree(array: np.ndarray) -> None:
        of_grpc, of_rest = both(
            lambda protocol: tfserving.predict(called, {"x": array}, protocol=protocol)
        )
        assert_equal(of_grpc, of_rest)
        np.testing.assert_array_equal(of_rest["y"], array)

    agree()


@pytest.mark.parametrize(
    "elements", [st.binary(max_size=20), st.text(max_size=20)], ids=["bytes", "text"]
)
def test_bytes_and_text_agree(service, elements: Any) -> None:
    called = service.replace(model="dtypes", signature_name="string")

    @PROPERTY
    @given(arrays.arrays("O", SHAPES, elements=elements))
    def agree(array: np.ndarray) -> None:
        of_grpc, of_rest = both(
            lambda protocol: tfserving.predict(called, {"x": array}, protocol=protocol)
        )
        assert_equal(of_grpc, of_rest)

    agree()


def test_a_file_that_is_no_text_comes_back_whole(service, tmp_path: Path) -> None:
    called = service.replace(model="dtypes", signature_name="string")
    every = bytes(range(256))
    for content in (
        every,
        DIGIT,
        b"",
        b"\0",
        "é\u2028\U0001f600".encode(),
        b'"\\',
        b"\xed\xa0\x80",
    ):
        found = tfserving.predict(called, {"x": [content, b"x"]}, protocol="rest")["y"]
        assert found.tolist() == [content, b"x"]
