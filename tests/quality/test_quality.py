"""The engines are as good as docs/practice-services.md says they have to be."""

import pytest

from tests.quality.measure import all_figures


@pytest.mark.slow
def test_every_engine_is_good_enough() -> None:
    figures = all_figures()
    assert len(figures) >= 5
    poor = [
        figure for figure in figures if figure.least is not None and figure.right < figure.least
    ]
    assert not poor
