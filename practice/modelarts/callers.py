"""Who is calling: by a token, by a signature, or as an app."""

from starlette.requests import Request

from practice.modelarts import signing
from practice.modelarts.account import Account, Token, TokenRefused, same, utc


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
        self._lock = signing.Lock(account.clock, lock_limit)

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
            return self._account.read(request.headers["x-auth-token"])
        except TokenRefused as error:
            if error.expires:
                reason = f"token expires, expires_at: {utc(error.expires)}"
                raise NotKnown("expired", reason) from error
            raise NotKnown("token", "decrypt token fail") from error

    def _signed_by_user(self, request: Request, body: bytes, header: str) -> None:
        kept = self._account.kept
        signature = signing.parse(header)
        if signature is None:
            raise NotKnown("signature", "Access or Credential is empty in Authorization")
        if not same(signature.access, kept["ak"]):
            reason = f"Get secretKey failed,ak:{signature.access},err:ak not exist"
            raise NotKnown("signature", reason)
        if self._lock.closed:
            raise NotKnown("signature", "AK access failed to reach the limit,forbidden")
        try:
            signing.check(request, body, signature, kept["sk"], self._account.clock())
        except signing.NotSigned as error:
            self._lock.note(succeeded=False)
            reason = f"verify aksk signature fail, {error}"
            raise NotKnown("signature", reason) from error
        self._lock.note(succeeded=True)

    def app(self, request: Request, body: bytes) -> None:
        """Know an app by its AppCode, by its AppKey alone, or by a signature made with both."""
        kept = self._account.kept
        headers = request.headers
        if "x-apig-appcode" in headers:
            if not same(headers["x-apig-appcode"], kept["appcode"]):
                raise NotKnown("app", "app not found, appcode does not exist")
            return
        if "apikey" in headers:
            if not same(headers["apikey"], kept["appkey"]):
                raise NotKnown("app", f"app not found, appkey {headers['apikey']}")
            return
        signature = signing.parse(headers.get("authorization", ""))
        if signature is None:
            raise NotKnown("app", "Access or Credential is empty in Authorization")
        if not same(signature.access, kept["appkey"]):
            raise NotKnown("app", f"app not found, appkey {signature.access}")
        try:
            signing.check(request, body, signature, kept["appsecret"], self._account.clock())
        except signing.Expired as error:
            raise NotKnown("app", str(error)) from error
        except signing.NotSigned as error:
            raise NotKnown("app", f"verify signature fail, {error}") from error
