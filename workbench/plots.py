"""Pictures of answers and of measurements: boxes on an image, a sound, times as bars.

What begins with `draw_` is for a notebook, which shows the figure when its cell has ended; in a
program, `axes.figure.savefig` writes it to a file. No pyplot: the Explorer draws in any thread.
A notebook's picture has a text in its place for those who do not see it: the figure's label.
"""

import base64
import html
import io
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers import language
from helpers.language import _

if TYPE_CHECKING:
    from PIL import Image

    from helpers.ccai.answers import Face, TextItem
    from helpers.ccai.speech import Speech
    from workbench.timing import Timeline

# Of Okabe and Ito, whom every eye can follow; the hatches tell the parts apart in grey, too.
_PARTS = {
    "encode": ("#E69F00", "//"),
    "send": ("#56B4E9", ""),
    "wait": ("#D0D0D0", ".."),
    "receive": ("#009E73", "\\\\"),
    "decode": ("#F0E442", "xx"),
}
_ORANGE = "#E69F00"
_BORDER = 2.25  # points of a box's line: on a bare picture, whole pixels
_STYLES = ("-", "--", "-.", ":")  # of lines in one picture
_LARGEST = 640  # pixels of a side; larger pictures are reduced
_SMALL = 320  # pixels; smaller pictures are shown enlarged
_WIDE = 20  # from the smallest to the largest: more does not go on a linear axis
_FAR = 9999  # pixels; nothing is drawn further away
_POINTS = 1000  # of a line, each with the smallest and the largest value there
_DPI = 128  # a power of 2, with which a figure in inches has as many pixels as asked for


def draw_boxes(
    image: ArrayLike,
    boxes: ArrayLike,
    labels: ArrayLike,
    scores: ArrayLike | None = None,
    *,
    title: str = "",
) -> Any:
    """Draw boxes with their labels on an image.

    Parameters
    ----------
    image : array-like, shape (height, width) or (height, width, 1 or 3)
        Grey or RGB.
    boxes : array-like, shape (n, 4)
        ymin, xmin, ymax, xmax, each from 0 to 1, as TensorFlow's detectors give them.
    labels : array-like, shape (n,)
        What is in each box.
    scores : array-like, shape (n,), optional
        Written behind the labels.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _image(image, title)
    height, width = np.squeeze(np.asarray(image)).shape[:2]
    texts = [str(label) for label in np.asarray(labels).tolist()]
    if scores is not None:
        sure = np.asarray(scores, float).tolist()
        texts = [f"{text}: {score:.2f}" for text, score in zip(texts, sure, strict=True)]
    corners = np.asarray(boxes, float).reshape(-1, 4)[:, [1, 0, 3, 2]]
    _boxes(axes, corners * [width, height, width, height], texts)
    _describe(axes, _("a picture with boxes around: {labels}."), labels=np.asarray(labels).tolist())
    return axes


def draw_text(image: ArrayLike, items: Sequence["TextItem"], *, title: str = "") -> Any:
    """Draw a box around each piece of text, with its number.

    Parameters
    ----------
    image : array-like, shape (height, width) or (height, width, 3)
        Grey or RGB.
    items : list of TextItem
        As `ccai.ocr` gives them.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _image(image, title)
    corners = [(x, y, x + width, y + height) for x, y, width, height in (i.box for i in items)]
    _boxes(axes, corners, map(str, range(len(items))))
    texts = [item.text for item in items]
    _describe(axes, _("a picture with numbered boxes around: {labels}."), labels=texts)
    return axes


def draw_faces(
    image: ArrayLike,
    faces: Sequence["Face"],
    landmarks: ArrayLike | None = None,
    *,
    title: str = "",
) -> Any:
    """Draw a square around each face, and points on it.

    Parameters
    ----------
    image : array-like, shape (height, width) or (height, width, 3)
        Grey or RGB.
    faces : list of Face
        As `ccai.detect_faces` gives them.
    landmarks : array-like, shape (faces, points, 2), optional
        As `ccai.facial_landmarks` gives them.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _image(image, title)
    _boxes(axes, faces, (f"face {number}" for number in range(len(faces))))
    if landmarks is not None:
        _points(axes, landmarks)
    squares = [f"{face[2] - face[0]} x {face[3] - face[1]}" for face in faces]
    _describe(axes, _("a picture with squares around faces, in pixels: {labels}."), labels=squares)
    return axes


def draw_waveform(speech: "Speech", *, title: str = "") -> Any:
    """Draw a sound: its samples over the time.

    Parameters
    ----------
    speech : Speech
        As `ccai.text_to_speech` gives it.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _shown(7, 2)
    seconds = np.arange(len(speech.samples)) / speech.rate
    axes.plot(seconds, speech.samples, color="black", lw=0.5)
    axes.set(xlabel=_("time (seconds)"), ylabel=_("sample"), title=title, ylim=(-1, 1))
    length = f"{len(speech.samples) / speech.rate:.1f}"
    _describe(axes, _("the waveform of a sound of {labels} seconds."), labels=[length])
    return axes


def draw_ratios(figures: Mapping[str, ArrayLike], *, title: str = "", quantity: str = "") -> Any:
    """Draw a bar for each contender: how many times the first one's figure its own is.

    Parameters
    ----------
    figures : mapping of str to number or array-like, shape (rounds,)
        Such as `timing.compare` or `wire.sizes` give. Of several figures the median of the
        quotients is drawn, round by round, and a line from their lower to their upper quartile.
    title : str, optional
        Above the picture.
    quantity : str, optional
        What the figures are, for the axis; without it they are times.

    Returns
    -------
    matplotlib.axes.Axes
        Logarithmic, with bars that begin at 1, when the largest is over 20 times the smallest.
    """
    first = next(iter(figures))
    quotients = [np.atleast_1d(np.divide(own, figures[first])) for own in figures.values()]
    low, median, high = np.array([np.percentile(own, [25, 50, 75]) for own in quotients]).T
    wide = median.max() > _WIDE * median.min()
    axes = _bars(list(figures), title)
    quantity = quantity or _("time")
    label = _("{quantity} (times {first})", quantity=quantity, first=first)
    axes.set(xlabel=label, xscale="log" if wide else "linear")
    several = max(map(len, quotients)) > 1
    whiskers = {"xerr": [median - low, high - median], "capsize": 4} if several else {}
    start = float(wide)
    look = {"height": 0.6, "color": "#56B4E9", "edgecolor": "black"}
    bars = axes.barh(range(len(median)), median - start, left=start, **look, **whiskers)
    axes.bar_label(bars, [f"{_short(value)}x" for value in median], padding=6)
    axes.axvline(1, color="black", lw=0.8, ls=":")
    axes.margins(x=0.2)  # room for the labels
    what = _("a bar for each of these, {quantity} as times of the first: {labels}.")
    _describe(axes, what, quantity=quantity, labels=list(figures))
    return axes


def draw_timeline(timelines: Mapping[str, "Timeline"], *, title: str = "") -> Any:
    """Draw a bar for each call, with the share of each part; how long it took stands behind.

    Parameters
    ----------
    timelines : mapping of str to Timeline
        As `timing.timeline` gives them. `connect` is left out: a channel does it once.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib.axes.Axes
    """
    axes = _bars(list(timelines), title)
    seconds = np.array([[getattr(call, part) for part in _PARTS] for call in timelines.values()])
    whole = seconds.sum(axis=1)
    shares = 100 * seconds.T / whole
    starts = np.cumsum(shares, axis=0) - shares
    for (part, (colour, hatch)), share, start in zip(_PARTS.items(), shares, starts, strict=True):
        look = {"label": part, "color": colour, "hatch": hatch, "edgecolor": "black"}
        bars = axes.barh(range(len(whole)), share, height=0.6, left=start, **look)
    axes.bar_label(bars, [f"{_short(1000 * total)} ms" for total in whole], padding=4)
    axes.set(xlabel=_("share of the call (%)"), xlim=(0, 100))
    axes.figure.legend(loc="outside lower center", ncols=len(_PARTS))
    what = _("a bar for each of these calls, with the share of each part: {labels}.")
    _describe(axes, what, labels=list(timelines))
    return axes


def show(image: Any, alt: str) -> "Picture":
    """Show an image in a notebook, with a text in its place for those who do not see it.

    Parameters
    ----------
    image : PIL.Image.Image or array-like, shape (height, width) or (height, width, 1 or 3), uint8
        A small one is shown enlarged. Or a `matplotlib.figure.Figure`.
    alt : str
        What there is to see.

    Returns
    -------
    Picture
        Which a notebook shows as the result of its cell.
    """
    figure = image if hasattr(image, "savefig") else _bare(np.asarray(image)).figure
    return Picture(png(figure), alt)


class Picture:
    """A picture as a notebook shows it, with its text."""

    def __init__(self, content: bytes, alt: str) -> None:
        self._content = content
        self.alt = alt

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        data = base64.b64encode(self._content).decode()
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'


def with_boxes(pixels: NDArray[np.uint8], corners: ArrayLike, labels: Iterable[str]) -> Any:
    """Return a picture with labelled boxes and nothing around it.

    Parameters
    ----------
    pixels : ndarray, uint8, shape (height, width, 1, 3 or 4)
    corners : array-like, shape (n, 4)
        xmin, ymin, xmax, ymax in pixels, from edge to edge.
    labels : iterable of str
        Written in the boxes.
    """
    axes = _bare(pixels)
    _boxes(axes, corners, labels, inside=True)
    return axes.figure


def with_points(pixels: NDArray[np.uint8], points: ArrayLike) -> Any:
    """Return a picture with points on it, each x and y in pixels, and nothing around it."""
    axes = _bare(pixels)
    _points(axes, points)
    return axes.figure


def lines(rows: Iterable[NDArray]) -> Any:
    """Draw numbers over their index, a line for each row."""
    axes = _axes(6.4, 2.6)
    for number, (row, style) in enumerate(zip(rows, itertools.cycle(_STYLES), strict=False)):
        axes.plot(*_thinned(row), style, lw=1, label=_("example {number}", number=number))
    axes.set(xlabel=_("index"), ylabel=_("value"))
    if len(axes.lines) > 1:
        axes.legend()
    return axes.figure


def histogram(milliseconds: NDArray) -> Any:
    """Draw how many of the times lie where."""
    axes = _axes(6.4, 2.6)
    axes.hist(milliseconds, bins=40, color="#56B4E9", edgecolor="black", lw=0.5)
    axes.set(xlabel="latency (ms)", ylabel="calls")
    return axes.figure


def png(figure: Any, **options: Any) -> bytes:
    """Return a figure as a PNG file."""
    file = io.BytesIO()
    # Half the time of Pillow's own 6, for 6 % more bytes.
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 3}, **options)
    return file.getvalue()


def reduced(pixels: NDArray[np.uint8]) -> "Image.Image":
    """Return pixels as an image that is not too large for a page."""
    from PIL import Image  # optional: `otw describe` draws nothing

    step = max(1, max(pixels.shape) // (4 * _LARGEST))  # or all of a large one would be copied
    thinned = pixels[::step, ::step]
    image = Image.fromarray(thinned[..., 0] if pixels.shape[-1] == 1 else thinned)
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    return image


def enlargement(pixels: NDArray[np.uint8]) -> int:
    """Return how many times as large a small picture is shown."""
    return max(1, -(-_SMALL // max(pixels.shape[:2])))


def _axes(width: float, height: float) -> Any:
    return _figure(figsize=(width, height), layout="constrained").subplots()


def _figure(**options: Any) -> Any:
    from matplotlib.figure import Figure  # 0.3 s; a call needs no picture

    language.add_letters()
    return Figure(**options)


def _shown(width: float, height: float) -> Any:
    """Return axes whose figure a notebook shows when the cell has ended, as it is by then."""
    axes = _axes(width, height)
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None:

        def show() -> None:
            shell.events.unregister("post_execute", show)
            picture = Picture(png(axes.figure, bbox_inches="tight"), axes.figure.get_label())
            shell.display_pub.publish(
                {"text/html": picture._repr_html_(), "text/plain": repr(picture)}
            )

        shell.events.register("post_execute", show)
    return axes


def _describe(axes: Any, what: str, *, labels: list, **values: str) -> None:
    """Label the figure: its title, and what there is to see."""
    listed = ", ".join(map(str, labels)) or _("nothing")
    text = what.format(labels=listed, **values)
    title = axes.get_title()
    axes.figure.set_label(f"{title}: {text}" if title else f"{text[0].upper()}{text[1:]}")


def _image(image: ArrayLike, title: str) -> Any:
    pixels = np.squeeze(np.asarray(image))
    height, width = pixels.shape[:2]
    axes = _shown(5, 5 * height / width + 0.6)
    axes.imshow(pixels, cmap="gray")
    axes.set(xlabel=_("x (pixels)"), ylabel=_("y (pixels)"), title=title)
    return axes


def _bare(pixels: NDArray[np.uint8]) -> Any:
    """Return axes that are a picture, without a frame."""
    image = reduced(pixels)
    inches = enlargement(pixels) / _DPI
    figure = _figure(figsize=(image.width * inches, image.height * inches), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    height, width = pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(
        image, "gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest", extent=extent
    )
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    return axes


def _boxes(axes: Any, corners: ArrayLike, labels: Iterable[str], inside: bool = False) -> None:
    """Draw boxes, given from edge to edge: the centre of the first pixel is 0, its edge -0.5."""
    from matplotlib.patches import Rectangle  # 0.1 s

    places = np.clip(np.asarray(corners, float).reshape(-1, 4), -_FAR, _FAR) - 0.5
    for (xmin, ymin, xmax, ymax), label in zip(places.tolist(), labels, strict=True):
        size = (xmax - xmin, ymax - ymin)
        axes.add_patch(Rectangle((xmin, ymin), *size, fill=False, edgecolor=_ORANGE, lw=_BORDER))
        axes.text(
            max(xmin, 0) if inside else xmin,
            max(ymin, 0) if inside else ymin,
            label,
            va="top" if inside else "bottom",
            bbox={"facecolor": _ORANGE, "lw": 0, "pad": 1},  # black on orange, for every eye
            parse_math=False,
        )


def _points(axes: Any, points: ArrayLike) -> None:
    x, y = np.clip(np.asarray(points, float).reshape(-1, 2), -_FAR, _FAR).T
    axes.scatter(x, y, s=14, c="white", edgecolors="black", linewidths=0.8)


def _bars(names: list[str], title: str) -> Any:
    """Return axes for a bar of each name, the first one on top."""
    axes = _shown(7, 1.2 + 0.45 * len(names))
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title)
    return axes


def _thinned(row: NDArray) -> tuple[NDArray, NDArray]:
    """Return x and y of a line; of a long one the smallest and the largest value of each part."""
    x = np.arange(len(row))
    if len(row) > 2 * _POINTS:
        starts = np.linspace(0, len(row), _POINTS, endpoint=False, dtype=int)
        x = np.repeat(starts, 2)
        row = np.stack([np.fmin.reduceat(row, starts), np.fmax.reduceat(row, starts)], 1).ravel()
    y = row.astype(float)
    return x, np.where(np.isfinite(y), y, np.nan)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
