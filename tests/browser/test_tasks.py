"""What people come with, from the command line to the answer, in windows of three widths.

A folder that a colleague sent; a TensorFlow Serving behind TLS, a path and a bearer token; a
ModelArts URL with a token.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from helpers import endpoints, modelarts
from practice import manager
from practice.launch import MODELS
from practice.modelarts.published import SERVICES
from tests import explore_page, fronts
from tests.browser.conftest import new_page
from tests.modelarts import SETOSA

pytestmark = pytest.mark.browser
WIDTHS = [(1280, 720), (900, 720), (600, 800)]
SURE = re.compile(r"0\s*0\.9\d*")  # of the first class
# Whether an element lies within the window, as the page is scrolled now.
IN_WINDOW = """
part => { const box = part.getBoundingClientRect();
          return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight + 1 }
"""


class Task:
    """An explorer in a page, and what a person does with it by keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.send = page.get_by_role("button", name="Send", exact=True)
        self.answer = page.locator(".otw-answers")

    def field(self, label: str) -> Locator:
        return self.page.get_by_label(label, exact=True)

    def type(self, value: str, label: str, *, name: str = "") -> None:
        if name:
            self.field(name).select_option("typed")
        self.field(label).fill(value)
        expect(self.send).to_be_enabled()

    def send_by_keys(self) -> None:
        self.page.keyboard.press("Control+Enter")

    def needs_no_scrolling(self, *parts: Locator) -> None:
        for part in parts:
            assert part.evaluate(IN_WINDOW), part


@pytest.fixture(scope="module")
def explore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run `otw explore` with these words, once; returns the page's address."""
    addresses: dict[tuple[str, ...], str] = {}
    with explore_page.starting(tmp_path_factory.mktemp("explore"), first="") as start:

        def address(*words: str) -> str:
            if words not in addresses:
                addresses[words] = start(*words).url
            return addresses[words]

        yield address


@pytest.fixture(params=WIDTHS, ids=[f"{width}x{height}" for width, height in WIDTHS])
def window(request: pytest.FixtureRequest, browser: Any) -> Iterator[Page]:
    width, height = request.param
    with contextlib.closing(new_page(browser)) as page:
        page.set_viewport_size({"width": width, "height": height})
        yield page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sent") / "flowers"
    shutil.copytree(MODELS / "iris", path)
    return path


def test_a_folder_is_served_and_explored(
    folder: Path, explore: Callable[..., str], window: Page
) -> None:
    window.goto(explore(str(folder)))
    task = Task(window)
    expect(task.field("Model")).to_have_value("flowers", timeout=60_000)
    task.type("[5.1, 3.5, 1.4, 0.2]", "Value", name="features")
    task.send_by_keys()
    expect(task.answer).to_contain_text(SURE)
    if window.viewport_size == {"width": 1280, "height": 720}:
        table = task.answer.get_by_role("table").first
        task.needs_no_scrolling(task.field("Model"), task.field("Value"), task.send, table)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fronts.Front]:
    manager.up("tfserving")
    behind = endpoints.load("tfserving").rest
    with fronts.rest_front(behind, tmp_path_factory.mktemp("front")) as made:
        yield made


def test_a_server_behind_tls_a_path_and_a_bearer_token_is_explored(
    front: fronts.Front, explore: Callable[..., str], window: Page, tmp_path_factory: Any
) -> None:
    header = tmp_path_factory.getbasetemp() / "header.txt"
    header.write_text(f"Authorization: Bearer {fronts.TOKEN}\n")
    header.chmod(0o600)
    words = ["--ca-file", front.ca_file, "--header", f"@{header}", "--model", "iris"]
    window.goto(explore(front.address, *words))
    task = Task(window)
    expect(task.field("Model")).to_have_value("iris", timeout=60_000)
    task.type("[5.1, 3.5, 1.4, 0.2]", "Value", name="features")
    task.send_by_keys()
    expect(task.answer).to_contain_text(SURE)
    expect(task.answer).to_contain_text("REST")
    window.get_by_role("tab", name="Code", exact=True).click()
    expect(window.locator(".otw-code code")).to_contain_text(fronts.PREFIX)
    assert fronts.TOKEN not in window.content()


def test_a_modelarts_url_with_a_token_is_explored(
    explore: Callable[..., str], window: Page, tmp_path_factory: Any
) -> None:
    manager.up("modelarts")
    here = endpoints.load("modelarts")
    token = str(modelarts.get_token(here).value)
    file = tmp_path_factory.getbasetemp() / "token.txt"
    file.write_text(token)
    file.chmod(0o600)
    host = here.rest.partition("/v1/")[0]
    url = f"{host}{SERVICES['iris'].path}"
    window.goto(explore(url, "--ca-file", here.ca_file, "--token-file", str(file)))
    task = Task(window)
    expect(task.field("JSON")).to_be_visible(timeout=60_000)
    task.type(json.dumps({"data": {"req_data": [SETOSA]}}), "JSON")
    task.send_by_keys()
    expect(task.answer).to_contain_text("setosa")
    assert token not in window.content()
