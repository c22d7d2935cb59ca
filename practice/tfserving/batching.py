"""Batching: requests that feed and fetch the same tensors are run together, in one call.

See tensorflow_serving/batching/batching_session.cc and, in TensorFlow,
core/kernels/batching_util/shared_batch_scheduler.h.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from practice.tfserving import textproto
from practice.tfserving.batches import Batch, Share, Tensors, size_of
from practice.tfserving.engine import Model, Task
from practice.tfserving.failures import Failure
from protos import server_files_pb2


class Parameters:
    """What a BatchingParameters message says, and the defaults of what it leaves out.

    Parameters
    ----------
    message : BatchingParameters, optional

    Raises
    ------
    Failure
        INVALID_ARGUMENT for values that do not go together.
    """

    def __init__(self, message: Any = None) -> None:
        message = message or server_files_pb2.BatchingParameters()

        def value(name: str, default: int) -> int:
            return getattr(message, name).value if message.HasField(name) else default

        self.splitting: bool = message.enable_large_batch_splitting.value
        self.largest_request = value("max_batch_size", 1000)
        self.largest_batch = self.largest_request
        if self.splitting:
            self.largest_batch = value("max_execution_batch_size", self.largest_request)
        self.timeout_micros = value("batch_timeout_micros", 0)
        self.most_enqueued = value("max_enqueued_batches", 10)
        if not self.splitting:
            self.most_enqueued = self.most_enqueued or 1
        self.threads = value("num_batch_threads", os.cpu_count() or 1)
        self.allowed_sizes = list(message.allowed_batch_sizes)
        self.pads: bool = message.pad_variable_length_inputs
        if text := _refusal(self):
            raise Failure("INVALID_ARGUMENT", text)
        # As in the product, the models share the threads that run their batches.
        self.slots = threading.BoundedSemaphore(self.threads)


def read_parameters(path: str) -> Parameters:
    """Read a `--batching_parameters_file`, or raise Failure as the product words it."""
    return Parameters(textproto.read(path, server_files_pb2.BatchingParameters()))


class Batched:
    """A model whose requests are run together where they feed and fetch the same tensors.

    It has no threads of its own: who opens a batch waits until that is full or its time is over,
    and runs it for the others. So a caller who is alone waits for nobody.
    """

    def __init__(self, model: Model, parameters: Parameters) -> None:
        self.signatures = model.signatures
        self._model = model
        queues: dict[tuple[frozenset[str], frozenset[str]], _Queue] = {}
        self._routes: dict[tuple[str, frozenset[str]], tuple[_Names, _Queue]] = {}
        for signature_name, signature in model.signatures.items():
            fed = {alias: info.name for alias, info in signature.inputs.items()}
            fetched = {alias: info.name for alias, info in signature.outputs.items()}
            names = _Names(signature_name, fed, fetched)
            key = frozenset(fed.values()), frozenset(fetched.values())
            queue = queues.setdefault(key, _Queue(model, names, parameters))
            self._routes[signature_name, frozenset(fetched)] = names, queue

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, NDArray], ends: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures; see `engine.Model`.

        As in the product, only a signature with all of its outputs is batched. Some outputs, or
        several signatures at once, are run without waiting.
        """
        signature_name, outputs = tasks[0]
        route = self._routes.get((signature_name, frozenset(outputs)))
        if route is None or len(tasks) > 1:
            return self._model.run(tasks, inputs, ends)
        names, queue = route
        values = queue.run({names.fed[alias]: array for alias, array in inputs.items()}, ends)
        return [{alias: values[names.fetched[alias]] for alias in outputs}]

    def close(self) -> None:
        """Free the model; no call may be under way."""
        self._model.close()


class _Names(NamedTuple):
    """A signature, and the tensors that its inputs and outputs stand for."""

    signature_name: str
    fed: Mapping[str, str]
    fetched: Mapping[str, str]


class _Queue:
    """The batches that wait to be run, oldest first; the last one is open for more requests."""

    def __init__(self, model: Model, names: _Names, parameters: Parameters) -> None:
        self._model = model
        self._names = names
        self._parameters = parameters
        self._lock = threading.Lock()
        self._waiting: list[Batch] = []

    def run(self, inputs: Tensors, ends: float) -> Tensors:
        size = size_of(inputs)
        with self._lock:
            sizes = self._sizes(size)
            before = set(self._waiting)
            places = [self._add(share) for share in _shares(inputs, sizes, ends)]
        for batch, _ in places:
            if batch not in before:
                self._lead(batch)
        answers = [batch.answer(place) for batch, place in places]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([each[name] for each in answers]) for name in answers[0]}

    def _add(self, share: Share) -> tuple[Batch, int]:
        """Put a request into the open batch, or into a new one where it is too large for that."""
        largest = self._parameters.largest_batch
        if not self._waiting or self._waiting[-1].size + share.size > largest:
            if self._waiting:
                self._waiting[-1].full.set()
            self._waiting.append(Batch())
        batch = self._waiting[-1]
        place = batch.add(share)
        if batch.size >= largest:
            batch.full.set()
        return batch, place

    def _lead(self, batch: Batch) -> None:
        """Run a batch, once it is full or its time is over, and a slot is free."""
        parameters = self._parameters
        if parameters.timeout_micros:
            batch.full.wait(parameters.timeout_micros / 1e6)
        with parameters.slots:
            with self._lock:
                self._waiting.remove(batch)
            batch.run(self._call, parameters.allowed_sizes, parameters.pads)

    def _call(self, inputs: Tensors, ends: float) -> Tensors:
        signature_name, fed, fetched = self._names
        named = {alias: inputs[name] for alias, name in fed.items()}
        [outputs] = self._model.run([Task(signature_name, tuple(fetched))], named, ends)
        return {fetched[alias]: array for alias, array in outputs.items()}

    def _sizes(self, size: int) -> list[int]:
        """Return the sizes of the parts that a request comes to, or raise Failure."""
        parameters = self._parameters
        if size > parameters.largest_request:
            raise Failure(
                "INVALID_ARGUMENT",
                f"Task size {size} is larger than maximum input batch size "
                f"{parameters.largest_request}",
            )
        largest, count = parameters.largest_batch, len(self._waiting)
        open_size = self._waiting[-1].size if self._waiting else 0
        room = largest - open_size
        if not parameters.splitting:
            if size > room and count >= parameters.most_enqueued:
                text = f"currently {count} batches enqueued and max_enqueued_batches is {{}}"
                raise _full(text.format(parameters.most_enqueued))
            return [size]
        count = max(count, 1)  # the product counts an open batch without requests, too
        capacity = (parameters.most_enqueued - count) * largest + room
        if size > capacity:
            raise _full(
                f"task size is {size} but scheduling capacity is only {capacity} "
                f"(num_enqueued_batches={count}, max_enqueued_batches={parameters.most_enqueued}, "
                f"open_batch_size={open_size}, max_execution_batch_size={largest})"
            )
        if size <= room:
            return [size]
        first = [room] if room else []
        whole, rest = divmod(size - room, largest)
        return first + [largest] * whole + ([rest] if rest else [])


def _shares(inputs: Tensors, sizes: Sequence[int], ends: float) -> list[Share]:
    if len(sizes) == 1:
        return [Share(inputs, sizes[0], ends)]
    stops = np.cumsum(sizes).tolist()
    return [
        Share({name: array[stop - size : stop] for name, array in inputs.items()}, size, ends)
        for size, stop in zip(sizes, stops, strict=True)
    ]


def _full(why: str) -> Failure:
    text = "The batch scheduling queue to which this task was submitted is full; " + why
    return Failure("UNAVAILABLE", text)


def _refusal(parameters: Parameters) -> str:
    """Return why the parameters cannot be used, or nothing."""
    sizes, request = parameters.allowed_sizes, parameters.largest_request
    batch = parameters.largest_batch
    if parameters.threads < 1:
        return f"num_batch_threads must be positive; was {parameters.threads}"
    if min(request, batch) < 1:
        return f"input_batch_size_limit must be positive; was {min(request, batch)}"
    if parameters.timeout_micros < 0:
        return f"batch_timeout_micros must be non-negative; was {parameters.timeout_micros}"
    if parameters.most_enqueued < 1:
        return f"max_enqueued_batches must be positive; was {parameters.most_enqueued}"
    if request < batch:
        return (
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
            f"than or equal to max_execution_batch_size.1{request}{batch}"
        )
    if any(later <= size for size, later in pairwise(sizes)):
        return "allowed_batch_sizes entries must be monotonically increasing"
    if sizes and sizes[-1] != batch:
        return (
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {batch}"
        )
    return ""
