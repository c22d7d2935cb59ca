"""README and docs: short where they have to be, truly linked, and README's program runs."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from practice import manager
from tests import tables

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = sorted({*(ROOT / "docs").rglob("*.md")} - {*(ROOT / "docs" / "site").iterdir()})
MORE = ["CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md"]
FOLDERS = ["data/README.md", "data/postman/README.md", "protos/README.md"]
PAGES = [README, *(ROOT / name for name in MORE + FOLDERS), *DOCS]


@pytest.fixture(params=PAGES, ids=lambda path: path.stem)
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of this page may end with."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_readme_is_one_page() -> None:
    assert len(README.read_text(encoding="utf-8")) <= 7000


def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if not link.startswith("https://"):
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.resolve().is_relative_to(ROOT), link
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_a_page_has_one_title(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    assert re.findall(r"^# ", text, re.M) == ["# "]
    assert text.startswith("# ")


def test_the_index_lists_every_page() -> None:
    for index in (page for page in DOCS if page.name == "index.md"):
        beside = {page.name for page in index.parent.glob("*.md")} - {"index.md"}
        below = {f"{page.parent.name}/index.md" for page in index.parent.glob("*/index.md")}
        assert beside | below <= set(links(index))
    assert "docs/index.md" in links(README)


def test_the_version_is_the_same_in_all_places() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == version
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-|^It will be {version},", changelog, re.M
    )


def test_it_says_nothing_about_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/home/|/root/|/Users/|/work/|/tmp/|[A-Z]:\\Users", text)


@pytest.mark.parametrize("name", tables.FILES)
def test_every_table_that_a_run_writes_is_there(name: str) -> None:
    assert tables.read(name).startswith("|")


def test_readme_ten_lines_print_what_it_says() -> None:
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    printed = re.search(r"((?:^ {4}.*\n)+)", text.partition(code)[2], re.M)
    assert len([line for line in code.splitlines() if line]) <= 10
    manager.up("tfserving")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert printed is not None
    assert done.stdout == re.sub(r"^ {4}", "", printed[1], flags=re.M)
