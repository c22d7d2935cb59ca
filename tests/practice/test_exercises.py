"""`check`: right answers are solved, also in another form; wrong ones are told what is wrong."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from helpers.errors import BadInput
from practice import check, exercises, manager
from practice.launch import ROOT
from tests.course import exercises as course

NOTEBOOKS = ROOT / "notebooks"
CHAPTERS = sorted(
    path.stem.removeprefix("chapter")
    for path in Path(exercises.__path__[0]).glob("chapter[0-9][0-9].py")
)


def answers(chapter: str) -> ModuleType:
    return importlib.import_module(f"tests.practice.exercises.chapter{chapter}")


RIGHT = [(f"{c}-{n}", answer) for c in CHAPTERS for n, answer in answers(c).RIGHT.items()]
WRONG = [
    pytest.param(f"{chapter}-{number}", answer, id=f"{chapter}-{number}-{index}")
    for chapter in CHAPTERS
    for number, wrong in answers(chapter).WRONG.items()
    for index, answer in enumerate(wrong)
]


@pytest.fixture(autouse=True)
def services(request: pytest.FixtureRequest) -> None:
    if "exercise" in request.fixturenames:
        chapter = request.getfixturevalue("exercise").partition("-")[0]
        manager.up(*answers(chapter).SERVICES)


@pytest.mark.parametrize(("exercise", "answer"), RIGHT, ids=[name for name, _ in RIGHT])
def test_a_right_answer_in_another_form_is_solved(exercise: str, answer: Callable[[], Any]) -> None:
    assert repr(check(exercise, answer())) == f"✓ {exercise}: solved."


@pytest.mark.parametrize(("exercise", "answer"), WRONG)
def test_a_wrong_answer_is_told_what_is_wrong(exercise: str, answer: Callable[[], Any]) -> None:
    verdict = check(exercise, answer())
    assert not verdict.solved
    assert verdict.comment.endswith((".", "?"))
    assert verdict.comment not in ("solved.", "not solved yet.")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_exercise_has_an_answer_of_another_form_and_three_wrong_ones(chapter: str) -> None:
    names = exercises.numbers(chapter)
    assert 4 <= len(names) <= 6 or chapter == "00"
    numbers = {int(name.partition("-")[2]) for name in names}
    assert answers(chapter).RIGHT.keys() == answers(chapter).WRONG.keys() == numbers
    assert min(map(len, answers(chapter).WRONG.values())) >= 3


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_and_its_solutions_have_all_exercises_of_their_number(chapter: str) -> None:
    (path,) = NOTEBOOKS.glob(f"{chapter}-*.ipynb")
    cells = course.exercises(nbformat.read(path, 4))
    assert list(cells) == exercises.numbers(chapter)
    for number, cell in cells.items():
        assert re.fullmatch(rf'(\w+) = \.\.\.\n\ncheck\("{number}", \1\)', cell.source), cell.source
    solved = course.solutions(nbformat.read(NOTEBOOKS / "solutions" / path.name, 4))
    assert list(solved) == exercises.numbers(chapter)
    assert all(solved.values())


def test_a_function_that_fails_on_a_message_is_told_which() -> None:
    comment = check("08-5", answers("08").one_byte_numbers).comment
    assert comment.startswith("for a number over 127 (`08 ac 02`): your function raised IndexError")


def test_what_is_no_exercise_is_said() -> None:
    with pytest.raises(BadInput, match=r"There is no exercise '04-9'. There are: 04-1, 04-2"):
        check("04-9", 1)
    with pytest.raises(BadInput, match="none in that chapter"):
        check("99-1", 1)
    with pytest.raises(BadInput, match="none in that chapter"):
        check("../x", 1)


def test_an_answer_that_is_not_given_is_not_solved() -> None:
    assert repr(check("04-1", ...)) == "· 04-1: not solved yet."
