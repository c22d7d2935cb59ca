"""A dial for the share of calls that fail, and what retries make of it (a widget)."""

import io
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import ipywidgets as w

from helpers.endpoints import Endpoint
from helpers.errors import CallError
from practice.instance import PrivateEndpoint

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
            description="calls that fail, in %",
            continuous_update=False,
            style={"description_width": "initial"},
            layout=w.Layout(width="30em"),
        )
        self.words = w.HTML()
        self.plot = w.Image(format="png")
        self.without = self.with_retries = Measured(0.0, [])
        super().__init__([self.rate, self.words, self.plot])
        self.rate.observe(lambda _: self.measure(), "value")
        self.measure()

    def measure(self) -> None:
        """Make the calls, without and with retries, and draw what came of it."""
        self.words.value = "Calling ..."
        share = self.rate.value / 100
        self.service.trouble(fail="UNAVAILABLE", rate=share)
        self.without = self._measured(self.service)
        self.with_retries = self._measured(self.service.replace(retries=4))
        self.service.trouble()
        self.plot.value = self._drawn()
        self.words.value = (
            f"Without retries {self.without.succeeded:.0%} of {CALLS} calls succeeded, "
            f"with retries {self.with_retries.succeeded:.0%}."
        )

    def __repr__(self) -> str:
        return "FaultDial()"

    def _measured(self, endpoint: Endpoint) -> Measured:
        times = []
        for _ in range(CALLS):
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

        figure = Figure(figsize=(8, 3), layout="constrained")
        shares, latencies = figure.subplots(1, 2)
        names = ["without retries", "with retries"]
        bars = (self.without, self.with_retries)
        shares.bar(names, [100 * bar.succeeded for bar in bars], color=["#d55e00", "#0072b2"])
        shares.set(title="success", ylabel="calls that succeeded, in %", ylim=(0, 105))
        milliseconds = [[1000 * seconds for seconds in bar.times] or [0] for bar in bars]
        latencies.boxplot(milliseconds, tick_labels=names)
        latencies.set(
            title="latency of the calls that succeeded", ylabel="milliseconds", yscale="log"
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        return buffer.getvalue()
