"""The LiteRT engine: runs a `model.tflite`, with one interpreter for each call under way."""

import os
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from helpers.serving_api import meta_graph_pb2
from helpers.tensors import to_data_type, to_dtype
from practice.tfserving.engine import DEFAULT_SIGNATURE, PREDICT_METHOD, Task
from practice.tfserving.failures import Failure

_METADATA = b"signature_defs_metadata"  # the buffer's name


class LiteRTModel:
    """One loaded `model.tflite`.

    Its signatures are those of the metadata, where the product looks; else those of LiteRT's
    own table, which the product does not read; else one made of the tensors' names.

    Interpreters are not safe for two threads at once, so they are pooled: as many as
    `interpreters` at most, made when first needed. Like the product, this one does not check
    shapes; but a shape that the signature does not have can leave an interpreter unable to run
    a right one. So such a call, and one that fails, costs its interpreter.

    Parameters
    ----------
    path : str
    interpreters : int
        0 is as many as there are processors.
    """

    def __init__(self, path: str, interpreters: int = 0) -> None:
        with open(path, "rb") as file:
            self._content = file.read()
        self._pool: queue.LifoQueue[_Runner | None] = queue.LifoQueue()
        for _ in range((interpreters or os.cpu_count() or 1) - 1):
            self._pool.put(None)
        first = _Runner(self._content)
        self._pool.put(first)
        self._from_table = False
        self.signatures = _from_metadata(self._content, first.interpreter)
        if not self.signatures and first.interpreter.get_signature_list():
            self._from_table = True
            self.signatures = _from_table(first.interpreter)
        if not self.signatures:
            self.signatures = {DEFAULT_SIGNATURE: _from_tensors(first.interpreter)}

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, NDArray], ends: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures one after the other; see `engine.Model`."""
        return [self._run(task, inputs, ends) for task in tasks]

    def close(self) -> None:
        """The interpreters go with this object."""

    def _run(self, task: Task, inputs: Mapping[str, NDArray], ends: float) -> dict[str, NDArray]:
        signature = self.signatures[task.signature_name]
        fits = _fit(signature, inputs)
        if any(array.size == 0 for array in inputs.values()):
            return _answer_empty(signature, task, fits)
        idle = self._take(ends)
        back = None if fits else idle
        try:
            runner = idle if fits and idle else _Runner(self._content)
            if self._from_table:
                named = runner.interpreter.get_signature_runner(task.signature_name)(**inputs)
                outputs = {name: named[name] for name in task.outputs}
            else:
                outputs = runner.run(signature, task.outputs, inputs)
            if fits:
                back = runner
            return outputs
        except (RuntimeError, ValueError) as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error
        finally:
            self._pool.put(back)

    def _take(self, ends: float) -> "_Runner | None":
        wait = None if ends == float("inf") else max(ends - time.monotonic(), 0)
        try:
            return self._pool.get(timeout=wait)
        except queue.Empty:
            raise Failure("DEADLINE_EXCEEDED", "Deadline exceeded while waiting to run.") from None


class _Runner:
    """One interpreter, which runs by the tensors' names."""

    def __init__(self, content: bytes) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self._inputs = _by_name(self.interpreter.get_input_details())
        self._outputs = _by_name(self.interpreter.get_output_details())
        self._shapes: dict[int, tuple[int, ...]] = {}

    def run(
        self, signature: Any, outputs: Sequence[str], inputs: Mapping[str, NDArray]
    ) -> dict[str, NDArray]:
        """Feed inputs, run, and return the outputs that are wanted."""
        fed = {
            self._inputs[_bare(signature.inputs[alias].name)]["index"]: array
            for alias, array in inputs.items()
        }
        shapes = {index: array.shape for index, array in fed.items()}
        if shapes != self._shapes:
            for index, shape in shapes.items():
                self.interpreter.resize_tensor_input(index, shape)
            self.interpreter.allocate_tensors()
            self._shapes = shapes
        for index, array in fed.items():
            self.interpreter.set_tensor(index, array)
        self.interpreter.invoke()
        return {alias: self._output(signature.outputs[alias].name) for alias in outputs}

    def _output(self, name: str) -> NDArray:
        return self.interpreter.get_tensor(self._outputs[_bare(name)]["index"])


def _from_metadata(content: bytes, interpreter: Interpreter) -> dict[str, Any]:
    """Read the SignatureDefs that the model's metadata has; none when it has none."""
    if _METADATA not in content:
        return {}
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model = schema.Model.GetRootAs(content)
    entries = (model.Metadata(index) for index in range(model.MetadataLength()))
    entry = next((each for each in entries if each.Name() == _METADATA), None)
    if entry is None:
        return {}
    table = flexbuffers.GetRoot(bytes(model.Buffers(entry.Buffer()).DataAsNumpy())).AsMap
    known = _by_name(interpreter.get_input_details() + interpreter.get_output_details())
    signatures = {}
    for key, value in zip(table.Keys, table.Values, strict=True):
        name = key.AsKey
        signature = meta_graph_pb2.SignatureDef.FromString(value.AsStringBytes)
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            if _bare(info.name) not in known:
                raise ValueError(f"signature {name} names a tensor that is not there: {info.name}")
        signatures[name] = signature
    return signatures


def _from_table(interpreter: Interpreter) -> dict[str, Any]:
    runners = {
        name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()
    }
    return {
        name: _signature(each.get_input_details().items(), each.get_output_details().items())
        for name, each in runners.items()
    }


def _from_tensors(interpreter: Interpreter) -> Any:
    return _signature(
        _by_name(interpreter.get_input_details()).items(),
        _by_name(interpreter.get_output_details()).items(),
    )


def _signature(inputs: Any, outputs: Any) -> Any:
    signature = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
    for infos, details in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for alias, detail in details:
            infos[alias].name = detail["name"]
            infos[alias].dtype = to_data_type(detail["dtype"])
            for size in detail["shape_signature"].tolist():
                infos[alias].tensor_shape.dim.add(size=size)
    return signature


def _by_name(details: Sequence[Any]) -> dict[str, Any]:
    return {_bare(detail["name"]): detail for detail in details}


def _bare(name: str) -> str:
    return name.removesuffix(":0")


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


def _answer_empty(signature: Any, task: Task, fits: bool) -> dict[str, NDArray]:
    """Answer an empty batch with empty outputs, as TensorFlow does; LiteRT cannot run one."""
    if not fits:
        raise Failure("INVALID_ARGUMENT", "An input without values must be an empty batch.")
    infos = {name: signature.outputs[name] for name in task.outputs}
    return {name: np.zeros((0, *_sizes(i)[1:]), to_dtype(i.dtype)) for name, i in infos.items()}
