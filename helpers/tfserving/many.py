"""Several predictions under way at once: `predict_many` for loops, `apredict` for async code."""

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterable, Sized
from typing import Any

from helpers import channels, errors, transport
from helpers.endpoints import Endpoint
from helpers.interrupts import Postponed
from helpers.progress import bar
from helpers.tfserving import grpc as tfserving_grpc
from helpers.tfserving import models as tfserving_models
from helpers.tfserving.models import Arrays, Inputs


def predict_many(
    endpoint: Endpoint,
    batches: Iterable[Inputs],
    *,
    in_flight: int = 16,
    signature_name: str = "",
    timeout: float = 10.0,
    check: bool = True,
    collect_errors: bool = False,
    progress: bool = True,
) -> Generator[Any, None, None]:
    """Send many batches over gRPC, several at once; yields the outputs in the batches' order.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    batches : iterable of mapping of str to array-like
        Inputs by name, as for `tfserving.predict`; may be endless. A batch is taken when there
        is room for its call, so at most `in_flight` of them are in memory.
    in_flight : int
        Calls under way at once.
    signature_name : str, optional
        In place of the endpoint's.
    timeout : float
        Seconds for each call.
    check : bool
        Whether each batch is checked against the signature before it is sent.
    collect_errors : bool
        Whether a CallError is yielded in place of the outputs. Otherwise the first one is
        raised, and the calls that are under way are cancelled.
    progress : bool
        Show a bar with the rate when it takes over two seconds.

    Yields
    ------
    dict of str to ndarray, or CallError
        As `tfserving.predict` returns them.

    Raises
    ------
    CallError
        As `tfserving.predict` does; `BadInput` at once when `in_flight` is no number from 1 on.

    Examples
    --------
    >>> for outputs in predict_many(endpoint, batches):  # doctest: +SKIP
    ...     print(outputs["probabilities"].argmax(axis=1))
    """
    if not isinstance(in_flight, int) or in_flight < 1:
        raise errors.BadInput(f"in_flight is a number of calls from 1 on, not {in_flight!r}.")
    name = signature_name or endpoint.signature_name
    begin = functools.partial(_Call, endpoint, name, timeout, check)
    answers = _in_order(begin, batches, in_flight, collect_errors)
    if not progress:
        return answers
    return _with_bar(answers, len(batches) if isinstance(batches, Sized) else None)


async def apredict(
    endpoint: Endpoint,
    inputs: Inputs,
    *,
    signature_name: str = "",
    timeout: float = 10.0,
    check: bool = True,
) -> Arrays:
    """Do as `tfserving.predict` does over gRPC, for code with `async` and `await`.

    Cancel its task, and the call is cancelled, too.
    """
    ends, way = time.monotonic() + timeout, tfserving_grpc
    signature_name = signature_name or endpoint.signature_name
    inputs = tfserving_models.named(inputs)
    if check:
        fitted = tfserving_models.fitted(endpoint, way, inputs, signature_name)
        if fitted is None:  # the service has to be asked, which waits
            asked = endpoint, way, inputs, signature_name, ends
            fitted = await asyncio.to_thread(tfserving_models.checked, *asked)
        inputs = fitted
    request = way.encode(endpoint, inputs, signature_name)
    channel = channels.aio_channel(endpoint)  # a name for it, or it could close during the call
    method, left = channel.unary_unary(way.PREDICT), ends - time.monotonic()
    try:
        answer = await transport.unary_async(endpoint, method, request, left)
    except errors.UnknownModel as error:
        await asyncio.to_thread(tfserving_models.add_reason, error, endpoint, way, ends)
        raise
    return _outputs(endpoint, answer)


def _in_order(
    begin: "Callable[[Inputs], _Call]",
    batches: Iterable[Inputs],
    in_flight: int,
    collect_errors: bool,
) -> Generator[Any, None, None]:
    calls: collections.deque[_Call] = collections.deque()
    try:
        for batch in batches:
            calls.append(begin(batch))
            if len(calls) == in_flight or calls[0].done():
                yield calls[0].answer(collect_errors)
                with Postponed():
                    calls.popleft()
        while calls:
            yield calls[0].answer(collect_errors)
            with Postponed():
                calls.popleft()
    finally:  # also when the caller stops early, or Ctrl-C is pressed
        for call in calls:
            call.cancel()


class _Call:
    """A call that has begun; what fails before it is sent is told with its outputs, too."""

    def __init__(
        self,
        endpoint: Endpoint,
        signature_name: str,
        timeout: float,
        check: bool,
        batch: Inputs,
    ) -> None:
        self._endpoint, self._ends = endpoint, time.monotonic() + timeout
        self._request = b""
        self._waited_for = False
        try:
            inputs = tfserving_models.named(batch)
            if check:
                about = endpoint, tfserving_grpc, inputs, signature_name, self._ends
                inputs = tfserving_models.checked(*about)
            self._request = tfserving_grpc.encode(endpoint, inputs, signature_name)
            self._future = self._send(self._ends - time.monotonic())
        except errors.CallError as error:
            self._future = concurrent.futures.Future()
            self._future.set_exception(error)

    def answer(self, collect_errors: bool) -> Arrays | errors.CallError:
        left = self._ends - time.monotonic()
        try:
            with tfserving_models.explained(self._endpoint, tfserving_grpc, self._ends):
                received = transport.unary(self._endpoint, self._receive, self._request, left)
            return _outputs(self._endpoint, received)
        except errors.CallError as error:
            if collect_errors:
                return error
            raise

    def done(self) -> bool:
        return self._future.done()

    def cancel(self) -> None:
        self._future.cancel()

    def _send(self, timeout: float) -> Any:
        method = tfserving_grpc.predict_method(self._endpoint)
        with Postponed():
            return method.future(self._request, timeout=timeout)

    def _receive(self, request: bytes, timeout: float) -> bytes:
        if self._waited_for:  # its connection broke, and the endpoint has retries
            self._future = self._send(timeout)
        self._waited_for = True
        return self._future.result()


def _outputs(endpoint: Endpoint, answer: bytes) -> Arrays:
    version, outputs = tfserving_grpc.decode(endpoint, answer)
    tfserving_models.answered(endpoint, tfserving_grpc, version)
    return outputs


def _with_bar(answers: Generator[Any, None, None], total: int | None) -> Generator[Any, None, None]:
    with bar(total, " batches") as tick, contextlib.closing(answers):
        for answer in answers:
            tick()
            yield answer
