"""The explorer: what is served, a form for it, the call as code, its answer, all calls so far."""

import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ipywidgets as w

from helpers.errors import BadInput, CallError, DeadlineExceeded
from workbench.code.previews import TITLES, Preview
from workbench.explorer import addresses, forms
from workbench.explorer.calls import WAYS, Record, Request, Sending
from workbench.explorer.chooser import Chooser
from workbench.explorer.panes import AnswerPane, HistoryPane, PreviewPane, outcome
from workbench.fields import Fields, close, close_parts, status

_BOTH = "gRPC and REST"
_PACE = 0.1  # seconds between two looks at the progress of a batch


class Explorer(w.VBox):
    """Explore what an endpoint serves, without writing code.

    Parameters
    ----------
    where : EndpointPanel, Endpoint or str
        Of an address such as `127.0.0.1:8500` or `http://127.0.0.1:8501`, the profile that has
        it says more: the other address, and the models' names.
    names : sequence of str
        Models to look for: TensorFlow Serving cannot list what it serves.
    timeout : float
        Seconds for each question about what is served.

    Examples
    --------
    >>> Explorer("127.0.0.1:8500", names=["digits"])  # doctest: +SKIP
    """

    def __init__(self, where: Any, *, names: Sequence[str] = (), timeout: float = 10.0) -> None:
        self._where, self._timeout, self._names = addresses.place_of(where), timeout, names
        # One thread: what is asked is done in order, and never blocks the kernel.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explorer")
        self._open, self._idle = 0, threading.Condition()
        self._looks, self._told_at = 0, 0.0
        self._sending: Sending | None = None
        self._shown: tuple | None = None
        self.form: Any = None
        self._make_parts()
        super().__init__(self._rows())
        self.send_button.on_click(lambda _: self._later(self._send))
        self.cancel_button.on_click(lambda _: self.cancel())
        self.chooser.refresh()

    def choose(self, name: str, signature: str = "") -> None:
        """Choose a model, path or service, and a signature, from a cell."""
        self._now(lambda: self.chooser.choose(name, signature))

    def fill(self, /, *value: Any, **inputs: Any) -> None:
        """Fill in the form from a cell.

        Parameters
        ----------
        *value
            For services that take one thing.
        **inputs
            For signatures: array-likes, bytes of files, or paths, by the inputs' names.
        """
        self._now(lambda: self._form().fill(*value, **inputs))

    def code(self, title: str) -> str:
        """Return the call as code, from a cell: one of `previews.TITLES`, such as `curl`."""
        self.wait()
        return self.preview.text(title)

    def send(self, over: str = "") -> Any:
        """Send from a cell; returns the answer, or raises what went wrong.

        Parameters
        ----------
        over : str
            `grpc` or `rest`; without it, what the form says. Of several calls, the first error
            counts, or else the last answer.

        Raises
        ------
        CallError
            What went wrong, also that the call was cancelled.
        """
        self.wait()
        if over:
            if (over,) not in [value for _, value in self.way.options]:
                raise BadInput(f"This cannot be called over {over!r}.")
            self.way.value = (over,)
        before = len(self.history.records)
        requests = self._now(self._requests)  # raises when something is missing
        self._later(lambda: self._start(requests, self.way.value))
        try:
            self.wait(None)  # each call has a timeout of its own
        except KeyboardInterrupt:
            self.cancel()
            raise
        made = self.history.records[before:]
        for each in made:
            if each.error:
                raise each.error
            if each.status == "cancelled":
                raise CallError("The call was cancelled.")
        return made[-1].answer

    def cancel(self) -> None:
        """End the call that is under way; an answer that still comes is thrown away."""
        if self._sending:
            self._sending.cancel()

    def wait(self, timeout: float | None = 60.0) -> None:
        """Wait until everything that was asked for is done; None waits without a limit."""
        with self._idle:
            if not self._idle.wait_for(lambda: self._open == 0, timeout):
                raise DeadlineExceeded(f"The explorer is still busy after {timeout:g} seconds.")

    def close(self) -> None:
        """Remove it from the page, and end its thread and what is under way."""
        if hasattr(self, "_pool"):  # else it was never made
            sending, self._sending = self._sending, None
            if sending:
                sending.cancel()
            self._pool.shutdown(wait=False, cancel_futures=True)
        close_parts(self)
        super().close()

    def __repr__(self) -> str:
        return "Explorer()"

    def _make_parts(self) -> None:
        fields = self._fields = Fields()
        self.chooser = Chooser(
            self._where, self._names, fields, self._later, self._show_form, self._timeout
        )
        self._slot = w.VBox()
        self.preview = PreviewPane(fields)
        self.way = fields(w.Dropdown, "Over", "The protocol")
        self.send_button = w.Button(
            description="Send", button_style="primary", tooltip="Make the call", disabled=True
        )
        self.cancel_button = w.Button(
            description="Cancel", tooltip="Do not wait for the answer", disabled=True
        )
        self.told = w.HTML()
        self.answer = AnswerPane()
        self.history = HistoryPane(fields, self._look_back, self._send_again)

    def _rows(self) -> list[w.Widget]:
        buttons = w.HBox([self.send_button, self.cancel_button, self.told], layout=self._fields.row)
        parts: list[tuple[str, list[w.Widget]]] = [
            ("What is served", [self.chooser]),
            ("Inputs", [self._slot]),
            ("Call", [self.preview, self.way, buttons]),
            ("Answer", [self.answer]),
            ("History", [self.history]),
        ]
        head = "<h3 style='margin:0.5em 0 0'>{}</h3>"
        return [each for title, row in parts for each in (w.HTML(head.format(title)), *row)]

    def _form(self) -> Any:
        if self.form is None:
            raise BadInput("There is no form yet: nothing that can be called was found.")
        return self.form

    def _show_form(self) -> None:
        """Make the form of what is chosen; what is filled in stays, if it still fits."""
        entry, name = self.chooser.meant, self.chooser.signature.value or ""
        key = None
        if entry:
            key = entry.name, entry.endpoint.replace(signature_name=name), entry.signatures
        if key == self._shown:
            return
        self._shown, before = key, self.form
        self.form = forms.make(entry, name, self._fields, self._changed) if entry else None
        self._slot.children = [self.form] if self.form else []
        if before:
            close(before)
        if not self._sending:  # the answer of another form would be taken for this one's
            self.answer.clear()
            self.told.value = ""
        ways = self.form.ways if self.form else ()
        options = [(WAYS[each], (each,)) for each in ways]
        self.way.options = [*options, (_BOTH, tuple(ways))] if len(ways) == 2 else options
        self.way.value = ways[:1] or None
        self._changed()

    def _changed(self) -> None:
        self._looks += 1
        self._later(functools.partial(self._look, self._looks))

    def _look(self, number: int) -> None:
        """Check the form and write the call as code, unless the form changed again since."""
        if number != self._looks:
            return
        if self.form is None:
            self.send_button.disabled = True
            self.preview.show(Preview({}, {}, {}))
            return
        fits = self.form.check()
        self.send_button.disabled = not fits or bool(self._sending)
        count = 1
        try:
            requests = self.form.requests()
            shown, count = requests[0].preview(), len(requests)
        except CallError as error:
            shown = Preview({}, dict.fromkeys(TITLES, str(error)), {})
        self.preview.show(shown, count)

    def _send(self) -> None:
        self._start(self._requests(), self.way.value)

    def _requests(self) -> list[Request]:
        form = self._form()
        if not self.way.value:
            raise BadInput(
                "This cannot be sent to the addresses that the endpoint has. The reason stands "
                "where the call would be shown as code."
            )
        return form.requests()

    def _look_back(self, record: Record) -> None:
        self._later(lambda: self.answer.show([record]))

    def _send_again(self, record: Record) -> None:
        self._later(lambda: self._start([record.request], (record.over,)))

    def _start(self, requests: Sequence[Request], ways: Sequence[str]) -> None:
        if self._sending:
            return
        self._sending = Sending(requests, ways, self._told)
        self.send_button.disabled, self.cancel_button.disabled = True, False
        self.told.value = status("grey", "waiting ...")
        self.answer.clear()
        self._begin()
        self._sending.start()

    def _told(self, sending: Sending) -> None:
        """Hear of a call that ended; in any thread."""
        if sending is not self._sending:
            return
        now = time.monotonic()
        if sending.over or now - self._told_at > _PACE:
            self._told_at = now
            self._later(functools.partial(self._progress, sending))

    def _progress(self, sending: Sending) -> None:
        if sending is not self._sending:
            return
        if not sending.over:
            self.told.value = outcome(sending)
            return
        self._sending = None
        try:
            self.history.add(sending.records)
            self.told.value = outcome(sending)
            self.answer.show(sending.records)
        finally:
            self.cancel_button.disabled = True
            self._look(self._looks)
            self._end()

    def _now(self, do: Callable[[], Any]) -> Any:
        """Do something in the explorer's thread, and wait for it."""
        self.wait()
        found = self._pool.submit(do).result()
        self.wait()
        return found

    def _later(self, do: Callable[[], Any]) -> None:
        """Do something in the explorer's thread, after what was asked for before."""
        self._begin()
        self._pool.submit(self._guarded, do)

    def _guarded(self, do: Callable[[], Any]) -> None:
        try:
            do()
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self.answer.fail(error)
        finally:
            self._end()

    def _begin(self) -> None:
        with self._idle:
            self._open += 1

    def _end(self) -> None:
        with self._idle:
            self._open -= 1
            self._idle.notify_all()
