"""What `check("04-1", answer)` knows of the chapters' exercises: a module for each chapter.

A check says whether an answer is right, or what is still wrong with it; never what is right.
"""

import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from helpers.errors import BadInput, explain
from helpers.language import _

# A student's copy has the modules packed in there: nobody shall read an answer by accident.
__path__.append(str(Path(__file__).with_name("checks.zip")))

# Raises Wrong; returns the calls that a reader's client has made for it, if there were any.
Check = Callable[[Any], Iterable[Any] | None]


class Wrong(Exception):
    """An answer is not right; the text says in what, for the reader who gave it."""

    calls: tuple[Any, ...] = ()


class Verdict(NamedTuple):
    """What a check found.

    Parameters
    ----------
    exercise : str
    solved : bool
    comment : str
        For the reader.
    calls : tuple of Call
        For whoever grades: what a reader's client sent while it was checked. They say which
        method, path and fields, not what was in them.
    """

    exercise: str
    solved: bool
    comment: str
    calls: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        sign = "✓" if self.solved else "·"
        return f"{sign} {self.exercise}: {self.comment}"


def check(exercise: str, answer: Any) -> Verdict:
    """Tell whether an answer to an exercise is right.

    Parameters
    ----------
    exercise : str
        Chapter and number, such as `04-1`.
    answer : Any
        What the exercise asks for. `...` is no answer yet.

    Returns
    -------
    Verdict
        Printed, it says `solved`, `not solved yet`, or what is still wrong.

    Raises
    ------
    BadInput
        When there is no such exercise.

    Examples
    --------
    >>> check("04-1", ...)
    · 04-1: not solved yet.
    """
    judge = _judge(exercise)
    if answer is ...:
        return Verdict(exercise, False, _("not solved yet."))
    try:
        calls = judge(answer) or ()
    except Wrong as error:
        return Verdict(exercise, False, str(error), error.calls)
    return Verdict(exercise, True, _("solved."), tuple(calls))


def run(function: Any, *arguments: Any) -> Any:
    """Call a reader's function; Wrong says what it raised."""
    if not callable(function):
        raise Wrong(
            _(
                "the answer is a function, without parentheses behind its name; this is a {type}.",
                type=type(function).__name__,
            )
        )
    try:
        return function(*arguments)
    except Exception as error:  # whatever it is, it is the reader's, who has to see it
        explanation = explain(error)
        line = (explanation.happened.strip() or explanation.title).splitlines()[0].rstrip(".")
        raise Wrong(
            _("your function raised {kind}: {line}.", kind=explanation.title, line=line)
        ) from error


def expect(holds: bool, comment: str) -> None:
    """Raise Wrong with this comment, unless something holds."""
    if not holds:
        raise Wrong(comment)


def whole_number(answer: Any) -> int:
    """Return the number that a reader gave; Wrong when it is none."""
    try:
        return int(answer)
    except (TypeError, ValueError) as error:
        raise Wrong(_("the answer is a whole number.")) from error


def numbers(chapter: str) -> list[str]:
    """Return the exercises of a chapter, such as `04`, in their order."""
    return [f"{chapter}-{number}" for number in _checks(chapter)]


def _judge(exercise: str) -> Check:
    chapter, _dash, number = exercise.partition("-")
    checks = _checks(chapter)
    if not number.isdecimal() or int(number) not in checks:
        listed = ", ".join(numbers(chapter)) or _("none in that chapter")
        raise BadInput(
            _("There is no exercise {name!r}. There are: {listed}.", name=exercise, listed=listed)
        )
    return checks[int(number)]


def _checks(chapter: str) -> dict[int, Check]:
    if not re.fullmatch(r"\d\d", chapter):
        return {}
    try:
        module = importlib.import_module(f"practice.exercises.chapter{chapter}")
    except ModuleNotFoundError:
        return {}
    return module.CHECKS
