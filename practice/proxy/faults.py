"""Faults on purpose: which of the requests get one."""

import threading
from collections.abc import Mapping
from fractions import Fraction


class Faults:
    """Deals out faults, evenly and in exactly their shares: of 0.2, every fifth time.

    Parameters
    ----------
    shares : dict of str to Fraction
        By the fault's name; together 1 at most.
    """

    def __init__(self, shares: Mapping[str, Fraction]) -> None:
        # Without a fault first: of two that are due, `max` takes the first.
        self._shares = {"": 1 - sum(shares.values()), **shares}
        self._due = dict.fromkeys(self._shares, Fraction(0))
        self._lock = threading.Lock()

    def next(self) -> str:
        """Return the next request's fault, or an empty text."""
        with self._lock:
            for name, share in self._shares.items():
                self._due[name] += share
            chosen = max(self._due, key=lambda name: self._due[name])
            self._due[chosen] -= 1
            return chosen
