"""The nbgrader course: no solution is released, and a submission gets the points that it earns."""

import copy
import csv
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.course import grading, student
from tests.course.exercises import exercises, solutions
from tests.course.test_student import assert_no_solution

NOTEBOOKS = student.ROOT / "notebooks"
CHAPTERS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
QUICK = ("00", "04")


def marks(name: str) -> list[pytest.MarkDecorator]:
    text = (NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8")
    return [
        *([] if name[:2] in QUICK else [pytest.mark.nightly]),
        *([pytest.mark.ray] if "%%needs ray" in text else []),
    ]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graded") / "course"
    list(student.write(folder, grading.contents(), grading.RECORD))
    return folder


def nbgrader(course: Path, *words: str) -> None:
    pytest.importorskip("nbgrader", reason="nbgrader is not installed: make test-course")
    # It starts alembic by its name.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *words],
        cwd=course,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def released(course: Path, name: str) -> Any:
    """Make the release version of a chapter, and return its notebook."""
    nbgrader(course, "generate_assignment", grading.assignment(name[:2]), "--force")
    path = course / "release" / grading.assignment(name[:2]) / f"{name}.ipynb"
    return nbformat.read(path, as_version=4)


def submit(course: Path, name: str, who: str, notebook: Any) -> None:
    folder = course / "submitted" / who / grading.assignment(name[:2])
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


def points(course: Path, name: str) -> dict[str, tuple[float, float]]:
    """Grade a chapter; return what each student has got, and the most that there is to get."""
    nbgrader(course, "autograde", grading.assignment(name[:2]))
    nbgrader(course, "export")
    with (course / "grades.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            row for row in csv.DictReader(file) if row["assignment"] == grading.assignment(name[:2])
        ]
    return {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in rows}


@pytest.mark.slow
def test_the_released_cells_are_those_of_the_chapter_and_have_no_line_of_a_solution(
    course: Path,
) -> None:
    files = {}
    for name in CHAPTERS:
        notebook = released(course, name)
        files[f"{name}.ipynb"] = student.packed(notebook)
        chapter = exercises(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
        assert {number: cell.source for number, cell in exercises(notebook).items()} == {
            number: cell.source for number, cell in chapter.items()
        }
    assert len(files) == len(CHAPTERS)
    assert_no_solution(files)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, id=name, marks=marks(name)) for name in CHAPTERS],
)
def test_a_submission_gets_the_points_that_it_earns(course: Path, name: str) -> None:
    answers = solutions(nbformat.read(NOTEBOOKS / "solutions" / f"{name}.ipynb", as_version=4))
    first, *others = answers
    empty = released(course, name)
    right, wrong = copy.deepcopy(empty), copy.deepcopy(empty)
    for number, cell in exercises(right).items():
        cell.source = grading.solved(cell, answers[number])
    cells = exercises(wrong)
    cells[first].source = grading.solved(cells[first], answers[first])
    for number in others:
        cells[number].source = cells[number].source.replace("...", "['wrong']", 1)
    cells[first].source += "\ncheck = print"
    wrong.cells = [cell for cell in wrong.cells if cell.id != f"points-{others[-1]}"]
    for who, notebook in {"empty": empty, "right": right, "wrong": wrong}.items():
        submit(course, name, who, notebook)
    assert points(course, name) == {
        "empty": (0, len(answers)),
        "right": (len(answers), len(answers)),
        "wrong": (1, len(answers)),
    }


def test_a_second_run_keeps_the_points_and_solutions_that_a_teacher_changed(course: Path) -> None:
    path = course / "source" / "chapter-03" / "03-rest-tensorflow-serving.ipynb"
    before = path.read_bytes()
    notebook = nbformat.reads(before.decode(), as_version=4)
    (graded,) = (cell for cell in notebook.cells if cell.id == "points-03-6")
    graded.metadata.nbgrader.points = 5
    cell = exercises(notebook)["03-6"]
    cell.source = cell.source.replace("### BEGIN SOLUTION", "### BEGIN SOLUTION\nmine = 1")
    changed = student.packed(notebook)
    path.write_bytes(changed)
    (course / "submitted" / "ada").mkdir(parents=True)
    (line,) = student.write(course, grading.contents(), grading.RECORD)
    assert " 0 of them written now" in line
    assert path.read_bytes() == changed
    assert (course / "submitted" / "ada").is_dir()
    (course / "submitted" / "ada").rmdir()
    path.write_bytes(before)


def test_no_students_folder_becomes_a_course(tmp_path: Path) -> None:
    (tmp_path / student.HANDED_OUT).write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.course.grading", str(tmp_path)],
        cwd=student.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "neither empty nor written by make course" in done.stderr
    assert os.listdir(tmp_path) == [student.HANDED_OUT]


def test_an_exercise_has_a_cell_to_fill_in_and_one_that_gives_its_points(course: Path) -> None:
    for name in CHAPTERS:
        path = course / "source" / grading.assignment(name[:2]) / f"{name}.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        marked = [cell.metadata.nbgrader for cell in cells if "nbgrader" in cell.metadata]
        answers = [one.grade_id for one in marked if one.solution]
        graded = [one.grade_id for one in marked if one.grade and one.locked and one.points == 1]
        assert answers == list(exercises(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)))
        assert graded == [f"points-{answer}" for answer in answers]


def test_links_lead_somewhere_beside_the_notebooks_of_the_students_folder(course: Path) -> None:
    present = [f"{name}/" for name in student.contents()]
    for path in (course / "source").rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            for _text, link, _anchor in student._LINK.findall(cell.source):
                target = os.path.normpath(f"{path.parent.name}/{link}").replace(os.sep, "/")
                assert "://" in link or any(name.startswith(f"{target}/") for name in present), (
                    f"{path.name}: {link}"
                )
