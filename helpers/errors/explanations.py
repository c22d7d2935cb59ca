"""What an error means and what to check: `errors.explain` in words, and as a card in a notebook."""

import dataclasses
import functools
import os
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from helpers.errors import meanings, places
from helpers.language import _

_LONGEST = 400  # letters of a message; more is somebody's whole page
_DEEPEST = 12  # exceptions in a chain that are looked at
_SECRETS = re.compile(
    r"""(?ix)
    ( \b(?:basic|bearer)\s+
    | (?:x-auth-token|x-subject-token|x-apig-appcode|apikey)["']?\s*[:=]\s*["']?
    | (?:pass(?:word|wd)?|secret|token|signature|sk|appcode)["']?\s*[:=]\s*["']? )
    (?! \.\.\.[,)] | SK\) | APPCODE\) )  # what is to be given
    [^\s"'&,;@<>]{3,}
    """
)
_IN_URL = re.compile(r"(://[^/\s:@]+:)[^/\s@]+(?=@)")
_LETTERS = re.compile(r"\b(?:MII|gAAAA)[\w+/=-]{30,}")  # how tokens begin


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What happened, what that usually means, and what to check; a card in a notebook.

    Parameters
    ----------
    title : str
        The exception's name, and its library's.
    happened : str
        Its own message, without secrets and without long bodies.
    means : str
    checks : tuple of str
        Sentences; a command stands between backticks.
    """

    title: str
    happened: str
    means: str
    checks: tuple[str, ...]

    def __repr__(self) -> str:
        means = _("What it usually means:")
        lines = [f"{self.title}: {self.happened}", f"{means} {self.means}"]
        return "\n".join([*lines, _("What to check:"), *(f"  - {check}" for check in self.checks)])

    def _repr_html_(self) -> str:
        checks = "".join(f"<li>{_with_code(check)}</li>" for check in self.checks)
        means = escape(_("What it usually means:"))
        check = escape(_("What to check:"))
        return (
            # Or a page would typeset what stands between two dollar signs.
            "<div class='otw-explanation mathjax_ignore' role='note' "
            "style='border-left:4px solid #b3261e;padding:0.2em 1em'>"
            f"<p><b>{escape(self.title)}</b>: {escape(self.happened)}</p>"
            f"<p><b>{means}</b> {escape(self.means)}</p>"
            f"<p><b>{check}</b></p><ul>{checks}</ul></div>"
        )


def explain(error: BaseException, place: str = "") -> Explanation:
    """Explain an exception of this project, or one as grpc, requests, ssl, ... raise it."""
    chain = list(_chain(error))
    text = "\n".join(map(_text, chain))
    types = [name for linked in chain for name in meanings.types_of(linked)]
    if _calls_the_proxy(text):
        text = f"Unable to connect to proxy\n{text}"
    row = next(meanings.find(text, [*types, "builtins.Exception"]))
    address = _address(chain, text)
    host = address.rpartition(":")[0] or address
    checks = [
        _(check).replace("{address}", address).replace("{host}", host)
        for check in meanings.checks(row)
    ]
    message = str(error) if _is_ours(error) else _text(error)
    worded = functools.partial(places.worded, place=place)
    return Explanation(
        _title(error), worded(cut(message)), _(row.means), tuple(map(worded, checks))
    )


def cut(text: str) -> str:
    """Take secrets out of a text, and the end of a long one.

    Examples
    --------
    >>> cut("POST https://ada:s3cr3t@host/ Authorization: Basic YWRhOnMzY3IzdA==")
    'POST https://ada:***@host/ Authorization: Basic ***'
    """
    # The beginning only: in the middle of a text nobody could tell where a secret begins.
    head = _IN_URL.sub(r"\1***", text[: 10 * _LONGEST])
    head = _LETTERS.sub("***", _SECRETS.sub(r"\1***", head))
    more = len(text) > 10 * _LONGEST or len(head) > _LONGEST
    return f"{head[:_LONGEST]} ... ({len(text):,} letters in all)" if more else head


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those behind it: causes, reasons, members of a group."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting and len(seen) < _DEEPEST:
        linked = waiting.pop(0)
        if not isinstance(linked, BaseException) or any(linked is other for other in seen):
            continue
        seen.append(linked)
        yield linked
        context = None if linked.__suppress_context__ else linked.__context__
        inside = linked.exceptions[:1] if isinstance(linked, BaseExceptionGroup) else linked.args
        waiting += [linked.__cause__, getattr(linked, "reason", None), *inside, context]


def _is_ours(error: Any) -> bool:
    return isinstance(getattr(error, "details", None), str)


def _text(error: Any) -> str:
    parts = [str(error)]
    if _is_ours(error):
        parts += [error.details, getattr(error, "sentence", "")]
    elif callable(getattr(error, "code", None)) and hasattr(error, "details"):  # gRPC's
        parts = [f"{error.code().name}: {error.details()}"]
        if not error.details() and hasattr(error, "debug_error_string"):
            parts.append(error.debug_error_string())
    response = getattr(error, "response", None)
    if response is not None and hasattr(response, "text"):
        parts.append(response.text[:2000])
    return "\n".join(parts)


def _title(error: BaseException) -> str:
    module = type(error).__module__.partition(".")[0].lstrip("_")
    name = type(error).__name__.lstrip("_")
    return name if module in ("helpers", "builtins") else f"{module}: {name}"


def _calls_the_proxy(text: str) -> bool:
    """Whether gRPC reached nobody at the proxy's address: it does not say whose address it is."""
    names = ("grpc_proxy", "https_proxy", "http_proxy")
    proxy = next((os.environ[name] for name in names if name in os.environ), "")
    address = proxy.rpartition("@")[2].rpartition("//")[2].rstrip("/")
    host, _colon, port = address.rpartition(":")
    called = re.search(r"ipv4:([\d.]+):(\d+): Failed to connect", text)
    if not called:
        return False
    # A proxy's name was looked up: then the port alone tells.
    return called[2] == port and (called[1] == host or not host[:1].isdigit())


def _address(chain: list[BaseException], text: str) -> str:
    for error in chain:
        url = getattr(error, "endpoint", "") or getattr(getattr(error, "request", None), "url", "")
        if url:
            return str(url).partition("//")[2].partition("/")[0] or str(url)
    match = re.search(r"ipv4:([\d.]+:\d+)|host='([^']+)', port=(\d+)", text)
    if not match:
        return "HOST:PORT"
    return match[1] or f"{match[2]}:{match[3]}"


def _with_code(check: str) -> str:
    parts = check.split("`")
    return "".join(
        f"<code>{escape(part)}</code>" if number % 2 else escape(part)
        for number, part in enumerate(parts)
    )
