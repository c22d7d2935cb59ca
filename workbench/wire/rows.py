"""A row of a view: one field, its bytes, and what is shown in place of a secret."""

import re
from typing import NamedTuple

from helpers.errors.explanations import cut

MASK = "**"  # in place of a secret's bytes
_SECRET = re.compile(
    r"(?i)passw|secret|credential|cookie|authorization"
    r"|(^|[-_])(pass|pwd|sk)$|(token|appcode|signature|api[-_]?key)$"
)


class Row(NamedTuple):
    """One field: its tag and length are at `begin`, its content at `content`, up to `end`.

    What has fields of its own has rows for them, and its own row ends at `content`.
    """

    depth: int
    name: str
    number: str
    type: str
    length: str
    value: str
    begin: int
    content: int
    end: int
    instead: str = ""  # of a content that is not shown

    def with_text(self, text: str | bytes, name: str = "") -> "Row":
        """Return the row with a text as its value, or without its bytes if that is secret."""
        written = text if isinstance(text, str) else text.decode(errors="replace")
        parts = (written[:400], written[-400:])
        hidden = any(cut(part).count("***") > part.count("***") for part in parts)
        if hidden or is_secret(name or self.name):
            return self._replace(value="***", instead=MASK)
        return self._replace(value=short(text))


def rest(name: str, begin: int, end: int, depth: int = 0) -> Row:
    """Return a row for bytes that are not shown."""
    return Row(depth, name, "", "", "", f"{end - begin:,} bytes", begin, begin, end, "...")


def short(value: str | bytes) -> str:
    """Write a text, or how it begins."""
    return f"{value[:40]!r} ..." if len(value) > 40 else repr(value)


def is_secret(name: str) -> bool:
    """Whether what has this name is not for everybody's eyes."""
    return bool(_SECRET.search(name))
