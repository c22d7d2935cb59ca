"""Contenders take turns in one run, so that a machine that slows down slows all of them."""

import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence


@dataclasses.dataclass
class Row:
    """One line of README's table: a question, what was measured, and what was promised."""

    what: str
    measured: str
    promised: str
    kept: bool


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


def seconds(code: str) -> Callable[[], float]:
    """Return a contender: a fresh Python that runs this code."""

    def run() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        return time.perf_counter() - started

    return run
