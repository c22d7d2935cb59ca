"""The student's folder: nothing of a solution in it, it runs, an update keeps what they wrote."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from tests.course import student
from tests.course.exercises import exercises, solutions

ROOT = student.ROOT
CHAPTER = "notebooks/03-rest-tensorflow-serving.ipynb"
TRIVIAL = 20  # letters of a line that many programs have


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return student.contents()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("course") / "student"
    list(student.write(folder, files))
    return folder


@pytest.fixture
def few(files: dict[str, bytes]) -> dict[str, bytes]:
    """Enough of the folder to be brought up to date."""
    return {
        name: files[name]
        for name in (CHAPTER, "docs/glossary.md", "docs/proxies.md", "helpers/tables.py")
    }


@pytest.fixture
def folder(tmp_path: Path, few: dict[str, bytes]) -> Path:
    list(student.write(tmp_path / "ada", few))
    return tmp_path / "ada"


def notebooks(pattern: str) -> list[Any]:
    return [nbformat.read(path, 4) for path in sorted((ROOT / "notebooks").glob(pattern))]


def lines(text: str) -> list[str]:
    """Return the lines, and in a text what stands between backticks, with single spaces."""
    return [" ".join(line.split()) for line in re.split(r"\n|\\n|`", text)]


def telling(line: str) -> bool:
    return len(line) >= TRIVIAL and not line.startswith(("import ", "from ", "#"))


def words(name: str, content: bytes) -> str:
    """Return what a person can read in a file, also in the cells of a notebook."""
    text = content.decode(errors="replace")
    if not name.endswith(".ipynb"):
        return text
    cells = nbformat.reads(text, 4).cells
    outputs = json.dumps([cell.get("outputs") for cell in cells], ensure_ascii=False)
    return "\n".join([*(cell.source for cell in cells), outputs])


def test_no_line_of_a_solution_is_in_it(files: dict[str, bytes]) -> None:
    assert_no_solution(files)


def assert_no_solution(files: dict[str, bytes]) -> None:
    """Look for each line of a solution that the chapters do not have anyway."""
    chapters = notebooks("*.ipynb")
    asked = [cell for chapter in chapters for cell in exercises(chapter).values()]
    cells = [cell for chapter in chapters for cell in chapter.cells if cell not in asked]
    taught = {line for cell in cells for line in lines(cell.source)}  # by a hint, too
    answers = [
        [line for line in lines(cell.source) if line and line not in taught]
        for notebook in notebooks("solutions/*.ipynb")
        for cells in solutions(notebook).values()
        for cell in cells
    ]
    single = {line for answer in answers for line in answer if telling(line)}
    pairs = {pair for answer in answers for pair in itertools.pairwise(answer)}
    pairs = {pair for pair in pairs if all(map(telling, pair))}
    assert len(single) > 100
    assert len(pairs) > 50
    for name, content in files.items():
        present = lines(words(name, content))
        if name.endswith(".py"):
            # Our own programs call the same libraries: one line may be alike, two in a row not.
            assert not pairs.intersection(itertools.pairwise(present)), name
        else:
            assert not single.intersection(present), name


def test_solutions_tests_and_pages_for_teachers_are_not_in_it(files: dict[str, bytes]) -> None:
    assert not [name for name in files if re.search(r"solutions|^tests|teaching|conftest", name)]
    assert "practice/exercises/chapter03.py" not in files
    for name, content in files.items():
        if name.endswith((".md", ".ipynb")):
            assert "solutions/" not in words(name, content), name
            assert "teaching/" not in words(name, content), name


def test_links_lead_somewhere_in_it(whole: Path) -> None:
    for path in [*whole.rglob("*.md"), *whole.rglob("*.ipynb")]:
        text = words(path.name, path.read_bytes())
        for _text, link, _anchor in student._LINK.findall(text):
            assert "://" in link or (path.parent / link).exists(), f"{path}: {link}"


def test_make_lists_in_it_what_it_can_do(files: dict[str, bytes]) -> None:
    makefile = files["Makefile"].decode()
    assert re.findall(r"^([a-z-]+):.*?## ", makefile, re.M) == student.TARGETS
    assert "tests" not in makefile


def test_the_checks_run_in_it(whole: Path) -> None:
    code = (
        "import practice; from practice import check; print(practice.__file__);"
        'print(check("08-1", (10, 2))); print(check("08-1", (2, 10))); print(check("03-1", ...))'
    )
    environment = {**os.environ, "PYTHONPATH": str(whole)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=whole,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    home, right, wrong, empty = done.stdout.splitlines()
    assert Path(home).is_relative_to(whole)
    assert right == "✓ 08-1: solved."
    assert wrong == "· 08-1: the field's number comes first, then the type."
    assert empty == "· 03-1: not solved yet."


def test_a_second_run_writes_nothing(whole: Path, files: dict[str, bytes]) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    (line,) = student.write(whole, files)
    assert " 0 of them written now" in line
    del stamps[whole / student.HANDED_OUT]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


# What a student did, and what an update makes of it. The first text, code cell and exercise.
TEXT, CODE, EXERCISE = "03-01", "03-08", "43df3c87"


def work(folder: Path, *, name: str = CHAPTER) -> Any:
    return nbformat.read(folder / name, 4)


def change(notebook: Any, cell_id: str, source: str) -> None:
    next(cell for cell in notebook.cells if cell.id == cell_id).source = source


def source(notebook: Any, cell_id: str) -> str:
    return next(cell.source for cell in notebook.cells if cell.id == cell_id)


def next_edition(few: dict[str, bytes], edit: Callable[[Any], None]) -> dict[str, bytes]:
    notebook = nbformat.reads(few[CHAPTER].decode(), 4)
    edit(notebook)
    return {**few, CHAPTER: student.packed(notebook)}


def both(cell_id: str, source: str) -> Callable[[Any], None]:
    return lambda notebook: change(notebook, cell_id, source)


def test_an_update_keeps_answers_and_added_cells_and_brings_new_text(
    folder: Path, few: dict[str, bytes]
) -> None:
    notebook = work(folder)
    change(notebook, EXERCISE, 'row_answer = mine\n\ncheck("03-1", row_answer)')
    at = [cell.id for cell in notebook.cells].index(CODE)
    notebook.cells.insert(at + 1, new_code_cell("a trial", id="trial"))
    notebook.cells.insert(0, new_markdown_cell("my name", id="name"))
    nbformat.write(notebook, folder / CHAPTER)

    (line,) = student.write(folder, next_edition(few, both(TEXT, "New text.")))
    notebook = work(folder)
    assert " 1 of them written now" in line
    assert source(notebook, EXERCISE).startswith("row_answer = mine")
    assert source(notebook, TEXT) == "New text."
    ids = [cell.id for cell in notebook.cells]
    assert ids[0] == "name"
    assert ids[ids.index(CODE) + 1] == "trial"
    assert not list(folder.rglob("*.yours*"))


def test_what_only_the_student_changed_stays(folder: Path, few: dict[str, bytes]) -> None:
    notebook = work(folder)
    change(notebook, CODE, "print('mine')")
    nbformat.write(notebook, folder / CHAPTER)
    (folder / "helpers" / "tables.py").write_text("mine = 1\n")
    for _run in range(2):
        (line,) = student.write(folder, few)
        assert " 0 of them written now" in line
    assert source(work(folder), CODE) == "print('mine')"
    assert (folder / "helpers" / "tables.py").read_text() == "mine = 1\n"


def test_where_both_changed_a_cell_what_stood_there_is_kept_beside(
    folder: Path, few: dict[str, bytes]
) -> None:
    notebook = work(folder)
    change(notebook, CODE, "print('mine')")
    change(notebook, EXERCISE, "my answer")
    nbformat.write(notebook, folder / CHAPTER)

    note, _summary = student.write(folder, next_edition(few, both(CODE, "print('new')")))
    assert source(work(folder), CODE) == "print('new')"
    assert source(work(folder), EXERCISE) == "my answer"
    beside = CHAPTER.replace(".ipynb", ".yours.ipynb")
    assert source(work(folder, name=beside), CODE) == "print('mine')"
    assert note.endswith(f"what stood here is in {Path(beside).name}")


def test_an_answer_stays_when_its_exercise_changes_and_that_is_said(
    folder: Path, few: dict[str, bytes]
) -> None:
    notebook = work(folder)
    change(notebook, EXERCISE, "my answer")
    nbformat.write(notebook, folder / CHAPTER)
    other = 'other = ...\n\ncheck("03-1", other)'
    note, _summary = student.write(folder, next_edition(few, both(EXERCISE, other)))
    assert source(work(folder), EXERCISE) == "my answer"
    assert note == f"{CHAPTER}: exercise 03-1 is another one now; the answer stays"


def test_an_exercise_nobody_worked_on_becomes_the_new_one(
    folder: Path, few: dict[str, bytes]
) -> None:
    other = 'other = ...\n\ncheck("03-1", other)'
    list(student.write(folder, next_edition(few, both(EXERCISE, other))))
    assert source(work(folder), EXERCISE) == other


def test_of_cells_that_are_no_more_only_changed_ones_stay(
    folder: Path, few: dict[str, bytes]
) -> None:
    notebook = work(folder)
    change(notebook, EXERCISE, "my answer")
    nbformat.write(notebook, folder / CHAPTER)

    def shorten(notebook: Any) -> None:
        gone = (CODE, EXERCISE)
        notebook.cells = [cell for cell in notebook.cells if cell.id not in gone]

    list(student.write(folder, next_edition(few, shorten)))
    notebook = work(folder)
    assert source(notebook, EXERCISE) == "my answer"
    assert CODE not in [cell.id for cell in notebook.cells]


def test_what_a_student_ran_stays_as_it_was_answered(folder: Path, few: dict[str, bytes]) -> None:
    notebook = work(folder)
    cell = next(cell for cell in notebook.cells if cell.id == CODE)
    cell.outputs[0].text = "as it was here"
    nbformat.write(notebook, folder / CHAPTER)
    list(student.write(folder, next_edition(few, both(TEXT, "New text."))))
    cell = next(cell for cell in work(folder).cells if cell.id == CODE)
    assert cell.outputs[0].text == "as it was here"
    stored = nbformat.reads(few[CHAPTER].decode(), 4).metadata.widgets
    assert work(folder).metadata.widgets == stored


@pytest.mark.parametrize("broken", ["not a notebook", '{"nbformat": 4, "nbformat_minor": 0}', "[]"])
def test_a_notebook_that_cannot_be_read_is_kept_beside(
    folder: Path, few: dict[str, bytes], broken: str
) -> None:
    (folder / CHAPTER).write_text(broken)
    for _run in range(2):
        list(student.write(folder, few))
    assert (folder / CHAPTER).read_bytes() == few[CHAPTER]
    (beside,) = folder.rglob("*.yours*.ipynb")
    assert beside.read_text() == broken


def test_a_notebook_without_ids_is_kept_beside(folder: Path, few: dict[str, bytes]) -> None:
    content = json.loads((folder / CHAPTER).read_text("utf-8"))
    for cell in content["cells"]:
        del cell["id"]
    content["nbformat_minor"] = 0
    (folder / CHAPTER).write_text(json.dumps(content), "utf-8")
    note, _summary = student.write(folder, few)
    assert "03-rest-tensorflow-serving.yours.ipynb" in note
    assert (folder / CHAPTER).read_bytes() == few[CHAPTER]


def test_a_file_that_both_changed_is_kept_beside(folder: Path, few: dict[str, bytes]) -> None:
    name = "docs/glossary.md"
    for number, suffix in enumerate((".yours.md", ".yours-2.md")):
        (folder / name).write_text(f"mine {number}")
        note, _summary = student.write(folder, {**few, name: f"new {number}".encode()})
        assert (folder / name).read_text() == f"new {number}"
        assert (folder / "docs" / f"glossary{suffix}").read_text() == f"mine {number}"
        assert note.startswith(f"{name}: changed here and in the course")


def test_a_file_that_is_no_more_goes_unless_it_was_changed(
    folder: Path, few: dict[str, bytes]
) -> None:
    (folder / "docs" / "glossary.md").write_text("mine")
    gone = ("docs/glossary.md", "docs/proxies.md", CHAPTER)
    list(student.write(folder, {name: few[name] for name in few if name not in gone}))
    assert (folder / "docs" / "glossary.md").read_text() == "mine"
    assert not (folder / "docs" / "proxies.md").exists()
    assert not (folder / CHAPTER).exists()


@pytest.mark.parametrize("name", ["docs", "README.md"])
def test_no_other_folder_is_written_into(tmp_path: Path, name: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "mine.md").write_text("mine")
    (tmp_path / "README.md").write_text("mine")
    done = subprocess.run(
        [sys.executable, "-m", "tests.course.student", str(tmp_path / name)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("make student DIR=folder\n")
    assert len(list(tmp_path.rglob("*"))) == 3
