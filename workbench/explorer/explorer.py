"""The explorer: what is served, a form for it, the call as code, its answer, all calls so far."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import Any

import ipywidgets as w

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError, DeadlineExceeded, places
from helpers.language import _
from workbench.code.previews import PROTOCOLS, TITLES, Preview
from workbench.explorer import addresses, forms
from workbench.explorer.calls import Record, Request, Sending
from workbench.explorer.chooser import Chooser
from workbench.explorer.forms.form import Form
from workbench.explorer.frame import Frame
from workbench.explorer.load import LoadPane
from workbench.explorer.offered import ExampleInputs
from workbench.explorer.panes import AnswerPane, HistoryPane, PreviewPane
from workbench.fields import Fields, button, close, close_parts, status

_PACE = 0.1  # seconds between two looks at the progress of a batch


class Explorer(w.VBox):
    """Explore what an endpoint serves, without writing code.

    Parameters
    ----------
    source : EndpointPanel, Endpoint or str
        Of an address such as `127.0.0.1:8500` or `http://127.0.0.1:8501`, the profile that has
        it says more: the other address, and the models' names.
    names : sequence of str
        Models to look for: TensorFlow Serving cannot list what it serves.
    timeout : float
        Seconds for each question about what is served.
    examples : str
        The SavedModel's folder, if it is on this machine: the warm-up requests in it are offered
        as example inputs.

    Examples
    --------
    >>> Explorer("127.0.0.1:8500", names=["digits"])  # doctest: +SKIP
    """

    def __init__(
        self, source: Any, *, names: Sequence[str] = (), timeout: float = 10.0, examples: str = ""
    ) -> None:
        self._endpoint = addresses.endpoint_getter(source)
        place = places.HERE.get() if isinstance(source, str | Endpoint) else places.FORM
        # One thread: what is asked is done in order, and never blocks the kernel.
        self._pool = ThreadPoolExecutor(
            1, thread_name_prefix="explorer", initializer=places.HERE.set, initargs=(place,)
        )
        self._idle = threading.Condition()
        self._open = 0  # what was asked and is not done yet
        self._changes = 0  # of the form
        self._written = 0  # so many of them are in the code that is shown
        self._notified = 0.0  # when the progress was shown last
        self.sending: Sending | None = None  # the calls under way
        self._asked = False  # for a call that has not begun yet
        self._shown: tuple | None = None  # what the form is for
        self.form: Form | None = None
        fields = self._fields = Fields()
        self.chooser = Chooser(self._endpoint, names, fields, self._later, self._show_form, timeout)
        self.examples = ExampleInputs(examples, fields, self._later)
        self._form_box = w.VBox()
        self.preview = PreviewPane(fields)
        self.protocol = w.Dropdown(
            description=_("Protocol"),
            tooltip=_("gRPC, REST, or both after one another"),
            style={"description_width": "initial"},
        )
        self.send_button = button(
            _("Send"),
            _("Make the call: Ctrl+Enter, or Shift+Enter in a field"),
            self._ask_for_call,
            button_style="primary",
            disabled=True,
        )
        self.cancel_button = button(
            _("Cancel"), _("Do not wait for the answer"), self.cancel, disabled=True
        )
        self.status = fields.html()
        self.answer = AnswerPane(fields, self._later)
        self.history = HistoryPane(fields, self._later, self._look_back, self._send_again)
        self.load = LoadPane(fields, self._later, self._first_request)
        served = fields.html(_heading(_("What is served")))
        inputs = fields.html(_heading(_("Inputs")))
        form = [inputs, self.examples, self._form_box]
        column = _classed(w.VBox([served, self.chooser, *form]), "otw-inputs")
        call = w.HBox(
            [self.protocol, self.send_button, self.cancel_button, self.status],
            layout={"flex_flow": "row wrap"},
        )
        self.tabs = w.Tab(
            [self.answer, self.preview, self.history, self.load],
            titles=[_("Answer"), _("Code"), _("History"), _("Load test")],
            selected_index=0,
        )
        self.tabs.observe(self._open_load, "selected_index")
        columns = [column, _classed(call, "otw-send"), _classed(self.tabs, "otw-answers")]
        super().__init__(
            [
                Frame(fields, self._ask_for_call),
                self.chooser.head,
                _classed(w.VBox(columns), "otw-columns"),
            ]
        )
        self.add_class("otw-explorer")
        self.chooser.refresh()

    @property
    def endpoint(self) -> Endpoint:
        """Where it looks, as it is now."""
        return self._endpoint()

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
        self._now(lambda: self._filled().fill(*value, **inputs))

    def fill_at_random(self) -> None:
        """Fill in the form from a cell with something that can be sent, for a first look.

        Raises
        ------
        BadInput
            Where the service does not tell what it takes, as ModelArts and CCAI do not.
        """
        self._now(lambda: self._filled().fill_at_random())

    def code(self, title: str) -> str:
        """Return the call as code, from a cell: one of `previews.TITLES`, such as `curl`."""
        self.wait()
        return self.preview.text(title)

    def send(self, protocol: str = "") -> Any:
        """Send from a cell; returns the answer, or raises what went wrong.

        Parameters
        ----------
        protocol : str
            `grpc` or `rest`; without it, what the form says. Of several calls, the first error
            counts, or else the last answer.

        Raises
        ------
        CallError
            What went wrong, also that the call was cancelled.
        """
        self.wait()
        if protocol:
            if (protocol,) not in [option[1] for option in self.protocol.options]:
                raise BadInput(_("This cannot be called over {protocol!r}.", protocol=protocol))
            self.protocol.value = (protocol,)
        before = len(self.history.records)
        requests = self._now(self._requests)  # raises when something is missing
        self._later(lambda: self._start(requests, self.protocol.value))
        try:
            self.wait(None)  # each call has a timeout of its own
        except KeyboardInterrupt:
            self.cancel()
            raise
        records = self.history.records[before:]
        for record in records:
            if record.error:
                raise record.error
            if record.status == "cancelled":
                raise CallError(_("The call was cancelled."))
        return records[-1].answer

    def cancel(self) -> None:
        """End the call that is under way; an answer that still comes is thrown away."""
        if self.sending:
            self.sending.cancel()

    def wait(self, timeout: float | None = 60.0) -> None:
        """Wait until everything that was asked for is done; None waits without a limit."""
        with self._idle:
            if not self._idle.wait_for(lambda: self._open == 0, timeout):
                raise DeadlineExceeded(
                    _("The explorer is still busy after {timeout:g} seconds.", timeout=timeout)
                )

    def close(self) -> None:
        """Remove it from the page, and end its thread and what is under way."""
        if hasattr(self, "_pool"):  # else it was never made
            sending, self.sending = self.sending, None
            if sending:
                sending.cancel()
            self.load.give_up()
            self.chooser.give_up()
            self._pool.shutdown(wait=False, cancel_futures=True)
        close_parts(self)
        super().close()

    def __repr__(self) -> str:
        return "Explorer()"

    def _filled(self) -> Any:
        if self.form is None:
            raise BadInput(_("There is no form yet: nothing that can be called was found."))
        return self.form

    def _show_form(self) -> None:
        """Make the form of what is chosen; what is filled in stays, if it still fits."""
        entry = self.chooser.meant
        name = self.chooser.signature.value or ""
        key = None
        if entry:
            key = (entry.name, entry.endpoint.replace(signature_name=name), entry.signatures)
        if key == self._shown:
            return
        self._shown = key
        before = self.form
        self.form = forms.make(entry, name, self._fields, self._changed) if entry else None
        self._form_box.children = [self.form] if self.form else []
        self.examples.offer(self.form, name)
        if before:
            close(before)
        if not self.sending:  # the answer of another form would be taken for this one's
            self.answer.clear()
            self.status.value = ""
        protocols = self.form.protocols if self.form else ()
        options: list[tuple[str, tuple[str, ...]]]
        options = [(PROTOCOLS[protocol], (protocol,)) for protocol in protocols]
        if len(protocols) == 2:
            options.append((_("gRPC and REST"), protocols))
        self.protocol.options = options
        self.protocol.value = protocols[:1] or None
        self._changed()

    def _changed(self) -> None:
        self._changes += 1
        self._later(functools.partial(self._look, self._changes))

    def _look(self, changes: int) -> None:
        """Check the form and write the call as code, unless the form changed again since."""
        if changes != self._changes:
            return
        if self.form is None:
            self.send_button.disabled = True
            self.preview.show(Preview({}, {}, {}))
            return
        fits = self.form.check()
        self.send_button.disabled = not fits or bool(self.sending)
        if changes == self._written:
            return
        self._written = changes
        count = 1
        try:
            requests = self.form.requests()
            preview = requests[0].preview()
            count = len(requests)
        except CallError as error:
            preview = Preview({}, dict.fromkeys(TITLES, str(error)), {})
        self.preview.show(preview, count)

    def _ask_for_call(self) -> None:
        """Make a call, but not another one while this one is under way: some press twice."""
        if not self._asked and not self.sending:
            self._asked = True
            self.send_button.disabled = True
            self._later(self._call)

    def _call(self) -> None:
        try:
            self._start(self._requests(), self.protocol.value)
        finally:
            self._asked = False
            if not self.sending:
                self._look(self._changes)

    def _requests(self) -> list[Request]:
        form = self._filled()
        if not self.protocol.value:
            raise BadInput(
                _(
                    "This cannot be sent to the addresses that the endpoint has. The reason stands "
                    "where the call would be shown as code."
                )
            )
        return form.requests()

    def _open_load(self, change: dict[str, Any]) -> None:
        if self.tabs.children[change["new"]] is self.load:
            self.load.show_fields()

    def _first_request(self) -> tuple[Request, str]:
        return self._requests()[0], self.protocol.value[0]

    def _look_back(self, record: Record) -> None:
        self._fill_again(record.request)
        self.answer.show([record])
        self.tabs.selected_index = 0

    def _send_again(self, record: Record) -> None:
        self._fill_again(record.request)
        self._start([record.request], (record.protocol,))

    def _fill_again(self, request: Request) -> None:
        """Fill in what was sent, if what it was sent to is still there."""
        if self.chooser.choose_again(request.endpoint, request.target):
            with contextlib.suppress(BadInput):  # a form that cannot take all of it back
                self._filled().fill_again(request.payload)

    def _start(self, requests: Sequence[Request], protocols: Sequence[str]) -> None:
        if self.sending:
            return
        self.sending = Sending(requests, protocols, self._notify)
        self.send_button.disabled = True
        self.cancel_button.disabled = False
        self.status.value = status("grey", _("waiting ..."))
        self.answer.html.value = ""
        self.tabs.selected_index = 0
        self._begin()
        self.sending.start()

    def _notify(self, sending: Sending) -> None:
        """Hear of a call that ended; in any thread."""
        now = time.monotonic()
        if sending is self.sending and (sending.ended or now - self._notified > _PACE):
            self._notified = now
            self._later(functools.partial(self._progress, sending))

    def _progress(self, sending: Sending) -> None:
        if sending is not self.sending:
            return
        if not sending.ended:
            self.status.value = _outcome(sending)
            return
        self.sending = None
        try:
            self.history.add(sending.records)
            self.status.value = _outcome(sending)
            self.answer.show(sending.records)
        finally:
            self.cancel_button.disabled = True
            self._look(self._changes)
            self._end()

    def _now(self, do: Callable[[], Any]) -> Any:
        """Do something in the explorer's thread, and wait for it."""
        self.wait()
        result = self._pool.submit(do).result()
        self.wait()
        return result

    def _later(self, do: Callable[[], Any]) -> None:
        """Do something in the explorer's thread, after what was asked for before."""
        self._begin()
        self._pool.submit(self._guarded, do)

    def _guarded(self, do: Callable[[], Any]) -> None:
        try:
            do()
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self.answer.fail(error)
            self.tabs.selected_index = 0
        finally:
            self._end()

    def _begin(self) -> None:
        with self._idle:
            self._open += 1

    def _end(self) -> None:
        with self._idle:
            self._open -= 1
            self._idle.notify_all()


def _classed(widget: w.DOMWidget, name: str) -> w.DOMWidget:
    """Give a widget the name that the style has for it."""
    widget.add_class(name)
    return widget


def _heading(words: str) -> str:
    return f"<h3>{escape(words)}</h3>"


def _outcome(sending: Sending) -> str:
    """Say how many calls were made, with a bar until all are, and whether they went well."""
    done = len(sending.records)
    if not sending.ended:
        label = escape(_("calls made"))
        words = escape(_("{done} of {count} calls", done=done, count=sending.total))
        return (
            f"<progress aria-label='{label}' max='{sending.total}' value='{done}'>"
            f"</progress> {words}"
        )
    statuses = [record.status for record in sending.records]
    if statuses[-1] == "cancelled":
        return status(
            "grey", _("cancelled after {done} of {count} calls", done=done - 1, count=sending.total)
        )
    failed = done - statuses.count("OK")
    words = _("{done} of {count} calls made", done=done, count=sending.total)
    if failed:
        return status("red", _("{words}, {failed} failed", words=words, failed=failed))
    return status("green", words)
