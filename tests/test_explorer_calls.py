"""Sending off the main thread: order, errors, cancelling, and the calls so far as CSV."""

import csv
import datetime
import gc
import io
import threading
import weakref
from typing import Any

import numpy as np
import pytest

from helpers.endpoints import Endpoint
from helpers.errors import ConnectionFailed
from helpers.explorer import merging
from helpers.explorer.calls import Record, Request, Sending, to_csv
from helpers.explorer.connections import Preview

HERE = Endpoint("tfserving", grpc="127.0.0.1:8500", rest="http://127.0.0.1:8501", model="m")


def request(call: Any, target: str = "m · s", given: Any = None) -> Request:
    return Request(HERE, target, given or {}, ("grpc", "rest"), call, lambda: Preview({}, {}, {}))


def sent(requests: list[Request], ways: tuple[str, ...]) -> Sending:
    over = threading.Event()

    def told(each: Sending) -> None:
        if each.over:
            over.set()

    sending = Sending(requests, ways, told)
    sending.start()
    assert over.wait(20)
    return sending


def test_every_request_goes_over_the_first_way_and_then_over_the_second() -> None:
    requests = [request(lambda way, n=n: (n, way)) for n in range(3)]
    sending = sent(requests, ("grpc", "rest"))
    made = [each.answer for each in sending.records]
    assert made == [(n, way) for way in ("grpc", "rest") for n in range(3)]
    assert {each.status for each in sending.records} == {"OK"}


def test_calls_are_made_in_another_thread() -> None:
    made = sent([request(lambda way: threading.current_thread())], ("grpc",)).records[0].answer
    assert made is not threading.main_thread()
    assert made.daemon


def test_an_error_ends_its_way_and_not_the_other() -> None:
    def call(way: str) -> int:
        if way == "grpc":
            raise ConnectionFailed("Nobody is there.")
        return 1

    sending = sent([request(call)] * 3, ("grpc", "rest"))
    statuses = [(each.over, each.status) for each in sending.records]
    assert statuses == [("grpc", "ConnectionFailed"), *[("rest", "OK")] * 3]
    assert [each.message for each in sending.records] == ["Nobody is there.", "", "", ""]


def test_a_message_that_may_hold_a_secret_stays_out_of_the_csv() -> None:
    def call(way: str) -> None:
        raise ValueError("Invalid header value: s3cr3t")

    record = sent([request(call)], ("rest",)).records[0]
    assert (record.status, record.message) == ("ValueError", "")
    assert isinstance(record.error, ValueError)
    assert "s3cr3t" not in to_csv([record])


def test_what_was_sent_and_answered_is_known_when_its_arrays_are_gone() -> None:
    def made() -> list[Record]:
        given = {"x": np.zeros((1, 2), "float32")}

        def call(way: str) -> dict[str, np.ndarray]:
            if way == "rest":
                raise ConnectionFailed("Nobody is there.") from ValueError(given)
            return {"y": np.array([b"a"], object)}

        return sent([request(call, given=given)], ("grpc", "rest")).records

    def in_csv(records: list[Record]) -> list[tuple[str, str, str]]:
        rows = csv.DictReader(io.StringIO(to_csv(records), newline=""))
        return [(row["sent"], row["answered"], row["message"]) for row in rows]

    whole = made()
    dropped = [each.without_arrays() for each in whole]
    assert in_csv(dropped) == in_csv(whole) == [
        ("x float32 [1, 2]", "y string [1]", ""), ("x float32 [1, 2]", "", "Nobody is there."),
    ]  # fmt: skip
    gone = weakref.ref(whole[0].request.given["x"])
    del whole
    gc.collect()
    assert gone() is None


def test_cancel_ends_at_once_and_the_late_answer_is_thrown_away() -> None:
    begun, go, gone = threading.Event(), threading.Event(), threading.Event()

    def call(way: str) -> int:
        begun.set()
        go.wait(20)
        gone.set()
        return 1

    told: list[bool] = []
    sending = Sending([request(call)] * 2, ("grpc",), lambda each: told.append(each.over))
    sending.start()
    assert begun.wait(20)
    sending.cancel()
    assert sending.over
    assert [each.status for each in sending.records] == ["cancelled"]
    go.set()
    assert gone.wait(20)
    sending._thread.join(20)
    sending.cancel()  # once more changes nothing
    assert [each.status for each in sending.records] == ["cancelled"]
    assert told == [True]


def record(**changes: Any) -> Record:
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, 6000, datetime.UTC)
    values: dict[str, Any] = {
        "request": request(None, given={"x": np.zeros((1, 2), "float32")}),
        "over": "grpc",
        "began": now,
        "seconds": {"encode": 0.001, "wait": 0.25},
        "sent": "x float32 [1, 2]",
        "answered": "y string [1]",
    }
    return Record(**values | changes)


def test_every_call_is_a_line_of_the_csv() -> None:
    failed = record(status="ConnectionFailed", message="Nobody, is there.", over="rest")
    rows = list(csv.DictReader(io.StringIO(to_csv([record(), failed]), newline="")))
    assert [row["call"] for row in rows] == ["1", "2"]
    assert rows[0]["time"] == "2026-01-02T03:04:05.006+00:00"
    assert (rows[0]["encode (ms)"], rows[0]["connect (ms)"], rows[0]["total (ms)"]) == (
        "1.000", "", "251.000",
    )  # fmt: skip
    assert (rows[0]["sent"], rows[0]["answered"]) == ("x float32 [1, 2]", "y string [1]")
    assert (rows[0]["address"], rows[1]["address"]) == ("127.0.0.1:8500", "http://127.0.0.1:8501")
    assert (rows[1]["status"], rows[1]["message"]) == ("ConnectionFailed", "Nobody, is there.")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_name_from_a_server_is_no_formula_in_a_spreadsheet(name: str) -> None:
    found = record(request=request(None, target=name))
    row = next(csv.DictReader(io.StringIO(to_csv([found]), newline="")))
    assert row["target"] == f"'{name}"


def test_parts_of_a_batch_come_together_again() -> None:
    parts = [record(answer={"y": np.full((2, 3), n)}) for n in (1, 2)]
    given, answer = merging.joined(parts)
    assert given["x"].shape == (2, 2)
    assert answer["y"].tolist() == [[1, 1, 1]] * 2 + [[2, 2, 2]] * 2


def test_what_does_not_fit_together_stays_the_last_answer() -> None:
    scalar = [record(answer={"y": np.float32(n).reshape(())}) for n in (1, 2)]
    assert merging.joined(scalar)[1]["y"] == 2
    text = [record(answer=text) for text in ("a", "b")]
    assert merging.joined(text)[1] == "b"


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"y": np.array([1.0, np.nan])}, {"y": np.array([1.0, np.nan])}, "Both answers are equal."),
        ({"y": np.ones(1)}, {"y": np.array([1.25])}, "The answers differ: y by at most 0.25."),
        ({"y": np.array([b"a"], object)}, {"y": np.array([b"b"], object)},
         "The answers differ: y."),
        ({"y": np.ones(1)}, {"y": np.ones(2)}, "The answers differ: y has the shapes [1] and [2]."),
        ({"y": np.ones(1)}, {"z": np.ones(1)},
         "The answers differ: y is in one of them only; z is in one of them only."),
        ({"y": np.array([np.nan])}, {"y": np.ones(1)}, "The answers differ: y."),
        ("a", "a", "Both answers are equal."),
        (["a"], ["b"], "The answers differ."),
    ],
)  # fmt: skip
def test_two_answers_are_compared(one: Any, other: Any, told: str) -> None:
    assert merging.difference(one, other) == told
