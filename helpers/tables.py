"""Tables of text: lines for a terminal, and HTML for a notebook."""

import unicodedata
from collections.abc import Iterable, Sequence
from html import escape


class Html(str):
    """A cell that is HTML already; every other cell is text, and escaped."""


def text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table as lines, each column as wide as its longest cell.

    Examples
    --------
    >>> print(text(["name", "shape"], [["images", "[-1, 8]"], ["id", "[]"]]))
    name    shape
    images  [-1, 8]
    id      []
    """
    lines = [head, *rows]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(padded, line, widths)).rstrip() for line in lines)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes: a Chinese letter takes two.

    Examples
    --------
    >>> width("gRPC"), width("通道")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def padded(text: str, columns: int) -> str:
    """Return a text with spaces behind it, so that it takes so many columns of a terminal.

    Examples
    --------
    >>> padded("通道", 6)
    '通道  '
    """
    return text + " " * (columns - width(text))


def html(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", css: str = ""
) -> str:
    """Write a table as HTML.

    Parameters
    ----------
    head : sequence of str
        The columns' names.
    rows : iterable of sequence of str
        Cells as text, or as `Html`.
    caption : str, optional
    css : str, optional
        The table's class.

    Examples
    --------
    >>> table = html(["size"], [["< 2"], [Html("<b>3</b>")]])
    >>> "&lt; 2" in table, "<b>3</b>" in table
    (True, True)
    """
    style = " style='text-align:left'"
    opening = f"<table class='{css}'>" if css else "<table>"
    if caption:
        opening += f"<caption>{_cell(caption)}</caption>"
    lines = ["".join(f"<th scope='col'{style}>{_cell(name)}</th>" for name in head)]
    lines += ["".join(f"<td{style}>{_cell(cell)}</td>" for cell in row) for row in rows]
    return opening + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def printable(text: str) -> str:
    """Replace what a terminal would obey: names and messages are others'.

    Examples
    --------
    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(cell: str) -> str:
    return cell if isinstance(cell, Html) else escape(cell)
