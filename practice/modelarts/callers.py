"""Who is calling: by a token, by a signature, or as an app."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from practice.host.students import sign_in
from practice.modelarts import signing
from practice.modelarts.account import Account, Token, TokenRefused, utc


class NotKnown(Exception):
    """Raised when nobody known is calling; its text is the reason.

    Parameters
    ----------
    kind : str
        `missing`, `expired`, `token`, `signature` or `app`: what is wrong with the credentials.
    reason : str
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Callers:
    """Tells callers by their credentials.

    Parameters
    ----------
    account : Account
    lock_limit : int
        Wrong signatures in a row that an AK may have; 0 is any number.
    """

    def __init__(self, account: Account, lock_limit: int = 5) -> None:
        self._account = account
        self._lock_limit = lock_limit
        self._locks: dict[str, signing.Lock] = {}  # by AK

    def user(self, request: Request, body: bytes) -> Token | None:
        """Know a user by a token, which is returned, or by a signature.

        An AK belongs to the project, so there is nothing to return.
        """
        header = request.headers.get("authorization", "")
        if header.startswith(signing.ALGORITHM):
            self._signed_by_user(request, body, header)
            return None
        if header:  # a leftover of another client, such as Bearer, is taken for the token
            raise NotKnown("token", "decrypt token fail")
        if "x-auth-token" not in request.headers:
            raise NotKnown("missing", "x-auth-token not found")
        try:
            token = self._account.read(request.headers["x-auth-token"])
        except TokenRefused as error:
            if error.expires:
                reason = f"token expires, expires_at: {utc(error.expires)}"
                raise NotKnown("expired", reason) from error
            raise NotKnown("token", "decrypt token fail") from error
        if self._known("user_id", token.user_id) is None:
            raise NotKnown("token", "decrypt token fail")
        return token

    def _known(self, field: str, value: str) -> Mapping[str, Any] | None:
        user = self._account.user(field, value)
        return user if user is not None and sign_in(user.get("name", "")) else None

    def _signed_by_user(self, request: Request, body: bytes, header: str) -> None:
        signature = signing.parse(header)
        if signature is None:
            raise NotKnown("signature", "Access or Credential is empty in Authorization")
        user = self._account.user("ak", signature.access)
        if user is None:
            reason = f"Get secretKey failed,ak:{signature.access},err:ak not exist"
            raise NotKnown("signature", reason)
        lock = self._locks.setdefault(
            signature.access, signing.Lock(self._account.clock, self._lock_limit)
        )
        if lock.closed:
            raise NotKnown("signature", "AK access failed to reach the limit,forbidden")
        try:
            signing.check(request, body, signature, user["sk"], self._account.clock())
        except signing.NotSigned as error:
            lock.note(succeeded=False)
            reason = f"verify aksk signature fail, {error}"
            raise NotKnown("signature", reason) from error
        lock.note(succeeded=True)
        if not sign_in(user.get("name", "")):
            raise NotKnown("signature", f"AK {signature.access} belongs to another student")

    def app(self, request: Request, body: bytes) -> None:
        """Know an app by its AppCode, by its AppKey alone, or by a signature made with both."""
        headers = request.headers
        if "x-apig-appcode" in headers:
            if self._known("appcode", headers["x-apig-appcode"]) is None:
                raise NotKnown("app", "app not found, appcode does not exist")
            return
        if "apikey" in headers:
            if self._known("appkey", headers["apikey"]) is None:
                raise NotKnown("app", f"app not found, appkey {headers['apikey']}")
            return
        signature = signing.parse(headers.get("authorization", ""))
        if signature is None:
            raise NotKnown("app", "Access or Credential is empty in Authorization")
        user = self._account.user("appkey", signature.access)
        if user is None:
            raise NotKnown("app", f"app not found, appkey {signature.access}")
        try:
            signing.check(request, body, signature, user["appsecret"], self._account.clock())
        except signing.Expired as error:
            raise NotKnown("app", str(error)) from error
        except signing.NotSigned as error:
            raise NotKnown("app", f"verify signature fail, {error}") from error
        if not sign_in(user.get("name", "")):
            raise NotKnown("app", f"appkey {signature.access} belongs to another student")
