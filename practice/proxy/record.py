"""The proxy's record: a line of JSON for each request or tunnel that passed."""

import contextlib
import itertools
import json
import threading
import time
from collections import deque
from pathlib import Path

from practice import state
from practice.proxy.passed import FILE, Passed, read

LIMIT = 1000  # entries that are kept


class Exchange:
    """One request or tunnel while it passes."""

    def __init__(self, number: int, method: str, target: str) -> None:
        self.number, self.method, self.target = number, method, target
        self.status = self.up = self.down = 0
        self.fault = ""
        self._time = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._began = time.monotonic()

    def passed(self) -> Passed:
        """Return what is known by now."""
        ms = round((time.monotonic() - self._began) * 1000)
        return Passed(
            self.number,
            self._time,
            self.method,
            self.target,
            self.status,
            self.up,
            self.down,
            ms,
            self.fault,
        )


class Record:
    """What passed, in a file of the service's folder, and what is passing.

    Parameters
    ----------
    folder : Path
        What an earlier proxy wrote there is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._ended = deque(read(folder), maxlen=LIMIT)
        self._open: dict[int, Exchange] = {}
        newest = max((each.number for each in self._ended), default=0)
        self._numbers = itertools.count(newest + 1)
        self._lines = LIMIT  # the file is begun anew with the first line: nobody has counted it
        self._lock = threading.Lock()

    def begin(self, method: str, target: str) -> Exchange:
        """Note that a request has come."""
        with self._lock:
            new = Exchange(next(self._numbers), method, target)
            self._open[new.number] = new
            return new

    def end(self, exchange: Exchange) -> None:
        """Note that it is over, and write its line."""
        with self._lock:
            if self._open.pop(exchange.number, None):
                passed = exchange.passed()
                self._ended.append(passed)
                self._write(f"{json.dumps(passed._asdict())}\n".encode())

    def text(self) -> str:
        """Return the lines of all that passed or is passing, by when they began."""
        with self._lock:
            every = [*self._ended, *(each.passed() for each in self._open.values())]
        return "".join(f"{json.dumps(each._asdict())}\n" for each in sorted(every))

    def _write(self, line: bytes) -> None:
        # A full disk must not end the proxy, nor leave half a line.
        with contextlib.suppress(OSError, state.PracticeError):
            if self._lines >= LIMIT:
                state.begin_log(self._file)
                self._lines = 0
            with state.open_log(self._file) as file:
                size = file.raw.seek(0, 2)
                if file.raw.write(line) == len(line):
                    self._lines += 1
                else:
                    file.raw.truncate(size)
