"""The LiteRT engine: runs a `model.tflite`, with one interpreter for each call under way."""

import os
import queue
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from helpers.serving_api import meta_graph_pb2
from helpers.tensors import to_data_type, to_dtype
from practice.tfserving.failures import Failure

PREDICT_METHOD = "tensorflow/serving/predict"


class LiteRTModel:
    """One loaded `model.tflite`.

    Interpreters are not safe for two threads at once, so they are pooled: at most one for
    each processor, made when first needed. Like the product, this one does not check shapes;
    but a shape that the signature does not have can leave an interpreter unable to run a
    right one. So such a call, and one that fails, costs its interpreter.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            self._content = file.read()
        self._pool: queue.LifoQueue[Interpreter | None] = queue.LifoQueue()
        for _ in range((os.cpu_count() or 1) - 1):
            self._pool.put(None)
        first = self._interpreter()
        self._pool.put(first)
        self.signatures = {name: _signature_def(first, name) for name in first.get_signature_list()}
        if not self.signatures:
            raise ValueError(f"{path} has no signatures")

    def run(
        self, signature_name: str, inputs: Mapping[str, NDArray], ends: float
    ) -> dict[str, NDArray]:
        """Run one signature.

        Parameters
        ----------
        signature_name : str
        inputs : mapping of str to ndarray
            Of the signature's dtypes; the interpreter is resized to their shapes.
        ends : float
            `time.monotonic()` at which the caller's deadline ends.

        Raises
        ------
        Failure
            INVALID_ARGUMENT with LiteRT's own text, or DEADLINE_EXCEEDED.
        """
        fits = _fit(self.signatures[signature_name], inputs)
        if any(array.size == 0 for array in inputs.values()):
            return self._run_empty(signature_name, fits)
        idle = self._take(ends)
        back = None if fits else idle
        try:
            interpreter = idle if fits and idle else self._interpreter()
            outputs = interpreter.get_signature_runner(signature_name)(**inputs)
            if fits:
                back = interpreter
            return outputs
        except (RuntimeError, ValueError) as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error
        finally:
            self._pool.put(back)

    def _take(self, ends: float) -> Interpreter | None:
        wait = None if ends == float("inf") else max(ends - time.monotonic(), 0)
        try:
            return self._pool.get(timeout=wait)
        except queue.Empty:
            raise Failure("DEADLINE_EXCEEDED", "Deadline exceeded while waiting to run.") from None

    def _interpreter(self) -> Interpreter:
        return Interpreter(model_content=self._content, num_threads=1)

    def _run_empty(self, signature_name: str, fits: bool) -> dict[str, NDArray]:
        """Answer an empty batch with empty outputs, as TensorFlow does; LiteRT cannot run one."""
        if not fits:
            raise Failure("INVALID_ARGUMENT", "An input without values must be an empty batch.")
        outputs = self.signatures[signature_name].outputs
        return {
            name: np.zeros((0, *_sizes(i)[1:]), to_dtype(i.dtype)) for name, i in outputs.items()
        }


def _fit(signature: Any, inputs: Mapping[str, NDArray]) -> bool:
    for name, array in inputs.items():
        wanted = _sizes(signature.inputs[name])
        if len(wanted) != array.ndim:
            return False
        if any(want not in (-1, size) for want, size in zip(wanted, array.shape, strict=True)):
            return False
    return True


def _sizes(info: Any) -> list[int]:
    return [dim.size for dim in info.tensor_shape.dim]


def _signature_def(interpreter: Interpreter, name: str) -> Any:
    runner = interpreter.get_signature_runner(name)
    signature = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
    for infos, details in (
        (signature.inputs, runner.get_input_details()),
        (signature.outputs, runner.get_output_details()),
    ):
        for alias, detail in details.items():
            infos[alias].name = detail["name"]
            infos[alias].dtype = to_data_type(detail["dtype"])
            for size in detail["shape_signature"].tolist():
                infos[alias].tensor_shape.dim.add(size=size)
    return signature
