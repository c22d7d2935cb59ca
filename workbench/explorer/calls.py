"""Sends requests in a thread of their own, and remembers what came of each call."""

import csv
import dataclasses
import datetime
import io
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError
from helpers.language import _
from workbench.code.previews import PROTOCOLS, Preview
from workbench.explorer.comparison import are_arrays
from workbench.values.arrays import summary
from workbench.watching import PARTS, Watch


class Request(NamedTuple):
    """A call that can be made, again and again.

    Parameters
    ----------
    endpoint : Endpoint
    target : str
        What is called there: model and signature, a path, a service.
    payload : mapping of str to ndarray, str, bytes or JSON
        What is sent.
    protocols : tuple of str
        `grpc`, `rest` or both.
    call : callable
        Given one of the protocols, makes the call and returns its answer.
    preview : callable
        Returns the call as code.
    """

    endpoint: Endpoint
    target: str
    payload: Any
    protocols: tuple[str, ...]
    call: Callable[[str], Any]
    preview: Callable[[], Preview]


@dataclasses.dataclass(frozen=True)
class Record:
    """A call that was made: when, how long its parts took in seconds, and what came of it.

    `status` is `OK`, `cancelled`, or the error's class; `sent` and `answered` say what the
    arrays were like.
    """

    request: Request
    protocol: str
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
        request = self.request._replace(payload=None, call=_dropped, preview=_dropped)
        return dataclasses.replace(self, request=request, answer=None, error=None)


def _dropped(*arguments: object) -> Any:
    raise BadInput(_("The arrays of this call were dropped, to save memory."))


class Sending:
    """Makes calls one after another, off the kernel's main thread.

    Parameters
    ----------
    requests : sequence of Request
    protocols : sequence of str
        All requests go over the first, then over the second. After an error, the protocol's
        other requests are not sent.
    notify : callable
        Called with this object after each call, and once it has ended; in that thread.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        protocols: Sequence[str],
        notify: Callable[["Sending"], None],
    ) -> None:
        self.records: list[Record] = []
        self.total = len(requests) * len(protocols)
        self.ended = False
        self._requests = requests
        self._protocols = protocols
        self._notify = notify
        self._watch = Watch()
        self._current = _begun(requests[0], protocols[0])
        self._lock = threading.Lock()
        # A daemon: nobody waits for an answer at the kernel's end.
        self.thread = threading.Thread(target=self._run, name="sending", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.thread.start()

    def cancel(self) -> None:
        """End at once; an answer that still comes is thrown away."""
        with self._lock:
            if self.ended:
                return
            self.ended = True
            waited = (datetime.datetime.now().astimezone() - self._current.began).total_seconds()
            self.records.append(
                dataclasses.replace(self._current, seconds={"wait": waited}, status="cancelled")
            )
        self._watch.cancel()
        self._notify(self)

    def _run(self) -> None:
        for protocol in self._protocols:
            for request in self._requests:
                with self._lock:
                    if self.ended:  # cancelled since the last call
                        return
                    self._watch = Watch()
                    self._current = _begun(request, protocol)
                record = _make(self._current, self._watch)
                with self._lock:
                    if self.ended:  # cancelled meanwhile
                        return
                    self.records.append(record)
                    self.ended = len(self.records) == self.total
                self._notify(self)
                if record.error:
                    break
        with self._lock:
            if self.ended:
                return
            self.ended = True
        self._notify(self)


def _begun(request: Request, protocol: str) -> Record:
    now = datetime.datetime.now().astimezone()
    return Record(request, protocol, now, {}, shapes(request.payload))


def _make(begun: Record, watch: Watch) -> Record:
    try:
        with watch:
            answer = begun.request.call(begun.protocol)
        record = dataclasses.replace(begun, answer=answer, answered=shapes(answer))
    except Exception as error:  # whatever it is, the reader should see it, not the log
        # A library's own message may hold secrets: it stays out of the CSV.
        message = str(error) if isinstance(error, CallError) else ""
        kind = type(error).__name__
        record = dataclasses.replace(begun, error=error, status=kind, message=message)
    return dataclasses.replace(record, seconds=watch.seconds)


def joined(records: Sequence[Record]) -> tuple[Any, Any]:
    """Put the parts of a batch together again; returns what was sent, and what was answered.

    Parameters
    ----------
    records : sequence of Record
        Calls that went well, in the order in which their parts were sent.

    Returns
    -------
    tuple
        Arrays along their first axis, where they agree in the others; else the last call's.
    """
    payloads = [record.request.payload for record in records]
    return _together(payloads), _together([record.answer for record in records])


def _together(values: list[Any]) -> Any:
    if len(values) == 1 or not all(map(are_arrays, values)):
        return values[-1]
    try:
        return {name: np.concatenate([arrays[name] for arrays in values]) for name in values[0]}
    except (KeyError, ValueError):  # other names or shapes, or scalars
        return values[-1]


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
        return _("{size:,} bytes", size=len(values))
    if values and are_arrays(values):
        return "; ".join(f"{name} {summary(array)}" for name, array in values.items())
    return type(values).__name__


def status_word(record: Record) -> str:
    """Return a call's status in the reader's language; an error's class has its name in all."""
    words = {"OK": _("OK"), "cancelled": _("cancelled")}
    return words.get(record.status, record.status)


def to_csv(records: Sequence[Record]) -> str:
    """Write calls, of which there is one at the least, as CSV; without their arrays.

    Returns
    -------
    str
        With a head, times in ISO 8601, and milliseconds.
    """
    rows = [{"call": number, **_row(record)} for number, record in enumerate(records, start=1)]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(record: Record) -> dict[str, str]:
    endpoint = record.request.endpoint
    seconds = record.seconds
    return {
        "time": record.began.isoformat(timespec="milliseconds"),
        "service": endpoint.service,
        "address": getattr(endpoint, record.protocol),
        "target": _safe(record.request.target),
        "protocol": PROTOCOLS[record.protocol],
        "status": record.status,
        "message": _safe(record.message),
        **{f"{p} (ms)": f"{1000 * seconds[p]:.3f}" if p in seconds else "" for p in PARTS},
        "total (ms)": f"{1000 * sum(seconds.values()):.3f}",
        "sent": _safe(record.sent),
        "answered": _safe(record.answered),
    }


def _safe(text: str) -> str:
    """Keep a spreadsheet from taking a name, which comes from a server, as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text
