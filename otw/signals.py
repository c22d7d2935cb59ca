"""Signals that end a program, as an event: whatever is under way is finished first."""

import contextlib
import signal
import threading
from collections.abc import Iterator

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # no system has all of them


@contextlib.contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Have Ctrl-C and the like set an event, until the block ends."""
    stop = threading.Event()
    there = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in there}
    if before.get(getattr(signal, "SIGHUP", None)) is signal.SIG_IGN:
        del before[signal.SIGHUP]  # started by nohup, it is to outlive its terminal
    for number in before:
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
