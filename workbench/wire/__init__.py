"""What a call looks like as bytes: `show` puts a message or an HTTP request beside its bytes."""

import dataclasses
import itertools
from html import escape
from typing import Any

from google.protobuf.message import Message

from helpers import tables
from helpers.errors import BadInput
from helpers.errors.explanations import cut
from helpers.language import _
from helpers.tfserving.codec import decode_predict, encode_predict
from workbench.wire import http, messages
from workbench.wire.rows import MASK, Row, rest
from workbench.wire.sizes import sizes

__all__ = ["View", "decode_predict", "encode_predict", "show", "sizes"]

_MOST_ROWS = 300
_FIRST = 16  # bytes of a content that is folded
_LAST = 8
# Black reads well on each of them, and they differ in lightness too.
_COLOURS = ("#fff2b3", "#a8d5ff", "#ffd0b8", "#b5e0b5", "#eadcff", "#d0d0d0")


def show(message: Any) -> "View":
    """Show a protobuf message or an HTTP request as a tree beside its bytes.

    Parameters
    ----------
    message : protobuf message, requests.PreparedRequest or requests.Response
        Of a response its request is shown.

    Returns
    -------
    View
        A table in a notebook, text elsewhere. Long contents are folded, secrets left out.

    Raises
    ------
    BadInput
        For anything else.

    Examples
    --------
    >>> from google.protobuf.wrappers_pb2 import Int64Value
    >>> show(Int64Value(value=300))
    google.protobuf.Int64Value, 3 bytes
    at    field  number  type    length  value  bytes: tag and length | content
    0000  value  1       VARINT          300    08 | ac 02

    See protobuf.dev/programming-guides/encoding.
    """
    if isinstance(message, Message):
        title = message.DESCRIPTOR.full_name
        data = message.SerializePartialToString(deterministic=True)
        rows = list(itertools.islice(messages.rows(data, message.DESCRIPTOR), _MOST_ROWS))
    elif hasattr(message, "request") or hasattr(message, "path_url"):
        request = getattr(message, "request", message)
        title = f"{request.method} {cut(request.url)}"
        data, rows = http.rows(request)
    else:
        kind = type(message).__name__
        raise BadInput(
            _("This shows protobuf messages and requests of `requests`, not {kind}.", kind=kind)
        )
    end = max((row.end for row in rows), default=0)
    if end < len(data):
        rows.append(rest("...", end, len(data)))
    return View(title, data, tuple(rows))


def _columns() -> list[str]:
    names = [_("at"), _("field"), _("number"), _("type"), _("length"), _("value")]
    return [*names, _("bytes: tag and length | content")]


@dataclasses.dataclass(frozen=True)
class View:
    """A message as its bytes, secrets in it or not, and as rows that leave no byte out.

    Parameters
    ----------
    title : str
    data : bytes
    rows : tuple of Row
    """

    title: str
    data: bytes
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        return f"{self._caption()}\n{tables.text(_columns(), map(self._text, self.rows))}"

    def _repr_html_(self) -> str:
        names = dict.fromkeys(row.name for row in self.rows)
        colours = dict(zip(names, itertools.cycle(_COLOURS), strict=False))
        cells = [self._html(row, colours[row.name]) for row in self.rows]
        caption = _(
            "{caption}. A field's name and its bytes have one colour; tag and length are "
            "underlined.",
            caption=self._caption(),
        )
        caption = tables.Html(escape(caption, quote=False))
        return tables.html(_columns(), cells, caption=caption, css="otw-wire")

    def _caption(self) -> str:
        caption = f"{self.title}, {len(self.data):,} bytes"
        if b"***" in self.data or any(row.instead == MASK for row in self.rows):
            return _("{caption}; *** stands for a secret", caption=caption)
        return caption

    def _text(self, row: Row) -> list[str]:
        name = "  " * row.depth + row.name
        return [f"{row.begin:04x}", name, *row[2:6], " | ".join(filter(None, self._bytes(row)))]

    def _html(self, row: Row, colour: str) -> list[str]:
        style = f"background:{colour};color:#000"
        tag, content = self._bytes(row)
        return [
            tables.Html(f"<code>{row.begin:04x}</code>"),
            tables.Html(
                f"<span style='{style};margin-left:{row.depth}em'>{escape(row.name)}</span>"
            ),
            *row[2:6],
            tables.Html(f"<code style='{style}'><u>{tag}</u> {content}</code>"),
        ]

    def _bytes(self, row: Row) -> tuple[str, str]:
        """Return tag and length, and the content, in hexadecimal."""
        content = row.instead or _folded(self.data[row.content : row.end])
        return _folded(self.data[row.begin : row.content]), content


def _folded(content: bytes) -> str:
    hidden = len(content) - _FIRST - _LAST
    if hidden <= 0:
        return content.hex(" ")
    return f"{content[:_FIRST].hex(' ')} ... {hidden:,} bytes ... {content[-_LAST:].hex(' ')}"
