"""Batching: requests that feed and fetch the same tensors are run together, in one call.

See tensorflow_serving/batching/batching_session.cc and, in TensorFlow,
core/kernels/batching_util/shared_batch_scheduler.h.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from practice.host import waiting
from practice.tfserving import textproto
from practice.tfserving.engine import Model, Task, TensorNames
from practice.tfserving.failures import Failure, as_failure, invalid
from protos import server_files_pb2

Tensors = Mapping[str, NDArray]


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
        self._check()
        # As in the product, the models share the threads that run their batches.
        self.slots = threading.BoundedSemaphore(self.threads)

    def _check(self) -> None:
        smallest = min(self.largest_request, self.largest_batch)
        if self.threads < 1:
            raise invalid(f"num_batch_threads must be positive; was {self.threads}")
        if smallest < 1:
            raise invalid(f"input_batch_size_limit must be positive; was {smallest}")
        if self.timeout_micros < 0:
            raise invalid(f"batch_timeout_micros must be non-negative; was {self.timeout_micros}")
        if self.most_enqueued < 1:
            raise invalid(f"max_enqueued_batches must be positive; was {self.most_enqueued}")
        if self.largest_request < self.largest_batch:
            raise invalid(
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
                f"than or equal to max_execution_batch_size.1{self.largest_request}"
                f"{self.largest_batch}"
            )
        if any(later <= size for size, later in pairwise(self.allowed_sizes)):
            raise invalid("allowed_batch_sizes entries must be monotonically increasing")
        if self.allowed_sizes and self.allowed_sizes[-1] != self.largest_batch:
            raise invalid(
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{self.allowed_sizes[-1]}; expected {self.largest_batch}"
            )


def read_parameters(path: str) -> Parameters:
    """Read a `--batching_parameters_file`, or raise Failure as the product words it."""
    return Parameters(textproto.read(path, server_files_pb2.BatchingParameters()))


class Batched:
    """A model whose requests are run together where they feed and fetch the same tensors.

    It has no threads of its own: who opens a batch waits until that is full or its time is over,
    and runs it for the others. So a caller who is alone waits for nobody.
    """

    is_quick = False

    def __init__(self, model: Model, parameters: Parameters) -> None:
        self.signatures = model.signatures
        self._model = model
        queues: dict[tuple[frozenset[str], frozenset[str]], _Queue] = {}
        self._routes: dict[tuple[str, frozenset[str]], tuple[TensorNames, _Queue]] = {}
        for signature_name, signature in model.signatures.items():
            names = TensorNames(signature)
            key = frozenset(names.inputs.values()), frozenset(names.outputs.values())
            queue = queues.setdefault(key, _Queue(model, signature_name, names, parameters))
            self._routes[signature_name, frozenset(names.outputs)] = names, queue

    def run(
        self, tasks: Sequence[Task], inputs: Tensors, deadline: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures; see `engine.Model`.

        As in the product, only a signature with all of its outputs is batched. Some outputs, or
        several signatures at once, are run without waiting.
        """
        signature_name, outputs = tasks[0]
        route = self._routes.get((signature_name, frozenset(outputs)))
        if route is None or len(tasks) > 1:
            return self._model.run(tasks, inputs, deadline)
        names, queue = route
        fed = {names.inputs[alias]: array for alias, array in inputs.items()}
        fetched = queue.run(fed, deadline)
        return [{alias: fetched[names.outputs[alias]] for alias in outputs}]

    def close(self) -> None:
        """Free the model; no call may be under way."""
        self._model.close()


class _Share(NamedTuple):
    """What one request puts into a batch."""

    inputs: Tensors
    size: int
    deadline: float
    waits: Callable[[], bool]


class _Queue:
    """The batches that wait to be run, oldest first; the last one is open for more requests."""

    def __init__(
        self, model: Model, signature_name: str, names: TensorNames, parameters: Parameters
    ) -> None:
        self._model = model
        self._task = Task(signature_name, tuple(names.outputs))
        self._names = names
        self._parameters = parameters
        self._lock = threading.Lock()
        self._waiting: list[_Batch] = []

    def run(self, inputs: Tensors, deadline: float) -> Tensors:
        size = _size(inputs)
        with self._lock:
            sizes = self._sizes(size)
            before = set(self._waiting)
            places = [self._add(share) for share in _shares(inputs, sizes, deadline)]
        for batch, _ in places:
            if batch not in before:
                self._lead(batch)
        answers = [batch.answer(place) for batch, place in places]
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([part[name] for part in answers]) for name in answers[0]}

    def _add(self, share: _Share) -> tuple["_Batch", int]:
        """Put a request into the open batch, or into a new one where it is too large for that."""
        largest = self._parameters.largest_batch
        if not self._waiting or self._waiting[-1].size + share.size > largest:
            if self._waiting:
                self._waiting[-1].full.set()
            self._waiting.append(_Batch())
        batch = self._waiting[-1]
        place = batch.add(share)
        if batch.size >= largest:
            batch.full.set()
        return batch, place

    def _lead(self, batch: "_Batch") -> None:
        """Run a batch, once it is full or its time is over, and a slot is free."""
        parameters = self._parameters
        if parameters.timeout_micros:
            batch.full.wait(parameters.timeout_micros / 1e6)
        with parameters.slots:
            with self._lock:
                self._waiting.remove(batch)
            batch.run(self._call, parameters.allowed_sizes, parameters.pads)

    def _call(self, inputs: Tensors, deadline: float) -> Tensors:
        named = {alias: inputs[name] for alias, name in self._names.inputs.items()}
        [outputs] = self._model.run([self._task], named, deadline)
        return {self._names.outputs[alias]: array for alias, array in outputs.items()}

    def _sizes(self, size: int) -> list[int]:
        """Return the sizes of the parts that a request comes to, or raise Failure."""
        parameters = self._parameters
        if size > parameters.largest_request:
            raise invalid(
                f"Task size {size} is larger than maximum input batch size "
                f"{parameters.largest_request}"
            )
        largest = parameters.largest_batch
        count = len(self._waiting)
        open_size = self._waiting[-1].size if self._waiting else 0
        room = largest - open_size
        if not parameters.splitting:
            if size > room and count >= parameters.most_enqueued:
                raise _full(
                    f"currently {count} batches enqueued and max_enqueued_batches is "
                    f"{parameters.most_enqueued}"
                )
            return [size]
        count = max(count, 1)  # the product counts an open batch without requests, too
        capacity = (parameters.most_enqueued - count) * largest + room
        if size > capacity:
            raise _full(
                f"task size is {size} but scheduling capacity is only {capacity} "
                f"(num_enqueued_batches={count}, max_enqueued_batches={parameters.most_enqueued}, "
                f"open_batch_size={open_size}, max_execution_batch_size={largest})"
            )
        first = min(size, room)
        whole, rest = divmod(size - first, largest)
        # Without rows it is one part all the same.
        return [part for part in (first, *[largest] * whole, rest) if part] or [size]


class _Batch:
    """Requests that are run together.

    Attributes
    ----------
    size : int
        Rows until now.
    full : Event
        Set once no more requests come.
    """

    def __init__(self) -> None:
        self.size = 0
        self.full = threading.Event()
        self._shares: list[_Share] = []
        self._done = threading.Event()
        self._answers: dict[int, dict[str, NDArray]] = {}
        self._failure: Failure | None = None

    def add(self, share: _Share) -> int:
        """Take a request in, and return its place."""
        self._shares.append(share)
        self.size += share.size
        return len(self._shares) - 1

    def run(
        self,
        call: Callable[[Tensors, float], Tensors],
        allowed_sizes: Sequence[int],
        pads: bool,
    ) -> None:
        """Run the requests, which no more are added to; `answer` tells what came of it.

        Parameters
        ----------
        call : callable
            Runs tensors until a deadline.
        allowed_sizes : sequence of int
            The sizes a batch may have, smallest first; rows are added to reach one.
        pads : bool
            Whether tensors of different shapes are made alike.
        """
        try:
            # Until the last deadline: who has less time does not shorten the others'.
            deadline = max(share.deadline for share in self._shares)
            if deadline <= time.monotonic():
                text = "Run() timeout exceeded while waiting in batching queue"
                raise Failure("RESOURCE_EXHAUSTED", text)
            # Who has gone cannot tell that the product would run it with the others.
            wanted = {place: share for place, share in enumerate(self._shares) if share.waits()}
            if not wanted:
                raise Failure("CANCELLED", _GONE)
            shares = list(wanted.values())
            size = sum(share.size for share in shares)
            # Without a row there is none to repeat.
            sizes = allowed_sizes if size else ()
            rows = next((allowed for allowed in sizes if allowed >= size), size)
            outputs = call(_merge(shares, rows - size, pads), deadline)
            answers = _split(outputs, rows, [share.size for share in shares])
            self._answers = dict(zip(wanted, answers, strict=True))
        except Exception as error:
            self._failure = as_failure(error, "A batch")
        finally:
            self._done.set()

    def answer(self, place: int) -> dict[str, NDArray]:
        """Wait until the batch has been run, and return what belongs to one request."""
        self._done.wait()
        if self._failure:
            raise Failure(self._failure.code, self._failure.text)
        if place not in self._answers:
            raise Failure("CANCELLED", _GONE)
        return self._answers[place]


_GONE = "Its caller has gone."


def _size(inputs: Tensors) -> int:
    """Return how many rows a request has, or raise Failure for one that cannot be batched."""
    sizes = {array.shape[:1] for array in inputs.values()}
    if not sizes:
        raise invalid("Batching Run() must have at least one input tensor")
    if () in sizes:
        raise invalid("Batching Run() input tensors must have at least one dimension")
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()[0]


def _shares(inputs: Tensors, sizes: Sequence[int], deadline: float) -> list[_Share]:
    waits = waiting.question()
    parts = [inputs] if len(sizes) == 1 else _cut(inputs, sizes)
    return [_Share(part, size, deadline, waits) for part, size in zip(parts, sizes, strict=True)]


def _cut(tensors: Tensors, sizes: Sequence[int]) -> list[dict[str, NDArray]]:
    """Take tensors apart into so many rows each."""
    return [
        {name: array[stop - size : stop] for name, array in tensors.items()}
        for size, stop in zip(sizes, accumulate(sizes), strict=True)
    ]


def _full(reason: str) -> Failure:
    text = "The batch scheduling queue to which this task was submitted is full; " + reason
    return Failure("UNAVAILABLE", text)


def _merge(shares: Sequence[_Share], more_rows: int, pads: bool) -> dict[str, NDArray]:
    if len(shares) == 1 and not more_rows:
        return dict(shares[0].inputs)
    merged = {}
    for name in shares[0].inputs:
        arrays = [share.inputs[name] for share in shares]
        if len({array.shape[1:] for array in arrays}) > 1:
            if not pads:
                raise Failure("FAILED_PRECONDITION", _DIFFERENT.format(name))
            arrays = _alike(arrays)
        # A row that a request has is one that the model can work with.
        spare = next((array[:1] for array in reversed(arrays) if len(array)), arrays[0])
        merged[name] = np.concatenate([*arrays, *[spare] * more_rows])
    return merged


_DIFFERENT = (
    "Tensors with name '{}' from different tasks have different shapes and padding is turned off. "
    "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have "
    "equal dimensions starting with the first dim."
)


def _alike(arrays: Sequence[NDArray]) -> list[NDArray]:
    """Fill all but the first dimension up to the largest, with each tensor's first value."""
    if len({array.ndim for array in arrays}) > 1:
        text = (
            "Tensor concat operation failed: INVALID_ARGUMENT: Cannot concatenate tensors that "
            "have different number of dimensions"
        )
        raise Failure("INTERNAL", text)
    largest = np.max([array.shape[1:] for array in arrays], axis=0)
    filled = []
    for array in arrays:
        shape = (len(array), *largest)
        if shape != array.shape and not array.size:
            raise invalid("Got empty tensor in batch of non-empty tensors.")
        wide = np.full(shape, array.flat[0], array.dtype) if array.size else array
        wide[tuple(map(slice, array.shape))] = array
        filled.append(wide)
    return filled


def _split(outputs: Tensors, rows: int, sizes: Sequence[int]) -> list[dict[str, NDArray]]:
    for array in outputs.values():
        if not array.ndim:
            raise Failure("FAILED_PRECONDITION", "Batched output tensor has 0 dimensions")
        if len(array) != rows:
            text = (
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
                "sizes of the input tensors"
            )
            raise Failure("FAILED_PRECONDITION", text)
    return _cut(outputs, sizes)
