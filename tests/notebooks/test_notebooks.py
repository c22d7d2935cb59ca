"""The stored notebooks: complete, quiet about the machine they ran on, and truly linked."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
HTML = "text/html"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(params=[*PATHS, *SOLUTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def chapter(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_valid(notebook: Any) -> None:
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_every_cell_has_run_in_order_without_times(notebook: Any) -> None:
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("execution" in cell.metadata for cell in cells)


def test_only_tagged_cells_hold_errors(notebook: Any) -> None:
    for cell in code_cells(notebook):
        # With `%load_ext workbench` an error is shown as a card.
        failed = any(
            output.output_type == "error" or "otw-traceback" in output.get("data", {}).get(HTML, "")
            for output in cell.outputs
        )
        assert failed == ("raises-exception" in cell.metadata.get("tags", [])), cell.source


def test_every_widget_has_its_state(notebook: Any) -> None:
    shown = {
        output.data[WIDGET_VIEW]["model_id"]
        for cell in code_cells(notebook)
        for output in cell.outputs
        if WIDGET_VIEW in output.get("data", {})
    }
    stored = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    assert shown <= set(stored)


def test_it_says_nothing_about_the_machine_it_ran_on(notebook: Any) -> None:
    text = json.dumps(notebook)
    assert not re.search(r"/home/|/root/|/Users/|/work/|/tmp/|[A-Z]:\\\\", text)
    assert set(notebook.metadata) <= {"kernelspec", "language_info", "widgets"}


def test_cells_are_short(chapter: Any) -> None:
    for cell in code_cells(chapter):
        # The script of ModelArts' manual stands there as it is printed.
        printed = cell.source.startswith("# -*- coding:utf-8 -*-")
        assert printed or len(cell.source.splitlines()) <= 14, cell.source


def test_it_opens_and_closes_like_every_chapter(chapter: Any) -> None:
    prose = "\n\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    assert prose.startswith("# ")
    for phrase in ("*You will learn*", "*Time:*", "*Runs:*", "In this chapter we "):
        assert phrase in prose


def test_links_to_files_lead_somewhere(notebook: Any, path: Path) -> None:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for link in re.findall(r"\]\(([^)#]+)", prose):
        if not link.startswith("https://"):
            assert (path.parent / link).exists(), link


def test_words_that_are_linked_stand_in_the_glossary(notebook: Any) -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = {term.lower().replace(" ", "-") for term in re.findall(r"^## (.+)$", glossary, re.M)}
    assert set(re.findall(r"glossary\.md#([^)]+)\)", json.dumps(notebook))) <= terms


def test_readme_and_start_chapter_list_every_chapter() -> None:
    start = nbformat.read(ROOT / "notebooks" / "00-start-here.ipynb", as_version=4)
    listed = "\n".join(cell.source for cell in start.cells)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in PATHS:
        assert path.stem in readme
        assert path.stem in listed or path.stem == "00-start-here"
