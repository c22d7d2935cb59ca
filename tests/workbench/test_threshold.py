"""The slider for the score above which a candidate counts."""

import numpy as np
import pytest

from workbench.threshold import ThresholdSlider

BOXES = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0, 0.5, 1, 1]]


@pytest.fixture
def slider() -> ThresholdSlider:
    return ThresholdSlider(np.zeros((8, 8)), BOXES, [6, 4, 0], [0.94, 0.75, 0.02])


def test_it_begins_with_the_candidates_above_one_half(slider: ThresholdSlider) -> None:
    assert "2 of 3 candidates have a score above 0.50." in slider.words.value
    assert 'alt="The picture with boxes around: 6: 0.94, 4: 0.75."' in slider.picture.value


def test_moving_it_draws_what_is_above_it_now(slider: ThresholdSlider) -> None:
    before = slider.picture.value
    slider.threshold.value = 0.8
    assert "1 of 3 candidates has a score above 0.80." in slider.words.value
    assert 'alt="The picture with boxes around: 6: 0.94."' in slider.picture.value
    assert slider.picture.value != before
    slider.threshold.value = 0
    assert "3 of 3" in slider.words.value


def test_a_score_that_is_the_threshold_is_not_above_it(slider: ThresholdSlider) -> None:
    slider.threshold.value = 1
    assert "0 of 3 candidates have" in slider.words.value
    assert "around: nothing." in slider.picture.value
    slider.threshold.value = 0.75
    assert "1 of 3" in slider.words.value
