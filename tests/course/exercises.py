"""Which cells of a chapter are exercises, and which cells of its solutions answer them.

Whoever needs to know asks here: the student's version, and the tests.
"""

import re
from typing import Any

Cell = Any  # NotebookNode
_CHECK = re.compile(r'^check\("(\d\d-\d)", (\w+)\)$', re.M)
_QUESTION = re.compile(r"\*\*(\d)\.\*\* ")


def number(cell: Cell) -> str | None:
    """Return the exercise that a cell checks, such as `03-1`; None if it checks none."""
    match = _CHECK.search(cell.source) if cell.cell_type == "code" else None
    return match[1] if match else None


def exercises(chapter: Any) -> dict[str, Cell]:
    """Return the cells of a chapter in which a reader works, by the exercise's number."""
    return {exercise: cell for cell in chapter.cells if (exercise := number(cell))}


def solutions(notebook: Any) -> dict[str, list[Cell]]:
    """Return the code cells that answer an exercise in a notebook of solutions, by its number.

    They stand between the exercise's question and the line that checks it.
    """
    answers: dict[str, list[Cell]] = {}
    collected: list[Cell] = []
    for cell in notebook.cells:
        if _QUESTION.match(cell.source):
            collected = []
        elif exercise := number(cell):
            answers[exercise] = collected
        elif cell.cell_type == "code":
            collected.append(cell)
    return answers
