"""The proxy's log, of what passed: the proxy writes it, notebooks read it."""

import base64
import contextlib
import dataclasses
import http.client
import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from helpers import tables
from practice import state

FILE = "proxy.jsonl"  # in the service's folder; what does not fit in it any more is in FILE.1
PATH = "/log"
LIMIT = 1000  # exchanges that are kept


@dataclasses.dataclass
class Exchange:
    """One request or tunnel: never what was in it, nor who had which password.

    `target` is host and port. `status` is that of the answer, for a tunnel the one that opened
    it, 0 without an answer. `up` and `down` are bytes from the client and from the server.
    `fault` says what the proxy did on purpose: refused, stalled or cut.
    """

    number: int
    time: str
    method: str
    target: str
    status: int = 0
    up: int = 0
    down: int = 0
    ms: int = 0
    fault: str = ""

    def __repr__(self) -> str:
        sizes = f"{self.up:,} bytes up, {self.down:,} down, {self.ms:,} ms"
        fault = f", {self.fault} on purpose" if self.fault else ""
        return f"{self.method} {self.target} {self.status or 'no answer'}: {sizes}{fault}"


class Log(list[Exchange]):
    """What passed, newest last; a table in a notebook, text elsewhere."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "Nothing passed."

    def _repr_html_(self) -> str:
        _, *names = (field.name for field in dataclasses.fields(Exchange))
        rows = ([str(getattr(exchange, name)) for name in names] for exchange in self)
        return tables.html(names, rows, css="otw-proxy")


@dataclasses.dataclass(frozen=True)
class Proxy:
    """Where a practice proxy is, and what passed through it.

    Parameters
    ----------
    http : str
        Its address: `http://127.0.0.1:3128`.
    folder : Path
        Where its log and its secrets lie.
    user, password : str
        What it asks for; empty when it asks for nothing. The password is never shown.
    """

    http: str
    folder: Path = dataclasses.field(repr=False)
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)

    @property
    def url(self) -> str:
        """Its address with user and password, as http_proxy and its kin hold it."""
        account = f"{self.user}:{self.password}@" if self.user else ""
        return self.http.replace("http://", f"http://{account}", 1)

    def log(self, since: Iterable[Exchange] = ()) -> Log:
        """Return what passed, newest last; see `proxy_log`."""
        newest = max((exchange.number for exchange in since), default=0)
        lines = self._ask()
        exchanges = read(self.folder) if lines is None else parse(lines)
        return Log(exchange for exchange in exchanges if exchange.number > newest)

    def _ask(self) -> list[str] | None:
        """Ask the proxy, which knows what is still open too; None when it does not run."""
        account = state.read_secrets("proxy", self.folder)
        pair = f"{account.get('user')}:{account.get('password')}"
        code = base64.b64encode(pair.encode()).decode()
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(self.http.rpartition("/")[2], timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", PATH, headers={"Authorization": f"Basic {code}"})
                response = connection.getresponse()
                text = response.read().decode()
                return text.splitlines() if response.status == 200 else None
        return None


def proxy_log(since: Iterable[Exchange] = ()) -> Log:
    """Return what passed through the shared practice proxy, newest last.

    What is still open is listed as well, with the bytes so far: a tunnel stays open as long as
    its client keeps it. The last thousand are kept.

    Parameters
    ----------
    since : Log, optional
        A log from before: leave out what is in it. A list from before serves where a block
        around the calls would not: between two cells of a notebook.

    Returns
    -------
    Log
        A list of `Exchange`.

    Examples
    --------
    >>> seen = practice.proxy_log()  # doctest: +SKIP
    >>> requests.get(url, proxies={"http": proxy}, timeout=10)  # doctest: +SKIP
    >>> practice.proxy_log(since=seen)  # doctest: +SKIP
    GET 127.0.0.1:8080 200: 214 bytes up, 3,120 down, 12 ms
    """
    entry = state.read_services().get("proxy", {})
    return Proxy(str(entry.get("http", "")), state.folder()).log(since)


def read(folder: Path) -> Iterator[Exchange]:
    """Read what a proxy wrote into its folder, oldest first."""
    for name in (f"{FILE}.1", FILE):
        with contextlib.suppress(OSError):
            yield from parse((folder / name).read_text(encoding="utf-8").splitlines())


def parse(lines: Iterable[str]) -> Iterator[Exchange]:
    """Read lines of JSON; what is none is left out."""
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            yield Exchange(**json.loads(line))


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
        self._open: dict[int, tuple[Exchange, float]] = {}  # and when it began
        newest = max((exchange.number for exchange in self._ended), default=0)
        self._numbers = itertools.count(newest + 1)
        self._lines = LIMIT  # the file is begun anew with the first line: nobody has counted it
        self._lock = threading.Lock()

    def begin(self, method: str, target: str) -> Exchange:
        """Note that a request has come."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock:
            exchange = Exchange(next(self._numbers), now, method, target)
            self._open[exchange.number] = (exchange, time.monotonic())
            return exchange

    def end(self, exchange: Exchange) -> None:
        """Note that it is over, and write its line."""
        with self._lock:
            if exchange.number in self._open:
                self._take_times()
                del self._open[exchange.number]
                self._ended.append(exchange)
                self._write(_line(exchange).encode())

    def text(self) -> str:
        """Return the lines of all that passed or is passing, by when they began."""
        with self._lock:
            self._take_times()
            exchanges = [*self._ended, *(exchange for exchange, _ in self._open.values())]
            return "".join(map(_line, sorted(exchanges, key=lambda exchange: exchange.number)))

    def _take_times(self) -> None:
        for exchange, began in self._open.values():
            exchange.ms = round((time.monotonic() - began) * 1000)

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


def _line(exchange: Exchange) -> str:
    return f"{json.dumps(dataclasses.asdict(exchange))}\n"
