"""`make bench` prints the table and, of all questions, writes it to docs and results.json.

`make bench-check` writes nothing; it fails when a promise is missed by more than 15 %.
"""

import argparse
import dataclasses
import importlib
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
from tqdm import tqdm

from tests import tables
from tests.benchmarks import picture
from tests.benchmarks.measure import Row

CHECKED = ("import_client", "codec", "round_trip", "many", "rest_predict")
QUESTIONS = (
    *CHECKED,
    "sizes",
    "start_service",
    "ccai",
    "modelarts",
    "failures",
    "serving",
    "rest_json",
    "start_lab",
    "panel",
    "explorer",
    "first_chapter",
)
_TOLERANCE = 0.15
_HERE = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> int:
    """Run the questions; the exit status counts the rows whose promises are not kept."""
    asked = _arguments(words)
    questions = asked.questions or (CHECKED if asked.check else QUESTIONS)
    rows = [
        row
        for question in tqdm(questions, unit="question")
        for row in importlib.import_module(f"tests.benchmarks.{question}").measure()
    ]
    table = "| what | measured | promised |\n|---|---|---|\n" + "".join(
        f"| {row.what} | {row.measured} | {row.promised} |\n" for row in rows
    )
    print(table)
    if asked.check:
        return _check(rows)
    if not asked.questions:
        _write(rows, table)
    return sum(not row.kept() for row in rows)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "questions",
        nargs="*",
        help=f"of {', '.join(QUESTIONS)}; all if none, with --check {', '.join(CHECKED)}",
    )
    parser.add_argument("--check", action="store_true", help="tolerate 15 %% and write nothing")
    asked = parser.parse_args(words)
    unknown = set(asked.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    return asked


def _check(rows: Sequence[Row]) -> int:
    failed = [row for row in rows if not row.kept(_TOLERANCE)]
    for row in failed:
        worst = max(bound.missed for bound in row.bounds)
        print(f"MISSED by {worst:.0%}: {row.what}: {row.measured}; promised: {row.promised}")
    if not failed:
        print(f"Every promise is kept, or missed by at most {_TOLERANCE:.0%}.")
    return len(failed)


def _write(rows: Sequence[Row], table: str) -> None:
    machine = (
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    )
    results = {"machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}
    (_HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    for row in rows:
        if row.series:
            picture.draw(row.series)
    tables.write("bench", f"{table}\nMeasured on: {machine}.\n")


if __name__ == "__main__":
    sys.exit(main())
