"""What goes along with every call: headers over REST, metadata over gRPC. Their values are secrets.

A value may name an environment variable, as `Bearer ${OTW_TOKEN}` does: it is read when a call is
made, and there is no secret in the endpoint.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from helpers.errors import BadInput
from helpers.language import _

Headers = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # what both HTTP and gRPC take
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REFERENCE = re.compile(rf"([A-Za-z-]{{1,20}} )?{VARIABLE.pattern}")  # after a scheme: Bearer
# They belong to the connection or to what is sent on it.
_RESERVED = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_RESERVED_BEGINNINGS = ("grpc-", "proxy-")
_MOST = 32
_LARGEST = 16_000  # characters in all; gRPC's servers take 16 KB


def check(headers: Any) -> Headers:
    """Return headers as pairs of name and value; BadInput when a call cannot take them.

    Parameters
    ----------
    headers : mapping of str to str, or iterable of pairs
    """
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs) or not all(
        isinstance(text, str) for pair in pairs for text in pair
    ):
        raise BadInput(_("'headers' gives a text to each name: {'Authorization': 'Bearer ...'}."))
    names = [name.lower() for name, _value in pairs]
    for name, value in pairs:
        _check(name, value)
        if names.count(name.lower()) > 1:
            raise BadInput(_("The header {name} is given twice. Give it once.", name=name))
    if len(pairs) > _MOST:
        raise BadInput(
            _("There are {count} headers, and {most} at most.", count=len(pairs), most=_MOST)
        )
    _check_size(pairs)
    return pairs


def from_lines(lines: Iterable[str]) -> dict[str, str]:
    """Read headers as HTTP writes them, `Name: value`; empty lines are left out."""
    headers: dict[str, str] = {}
    for line in filter(str.strip, lines):
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon:  # it may be a value without its name
            raise BadInput(
                _("A header is written as NAME: VALUE, and here is one without a colon.")
            )
        if name.lower() in map(str.lower, headers):
            raise BadInput(_("The header {name} is given twice. Give it once.", name=name))
        headers[name] = value.strip()
    return headers


def without_secrets(headers: Headers) -> dict[str, str]:
    """Return headers for a file or for code: each value is named by a variable that has it.

    Examples
    --------
    >>> without_secrets((("Authorization", "Bearer ${TOKEN}"), ("X-Api-Key", "s3cr3t")))
    {'Authorization': 'Bearer ${TOKEN}', 'X-Api-Key': '${OTW_HEADER_X_API_KEY}'}
    """
    return {
        name: value if _REFERENCE.fullmatch(value) else f"${{{variable(name)}}}"
        for name, value in headers
    }


def variable(name: str) -> str:
    """Return the environment variable for a header whose value names none."""
    return f"OTW_HEADER_{re.sub('[.-]', '_', name).upper()}"


def missing(headers: Headers) -> dict[str, str]:
    """Return the headers that name an environment variable which is not set, and that variable."""
    return {
        name: unset
        for name, value in headers
        for unset in VARIABLE.findall(value)
        if not os.environ.get(unset)
    }


def filled(headers: Headers) -> Headers:
    """Return headers with the values of the variables that they name.

    Raises
    ------
    BadInput
        When one is not set, and when what it has cannot be a header's value.
    """
    if not headers:  # most endpoints have none
        return headers
    for name, unset in missing(headers).items():
        raise BadInput(
            _(
                "The header {name} takes its value from the environment variable {variable}, "
                "which is not set. Set it, or give the header again.",
                name=name,
                variable=unset,
            )
        )
    pairs = tuple(
        (name, VARIABLE.sub(lambda match: os.environ[match[1]].strip(), value))
        for name, value in headers
    )
    for name, value in pairs:
        _check(name, value)
    _check_size(pairs)
    return pairs


def _check(name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadInput(
            _("A header's name has letters, digits, -, _ and ., not {name}.", name=repr(name))
        )
    low = name.lower()
    if low in _RESERVED or low.startswith(_RESERVED_BEGINNINGS):
        raise BadInput(
            _("The header {name} is set by the connection itself. Leave it out.", name=name)
        )
    if low.endswith("-bin"):
        raise BadInput(
            _("{name}: gRPC takes bytes under names that end with -bin, not text.", name=name)
        )
    if not _VALUE.fullmatch(value):  # which is not repeated: it may be a secret
        raise BadInput(
            _(
                "The value of the header {name} is empty, or has a line break or another character "
                "that is not printable ASCII. Was it read from a file with a second line?",
                name=name,
            )
        )


def _check_size(pairs: Headers) -> None:
    size = sum(len(name) + len(value) for name, value in pairs)
    if size > _LARGEST:
        raise BadInput(
            _(
                "The headers have {size:,} characters, and {most:,} at most.",
                size=size,
                most=_LARGEST,
            )
        )
