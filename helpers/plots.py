"""Pictures of answers: boxes on an image."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


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
    import matplotlib.pyplot as plt  # only here: a call needs no picture

    pixels = np.squeeze(np.asarray(image))
    height, width = pixels.shape[:2]
    _, axes = plt.subplots(figsize=(5, 5 * height / width + 0.6), layout="constrained")
    axes.imshow(pixels, cmap="gray")
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)", title=title)
    texts = [str(label) for label in np.asarray(labels).tolist()]
    if scores is not None:
        sure = np.asarray(scores, float).tolist()
        texts = [f"{text}: {score:.2f}" for text, score in zip(texts, sure, strict=True)]
    for box, text in zip(np.asarray(boxes, float).reshape(-1, 4), texts, strict=True):
        _draw_box(axes, box * [height, width, height, width], text)
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
