"""`make bench` and `make bench-check`: what they make of figures; nothing is timed here."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import tables
from tests.benchmarks import __main__ as bench
from tests.benchmarks import contenders, import_client, picture, ready
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio, seconds

KEPT = Row("a kept one", "1.5x", [at_most(1.5, 2)])
MISSED_BY_14 = Row("a near one", "2.28x", [at_most(2.28, 2)])
MISSED_BY_16 = Row("a far one", "1.68x; 1.0x", [at_least(1.68, 2), at_most(1.0, 1)])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the command, with these rows as what was measured."""
    table, results = tmp_path / "measured.md", tmp_path / "results.json"
    table.write_text("before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n")
    monkeypatch.setitem(tables.FILES, "bench", table)
    monkeypatch.setattr(bench, "_HERE", tmp_path)
    monkeypatch.setattr(bench, "QUESTIONS", ("import_client",))
    monkeypatch.setattr(bench, "CHECKED", ("import_client",))

    def run(*words, rows):
        monkeypatch.setattr(import_client, "measure", lambda: rows)
        status = bench.main(words)
        written = json.loads(results.read_text()) if results.exists() else None
        return status, table.read_text(), written

    return run


@pytest.mark.parametrize(
    ("bound", "missed"),
    [
        (at_most(2.28, 2), 0.14),
        (at_most(2.32, 2), 0.16),
        (at_most(1.0, 2), -0.5),
        (at_least(1.72, 2), 0.14),
        (at_least(1.68, 2), 0.16),
        (at_least(3.0, 2), -0.5),
        (at_most(-0.5, 5, " MB"), -1.1),
    ],
)
def test_a_miss_is_a_part_of_the_limit(bound, missed):
    assert bound.missed == pytest.approx(missed)
    row = Row("", "", [bound])
    assert row.kept() == (missed <= 0)
    assert row.kept(0.15) == (missed <= 0.15)


def test_what_is_just_reached_is_kept():
    assert Row("", "", [at_most(2, 2), at_least(2, 2)]).kept()


def test_one_missed_bound_of_several_is_a_miss():
    assert not MISSED_BY_16.kept(0.15)
    assert MISSED_BY_16.promised == "at least 2x (MISSED); at most 1x"


def test_no_number_is_never_kept():
    assert not Row("", "", [at_most(float("nan"), 2)]).kept(0.15)
    assert "MISSED" in Row("", "", [at_most(float("nan"), 2)]).promised


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (at_most(1, 1.15), "at most 1.15x"),
        (at_least(200, 100), "at least 100x"),
        (at_most(50, 60, " MB"), "at most 60 MB"),
    ],
)
def test_a_promise_is_a_text(bound, text):
    assert Row("", "", [bound]).promised == text


def test_a_row_without_promises_is_kept():
    assert Row("for information", "3x").kept()
    assert Row("for information", "3x").promised == ""


def test_the_check_passes_what_is_missed_by_14_percent(run, capsys):
    status, table, written = run("--check", rows=[KEPT, MISSED_BY_14])
    assert status == 0
    assert "Every promise is kept, or missed by at most 15%." in capsys.readouterr().out
    assert "old" in table
    assert written is None


def test_the_check_names_what_is_missed_by_16_percent(run, capsys):
    status, table, written = run("--check", rows=[KEPT, MISSED_BY_14, MISSED_BY_16])
    assert status == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSED by")]
    assert lines == [
        "MISSED by 16%: a far one: 1.68x; 1.0x; promised: at least 2x (MISSED); at most 1x"
    ]
    assert "old" in table
    assert written is None


def test_a_run_of_all_writes_the_table_and_the_results(run):
    status, table, written = run(rows=[KEPT, MISSED_BY_14])
    assert status == 1  # without --check nothing is tolerated
    assert "| a kept one | 1.5x | at most 2x |" in table
    assert "| a near one | 2.28x | at most 2x (MISSED) |" in table
    assert table.startswith("before")
    assert table.endswith("after\n")
    assert [row["bounds"] for row in written["rows"]] == [
        [{"figure": 1.5, "side": "at most", "limit": 2, "unit": "x"}],
        [{"figure": 2.28, "side": "at most", "limit": 2, "unit": "x"}],
    ]


def test_a_run_of_some_writes_nothing(run, capsys):
    status, table, written = run("import_client", rows=[KEPT])
    assert status == 0
    assert "| a kept one | 1.5x | at most 2x |" in capsys.readouterr().out
    assert "old" in table
    assert written is None


@pytest.mark.parametrize("words", [["nothing"], ["--check", "nothing"]])
def test_an_unknown_question_is_refused_with_the_known_ones(words, capsys):
    with pytest.raises(SystemExit) as raised:
        bench.main(words)
    assert raised.value.code == 2
    assert "no question nothing; there are import_client, codec" in capsys.readouterr().err


def test_help_names_questions_and_the_check():
    command = [sys.executable, "-m", "tests.benchmarks", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 0
    assert "--check" in done.stdout
    assert "round_trip" in done.stdout


@pytest.mark.parametrize("question", bench.QUESTIONS)
def test_each_question_can_be_measured(question):
    assert callable(importlib.import_module(f"tests.benchmarks.{question}").measure)


def test_the_check_asks_for_known_questions():
    assert set(bench.CHECKED) <= set(bench.QUESTIONS)


def test_contenders_take_turns_and_the_first_turn_does_not_count():
    turns = iter(range(6))
    assert interleaved([lambda: next(turns), lambda: next(turns)], rounds=2) == [[2, 4], [3, 5]]


def test_a_ratio_is_the_median_round_by_round():
    assert ratio([2, 30, 4], [1, 3, 4]) == 2


def test_an_import_is_measured_as_installed(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert seconds("import sys; assert not sys.dont_write_bytecode")() > 0


def test_a_contender_that_cannot_run_is_told(monkeypatch):
    monkeypatch.setattr(contenders, "python", lambda: sys.executable)
    with (
        contenders.running("codec", "nobody") as ask,
        pytest.raises(RuntimeError, match="contenders.codec nobody has ended"),
    ):
        ask("encode (1, 4)")()


def test_the_ready_server_is_one_that_predict_can_call():
    from helpers import errors, tfserving

    with ready.served((4,), (1, 3)) as endpoint:
        answer = tfserving.predict(endpoint, {"x": np.zeros((2, 4), np.float32)})
        with pytest.raises(errors.BadInput, match="float32"):
            tfserving.predict(endpoint, {"x": np.zeros((2, 5), np.float32)})
    assert answer["y"].tolist() == [[0.5, 0.5, 0.5]]


def test_the_plot_is_the_same_file_again(tmp_path):
    series = {"size in bytes": [16, 64], "memory copy": [1e-6, 2e-6], "ours": [2e-6, 3e-6]}
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        picture.draw(series, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size < 100_000
