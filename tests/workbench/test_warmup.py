"""Example inputs: the warm-up requests beside a model, as TensorFlow Serving reads them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.serving_api import classification_pb2, predict_pb2, tensor_pb2
from practice.instance import PrivateEndpoint
from protos import warmup_pb2
from tests.warmup import predict_record, write_records
from workbench.explorer import Explorer
from workbench.values import warmup


def test_requests_come_back_by_name_in_their_order(tmp_path: Path) -> None:
    first = predict_record({"a": [[1.0, 2.0]], "b": 3.0})
    write_records(tmp_path, first, predict_record({"a": []}, "other"))
    one, other = warmup.read(tmp_path)
    assert one.title == "1. serving_default: a float32 [1, 2], b float32 []"
    assert (one.method, one.signature_name) == ("predict", "serving_default")
    assert {name: array.tolist() for name, array in one.inputs.items()} == {
        "a": [[1.0, 2.0]],
        "b": 3.0,
    }
    assert (other.title, other.signature_name) == ("2. other: a float32 [0]", "other")


def test_examples_to_classify_come_with_what_their_context_has(tmp_path: Path) -> None:
    request = classification_pb2.ClassificationRequest()
    given = request.input.example_list_with_context
    given.context.features.feature["shared"].int64_list.value.append(7)
    given.examples.add().features.feature["word"].bytes_list.value.append(b"one")
    given.examples.add().features.feature["word"].bytes_list.value.append(b"two")
    record = warmup_pb2.WarmupRecord()
    record.classify_log.request = request.SerializeToString()
    write_records(tmp_path, record.SerializeToString())
    [example] = warmup.read(tmp_path)
    assert example.title == "1. serving_default: 2 tf.Example"
    assert example.features == [
        {"shared": [7], "word": [b"one"]},
        {"shared": [7], "word": [b"two"]},
    ]


def test_what_tensorflow_writes_is_read(tensorflow: ModuleType, tmp_path: Path) -> None:
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    tensor = log.predict_log.request.inputs["x"]
    tensor.CopyFrom(tensorflow.make_tensor_proto(["yes", "no"]))
    session = prediction_log_pb2.PredictionLog()
    session.session_run_log.request.fetch.append("y:0")
    file = tmp_path / warmup.FILE
    file.parent.mkdir()
    with tensorflow.io.TFRecordWriter(str(file)) as writer:
        for one in (session, log):
            writer.write(one.SerializeToString())
    [example] = warmup.read(tmp_path)
    assert example.title == "2. serving_default: x string [2]"
    assert example.inputs["x"].tolist() == [b"yes", b"no"]


def test_a_folder_without_requests_has_no_examples(tmp_path: Path) -> None:
    assert warmup.read(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"\xff" * 40, predict_record({"x": [1.0]}), bytes([9, *[0] * 11]) + b"\xff" * 13]
)
def test_another_file_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    write_records(tmp_path)
    (tmp_path / warmup.FILE).write_bytes(content)
    with pytest.raises(BadInput, match="is no file of warm-up requests"):
        warmup.read(tmp_path)


def test_a_shape_that_claims_too_much_is_refused_when_it_is_unpacked(tmp_path: Path) -> None:
    request = predict_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=1, float_val=[0.0]))
    request.inputs["x"].tensor_shape.dim.add(size=2**40)
    record = warmup_pb2.WarmupRecord()
    record.predict_log.request = request.SerializeToString()
    write_records(tmp_path, record.SerializeToString())
    [example] = warmup.read(tmp_path)
    with pytest.raises(BadInput, match="came with far fewer values"):
        _ = example.inputs


def test_no_more_are_read_than_tensorflow_serving_reads(tmp_path: Path) -> None:
    write_records(tmp_path, *[predict_record({"x": [1.0]})] * 1001)
    assert len(warmup.read(tmp_path)) == 1000
    assert np.array_equal(warmup.read(tmp_path)[-1].inputs["x"], [1.0])


def test_the_explorer_fills_in_the_one_that_is_chosen(
    private: PrivateEndpoint, tmp_path: Path
) -> None:
    flowers = [[5.1, 3.5, 1.4, 0.2], [6.2, 2.9, 4.3, 1.3]]
    write_records(tmp_path, predict_record({"x": [1.0]}), predict_record({"features": flowers}))
    explorer = Explorer(private, examples=str(tmp_path))
    explorer.choose("digits")
    assert explorer.examples.children == (), "none fits this model"
    explorer.choose("iris")
    assert explorer.examples.children == (explorer.examples.field,)
    (_, nothing), (title, number) = explorer.examples.field.options
    assert (nothing, title) == (None, "2. serving_default: features float32 [2, 4]")
    explorer.examples.field.value = number
    explorer.wait()
    assert "float32 [2, 4]" in explorer.form.editors["features"].status.value
    assert explorer.send()["probabilities"].shape == (2, 3)


def test_the_explorer_says_when_they_cannot_be_read(
    private: PrivateEndpoint, tmp_path: Path
) -> None:
    write_records(tmp_path)
    (tmp_path / warmup.FILE).write_bytes(b"\xff" * 40)
    explorer = Explorer(private, examples=str(tmp_path))
    explorer.wait()
    [problem] = explorer.examples.children
    assert "is no file of warm-up requests" in problem.value


def test_a_model_card_is_shown_also_that_of_all_versions(
    private: PrivateEndpoint, tmp_path: Path
) -> None:
    version = tmp_path / "3"
    version.mkdir()
    (tmp_path / "README.md").write_text("Flowers & <b>leaves</b>", encoding="utf-8")
    (version / "model_card.txt").write_text("z" * 60_000, encoding="utf-8")
    explorer = Explorer(private, examples=str(version))
    explorer.choose("iris")
    own, common = (card.value for card in explorer.examples.children)
    assert own.count("z") == 50_000
    assert "<summary>README.md</summary>" in common
    assert "Flowers &amp; &lt;b&gt;leaves" in common
