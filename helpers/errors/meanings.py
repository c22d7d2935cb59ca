"""What an error means: the table `meanings.csv`, and its row for an exception, a code or a text.

A row is found by a part of an error's text, or by a type: `grpc.NOT_FOUND`, `http.404`,
`requests.ReadTimeout`. Its columns `means` and `check` are for people; `error` and `sentence` are
the class and the text of the CallError that a failed call is raised as, for rows that make one.
"""

import functools
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "meanings.csv")


class Meaning(NamedTuple):
    """One row."""

    of: str
    match: str
    means: str
    check: str
    error: str
    sentence: str


def sentences() -> Iterator[str]:
    """Yield the table's sentences, as they stand in it and are looked up in a catalogue."""
    by_text, by_type = table()
    for row in (*by_text, *by_type.values()):
        yield from filter(None, (row.means, row.sentence, *checks(row)))


def checks(row: Meaning) -> list[str]:
    """Return what a row says to check, a sentence each."""
    return row.check.split(" ;; ") if row.check else []


@functools.cache
def table() -> tuple[list[Meaning], dict[str, Meaning]]:
    """Read the table: the rows found by a text, in order, and those found by a type."""
    import csv  # optional: calls that succeed need none of it

    with open(_TABLE, encoding="utf-8", newline="") as file:
        rows = [Meaning(**row) for row in csv.DictReader(file)]
    by_type = {row.match.removeprefix("type:"): row for row in rows if row.match[:5] == "type:"}
    return [row for row in rows if row.match[:5] != "type:"], by_type


def find(text: str, types: Iterable[str]) -> Iterator[Meaning]:
    """Yield the rows that fit, the most telling one first: texts say more than types."""
    by_text, by_type = table()
    yield from (row for row in by_text if row.match in text)
    yield from (by_type[name] for name in types if name in by_type)


def types_of(error: BaseException) -> Iterator[str]:
    """Yield the types of an exception: its gRPC code, its HTTP status, its classes."""
    code = getattr(error, "code", None)
    if callable(code):
        yield f"grpc.{code().name}"
    status = getattr(getattr(error, "response", None), "status_code", code)
    if isinstance(status, int):
        yield f"http.{status}"
    for cls in type(error).__mro__:
        yield f"{cls.__module__.partition('.')[0].lstrip('_')}.{cls.__name__}"
