"""What passed through a practice proxy, for notebooks; the proxy's own side is `record`."""

import base64
import contextlib
import dataclasses
import http.client
import json
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

from practice import state

FILE = "proxy.jsonl"  # in the service's folder; what does not fit in it any more is in FILE.1
LOG_PATH = "/log"


class Passed(NamedTuple):
    """One request or tunnel: never what was in it, nor who had which password.

    `target` is host and port. `status` is that of the answer, for a tunnel the one that opened
    it, 0 without an answer. `up` and `down` are bytes from the client and from the server.
    `fault` says what the proxy did on purpose: refused, stalled or cut.
    """

    number: int
    time: str
    method: str
    target: str
    status: int
    up: int
    down: int
    ms: int
    fault: str = ""

    def __repr__(self) -> str:
        sizes = f"{self.up:,} bytes up, {self.down:,} down, {self.ms:,} ms"
        fault = f", {self.fault} on purpose" if self.fault else ""
        return f"{self.method} {self.target} {self.status or 'no answer'}: {sizes}{fault}"


class Log(list[Passed]):
    """What passed, newest last; a table in a notebook, text elsewhere."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "Nothing passed."

    def _repr_html_(self) -> str:
        names = ("time", "method", "target", "status", "up", "down", "ms", "fault")
        head = "".join(f"<th>{name}</th>" for name in names)
        rows = "".join(
            "<tr>"
            + "".join(f"<td>{escape(str(getattr(each, name)))}</td>" for name in names)
            + "</tr>"
            for each in self
        )
        return f"<table class='otw-proxy'><tr>{head}</tr>{rows}</table>"


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
        who = f"{self.user}:{self.password}@" if self.user else ""
        return self.http.replace("http://", f"http://{who}", 1)

    def log(self, since: Iterable[Passed] = ()) -> Log:
        """Return what passed, newest last; see `proxy_log`."""
        newest = max((each.number for each in since), default=0)
        lines = self._ask()
        return Log(
            each
            for each in (read(self.folder) if lines is None else parse(lines))
            if each.number > newest
        )

    def _ask(self) -> list[str] | None:
        """Ask the proxy, which knows what is still open too; None when it does not run."""
        known = state.read_secrets("proxy", self.folder)
        code = base64.b64encode(f"{known.get('user')}:{known.get('password')}".encode()).decode()
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(self.http.rpartition("/")[2], timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", LOG_PATH, headers={"Authorization": f"Basic {code}"})
                response = connection.getresponse()
                text = response.read().decode()
                return text.splitlines() if response.status == 200 else None
        return None


def proxy_log(since: Iterable[Passed] = ()) -> Log:
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
        A list of `Passed`.

    Examples
    --------
    >>> seen = practice.proxy_log()  # doctest: +SKIP
    >>> requests.get(url, proxies={"http": proxy}, timeout=10)  # doctest: +SKIP
    >>> practice.proxy_log(since=seen)  # doctest: +SKIP
    GET 127.0.0.1:8080 200: 214 bytes up, 3,120 down, 12 ms
    """
    entry = state.read_services().get("proxy", {})
    return Proxy(str(entry.get("http", "")), state.folder()).log(since)


def read(folder: Path) -> Iterator[Passed]:
    """Read what a proxy wrote into its folder, oldest first."""
    for name in (f"{FILE}.1", FILE):
        with contextlib.suppress(OSError):
            yield from parse((folder / name).read_text(encoding="utf-8").splitlines())


def parse(lines: Iterable[str]) -> Iterator[Passed]:
    """Read lines of JSON; what is none is left out."""
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            yield Passed(**json.loads(line))
