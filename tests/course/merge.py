"""Brings a chapter that a student has worked in up to date, and keeps what the student wrote."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import nbformat

from tests.course.exercises import Cell, exercises

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
Digests = Mapping[str, str]  # of the cells as they were handed out, by their ids


class Merged(NamedTuple):
    """A chapter brought up to date.

    Parameters
    ----------
    notebook : NotebookNode
    replaced : bool
        Whether a text that the student had changed gave way to ours.
    changed : list of str
        Exercises that are others now than when the student wrote an answer.
    """

    notebook: Any
    replaced: bool
    changed: list[str]


def digest(cell: Cell) -> str:
    """Return what tells whether a cell was changed; running it is no change."""
    return hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()


def digests(notebook: Any) -> dict[str, str]:
    """Return the digests of a notebook's cells by their ids, which Jupyter keeps."""
    return {cell.id: digest(cell) for cell in notebook.cells}


def merge(ours: Any, theirs: Any, handed_out: Digests) -> Merged:
    """Put our chapter in place of a student's, with the student's answers and cells in it.

    A cell that only one side has changed is that side's. Where both have, an exercise is the
    student's, and everything else is ours. Cells that the student added, and cells of ours that
    are no more but were changed, stay behind the cell that they stood behind.

    Parameters
    ----------
    ours, theirs : NotebookNode
    handed_out : mapping of str to str
        Of the student's folder, when it was last written.
    """
    answers = {cell.id: exercise for exercise, cell in exercises(ours).items()}
    present = {cell.id: cell for cell in theirs.cells}
    own = _own_cells(theirs, {cell.id for cell in ours.cells}, handed_out)
    cells, replaced, changed = list(own[None]), False, []
    for cell in ours.cells:
        written = present.get(cell.id, cell)
        last = handed_out.get(cell.id)
        if digest(written) in (digest(cell), last):
            # Where both are alike, theirs has what it answered when they ran it.
            cells.append(written if digest(written) == digest(cell) else cell)
        elif cell.id in answers or last == digest(cell):
            cells.append(written)
            if last != digest(cell):
                changed.append(answers[cell.id])
        else:
            cells.append(cell)
            replaced = True
        cells += own[cell.id]
    notebook = nbformat.from_dict({**ours, "cells": cells})
    notebook.metadata = _metadata(ours.metadata, theirs.metadata)
    return Merged(notebook, replaced, changed)


def _own_cells(theirs: Any, ours: set[str], handed_out: Digests) -> dict[Any, list[Cell]]:
    """Return the student's own cells, by the id of our cell that they stand behind."""
    own: dict[Any, list[Cell]] = defaultdict(list)
    behind = None
    for cell in theirs.cells:
        if cell.id in ours:
            behind = cell.id
        elif handed_out.get(cell.id) != digest(cell):
            own[behind].append(cell)
    return own


def _metadata(ours: Any, theirs: Any) -> Any:
    """Return our metadata, with the state of the widgets on both sides: outputs of both stay."""
    metadata = nbformat.from_dict(dict(ours))
    mine, others = (one.get("widgets", {}).get(WIDGET_STATE, {}) for one in (ours, theirs))
    if others:
        state = {**others.get("state", {}), **mine.get("state", {})}
        metadata["widgets"] = nbformat.from_dict({WIDGET_STATE: {**others, **mine, "state": state}})
    return metadata
