"""The number of public reports in the docs is the number of reports that pass."""

import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "practice-services.md"
SENTENCE = r"(\d+) of (\d+) public reports .* \((\d+ \w+ \d{4})\)"


def reports() -> Iterator[tuple[int, Any]]:
    """Yield the number of the report that a test is about, and the test."""
    for file in HERE.glob("test_*.py"):
        module = importlib.import_module(f"tests.field.{file.stem}")
        for name, test in vars(module).items():
            if number := re.match(r"test_(\d\d)_", name):
                yield int(number[1]), test


def passes(test: Any) -> bool:
    """Whether neither a test nor one of its parameters is expected to fail."""
    marks = list(getattr(test, "pytestmark", []))
    for mark in tuple(marks):
        if mark.name == "parametrize":
            marks += [own for values in mark.args[1] for own in getattr(values, "marks", ())]
    return all(mark.name != "xfail" for mark in marks)


def test_the_docs_say_how_many_public_reports_pass() -> None:
    numbered = defaultdict(list)
    for number, test in reports():
        numbered[number].append(passes(test))
    assert sorted(numbered) == list(range(1, max(numbered) + 1))
    stated = re.search(SENTENCE, PAGE.read_text(encoding="utf-8"))
    assert stated
    passing = sum(map(all, numbered.values()))
    assert (int(stated[1]), int(stated[2])) == (passing, len(numbered))
    assert datetime.strptime(stated[3], "%d %B %Y").replace(tzinfo=UTC) <= datetime.now(UTC)
