"""The LiteRT engine: runs a `model.tflite`, with one interpreter for each call under way."""

import contextlib
import os
import queue
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import encode, flexbuffers, number_types, packer
from flatbuffers.table import Table
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from helpers.serving_api import meta_graph_pb2
from helpers.tensors import to_data_type, to_dtype
from practice.tfserving import operations
from practice.tfserving.engine import DEFAULT_SIGNATURE, PREDICT_METHOD, Task
from practice.tfserving.failures import Failure, invalid

_QUICK = 0.001  # seconds
_SMALL = 64 * 1024  # bytes of inputs
_LARGEST_KEPT = 1024 * 1024  # bytes of inputs, after which an interpreter is kept
_METADATA = b"signature_defs_metadata"  # the buffer's name
_CUSTOM_CODE = 1  # the field's number; empty in what is no custom operation
# Custom operations that LiteRT brings along, see tensorflow/lite/core/kernels/register.cc.
_OF_LITERT = {"", "AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"}


class LiteRTModel:
    """One loaded `model.tflite`.

    Its signatures are those of the metadata, where the product looks; else those of LiteRT's
    own table, which the product does not read; else one made of the tensors' names.

    Interpreters are not safe for two threads at once, so they are pooled: as many as
    `interpreters` at most, made when first needed. Like the product, this one does not check
    shapes; but a shape that the signature does not have can leave an interpreter unable to run
    a right one. So such a call, a large one, and one that fails, cost their interpreter.

    Parameters
    ----------
    path : str
    interpreters : int
        0 is as many as there are processors.
    """

    def __init__(self, path: str, interpreters: int = 0) -> None:
        with open(path, "rb") as file:
            self._content = file.read()
        first = _Runner(self._content)
        try:
            first.interpreter.allocate_tensors()  # a missing operation is told here, not at a call
        except RuntimeError as error:
            raise ValueError(refusal(self._content) or str(error)) from error
        self._idle = [first]
        self._free = queue.SimpleQueue[None]()
        for _ in range(interpreters or os.cpu_count() or 1):
            self._free.put(None)
        self._seconds = _QUICK  # that calls with small inputs took lately, on average
        self.signatures, self._from_table = signatures(self._content, first.interpreter)
        self._plans = {name: _Plan(signature) for name, signature in self.signatures.items()}

    @property
    def is_quick(self) -> bool:
        """Whether small calls are, and the next one would not wait; see `engine.Model`."""
        return self._seconds < _QUICK and bool(self._idle)

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, NDArray], deadline: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures one after the other; see `engine.Model`."""
        return [self._run(task, inputs, deadline) for task in tasks]

    def close(self) -> None:
        """The interpreters go with this object."""

    def _run(
        self, task: Task, inputs: Mapping[str, NDArray], deadline: float
    ) -> dict[str, NDArray]:
        plan = self._plans[task.signature_name]
        fits = plan.fits(inputs)
        sizes = [array.nbytes for array in inputs.values()]
        if 0 in sizes:
            return _answer_empty(self.signatures[task.signature_name], task, fits)
        idle = self._take(deadline)
        # One of its own for what would spoil it: it never gives back what a large batch took.
        keeps = fits and sum(sizes) <= _LARGEST_KEPT
        back = None if keeps else idle
        began = time.monotonic()
        try:
            runner = idle if keeps and idle else _Runner(self._content)
            if self._from_table:
                named = runner.interpreter.get_signature_runner(task.signature_name)(**inputs)
                outputs = {name: named[name] for name in task.outputs}
            else:
                outputs = runner.run(plan, task.outputs, inputs)
            if keeps:
                back = runner
            if sum(sizes) <= _SMALL:
                self._seconds += (time.monotonic() - began - self._seconds) / 16
            return outputs
        except (RuntimeError, ValueError) as error:
            raise invalid(str(error)) from error
        finally:
            if back is not None:
                self._idle.append(back)
            self._free.put(None)

    def _take(self, deadline: float) -> "_Runner | None":
        """Wait for one's turn; returns the runner that was used last, if one is idle."""
        wait = None if deadline == float("inf") else max(deadline - time.monotonic(), 0)
        try:
            self._free.get(timeout=wait)
        except queue.Empty:
            raise Failure("DEADLINE_EXCEEDED", "Deadline exceeded while waiting to run.") from None
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        return None


class _Plan:
    """What a call needs of a signature: looking into the message each time takes longer."""

    def __init__(self, signature: Any) -> None:
        self.inputs = {alias: _bare(info.name) for alias, info in signature.inputs.items()}
        self.outputs = {alias: _bare(info.name) for alias, info in signature.outputs.items()}
        self._shapes = {alias: _shape(info) for alias, info in signature.inputs.items()}
        self._fitting: dict[str, tuple[int, ...]] = {}  # the last shapes that did

    def fits(self, inputs: Mapping[str, NDArray]) -> bool:
        """Whether the inputs have the shapes that the signature says."""
        shapes = {alias: array.shape for alias, array in inputs.items()}
        if shapes == self._fitting:
            return True
        for alias, shape in shapes.items():
            expected = self._shapes[alias]
            if len(expected) != len(shape) or not all(map(_fits, expected, shape)):
                return False
        self._fitting = shapes
        return True


class _Runner:
    """One interpreter, which runs by the tensors' names."""

    def __init__(self, content: bytes) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self._inputs = _indexes(self.interpreter.get_input_details())
        self._outputs = _indexes(self.interpreter.get_output_details())
        self._shapes: dict[int, tuple[int, ...]] = {}

    def run(
        self, plan: _Plan, outputs: Sequence[str], inputs: Mapping[str, NDArray]
    ) -> dict[str, NDArray]:
        """Feed inputs, run, and return the outputs that are wanted."""
        interpreter = self.interpreter
        fed = {self._inputs[plan.inputs[alias]]: array for alias, array in inputs.items()}
        shapes = {index: array.shape for index, array in fed.items()}
        if shapes != self._shapes:
            for index, shape in shapes.items():
                interpreter.resize_tensor_input(index, shape)
            interpreter.allocate_tensors()
            self._shapes = shapes
        for index, array in fed.items():
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return {
            alias: interpreter.get_tensor(self._outputs[plan.outputs[alias]]) for alias in outputs
        }


def signatures(content: bytes, interpreter: Interpreter) -> tuple[dict[str, Any], bool]:
    """Return a model's SignatureDefs by name, and whether they are those of LiteRT's own table.

    Raises
    ------
    ValueError
        When the metadata cannot be read, or names a tensor that is not there.
    """
    if named := _from_metadata(content, interpreter):
        return named, False
    if listed := _from_table(interpreter):
        return listed, True
    return _from_tensors(interpreter), False


def refusal(content: bytes) -> str:
    """Say which operations keep a model from being run; empty where none does.

    Parameters
    ----------
    content : bytes
        A file that an `Interpreter` has been made of, which checks how it is put together.
    """
    model = _model(content)
    custom = {entry.text(_CUSTOM_CODE).decode(errors="replace") for entry in model.tables(1)}
    # Of neither a pip install of TensorFlow 2.21 nor the product is the Flex delegate a part.
    if selected := sorted(name for name in custom if name.startswith("Flex")):
        names = ", ".join(name.removeprefix("Flex") for name in selected)
        return (
            f"it has operations of TensorFlow itself (Select TensorFlow ops: {names}), which "
            "neither LiteRT nor TensorFlow Serving runs in a .tflite file. Convert it without "
            "them, or serve its SavedModel."
        )
    if others := sorted(custom - _OF_LITERT):
        packages = sorted({operations.package(name) for name in others} - {""})
        install = f" with {' and '.join(packages)} installed" if packages else ""
        return (
            f"it has the custom operations {', '.join(others)}, which are in no library here. "
            f"Convert the model without them, or serve its SavedModel{install}."
        )
    return ""


def _from_metadata(content: bytes, interpreter: Interpreter) -> dict[str, Any]:
    """Read the SignatureDefs that the model's metadata has; none when it has none."""
    if _METADATA not in content:
        return {}
    buffer = _metadata_buffer(content)
    if buffer is None:
        return {}
    table = flexbuffers.GetRoot(buffer).AsMap
    tensors = _by_name(interpreter.get_input_details() + interpreter.get_output_details())
    signatures = {}
    for key, value in zip(table.Keys, table.Values, strict=True):
        name = key.AsKey
        try:
            signature = meta_graph_pb2.SignatureDef.FromString(value.AsStringBytes)
        except DecodeError as error:
            raise ValueError(f"signature {name} is no SignatureDef: {error}") from error
        for info in (*signature.inputs.values(), *signature.outputs.values()):
            if _bare(info.name) not in tensors:
                raise ValueError(f"signature {name} names a tensor that is not there: {info.name}")
        signatures[name] = signature
    return signatures


def _metadata_buffer(content: bytes) -> bytes | None:
    """Return the buffer that the model's metadata names; see tensorflow/lite/schema.fbs.

    LiteRT's generated reader would do, and takes as long to import as a model to load.
    """
    model = _model(content)
    for entry in model.tables(6):
        if entry.text(0) == _METADATA:
            index = entry.Get(number_types.Uint32Flags, entry.Pos + entry.Offset(6))
            return model.tables(4)[index].text(0)
    return None


def _model(content: bytes) -> "_Table":
    return _Table(content, encode.Get(packer.uoffset, content, 0))


class _Table(Table):
    """A FlatBuffers table, whose fields go by their number in the schema."""

    def tables(self, field: int) -> "list[_Table]":
        offset = self.Offset(4 + 2 * field)
        if not offset:
            return []
        start = self.Vector(offset)
        starts = range(start, start + 4 * self.VectorLen(offset), 4)
        return [_Table(self.Bytes, self.Indirect(position)) for position in starts]

    def text(self, field: int) -> bytes:
        offset = self.Offset(4 + 2 * field)
        if not offset:
            return b""
        start = self.Vector(offset)
        return self.Bytes[start : start + self.VectorLen(offset)]


def _from_table(interpreter: Interpreter) -> dict[str, Any]:
    signatures = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        signatures[name] = _signature(runner.get_input_details(), runner.get_output_details())
    return signatures


def _from_tensors(interpreter: Interpreter) -> dict[str, Any]:
    inputs = _by_name(interpreter.get_input_details())
    return {DEFAULT_SIGNATURE: _signature(inputs, _by_name(interpreter.get_output_details()))}


def _signature(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    signature = meta_graph_pb2.SignatureDef(method_name=PREDICT_METHOD)
    for infos, details in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for alias, detail in details.items():
            infos[alias].name = detail["name"]
            infos[alias].dtype = to_data_type(detail["dtype"])
            for size in detail["shape_signature"].tolist():
                infos[alias].tensor_shape.dim.add(size=size)
    return signature


def _by_name(details: Sequence[Any]) -> dict[str, Any]:
    return {_bare(detail["name"]): detail for detail in details}


def _indexes(details: Sequence[Any]) -> dict[str, int]:
    return {name: detail["index"] for name, detail in _by_name(details).items()}


def _bare(name: str) -> str:
    return name.removesuffix(":0")


def _shape(info: Any) -> list[int]:
    return [dim.size for dim in info.tensor_shape.dim]


def _fits(expected: int, size: int) -> bool:
    return expected in (-1, size)


def _answer_empty(signature: Any, task: Task, fits: bool) -> dict[str, NDArray]:
    """Answer an empty batch with empty outputs, as TensorFlow does; LiteRT cannot run one."""
    if not fits:
        raise invalid("An input without values must be an empty batch.")
    infos = {name: signature.outputs[name] for name in task.outputs}
    return {name: np.zeros((0, *_shape(i)[1:]), to_dtype(i.dtype)) for name, i in infos.items()}
