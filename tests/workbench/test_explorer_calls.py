"""Sending off the main thread: order, errors, cancelling, and the calls so far as CSV."""

import csv
import datetime
import gc
import io
import threading
import warnings
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from helpers.ccai.answers import Face, Tag, TextItem
from helpers.ccai.speech import Speech
from helpers.endpoints import Endpoint
from helpers.errors import ConnectionFailed
from workbench.code.previews import Preview
from workbench.explorer.calls import Record, Request, Sending, joined, to_csv
from workbench.explorer.comparison import difference

HERE = Endpoint("tfserving", grpc="127.0.0.1:8500", rest="http://127.0.0.1:8501", model="m")


def request(call: Any, target: str = "m · s", payload: Any = None) -> Request:
    return Request(HERE, target, payload or {}, ("grpc", "rest"), call, lambda: Preview({}, {}, {}))


def sent(requests: list[Request], ways: tuple[str, ...]) -> Sending:
    over = threading.Event()

    def told(each: Sending) -> None:
        if each.ended:
            over.set()

    sending = Sending(requests, ways, told)
    sending.start()
    assert over.wait(20)
    return sending


def test_every_request_goes_over_the_first_protocol_and_then_over_the_second() -> None:
    requests = [request(lambda protocol, n=n: (n, protocol)) for n in range(3)]
    sending = sent(requests, ("grpc", "rest"))
    made = [each.answer for each in sending.records]
    assert made == [(n, protocol) for protocol in ("grpc", "rest") for n in range(3)]
    assert {each.status for each in sending.records} == {"OK"}


def test_calls_are_made_in_another_thread() -> None:
    made = sent([request(lambda protocol: threading.current_thread())], ("grpc",)).records[0].answer
    assert made is not threading.main_thread()
    assert made.daemon


def test_an_error_ends_its_protocol_and_not_the_other() -> None:
    def call(protocol: str) -> int:
        if protocol == "grpc":
            raise ConnectionFailed("Nobody is there.")
        return 1

    sending = sent([request(call)] * 3, ("grpc", "rest"))
    statuses = [(each.protocol, each.status) for each in sending.records]
    assert statuses == [("grpc", "ConnectionFailed"), *[("rest", "OK")] * 3]
    assert [each.message for each in sending.records] == ["Nobody is there.", "", "", ""]


def test_a_message_that_may_hold_a_secret_stays_out_of_the_csv() -> None:
    def call(protocol: str) -> None:
        raise ValueError("Invalid header value: s3cr3t")

    record = sent([request(call)], ("rest",)).records[0]
    assert (record.status, record.message) == ("ValueError", "")
    assert isinstance(record.error, ValueError)
    assert "s3cr3t" not in to_csv([record])


def test_what_was_sent_and_answered_is_known_when_its_arrays_are_gone() -> None:
    def made() -> list[Record]:
        payload = {"x": np.zeros((1, 2), "float32")}

        def call(protocol: str) -> dict[str, np.ndarray]:
            if protocol == "rest":
                raise ConnectionFailed("Nobody is there.") from ValueError(payload)
            return {"y": np.array([b"a"], object)}

        return sent([request(call, payload=payload)], ("grpc", "rest")).records

    def in_csv(records: list[Record]) -> list[tuple[str, str, str]]:
        rows = csv.DictReader(io.StringIO(to_csv(records), newline=""))
        return [(row["sent"], row["answered"], row["message"]) for row in rows]

    whole = made()
    dropped = [each.without_arrays() for each in whole]
    assert (
        in_csv(dropped)
        == in_csv(whole)
        == [
            ("x float32 [1, 2]", "y string [1]", ""),
            ("x float32 [1, 2]", "", "Nobody is there."),
        ]
    )
    gone = weakref.ref(whole[0].request.payload["x"])
    del whole
    gc.collect()
    assert gone() is None


def test_cancel_ends_at_once_and_the_late_answer_is_thrown_away() -> None:
    begun, go, gone = threading.Event(), threading.Event(), threading.Event()

    def call(protocol: str) -> int:
        begun.set()
        go.wait(20)
        gone.set()
        return 1

    told: list[bool] = []
    sending = Sending([request(call)] * 2, ("grpc",), lambda each: told.append(each.ended))
    sending.start()
    assert begun.wait(20)
    sending.cancel()
    assert sending.ended
    assert [each.status for each in sending.records] == ["cancelled"]
    go.set()
    assert gone.wait(20)
    sending.thread.join(20)
    sending.cancel()  # once more changes nothing
    assert [each.status for each in sending.records] == ["cancelled"]
    assert told == [True]


def test_cancelled_between_two_calls_the_next_one_is_not_made() -> None:
    made, over = [], threading.Event()

    def told(each: Sending) -> None:
        each.cancel()
        over.set()

    requests = [request(lambda protocol, n=n: made.append(n)) for n in range(3)]
    sending = Sending(requests, ("grpc",), told)
    sending.start()
    assert over.wait(20)
    sending.thread.join(20)
    assert made == [0]
    assert [each.status for each in sending.records] == ["OK", "cancelled"]


def record(**changes: Any) -> Record:
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, 6000, datetime.UTC)
    values: dict[str, Any] = {
        "request": request(None, payload={"x": np.zeros((1, 2), "float32")}),
        "protocol": "grpc",
        "began": now,
        "seconds": {"encode": 0.001, "wait": 0.25},
        "sent": "x float32 [1, 2]",
        "answered": "y string [1]",
    }
    return Record(**values | changes)


def test_every_call_is_a_line_of_the_csv() -> None:
    failed = record(status="ConnectionFailed", message="Nobody, is there.", protocol="rest")
    rows = list(csv.DictReader(io.StringIO(to_csv([record(), failed]), newline="")))
    assert [row["call"] for row in rows] == ["1", "2"]
    assert rows[0]["time"] == "2026-01-02T03:04:05.006+00:00"
    assert (rows[0]["encode (ms)"], rows[0]["connect (ms)"], rows[0]["total (ms)"]) == (
        "1.000",
        "",
        "251.000",
    )
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
    payload, answer = joined(parts)
    assert payload["x"].shape == (2, 2)
    assert answer["y"].tolist() == [[1, 1, 1]] * 2 + [[2, 2, 2]] * 2


def test_what_does_not_fit_together_stays_the_last_answer() -> None:
    scalar = [record(answer={"y": np.float32(n).reshape(())}) for n in (1, 2)]
    assert joined(scalar)[1]["y"] == 2
    text = [record(answer=text) for text in ("a", "b")]
    assert joined(text)[1] == "b"


NOT_A_NUMBER = "place one is NaN and the other is not."


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"y": np.array([1.0, np.nan])}, {"y": np.array([1.0, np.nan])}, "Both answers are equal."),
        ({"y": np.ones(1)}, {"y": np.array([1.25])}, "The answers differ: y by at most 0.25."),
        (
            {"y": np.array([b"a"], object)},
            {"y": np.array([b"b"], object)},
            "The answers differ: y.",
        ),
        ({"y": np.ones(1)}, {"y": np.ones(2)}, "The answers differ: y has the shapes [1] and [2]."),
        (
            {"y": np.ones(1)},
            {"z": np.ones(1)},
            "The answers differ: y is in one of them only; z is in one of them only.",
        ),
        (
            {"y": np.array([np.nan])},
            {"y": np.ones(1)},
            f"The answers differ: y, in 1 {NOT_A_NUMBER}",
        ),
        (
            {"y": np.array([np.nan, 2])},
            {"y": np.array([1.0, 2])},
            f"The answers differ: y, in 1 {NOT_A_NUMBER}",
        ),
        (
            {"y": np.array([np.nan, 1, np.nan, 2, np.nan])},
            {"y": np.array([1, np.nan, 3, 2.5, np.nan])},
            f"The answers differ: y by at most 0.5, in 3 {NOT_A_NUMBER.replace('place', 'places')}",
        ),
        (
            {"y": np.array([np.inf, 2])},
            {"y": np.array([np.inf, 2.5])},
            "The answers differ: y by at most 0.5.",
        ),
        ({"y": np.array([np.inf])}, {"y": np.ones(1)}, "The answers differ: y by at most inf."),
        (
            {"y": np.array([1j, 2])},
            {"y": np.array([1j, 2 + 3j])},
            "The answers differ: y by at most 3.",
        ),
        (
            {"y": np.array([2.0, np.nan]).astype(ml_dtypes.bfloat16)},
            {"y": np.array([1.5, np.nan]).astype(ml_dtypes.bfloat16)},
            "The answers differ: y by at most 0.5.",
        ),
        (
            {"y": np.array([np.nan]).astype(ml_dtypes.bfloat16)},
            {"y": np.array([np.nan]).astype(ml_dtypes.bfloat16)},
            "Both answers are equal.",
        ),
        (
            {"y": np.array([2**60])},
            {"y": np.array([2**60 + 1])},
            "The answers differ: y by at most 1.",
        ),
        (
            {"y": np.array([2**63 - 1, 0])},
            {"y": np.array([-(2**63), 0])},
            f"The answers differ: y by at most {2**64 - 1:,}.",
        ),
        (
            {"y": np.array([2**64 - 1], np.uint64)},
            {"y": np.zeros(1, np.uint64)},
            f"The answers differ: y by at most {2**64 - 1:,}.",
        ),
        (
            {"y": np.array([2**64 - 1], np.uint64)},
            {"y": np.array([-1])},
            f"The answers differ: y by at most {2**64:,}.",
        ),
        (
            {"y": np.array([100], np.int8)},
            {"y": np.array([-100], np.int8)},
            "The answers differ: y by at most 200.",
        ),
        (
            {"y": np.array([7, -8]).astype(ml_dtypes.int4)},
            {"y": np.array([-8, -8])},
            "The answers differ: y by at most 15.",
        ),
        ({"y": np.array([True])}, {"y": np.array([False])}, "The answers differ: y by at most 1."),
        (np.array([1, 2]), np.array([1, 2]), "Both answers are equal."),
        (np.array([[1, 2]]), np.array([[1, 5]]), "The answers differ: values by at most 3."),
        (
            np.zeros((1, 35, 2)),
            np.zeros((2, 35, 2)),
            "The answers differ: values has the shapes [1, 35, 2] and [2, 35, 2].",
        ),
        ("a", "a", "Both answers are equal."),
        (["a"], ["b"], "The answers differ."),
    ],
)
def test_two_answers_are_compared(one: Any, other: Any, told: str) -> None:
    with warnings.catch_warnings(action="error"):
        assert difference(one, other) == told


POINTS = np.arange(70).reshape(1, 35, 2)
SAID = Speech(np.zeros(9, "float32"), 8000)


@pytest.mark.parametrize(
    ("one", "equal", "another"),
    [
        ([POINTS], [POINTS.copy()], [POINTS + 1]),
        ([POINTS], [POINTS.copy()], [POINTS[:, :3]]),
        ([POINTS], [POINTS.copy()], [POINTS.tolist()]),
        ([POINTS], [POINTS.copy()], [POINTS, POINTS]),
        ([POINTS], [POINTS.copy()], None),
        (POINTS, POINTS.copy(), "text"),
        ({"a": [{"b": POINTS}]}, {"a": [{"b": POINTS.copy()}]}, {"a": [{"b": -POINTS}]}),
        ({"a": POINTS, "b": 1}, {"b": 1, "a": POINTS.copy()}, {"a": POINTS, "c": 1}),
        (Tag("a", np.ones(2)), Tag("a", np.ones(2)), Tag("a", np.zeros(2))),  # type: ignore[arg-type]
        (SAID, Speech(SAID.samples.copy(), 8000), Speech(SAID.samples, 16000)),
        (SAID, Speech(SAID.samples.copy(), 8000), Speech(SAID.samples + 1, 8000)),
        (
            [TextItem("a", (1, 2, 3, 4), (0.5,))],
            [TextItem("a", (1, 2, 3, 4))],
            [TextItem("b", (1, 2, 3, 4), (0.5,))],
        ),
        ([Face(1, 2, 3, 4)], [Face(1, 2, 3, 4)], [Face(1, 2, 3, 5)]),
        (
            np.array([POINTS, None], object),
            np.array([POINTS.copy(), None], object),
            np.array([POINTS + 1, None], object),
        ),
        (np.array([1], "M8[D]"), np.array([1], "M8[D]"), np.array([1])),
    ],
    ids=[
        "list",
        "shape",
        "no array",
        "length",
        "None",
        "text",
        "JSON",
        "names",
        "tuple",
        "rate",
        "sound",
        "items",
        "faces",
        "objects",
        "dates",
    ],
)
def test_arrays_are_compared_wherever_they_are(one: Any, equal: Any, another: Any) -> None:
    assert difference(one, equal) == "Both answers are equal."
    assert difference(one, another).startswith("The answers differ")
    assert difference(another, one).startswith("The answers differ")


def test_answers_nested_deeply_are_compared() -> None:
    one: Any = POINTS
    other: Any = POINTS.copy()
    for _ in range(5000):
        one, other = [one], [other]
    assert difference(one, other) == "Both answers are equal."
