"""The signature that proves an access key without sending its secret: SDK-HMAC-SHA256."""

import hashlib
import hmac
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from helpers.errors import BadInput

if TYPE_CHECKING:
    import requests

_ALGORITHM = "SDK-HMAC-SHA256"
_JSON = ("application/json", "application/bson")


def sign(request: "requests.PreparedRequest", ak: str, sk: str) -> "requests.PreparedRequest":
    """Sign a request with an access key; it holds for 15 minutes.

    Parameters
    ----------
    request : requests.PreparedRequest
        Gets the headers `X-Sdk-Date` and `Host`, where it has none, and `Authorization`.
    ak, sk : str
        The access key's name, which is sent, and its secret, which is not.

    Returns
    -------
    requests.PreparedRequest
        The same one.

    Raises
    ------
    BadInput
        For a body that is neither bytes nor text: it would have to be read twice.

    Signed are method, path, query, body, Host, Content-Type and all headers that begin with X-.
    A form's body is left out, as Huawei Cloud's own SDK does it. See API Gateway, "Signing".

    Examples
    --------
    >>> import requests
    >>> request = requests.Request("GET", "https://example.com/").prepare()
    >>> sign(request, "AK", "SK").headers["Authorization"].partition(", Signature=")[0]
    'SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date'
    """
    url, headers = urlsplit(str(request.url)), request.headers
    path = quote(unquote(url.path), safe="/~")
    headers.setdefault("X-Sdk-Date", time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    headers.setdefault("Host", url.netloc)
    kind = str(headers.get("Content-Type", ""))
    if kind and not kind.startswith(_JSON):
        headers.setdefault("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")
    low = {name.lower(): str(value).strip() for name, value in headers.items()}
    signed = sorted(
        name for name in low if name in ("host", "content-type") or name.startswith("x-")
    )
    canonical = "\n".join(
        [
            str(request.method),
            path if path.endswith("/") else f"{path}/",
            "&".join(
                f"{quote(name, safe='~')}={quote(value, safe='~')}"
                for name, value in sorted(parse_qsl(url.query, keep_blank_values=True))
            ),
            "".join(f"{name}:{low[name]}\n" for name in signed),
            ";".join(signed),
            _payload(request.body, low.get("x-sdk-content-sha256")),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{low['x-sdk-date']}\n{digest}"
    signature = hmac.new(sk.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"{_ALGORITHM} Access={ak}, SignedHeaders={';'.join(signed)}, Signature={signature}"
    )
    return request


def _payload(body: object, said: str | None) -> str:
    if isinstance(body, str):
        body = body.encode()
    if body is not None and not isinstance(body, bytes):
        raise BadInput("Only a body of bytes or text can be signed. Read the file first.")
    return said if said and body else hashlib.sha256(body or b"").hexdigest()
