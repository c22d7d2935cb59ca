"""`make soak` in small; and it notices what it is there to notice."""

import numpy as np
import pytest

from helpers import tfserving
from tests.soak import __main__ as soak
from tests.soak import clients


def test_nothing_is_lost_while_models_change() -> None:
    result = soak.run(600)
    assert result.problems == []
    assert sum(each.right for each in result.outcomes.values()) == 600


def test_wrong_answers_and_lost_calls_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tfserving.predict

    def predict(endpoint, inputs, *, protocol: str, **more):
        found = real(endpoint, inputs, protocol=protocol, **more)
        if protocol == "rest":  # after the call: whoever fails at once would take all requests
            raise ZeroDivisionError("for a try")
        return {name: np.nextafter(a, 2) if a.dtype == "f4" else a for name, a in found.items()}

    monkeypatch.setattr(clients.tfserving, "predict", predict)
    result = soak.run(600)
    assert result.outcomes["grpc"].wrong == result.outcomes["grpc"].calls > 0
    assert result.outcomes["rest"].lost.total() == result.outcomes["rest"].calls > 0
    assert any("ZeroDivisionError: for a try" in each for each in result.problems)
    assert any("wrong answers" in each for each in result.problems)
