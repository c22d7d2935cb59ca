"""How long calls take, and where the time goes."""

import math
import time
import timeit
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import grpc
import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers import channels, transport
from helpers.endpoints import Endpoint
from helpers.progress import bar
from helpers.tfserving import Call
from helpers.tfserving.grpc import GRPC, PREDICT
from helpers.tfserving.signatures import named
from workbench.watching import connect

_LEAST = 5e-3  # seconds of calls that make a figure; a clock's own steps are far below


def compare(
    contenders: Mapping[str, Callable[[], object]], *, rounds: int = 15, progress: bool = True
) -> dict[str, NDArray]:
    """Measure how long functions take, in turns: a moment when the machine is busy meets all.

    Parameters
    ----------
    contenders : mapping of str to callable
        Called without arguments; fast ones many times a round.
    rounds : int
        Figures of each. Before them all are called to warm up.
    progress : bool
        Show a bar when it takes over two seconds.

    Returns
    -------
    dict of str to ndarray of float64, shape (rounds,)
        Seconds for one call: the mean of a round's calls. Python's `timeit` makes them, so its
        garbage collection is off meanwhile.

    Examples
    --------
    >>> figures = compare({"list": lambda: [0] * 9, "bytes": lambda: bytes(9)}, rounds=3)
    >>> {name: seconds.shape for name, seconds in figures.items()}
    {'list': (3,), 'bytes': (3,)}
    """
    timers = {name: timeit.Timer(contender) for name, contender in contenders.items()}
    calls = {name: _warm_up(timer) for name, timer in timers.items()}
    figures = {name: np.empty(rounds) for name in timers}
    with bar(rounds * len(timers), " measurements", progress) as tick:
        for number in range(rounds):
            for name, timer in timers.items():
                figures[name][number] = timer.timeit(calls[name]) / calls[name]
                tick()
    return figures


def ratios(figures: Mapping[str, ArrayLike]) -> dict[str, float]:
    """Say how many times as long as the first contender each of them takes.

    Parameters
    ----------
    figures : mapping of str to array-like, shape (rounds,)
        As `compare` gives them.

    Returns
    -------
    dict of str to float
        The median of the quotients, round by round.

    Examples
    --------
    >>> ratios({"ours": [1.0, 2.0, 4.0], "theirs": [3.0, 6.0, 40.0]})
    {'ours': 1.0, 'theirs': 3.0}
    """
    first = np.asarray(next(iter(figures.values()), ()), float)
    return {name: float(np.median(np.divide(seconds, first))) for name, seconds in figures.items()}


class Timeline(NamedTuple):
    """Where the time of one call went, in seconds, and what was answered.

    Parameters
    ----------
    connect : float
        Until the channel is ready: name, TCP, TLS and HTTP/2. Next to nothing on a channel that
        is in use; where a connection broke, the new one is part of `send`.
    encode : float
        Until the request is bytes.
    send : float
        Until gRPC has given all of them to the system. A large request waits here for the
        service, which has to take it in; the last part of any may still be on its way then.
    wait : float
        Until the answer begins: the rest of the way there, all that the service does, from
        reading the request to writing the answer, and the way back.
    receive : float
        Until all of the answer, and the status behind it, have come.
    decode : float
        Until they are arrays.
    outputs : dict of str to ndarray
    """

    connect: float
    encode: float
    send: float
    wait: float
    receive: float
    decode: float
    outputs: dict[str, NDArray]


def timeline(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    *,
    signature_name: str = "",
    timeout: float = 10.0,
) -> Timeline:
    """Call Predict over gRPC, and take the time of each part.

    On the wire, a call with one request and one answer is a stream of one message each way.
    Made as a stream, it tells when the request is out and when the answer begins. That takes
    threads, and with them about a millisecond more than `predict`, most of it in `send`: look
    at calls that take far longer than that.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    inputs : mapping of str to array-like
        By the signature's names and of its dtypes: nothing is checked or cast before sending.
    signature_name : str, optional
        In place of the endpoint's; the service's default is `serving_default`.
    timeout : float
        Seconds for all parts together.

    Returns
    -------
    Timeline
        Its parts follow each other without a gap.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text.
    """
    inputs = named(inputs)
    watch = transport.WATCH.get()
    call = Call(endpoint, timeout, "grpc", signature_name)
    channel = channels.channel(endpoint)
    moments = [time.perf_counter()]
    try:
        connect(channel, timeout)
        moments.append(time.perf_counter())
        request = GRPC.encode(call, inputs)
        moments.append(time.perf_counter())
        answer = _exchange(channel, request, call.remaining, moments)
        _, outputs = GRPC.decode(call, answer)
        moments.append(time.perf_counter())
    except grpc.RpcError as error:
        if watch and watch.cancelled:  # of a call that had hardly begun, gRPC never tells more
            raise
        raise transport.failed(endpoint, error) from error
    finally:
        if watch:
            for part, moment in zip(Timeline._fields, moments[1:], strict=False):
                watch.note(part, moment)
    return Timeline._make([*np.diff(moments).tolist(), outputs])


def _exchange(channel: grpc.Channel, request: bytes, seconds: float, moments: list[float]) -> bytes:
    """Return the answer; adds when the request was out, the answer began and had come."""
    out: list[float] = []

    def requests() -> Iterator[bytes]:
        yield request
        out.append(time.perf_counter())  # asked for another one: gRPC is done with the first

    call = channel.stream_stream(PREDICT)(requests(), timeout=seconds)
    if watch := transport.WATCH.get():
        watch.begin(call.cancel)
    try:
        call.initial_metadata()
        began = time.perf_counter()
        # gRPC asks in a thread, which can be late, or too late, when the answer comes at once.
        moments += [min([*out, began]), began]
        answer = b"".join(call)  # one message; raises when the status is not OK
        moments.append(time.perf_counter())
    finally:
        call.cancel()  # after Ctrl-C, too, nothing goes on
    return answer


def _warm_up(timer: timeit.Timer) -> int:
    """Return how many calls make a figure."""
    timer.timeit(1)  # the very first call is often a slow one
    calls = 1
    while (seconds := timer.timeit(calls)) < _LEAST:
        # A fifth more, so that the next is enough; tenfold, where the clock saw next to nothing.
        calls = math.ceil(calls * min(10, 1.2 * _LEAST / max(seconds, 1e-9)))
    return calls
