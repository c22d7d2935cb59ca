"""Ctrl-C and the like: put off for a moment, or taken as the word to end."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """Within its block Ctrl-C counts at once, but what `finish` does is finished first.

    For what must not be left half done: a process that is started, or a gRPC call. When Ctrl-C
    comes while gRPC begins a call, Python cannot end any more.

    Examples
    --------
    >>> with Interrupts() as interrupts:
    ...     interrupts.finish(max, 1, 2)
    2
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._received: tuple = ()
        self._busy = False

    def __enter__(self) -> "Interrupts":
        # No other thread is ever interrupted.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        # Whoever has set another one meanwhile keeps it.
        if self._handler is not None and signal.getsignal(signal.SIGINT) == self._receive:
            signal.signal(signal.SIGINT, self._handler)

    def finish(self, function: Callable, *arguments: Any, **named: Any) -> Any:
        """Call the function; Ctrl-C in the meantime counts right after it."""
        self._busy = True
        try:
            return function(*arguments, **named)
        finally:
            self._busy = False
            if self._received:
                received = self._received
                self._received = ()
                self._handler(*received)

    def _receive(self, *received: Any) -> None:
        if self._busy:
            self._received = received
        else:
            self._handler(*received)


class Stop(threading.Event):
    """An event that the signals which end a program set, from now on or until its block ends.

    Whatever is under way is finished first.
    """

    _NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # no system has all of them

    def __init__(self) -> None:
        super().__init__()
        numbers = [getattr(signal, name) for name in self._NAMES if hasattr(signal, name)]
        self._handlers: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
        if self._handlers.get(getattr(signal, "SIGHUP", 0)) is signal.SIG_IGN:
            del self._handlers[signal.SIGHUP]  # started by nohup, it is to outlive its terminal
        for number in self._handlers:
            signal.signal(number, lambda *_: self.set())

    def __enter__(self) -> "Stop":
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
