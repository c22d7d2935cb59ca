"""`make course`: the chapters as an nbgrader course, with solutions, hidden tests and points.

What students get of it is the release version, which `nbgrader generate_assignment` makes.
"""

import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell

from tests.course import student
from tests.course.exercises import Cell, number, solutions

RECORD = ".course.json"  # what the course was when it was last written
POINTS = 1  # of an exercise
CONFIG = '''"""How nbgrader makes and grades the chapters."""

c = get_config()
c.CourseDirectory.course_id = "over-the-wire"
c.ClearSolutions.code_stub = {"python": ""}  # a chapter's own cells say where to write
c.Execute.timeout = 300  # seconds for a cell: the first call of a service may load its engine
'''
_SIBLING = re.compile(r"\]\((\d\d-[^)]*\.ipynb)")


def main() -> int:
    """Write the course, or bring it up to date; returns the exit status."""
    advice = (
        "It has the solutions: keep it to yourself. What students get of a chapter is made there "
        "by: nbgrader generate_assignment chapter-04"
    )
    return student.make("course", __doc__, contents, RECORD, advice)


def contents() -> dict[str, bytes]:
    """Return the files of the course, by their names in its folder."""
    files = {"nbgrader_config.py": CONFIG.encode()}
    for name, content in student.contents().items():
        if name.endswith(".ipynb"):
            file = Path(name).name
            chapter = nbformat.reads(content.decode(), as_version=4)
            path = student.ROOT / "notebooks" / "solutions" / file
            answers = solutions(nbformat.read(path, as_version=4))
            files[f"source/{assignment(file[:2])}/{file}"] = student.packed(
                _graded(chapter, answers)
            )
    return files


def assignment(chapter: str) -> str:
    """Return nbgrader's name of a chapter, such as `chapter-04` of `04`."""
    return f"chapter-{chapter}"


def solved(cell: Cell, answers: list[Cell], *, begin: str = "", end: str = "") -> str:
    """Return the source of an exercise's cell with its solution in it, between two lines."""
    empty, _blank, last = cell.source.split("\n")
    code = "\n\n".join(answer.source for answer in answers)
    return "\n".join([empty, begin, code, end, last])


def _graded(chapter: Any, answers: dict[str, list[Cell]]) -> Any:
    """Put solutions and hidden tests into a chapter."""
    cells = []
    for cell in chapter.cells:
        # Beside the students' folder `notebooks`, where the release version is put.
        if cell.cell_type == "markdown":
            cell.source = _SIBLING.sub(r"](../notebooks/\1", cell.source)
        cells.append(cell)
        if exercise := number(cell):
            last = cell.source.rpartition("\n")[2]
            answer = last.partition(", ")[2].rstrip(")")
            cell.source = solved(
                cell, answers[exercise], begin="### BEGIN SOLUTION", end="### END SOLUTION"
            )
            cell.metadata["nbgrader"] = _metadata(exercise, solution=True)
            cells.append(_hidden_test(exercise, answer))
    chapter.cells = cells
    chapter.metadata.pop("widgets", None)  # of outputs that the release version does not have
    return chapter


def _hidden_test(exercise: str, answer: str) -> Cell:
    # Imported here, or whoever gives `check` another meaning would have all points.
    source = f"""# {POINTS} point for exercise {exercise}: this cell is filled when it is graded.
### BEGIN HIDDEN TESTS
from practice import exercises

verdict = exercises.check("{exercise}", {answer})
print(verdict, *verdict.calls, sep="\\n")
assert verdict.solved
### END HIDDEN TESTS"""
    name = f"points-{exercise}"
    return new_code_cell(
        source, id=name, metadata={"nbgrader": _metadata(name, grade=True, points=POINTS)}
    )


def _metadata(name: str, *, solution: bool = False, grade: bool = False, **more: Any) -> Any:
    """Return what nbgrader has to know of a cell that is either filled in or graded."""
    return {
        "schema_version": 3,
        "grade_id": name,
        "cell_type": "code",
        "solution": solution,
        "grade": grade,
        "locked": grade,
        "task": False,
        **more,
    }


if __name__ == "__main__":
    sys.exit(main())
