"""Ctrl-C, put off for a moment."""

import signal
import threading
from typing import Any


class Postponed:
    """Within its block Ctrl-C waits; it counts as soon as the block has ended.

    For what must not be left half done: a process that is started, or a gRPC call. When Ctrl-C
    comes while gRPC begins a call, Python cannot end any more.

    Examples
    --------
    >>> with Postponed():
    ...     print("to its end")
    to its end
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._received: tuple = ()

    def __enter__(self) -> None:
        # No other thread is ever interrupted.
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._receive)

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        if self._received:
            self._handler(*self._received)

    def _receive(self, *received: Any) -> None:
        self._received = received
