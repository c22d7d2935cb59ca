"""Signals that end a program, as an event: whatever is under way is finished first."""

import signal
import threading

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # no system has all of them


class Stop(threading.Event):
    """An event that Ctrl-C and the like set, from now on or until its block ends."""

    def __init__(self) -> None:
        super().__init__()
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        self._before = {number: signal.getsignal(number) for number in numbers}
        if self._before.get(getattr(signal, "SIGHUP", None)) is signal.SIG_IGN:
            del self._before[signal.SIGHUP]  # started by nohup, it is to outlive its terminal
        for number in self._before:
            signal.signal(number, lambda *_: self.set())

    def __enter__(self) -> "Stop":
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
