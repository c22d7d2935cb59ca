"""The one account there is here: its users, and the tokens given out to them."""

import base64
import dataclasses
import hmac
import json
import secrets
import string
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from practice import credentials
from practice.host.students import Students

LIFETIME = 24 * 3600.0  # seconds a token lives


def make() -> dict[str, str]:
    """Make up an account: a user, the domain and the project."""
    return {
        **make_user(),
        "domain": "over-the-wire",
        "domain_id": secrets.token_hex(16),
        "project": "practice",
        "project_id": secrets.token_hex(16),
        "token_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def make_user() -> dict[str, str]:
    """Make up a user with keys, and an app of that user's."""
    letters = string.ascii_letters + string.digits
    return {
        **credentials.new_user(),
        "user_id": secrets.token_hex(16),
        "ak": _text(20, string.ascii_uppercase + string.digits),
        "sk": _text(40, letters),
        "appkey": uuid.uuid4().hex,
        "appsecret": _text(40, letters),
        "appcode": _text(64, letters),
    }


def _text(length: int, letters: str) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


@dataclasses.dataclass(frozen=True)
class Token:
    """What a token says: who, for which project or domain, and from when until when."""

    user_id: str
    project_id: str
    domain_id: str
    issued: float
    expires: float


class TokenRefused(Exception):
    """Raised for a token that is not ours or was altered; for an expired one, with `expires`."""

    def __init__(self, expires: float | None = None) -> None:
        super().__init__("expired" if expires else "not ours")
        self.expires = expires


class Account:
    """The account.

    Parameters
    ----------
    kept : dict
        As `make` made it.
    lifetime : float
        Seconds a token lives.
    clock : callable
        Returns the time in seconds since 1970; tests shift it.
    students : Students, optional
        More users, each with keys and an app.
    """

    def __init__(
        self,
        kept: dict[str, str],
        lifetime: float = LIFETIME,
        clock: Callable[[], float] = time.time,
        students: Students | None = None,
    ) -> None:
        self.kept = kept
        self._students = students
        self.clock = clock
        self._lifetime = lifetime
        self._box: Any = None

    def user(self, field: str, value: str) -> Mapping[str, Any] | None:
        """Return the user with such a name, ID or key; None where nobody has it."""
        users = [self.kept, *(self._students.listed() if self._students else ())]
        matching = [one for one in users if same(value, one[field])]  # all: the time tells nothing
        return matching[0] if matching else None

    def issue(self, user_id: str, *, project: bool, domain: bool) -> tuple[str, Token]:
        """Give a user a token for the project, for the domain, or for neither."""
        now = self.clock()
        token = Token(
            user_id,
            self.kept["project_id"] if project else "",
            self.kept["domain_id"] if domain else "",
            now,
            now + self._lifetime,
        )
        # Keystone's own form. The product's is longer and begins with MII.
        text = self._fernet().encrypt(json.dumps(dataclasses.astuple(token)).encode())
        return text.decode(), token

    def read(self, text: str) -> Token:
        """Read a token; TokenRefused for what was not given out here, or is over."""
        from cryptography.fernet import InvalidToken  # 8 ms, see below

        try:
            # base64 ignores some bits of a last character, and what it does not know: an altered
            # text could still be read.
            if base64.urlsafe_b64encode(base64.urlsafe_b64decode(text)).decode() != text:
                raise TokenRefused
            token = Token(*json.loads(self._fernet().decrypt(text)))
        except (InvalidToken, ValueError, TypeError) as error:
            raise TokenRefused from error
        if self.clock() >= token.expires:
            raise TokenRefused(token.expires)
        if self.user("user_id", token.user_id) is None:  # deleted since
            raise TokenRefused
        return token

    def _fernet(self) -> Any:
        if self._box is None:
            # 8 ms: neither a start nor `otw practice` needs it.
            from cryptography.fernet import Fernet

            self._box = Fernet(self.kept["token_key"])
        return self._box


def same(text: str, expected: str) -> bool:
    """Compare two texts in constant time."""
    return hmac.compare_digest(text.encode("utf-8", "surrogatepass"), expected.encode())


def utc(seconds: float) -> str:
    """Write a time as IAM does: UTC, microseconds, Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
