"""Contenders take turns in one run, so that a machine that slows down slows all of them."""

import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Bound:
    """A figure, and the limit that was promised for it."""

    figure: float
    side: str
    limit: float
    unit: str

    def __str__(self) -> str:
        return f"{self.side} {self.limit:g}{self.unit}"

    @property
    def missed(self) -> float:
        """By what part of the limit the figure misses it; not above 0 when it is kept."""
        over = self.figure / self.limit - 1
        return over if self.side == "at most" else -over


def at_most(figure: float, limit: float, unit: str = "x") -> Bound:
    """Promise that a figure is not larger."""
    return Bound(figure, "at most", limit, unit)


def at_least(figure: float, limit: float, unit: str = "x") -> Bound:
    """Promise that a figure is not smaller."""
    return Bound(figure, "at least", limit, unit)


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of docs/measured.md: a question, what was measured, and what was promised."""

    what: str
    measured: str
    bounds: Sequence[Bound] = ()
    series: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    @property
    def promised(self) -> str:
        """Each promise, and whether it was missed."""
        return "; ".join(f"{b}{'' if b.missed <= 0 else ' (MISSED)'}" for b in self.bounds)

    def kept(self, tolerance: float = 0.0) -> bool:
        """Whether no promise is missed by more than this part of it."""
        return all(bound.missed <= tolerance for bound in self.bounds)


def interleaved(contenders: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """Call the contenders in turn; returns a list of figures for each, a warm-up left out."""
    figures: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds + 1):
        for index, contender in enumerate(contenders):
            figure = contender()
            if number:
                figures[index].append(figure)
    return figures


def ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of ours / other, round by round."""
    return statistics.median(a / b for a, b in zip(ours, other, strict=True))


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Return a contender: the seconds of one call."""

    def run() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    return run


def seconds(code: str, python: str = sys.executable) -> Callable[[], float]:
    """Return a contender: a fresh Python that runs this code."""
    command, variables = [python, "-c", code], compiled()
    return timed(lambda: subprocess.run(command, check=True, capture_output=True, env=variables))


def cpu_seconds(command: Sequence[str]) -> Callable[[], float]:
    """Return a contender: the CPU that a command and its children use until it has ended."""
    variables = compiled()

    def run() -> float:
        before = os.times()
        subprocess.run(command, check=False, capture_output=True, env=variables)
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    return run


def compiled() -> dict[str, str]:
    """Return variables with which Python reads compiled files, as pip leaves them."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
