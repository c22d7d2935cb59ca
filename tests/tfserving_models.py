"""`python -m tests.tfserving_models FOLDER` writes SavedModels that no sensible person would ship.

A process of its own, so that the tests need not import TensorFlow.
"""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from practice.tfserving.engine import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD

v1 = tf.compat.v1
DTYPES = (
    tf.float32,
    tf.float64,
    tf.float16,
    tf.bfloat16,
    tf.int8,
    tf.int16,
    tf.int32,
    tf.int64,
    tf.uint8,
    tf.uint16,
    tf.uint32,
    tf.uint64,
    tf.bool,
    tf.string,
    tf.complex64,
)


def main(folder: Path) -> None:
    """Write `odd`, one signature for each thing that can be wrong, `dtypes`, which echoes, and
    `strange`, whose inputs are of every shape and dtype that needs a thought.
    """
    save(folder / "odd" / "1", odd_signatures)
    save(folder / "dtypes" / "1", identities)
    save_strange(folder / "strange")


def save(folder: Path, make: Any) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        signatures = make()
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def save_strange(folder: Path) -> None:
    specs = {
        "rows": tf.TensorSpec([None, 2], tf.float32, name="rows"),
        "any_rank": tf.TensorSpec(None, tf.int32, name="any_rank"),
        "pixels": tf.TensorSpec([None, 3], tf.uint8, name="pixels"),
        "switches": tf.TensorSpec([2, 2], tf.bool, name="switches"),
        "word": tf.TensorSpec([], tf.string, name="word"),
    }
    module = tf.Module()
    module.answer = tf.function(
        lambda **inputs: {f"same_{k}": v + v for k, v in inputs.items() if v.dtype != tf.bool}
    )
    signatures = {"strange": module.answer.get_concrete_function(**specs)}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def identities() -> dict[str, Any]:
    """Return a signature for each dtype, with x of any shape in and x out."""
    found = {}
    for dtype in DTYPES:
        x = v1.placeholder(dtype, None, name=f"{dtype.name}_x")
        found[dtype.name] = signature({"x": x}, {"y": tf.identity(x)})
    return found


def odd_signatures() -> dict[str, Any]:
    examples = v1.placeholder(tf.string, [None], name="examples")
    other = v1.placeholder(tf.string, [None], name="other")
    number = v1.placeholder(tf.float32, None, name="number")
    whole = v1.placeholder(tf.int32, None, name="whole")
    count = tf.shape(examples)[0]
    classes = tf.tile(tf.constant([["no", "yes"]]), [count, 1])
    scores = tf.tile(tf.constant([[0.25, 0.75]]), [count, 1])
    parsed = tf.io.parse_example(
        examples,
        {
            "v": tf.io.FixedLenFeature([1], tf.float32, [-1.0]),
            "shared": tf.io.FixedLenFeature([1], tf.float32, [-1.0]),
        },
    )
    both = {"classes": classes, "scores": scores}
    inputs = {"inputs": examples}
    addition = signature({"a": number, "b": whole}, {"y": number + tf.cast(whole, tf.float32)})
    optional = signature({"a": number, "b": whole}, {"y": number + tf.cast(whole, tf.float32)})
    optional.defaults["b"].CopyFrom(tf.make_tensor_proto(40))
    forever = tf.while_loop(lambda i: i < 2.0**60, lambda i: [i + tf.cast(1, i.dtype)], [number])
    predicts = {
        "add": addition,
        "add_optional": optional,
        "no_method": signature({"a": number}, {"y": number + 1}, "tensorflow/serving/other"),
        "slow": signature({"a": number}, {"y": tf.cast(forever[0], tf.float32)}),
        "tensors_the_other_way": signature({"a": whole, "b": number}, {"y": number}),
        "divide": signature({"b": whole}, {"y": 100 // whole}),
        "predict_both": signature(inputs, both),
        "predict_value": signature(inputs, {"outputs": parsed["v"]}),
    }
    many = {f"a_name_that_is_quite_long_{n:03}": tf.identity(classes) for n in range(2)}
    classifies = {
        "both": (inputs, both),
        "only_classes": (inputs, {"classes": classes}),
        "only_scores": (inputs, {"scores": scores}),
        "two_inputs": ({"inputs": examples, "more": other}, both),
        "three_outputs": (inputs, both | {"more": scores}),
        "other_input": ({"examples": examples}, both),
        "other_outputs": (inputs, many),
        "flat_scores": (inputs, {"scores": scores[:, 0]}),
        "one_row": (inputs, {"scores": scores[:1]}),
        "whole_classes": (inputs, {"classes": tf.cast(scores, tf.int32)}),
        "double_scores": (inputs, {"scores": tf.cast(scores, tf.float64)}),
        "more_classes": (inputs, {"classes": tf.tile(classes, [1, 2]), "scores": scores}),
        "elsewhere": ({"inputs": other}, {"classes": other[:, tf.newaxis]}),
    }
    regresses = {
        "value": (inputs, {"outputs": parsed["v"]}),
        "flat_value": (inputs, {"outputs": parsed["v"][:, 0]}),
        "with_shared": (inputs, {"outputs": parsed["v"] + 100 * parsed["shared"]}),
        "two_values": (inputs, {"outputs": parsed["v"], "more": scores}),
        "value_other_input": ({"examples": examples}, {"outputs": parsed["v"]}),
        "value_other_output": (inputs, {"y": parsed["v"]}),
        "value_two_inputs": ({"inputs": examples, "more": other}, {"outputs": parsed["v"]}),
        "one_value": (inputs, {"outputs": parsed["v"][:1]}),
        "double_value": (inputs, {"outputs": tf.cast(parsed["v"], tf.float64)}),
        "wide_value": (inputs, {"outputs": scores}),
    }
    return (
        predicts
        | {name: signature(*each, CLASSIFY_METHOD) for name, each in classifies.items()}
        | {name: signature(*each, REGRESS_METHOD) for name, each in regresses.items()}
    )


def signature(inputs: dict[str, Any], outputs: dict[str, Any], method: str = PREDICT_METHOD) -> Any:
    infos = [
        {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}
        for tensors in (inputs, outputs)
    ]
    return v1.saved_model.build_signature_def(*infos, method)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
