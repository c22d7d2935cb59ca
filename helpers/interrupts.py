"""Ctrl-C, put off for the moments in which it would do harm."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """Within its block, `later` runs a function to its end before Ctrl-C counts.

    gRPC needs it: when Ctrl-C comes while a call begins, Python cannot end any more, and when
    it comes while one is given up, it is lost.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.later(max, 1, 2)
    2
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._pressed: list[tuple] = []
        self._busy = False

    def __enter__(self) -> "Interrupts":
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and _in_main_thread():  # no other thread is ever interrupted
            self._before = handler
            signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever has set another one meanwhile keeps it.
        if _in_main_thread() and signal.getsignal(signal.SIGINT) == self._receive:
            signal.signal(signal.SIGINT, self._before)

    def later(self, function: Callable, *arguments: Any, **named: Any) -> Any:
        """Call the function; Ctrl-C in the meantime counts right after it."""
        self._busy = True
        try:
            return function(*arguments, **named)
        finally:
            self._busy = False
            if self._pressed:
                self._before(*self._pressed.pop())

    def _receive(self, *received: Any) -> None:
        if self._busy:
            self._pressed = [received]
        else:
            self._before(*received)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
