"""Several predictions under way at once, over gRPC and in order: the inside of `predict_many`."""

import collections
import concurrent.futures
import contextlib
import queue
from collections.abc import Callable, Generator, Iterable, Sized
from typing import TYPE_CHECKING, Any

from helpers import transport
from helpers.errors import CallError, NotAuthenticated
from helpers.interrupts import Interrupts
from helpers.progress import bar
from helpers.tfserving.grpc import GRPC
from helpers.tfserving.signatures import named

if TYPE_CHECKING:
    from helpers.tfserving import Arrays, Call, Inputs

Answers = Generator[Any, None, None]


def in_order(
    begin: "Callable[[Inputs, Interrupts], PendingCall]",
    batches: "Iterable[Inputs]",
    in_flight: int,
    collect_errors: bool,
) -> Answers:
    """Begin so many calls at once, and yield their answers in the batches' order."""
    calls: collections.deque[PendingCall] = collections.deque()
    with Interrupts() as interrupts:
        try:
            for batch in batches:
                calls.append(begin(batch, interrupts))
                if len(calls) == in_flight or calls[0].done():
                    yield calls[0].answer(collect_errors)
                    # Within gRPC's own clearing up after a call, Ctrl-C would be lost; `popleft`
                    # would return the call, which then would go after `finish`.
                    interrupts.finish(calls.__delitem__, 0)
            while calls:
                yield calls[0].answer(collect_errors)
                interrupts.finish(calls.__delitem__, 0)
        finally:  # also when the caller stops early, or Ctrl-C is pressed
            for call in calls:
                interrupts.finish(call.cancel)


def with_bar(answers: Answers, batches: Iterable) -> Answers:
    """Yield the answers, and show a bar that counts them."""
    total = len(batches) if isinstance(batches, Sized) else None
    with bar(total, " batches") as tick, contextlib.closing(answers):
        for answer in answers:
            tick()
            yield answer


class PendingCall:
    """A call that has begun; what fails before it is sent is raised with its answer.

    It does not wait inside gRPC: in the wait of a `threading.Condition`, Ctrl-C can come between a
    lock and its release.
    """

    def __init__(self, call: "Call", batch: "Inputs", check: bool, interrupts: Interrupts) -> None:
        self._call = call
        self._interrupts = interrupts
        self._request = b""
        self._waited_for = False
        self._settled = queue.SimpleQueue[Any]()
        try:
            inputs = named(batch)
            if check:
                inputs = call.checked(inputs)
            self._request = GRPC.encode(call, inputs)
            self.future = self._send(call.remaining)
        except CallError as error:
            self.future = concurrent.futures.Future()
            self.future.set_exception(error)
            self._settled.put(self.future)

    def answer(self, collect_errors: bool) -> "Arrays | CallError":
        """Wait for the outputs; a CallError is raised, or returned in their place."""
        call = self._call
        try:
            with call.explained():
                received = transport.unary(
                    call.endpoint, self._receive, self._request, call.remaining
                )
            return call.decoded(received)
        except CallError as error:
            if collect_errors and not isinstance(error, NotAuthenticated):
                return error
            raise

    def done(self) -> bool:
        """Whether the answer is there."""
        return not self._settled.empty()

    def cancel(self) -> None:
        """Give the call up."""
        self.future.cancel()

    def _send(self, timeout: float) -> Any:
        return self._interrupts.finish(self._begin, GRPC.predict_method(self._call), timeout)

    def _begin(self, method: Any, timeout: float) -> Any:
        future = method.future(self._request, timeout=timeout)
        future.add_done_callback(self._settled.put)
        return future

    def _receive(self, request: bytes, timeout: float) -> bytes:
        if self._waited_for:  # its connection broke, and the endpoint has retries
            self.future = self._send(timeout)
        self._waited_for = True
        self._settled.get()
        return self._interrupts.finish(self.future.result)
