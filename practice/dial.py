"""A dial for the share of calls that fail, and what retries make of it (a widget)."""

import base64
import html
import io
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import ipywidgets as w
import numpy as np

from helpers import language
from helpers.endpoints import Endpoint
from helpers.errors import CallError
from helpers.language import _
from practice.instance import PrivateEndpoint
from practice.state import PracticeError

CALLS = 25  # for each of the two bars


class Measured(NamedTuple):
    """The share of calls that succeeded, and how long each of these took, in seconds."""

    succeeded: float
    times: list[float]


class FaultDial(w.VBox):
    """A slider from 0 to 100 %, and a plot of calls without and with retries.

    Parameters
    ----------
    service : PrivateEndpoint
        Gets the trouble.
    call : callable
        Makes one call to the endpoint that it is given.
    rate : int
        Per cent at the beginning.
    """

    def __init__(
        self, service: PrivateEndpoint, call: Callable[[Endpoint], Any], rate: int = 30
    ) -> None:
        self.service = service
        self._call = call
        self.rate = w.IntSlider(
            rate,
            0,
            100,
            10,
            description=_("calls that fail, in %"),
            continuous_update=False,
            style={"description_width": "initial"},
            layout=w.Layout(width="30em"),
        )
        self.words = w.HTML()
        self.plot = w.HTML()  # w.Image has no text for those who do not see it
        self.without = self.with_retries = Measured(0.0, [])
        super().__init__([self.rate, self.words, self.plot])
        self.rate.observe(lambda change: self.measure(), "value")
        self.measure()

    def measure(self) -> None:
        """Make the calls, without and with retries, and draw what came of it."""
        share = self.rate.value / 100
        try:
            self.service.trouble(fail="UNAVAILABLE", rate=share)
        except PracticeError as error:
            self.words.value = html.escape(str(error))  # a slider moved by hand shows no exception
            raise
        self.words.value = _("Calling ...")
        self.without = self._measured(self.service)
        self.with_retries = self._measured(self.service.replace(retries=4))
        self.service.trouble()
        self.words.value = _(
            "Without retries {without:.0%} of {count} calls succeeded, with retries {with_:.0%}.",
            without=self.without.succeeded,
            with_=self.with_retries.succeeded,
            count=CALLS,
        )
        data = base64.b64encode(self._drawn()).decode()
        text = html.escape(self.words.value)
        self.plot.value = f'<img alt="{text}" src="data:image/png;base64,{data}">'

    def __repr__(self) -> str:
        return "FaultDial()"

    def _measured(self, endpoint: Endpoint) -> Measured:
        times = []
        for _call in range(CALLS):
            began = time.perf_counter()
            try:
                self._call(endpoint)
            except CallError:
                continue
            times.append(time.perf_counter() - began)
        return Measured(len(times) / CALLS, times)

    def _drawn(self) -> bytes:
        # Not through pyplot: its figure would appear below the cell as well.
        from matplotlib.figure import Figure  # 0.4 s

        language.add_letters()
        figure = Figure(figsize=(8, 3), layout="constrained")
        shares, latencies = figure.subplots(1, 2)
        names = [_("without retries"), _("with retries")]
        bars = (self.without, self.with_retries)
        colours = ["#d55e00", "#0072b2"]
        shares.bar(names, [100 * bar.succeeded for bar in bars], color=colours)
        shares.set(title=_("success"), ylabel=_("calls that succeeded, in %"), ylim=(0, 105))
        milliseconds = [[1000 * seconds for seconds in bar.times] for bar in bars]
        for place, times in enumerate(milliseconds):
            across = np.linspace(place - 0.2, place + 0.2, len(times))
            latencies.plot(across, times, "o", color=colours[place], alpha=0.5)
        latencies.set(
            xticks=[0, 1],
            xticklabels=names,
            xlim=(-0.5, 1.5),
            title=_("latency of the calls that succeeded"),
            ylabel=_("milliseconds"),
            yscale="log" if any(milliseconds) else "linear",
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        return buffer.getvalue()
