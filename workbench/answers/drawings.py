"""Parts of an answer as HTML: pictures, boxes, bars, lines, players, texts, tables. All is escaped.

What is drawn with matplotlib is drawn in `workbench.plots`.
"""

import base64
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.speech import Speech
from helpers.language import _
from helpers.tables import Html
from workbench import plots
from workbench.answers import listings
from workbench.values.arrays import kind

EXAMPLES = 4  # of a batch that are shown; the table has all
ROWS = 100  # of a table of boxes, fields or objects
BARS = 10  # highest scores that are shown
TEXTS = 20  # that are shown
_CHARACTERS = 2_000  # of a text or a table's cell that are shown
_SECONDS = 30  # of a sound that are carried along
_FASTEST = 400_000  # samples a second that a browser plays
_CELL = "padding:2px 8px;text-align:left;vertical-align:top"
_WORD = 24  # letters; longer words are broken where a table would become too wide
_BREAK = ";overflow-wrap:anywhere;min-width:12em"
_BLUE = "#0072B2"  # of Okabe and Ito, whom every eye can follow
Pixels = NDArray[np.uint8]  # of shape (height, width, 1, 3 or 4)


class Part(NamedTuple):
    """One thing to look at.

    Parameters
    ----------
    title : str
        Such as an output's name; not escaped.
    kind : str
        `boxes`, `image`, `sound`, `scores`, `series`, `text` or `table`.
    html : str
        Complete and escaped.
    """

    title: str
    kind: str
    html: str


def drawn(title: str, draw: Callable[[], list[Part]]) -> list[Part]:
    """Return what `draw` returns; when it fails, a part that says why."""
    try:
        return draw()
    except Exception as error:  # a server may send anything, and the rest is to be shown
        why = f"{type(error).__name__}: {error}".removesuffix(": ")
        return [sentence(title, _("This cannot be drawn: {title}. ({why})", title=title, why=why))]


def images(title: str, pictures: Sequence[Pixels], count: int, note: str = "") -> Part:
    """Show pictures, the first ones of so many."""
    html = ""
    for number, pixels in enumerate(pictures):
        height, width, channels = pixels.shape
        colours = {1: _("grey"), 3: _("RGB"), 4: _("RGB with alpha")}[channels]
        image = plots.reduced(pixels)
        file = io.BytesIO()
        image.save(file, "PNG")
        name = example(title, number, count)
        alt = _(
            "{name}: picture of {width} x {height} pixels, {colours}",
            name=name,
            width=width,
            height=height,
            colours=colours,
        )
        html += _img(file.getvalue(), alt, image.width * plots.enlargement(pixels))
    return Part(title, "image", html + notes(note, of_batch(len(pictures), count)))


def boxes(
    title: str,
    pixels: Pixels,
    corners: Sequence[Sequence[float]],
    labels: Sequence[str],
    table: str,
    note: str = "",
) -> Part:
    """Show boxes on a picture; each is xmin, ymin, xmax, ymax in pixels, from edge to edge."""
    alt = _(
        "{title}: picture with boxes, {count} in all; the table beside has them",
        title=title,
        count=len(corners),
    )
    html = _figure(plots.with_boxes(pixels, corners, labels), alt)
    return Part(title, "boxes", html + table + notes(note))


def points(title: str, pixels: Pixels, places: Sequence[Sequence[float]]) -> Part:
    """Show points on a picture; each is x and y in pixels."""
    alt = _("{title}: picture with {count} points", title=title, count=len(places))
    return Part(title, "boxes", _figure(plots.with_points(pixels, places), alt))


def scores(
    title: str, examples: Sequence[Sequence[tuple[str, float]]], count: int, note: str = ""
) -> Part:
    """Show labels with their scores as bars, the highest first; a table for each example."""
    html = ""
    head = (_("class"), _("score"), _("from 0 to 1"))
    for number, row in enumerate(examples):
        caption = example(title, number, count)
        best = sorted(row, key=lambda pair: -pair[1])[:BARS]
        rows = [(label, f"{score:.4g}", _bar(score)) for label, score in best]
        html += f"<div>{grid(caption, head, rows)}</div>"
    html = f"<div style='display:flex;flex-wrap:wrap;gap:0 24px'>{html}</div>"
    return Part(title, "scores", html + notes(note, of_batch(len(examples), count)))


def series(title: str, rows: Sequence[NDArray], count: int) -> Part:
    """Draw numbers over their index, a line for each of the first rows of so many."""
    alt = _("{title}: {size:,} values over their index as a line", title=title, size=len(rows[0]))
    html = _figure(plots.lines(rows), alt)
    return Part(title, "series", html + notes(of_batch(len(rows), count)))


def histogram(milliseconds: NDArray) -> str:
    """Draw how many calls took how long."""
    alt = _("How many of {count} calls took how long", count=len(milliseconds))
    return _figure(plots.histogram(milliseconds), alt)


def sounds(title: str, speeches: Sequence[Speech], count: int, note: str = "") -> Part:
    """Let sounds be heard, or how they begin: the first ones of so many."""
    html = ""
    for number, speech in enumerate(speeches):
        if speech.rate > _FASTEST:
            html += notes(
                _(
                    "No browser plays {rate:,} samples a second; it has {count:,} of them.",
                    rate=speech.rate,
                    count=len(speech.samples),
                )
            )
            continue
        kept = Speech(speech.samples[: _SECONDS * speech.rate], speech.rate)
        data = base64.b64encode(kept.wav()).decode()
        label = escaped(example(title, number, count))
        html += f"<audio controls aria-label='{label}' src='data:audio/wav;base64,{data}'></audio>"
        words = _(
            "{seconds:.2f} s, {rate:,} samples a second.",
            seconds=speech.seconds,
            rate=speech.rate,
        )
        if kept.seconds < speech.seconds:
            words += " " + _("The first {seconds} s are here.", seconds=_SECONDS)
        html += notes(words)
    return Part(title, "sound", html + notes(note, of_batch(len(speeches), count)))


def texts(title: str, contents: Sequence[str | bytes], count: int) -> Part:
    """Show texts with their line ends, or how they begin: the first ones of so many."""
    style = "white-space:pre-wrap;overflow-wrap:anywhere;margin:4px 0"
    shown = (f"<pre style='{style}'>{escaped(_readable(text))}</pre>" for text in contents[:TEXTS])
    return Part(title, "text", "".join(shown) + notes(of_batch(TEXTS, count, _("texts"))))


def sentence(title: str, text: str) -> Part:
    """Say something in place of a drawing."""
    return Part(title, "text", notes(_readable(text)))


def notes(*sentences: str) -> str:
    """Write sentences below something; empty ones are left out."""
    return "".join(f"<p style='margin:2px 0'>{escaped(text)}</p>" for text in sentences if text)


def example(title: str, number: int, count: int) -> str:
    """Name one of several."""
    return _("{title}, example {number}", title=title, number=number) if count > 1 else title


def of_batch(shown: int, count: int, items: str = "") -> str:
    """Say how many there are, when not all are shown; without a name, they are examples."""
    if count <= shown:
        return ""
    items = items or _("examples")
    return _("The first {shown} of {count:,} {items}.", shown=shown, count=count, items=items)


def beginning(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], count: int, items: str
) -> str:
    """Write the first rows as a table, and say how many there are."""
    listed = grid(caption, head, itertools.islice(rows, ROWS))
    return listed + notes(of_batch(ROWS, count, items))


def grid(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; the first cell of each row is its head.

    Examples
    --------
    >>> grid("Sizes", ["name", "size"], [["<x>", "4"]]).count("scope")
    3
    """

    def cell(text: str, tag: str = "td", more: str = "") -> str:
        shown = text if isinstance(text, Html) else escaped(_readable(text))
        long = max(map(len, text.split()), default=0) > _WORD
        return f"<{tag}{more} style='{_CELL}{_BREAK if long else ''}'>{shown}</{tag}>"

    first = "".join(cell(text, "th", " scope='col'") for text in head)
    lines = (cell(row[0], "th", " scope='row'") + "".join(map(cell, row[1:])) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    name = escaped(caption)
    return (
        f"<div tabindex='0' role='group' aria-label='{name}' style='overflow-x:auto'>"
        "<table style='border-collapse:collapse;margin:4px 0'>"
        f"<caption style='text-align:left;font-weight:bold'>{name}</caption>"
        f"<thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def escaped(text: str) -> str:
    """Escape text for HTML; half a character (a lone surrogate) becomes `?`.

    Examples
    --------
    >>> escaped('<b>"\\ud800"')
    '&lt;b&gt;&quot;?&quot;'
    """
    return escape(text.encode(errors="replace").decode())


def _readable(text: str | bytes) -> str:
    if isinstance(text, str):
        rest = len(text) - _CHARACTERS
        if rest <= 0:
            return text
        return _("{text}... and {rest:,} more characters", text=text[:_CHARACTERS], rest=rest)
    try:
        return _readable(text.decode())
    except UnicodeDecodeError:
        more = " ..." if len(text) > 16 else ""
        return _(
            "{size:,} bytes that are no text: {beginning}{more}",
            size=len(text),
            beginning=text[:16].hex(" "),
            more=more,
        )


def _bar(score: float) -> Html:
    width = round(160 * min(max(score, 0.0), 1.0))
    return Html(
        f"<div aria-hidden='true' style='width:{width}px;height:1em;background:{_BLUE}'></div>"
    )


def _figure(figure: Any, alt: str) -> str:
    return _img(plots.png(figure), alt, round(figure.bbox.width))


def _img(png: bytes, alt: str, width: int) -> str:
    data = base64.b64encode(png).decode()
    style = "max-width:100%;height:auto;image-rendering:pixelated;margin:4px"
    return (
        f"<img alt='{escaped(alt)}' width='{width}' style='{style}' "
        f"src='data:image/png;base64,{data}'>"
    )


def table(outputs: Mapping[str, NDArray], caption: str = "") -> str:
    """Write as HTML, for each array, dtype, shape, smallest, largest, NaN and first values.

    Examples
    --------
    >>> "<td" in table({"y": np.array([0.5, np.nan])})
    True
    """
    head = (_("name"), "dtype", _("shape"), "min", "max", "NaN", _("first values"))
    rows = []
    for name, output in outputs.items():
        array = np.asarray(output)
        dtype, shape, values = listings.described(array)
        rows.append((name, dtype, shape, *extent(array), values))
    return grid(caption or _("Arrays"), head, rows)


def extent(array: NDArray) -> tuple[str, str, str]:
    """Return the smallest value, the largest one, and how many are NaN; empty where there is none.

    Examples
    --------
    >>> extent(np.array([2.5, np.nan, np.inf]))
    ('2.5', 'inf', '1')
    """
    numbers = kind(array.dtype)
    if not array.size or numbers not in "bifc":
        return "", "", ""
    if numbers == "f" and array.itemsize <= 2:
        array = array.astype(np.float32)  # NumPy compares these types slowly
    missing = int(np.count_nonzero(np.isnan(array))) if numbers in "fc" else 0
    if numbers == "c" or missing == array.size:
        return "", "", f"{missing:,}"
    limits = (np.fmin.reduce(array, axis=None), np.fmax.reduce(array, axis=None))
    low, high = (f"{limit:.6g}" if numbers == "f" else str(limit) for limit in limits)
    return low, high, f"{missing:,}"
