"""An HTTP request taken apart: one row for each header, one for the body, without secrets."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from helpers.errors.explanations import cut
from workbench.wire.rows import Row, is_secret, rest, short

_PART = re.compile(rb'(name="([^"]*)"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)(.*?)(?=\r\n--)', re.DOTALL)
# What any other header has may be a secret.
_PLAIN = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-apig-mode",
    "x-sdk-content-sha256",
    "x-sdk-date",
}


def rows(request: Any) -> tuple[bytes, list[Row]]:
    """Return a request as HTTP/1.1 sends it, but with *** for each secret, and its rows."""
    host = urlsplit(request.url).netloc.rpartition("@")[2]
    lines = [("request line", "", f"{request.method} {cut(request.path_url)} HTTP/1.1")]
    for name, value in {"Host": host, **request.headers}.items():
        lines.append((name, f"{name}: ", _header(name, value)))
    lines.append(("end of headers", "", ""))
    data = b""
    parts = []
    for name, before, text in lines:
        begin = len(data)
        content = begin + len(before.encode())
        data += f"{before}{text}\r\n".encode()
        length = f"{len(text.encode()):,}"
        parts.append(Row(0, name, "", "", length, short(text), begin, content, len(data)))
    begin = len(data)
    sent = request.body or b""
    if not isinstance(sent, str | bytes):
        return data, [*parts, rest("body", begin, begin)._replace(value="a stream")]
    body = _without_secrets(sent.encode() if isinstance(sent, str) else sent)
    if body:
        row = Row(0, "body", "", "", f"{len(body):,}", "", begin, begin, begin + len(body))
        parts.append(row.with_text(body))
    return data + body, parts


def _header(name: str, value: str | bytes) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if name.lower() in _PLAIN and not is_secret(name):
        return cut(text)
    scheme, space, _ = text.partition(" ")
    return f"{scheme} ***" if space else "***"


def _without_secrets(body: bytes) -> bytes:
    """Put *** for what has a secret's name in JSON, in a form or in a form's parts."""
    if body.startswith(b"--"):
        return _PART.sub(_without_secret, body)
    try:
        document = json.loads(body)
    except ValueError:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        if not any(is_secret(name) for name, _ in fields):
            return body
        masked = [(name, "***" if is_secret(name) else value) for name, value in fields]
        return urlencode(masked, safe="*").encode()
    masked_document = _masked(document)
    return body if masked_document == document else json.dumps(masked_document).encode()


def _without_secret(part: re.Match[bytes]) -> bytes:
    secret = is_secret(part[2].decode(errors="replace"))
    return part[1] + b"***" if secret else part[0]


def _masked(value: Any, secret: bool = False) -> Any:
    """Mask what has a secret's name, and numbers and texts just below such a name."""
    if isinstance(value, dict):
        return {
            name: _masked(item, is_secret(name) or (secret and not isinstance(item, dict)))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, secret) for item in value]
    return "***" if secret else value
