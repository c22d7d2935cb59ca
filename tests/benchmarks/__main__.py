"""`make bench`: prints the table, and writes it to README.md and results.json."""

import argparse
import dataclasses
import importlib
import json
import platform
import sys
from pathlib import Path

import psutil
from tqdm import tqdm

from tests import readme

QUESTIONS = (
    "import_client",
    "start_service",
    "ccai",
    "modelarts",
    "failures",
    "serving",
    "rest_json",
    "start_lab",
    "panel",
    "first_chapter",
)
_HERE = Path(__file__).parent


def main() -> int:
    """Run all questions, or those named; the exit status counts promises not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", help=f"of {', '.join(QUESTIONS)}; all if none")
    asked = parser.parse_args().questions
    unknown = set(asked) - set(QUESTIONS)
    if unknown:
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(QUESTIONS)}")
    rows = [
        row
        for question in tqdm(asked or QUESTIONS, unit="question")
        for row in importlib.import_module(f"tests.benchmarks.{question}").measure()
    ]
    table = "| what | measured | promised |\n|---|---|---|\n" + "".join(
        f"| {row.what} | {row.measured} | {row.promised}{'' if row.kept else ' (MISSED)'} |\n"
        for row in rows
    )
    print(table)
    if not asked:
        _write(rows, table)
    return sum(not row.kept for row in rows)


def _write(rows: list, table: str) -> None:
    machine = (
        f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}"
    )
    results = {"machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}
    (_HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    readme.write("bench", f"{table}\nMeasured on: {machine}.\n")


if __name__ == "__main__":
    sys.exit(main())
