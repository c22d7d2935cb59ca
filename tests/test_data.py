"""The shipped models and pictures: they agree with each other and with what data/README.md says."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from PIL import Image, ImageOps

from data import build_digit
from helpers.serving_api import meta_graph_pb2
from practice.ccai.engines import digits
from practice.tfserving.engine import Task
from practice.tfserving.failures import Failure
from practice.tfserving.savedmodel import SavedModel

DATA = Path(__file__).resolve().parent.parent / "data"
SIGNATURES = {
    "digits_detector": "detected_model",
    "digits": "serving_default",
    "digits_2": "serving_default",
    "iris": "serving_default",
}
INPUTS = {
    "digits_detector": "images",
    "digits": "images",
    "digits_2": "images",
    "iris": "features",
}
SHAPES = {
    "digits_detector": (96, 96, 1),
    "digits": (8, 8, 1),
    "digits_2": (8, 8, 1),
    "iris": (4,),
}
OUTPUTS: dict[str, dict[str, tuple[type, tuple[int, ...]]]] = {
    "digits_detector": {
        "detection_boxes": (np.float32, (10, 4)),
        "detection_scores": (np.float32, (10,)),
        "detection_classes": (np.float32, (10,)),
    },
    "digits": {"probabilities": (np.float32, (10,)), "classes": (np.int64, ())},
    "digits_2": {"probabilities": (np.float32, (10,)), "classes": (np.int64, ())},
    "iris": {"probabilities": (np.float32, (3,))},
}

Arrays = dict[str, np.ndarray]
models = pytest.mark.parametrize("model", SIGNATURES)


@pytest.fixture(scope="session")
def encoded(tensorflow: ModuleType) -> SavedModel:
    return SavedModel(str(folder("digits_encoded")))


@pytest.fixture(scope="session")
def flowers(tensorflow: ModuleType) -> SavedModel:
    return SavedModel(str(folder("iris_examples")))


@models
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_litert_answers_like_tensorflow(tensorflow: ModuleType, model: str, rows: int) -> None:
    assert_same_answers(tensorflow, model, some_inputs(model, rows))


def test_litert_sees_in_the_pictures_what_tensorflow_sees(tensorflow: ModuleType) -> None:
    assert_same_answers(tensorflow, "digits_detector", pictures()[1])


def test_saved_model_has_the_one_signature(tensorflow: ModuleType) -> None:
    for model, signature in SIGNATURES.items():
        loaded = tensorflow.saved_model.load(str(folder(model)))
        assert list(loaded.signatures) == [signature]


@models
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_litert_takes_any_number_of_rows(model: str, rows: int) -> None:
    answers = litert(model, some_inputs(model, rows))
    assert answers.keys() == OUTPUTS[model].keys()
    for name, (dtype, shape) in OUTPUTS[model].items():
        assert answers[name].dtype == dtype
        assert answers[name].shape == (rows, *shape)


def test_detector_finds_the_digits_in_the_pictures() -> None:
    names, images = pictures()
    answers = litert("digits_detector", images)
    found = right = 0
    for index, name in enumerate(names):
        left = true_boxes(name)
        sure = answers["detection_scores"][index] >= 0.5
        found += int(sure.sum())
        boxes = answers["detection_boxes"][index][sure]
        classes = answers["detection_classes"][index][sure]
        for box, digit in zip(boxes, classes, strict=True):
            hit = next((t for t in left if t[1] == digit and overlap(box, t[0]) >= 0.5), None)
            if hit:
                left.remove(hit)
                right += 1
    assert right / found >= 0.9
    assert right / sum(len(true_boxes(name)) for name in names) >= 0.9


def test_detector_answers_best_first_within_the_picture() -> None:
    answers = litert("digits_detector", pictures()[1])
    assert (np.diff(answers["detection_scores"], axis=1) <= 0).all()
    assert (answers["detection_boxes"] >= 0).all()
    assert (answers["detection_boxes"] <= 1).all()
    assert set(np.unique(answers["detection_classes"])) <= set(range(10))


def test_one_picture_is_empty_and_the_detector_says_so() -> None:
    names, images = pictures()
    empty = [index for index, name in enumerate(names) if not true_boxes(name)]
    assert len(empty) == 1
    assert (litert("digits_detector", images[empty])["detection_scores"] < 0.5).all()


def test_the_single_digit_is_the_one_cut_out_of_a_picture() -> None:
    shipped = np.asarray(Image.open(DATA / "images" / "digit.png"), np.int16)
    cuts = ((digit, np.asarray(cut, np.int16)) for _, digit, cut in build_digit.cuts())
    assert [digit for digit, cut in cuts if np.abs(cut - shipped).max() <= 1] == [4]


def test_the_single_digit_is_told_with_near_certainty() -> None:
    shipped = np.asarray(Image.open(DATA / "images" / "digit.png").convert("RGB"))
    name, score = digits.Digits().classify(shipped)
    assert (name, score > 0.999) == ("four", True)


@models
def test_metadata_tells_tensorflow_serving_the_same_signature(model: str) -> None:
    tflite = read_tflite(model)
    serialized = signature_metadata(tflite)
    assert list(serialized) == [SIGNATURES[model]]
    definition = meta_graph_pb2.SignatureDef.FromString(serialized[SIGNATURES[model]])
    assert definition.method_name == "tensorflow/serving/predict"
    assert list(definition.inputs) == [INPUTS[model]]
    assert set(definition.outputs) == set(OUTPUTS[model])
    tensors = {tensor.name.decode() for tensor in tflite.subgraphs[0].tensors}
    infos = {**definition.inputs, **definition.outputs}
    assert {info.name for info in infos.values()} <= tensors
    shapes = {name: [dim.size for dim in info.tensor_shape.dim] for name, info in infos.items()}
    assert shapes[INPUTS[model]] == [-1, *SHAPES[model]]
    assert all(shapes[name] == [-1, *shape] for name, (_, shape) in OUTPUTS[model].items())


@models
def test_metadata_survives_a_reader_of_c_strings(model: str) -> None:
    # TensorFlow Serving's reader stops at the first zero byte.
    assert all(b"\0" not in entry for entry in signature_metadata(read_tflite(model)).values())


@models
def test_tflite_needs_no_operations_but_the_built_in(model: str) -> None:
    assert not any(code.customCode for code in read_tflite(model).operatorCodes)


@models
def test_model_is_small(model: str) -> None:
    files = [path for path in folder(model).rglob("*") if path.is_file()]
    assert {"saved_model.pb", "model.tflite"} <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) < 1_000_000


@pytest.mark.parametrize("model", ["digits_2", "digits_encoded", "iris_examples"])
def test_a_newer_model_is_smaller_still(model: str) -> None:
    files = [path for path in folder(model).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000


def test_the_second_version_tells_digits_better(tensorflow: ModuleType) -> None:
    from data import build_models

    pixels, digits = build_models.digits_of("held-out")
    right = {
        model: np.mean(litert(model, pixels[..., np.newaxis])["classes"] == digits)
        for model in ("digits", "digits_2")
    }
    assert right["digits_2"] >= 0.99
    assert right["digits_2"] > right["digits"]
    scores = json.loads((DATA / "models" / "scores.json").read_text())
    assert {m: scores[m]["accuracy"] for m in right} == pytest.approx(right, abs=0.003)


@pytest.mark.tensorflow
def test_the_labelled_digits_are_those_that_were_held_out() -> None:
    from data import build_models

    pixels, digits = build_models.digits_of("held-out")
    shipped = np.load(DATA / "labelled" / "digits.npy")
    labels = np.loadtxt(DATA / "labelled" / "digits.csv", int, skiprows=1)
    assert shipped.shape == (450, 8, 8, 1)
    assert np.array_equal(shipped[..., 0], pixels)
    assert np.array_equal(labels, digits)


def test_the_single_digit_is_read_from_its_file(encoded: SavedModel) -> None:
    answer = read_files(encoded, [(DATA / "images" / "digit.png").read_bytes()])
    assert answer["classes"].tolist() == [4]
    assert answer["probabilities"][0, 4] > 0.99


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("change", [lambda cut: cut, ImageOps.invert], ids=["chalk", "pencil"])
def test_most_digits_are_read_from_pictures_of_them(
    encoded: SavedModel, kind: str, change: Callable[[Image.Image], Image.Image]
) -> None:
    cuts = [
        (digit, file_of(change(cut.convert("L")), kind)) for _, digit, cut in build_digit.cuts()
    ]
    answer = read_files(encoded, [file for _, file in cuts])
    right = answer["classes"] == [digit for digit, _ in cuts]
    assert len(cuts) >= 10
    assert np.mean(right) >= 0.9


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (7, 300), (640, 480)])
def test_a_file_may_have_any_size_and_nothing_on_it(
    encoded: SavedModel, size: tuple[int, int]
) -> None:
    answer = read_files(encoded, [file_of(Image.new("L", size, 200), "PNG")])
    assert answer["probabilities"].shape == (1, 10)
    assert np.isfinite(answer["probabilities"]).all()


def test_a_file_that_is_no_picture_is_refused(encoded: SavedModel) -> None:
    with pytest.raises(Failure, match="Unknown image file format") as caught:
        read_files(encoded, [b"no picture"])
    assert caught.value.code == "INVALID_ARGUMENT"


def test_encoded_digits_take_texts_by_one_signature(encoded: SavedModel) -> None:
    signature = encoded.signatures["serving_default"]
    assert {name: info.dtype for name, info in signature.inputs.items()} == {"image_bytes": 7}
    assert set(signature.outputs) == {"probabilities", "classes"}


def test_examples_have_signatures_of_every_method_and_one_input(flowers: SavedModel) -> None:
    methods = {name: each.method_name for name, each in flowers.signatures.items()}
    assert methods == {
        "serving_default": "tensorflow/serving/classify",
        "classify": "tensorflow/serving/classify",
        "regress": "tensorflow/serving/regress",
        "predict": "tensorflow/serving/predict",
    }
    names = {flowers.signatures[name].inputs["inputs"].name for name in ("classify", "regress")}
    assert len(names) == 1  # MultiInference feeds all of its tasks at once


FLOWERS = {  # of the data set: setosa, versicolor, virginica
    "setosa": (5.1, 3.5, 1.4, 0.2),
    "versicolor": (5.9, 3.0, 4.2, 1.5),
    "virginica": (6.3, 3.3, 6.0, 2.5),
}


def test_examples_are_classified_and_regressed_in_one_run(
    tensorflow: ModuleType, flowers: SavedModel
) -> None:
    examples = [example(tensorflow, *lengths) for lengths in FLOWERS.values()]
    tasks = [Task("classify", ("classes", "scores")), Task("regress", ("outputs",))]
    classified, regressed = flowers.run(tasks, {"inputs": np.array(examples, object)}, math.inf)
    assert classified["classes"].shape == classified["scores"].shape == (3, 3)
    best = classified["scores"].argmax(axis=1)
    labels = [row[column].decode() for row, column in zip(classified["classes"], best, strict=True)]
    assert labels == list(FLOWERS)
    assert regressed["outputs"].shape == (3, 1)
    widths = [lengths[3] for lengths in FLOWERS.values()]
    assert np.abs(regressed["outputs"][:, 0] - widths).max() < 0.5


def test_a_width_is_told_of_an_example_that_lacks_it(
    tensorflow: ModuleType, flowers: SavedModel
) -> None:
    inputs = {"inputs": np.array([example(tensorflow, 5.1, 3.5, 1.4)], object)}
    [answer] = flowers.run([Task("regress", ("outputs",))], inputs, math.inf)
    assert abs(answer["outputs"].item() - 0.2) < 0.3
    with pytest.raises(Failure, match="petal_width"):
        flowers.run([Task("classify", ("scores",))], inputs, math.inf)


def test_examples_and_plain_features_get_the_same_answer(
    tensorflow: ModuleType, flowers: SavedModel
) -> None:
    lengths = FLOWERS["versicolor"]
    examples = {"inputs": np.array([example(tensorflow, *lengths)], object)}
    features = {"features": np.array([lengths], np.float32)}
    tasks = [Task("classify", ("scores",)), Task("regress", ("outputs",))]
    classified, regressed = flowers.run(tasks, examples, math.inf)
    plain = Task("predict", ("probabilities", "petal_width"))
    [predicted] = flowers.run([plain], features, math.inf)
    np.testing.assert_allclose(predicted["probabilities"], classified["scores"], atol=1e-6)
    np.testing.assert_allclose(predicted["petal_width"], regressed["outputs"], atol=1e-6)


def folder(model: str) -> Path:
    name, version = ("digits", "2") if model == "digits_2" else (model, "1")
    return DATA / "models" / name / version


def read_files(model: SavedModel, files: list[bytes]) -> Arrays:
    task = Task("serving_default", ("probabilities", "classes"))
    return model.run([task], {"image_bytes": np.array(files, object)}, math.inf)[0]


def file_of(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def example(tensorflow: ModuleType, *lengths: float) -> bytes:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    train = tensorflow.train
    feature = {
        name: train.Feature(float_list=train.FloatList(value=[length]))
        for name, length in zip(names, lengths, strict=False)
    }
    return train.Example(features=train.Features(feature=feature)).SerializeToString()


def litert(model: str, inputs: np.ndarray) -> Arrays:
    interpreter = Interpreter(str(folder(model) / "model.tflite"))
    run: Callable[..., Arrays] = interpreter.get_signature_runner(SIGNATURES[model])
    return run(**{INPUTS[model]: inputs})


def assert_same_answers(tensorflow: ModuleType, model: str, inputs: np.ndarray) -> None:
    loaded = tensorflow.saved_model.load(str(folder(model)))
    function = loaded.signatures[SIGNATURES[model]]
    expected = function(**{INPUTS[model]: tensorflow.constant(inputs)})
    answers = litert(model, inputs)
    assert answers.keys() == expected.keys()
    for name, answer in answers.items():
        np.testing.assert_allclose(answer, expected[name].numpy(), rtol=0, atol=1e-5)


def some_inputs(model: str, rows: int) -> np.ndarray:
    random = np.random.default_rng(rows)
    if model == "iris":
        return random.uniform([4, 2, 1, 0.1], [8, 4.5, 7, 2.5], (rows, 4)).astype(np.float32)
    if model in ("digits", "digits_2"):
        # Soft strokes between empty and full, as the 8x8 scans have them.
        return np.clip(random.normal(0.4, 0.5, (rows, 8, 8, 1)), 0, 1).astype(np.float32)
    return np.resize(pictures()[1], (rows, 96, 96, 1))


def pictures() -> tuple[list[str], np.ndarray]:
    paths = sorted((DATA / "images").glob("digits-*.png"))
    pixels = [np.asarray(Image.open(path), np.float32) / 255 for path in paths]
    return [path.name for path in paths], np.stack(pixels)[..., np.newaxis]


def true_boxes(image: str) -> list[tuple[tuple[float, ...], int]]:
    with (DATA / "images" / "boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == image]
    edges = ("ymin", "xmin", "ymax", "xmax")
    return [(tuple(float(row[edge]) for edge in edges), int(row["digit"])) for row in rows]


def overlap(a: np.ndarray, b: tuple[float, ...]) -> float:
    """Intersection over union."""
    height = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    width = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(height * width / (areas - height * width))


def read_tflite(model: str) -> schema.ModelT:
    content = (folder(model) / "model.tflite").read_bytes()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def signature_metadata(tflite: schema.ModelT) -> dict[str, bytes]:
    """Signature name and serialized SignatureDef, as TensorFlow Serving reads them."""
    [entry] = [m for m in tflite.metadata if m.name == b"signature_defs_metadata"]
    content = bytearray(bytes(tflite.buffers[entry.buffer].data))
    table = flexbuffers.GetRoot(content).AsMap
    names = [key.AsKey for key in table.Keys]
    return {name: table[name].AsStringBytes for name in names}
