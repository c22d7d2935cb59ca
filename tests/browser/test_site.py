"""The book of `make site`: its links, and how its pages look without network."""

import html.parser
import itertools
import urllib.parse
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from otw import translation
from tests.browser.conftest import ROOT
from tests.browser.pages import serious_faults

SITE = ROOT / "build" / "site"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SITE.exists(), reason="not run: there is no book. Make it: make site"),
]
PAGES = [
    "index",
    "docs/glossary",
    "docs/site/helpers/tfserving",
    "notebooks/00-start-here",
    "notebooks/09-explore-any-model",
]
DRAWN = {"notebooks/00-start-here": "Test connection", "notebooks/09-explore-any-model": "Send"}
PHONE, DESKTOP = (390, "dark"), (1280, "light")


class Links(html.parser.HTMLParser):
    """What a page points to, what it loads, and what one can point to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for value in (values.get("id"), values.get("name")) if value}
        if tag == "a":
            self.targets.append(values.get("href") or "")
        elif tag != "form":
            self.loaded += filter(None, (values.get("href"), values.get("src")))


@pytest.fixture(scope="module")
def links() -> dict[Path, Links]:
    pages = (path for path in SITE.rglob("*.html") if "_static" not in path.parts)
    return {path: Links(path) for path in pages}


def test_every_link_leads_somewhere(links: dict[Path, Links]) -> None:
    assert len(links) > 40
    for page, its in links.items():
        for link in its.targets + its.loaded:
            url = urllib.parse.urlsplit(link)
            if url.scheme:
                continue
            path = (page.parent / urllib.parse.unquote(url.path)).resolve() if url.path else page
            assert path.is_file(), f"{page}: {link}"
            anchor = urllib.parse.unquote(url.fragment)
            assert not anchor or path not in links or anchor in links[path].anchors, (
                f"{page}: {link}"
            )


def test_no_page_loads_anything_from_elsewhere(links: dict[Path, Links]) -> None:
    loaded = {urllib.parse.urlsplit(link).scheme for its in links.values() for link in its.loaded}
    assert loaded <= {"", "data"}


def test_every_chapter_and_every_page_of_docs_is_in_it() -> None:
    patterns = ("notebooks/[0-9]*.ipynb", "notebooks/solutions/[0-9]*.ipynb", "docs/*.md")
    for name in (name for pattern in patterns for name in translation.names(pattern)):
        assert (SITE / name).with_suffix(".html").exists()


def test_the_chinese_half_has_what_is_translated_and_each_half_leads_to_the_other() -> None:
    for name in translation.offered():
        english = (SITE / name).with_suffix(".html").read_text(encoding="utf-8")
        chinese = (SITE / "zh" / name).with_suffix(".html").read_text(encoding="utf-8")
        assert 'hreflang="zh-CN">中文</a>' in english
        assert 'hreflang="en">English</a>' in chinese
        assert '<html lang="zh-CN"' in chinese


def test_a_solution_is_folded() -> None:
    page = (SITE / "notebooks" / "solutions" / "01-rest-ccai.html").read_text(encoding="utf-8")
    assert page.index("<details") < page.index("hexdigest") < page.index("</details>")


@pytest.fixture(params=itertools.product(PAGES, [PHONE, DESKTOP]), ids=str)
def opened(request: pytest.FixtureRequest, page: Page) -> Page:
    """Open a page and wait until its widgets are drawn, without network."""
    name, (width, scheme) = request.param
    faults: list[str] = []
    page.on("requestfailed", lambda failed: faults.append(failed.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.context.set_offline(True)
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto((SITE / f"{name}.html").as_uri())
    if label := DRAWN.get(name):
        expect(page.get_by_role("button", name=label, exact=True).first).to_be_visible()
    assert not faults
    return page


def test_a_page_fits_its_window_on_paper_too_and_axe_finds_no_serious_fault(opened: Page) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(opened, "html") == []
    opened.emulate_media(media="print")
    cut = "codes => codes.filter(code => code.scrollWidth > code.clientWidth).length"
    assert opened.locator("pre:visible").evaluate_all(cut) == 0
