"""What is drawn: asserted on the figure's own data, not on pixels."""

from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
from matplotlib.figure import Figure

from workbench.plots import draw_boxes, draw_ratios, draw_timeline, show
from workbench.timing import Timeline

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


def texts_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def names_of(axes: Any) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_bars_are_as_long_as_the_ratios() -> None:
    axes = draw_ratios({"ours": 2, "theirs": 7, "third": 30}, title="one", quantity="bytes")
    assert [bar.get_width() for bar in axes.patches] == [1, 3.5, 15]
    assert {bar.get_x() for bar in axes.patches} == {0}
    assert texts_of(axes) == ["1x", "3.5x", "15x"]
    assert names_of(axes) == ["ours", "theirs", "third"]
    assert (axes.get_xlabel(), axes.get_title()) == ("bytes (times ours)", "one")


def test_the_first_bar_is_on_top() -> None:
    axes = draw_ratios({"ours": 1, "theirs": 2})
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == [0, 1]


def test_whiskers_are_the_quartiles_of_each_rounds_quotient() -> None:
    axes = draw_ratios({"ours": [1, 10, 1, 1, 1], "theirs": [2, 20, 3, 4, 5]})
    assert axes.patches[1].get_width() == 3  # of 2, 2, 3, 4, 5
    (whiskers,) = axes.collections
    assert [line[:, 0].tolist() for line in whiskers.get_segments()] == [[1, 1], [2, 4]]


def test_plain_numbers_have_no_whiskers() -> None:
    assert not draw_ratios({"ours": 1, "theirs": 2}).collections


@pytest.mark.parametrize(("largest", "scale"), [(20, "linear"), (20.1, "log")])
def test_a_wide_range_is_drawn_on_a_logarithmic_axis(largest: float, scale: str) -> None:
    assert draw_ratios({"ours": 1, "theirs": largest}).get_xscale() == scale


def test_on_a_logarithmic_axis_bars_begin_at_the_first_one() -> None:
    axes = draw_ratios({"ours": 10, "more": 3000, "less": 1})
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.array(bars) == pytest.approx(np.array([(1, 1), (1, 300), (1, 0.1)]))
    assert [(text.get_text(), text.get_ha()) for text in axes.texts] == [
        ("1x", "left"),
        ("300x", "left"),
        ("0.1x", "right"),
    ]


CALLS = {
    "small": Timeline(9.0, 0.001, 0.002, 0.004, 0.002, 0.001, {}),
    "large": Timeline(0.0, 0.5, 0.5, 0.0, 0.5, 0.5, {}),
}


def test_the_parts_of_a_call_are_shares_one_after_the_other() -> None:
    axes = draw_timeline(CALLS, title="two calls")
    by_call = list(zip(*(list(part) for part in axes.containers), strict=True))
    shares = [[bar.get_width() for bar in bars] for bars in by_call]
    assert shares == [pytest.approx([10, 20, 40, 20, 10]), pytest.approx([25, 25, 0, 25, 25])]
    begins = [bar.get_x() for bar in by_call[0]]
    assert begins == pytest.approx([0, 10, 30, 70, 90])
    assert names_of(axes) == ["small", "large"]
    assert texts_of(axes) == ["10 ms", "2,000 ms"]
    assert (axes.get_xlabel(), axes.get_title()) == ("share of the call (%)", "two calls")


def test_parts_are_told_apart_without_colours() -> None:
    axes = draw_timeline(CALLS)
    (legend,) = axes.figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["encode", "send", "wait", "receive", "decode"]
    assert len({part[0].get_hatch() for part in axes.containers}) == 5
    assert len({part[0].get_facecolor() for part in axes.containers}) == 5


def test_a_picture_has_a_text_for_those_who_do_not_see_it() -> None:
    shown = show(np.zeros((2, 2, 3), "uint8"), 'A "black" square')
    assert repr(shown) == 'A "black" square'
    assert '<img alt="A &quot;black&quot; square" src="data:' in shown._repr_html_()
    assert '<img alt="Nothing" src="data:' in show(Figure(), "Nothing")._repr_html_()
    boxes = draw_boxes(np.zeros((4, 4)), [[0, 0, 1, 1]], [7], title="seven")
    assert boxes.figure.get_label() == "seven: a picture with boxes around: 7."
    assert 'alt="Seven"' in show(boxes.figure, "Seven")._repr_html_()
    none = draw_boxes(np.zeros((4, 4)), [], [])
    assert none.figure.get_label() == "A picture with boxes around: nothing."


def test_a_notebook_shows_one_picture_as_the_cell_left_it() -> None:
    source = (
        "from workbench.plots import draw_ratios\n"
        "axes = draw_ratios({'ours': 1})\n"
        "axes.figure.set_size_inches(3, 1)\n"
        "print('printed')"
    )
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, [source, "1"])))
    nbclient.execute(notebook, kernel_name="python3")
    first, second = (cell.outputs for cell in notebook.cells)
    assert [output.output_type for output in first] == ["stream", "display_data"]
    assert set(first[1].data) == {"text/html", "text/plain"}
    alt = "A bar for each of these, time as times of the first: ours."
    assert first[1].data["text/plain"] == alt
    assert first[1].data["text/html"].startswith(f'<img alt="{alt}" src="data:image/png;base64,')
    assert [output.output_type for output in second] == ["execute_result"]
