"""`python -m tests.field.models FOLDER` writes models such as the reports are about.

A process of its own, so that the tests need not import TensorFlow.
"""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from practice.tfserving.engine import CLASSIFY_METHOD
from tests.tfserving_models import signature

v1 = tf.compat.v1


def main(folder: Path) -> None:
    """Write `estimator`, `tagged`, `text` and `determinant`, a version of each."""
    save(folder / "estimator" / "1", estimator)
    save(folder / "tagged" / "1", increment, ["serve", "gpu"])
    save(folder / "text" / "1", lower)
    rename_op(folder / "text" / "1" / "saved_model.pb")
    save_determinant(folder / "determinant" / "1" / "model.tflite")


def save(folder: Path, make: Any, tags: list[str] | None = None) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = make()
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, tags or ["serve"], signatures, main_op=v1.tables_initializer()
        )
        builder.save()


def estimator() -> dict[str, Any]:
    """Return what an estimator of TensorFlow 1 exports: it classifies texts, given as examples."""
    examples = v1.placeholder(tf.string, [None], name="input_example_tensor")
    content = v1.placeholder(tf.string, [None], name="Placeholder")
    parsed = tf.io.parse_example(examples, {"content": tf.io.FixedLenFeature([], tf.string)})
    keys, values = tf.constant(["print(1)", "puts 1"]), tf.constant([0, 1], tf.int64)
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), 0)
    weights = v1.get_variable("weights", initializer=[[0.75, 0.25], [0.25, 0.75]])

    def scores(texts: Any) -> Any:
        return tf.gather(weights, table.lookup(texts))

    classified = scores(parsed["content"])
    labels = tf.tile(tf.constant([["Python", "Ruby"]]), [tf.shape(classified)[0], 1])
    outputs = {"classes": labels, "scores": classified}
    return {
        "serving_default": signature({"inputs": examples}, outputs, CLASSIFY_METHOD),
        "predict": signature({"content": content}, {"probabilities": scores(content)}),
    }


def increment() -> dict[str, Any]:
    x = v1.placeholder(tf.float32, [None], name="x")
    return {"serving_default": signature({"x": x}, {"y": x + 1})}


def lower() -> dict[str, Any]:
    x = v1.placeholder(tf.string, [None], name="x")
    return {"serving_default": signature({"x": x}, {"y": tf.strings.lower(x)})}


def rename_op(file: Path) -> None:
    """Make a model need TensorFlow Text, without that package."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(file.read_bytes())
    for graph in model.meta_graphs:
        for node in graph.graph_def.node:
            if node.op == "StringLower":
                node.op = "TFText>WhitespaceTokenizeWithOffsetsV2"
    file.write_bytes(model.SerializeToString())


def save_determinant(file: Path) -> None:
    """Write a TFLite file that only runs with TensorFlow's own operations."""
    determinant = tf.function(lambda x: {"y": tf.linalg.det(x)})
    concrete = determinant.get_concrete_function(tf.TensorSpec([2, 2], tf.float32, name="x"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    file.parent.mkdir(parents=True)
    file.write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
