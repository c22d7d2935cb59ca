"""Checks a signature of SDK-HMAC-SHA256, and locks a key that was tried too often."""

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote_to_bytes

from starlette.requests import Request

ALGORITHM = "SDK-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
WINDOW = 15 * 60.0  # seconds a signature may be old, or ahead
_HEADER = re.compile(
    ALGORITHM + r" Access=([^,\s]*), SignedHeaders=([^,\s]*), Signature=([0-9a-f]{64})"
)
_DATE = "%Y%m%dT%H%M%SZ"


class NotSigned(Exception):
    """Raised for a signature that does not hold; its text is the reason."""


class Expired(NotSigned):
    """Raised for a signature that is too old, or from the future."""


class Signature(NamedTuple):
    """The parts of an `Authorization` header."""

    access: str
    signed_headers: str
    value: str


def parse(header: str) -> Signature | None:
    """Take an `Authorization` header apart; None for what is not wholly of this form."""
    match = _HEADER.fullmatch(header)
    return Signature(*match.groups()) if match and match[1] else None


def check(request: Request, body: bytes, signature: Signature, secret: str, now: float) -> None:
    """Check a request against its signature; NotSigned says what does not hold."""
    headers = {}
    for name in signature.signed_headers.split(";"):
        values = request.headers.getlist(name)
        if name != name.lower() or len(values) != 1 or name in headers:
            raise NotSigned(f"header {name!r} cannot be signed so")
        headers[name] = values[0].strip(" \t")
    if list(headers) != sorted(headers) or "x-sdk-date" not in headers:
        raise NotSigned("x-sdk-date is not signed, or the names are not sorted")
    _check_date(headers["x-sdk-date"], now)
    canonical = canonical_request(request, headers, _payload(request, headers, body))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{headers['x-sdk-date']}\n{digest}"
    right = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right, signature.value):
        shown = canonical.replace("\n", "|")
        raise NotSigned(f"canonicalRequest:{shown}")


def canonical_request(request: Request, headers: dict[str, str], payload: str) -> str:
    """Write a request in the one form that both sides sign."""
    # Bytes stay the bytes they are, also those that are no UTF-8: Latin-1 has a letter for each.
    path = quote(unquote_to_bytes(request.scope["raw_path"]), safe="/~")
    text = request.scope["query_string"].decode("latin-1")
    query = sorted(parse_qsl(text, keep_blank_values=True, encoding="latin-1"))
    return "\n".join(
        [
            request.method,
            path if path.endswith("/") else f"{path}/",
            "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in query),
            "".join(f"{name}:{value}\n" for name, value in headers.items()),
            ";".join(headers),
            payload,
        ]
    )


def _encoded(text: str) -> str:
    return quote(text, safe="~", encoding="latin-1")


def _payload(request: Request, headers: dict[str, str], body: bytes) -> str:
    own = hashlib.sha256(body).hexdigest()
    said = request.headers.get("x-sdk-content-sha256")
    if said is None or not body:
        return own
    if "x-sdk-content-sha256" not in headers or said not in (own, UNSIGNED):
        raise NotSigned("x-sdk-content-sha256 is not signed, or wrong")
    return said


def _check_date(text: str, now: float) -> None:
    try:
        signed = datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise NotSigned("x-sdk-date is no time") from error
    if abs(now - signed) > WINDOW:
        server = datetime.fromtimestamp(now, UTC).strftime(_DATE)
        raise Expired(f"signature expired, signature time:{text},server time:{server}")


class Lock:
    """Refuses a key for five minutes after more than five failures in a row.

    Parameters
    ----------
    clock : callable
        Returns the time in seconds.
    limit : int
        Failures that are still forgiven; 0 locks nothing.
    """

    SECONDS = 300.0

    def __init__(self, clock: Callable[[], float], limit: int = 5) -> None:
        self._clock = clock
        self._limit = limit
        self._failures = 0
        self._until = 0.0
        self._mutex = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether the key is refused now."""
        return self._clock() < self._until

    def note(self, succeeded: bool) -> None:
        """Count a failure, or forget those before."""
        with self._mutex:
            self._failures = 0 if succeeded else self._failures + 1
            if self._limit and self._failures > self._limit:
                self._failures = 0
                self._until = self._clock() + self.SECONDS
