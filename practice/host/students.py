"""The students of a class: who of them calls, and a count of what they called, without its content.

On one machine they are told by the user of a connection, on a network by their certificate, and
where neither says by what they sign in with.
"""

import contextlib
import dataclasses
import hmac
import os
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from helpers.endpoints.practice import read_json
from practice import state

REFUSAL = (
    "This service answers the students of a class, and this user is none of them. Ask who runs "
    "the class to add you: otw class up --students."
)
UNKNOWN = "?"  # whose connection or sign-in says nothing
_MOST_METHODS = 100  # of one student; a path may be anything
_LONGEST = 100  # characters of a method's name
OTHERS = "others"
# Who runs the service, and root.
OWNERS = {0, os.geteuid()} if hasattr(os, "geteuid") else {0}


@dataclasses.dataclass
class Call:
    """A call under way, and whose it is.

    Parameters
    ----------
    student : str
        The name, UNKNOWN, or empty for who runs the service.
    failed : bool
    """

    student: str
    failed: bool = True  # until it has ended well


_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def caller() -> str:
    """Return which student calls; empty for whoever runs the service, and outside of a class."""
    call = _CALL.get()
    return call.student if call else ""


def sign_in(student: str) -> bool:
    """Note who the call is by what it was signed in with, where its connection does not say.

    Returns
    -------
    bool
        False for what belongs to another student than the connection: then it is refused.
    """
    call = _CALL.get()
    if call is None or not student:
        return True
    if call.student == UNKNOWN:
        call.student = student
    return call.student in ("", student)


class Students:
    """The students of a class, as a file lists them; a change of it counts at once.

    Parameters
    ----------
    path : Path
        The list: as `classroom` writes it.
    record : Path
        Where the count goes, and what it goes on from.

    Attributes
    ----------
    remote : dict
        The addresses of the connections that come from a class's door, each with the certificate
        of whoever is behind it: its SHA-256.
    """

    def __init__(self, path: Path, record: Path) -> None:
        self._path = path
        self._record = record
        self._stamp: tuple[int, int] | None = None
        self._listed: list[dict[str, Any]] = []
        self._names: dict[int, str] = {}
        self._certificates: dict[str, str] = {}
        self.remote: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, dict[str, Any]]] = read_json(record) or {}
        self._changed = False

    def listed(self) -> list[dict[str, Any]]:
        """Return the students: `name`, `uid` if they have one here, and their secrets."""
        try:
            status = self._path.stat()
        except OSError:  # for a moment, on Windows
            return self._listed
        stamp = status.st_mtime_ns, status.st_ino
        if stamp != self._stamp:
            read = read_json(self._path)
            if isinstance(read, dict):
                self._listed = read["students"]
                self._names = {
                    one["uid"]: one["name"] for one in self._listed if one["uid"] is not None
                }
                self._certificates = {
                    one["fingerprint"]: one["name"] for one in self._listed if "fingerprint" in one
                }
                self._stamp = stamp
        return self._listed

    def __contains__(self, uid: object) -> bool:
        self.listed()
        return uid in OWNERS or uid in self._names

    def with_certificate(self, fingerprint: str) -> str:
        """Return the student of a certificate, by its SHA-256; empty for nobody."""
        self.listed()
        return self._certificates.get(fingerprint, "")

    def behind(self, peer: tuple[str, int]) -> str | None:
        """Return whose a connection of the class's door is; empty of nobody, None of no door."""
        fingerprint = self.remote.get(peer)
        return None if fingerprint is None else self.with_certificate(fingerprint)

    def of(self, uid: int | None) -> str:
        """Return whose a connection of this machine is: see `Call`."""
        if uid in OWNERS:
            return ""
        self.listed()
        return UNKNOWN if uid is None else self._names.get(uid, UNKNOWN)

    def with_password(self, pair: bytes) -> str:
        """Return the student of a `user:password`; empty for nobody."""
        matching = ""
        for one in self.listed():  # all of them: the time tells nothing
            if hmac.compare_digest(pair, f"{one['user']}:{one['password']}".encode()):
                matching = one["name"]
        return matching

    @contextlib.contextmanager
    def calling(self, student: str, method: str) -> Iterator[Call]:
        """Count a call, and let `caller` tell whose it is meanwhile; say when it has not failed.

        Parameters
        ----------
        student : str
            Whose the connection is: see `Call`.
        method : str
            Of gRPC, or of HTTP with the path.
        """
        call = Call(student)
        token = _CALL.set(call)
        try:
            yield call
        finally:
            _CALL.reset(token)
            self.count(call.student, method, failed=call.failed)

    def count(self, student: str, method: str, *, failed: bool) -> None:
        """Count a call that has ended; the owner's are not counted."""
        if not student:
            return
        method = method[:_LONGEST]
        with self._lock:
            methods = self._counts.setdefault(student, {})
            if method not in methods and len(methods) >= _MOST_METHODS:
                method = OTHERS
            count = methods.setdefault(method, {"calls": 0, "errors": 0})
            count["calls"] += 1
            count["errors"] += failed
            count["last"] = time.time()
            self._changed = True

    def save(self) -> None:
        """Write the count down, if it has changed."""
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            with contextlib.suppress(state.PracticeError):  # a full disk ends no lesson
                state.write_json(self._record, self._counts)
