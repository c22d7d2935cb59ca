"""The explorer as a person uses it: in JupyterLab and through Voila, with a service of its own."""

import contextlib
import csv
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, expect

import practice
from practice import manager
from practice.instance import PrivateEndpoint
from tests import odd_models
from tests.browser.conftest import ROOT, Lab, new_page
from tests.browser.pages import (
    ERROR,
    menu,
    open_chapter,
    picture,
    run_all,
    saved,
    serious_faults,
)
from tests.tfserving import AVAILABLE, Running, eventually, running

pytestmark = pytest.mark.browser
CHAPTER = "09-explore-any-model.ipynb"
IMAGES = ROOT / "data" / "images"
PANEL = 'panel = EndpointPanel("tfserving", model="iris")\npanel'
IMPORTS = "from workbench.explorer import Explorer\nfrom workbench.panel import EndpointPanel"
FRONTS = ["JupyterLab", "Voila"]
# What can be reached with the Tab key, in the order in which it is read.
STOPS = """
part => [...part.querySelectorAll("a, audio, button, input, select, summary, textarea, [tabindex]")]
    .filter(each => !each.disabled && each.tabIndex >= 0 && each.checkVisibility())
"""
NAME = "each => (each.labels && each.labels[0] || each).textContent.trim()"
MARK = """
each => { const style = getComputedStyle(each);
          return [style.outline, style.boxShadow, style.borderColor].join() }
"""
# Whether all of something is in the window, and nothing is before it.
IN_SIGHT = """
part => {
    const { left, right, top, bottom } = part.getBoundingClientRect();
    const shown = (x, y) => part.contains(document.elementFromPoint(x, y))
    return shown(left + 3, top + 3) && shown(right - 3, bottom - 3);
}
"""
# What reaches beyond the cell's output, but for what keys can scroll.
TOO_WIDE = """
part => {
    const output = part.closest(".jp-OutputArea-output").getBoundingClientRect();
    const right = Math.min(output.right, innerWidth) + 1;
    return [...part.querySelectorAll("*:not([tabindex='0'] *)")].filter(each =>
        each.checkVisibility() && each.getBoundingClientRect().right > right
    ).map(each => each.outerHTML);
}
"""
BROKEN_WORDS = """
part => [...part.querySelectorAll("th")].filter(each => {
    const words = document.createRange();
    words.selectNodeContents(each);
    const lines = new Set([...words.getClientRects()].map(line => line.top)).size;
    return lines > each.textContent.split(" ").length;
}).map(each => each.textContent)
"""


class Explorer:
    """The first explorer in a page, and a person's hands on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        heading = page.get_by_role("heading", name="What is served")
        self.part = page.locator(".widget-vbox", has=heading).first
        self.code = self.part.locator(".otw-code code")
        self.card = self.part.locator(".otw-explanation")
        self.calls = self.field("Calls").locator("option")

    def field(self, label: str) -> Locator:
        return self.part.get_by_label(label, exact=True)

    def button(self, name: str) -> Locator:
        return self.part.get_by_role("button", name=name, exact=True)

    def open(self, tab: str) -> None:
        self.part.get_by_role("tab", name=tab, exact=True).click()

    def told(self, words: str) -> Locator:
        return self.part.get_by_role("status").filter(has_text=words)

    def choose(self, model: str, its_input: str) -> None:
        self.field("Model").select_option(model)
        expect(self.field(its_input)).to_be_visible()

    def upload(self, *files: Any) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.part.get_by_role("button", name="Choose files").click()
        chooser.value.set_files(files)

    def press_send(self) -> int:
        """Send, with much time to wait; returns the call's number."""
        number = self.calls.count() + 1
        self.field("Timeout (s)").fill("100")
        self.button("Send").click()
        expect(self.told("waiting ...")).to_be_visible()
        return number

    def send(self) -> None:
        number = self.calls.count() + 1
        self.button("Send").click()
        self.has_ended(number, "OK")

    def has_ended(self, number: int, how: str) -> None:
        line = rf"{number}\.\s.*:\s{how},\s\d+\sms"  # lists have spaces that do not break
        expect(self.calls.first).to_have_text(re.compile(line))
        expect(self.button("Send")).to_be_enabled()

    def boxes(self) -> list[list[float]]:
        """Return class, xmin, ymin, xmax and ymax of each box, as the page says them."""
        table = self.part.get_by_role("table").filter(has_text="xmin")
        expect(table).to_be_visible()
        rows = [row.locator("th, td").all_inner_texts() for row in table.locator("tbody tr").all()]
        return sorted([float(cell) for cell in (row[1], *row[3:])] for row in rows)


@contextlib.contextmanager
def paused(service: PrivateEndpoint) -> Iterator[None]:
    """Keep a service from answering until the block ends; then it answers what was asked."""
    assert service._own.process
    process = psutil.Process(service._own.process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()


@contextlib.contextmanager
def slow(service: PrivateEndpoint) -> Iterator[None]:
    """Make a service wait for minutes with each call that comes until the block ends."""
    service.trouble(delay=600)
    try:
        yield
    finally:
        service.trouble()


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateEndpoint]:
    with practice.private("tfserving") as service:
        yield service


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a picture file of 20 MB."""
    pixels = np.random.default_rng(10).integers(0, 256, (2600, 2600, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(pixels).save(path, compress_level=0)
    assert path.stat().st_size > 20_000_000
    return path


def open_notebook(page: Page, lab: Lab, name: str, *cells: str) -> None:
    """Open a notebook with these cells, and run it."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
    )
    nbformat.write(notebook, lab.root / "notebooks" / name)
    open_chapter(page, lab, name)
    run_all(page)


def in_lab(page: Page, lab: Lab, service: PrivateEndpoint, name: str) -> Explorer:
    """Open an explorer in a notebook, and show it a service by its panel."""
    open_notebook(page, lab, name, IMPORTS, PANEL, "Explorer(panel)", '"another cell"')
    page.get_by_label("REST address").fill(service.rest)
    page.get_by_label("gRPC address").fill(service.grpc)
    explorer = Explorer(page)
    explorer.button("Look again").click()
    return ready(explorer, service)


@contextlib.contextmanager
def in_voila(page: Page, service: PrivateEndpoint) -> Iterator[Explorer]:
    """Open what `otw explore` shows."""
    otw = str(Path(sys.executable).with_name("otw"))
    names = ["--model", "iris", "--model", "digits_detector"]
    command = [otw, "explore", service.grpc, *names, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = process.stdout or ()
            page.goto(next(url for line in printed for url in re.findall(r"http://\S+", line)))
            yield ready(Explorer(page), service)
        finally:
            process.terminate()


def ready(explorer: Explorer, service: PrivateEndpoint) -> Explorer:
    """Wait for the form; random numbers are filled in, and their call is shown."""
    expect(explorer.code).to_contain_text(service.grpc)
    expect(explorer.told("float32 [1, 4]")).to_be_visible()
    return explorer


@contextlib.contextmanager
def opened(
    request: pytest.FixtureRequest, page: Page, service: PrivateEndpoint
) -> Iterator[Explorer]:
    """Open an explorer where the fixture's parameter says."""
    if request.param == "Voila":
        with in_voila(page, service) as explorer:
            yield explorer
    else:
        lab = request.getfixturevalue("lab")
        yield in_lab(page, lab, service, f"{request.fixturename}.ipynb")


@pytest.fixture(scope="module", params=FRONTS)
def used(
    request: pytest.FixtureRequest, browser: Any, service: PrivateEndpoint
) -> Iterator[Explorer]:
    """Return an explorer that the tests use one after another, as a person does."""
    with contextlib.closing(new_page(browser)) as page, opened(request, page, service) as explorer:
        yield explorer


@pytest.fixture
def explorer(used: Explorer) -> Explorer:
    """Return it with a form in which nothing has been changed yet."""
    used.page.set_viewport_size({"width": 1280, "height": 800})
    used.choose("digits_detector", "images")
    used.choose("iris", "features")
    expect(used.told("float32 [1, 4]")).to_be_visible()
    return used


@pytest.fixture(params=FRONTS)
def doomed(
    request: pytest.FixtureRequest, page: Page
) -> Iterator[tuple[Explorer, PrivateEndpoint]]:
    """Return an explorer and its service, which may be killed."""
    with practice.private("tfserving") as service, opened(request, page, service) as explorer:
        yield explorer, service


def true_boxes(name: str) -> list[list[float]]:
    """Return class, xmin, ymin, xmax and ymax of each digit in a picture, in pixels."""
    with open(IMAGES / "boxes.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == name]
    sides = ("xmin", "ymin", "xmax", "ymax")
    return sorted([float(row["digit"]), *(96 * float(row[side]) for side in sides)] for row in rows)


def npy(shape: tuple[int, ...]) -> FilePayload:
    content = io.BytesIO()
    np.save(content, np.zeros(shape, "float32"))
    return payload("zeros.npy", content.getvalue())


def payload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def test_chapter_09_runs_and_its_explorer_finds_the_digits(page: Page, lab: Lab) -> None:
    open_chapter(page, lab, CHAPTER)
    run_all(page)
    expect(page.locator(ERROR)).to_have_count(0)
    expect(page.locator(".otw-explanation")).to_have_count(3)
    explorer = Explorer(page)
    explorer.choose("iris", "features")
    explorer.choose("digits_detector", "images")
    explorer.upload(IMAGES / "digits-08.png")
    expect(explorer.told("of digits-08.png")).to_be_visible()
    explorer.send()
    assert np.allclose(explorer.boxes(), true_boxes("digits-08.png"), atol=3)
    picture(page, "chapter-09", re.compile("TensorFlow Serving ·"))


def test_a_picture_is_uploaded_and_its_boxes_are_read_from_the_page(explorer: Explorer) -> None:
    explorer.choose("digits_detector", "images")
    explorer.upload(IMAGES / "digits-09.png")
    expect(explorer.told("float32 [1, 96, 96, 1] of digits-09.png")).to_be_visible()
    expect(explorer.part.get_by_alt_text("as it will be sent")).to_be_visible()
    explorer.send()
    assert np.allclose(explorer.boxes(), true_boxes("digits-09.png"), atol=3)


def test_what_is_no_picture_is_told_beside_the_input_and_not_sent(explorer: Explorer) -> None:
    explorer.choose("digits_detector", "images")
    for file, words in (
        (ROOT / "data" / "audio" / "go-forward.wav", "the sound becomes 44,580 floats"),
        (payload("broken.png", b"\x89PNG\r\n\x1a\n and no more"), "no picture that can be read"),
        (payload("empty.png", b""), "is empty"),
    ):
        explorer.upload(file)
        expect(explorer.told(words)).to_be_visible()
        expect(explorer.button("Send")).to_be_disabled()
    explorer.upload(IMAGES / "digits-09.png")
    explorer.send()


def test_a_wrong_shape_is_told_with_the_right_one_and_not_sent(explorer: Explorer) -> None:
    explorer.field("features").select_option("typed")
    explorer.field("Value").fill("5.1 3.5 1.4")
    expect(explorer.told("has shape [1, 3]; expected float32 [-1, 4]")).to_be_visible()
    expect(explorer.button("Send")).to_be_disabled()
    explorer.field("Value").fill("5.1 3.5 1.4 0.2")
    explorer.send()
    explorer.choose("digits_detector", "images")
    explorer.upload(npy((1, 8, 8, 1)))
    told = explorer.told("has shape [1, 8, 8, 1]; expected float32 [-1, 96, 96, 1]")
    expect(told).to_be_visible()
    expect(explorer.button("Send")).to_be_disabled()
    explorer.upload(npy((2, 96, 96, 1)))
    explorer.send()


def test_twenty_megabytes_are_taken_and_too_many_pixels_are_told(
    explorer: Explorer, photo: Path
) -> None:
    explorer.choose("digits_detector", "images")
    explorer.upload(photo)
    expect(explorer.told("float32 [1, 96, 96, 1] of photo.png")).to_be_visible(timeout=30_000)
    explorer.send()
    large = io.BytesIO()
    Image.new("L", (8200, 8200)).save(large, "PNG", compress_level=1)
    explorer.upload(payload("large.png", large.getvalue()))
    expect(explorer.told("is too large: 8200 x 8200 has more than")).to_be_visible(timeout=30_000)
    expect(explorer.button("Send")).to_be_disabled()


def test_a_slow_call_is_cancelled_and_the_next_one_goes(
    explorer: Explorer, service: PrivateEndpoint
) -> None:
    with slow(service):
        number = explorer.press_send()
        expect(explorer.button("Send")).to_be_disabled()
        explorer.button("Cancel").click()
        explorer.has_ended(number, "cancelled")
        expect(explorer.part.get_by_text("Cancelled: nobody waits for the answer.")).to_be_visible()
        expect(explorer.button("Cancel")).to_be_disabled()
    explorer.send()


def test_the_form_goes_on_while_a_call_is_under_way(
    explorer: Explorer, service: PrivateEndpoint
) -> None:
    with paused(service):
        number = explorer.press_send()
        before = explorer.code.inner_text()
        explorer.field("Size 0").fill("3")
        explorer.field("Size 0").press("Tab")
        expect(explorer.told("float32 [3, 4]")).to_be_visible()
        expect(explorer.code).not_to_have_text(before)
        expect(explorer.told("waiting ...")).to_be_visible()
    explorer.has_ended(number, "OK")


@pytest.mark.parametrize("used", FRONTS[:1], indirect=True)
def test_another_cell_runs_while_a_call_is_under_way(
    explorer: Explorer, service: PrivateEndpoint
) -> None:
    cell = explorer.page.locator(".jp-CodeCell").last
    prompt = cell.locator(".jp-InputPrompt")
    before = prompt.inner_text()
    with paused(service):
        number = explorer.press_send()
        cell.locator(".cm-content").click()
        explorer.page.keyboard.press("Control+Enter")
        expect(prompt).not_to_have_text(before)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]:"))
        expect(explorer.told("waiting ...")).to_be_visible()
    explorer.has_ended(number, "OK")


def test_a_service_that_dies_while_a_call_waits_is_told_and_missed(
    doomed: tuple[Explorer, PrivateEndpoint],
) -> None:
    explorer, service = doomed
    with slow(service):
        number = explorer.press_send()
        service.kill()
        explorer.has_ended(number, "ConnectionFailed")
    expect(explorer.card).to_contain_text(service.grpc)
    explorer.button("Look again").click()
    expect(explorer.told("ConnectionFailed")).to_be_visible()
    expect(explorer.button("Send")).to_be_disabled()
    expect(explorer.page.locator(ERROR)).to_have_count(0)


def test_saved_closed_and_opened_again_it_is_there_without_what_was_uploaded(
    page: Page, lab: Lab, service: PrivateEndpoint, photo: Path
) -> None:
    name = "saved.ipynb"
    explorer = in_lab(page, lab, service, name)
    explorer.choose("digits_detector", "images")
    explorer.upload(IMAGES / "digits-09.png")
    explorer.send()
    boxes = explorer.boxes()
    explorer.upload(photo)
    expect(explorer.told("of photo.png")).to_be_visible(timeout=30_000)
    assert len(saved(page, lab, name)) < 500_000
    open_chapter(page, lab, name)  # its kernel runs on
    assert explorer.boxes() == boxes
    expect(explorer.calls).to_have_count(1)
    explorer.upload(IMAGES / "digits-09.png")
    expect(explorer.told("of digits-09.png")).to_be_visible()
    explorer.send()
    saved(page, lab, name)
    menu(page, "File", "Close and Shut Down Notebook…")
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    expect(page.locator(".jp-Notebook")).to_have_count(0)
    open_chapter(page, lab, name)  # another kernel, which knows of no explorer
    assert explorer.boxes() == boxes
    expect(page.get_by_text("Error displaying widget")).to_have_count(0)


def test_a_page_that_is_loaded_again_has_its_form_answer_and_history(
    page: Page, service: PrivateEndpoint
) -> None:
    with in_voila(page, service) as explorer:
        explorer.field("features").select_option("typed")
        explorer.field("Value").fill("5.1 3.5 1.4 0.2")
        explorer.send()
        explorer.field("Value").fill("6.3 3.3 6.0 2.5")
        explorer.send()
        page.reload()
        expect(explorer.field("Value")).to_have_value("6.3 3.3 6.0 2.5")
        expect(explorer.calls).to_have_count(2)
        explorer.open("History")
        explorer.field("Calls").select_option(index=1)
        explorer.button("Show").click()
        expect(explorer.part.get_by_role("table", name="probabilities")).to_be_visible()
        expect(explorer.field("Value")).to_have_value("[[5.1, 3.5, 1.4, 0.2]]")
        explorer.send()


def test_a_password_opens_a_service_and_is_not_in_the_file(page: Page, lab: Lab) -> None:
    practice.ready("ccai")
    known = manager.variables("ccai")
    name, panel = "secret.ipynb", 'panel = EndpointPanel("ccai")\npanel'
    open_notebook(page, lab, name, IMPORTS, panel, "Explorer(panel)")
    page.get_by_label("Profile").select_option("practice-secure")
    expect(page.get_by_label("REST address")).to_have_value(re.compile("https://"))
    page.get_by_label("User").fill(known["OTW_CCAI_USER"])
    page.get_by_label("Password").fill(known["OTW_CCAI_PASSWORD"])
    page.get_by_label("Password").press("Tab")
    explorer = Explorer(page)
    explorer.open("Code")
    explorer.field("The same call as").select_option("Python with requests")
    explorer.button("Look again").click()
    expect(explorer.code).to_contain_text("https://")
    explorer.field("Service").select_option("fcgi_py_tts")
    explorer.field("Text").fill("hello")
    explorer.send()
    expect(explorer.part.locator("audio")).to_be_visible()
    stored = saved(page, lab, name)
    assert "OTW_CCAI_PASSWORD" in stored, "the call as code, with the variable's name"
    assert known["OTW_CCAI_PASSWORD"] not in stored
    assert lab.token not in stored


def test_the_keyboard_alone_goes_from_the_first_field_to_the_answer(explorer: Explorer) -> None:
    page, number = explorer.page, explorer.calls.count() + 1
    page.once("filechooser", lambda chooser: chooser.set_files(IMAGES / "digits-09.png"))
    explorer.field("Models").focus()
    tab_to(page, "Model")
    page.keyboard.press("Space")  # opens the list
    page.keyboard.type("digits_d")
    page.keyboard.press("Enter")
    expect(explorer.field("images")).to_be_visible()
    tab_to(page, "Choose files")
    page.keyboard.press("Enter")
    expect(explorer.told("of digits-09.png")).to_be_visible()
    expect(explorer.button("Send")).to_be_enabled()
    tab_to(page, "Send")
    page.keyboard.press("Enter")
    explorer.has_ended(number, "OK")
    tab_to(page, "As JSON")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("pre:focus")).to_contain_text("detection_boxes")
    page.keyboard.press("End")
    page.wait_for_function("() => document.activeElement.scrollTop > 0")


def tab_to(page: Page, name: str) -> None:
    """Press the Tab key until something of this name is reached."""
    for _ in range(30):
        page.keyboard.press("Tab")
        reached = page.locator("*:focus").last.evaluate(NAME)
        if reached == name or reached.startswith(f"{name} ("):
            return
    pytest.fail(f"The Tab key does not reach {name}.")


def test_the_tab_key_reaches_everything_in_the_order_of_reading_and_shows_where_it_is(
    explorer: Explorer,
) -> None:
    explorer.send()
    explorer.part.get_by_text("As JSON").click()
    stops = explorer.part.evaluate_handle(STOPS)
    names = stops.evaluate(f"stops => stops.map({NAME})")
    assert {"Look again", "Models", "Send", "Answer", "As JSON"} <= set(names)
    explorer.page.mouse.move(0, 0)  # a mark is not that of the mouse
    unmarked = stops.evaluate(f"stops => stops.map({MARK})")
    explorer.button("Look again").focus()
    reached, marked = list[str](), list[str]()
    for _ in names:
        here = explorer.page.locator("*:focus").last
        reached.append(here.evaluate(NAME))
        marked.append(here.evaluate(MARK))
        explorer.page.keyboard.press("Tab")
    assert reached == names
    pairs = zip(names, unmarked, marked, strict=True)
    assert not [name for name, before, after in pairs if before == after]


def test_the_keys_go_from_tab_to_tab(explorer: Explorer) -> None:
    explorer.part.get_by_role("tab", name="Answer").focus()
    explorer.page.keyboard.press("ArrowRight")
    explorer.page.keyboard.press("Enter")
    expect(explorer.code).to_be_visible()
    explorer.page.keyboard.press("ArrowRight")
    explorer.page.keyboard.press("Enter")
    expect(explorer.field("Calls")).to_be_visible()


def test_a_flower_is_filled_in_sent_and_answered_without_scrolling(explorer: Explorer) -> None:
    explorer.page.set_viewport_size({"width": 1280, "height": 720})
    explorer.part.evaluate("part => part.scrollIntoView()")
    explorer.field("features").select_option("typed")
    explorer.field("Value").fill("5.1 3.5 1.4 0.2")
    explorer.send()
    scores = explorer.part.get_by_role("table", name="probabilities")
    for place in (explorer.field("Model"), explorer.field("Value"), scores):
        comes_in_sight(place)
    comes_in_sight(explorer.button("Send"))
    assert left(scores) > left(explorer.button("Send"))


def test_there_is_one_column_in_600_pixels_and_send_stays_in_sight(explorer: Explorer) -> None:
    explorer.page.set_viewport_size({"width": 600, "height": 720})
    explorer.choose("digits_detector", "images")
    explorer.upload(IMAGES / "digits-09.png")
    explorer.send()
    picture = explorer.part.get_by_alt_text("detection_boxes")
    assert left(picture) < 150
    for place in (explorer.field("Model"), explorer.field("images"), picture):
        place.scroll_into_view_if_needed()
        comes_in_sight(explorer.button("Send"))


def comes_in_sight(place: Locator) -> None:
    """Wait until a window that has just changed shows it."""
    place.page.wait_for_function(IN_SIGHT, arg=place.element_handle())


def left(place: Locator) -> float:
    """Return where something begins, in pixels from the explorer's own edge."""
    return place.evaluate("e => e.getBoundingClientRect().x") - place.page.locator(
        ".otw-explorer"
    ).first.evaluate("e => e.getBoundingClientRect().x")


@pytest.mark.parametrize("keys", ["Control+Enter", "Shift+Enter"])
def test_the_keys_send_what_was_typed_to_the_last_letter(explorer: Explorer, keys: str) -> None:
    number = explorer.calls.count() + 1
    cells = explorer.page.locator(".jp-CodeCell")
    before = cells.last.locator(".jp-InputPrompt").all_inner_texts()
    explorer.field("features").select_option("typed")
    explorer.field("Value").press_sequentially("[[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]")
    explorer.page.keyboard.press(keys)
    explorer.has_ended(number, "OK")
    expect(explorer.part.get_by_role("table", name="probabilities, example 1")).to_be_visible()
    assert cells.last.locator(".jp-InputPrompt").all_inner_texts() == before, "no cell ran"


def test_the_keys_send_from_a_number_that_is_being_changed(explorer: Explorer) -> None:
    number = explorer.calls.count() + 1
    explorer.field("Size 0").fill("3")
    explorer.page.keyboard.press("Control+Enter")
    explorer.has_ended(number, "OK")
    expect(explorer.part.get_by_role("table", name="probabilities, example 2")).to_be_visible()


def test_a_load_test_says_what_it_will_do_and_shows_what_came_of_it(explorer: Explorer) -> None:
    explorer.open("Load test")
    explorer.field("Number of calls").fill("30")
    explorer.field("Number of calls").press("Tab")
    explorer.button("Load test").click()
    expect(explorer.part.get_by_text("This makes 30 calls to iris")).to_be_visible()
    explorer.button("Begin").click()
    expect(explorer.told("30 calls were made")).to_be_visible()
    expect(explorer.part.get_by_alt_text("How many of 30 calls")).to_be_visible()
    assert not serious_faults(explorer.page, ".otw-explorer")
    if folder := os.environ.get("SHOTS"):
        explorer.page.screenshot(path=folder + "/load.png")


def test_it_fits_in_windows_of_1280_900_and_600_pixels(explorer: Explorer) -> None:
    explorer.choose("digits_detector", "images")
    explorer.upload(IMAGES / "digits-09.png")
    explorer.send()
    explorer.part.get_by_text("As JSON").click()
    for width in (1280, 900, 600):
        explorer.page.set_viewport_size({"width": width, "height": 800})
        assert explorer.part.evaluate(TOO_WIDE) == []
        assert explorer.part.evaluate(BROKEN_WORDS) == []


def test_axe_finds_no_serious_fault(explorer: Explorer, service: PrivateEndpoint) -> None:
    def faults() -> list[tuple[str, str]]:
        return serious_faults(explorer.page, ".jp-OutputArea-output .widget-vbox")

    explorer.choose("digits_detector", "images")
    explorer.upload(payload("broken.png", b"\x89PNG\r\n\x1a\n and no more"))
    expect(explorer.told("no picture that can be read")).to_be_visible()
    assert not faults()
    explorer.upload(IMAGES / "digits-09.png")
    explorer.send()
    explorer.part.get_by_text("As JSON").click()
    assert not faults()
    explorer.field("Timeout (s)").fill("0.2")
    with paused(service):
        number = explorer.calls.count() + 1
        explorer.button("Send").click()
        explorer.has_ended(number, "DeadlineExceeded")
    expect(explorer.card).to_be_visible()
    assert not faults()


@pytest.fixture(scope="module")
def odd(needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service with a model that nobody would expect."""
    folder = tmp_path_factory.mktemp("odd")
    odd_models.make(folder / "odd" / "1")
    flags = ["--model_name=odd", f"--model_base_path={folder / 'odd'}"]
    with running(folder, *flags) as served:
        eventually(lambda: served.states("odd") == {1: AVAILABLE})
        yield served


def test_a_model_that_nobody_would_expect_is_explored(page: Page, lab: Lab, odd: Running) -> None:
    open_notebook(page, lab, "odd.ipynb", IMPORTS, f'Explorer("{odd.grpc}", names=["odd"])')
    explorer = Explorer(page)
    forms = {
        "float32 scalar": "float32 []",
        "string scalar": "string []",
        "int8 any": "int8 [1]",
        "bfloat16 rows": "bfloat16 [1, 2]",
        "of shape: several": "float32 [1, 2, 1, 1]",
    }
    sizes = {"int8 any": {"Shape": "1"}, "of shape: several": {"Size 2": "1", "Size 3": "1"}}
    for signature, told in forms.items():
        explorer.field("Signature").select_option(signature)
        for label, size in sizes.get(signature, {}).items():
            explorer.field(label).fill(size)
            explorer.field(label).press("Tab")
        expect(explorer.told(told)).to_be_visible()
        explorer.send()
        arrays = explorer.part.locator("details").filter(has_text="first values")
        arrays.evaluate("fold => fold.open = true")  # it may be, where there is no more to see
        expect(explorer.part.get_by_role("table").filter(has_text="first values")).to_be_visible()
    explorer.field("Signature").select_option("two hundred")
    expect(explorer.field("input 019")).to_be_visible()
    expect(explorer.field("input 020")).to_have_count(0)
    explorer.field("Inputs").select_option(index=9)
    expect(explorer.field("input 199")).to_be_visible()
    explorer.send()
    explorer.field("Signature").select_option("odd names")
    expect(explorer.field("<b onclick='x'>&amp;</b>")).to_be_visible()
    explorer.send()
    assert page.locator("b[onclick]").count() == 0  # a name is text, whatever is in it
