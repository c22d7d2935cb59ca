"""The syllabus: its slots are short enough, and have each chapter's own minutes and headings."""

import itertools
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
TEACHING = ROOT / "docs" / "teaching"
CHAPTERS = {
    path.stem[:2]: [cell.source for cell in nbformat.read(path, 4).cells]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
PLANNED = [chapter for chapter in CHAPTERS if chapter != "10"]  # which needs more than the others
LONGEST = 45  # minutes of a slot


class Row(NamedTuple):
    slot: int
    chapter: str
    start: str
    stop: str
    teach: int
    exercises: int
    quiz: int


def rows() -> list[Row]:
    text = (TEACHING / "syllabus.md").read_text(encoding="utf-8")
    cells = re.findall(
        r"^\| (\d+) \| (\d\d) \| (.+) \| (.+) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.M
    )
    return [Row(int(n), c, a, b, int(t), int(e), int(q)) for n, c, a, b, t, e, q in cells]


def headings(chapter: str) -> list[str]:
    return re.findall(r"^## (.+)$", "\n".join(CHAPTERS[chapter]), re.M)


def test_there_are_12_to_15_slots_in_which_there_is_time_to_breathe() -> None:
    minutes = Counter[int]()
    for row in rows():
        minutes[row.slot] += row.teach + row.exercises + row.quiz
    assert list(minutes) == list(range(1, len(minutes) + 1))
    assert 12 <= len(minutes) <= 15
    assert max(minutes.values()) <= LONGEST


@pytest.mark.parametrize("chapter", PLANNED)
def test_a_chapter_has_the_minutes_that_it_names_itself(chapter: str) -> None:
    parts = [row for row in rows() if row.chapter == chapter]
    teach, exercises = sum(row.teach for row in parts), sum(row.exercises for row in parts)
    stated = re.search(
        r"\*Time:\* (\d+) minutes(?:, and (\d+) for the exercises)?", CHAPTERS[chapter][0]
    )
    assert stated
    if stated[2]:
        assert (teach, exercises) == (int(stated[1]), int(stated[2]))
    else:
        assert teach + exercises == int(stated[1])
    listed = re.findall(rf"^\| {chapter} \|.*\| (\d+) minutes \|$", "\n".join(CHAPTERS["00"]), re.M)
    assert listed == [str(teach + exercises)]
    assert [row.quiz for row in parts if row.quiz] == [5]


@pytest.mark.parametrize("chapter", PLANNED)
def test_the_slots_go_through_a_chapter_from_heading_to_heading(chapter: str) -> None:
    parts = [row for row in rows() if row.chapter == chapter]
    listed = headings(chapter)
    assert parts[0].start == "the beginning"
    for part, following in itertools.pairwise(parts):
        gap = listed[listed.index(part.stop) + 1 : listed.index(following.start)]
        assert set(gap) <= {"Questions", "In this chapter"}


@pytest.mark.parametrize("name", ["quizzes.md", "quiz-answers.md"])
def test_each_chapter_has_five_questions_and_five_answers(name: str) -> None:
    text = (TEACHING / name).read_text(encoding="utf-8")
    parts = re.split(r"^## (\d\d) .*$", text, flags=re.M)[1:]
    assert parts[::2] == list(CHAPTERS)
    for part in parts[1::2]:
        assert re.findall(r"^(\d)\. ", part, re.M) == list("12345")


def test_each_chapter_has_goals_needs_and_what_goes_wrong() -> None:
    text = (TEACHING / "in-class.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (\d\d) .*$", text, flags=re.M)[1:]
    assert parts[::2] == list(CHAPTERS)
    for part in parts[1::2]:
        for word in ("**Needs**", "**Goals**", "| what happens | what to say |"):
            assert word in part
