"""The TensorFlow engine: any SavedModel runs, and fails, as it does in TensorFlow Serving."""

from __future__ import annotations

import gc
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import psutil
import pytest

from helpers.serving_api import meta_graph_pb2, saved_model_pb2
from practice.tfserving.engine import Task
from practice.tfserving.failures import Failure
from practice.tfserving.flags import parse
from practice.tfserving.loader import Loader
from practice.tfserving.savedmodel import SavedModel

MODELS = Path(__file__).resolve().parents[2] / "data" / "models"
WORDS = ["apple", "pear", "plum"]
DTYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "bool": np.bool_,
}
QUANTIZED = {"qint8": np.int8, "quint8": np.uint8, "qint32": np.int32}


@pytest.fixture(scope="module")
def tf(tensorflow: ModuleType) -> ModuleType:
    return tensorflow


@pytest.fixture(scope="module")
def functions(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    """Return a model of TensorFlow 2 functions: one signature a behaviour."""

    def signature(function: Callable[..., Any], *specs: Any) -> Any:
        named = tf.function(lambda x: {"y": function(x)})
        return named.get_concrete_function(*specs)

    def spec(dtype: Any, *shape: int | None) -> Any:
        return tf.TensorSpec(list(shape), dtype, name="x")

    signatures = {
        name: signature(tf.identity, spec(tf.dtypes.as_dtype(name), None)) for name in DTYPES
    }
    anything = tf.TensorSpec(None, tf.float32, name="x")
    signatures |= {
        "text": signature(tf.identity, spec(tf.string, None)),
        "scalar_text": signature(tf.identity, spec(tf.string)),
        "scalar": signature(lambda x: x * 2, spec(tf.float32)),
        "unknown_rank": signature(lambda x: x + 1, anything),
        "unknown_batch": signature(lambda x: x / 2 + 2, spec(tf.float32, None, 1)),
        "divided": signature(lambda x: 100 // x, spec(tf.int32, None)),
    }
    folder = str(tmp_path_factory.mktemp("functions"))
    tf.saved_model.save(tf.Module(), folder, signatures)
    return SavedModel(folder)


@pytest.fixture(scope="module")
def words(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two models that look words up in a file: of TensorFlow 1 and of 2."""
    folder = tmp_path_factory.mktemp("words")
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("\n".join(WORDS))

    def table(asset: Any) -> Any:
        file = tf.lookup.TextFileInitializer(
            asset,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        return tf.lookup.StaticHashTable(file, -1)

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        asset = tf.constant(str(vocabulary))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        x = v1.placeholder(tf.string, [None], name="x")
        y = table(asset).lookup(x)
        builder = v1.saved_model.Builder(str(folder / "v1"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": v1.saved_model.predict_signature_def({"x": x}, {"y": y})},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=v1.tables_initializer(),
        )
        builder.save()
    module = tf.Module()
    module.asset = tf.saved_model.Asset(str(vocabulary))
    module.table = table(module.asset)
    lookup = tf.function(lambda x: {"y": module.table.lookup(x)})
    tensors = tf.TensorSpec([None], tf.string, name="x")
    tf.saved_model.save(module, str(folder / "v2"), lookup.get_concrete_function(tensors))
    vocabulary.unlink()  # only the copies beside the graphs are left
    return {"v1": folder / "v1", "v2": folder / "v2"}


@pytest.fixture
def counter(tf: ModuleType, tmp_path: Path) -> Path:
    """Return a model with two signatures of one input, which counts its runs."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        count = v1.get_variable("count", initializer=0.0, use_resource=True)
        runs = count.assign_add(1.0)
        make = v1.saved_model.predict_signature_def
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "counter"))
        signatures = {name: make({"x": x}, {"y": x * 0 + runs}) for name in ("one", "two")}
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return tmp_path / "counter"


@pytest.fixture
def waiting(tf: ModuleType, tmp_path: Path) -> SavedModel:
    """Return a model that waits for ever where x is true, for a queue that nobody fills."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.bool, [], name="x")
        queue = v1.FIFOQueue(1, tf.bool, shapes=[[]])
        y = v1.cond(x, queue.dequeue, lambda: tf.constant(True))
        v1.saved_model.simple_save(session, str(tmp_path / "waiting"), {"x": x}, {"y": y})
    return SavedModel(str(tmp_path / "waiting"))


@pytest.mark.parametrize("name", DTYPES)
def test_values_of_every_dtype_go_in_and_out(functions: SavedModel, name: str) -> None:
    x = np.array([0, 1, 1], DTYPES[name])
    answer = run(functions, name, x=x)["y"]
    assert answer.dtype == x.dtype
    np.testing.assert_array_equal(answer, x)


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_values_travel_as_the_integers_they_are_stored_in(
    tf: ModuleType, tmp_path: Path, name: str
) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.dtypes.as_dtype(name), [None], name="x")
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"y": tf.identity(x)})
    sent = np.array([1, 2, 100], QUANTIZED[name])
    answer = run(SavedModel(str(tmp_path / "m")), "serving_default", x=sent)["y"]
    assert (answer.dtype, answer.tolist()) == (sent.dtype, [1, 2, 100])


def test_text_is_bytes_in_object_arrays(functions: SavedModel) -> None:
    x = np.array([b"", b"\0\xff\0", "äö".encode()], object)
    answer = run(functions, "text", x=x)["y"]
    assert (answer.dtype, answer.tolist()) == (np.dtype(object), x.tolist())


def test_a_scalar_text_keeps_its_zero_bytes(functions: SavedModel) -> None:
    answer = run(functions, "scalar_text", x=np.array(b"a\0", object))["y"]
    assert (answer.shape, answer.dtype, answer.item()) == ((), np.dtype(object), b"a\0")


def test_a_scalar_number_is_an_array_without_dimensions(functions: SavedModel) -> None:
    answer = run(functions, "scalar", x=np.array(1.5, np.float32))["y"]
    assert isinstance(answer, np.ndarray)
    assert (answer.shape, answer.dtype, answer.item()) == ((), np.float32, 3.0)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (0, 3), (1, 2, 3, 4)])
def test_an_unknown_rank_takes_any(functions: SavedModel, shape: tuple[int, ...]) -> None:
    answer = run(functions, "unknown_rank", x=np.zeros(shape, np.float32))["y"]
    np.testing.assert_array_equal(answer, np.ones(shape))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 2), ()])
def test_shapes_are_not_checked_against_the_signature(
    functions: SavedModel, shape: tuple[int, ...]
) -> None:
    answer = run(functions, "unknown_batch", x=np.full(shape, 2, np.float32))["y"]
    np.testing.assert_array_equal(answer, np.full(shape, 3))


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_a_table_is_filled_from_the_asset_beside_the_graph(
    words: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    moved = shutil.copytree(words[kind], tmp_path / "moved")
    x = np.array([b"plum", b"apple", b"rock"], object)
    assert run(SavedModel(str(moved)), "serving_default", x=x)["y"].tolist() == [2, 0, -1]


def test_a_graph_of_tensorflow_1_parses_examples(tf: ModuleType) -> None:
    model = SavedModel(str(MODELS / "iris_examples" / "1"))
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    values = tf.train.FloatList(value=[4.0])
    feature = {name: tf.train.Feature(float_list=values) for name in names}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    answer = run(model, "classify", inputs=np.array([example.SerializeToString()] * 2, object))
    assert answer["scores"].shape == (2, 3)
    assert answer["classes"][1].tolist() == [b"setosa", b"versicolor", b"virginica"]


@pytest.mark.parametrize("value", [b"no example", b"\xff\xfe no text"])
def test_bytes_that_are_no_example_are_refused_with_tensorflows_text(
    tf: ModuleType, value: bytes
) -> None:
    model = SavedModel(str(MODELS / "iris_examples" / "1"))
    failure = failed(lambda: run(model, "classify", inputs=np.array([value], object)))
    assert failure.code == "INVALID_ARGUMENT"
    shown = value.decode(errors="replace")
    assert failure.text.startswith(f"Could not parse example input, value: '{shown}'\n\t [[")


def test_a_keras_export_answers_like_the_model(tf: ModuleType, tmp_path: Path) -> None:
    net = tf.keras.Sequential(
        [tf.keras.Input((4,)), tf.keras.layers.Dense(8, "relu"), tf.keras.layers.Dense(2)]
    )
    net.export(str(tmp_path / "export"), verbose=False)
    model = SavedModel(str(tmp_path / "export"))
    [name] = model.signatures["serving_default"].inputs
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    [answer] = run(model, "serving_default", **{name: x}).values()
    np.testing.assert_allclose(answer, net(x).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["digits/1", "digits/2", "digits_detector/1", "iris/1"], ids=lambda name: name
)
def test_shipped_models_answer_as_in_a_plain_process(tf: ModuleType, name: str) -> None:
    model, plain = SavedModel(str(MODELS / name)), tf.saved_model.load(str(MODELS / name))
    [signature_name] = plain.signatures
    [(alias, info)] = model.signatures[signature_name].inputs.items()
    shape = [5, *(dim.size for dim in info.tensor_shape.dim[1:])]
    x = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    expected = plain.signatures[signature_name](**{alias: tf.constant(x)})
    answer = run(model, signature_name, **{alias: x})
    assert answer.keys() == expected.keys()
    for output, array in answer.items():
        np.testing.assert_allclose(array, expected[output].numpy(), atol=1e-5)


def test_signatures_are_the_graphs_own(words: dict[str, Path]) -> None:
    graph = saved_model_pb2.SavedModel.FromString((words["v2"] / "saved_model.pb").read_bytes())
    signatures = SavedModel(str(words["v2"])).signatures
    assert {"serving_default", "__saved_model_init_op"} == set(signatures)
    assert signatures == dict(graph.meta_graphs[0].signature_def)


def test_several_tasks_are_one_run(counter: Path) -> None:
    model = SavedModel(str(counter))
    tasks = [Task("one", ("y",)), Task("two", ("y",))]
    for expected in (1.0, 2.0):
        answers = model.run(tasks, {"x": np.zeros(1, np.float32)}, math.inf)
        assert [answer["y"].tolist() for answer in answers] == [[expected]] * 2


def test_two_models_of_one_folder_have_their_own_variables(counter: Path) -> None:
    first, second = SavedModel(str(counter)), SavedModel(str(counter))
    x = np.zeros(1, np.float32)
    assert [run(first, "one", x=x)["y"].item() for _ in range(3)] == [1.0, 2.0, 3.0]
    assert run(second, "one", x=x)["y"].item() == 1.0


@pytest.mark.tensorflow
def test_only_the_wanted_outputs_are_answered() -> None:
    model = SavedModel(str(MODELS / "digits" / "1"))
    images = {"images": np.zeros((2, 8, 8, 1), np.float32)}
    [answer] = model.run([Task("serving_default", ("classes",))], images, math.inf)
    assert list(answer) == ["classes"]


def test_calls_at_once_get_their_own_answers(functions: SavedModel) -> None:
    def call(number: int) -> bool:
        x = np.full(number % 7 + 1, number, np.float32)
        return (run(functions, "unknown_rank", x=x)["y"] == x + 1).all()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(400)))


def test_an_operations_error_is_tensorflows_own_text(functions: SavedModel) -> None:
    failure = failed(lambda: run(functions, "divided", x=np.array([1, 0], np.int32)))
    assert failure.code == "INVALID_ARGUMENT"
    message, place = failure.text.split("\n\t ")
    assert message == "Integer division by zero"
    assert place.startswith("[[{{")
    assert place.endswith("}}]]")


def test_a_wrong_dtype_is_refused_with_the_products_text(functions: SavedModel) -> None:
    failure = failed(lambda: run(functions, "unknown_rank", x=np.array([True])))
    assert failure.code == "INVALID_ARGUMENT"
    assert failure.text == "Expects arg[0] to be float but bool is provided"


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_a_signature_may_name_what_the_graph_has_not(
    words: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    folder = shutil.copytree(words["v1"], tmp_path / "renamed")
    edit(folder, lambda graph: rename(graph.signature_def["serving_default"], kind, "nowhere:0"))
    model = SavedModel(str(folder))
    x = np.array([b"plum"], object)
    failure = failed(lambda: run(model, "serving_default", x=x))
    expected = {
        "inputs": "FeedInputs: unable to find feed output nowhere:0",
        "outputs": "FetchOutputs node nowhere:0: not found",
    }
    assert (failure.code, failure.text) == ("NOT_FOUND", expected[kind])


def test_a_deadline_ends_a_run_and_the_next_one_is_well(waiting: SavedModel) -> None:
    started = time.monotonic()
    ends = started + 0.2
    failure = failed(lambda: run(waiting, "serving_default", ends=ends, x=np.array(True)))
    took = time.monotonic() - started
    assert failure.code == "DEADLINE_EXCEEDED"
    assert failure.text == "Timed out waiting for notification"
    assert 0.2 <= took < 60
    assert run(waiting, "serving_default", ends=started + 60, x=np.array(False))["y"].item()


def test_a_deadline_that_has_passed_runs_nothing(counter: Path) -> None:
    model, x = SavedModel(str(counter)), np.zeros(1, np.float32)
    assert failed(lambda: run(model, "one", ends=0, x=x)).code == "DEADLINE_EXCEEDED"
    assert run(model, "one", ends=time.monotonic() + 60, x=x)["y"].item() == 1.0


def test_a_folder_without_a_graph_is_not_found(tmp_path: Path) -> None:
    failure = failed(lambda: SavedModel(str(tmp_path)))
    assert failure.code == "NOT_FOUND"
    assert failure.text == (
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {tmp_path}. "
        "Check that the directory exists and that you have the right permissions for accessing it."
    )


@pytest.mark.parametrize(("name", "kind"), [("pb", "binary"), ("pbtxt", "text")])
def test_a_broken_graph_cannot_be_parsed(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"saved_model.{name}"
    path.write_bytes(b"\xff nonsense {")
    failure = failed(lambda: SavedModel(str(tmp_path)))
    assert (failure.code, failure.text) == ("DATA_LOSS", f"Can't parse {path} as {kind} proto")


def test_a_graph_in_text_form_is_read(words: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(words["v1"], tmp_path / "text")
    binary = folder / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(binary.read_bytes())
    (folder / "saved_model.pbtxt").write_text(str(graph))
    binary.unlink()
    answer = run(SavedModel(str(folder)), "serving_default", x=np.array([b"pear"], object))
    assert answer["y"].tolist() == [1]


def test_other_tags_are_not_found(words: dict[str, Path]) -> None:
    failure = failed(lambda: SavedModel(str(words["v1"]), ["serve", "gpu"]))
    assert failure.code == "NOT_FOUND"
    assert failure.text == (
        "Could not find meta graph def matching supplied tags: { serve gpu }. To inspect "
        "available tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
    )


def test_two_main_operations_are_one_too_many(words: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(words["v1"], tmp_path / "twice")

    def twice(graph: Any) -> None:
        operations = graph.collection_def["saved_model_main_op"].node_list.value
        operations.append(operations[0])

    edit(folder, twice)
    failure = failed(lambda: SavedModel(str(folder)))
    assert failure.code == "FAILED_PRECONDITION"
    assert failure.text == f"Expected exactly one main op in : {folder}"


def test_an_operation_nobody_knows_keeps_a_graph_from_loading(
    words: dict[str, Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(words["v1"], tmp_path / "unknown")
    edit(folder, lambda graph: graph.graph_def.node.add(name="new", op="FromTheFuture"))
    failure = failed(lambda: SavedModel(str(folder)))
    assert "Op type not registered 'FromTheFuture'" in failure.text


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_damaged_variables_keep_a_model_from_loading(
    counter: Path, tmp_path: Path, name: str
) -> None:
    (counter / "variables" / name).write_bytes(b"")
    failure = failed(lambda: SavedModel(str(counter)))
    assert failure.code in ("DATA_LOSS", "OUT_OF_RANGE")
    assert "Traceback" not in failure.text


def test_a_closed_models_memory_comes_back(tf: ModuleType, tmp_path: Path) -> None:
    size = 48_000_000  # bytes of its weights; malloc keeps parts of less than 32 MiB to itself
    module = tf.Module()
    module.weights = tf.Variable(np.ones(size // 4, np.float32))
    signature = tf.function(lambda x: {"y": x + module.weights[0]})
    spec = tf.TensorSpec([None], tf.float32, name="x")
    tf.saved_model.save(module, str(tmp_path / "m"), signature.get_concrete_function(spec))

    def load_and_close() -> int:
        model = SavedModel(str(tmp_path / "m"))
        run(model, "serving_default", x=np.zeros(1, np.float32))
        model.close()
        gc.collect()
        return psutil.Process().memory_info().rss

    before = [load_and_close() for _ in range(3)][-1]
    after = [load_and_close() for _ in range(20)][-1]
    assert after - before < 2 * size


@pytest.mark.tensorflow
def test_a_library_of_operations_that_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    flags = parse([f"--op_library={tmp_path / 'none.so'}"])
    with pytest.raises(Failure, match=r"--op_library .*none\.so cannot be loaded"):
        Loader(flags)(str(MODELS / "digits" / "1"))


@pytest.mark.tensorflow
def test_tensorflow_is_imported_with_the_first_model_only() -> None:
    program = (
        "import sys\n"
        "from practice.tfserving import batching, savedmodel\n"
        "assert 'tensorflow.python' not in sys.modules\n"
        f"savedmodel.SavedModel({str(MODELS / 'iris' / '1')!r})\n"
        "assert 'tensorflow.python' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def run(model: SavedModel, signature: str, *, ends: Any = math.inf, **inputs: Any) -> Any:
    task = Task(signature, tuple(model.signatures[signature].outputs))
    return model.run([task], inputs, ends)[0]


def failed(call: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as caught:
        call()
    return caught.value


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the one graph of a SavedModel."""
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(saved_model.meta_graphs[0])
    path.write_bytes(saved_model.SerializeToString())


def rename(signature: meta_graph_pb2.SignatureDef, kind: str, name: str) -> None:
    for info in getattr(signature, kind).values():
        info.name = name
