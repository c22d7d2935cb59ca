"""What is drawn: asserted on the figure's own data, not on pixels."""

import matplotlib
import numpy as np
import pytest

from helpers.plots import draw_boxes

matplotlib.use("agg")
BOX = [[0.25, 0.5, 0.75, 1.0]]


def test_a_box_lies_on_the_edges_of_its_pixels() -> None:
    axes = draw_boxes(np.zeros((8, 4)), BOX, [7])
    (patch,) = axes.patches
    # Rows 2 to 5 and columns 2 to 3 of an image whose first pixel is centred on 0.
    assert (patch.get_y(), patch.get_height()) == (1.5, 4)
    assert (patch.get_x(), patch.get_width()) == (1.5, 2)


def test_labels_carry_scores_and_axes_have_units() -> None:
    axes = draw_boxes(np.zeros((8, 4, 1)), BOX, [7], [0.912], title="one")
    assert [text.get_text() for text in axes.texts] == ["7: 0.91"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (pixels)", "y (pixels)")
    assert axes.get_title() == "one"


def test_no_box_is_a_picture_too() -> None:
    axes = draw_boxes(np.zeros((8, 4, 3)), np.zeros((0, 4)), [])
    assert not axes.patches


def test_boxes_and_labels_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        draw_boxes(np.zeros((8, 4)), BOX, [])
