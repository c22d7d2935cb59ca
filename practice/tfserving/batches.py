"""A batch: several requests' tensors put together for one call, and its answer taken apart."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from practice.tfserving.failures import Failure

Tensors = Mapping[str, NDArray]
log = logging.getLogger("practice.tfserving")


class Share(NamedTuple):
    """What one request puts into a batch."""

    inputs: Tensors
    size: int
    ends: float


class Batch:
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
        self._shares: list[Share] = []
        self._done = threading.Event()
        self._answers: list[dict[str, NDArray]] = []
        self._failure: Failure | None = None

    def add(self, share: Share) -> int:
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
            Runs tensors until a time on `time.monotonic()`.
        allowed_sizes : sequence of int
            The sizes a batch may have, smallest first; rows are added to reach one.
        pads : bool
            Whether tensors of different shapes are made alike.
        """
        try:
            # Until the last deadline: who has less time does not shorten the others'.
            ends = max(share.ends for share in self._shares)
            if ends <= time.monotonic():
                text = "Run() timeout exceeded while waiting in batching queue"
                raise Failure("RESOURCE_EXHAUSTED", text)
            # Without a row there is none to repeat.
            sizes = allowed_sizes if self.size else ()
            rows = next((size for size in sizes if size >= self.size), self.size)
            merged = _merge(self._shares, rows - self.size, pads)
            self._answers = _split(call(merged, ends), rows, [share.size for share in self._shares])
        except Failure as failure:
            self._failure = failure
        except Exception as error:
            log.exception("A batch failed")
            self._failure = Failure("INTERNAL", f"{type(error).__name__}: {error}")
        finally:
            self._done.set()

    def answer(self, place: int) -> dict[str, NDArray]:
        """Wait until the batch has been run, and return what belongs to one request."""
        self._done.wait()
        if self._failure:
            raise Failure(self._failure.code, self._failure.text)
        return self._answers[place]


def size_of(inputs: Tensors) -> int:
    """Return how many rows a request has, or raise Failure for one that cannot be batched."""
    sizes = {array.shape[:1] for array in inputs.values()}
    if not sizes:
        raise Failure("INVALID_ARGUMENT", "Batching Run() must have at least one input tensor")
    if () in sizes:
        text = "Batching Run() input tensors must have at least one dimension"
        raise Failure("INVALID_ARGUMENT", text)
    if len(sizes) > 1:
        text = "Batching Run() input tensors must have equal 0th-dimension size"
        raise Failure("INVALID_ARGUMENT", text)
    return sizes.pop()[0]


def _merge(shares: Sequence[Share], more_rows: int, pads: bool) -> dict[str, NDArray]:
    if len(shares) == 1 and not more_rows:
        return dict(shares[0].inputs)
    merged = {}
    for name in shares[0].inputs:
        arrays = [share.inputs[name] for share in shares]
        shapes = {array.shape[1:] for array in arrays}
        if len(shapes) > 1 and not pads:
            raise Failure("FAILED_PRECONDITION", _DIFFERENT.format(name))
        if len(shapes) > 1:
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
            text = "Got empty tensor in batch of non-empty tensors."
            raise Failure("INVALID_ARGUMENT", text)
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
    return [
        {name: array[stop - size : stop] for name, array in outputs.items()}
        for size, stop in zip(sizes, accumulate(sizes), strict=True)
    ]
