"""What a person does with a page of JupyterLab: open a chapter, run it, save it, look at it."""

import os
import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Lab

IDLE = "Python 3 (ipykernel) | Idle"
ERROR = "[data-mime-type='application/vnd.jupyter.stderr']"  # uncaught errors are shown as such


def open_chapter(page: Page, lab: Lab, notebook: str) -> None:
    """Open a notebook, and wait until its kernel is there."""
    page.goto(lab.url(notebook))
    # Run All before the kernel is there would open a dialog.
    expect(page.get_by_text(IDLE)).to_be_visible(timeout=60_000)


def menu(page: Page, name: str, entry: str) -> None:
    """Choose an entry of a menu."""
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_text(entry, exact=True).click()


def run_all(page: Page) -> None:
    """Run every cell, stored outputs cleared first so that none is taken for a new one."""
    # A folded solution has no number to wait for.
    last = page.locator(".jp-CodeCell .jp-InputPrompt:not(.jp-Placeholder-prompt)").last
    menu(page, "Edit", "Clear Outputs of All Cells")
    expect(last).to_have_text("[ ]:")
    menu(page, "Run", "Run All Cells")
    expect(last).to_have_text(re.compile(r"\[\d+\]:"), timeout=240_000)
    expect(page.get_by_text(IDLE)).to_be_visible(timeout=120_000)  # folded solutions run, too


def saved(page: Page, lab: Lab, notebook: str) -> str:
    """Save a chapter; returns what its file holds."""
    page.keyboard.press("Control+s")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    return (lab.root / "notebooks" / notebook).read_text(encoding="utf-8")


def picture(page: Page, name: str, heading: str | re.Pattern[str]) -> None:
    """Take a screenshot from a heading on; `UPDATE_SCREENSHOTS=1` makes it the documentation's."""
    page.keyboard.press("Control+b")  # the file browser away
    page.get_by_role("heading", name=heading).first.evaluate("e => e.scrollIntoView()")
    update = os.environ.get("UPDATE_SCREENSHOTS")
    folder = ROOT / "data" / "screenshots" if update else Path("build/screenshots")
    page.screenshot(path=ROOT / folder / f"{name}.png")


def serious_faults(page: Page, context: str) -> list[tuple[str, str]]:
    """Return what axe finds in a part of the page that keeps somebody from using it."""
    found = Axe().run(page, context=context).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], each["nodes"][0]["html"]) for each in serious]
