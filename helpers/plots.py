"""Pictures of answers: boxes and points on an image, and the waveform of a sound."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from helpers.ccai_answers import Face, TextItem
    from helpers.speech import Speech


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


def _show(image: ArrayLike, title: str) -> Any:
    import matplotlib.pyplot as plt  # only here: a call needs no picture

    pixels = np.squeeze(np.asarray(image))
    height, width = pixels.shape[:2]
    _, axes = plt.subplots(figsize=(5, 5 * height / width + 0.6), layout="constrained")
    axes.imshow(pixels, cmap="gray")
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title=title)
    return axes


def _draw_box(axes: Any, box: Any, text: str) -> None:
    from matplotlib.patches import Rectangle

    ymin, xmin, ymax, xmax = box - 0.5  # the centre of the first pixel is 0, its edge -0.5
    # Orange on grey, and black on orange, can be told apart by every eye.
    axes.add_patch(
        Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, edgecolor="orange", lw=2)
    )
    label = {"facecolor": "orange", "lw": 0, "pad": 1}
    axes.text(xmin, ymin, text, va="bottom", color="black", bbox=label)
