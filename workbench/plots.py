"""Pictures of answers and of measurements: boxes on an image, a sound, times as bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
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
_WIDE = 20  # from the smallest to the largest: more does not go on a linear axis


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
    axes = _show(image, title)
    height, width = np.squeeze(np.asarray(image)).shape[:2]
    texts = [str(label) for label in np.asarray(labels).tolist()]
    if scores is not None:
        sure = np.asarray(scores, float).tolist()
        texts = [f"{text}: {score:.2f}" for text, score in zip(texts, sure, strict=True)]
    for box, text in zip(np.asarray(boxes, float).reshape(-1, 4), texts, strict=True):
        _draw_box(axes, box * [height, width, height, width], text)
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
    axes = _show(image, title)
    for number, item in enumerate(items):
        x, y, width, height = item.box
        _draw_box(axes, np.array([y, x, y + height, x + width]), str(number))
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
    axes = _show(image, title)
    for number, face in enumerate(faces):
        _draw_box(axes, np.array([face.y1, face.x1, face.y2, face.x2]), f"face {number}")
    if landmarks is not None:
        x, y = np.asarray(landmarks).reshape(-1, 2).T
        axes.scatter(x, y, s=14, c="white", edgecolors="black", linewidths=0.8)
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
    import matplotlib.pyplot as plt  # only here: a call needs no picture

    _, axes = plt.subplots(figsize=(7, 2), layout="constrained")
    seconds = np.arange(len(speech.samples)) / speech.rate
    axes.plot(seconds, speech.samples, color="black", lw=0.5)
    axes.set(xlabel="time (seconds)", ylabel="sample", title=title, ylim=(-1, 1))
    return axes


def draw_ratios(
    figures: Mapping[str, ArrayLike], *, title: str = "", quantity: str = "time"
) -> Any:
    """Draw a bar for each contender: how many times the first one's figure its own is.

    Parameters
    ----------
    figures : mapping of str to number or array-like, shape (rounds,)
        Such as `timing.compare` or `wire.sizes` give. Of several figures the median of the
        quotients is drawn, round by round, and a line from their lower to their upper quartile.
    title : str, optional
        Above the picture.
    quantity : str
        What the figures are, for the axis.

    Returns
    -------
    matplotlib.axes.Axes
        Logarithmic, with bars that begin at 1, when the largest is over 20 times the smallest.
    """
    first = next(iter(figures))
    base = np.asarray(figures[first], float)
    quotients = [np.atleast_1d(np.asarray(each, float) / base) for each in figures.values()]
    low, median, high = np.array([np.percentile(each, [25, 50, 75]) for each in quotients]).T
    wide = median.max() > _WIDE * median.min()
    axes = _bars(list(figures), title)
    axes.set(xlabel=f"{quantity} (times {first})", xscale="log" if wide else "linear")
    rows, left = range(len(median)), float(wide)
    axes.barh(rows, median - left, left=left, height=0.6, color="#56B4E9", edgecolor="black")
    if max(map(len, quotients)) > 1:
        lines = [median - low, high - median]
        axes.errorbar(median, rows, xerr=lines, fmt="none", ecolor="black", capsize=4)
    axes.axvline(1, color="black", lw=0.8, ls=":")
    for row, (value, start, end) in enumerate(zip(median, low, high, strict=True)):
        x, away, side = (start, -6, "right") if value < left else (end, 6, "left")
        where = {"xytext": (away, 0), "textcoords": "offset points", "ha": side, "va": "center"}
        axes.annotate(f"{_short(value)}x", (x, row), **where)
    axes.margins(x=0.2)  # room for the labels
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
    seconds = np.array([[getattr(each, part) for part in _PARTS] for each in timelines.values()])
    whole = seconds.sum(axis=1)
    shares = 100 * seconds.T / whole
    begins = np.cumsum(shares, axis=0) - shares
    rows, looks = range(len(whole)), {"height": 0.6, "edgecolor": "black"}
    for (part, (colour, hatch)), share, left in zip(_PARTS.items(), shares, begins, strict=True):
        axes.barh(rows, share, left=left, label=part, color=colour, hatch=hatch, **looks)
    for row, each in enumerate(whole):
        axes.text(101, row, f"{_short(1000 * each)} ms", va="center")
    axes.set(xlabel="share of the call (%)", xlim=(0, 100))
    axes.figure.legend(loc="outside lower center", ncols=len(_PARTS))
    return axes


def _bars(names: list[str], title: str) -> Any:
    """Return axes for a bar each, the first one on top."""
    import matplotlib.pyplot as plt  # only here: a call needs no picture

    _, axes = plt.subplots(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_title(title)
    return axes


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"


def _show(image: ArrayLike, title: str) -> Any:
    import matplotlib.pyplot as plt  # only here: a call needs no picture

    pixels = np.squeeze(np.asarray(image))
    height, width = pixels.shape[:2]
    _, axes = plt.subplots(figsize=(5, 5 * height / width + 0.6), layout="constrained")
    axes.imshow(pixels, cmap="gray")
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title=title)
    return axes


def _draw_box(axes: Any, box: Any, text: str) -> None:
    from matplotlib.patches import Rectangle  # 0.1 s

    ymin, xmin, ymax, xmax = box - 0.5  # the centre of the first pixel is 0, its edge -0.5
    # Orange on grey, and black on orange, can be told apart by every eye.
    axes.add_patch(
        Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, edgecolor="orange", lw=2)
    )
    label = {"facecolor": "orange", "lw": 0, "pad": 1}
    axes.text(xmin, ymin, text, va="bottom", color="black", bbox=label)
