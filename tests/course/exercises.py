"""Which cells of a chapter are exercises, and which cells of its solutions answer them.

Whoever needs to know asks here: the student's version, and the tests.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from nbformat.v4 import new_code_cell

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

    They stand between the exercise's question and the line that checks it, or in its cell. What
    they use of the notebook's first imports comes before them: a chapter may not have it.
    """
    answers: dict[str, list[Cell]] = {}
    collected: list[Cell] = []
    first: list[Cell] = []
    for cell in notebook.cells:
        if _QUESTION.match(cell.source):
            first = first or collected
            collected = []
        elif exercise := number(cell):
            above = cell.source.partition(f'check("{exercise}"')[0].strip()
            if above:
                collected.append(new_code_cell(above))
            imports = _imports(first, collected)
            answers[exercise] = [new_code_cell(imports), *collected] if imports else collected
        elif cell.cell_type == "code":
            collected.append(cell)
    return answers


def _imports(first: list[Cell], answer: list[Cell]) -> str:
    """Return the imports of the first cells that an answer uses."""
    used = {node.id for node in _nodes(answer) if isinstance(node, ast.Name)}
    lines = []
    for node in _nodes(first):
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [
                alias
                for alias in node.names
                if (alias.asname or alias.name).partition(".")[0] in used
            ]
            if node.names:
                lines.append(ast.unparse(node))
    return "\n".join(lines)


def _nodes(cells: list[Cell]) -> Iterator[ast.AST]:
    for cell in cells:
        code = "\n".join(
            line for line in cell.source.split("\n") if not line.startswith(("%", "!"))
        )
        yield from ast.walk(ast.parse(code))
