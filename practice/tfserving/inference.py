"""What Predict, Classify, Regress and MultiInference do, whichever way they were asked.

gRPC and REST read a request each in its own way, call these, and write the answer each in its
own way. The rules, their order and their sentences are those of TensorFlow Serving 2.21, see
tensorflow_serving/servables/tensorflow: predict_util.cc, classifier.cc, regressor.cc,
multi_inference.cc.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.serving_api import types_pb2
from helpers.tensors import to_data_type
from practice.tfserving.engine import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    PREDICT_METHOD,
    REGRESS_METHOD,
    Servable,
    Task,
)
from practice.tfserving.failures import Failure, invalid

NEVER = float("inf")


class Class(NamedTuple):
    """One class of an example: a label, or empty; a score, or 0."""

    label: bytes
    score: float


Classes = list[list[Class]]


def predict(
    servable: Servable,
    signature_name: str,
    inputs: Mapping[str, NDArray],
    outputs: tuple[str, ...],
    deadline: float = NEVER,
) -> dict[str, NDArray]:
    """Run a signature that exists; returns the outputs that are named.

    Parameters
    ----------
    servable : Servable
    signature_name : str
    inputs : mapping of str to ndarray
        By the signature's names and of its dtypes.
    outputs : tuple of str
        As `output_names` gives them.
    deadline : float
        `time.monotonic()` at which the caller's deadline ends.

    Raises
    ------
    Failure
        Whatever the engine finds wrong.
    """
    if defaults := servable.tensors[signature_name].defaults:
        inputs = defaults | dict(inputs)
    return servable.model.run([Task(signature_name, outputs)], inputs, deadline)[0]


def classify(
    servable: Servable, signature_name: str, examples: Sequence[bytes], deadline: float = NEVER
) -> Classes:
    """Classify serialized `tf.Example`s; for each of them its classes.

    Raises
    ------
    Failure
        For an unknown signature, one that is not made to classify, and no examples.
    """
    return _infer(CLASSIFY_METHOD, servable, signature_name, examples, deadline)


def regress(
    servable: Servable, signature_name: str, examples: Sequence[bytes], deadline: float = NEVER
) -> list[float]:
    """Regress serialized `tf.Example`s; for each of them its value.

    Raises
    ------
    Failure
        For an unknown signature, one that is not made to regress, and no examples.
    """
    return _infer(REGRESS_METHOD, servable, signature_name, examples, deadline)


def multi_inference(
    servable: Servable, tasks: Iterable[Any], examples: Sequence[bytes], deadline: float = NEVER
) -> list[tuple[str, str, Any]]:
    """Run several classifications and regressions of the same examples at once.

    Parameters
    ----------
    servable : Servable
    tasks : iterable of InferenceTask
        All of this servable's model.

    Returns
    -------
    list of (str, str, list)
        For each task its signature, its method and what `classify` or `regress` gives.

    Raises
    ------
    Failure
        As those two, and for tasks that do not go together.
    """
    planned: list[tuple[Task, str]] = []
    for task in tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != servable.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in (earlier.signature_name for earlier, _ in planned):
            raise invalid(f"Duplicate evaluation of signature: {name}")
        signature = _find(servable, name, "Requested signature not found in model graph: ")
        if task.method_name not in _METHODS:
            text = f"Unsupported signature method_name: {task.method_name}"
            raise Failure("UNIMPLEMENTED", text)
        planned.append((_task(servable, name, signature, task.method_name), task.method_name))
    # The tasks' input tensors may differ, as those of a TensorFlow 2 model do. All are fed the same
    # examples; TensorFlow Serving 1 refused such tasks.
    runs = servable.model.run([task for task, _ in planned], _inputs(examples), deadline)
    return [
        (task.signature_name, method, _METHODS[method].read(outputs, len(examples)))
        for (task, method), outputs in zip(planned, runs, strict=True)
    ]


def check_method(servable: Servable, signature: Any) -> None:
    """Raise Failure for a signature that Predict is not for, where methods are looked at."""
    methods = (PREDICT_METHOD, CLASSIFY_METHOD, REGRESS_METHOD)
    if servable.checks_methods and signature.method_name not in methods:
        raise Failure(
            "INTERNAL",
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(methods)}}}. Was: {signature.method_name}",
        )


def output_names(signature: Any, output_filter: Sequence[str]) -> tuple[str, ...]:
    """Return the outputs that a filter names; Failure for a filter that does not fit."""
    for index, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {braced(signature.outputs)}."
            )
        if alias in output_filter[:index]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return tuple(output_filter)


def check_names(signature: Any, names: Iterable[str]) -> None:
    """Raise Failure unless these are the signature's inputs; those with a default may be left."""
    sent = set(names)
    inputs = set(signature.inputs)
    if sent == inputs:
        return
    if len(sent) > len(inputs) or (len(sent) < len(inputs) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(inputs)} "
            f"len({braced(sent)}) != len({braced(inputs)}). "
            f"Sent extra: {braced(sent - inputs)}. "
            f"Missing but required: {braced(inputs - sent)}."
        )
    for name in sorted(inputs - sent - set(signature.defaults)):
        raise invalid(
            f"Signature input alias: {name}(feed name: {signature.inputs[name].name}) not found in "
            f"request and no default value provided. Inputs expected to be in the request "
            f"{braced(sent)}, or default input alias set: {','.join(sorted(signature.defaults))}"
        )
    if sent - inputs:
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(sent & inputs))}"
            f", request input: {','.join(sorted(sent))}"
        )


@functools.cache
def type_name(data_type: int) -> str:
    """Return what error texts call one of TensorFlow's types: `float`, not `DT_FLOAT`."""
    return types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()


def braced(names: Iterable[str]) -> str:
    """Write names as the product does: sorted, in braces.

    Examples
    --------
    >>> braced(["b", "a"])
    '{a,b}'
    """
    return "{" + ",".join(sorted(names)) + "}"


def _infer(
    method: str, servable: Servable, signature_name: str, examples: Sequence[bytes], deadline: float
) -> Any:
    signature = _find(servable, signature_name, "No signature was found with the name: ")
    task = _task(servable, signature_name, signature, method)
    outputs = servable.model.run([task], _inputs(examples), deadline)[0]
    return _METHODS[method].read(outputs, len(examples))


def _task(servable: Servable, signature_name: str, signature: Any, method: str) -> Task:
    """Plan a signature's run, or raise Failure where it is not made for the method."""
    name, outputs, _ = _METHODS[method]
    if servable.checks_methods and signature.method_name != method:
        raise invalid(
            f"Expected {name} signature method_name to be {method}. Was: {signature.method_name}"
        )
    return Task(signature_name, outputs(signature))


def _find(servable: Servable, signature_name: str, text: str) -> Any:
    if signature_name not in servable.model.signatures:
        raise invalid(f"{text}{signature_name}")
    return servable.model.signatures[signature_name]


def _classify_outputs(signature: Any) -> tuple[str, ...]:
    _check_counts(signature, "classification")
    outputs = tuple(name for name in ("classes", "scores") if name in signature.outputs)
    if not outputs:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature}'
        )
    return outputs


def _regress_outputs(signature: Any) -> tuple[str, ...]:
    _check_counts(signature, "regression")
    if "outputs" not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    return ("outputs",)


def _check_counts(signature: Any, name: str) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if name == "classification" and len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if name == "regression" and len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No {name} inputs found in SignatureDef: {signature}")


def _inputs(examples: Sequence[bytes]) -> dict[str, NDArray]:
    if not examples:
        raise invalid("Input is empty.")
    array = np.empty(len(examples), dtype=object)
    array[:] = list(examples)
    return {"inputs": array}


def _classes(outputs: Mapping[str, NDArray], count: int) -> Classes:
    for name, array in outputs.items():
        if array.ndim != 2:
            raise invalid(
                f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}"
            )
        expected = "DT_STRING" if name == "classes" else "DT_FLOAT"
        if _type(array) != expected:
            raise invalid(f"Expected {name} Tensor of {expected}. Got: {_type(array)}")
        if len(array) != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    size = next(iter(outputs.values())).shape
    labels = outputs.get("classes", np.full(size, b"", object))
    scores = outputs.get("scores", np.zeros(size))
    if labels.shape != scores.shape:
        raise invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {labels.shape[1]} vs. {scores.shape[1]}"
        )
    rows = zip(labels.tolist(), scores.tolist(), strict=True)
    return [[Class(*pair) for pair in zip(*row, strict=True)] for row in rows]


def _values(outputs: Mapping[str, NDArray], count: int) -> list[float]:
    values = outputs["outputs"]
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape(values)}"
        )
    if len(values) != count:
        raise invalid(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    if _type(values) != "DT_FLOAT":
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(values)}")
    return values.reshape(-1).tolist()


def _type(array: NDArray) -> str:
    return types_pb2.DataType.Name(to_data_type(array.dtype))


def _shape(array: NDArray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


class _Method(NamedTuple):
    """What error texts call it, which outputs it wants, and how they are read."""

    name: str
    outputs: Callable[[Any], tuple[str, ...]]
    read: Callable[[Mapping[str, NDArray], int], Any]


_METHODS = {
    CLASSIFY_METHOD: _Method("classification", _classify_outputs, _classes),
    REGRESS_METHOD: _Method("regression", _regress_outputs, _values),
}
