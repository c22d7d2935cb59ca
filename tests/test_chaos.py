"""The clients of `make chaos` notice what they are there to notice."""

import collections
import time

import pytest

import practice
from helpers.endpoints import Endpoint
from tests import tables
from tests.chaos import clients, scenarios


def _pass(seconds: float) -> None:
    time.sleep(seconds)  # what is measured, not what is waited for


def test_calls_that_fail_are_counted_by_their_error() -> None:
    nobody = Endpoint("tfserving", grpc="127.0.0.1:1")
    with clients.calling({"tfserving": lambda: nobody}) as outcomes:
        _pass(1.0)
    found = outcomes["tfserving"]
    assert found.right == 0
    assert found.errors["ConnectionFailed"] == found.calls > 0
    assert found.wrong == []


def test_a_wrong_answer_and_a_foreign_exception_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(endpoint: Endpoint) -> bool:
        raise ZeroDivisionError

    for call, words in ((lambda endpoint: False, "a wrong answer"), (broken, "ZeroDivisionError")):
        monkeypatch.setitem(clients.CALLS, "tfserving", [call])
        with clients.calling({"tfserving": lambda: Endpoint("tfserving")}) as outcomes:
            _pass(0.1)
        assert words in outcomes["tfserving"].wrong[0]


def test_a_call_that_takes_too_long_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "DEADLINE", 0.1)
    monkeypatch.setattr(clients, "SLACK", 0.1)

    def slow(endpoint: Endpoint) -> bool:
        _pass(0.4)
        return True

    monkeypatch.setitem(clients.CALLS, "tfserving", [slow])
    with clients.calling({"tfserving": lambda: Endpoint("tfserving")}) as outcomes:
        _pass(0.1)
    assert "it took 0.4 s" in outcomes["tfserving"].wrong


def test_with_well_services_every_call_is_right() -> None:
    with (
        practice.private("tfserving") as service,
        clients.calling({"tfserving": lambda: service}) as outcomes,
    ):
        _pass(0.5)
    assert outcomes["tfserving"].share == 1


def test_the_table_has_a_row_for_each_scenario() -> None:
    table = tables.read("chaos")
    for key, (what, _) in scenarios.SCENARIOS.items():
        assert f"| {key} | {what} |" in table


@pytest.mark.parametrize(
    ("failures", "calls", "missed"),
    [
        (0, 800, False),
        (1, 800, False),
        (5, 800, False),
        (8, 800, True),
        (160, 800, True),
        (10, 9000, False),
        (30, 9000, True),
        (9000, 9000, True),
    ],
)
def test_a_promise_is_missed_only_where_chance_does_not_explain_it(
    failures: int, calls: int, missed: bool
) -> None:
    counted = collections.Counter({"ConnectionFailed": failures})
    assert clients.Outcome(calls - failures, counted).misses(0.999) is missed
