"""Sends requests in a thread of their own, and remembers what came of each call."""

import csv
import dataclasses
import datetime
import io
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError
from workbench.code.previews import Preview
from workbench.values.arrays import summary
from workbench.watching import Watch

WAYS = {"grpc": "gRPC", "rest": "REST"}
PARTS = ("encode", "connect", "send", "wait", "receive", "decode")
_COLUMNS = (
    "call",
    "time",
    "service",
    "address",
    "target",
    "over",
    "status",
    "message",
    *(f"{part} (ms)" for part in PARTS),
    "total (ms)",
    "sent",
    "answered",
)


class Request(NamedTuple):
    """A call that can be made, again and again.

    Parameters
    ----------
    endpoint : Endpoint
    target : str
        What is called there: model and signature, a path, a service.
    given : mapping of str to ndarray, str, bytes or JSON
        What is sent.
    ways : tuple of str
        `grpc`, `rest` or both.
    call : callable
        Given one of the ways, makes the call and returns its answer.
    preview : callable
        Returns the call as code.
    """

    endpoint: Endpoint
    target: str
    given: Any
    ways: tuple[str, ...]
    call: Callable[[str], Any]
    preview: Callable[[], Preview]


@dataclasses.dataclass(frozen=True)
class Record:
    """A call that was made: when, how long its parts took in seconds, and what came of it.

    `status` is `OK`, `cancelled`, or the error's class; `sent` and `answered` say what the
    arrays were like.
    """

    request: Request
    over: str
    began: datetime.datetime
    seconds: dict[str, float]
    sent: str = ""
    answered: str = ""
    status: str = "OK"
    message: str = ""
    answer: Any = None
    error: Exception | None = None

    def without_arrays(self) -> "Record":
        """Return it without what was sent and answered; it cannot be sent again."""
        request = self.request._replace(given=None, call=_dropped, preview=_dropped)
        return dataclasses.replace(self, request=request, answer=None, error=None)


class Sending:
    """Makes calls one after another, off the kernel's main thread.

    Parameters
    ----------
    requests : sequence of Request
    ways : sequence of str
        All requests go over the first, then over the second. An error ends its way.
    told : callable
        Called with this object after each call, and once it is over; in that thread.
    """

    def __init__(
        self, requests: Sequence[Request], ways: Sequence[str], told: Callable[["Sending"], None]
    ) -> None:
        self.records: list[Record] = []
        self.total = len(requests) * len(ways)
        self.over = False
        self._requests, self._ways, self._told = requests, ways, told
        self._watch, self._under_way = Watch(), _begun(requests[0], ways[0])
        self._lock = threading.Lock()
        # A daemon: nobody waits for an answer at the kernel's end.
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End at once; an answer that still comes is thrown away."""
        with self._lock:
            if self.over:
                return
            self.over, now = True, datetime.datetime.now().astimezone()
            waited = {"wait": (now - self._under_way.began).total_seconds()}
            ended = dataclasses.replace(self._under_way, seconds=waited, status="cancelled")
            self.records.append(ended)
        self._watch.cancel()
        self._told(self)

    def _run(self) -> None:
        for way in self._ways:
            for request in self._requests:
                begun, watch = _begun(request, way), Watch()
                with self._lock:
                    if self.over:  # cancelled since the last call
                        return
                    self._under_way, self._watch = begun, watch
                record = _make(begun, watch)
                with self._lock:
                    if self.over:  # cancelled meanwhile
                        return
                    self.records.append(record)
                    self.over = len(self.records) == self.total
                self._told(self)
                if record.error:
                    break
        with self._lock:
            already, self.over = self.over, True
        if not already:
            self._told(self)


def _make(begun: Record, watch: Watch) -> Record:
    with watch:
        try:
            answer = begun.request.call(begun.over)
            ended = dataclasses.replace(begun, answer=answer, answered=shapes(answer))
        except Exception as error:  # whatever it is, the reader should see it, not the log
            # A library's own message may hold secrets: it stays out of the CSV.
            message = str(error) if isinstance(error, CallError) else ""
            kind = type(error).__name__
            ended = dataclasses.replace(begun, error=error, status=kind, message=message)
    return dataclasses.replace(ended, seconds=watch.seconds)


def _dropped(*_: object) -> Any:
    raise BadInput("The arrays of this call were dropped, to save memory.")


def _begun(request: Request, way: str) -> Record:
    now = datetime.datetime.now().astimezone()
    return Record(request, way, now, {}, shapes(request.given))


def to_csv(records: Iterable[Record]) -> str:
    """Write calls as CSV, one line for each; without what was sent and answered.

    Returns
    -------
    str
        With a head, times in ISO 8601, and milliseconds.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(_row(number, each) for number, each in enumerate(records, start=1))
    return text.getvalue()


def shapes(values: Any) -> str:
    """Say what arrays, or other things that were sent or answered, are like.

    Examples
    --------
    >>> import numpy as np
    >>> shapes({"x": np.zeros((1, 4), "float32")}), shapes(b"abc")
    ('x float32 [1, 4]', '3 bytes')
    """
    if values is None:
        return ""
    if isinstance(values, bytes):
        return f"{len(values):,} bytes"
    if isinstance(values, dict) and values and all(hasattr(v, "dtype") for v in values.values()):
        return "; ".join(f"{name} {summary(each)}" for name, each in values.items())
    return type(values).__name__


def _row(number: int, record: Record) -> list[Any]:
    request = record.request
    where = request.endpoint.grpc if record.over == "grpc" else request.endpoint.rest
    milliseconds = [
        f"{1000 * record.seconds[part]:.3f}" if part in record.seconds else "" for part in PARTS
    ]
    return [
        number,
        record.began.isoformat(timespec="milliseconds"),
        request.endpoint.service,
        where,
        _safe(request.target),
        WAYS[record.over],
        record.status,
        _safe(record.message),
        *milliseconds,
        f"{1000 * sum(record.seconds.values()):.3f}",
        _safe(record.sent),
        _safe(record.answered),
    ]


def _safe(text: str) -> str:
    """Keep a spreadsheet from taking a name, which comes from a server, as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text
