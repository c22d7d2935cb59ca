"""The practice TensorFlow Serving's gRPC beyond Predict, row by row as the product behaves.

Predict, metadata and status have their plainer rows in test_practice_tfserving.py.
"""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from helpers.serving_api import (
    classification_pb2,
    example_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    meta_graph_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
    tensor_pb2,
)
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving import tensorproto
from practice.tfserving.engine import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD
from tests.tfserving import (
    AVAILABLE,
    MODELS,
    Running,
    config_of,
    make_odd_models,
    refusal,
    running,
    write_config,
)

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SETOSA, VIRGINICA = [5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]
NO_MODEL = "Servable not found for request: Latest(no)"


@pytest.fixture(scope="module")
def models(
    needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    odd = make_odd_models(tmp_path_factory.mktemp("odd"))
    digits = {"name": "digits", "base_path": MODELS / "digits"}
    labels = {"stable": 1, "canary": 2}
    return [
        {"name": "odd", "base_path": odd / "odd"},
        {"name": "iris_examples", "base_path": MODELS / "iris_examples"},
        digits | {"model_version_policy": {"all": {}}, "version_labels": labels},
    ]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, models) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    flags = ["--prefer_tflite_model", "--allow_version_labels_for_unavailable_models"]
    with running(folder, write_config(folder / "models.config", *models), *flags) as one:
        yield one


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, models) -> Iterator[Running]:
    """Return one that checks methods and answers in `tensor_content`."""
    folder = tmp_path_factory.mktemp("strict")
    flags = ["--enable_signature_method_name_check", "--enable_serialization_as_tensor_content"]
    with running(folder, write_config(folder / "models.config", *models[:2]), *flags) as one:
        yield one


# Requests.


def example(**features: float) -> Any:
    made = example_pb2.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def flower(lengths: list[float]) -> Any:
    return example(**dict(zip(NAMES, lengths, strict=True)))


TWO = {"example_list": {"examples": [example(v=1), example(v=2)]}}
FLOWERS = {"example_list": {"examples": [flower(SETOSA), flower(VIRGINICA)]}}


def classify(signature: str = "", given: Any = TWO, model: str = "odd", **spec: Any) -> Any:
    spec |= {"name": model, "signature_name": signature}
    return classification_pb2.ClassificationRequest(model_spec=spec, input=given)


def regress(signature: str = "", given: Any = TWO, model: str = "odd", **spec: Any) -> Any:
    spec |= {"name": model, "signature_name": signature}
    return regression_pb2.RegressionRequest(model_spec=spec, input=given)


def tasks(*planned: tuple[str, str, str], given: Any = TWO) -> Any:
    """Make a MultiInferenceRequest of models, signatures and methods."""
    return inference_pb2.MultiInferenceRequest(
        tasks=[
            {"model_spec": {"name": model, "signature_name": signature}, "method_name": method}
            for model, signature, method in planned
        ],
        input=given,
    )


def predict(signature: str, model: str = "odd", **inputs: Any) -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": model, "signature_name": signature})
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value))
    return request


def spec_of(response: Any) -> tuple[str, str, int, str]:
    spec = response.model_spec
    return spec.name, spec.signature_name, spec.version.value, spec.version_label


def labels_and_scores(result: Any) -> list[list[tuple[str, float]]]:
    return [[(one.label, one.score) for one in each.classes] for each in result.classifications]


# Predict.


def test_a_signature_of_another_method_is_predicted_with(service: Running) -> None:
    given = np.array(
        [each.SerializeToString() for each in FLOWERS["example_list"]["examples"]], "O"
    )
    response = service.prediction.Predict(predict("", "iris_examples", inputs=given), timeout=30)
    assert to_ndarray(response.outputs["scores"]).argmax(axis=1).tolist() == [0, 2]
    assert to_ndarray(response.outputs["classes"])[1].tolist()[2] == b"virginica"
    assert spec_of(response) == ("iris_examples", "serving_default", 1, "")


def test_an_input_with_a_default_may_be_left_out(service: Running) -> None:
    response = service.prediction.Predict(predict("add_optional", a=np.float32(2)), timeout=30)
    assert to_ndarray(response.outputs["y"]) == 42


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 2), (0,)])
def test_an_answer_has_the_shape_of_what_was_sent(service: Running, shape) -> None:
    request = predict("add", a=np.ones(shape, "f4"), b=np.ones(shape, "i4"))
    answer = to_ndarray(service.prediction.Predict(request, timeout=30).outputs["y"])
    assert (answer.shape, answer.tolist()) == (shape, np.full(shape, 2.0).tolist())


@pytest.mark.parametrize("how", ["plain", "broadcast"])
def test_typed_fields_are_read_as_tensors_are(service: Running, how: str) -> None:
    request = predict("add", a=np.ones(3, "f4"), b=np.full(3, 5, "i4"))
    request.inputs["b"].ClearField("tensor_content")
    request.inputs["b"].int_val.extend([5] if how == "broadcast" else [5, 5, 5])
    answer = to_ndarray(service.prediction.Predict(request, timeout=30).outputs["y"])
    assert answer.tolist() == [6, 6, 6]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (
            predict("add", a=np.float32(1)),
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {b}.",
        ),
        (
            predict("add", a=np.float32(1), b=np.int32(1), c=np.int32(1)),
            "INVALID_ARGUMENT",
            "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). "
            "Sent extra: {c}. Missing but required: {}.",
        ),
        (
            predict("add", a=np.float32(1), b=np.float64(1)),
            "INVALID_ARGUMENT",
            "Expects arg[1] to be int32 but double is provided",
        ),
        (
            predict("add", a=np.array(["x"]), b=np.int32(1)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but string is provided",
        ),
        (
            predict("no_method", a=np.int64(1)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int64 is provided",
        ),
        (
            predict("tensors_the_other_way", a=np.int32(1), b=np.int32(1)),
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but int32 is provided",
        ),
    ],
)
def test_predict_refuses_as_the_product_does(service: Running, request_, code, text) -> None:
    assert refusal(service.prediction.Predict, request_) == (code, text)


def test_a_wrong_output_filter_is_said_before_a_wrong_dtype(service: Running) -> None:
    request = predict("no_method", a=np.int64(1))
    request.output_filter.append("z")
    text = "output tensor alias not found in signature: z Outputs expected to be in the set {y}."
    assert refusal(service.prediction.Predict, request) == ("INVALID_ARGUMENT", text)


def test_as_many_inputs_of_other_names_are_refused(service: Running) -> None:
    code, text = refusal(service.prediction.Predict, predict("add", a=np.float32(1), c=np.int32(1)))
    assert (code, "c" in text) == ("INVALID_ARGUMENT", True)


def test_what_an_operation_cannot_do_is_said_in_its_own_words(service: Running) -> None:
    code, text = refusal(service.prediction.Predict, predict("divide", b=np.zeros(2, "i4")))
    assert (code, "Integer division by zero" in text) == ("INVALID_ARGUMENT", True)


def test_the_deadline_of_a_call_ends_it(service: Running) -> None:
    request = predict("slow", a=np.float32(0))  # it would take hundreds of years
    assert refusal(service.prediction.Predict, request, timeout=0.3)[0] == "DEADLINE_EXCEEDED"
    response = service.prediction.Predict(predict("no_method", a=np.float32(1)), timeout=30)
    assert to_ndarray(response.outputs["y"]) == 2


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress", "GetModelMetadata"])
def test_a_call_without_a_deadline_is_answered(service: Running, method: str) -> None:
    requests = {
        "Predict": predict("no_method", a=np.float32(1)),
        "Classify": classify("both"),
        "Regress": regress("value"),
        "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec={"name": "odd"}, metadata_field=["signature_def"]
        ),
    }
    response = getattr(service.prediction, method)(requests[method])
    assert response.model_spec.name == "odd"


def test_outputs_may_travel_as_tensor_content(strict: Running, service: Running) -> None:
    request = predict("add", a=np.array([0.5, 2], "f4"), b=np.array([1, 2], "i4"))
    packed = strict.prediction.Predict(request, timeout=30).outputs["y"]
    typed = service.prediction.Predict(request, timeout=30).outputs["y"]
    assert (len(packed.tensor_content), len(packed.float_val)) == (8, 0)
    assert (len(typed.tensor_content), list(typed.float_val)) == (0, [1.5, 4])
    assert to_ndarray(packed).tolist() == to_ndarray(typed).tolist()


# Classify and Regress.


def test_flowers_are_classified(service: Running) -> None:
    request = classify(given=FLOWERS, model="iris_examples")
    response = service.prediction.Classify(request, timeout=30)
    assert spec_of(response) == ("iris_examples", "serving_default", 1, "")
    rows = labels_and_scores(response.result)
    assert [max(row, key=lambda one: one[1])[0] for row in rows] == ["setosa", "virginica"]
    assert [label for label, _ in rows[0]] == ["setosa", "versicolor", "virginica"]
    assert sum(score for _, score in rows[0]) == pytest.approx(1)


def test_flowers_have_a_width(service: Running) -> None:
    request = regress("regress", FLOWERS, "iris_examples")
    response = service.prediction.Regress(request, timeout=30)
    assert spec_of(response) == ("iris_examples", "regress", 1, "")
    widths = [each.value for each in response.result.regressions]
    assert widths == pytest.approx([0.2, 2.3], abs=0.6)


def test_scores_alone_have_empty_labels(service: Running) -> None:
    response = service.prediction.Classify(classify("only_scores"), timeout=30)
    assert labels_and_scores(response.result) == [[("", 0.25), ("", 0.75)]] * 2


def test_classes_alone_have_the_score_0(service: Running) -> None:
    response = service.prediction.Classify(classify("only_classes"), timeout=30)
    assert labels_and_scores(response.result) == [[("no", 0), ("yes", 0)]] * 2


@pytest.mark.parametrize("signature", ["value", "flat_value"])
def test_values_are_one_for_each_example(service: Running, signature: str) -> None:
    response = service.prediction.Regress(regress(signature), timeout=30)
    assert [each.value for each in response.result.regressions] == [1, 2]


def test_a_context_is_shared_and_an_examples_own_feature_wins(service: Running) -> None:
    given = {
        "example_list_with_context": {
            "examples": [example(v=1), example(v=2, shared=7)],
            "context": example(shared=3, v=9),
        }
    }
    response = service.prediction.Regress(regress("with_shared", given), timeout=30)
    assert [each.value for each in response.result.regressions] == [301, 702]


def test_a_signature_made_for_predict_classifies_when_its_keys_fit(service: Running) -> None:
    response = service.prediction.Classify(classify("predict_both"), timeout=30)
    assert labels_and_scores(response.result)[0] == [("no", 0.25), ("yes", 0.75)]
    response = service.prediction.Regress(regress("predict_value"), timeout=30)
    assert [each.value for each in response.result.regressions] == [1, 2]


INVALID = "INVALID_ARGUMENT"
OF_ANY = [
    (lambda make: make("x", model=""), INVALID, "ModelSpec has no name specified."),
    (lambda make: make("x", model="no"), "NOT_FOUND", NO_MODEL),
    (
        lambda make: make("x", version={"value": 9}),
        "NOT_FOUND",
        "Servable not found for request: Specific(odd, 9)",
    ),
    (
        lambda make: make("x", model="no", version={"value": 9}),
        "NOT_FOUND",
        "Servable not found for request: Specific(no, 9)",
    ),
    (
        lambda make: make("x", version_label="old"),
        INVALID,
        "Unrecognized servable version label: old",
    ),
    (
        lambda make: make("x", model="no", version_label="old"),
        INVALID,
        "Unrecognized servable version label: old",
    ),
    (lambda make: make("x"), INVALID, "No signature was found with the name: x"),
    (lambda make: make(), INVALID, "No signature was found with the name: serving_default"),
]


@pytest.mark.parametrize(("method", "make"), [("Classify", classify), ("Regress", regress)])
@pytest.mark.parametrize(("change", "code", "text"), OF_ANY)
def test_what_is_not_there_is_said(service: Running, method, make, change, code, text) -> None:
    assert refusal(getattr(service.prediction, method), change(make)) == (code, text)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Classify", classification_pb2.ClassificationRequest(input=TWO)),
        ("Regress", regression_pb2.RegressionRequest(input=TWO)),
    ],
)
def test_a_request_without_a_model_spec_is_refused(service: Running, method, request_) -> None:
    found = refusal(getattr(service.prediction, method), request_)
    assert found == (INVALID, "Missing ModelSpec")


@pytest.mark.parametrize(
    "given",
    [{}, {"example_list": {}}, {"example_list_with_context": {"context": example(v=1)}}],
    ids=["no kind", "no examples", "only context"],
)
@pytest.mark.parametrize("method", ["Classify", "Regress", "MultiInference"])
def test_no_examples_are_refused(service: Running, method: str, given) -> None:
    requests = {
        "Classify": classify("both", given),
        "Regress": regress("value", given),
        "MultiInference": tasks(("odd", "both", CLASSIFY_METHOD), given=given),
    }
    found = refusal(getattr(service.prediction, method), requests[method])
    assert found == (INVALID, "Input is empty.")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (classify("two_inputs"), "Expected one input Tensor."),
        (classify("three_outputs"), "Expected one or two output Tensors, found 3"),
        (classify("flat_scores"), "Expected Tensor shape: [batch_size num_classes] but got [2]"),
        (classify("one_row"), "Expected scores output batch size of 2. Got: 1"),
        (classify("whole_classes"), "Expected classes Tensor of DT_STRING. Got: DT_INT32"),
        (classify("double_scores"), "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        (
            classify("more_classes"),
            "Tensors class and score should match in dim_size(1). Got 4 vs. 2",
        ),
        (regress("value_two_inputs"), "Expected one input Tensor."),
        (regress("two_values"), "Expected one output Tensor."),
        (regress("one_value"), "Input batch size did not match output batch size: 2 vs. 1"),
        (regress("double_value"), "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
        (
            regress("wide_value"),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            "but got [2,2]",
        ),
    ],
)
def test_a_signature_that_is_not_made_for_it_is_refused(service: Running, request_, text) -> None:
    kind = "Classify" if type(request_).__name__.startswith("Class") else "Regress"
    assert refusal(getattr(service.prediction, kind), request_) == (INVALID, text)


@pytest.mark.parametrize(
    ("request_", "text", "tensor"),
    [
        (classify("other_input"), "No classification inputs found in SignatureDef: ", "examples"),
        (
            classify("other_outputs"),
            'Expected classification signature outputs to contain at least one of "classes" or '
            '"scores". Signature was: ',
            "a_name_that_is_quite_long_000",
        ),
        (regress("value_other_input"), "No regression inputs found in SignatureDef: ", "examples"),
        (regress("value_other_output"), "No regression outputs found in SignatureDef: ", "y"),
    ],
)
def test_a_signature_with_other_keys_is_shown(service: Running, request_, text, tensor) -> None:
    kind = "Classify" if type(request_).__name__.startswith("Class") else "Regress"
    code, found = refusal(getattr(service.prediction, kind), request_)
    assert (code, found[: len(text)]) == (INVALID, text)
    assert f'key: "{tensor}"' in found


def test_a_bad_example_is_refused_in_the_words_of_tensorflow(service: Running) -> None:
    given = {"example_list": {"examples": [example(sepal_length=1)]}}
    request = classify(given=given, model="iris_examples")
    code, text = refusal(service.prediction.Classify, request)
    assert (code, "is required but could not be found" in text) == (INVALID, True)


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        (
            "Predict",
            predict("no_method", a=np.float32(1)),
            "INTERNAL",
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. "
            "Was: tensorflow/serving/other",
        ),
        (
            "Classify",
            classify("value"),
            INVALID,
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/regress",
        ),
        (
            "Classify",
            classify("predict_both"),
            INVALID,
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/predict",
        ),
        (
            "MultiInference",
            tasks(("odd", "both", CLASSIFY_METHOD), ("odd", "predict_value", REGRESS_METHOD)),
            INVALID,
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict",
        ),
        (
            "Predict",
            predict("no_method", x=np.float32(1)),
            "INTERNAL",
            "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
            "tensorflow/serving/classify, tensorflow/serving/regress}. "
            "Was: tensorflow/serving/other",
        ),
        (
            "Regress",
            regress("both"),
            INVALID,
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/classify",
        ),
    ],
)
def test_with_the_flag_a_method_must_be_the_signatures(
    strict: Running, method, request_, code, text
) -> None:
    assert refusal(getattr(strict.prediction, method), request_) == (code, text)


def test_with_the_flag_what_fits_is_answered(strict: Running) -> None:
    assert strict.prediction.Classify(classify("both"), timeout=30).result.classifications
    assert strict.prediction.Regress(regress("value"), timeout=30).result.regressions
    given = np.array([example(v=1).SerializeToString()], "O")
    assert strict.prediction.Predict(predict("both", inputs=given), timeout=30).outputs


def test_without_the_flag_a_method_is_not_looked_at(service: Running) -> None:
    request = predict("no_method", a=np.float32(1))
    assert to_ndarray(service.prediction.Predict(request, timeout=30).outputs["y"]) == 2


# MultiInference.


def test_several_signatures_answer_in_the_order_of_the_tasks(service: Running) -> None:
    planned = [("regress", REGRESS_METHOD), ("classify", CLASSIFY_METHOD), ("", CLASSIFY_METHOD)]
    request = tasks(*[("iris_examples", *each) for each in planned], given=FLOWERS)
    results = service.prediction.MultiInference(request, timeout=30).results
    assert [spec_of(each) for each in results] == [
        ("iris_examples", name, 1, "") for name in ("regress", "classify", "serving_default")
    ]
    kinds = ["regression_result", "classification_result", "classification_result"]
    assert [each.WhichOneof("result") for each in results] == kinds
    alone = service.prediction.Regress(regress("regress", FLOWERS, "iris_examples"), timeout=30)
    assert results[0].regression_result == alone.result
    alone = service.prediction.Classify(classify("", FLOWERS, "iris_examples"), timeout=30)
    assert [each.classification_result for each in results[1:]] == [alone.result] * 2


def test_signatures_with_different_input_tensors_are_fed_the_same_examples(
    service: Running,
) -> None:
    planned = [("value", REGRESS_METHOD), ("elsewhere", CLASSIFY_METHOD), ("both", CLASSIFY_METHOD)]
    request = tasks(*[("odd", *each) for each in planned])
    results = service.prediction.MultiInference(request, timeout=30).results
    assert [spec_of(each) for each in results] == [("odd", name, 1, "") for name, _ in planned]
    alone = service.prediction.Regress(regress("value"), timeout=30)
    assert results[0].regression_result == alone.result
    for name, result in zip(("elsewhere", "both"), results[1:], strict=True):
        alone = service.prediction.Classify(classify(name), timeout=30)
        assert result.classification_result == alone.result


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (tasks(), INVALID, "ModelSpec has no name specified."),
        (tasks(("", "both", CLASSIFY_METHOD)), INVALID, "ModelSpec has no name specified."),
        (tasks(("no", "both", CLASSIFY_METHOD)), "NOT_FOUND", NO_MODEL),
        (
            tasks(("odd", "both", CLASSIFY_METHOD), ("iris_examples", "", CLASSIFY_METHOD)),
            INVALID,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            tasks(("odd", "both", CLASSIFY_METHOD), ("", "value", REGRESS_METHOD)),
            INVALID,
            "Found ModelSpec with an empty model name.",
        ),
        (
            tasks(("odd", "both", CLASSIFY_METHOD), ("odd", "both", CLASSIFY_METHOD)),
            INVALID,
            "Duplicate evaluation of signature: both",
        ),
        (
            tasks(("odd", "x", CLASSIFY_METHOD)),
            INVALID,
            "Requested signature not found in model graph: x",
        ),
        (
            tasks(("odd", "both", PREDICT_METHOD)),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        (tasks(("odd", "both", "")), "UNIMPLEMENTED", "Unsupported signature method_name: "),
        (
            tasks(("odd", "both", CLASSIFY_METHOD), ("odd", "value", "x")),
            "UNIMPLEMENTED",
            "Unsupported signature method_name: x",
        ),
        (
            tasks(("odd", "three_outputs", CLASSIFY_METHOD)),
            INVALID,
            "Expected one or two output Tensors, found 3",
        ),
        (tasks(("odd", "two_values", REGRESS_METHOD)), INVALID, "Expected one output Tensor."),
    ],
)
def test_multi_inference_refuses_as_the_product_does(service, request_, code, text) -> None:
    assert refusal(service.prediction.MultiInference, request_) == (code, text)


# Versions, labels, metadata and status.


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({}, 2),
        ({"version": {"value": 1}}, 1),
        ({"version_label": "stable"}, 1),
        ({"version_label": "canary"}, 2),
    ],
)
def test_a_version_is_the_newest_or_the_one_that_is_asked_for(service, spec, version) -> None:
    request = predict("", "digits", images=np.zeros((1, 8, 8, 1), "f4"))
    request.model_spec.MergeFrom(predict_pb2.PredictRequest(model_spec=spec).model_spec)
    response = service.prediction.Predict(request, timeout=30)
    assert spec_of(response) == ("digits", "serving_default", version, "")


@pytest.mark.parametrize("spec", [{}, {"version": {"value": 1}}, {"version_label": "stable"}])
def test_metadata_is_of_the_version_that_is_meant(service: Running, spec) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "digits", **spec}, metadata_field=["signature_def"] * 2
    )
    response = service.prediction.GetModelMetadata(request, timeout=30)
    assert spec_of(response) == ("digits", "", 1 if spec else 2, "")
    assert list(response.metadata) == ["signature_def"]


def test_metadata_has_the_methods_and_tensors_of_a_graph(service: Running) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec={"name": "iris_examples"}, metadata_field=["signature_def"]
    )
    response = service.prediction.GetModelMetadata(request, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    methods = {name: each.method_name for name, each in signatures.signature_def.items()}
    assert methods == {
        "serving_default": CLASSIFY_METHOD,
        "classify": CLASSIFY_METHOD,
        "regress": REGRESS_METHOD,
        "predict": PREDICT_METHOD,
    }
    info = signatures.signature_def["regress"].inputs["inputs"]
    assert info == meta_graph_pb2.TensorInfo(
        name="examples:0", dtype="DT_STRING", tensor_shape={"dim": [{"size": -1}]}
    )


@pytest.mark.parametrize(
    ("spec", "code", "text"),
    [
        ({"name": ""}, INVALID, "ModelSpec has no name specified."),
        (
            {"name": "odd", "version": {"value": 9}},
            "NOT_FOUND",
            "Servable not found for request: Specific(odd, 9)",
        ),
        (
            {"name": "digits", "version_label": "x"},
            INVALID,
            "Unrecognized servable version label: x",
        ),
    ],
)
def test_metadata_refuses_as_the_product_does(service: Running, spec, code, text) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    )
    assert refusal(service.prediction.GetModelMetadata, request) == (code, text)


@pytest.mark.parametrize(
    ("spec", "versions"),
    [
        ({}, [2, 1]),
        ({"version": {"value": 1}}, [1]),
        ({"version_label": "stable"}, [2, 1]),
        ({"version_label": "no such label"}, [2, 1]),
    ],
)
def test_status_is_highest_first_and_passes_over_labels(service, spec, versions) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "digits", **spec})
    response = service.models.GetModelStatus(request, timeout=30)
    found = [(each.version, each.state, each.status) for each in response.model_version_status]
    fine = get_model_status_pb2.ModelVersionStatus(status={"error_code": "OK"}).status
    assert found == [(version, AVAILABLE, fine) for version in versions]


# Reloads that are refused change nothing.

IRIS = {"name": "iris_examples", "base_path": MODELS / "iris_examples"}


@pytest.mark.parametrize(
    ("wanted", "code", "text"),
    [
        (
            [IRIS, IRIS],
            INVALID,
            "Illegal to list model iris_examples multiple times in config list",
        ),
        (
            [IRIS | {"base_path": "data/models"}],
            INVALID,
            "Expected model iris_examples to have an absolute path or URI; "
            "got base_path()=data/models",
        ),
        (
            [IRIS | {"model_platform": "caffe"}],
            INVALID,
            "Illegal to change a model's platform. For model iris_examples platform was tensorflow "
            "and new platform requested is caffe",
        ),
        (
            [IRIS | {"name": "new", "model_platform": "caffe"}],
            INVALID,
            "Model new requests unsupported platform caffe",
        ),
        (
            [IRIS | {"name": "new", "model_platform": ""}],
            INVALID,
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is new",
        ),
    ],
)
def test_a_config_that_is_refused_changes_nothing(service, wanted, code, text) -> None:
    request = model_management_pb2.ReloadConfigRequest(config=config_of(*wanted))
    assert refusal(service.models.HandleReloadConfigRequest, request) == (code, text)
    assert service.states("digits") == {2: AVAILABLE, 1: AVAILABLE}
    assert service.states("new") == {}


@pytest.mark.parametrize("config", [{}, {"custom_model_config": {}}])
def test_only_a_list_of_models_is_a_config(service: Running, config) -> None:
    request = model_management_pb2.ReloadConfigRequest(config=config)
    assert refusal(service.models.HandleReloadConfigRequest, request) == (
        INVALID,
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
    )


# On the wire.


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("tensorflow.serving.PredictionService/Nothing", "UNIMPLEMENTED"),
        ("tensorflow.serving.SessionService/SessionRun", "UNIMPLEMENTED"),
        ("grpc.health.v1.Health/Check", "UNIMPLEMENTED"),
    ],
)
def test_what_is_not_served_is_unimplemented(service: Running, method: str, code: str) -> None:
    assert refusal(service.channel.unary_unary(f"/{method}"), b"")[0] == code


@pytest.mark.parametrize(
    "method",
    [
        *(
            f"PredictionService/{each}"
            for each in ("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata")
        ),
        "ModelService/GetModelStatus",
        "ModelService/HandleReloadConfigRequest",
    ],
)
@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0b"])
def test_what_is_no_message_is_internal_and_not_logged(service, method: str, content) -> None:
    raw = service.channel.unary_unary(f"/tensorflow.serving.{method}")
    assert refusal(raw, content) == ("INTERNAL", "")
    assert "Exception deserializing" not in service.log()


def test_a_text_of_1024_bytes_is_whole_and_a_longer_one_is_cut(service: Running) -> None:
    text = "No signature was found with the name: "
    fits = "x" * (1024 - len(text))
    assert refusal(service.prediction.Classify, classify(fits)) == (INVALID, text + fits)
    _, found = refusal(service.prediction.Classify, classify(fits + "y"))
    assert found == f"{text}{fits}...TRUNCATED"


def test_a_cut_never_leaves_half_a_letter(service: Running) -> None:
    _, found = refusal(service.prediction.Classify, classify("é" * 1000))
    assert (set(found[38:-12]), found[-12:]) == ({"é"}, "...TRUNCATED")


def test_compressed_requests_are_read(service: Running) -> None:
    response = service.prediction.Classify(
        classify("both"), timeout=30, compression=grpc.Compression.Gzip
    )
    assert len(response.result.classifications) == 2


def test_nothing_failed_unforeseen(service: Running, strict: Running) -> None:
    for one in (service, strict):
        assert "Traceback" not in one.log()


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "c8", "c16", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
)
def test_an_output_of_any_dtype_is_what_its_tensor_says(dtype: str, as_content: bool) -> None:
    array = np.array([[0, 1, 2], [3, 0, 5]]).astype(dtype)
    if array.dtype.kind == "c":
        array += np.array(1.5j, dtype)
    proto = tensor_pb2.TensorProto()
    tensorproto.fill(proto, array, as_content=as_content)
    read = to_ndarray(proto)
    assert (read.dtype, bool(proto.tensor_content)) == (array.dtype, as_content)
    np.testing.assert_array_equal(read, array)
