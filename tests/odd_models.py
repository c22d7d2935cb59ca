"""`python -m tests.odd_models FOLDER` writes a SavedModel that nobody would expect.

Each of its signatures gives back what it gets, under the same names, so that answers can be
compared. A process of its own, so that the tests need not import TensorFlow.
"""

import sys
from pathlib import Path
from typing import Any

from tests.tfserving import make_models

NAMES = (
    "plain",
    "two words",
    "ümläut",
    "数字 ☃",
    'it\'s "so"',
    "<b onclick='x'>&amp;</b>",
    "a/b/../c",
    "serving default?",
    "class",
    "None",
    "self",
    "np.x",
    "name",
    "Name",
    "NAME",
    "a=b",
    "=",
    "-x",
    "--input",
    "@file",
    "$HOME `id` $(id)",
    "%s {0} {name}",
    "\\",
    "a\tb",
    "two\nlines",
    "\x1b[31m",
    "",
    ".",
    "0",
    "x" * 300,
    "EOF",
    "inputs",
    "outputs",
    "%PATH%",
    "a,b;c",
    "nul\0",
)
IN_A_SHELL = tuple(name for name in NAMES if "\0" not in name)
SIGNATURES = (*(name for name in NAMES if name), "serving_default")
ON_REST = (
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
    "string",
)
DTYPES = (*ON_REST, "float16", "bfloat16", "uint16", "complex64", "complex128")
SHAPES: dict[str, list[int | None]] = {
    "batch": [None],
    "rows": [None, 3],
    "several": [None, 2, None, None],
    "fixed": [2, 3],
    "none": [0, 2],
    "nothing in a row": [None, 0],
    "picture": [None, None, None, 3],
    "grey picture": [None, None, None, 1],
    "picture, channels first": [None, 3, None, None],
    "deep": [None, 1, 1, 1, 1, 1, 2],
}
MANY = 200
EVERY = (
    *SIGNATURES,
    "odd names",
    "names in a shell",
    *(f"{d} {kind}" for d in DTYPES for kind in ("scalar", "rows", "any")),
    *(f"of shape: {name}" for name in SHAPES),
    "bytes of shape: picture",
    "every dtype",
    "every dtype that REST has",
    "two hundred",
    "no input",
    "optional",
    "to classify",
    "to regress",
)


def make(folder: Path) -> Path:
    """Write the model, in a process of its own; returns the folder of its one version."""
    return make_models("tests.odd_models", folder)


def main(folder: Path) -> None:
    """Write the model."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures(tf))
        builder.save()


def signatures(tf: Any) -> dict[str, Any]:
    """Return the signatures by name."""
    found = {name: echo(tf, {"x": (tf.float32, [None, 2])}) for name in SIGNATURES}
    found["odd names"] = echo(tf, {name: (tf.float32, [None]) for name in NAMES})
    found["names in a shell"] = echo(tf, {name: (tf.float32, [None]) for name in IN_A_SHELL})
    for name in DTYPES:
        dtype = tf.dtypes.as_dtype(name)
        found[f"{name} scalar"] = echo(tf, {"x": (dtype, [])})
        found[f"{name} rows"] = echo(tf, {"x": (dtype, [None, 2])})
        found[f"{name} any"] = echo(tf, {"x": (dtype, None)})
    for name, shape in SHAPES.items():
        found[f"of shape: {name}"] = echo(tf, {"x": (tf.float32, shape)})
    found["bytes of shape: picture"] = echo(tf, {"image": (tf.uint8, [None, None, None, 3])})
    every = {name: (tf.dtypes.as_dtype(name), [None]) for name in DTYPES}
    found["every dtype"] = echo(tf, every)
    found["every dtype that REST has"] = echo(tf, {name: every[name] for name in ON_REST})
    found["two hundred"] = echo(
        tf, {f"input {n:03}": (tf.float32, [None, n % 5 + 1]) for n in range(MANY)}
    )
    found["no input"] = signature(tf, {}, {"y": tf.constant([1.5, 2.5])})
    found["optional"] = echo(tf, {"needed": (tf.float32, [None]), "has default": (tf.int32, [])})
    found["optional"].defaults["has default"].CopyFrom(tf.make_tensor_proto(40))
    return found | of_examples(tf)


def echo(tf: Any, specs: dict[str, tuple[Any, Any]]) -> Any:
    """Return a signature whose outputs are its inputs."""
    tensors = {name: tf.compat.v1.placeholder(*spec) for name, spec in specs.items()}
    return signature(tf, tensors, {name: tf.identity(x) for name, x in tensors.items()})


def of_examples(tf: Any) -> dict[str, Any]:
    """Return a signature to classify and one to regress, whose answers are the features."""
    from practice.tfserving.engine import CLASSIFY_METHOD, REGRESS_METHOD

    examples = tf.compat.v1.placeholder(tf.string, [None])
    number, word = (tf.io.FixedLenFeature([1], tf.float32), tf.io.FixedLenFeature([1], tf.string))
    parsed = tf.io.parse_example(examples, {"a number": number, "ein Wört": word})
    outputs = {"classes": parsed["ein Wört"], "scores": parsed["a number"]}
    value = {"outputs": parsed["a number"]}
    return {
        "to classify": signature(tf, {"inputs": examples}, outputs, CLASSIFY_METHOD),
        "to regress": signature(tf, {"inputs": examples}, value, REGRESS_METHOD),
    }


def signature(tf: Any, inputs: Any, outputs: Any, method: str = "") -> Any:
    """Return a SignatureDef."""
    saved_model = tf.compat.v1.saved_model
    infos = [
        {name: saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}
        for tensors in (inputs, outputs)
    ]
    method = method or "tensorflow/serving/predict"
    return saved_model.build_signature_def(*infos, method)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
