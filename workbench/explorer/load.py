"""A small load test: one request, so many times, so many at once. It says first what it will do."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from html import escape

import ipywidgets as w
import numpy as np

from helpers.endpoints.endpoint import host_of_url, is_loopback
from helpers.errors import CallError
from helpers.language import _, plural
from workbench.answers import drawings
from workbench.code.previews import PROTOCOLS
from workbench.explorer.calls import Request
from workbench.fields import Fields, button, status
from workbench.watching import Watch

MOST = 10_000  # calls
MOST_AT_ONCE = 64
_PACE = 0.2  # seconds between two looks at the progress
_PERCENTILES = (50, 90, 95, 99, 100)


class Load:
    """Makes a request again and again, in threads.

    Parameters
    ----------
    request : Request
    protocol : str
    count : int
        Calls in all.
    in_flight : int
        Calls under way at once.
    notify : callable
        Called with this object after each call, and when it has ended; in any thread.
    """

    def __init__(
        self,
        request: Request,
        protocol: str,
        count: int,
        in_flight: int,
        notify: Callable[["Load"], None],
    ) -> None:
        self.request = request
        self.protocol = protocol
        self.count = count
        self.in_flight = min(in_flight, count)
        self.seconds: list[float] = []  # of each call that went well
        self.errors: Counter[str] = Counter()  # by class
        self.took = 0.0  # seconds, of all together
        self.stopped = False
        self.ended = False
        self._notify = notify
        self._begun = 0
        self._running = self.in_flight
        self._under_way: set[Watch] = set()
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        """How many calls have ended."""
        return len(self.seconds) + self.errors.total()

    def start(self) -> None:
        """Begin."""
        self._started = time.perf_counter()
        for number in range(self.in_flight):
            threading.Thread(target=self._run, name=f"load {number}", daemon=True).start()

    def stop(self) -> None:
        """End at once: the calls that are under way are given up, and do not count."""
        with self._lock:
            if self.ended:
                return
            self.stopped = self.ended = True
            self.took = time.perf_counter() - self._started
            under_way = list(self._under_way)
        for watch in under_way:
            watch.cancel()
        self._notify(self)

    def _run(self) -> None:
        while watch := self._next():
            began = time.perf_counter()
            error = ""
            with watch:
                try:
                    self.request.call(self.protocol)
                except Exception as raised:  # whatever it is, it is counted
                    error = type(raised).__name__
            seconds = time.perf_counter() - began
            with self._lock:
                self._under_way.discard(watch)
                if self.stopped:
                    return
                if error:
                    self.errors[error] += 1
                else:
                    self.seconds.append(seconds)
            self._notify(self)
        with self._lock:
            self._running -= 1
            if self._running or self.stopped:
                return
            self.ended = True
            self.took = time.perf_counter() - self._started
        self._notify(self)

    def _next(self) -> Watch | None:
        """Begin another call, if there is to be one."""
        with self._lock:
            if self.stopped or self._begun == self.count:
                return None
            self._begun += 1
            watch = Watch()
            self._under_way.add(watch)
            return watch


class LoadPane(w.VBox):
    """How many calls, the word to begin, and what came of them.

    Parameters
    ----------
    fields : Fields
    later : callable
        Given a function, calls it off the kernel's main thread.
    request : callable
        Returns the request that the form makes, and the protocol; raises what is missing.
    """

    def __init__(
        self,
        fields: Fields,
        later: Callable[[Callable[[], None]], None],
        request: Callable[[], tuple[Request, str]],
    ) -> None:
        self._later = later
        self._request = request
        self._planned: Load | None = None  # announced, and not begun yet
        self._begun: Load | None = None
        self._shown = 0.0  # when the progress was shown last
        self._fields = fields
        super().__init__()

    def show_fields(self) -> None:
        """Make the fields, once somebody looks for them."""
        if hasattr(self, "count"):
            return
        self.count = self._fields(
            w.BoundedIntText,
            _("Number of calls"),
            _("In all"),
            changed=self._forget,
            value=100,
            min=1,
            max=MOST,
        )
        self.in_flight = self._fields(
            w.BoundedIntText,
            _("At once"),
            _("Calls that are under way at the same time"),
            changed=self._forget,
            value=8,
            min=1,
            max=MOST_AT_ONCE,
        )
        self.prepare = button(
            _("Load test"), _("Say what would be done"), lambda: self._later(self._prepare)
        )
        self.begin = button(_("Begin"), _("Do it"), lambda: self._later(self._start))
        self.begin.button_style = "primary"
        self.stop = button(_("Stop"), _("End it at once"), self.give_up, disabled=True)
        self.begin.disabled = True
        self.plan = self._fields.html()
        self.result = self._fields.html()
        buttons = self._fields.row(self.prepare, self.begin, self.stop)
        self.children = [self.count, self.in_flight, buttons, self.plan, self.result]

    def give_up(self) -> None:
        """Stop what runs, if anything does."""
        if self._begun:
            self._begun.stop()

    def _forget(self) -> None:
        """Announce anew what has changed."""
        self._planned = None
        self.begin.disabled = True
        self.plan.value = ""

    def _prepare(self) -> None:
        """Say what would be done to whose server; it takes another press to do it."""
        self._forget()
        try:
            request, protocol = self._request()
        except CallError as error:
            self.plan.value = status("red", str(error))
            return
        count = self.count.value
        self._planned = Load(request, protocol, count, self.in_flight.value, self._notify)
        self.plan.value = f"<p>{escape(_announced(self._planned))}</p>"
        self.begin.disabled = False

    def _start(self) -> None:
        if self._planned:
            self._begun = self._planned
            self._planned = None
            self.begin.disabled = True
            self.prepare.disabled = True
            self.stop.disabled = False
            self._show(self._begun)
            self._begun.start()

    def _notify(self, load: Load) -> None:
        now = time.monotonic()
        if load.ended or now - self._shown > _PACE:
            self._shown = now
            self._later(lambda: self._show(load))

    def _show(self, load: Load) -> None:
        if not load.ended:
            label = escape(_("calls made"))
            words = escape(_("{done} of {count} calls", done=load.done, count=load.count))
            self.result.value = (
                f"<progress aria-label='{label}' max='{load.count}' value='{load.done}'>"
                f"</progress> {words}"
            )
            return
        self.stop.disabled = True
        self.prepare.disabled = False
        self.result.value = _result(load)


def _announced(load: Load) -> str:
    """Say what a load test is about to do, and to whose server."""
    endpoint = load.request.endpoint
    address = endpoint.grpc if load.protocol == "grpc" else endpoint.rest
    host = host_of_url(address) if load.protocol == "rest" else address.rpartition(":")[0]
    words = _(
        "This makes {count} calls to {target} at {address} over {protocol}, {in_flight} at once.",
        count=load.count,
        target=load.request.target,
        address=address,
        protocol=PROTOCOLS[load.protocol],
        in_flight=load.in_flight,
    )
    if is_loopback(host):
        owner = _("The service is on this machine.")
    else:
        owner = _("{host} is another machine: ask whose it is before you load it.", host=host)
    return f"{words} {owner} " + _("Press Begin to do it.")


def _result(load: Load) -> str:
    """Write what came of it: percentiles, a histogram, and errors by class."""
    made = plural("{count} call was made", "{count} calls were made", load.done)
    if load.stopped:
        made = _("Stopped after {count} calls", count=load.done)
    rate = load.done / load.took if load.took else 0.0
    words = _(
        "{made} in {seconds:.1f} s: {rate:,.0f} a second.", made=made, seconds=load.took, rate=rate
    )
    parts = [status("red" if load.errors else "green", words)]
    if load.errors:
        rows = [[name, str(count)] for name, count in load.errors.most_common()]
        parts.append(drawings.grid(_("Errors"), [_("error"), _("calls")], rows))
    if load.seconds:
        milliseconds = 1000 * np.array(load.seconds)
        values = np.percentile(milliseconds, _PERCENTILES)
        head = [_("calls"), *(f"p{percent}" for percent in _PERCENTILES[:-1]), _("longest")]
        row = [str(len(milliseconds)), *(f"{value:.1f}" for value in values)]
        parts.append(drawings.grid(_("Latency in milliseconds"), head, [row]))
        parts.append(drawings.histogram(milliseconds))
    return "".join(parts)
