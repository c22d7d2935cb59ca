"""A slider for the score above which a detector's candidates count (a widget)."""

import ipywidgets as w
import numpy as np
from numpy.typing import ArrayLike

from helpers.language import _, plural
from workbench.plots import Picture, png, with_boxes


class ThresholdSlider(w.VBox):
    """A slider from 0 to 1, and the boxes on the picture whose score is above it.

    Parameters
    ----------
    image : array-like, shape (height, width)
        Grey, from 0 to 1.
    boxes : array-like, shape (n, 4)
        ymin, xmin, ymax, xmax, each from 0 to 1.
    labels : array-like, shape (n,)
        What is in each box.
    scores : array-like, shape (n,)
    threshold : float
        At the beginning.
    """

    def __init__(
        self,
        image: ArrayLike,
        boxes: ArrayLike,
        labels: ArrayLike,
        scores: ArrayLike,
        threshold: float = 0.5,
    ) -> None:
        self._pixels = (255 * np.asarray(image)).round().astype(np.uint8)[..., np.newaxis]
        height, width = self._pixels.shape[:2]
        corners = np.asarray(boxes, float)[:, [1, 0, 3, 2]]
        self._corners = corners * [width, height, width, height]
        self._labels = np.asarray(labels)
        self._scores = np.asarray(scores, float)
        self.threshold = w.FloatSlider(
            threshold,
            min=0,
            max=1,
            step=0.01,
            description=_("threshold"),
            continuous_update=False,
            layout=w.Layout(width="30em"),
        )
        self.words = w.HTML()
        self.picture = w.HTML()
        super().__init__([self.threshold, self.words, self.picture])
        self.threshold.observe(lambda change: self._draw(), "value")
        self._draw()

    def __repr__(self) -> str:
        return "ThresholdSlider()"

    def _draw(self) -> None:
        kept = self._scores > self.threshold.value
        labels = self._labels[kept].tolist()
        scores = self._scores[kept].tolist()
        texts = [f"{label}: {score:.2f}" for label, score in zip(labels, scores, strict=True)]
        words = plural(
            "{count} of {total} candidates has a score above {threshold:.2f}.",
            "{count} of {total} candidates have a score above {threshold:.2f}.",
            len(texts),
            total=len(kept),
            threshold=self.threshold.value,
        )
        # A screen reader tells what changes in a place with this role.
        self.words.value = f'<span role="status">{words}</span>'
        figure = with_boxes(self._pixels, self._corners[kept], texts)
        alt = _("The picture with boxes around: {labels}.", labels=", ".join(texts) or _("nothing"))
        self.picture.value = Picture(png(figure), alt)._repr_html_()
