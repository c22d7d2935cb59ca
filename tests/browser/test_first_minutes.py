"""A person's first minutes: open a chapter, run it, use the lights and the panel, come back."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from practice import manager
from tests.browser.conftest import Lab
from tests.browser.pages import ERROR, open_chapter, picture, run_all, saved, serious_faults

pytestmark = pytest.mark.browser
FIELDS = [
    "Profile",
    "REST address",
    "gRPC address",
    "TLS",
    "CA file",
    "User",
    "Password",
    "Model",
    "Version or label",
    "Signature",
    "Test connection",
    "Save as",
    "Save profile",
]


def run_chapter(page: Page, lab: Lab, notebook: str, failures: int) -> Locator:
    """Run a chapter; returns its errors, of which there are so many."""
    open_chapter(page, lab, notebook)
    run_all(page)
    errors = page.locator(ERROR)
    expect(errors).to_have_count(failures)
    return errors


@pytest.fixture
def start(page: Page, lab: Lab) -> Page:
    open_chapter(page, lab, "00-start-here.ipynb")
    run_all(page)
    return page


def panel(page: Page):
    return page.locator(".widget-vbox", has=page.get_by_label("gRPC address")).last


def lamp(page: Page):
    return panel(page).get_by_role("status")


def test_chapter_00_runs_and_shows_what_the_model_found(start: Page) -> None:
    expect(start.locator(".jp-OutputArea-output img")).not_to_have_count(0)
    expect(start.locator(ERROR)).to_have_count(0)
    expect(lamp(start)).to_contain_text("Ready: answered in")
    picture(start, "chapter-00", "4. Choose an endpoint")


def test_chapter_03_runs_and_only_its_failure_is_an_error(page: Page, lab: Lab) -> None:
    errors = run_chapter(page, lab, "03-rest-tensorflow-serving.ipynb", failures=1)
    expect(errors).to_contain_text("UnknownModel: Model 'irsi' is not served at http://127.0.0.1")
    expect(page.get_by_label("REST address")).to_have_value(re.compile("http://127.0.0.1:"))
    picture(page, "chapter-03", "What the caller saw")


def test_chapter_04_runs_fails_three_times_and_its_slider_has_keys(page: Page, lab: Lab) -> None:
    errors = run_chapter(page, lab, "04-grpc-tensorflow-serving.ipynb", failures=3)
    expect(errors.first).to_contain_text("ConnectionFailed: Nothing answers at 127.0.0.1:1")
    expect(page.get_by_text("Traceback")).to_have_count(0)
    picture(page, "chapter-04", "7. Draw the boxes")
    expect(page.get_by_text("3 of 10 candidates have a score above 0.50.")).to_be_visible()
    page.get_by_role("slider").press("End")
    expect(page.get_by_text("0 of 10 candidates have a score above 1.00.")).to_be_visible()
    expect(page.get_by_alt_text("The picture with boxes around: nothing.")).to_be_visible()


def test_chapter_01_runs_plays_and_only_its_three_failures_are_errors(page: Page, lab: Lab) -> None:
    errors = run_chapter(page, lab, "01-rest-ccai.ipynb", failures=3)
    expect(errors.last).to_contain_text("ConnectionFailed: Nothing answers at http://127.0.0.1:1")
    expect(lamp(page)).to_contain_text("Ready: answered in")
    player = page.locator("audio").first
    player.evaluate("sound => { sound.muted = true; return sound.play() }")
    seconds = player.evaluate("sound => sound.duration")
    assert 0.5 < seconds < 1.5
    page.get_by_label("Text", exact=True).fill("please close the door")
    page.get_by_label("Text", exact=True).press("Enter")
    expect(page.get_by_text("Heard: please close the door")).to_be_visible()
    picture(page, "chapter-01", "Find faces")


def test_chapter_05_runs_and_keeps_no_password(page: Page, lab: Lab) -> None:
    errors = run_chapter(page, lab, "05-grpc-ccai-secure.ipynb", failures=2)
    expect(errors.first).to_contain_text("NotTrusted: The certificate of 127.0.0.1")
    expect(errors.last).to_contain_text("User and password are sent over TLS only")
    stored = saved(page, lab, "05-grpc-ccai-secure.ipynb")
    assert manager.variables("ccai")["OTW_CCAI_PASSWORD"] not in stored


def test_chapter_02_runs_and_keeps_no_token_and_no_secret(page: Page, lab: Lab) -> None:
    errors = run_chapter(page, lab, "02-rest-modelarts.ipynb", failures=1)
    expect(errors).to_contain_text("UnknownModel: No service is published at https://127.0.0.1")
    expect(page.get_by_role("status").first).to_contain_text("the token lives another 23 h")
    picture(page, "chapter-02", "The same in one line")
    stored = saved(page, lab, "02-rest-modelarts.ipynb")
    known = manager.variables("modelarts")
    secrets = [known[f"OTW_MODELARTS_{name}"] for name in ("PASSWORD", "SK", "APPCODE")]
    assert not [secret for secret in (*secrets, "gAAAAA") if secret in stored]


def test_chapter_06_runs_and_every_trial_has_its_answer(page: Page, lab: Lab) -> None:
    run_chapter(page, lab, "06-behind-a-proxy.ipynb", failures=0)
    expect(page.locator(".otw-explanation")).to_have_count(1)


def test_chapter_07_runs_shows_cards_and_turns_its_dial(page: Page, lab: Lab) -> None:
    run_chapter(page, lab, "07-when-calls-fail.ipynb", failures=0)
    cards = page.locator(".otw-explanation")
    expect(cards.first).to_contain_text("The machine answers and nobody listens on this port.")
    expect(page.get_by_text("Traceback (most recent call last)")).to_have_count(0)
    expect(page.get_by_text("with retries").last).to_be_visible()
    picture(page, "chapter-07", "9. A message that is too large")


def test_chapter_08_runs_and_shows_a_message_beside_its_bytes(page: Page, lab: Lab) -> None:
    run_chapter(page, lab, "08-on-the-wire.ipynb", failures=0)
    cards = page.locator(".otw-explanation")
    expect(cards).to_have_count(3)
    expect(cards.first).to_contain_text("INTERNAL")
    expect(cards.last).to_contain_text("Input 'features' has shape [1, 5]")
    messages = page.locator(".otw-wire")
    expect(messages.first).to_contain_text("tensorflow.serving.PredictRequest, 52 bytes")
    expect(messages.nth(2)).to_contain_text("*** stands for a secret")
    picture(page, "chapter-08", "2. See what is sent")


def test_a_light_goes_out_and_on(start: Page) -> None:
    light = start.get_by_text(re.compile("tfserving is (on|off)"))
    expect(light).to_contain_text("tfserving is on")
    start.get_by_role("button", name="Stop tfserving", exact=True).click()
    expect(light).to_contain_text("tfserving is off")
    start.get_by_role("button", name="Start tfserving", exact=True).click()
    expect(light).to_contain_text("tfserving is on")
    start.get_by_role("button", name="Log tfserving", exact=True).click()
    expect(start.get_by_text("Running gRPC ModelServer").last).to_be_visible()


def test_the_panel_tells_a_wrong_port_and_a_right_one(start: Page) -> None:
    address = start.get_by_label("gRPC address")
    good = address.input_value()
    address.fill("127.0.0.1:1")
    expect(lamp(start)).to_contain_text("Failed: Nothing answers at 127.0.0.1:1")
    address.fill("http://127.0.0.1")
    expect(panel(start)).to_contain_text("is not a gRPC address")
    address.fill(good)
    expect(lamp(start)).to_contain_text("Ready")
    start.get_by_label("Model", exact=True).fill("digits_detector")
    expect(start.get_by_label("Signature")).to_have_value("detected_model")


def test_saved_closed_and_opened_again_nothing_is_lost_and_no_secret_is_kept(
    start: Page, lab: Lab
) -> None:
    start.get_by_label("User").fill("ada")
    start.get_by_label("Password").fill("s3cr3t-word")
    start.get_by_label("Password").press("Tab")
    expect(start.get_by_label("Password")).to_have_value("")
    start.get_by_label("Model", exact=True).fill("iris")
    start.get_by_label("Save as").fill("mine")
    start.get_by_role("button", name="Save profile").click()
    expect(panel(start)).to_contain_text("Saved in endpoints.toml")
    stored = saved(start, lab, "00-start-here.ipynb")
    for text in (stored, lab.profiles.read_text(encoding="utf-8")):
        assert "s3cr3t-word" not in text
        assert lab.token not in text
    assert 'model = "iris"' in lab.profiles.read_text()
    open_chapter(start, lab, "00-start-here.ipynb")
    expect(start.get_by_label("Model", exact=True)).to_have_value("iris")
    expect(start.locator(".jp-OutputArea-output img")).not_to_have_count(0)


def test_the_keyboard_alone_reaches_every_field_in_order(start: Page) -> None:
    start.get_by_label("Profile").focus()
    reached = []
    for _ in FIELDS:
        reached.append(
            start.evaluate(
                "() => { const e = document.activeElement;"
                " return (e.labels && e.labels[0] || e).textContent.trim() }"
            )
        )
        start.keyboard.press("Tab")
    assert reached == FIELDS
    start.get_by_label("gRPC address").focus()
    start.keyboard.press("End")
    start.keyboard.type("9")
    expect(lamp(start)).not_to_contain_text("Ready")
    start.keyboard.press("Backspace")
    expect(lamp(start)).to_contain_text("Ready")


@pytest.mark.parametrize("width", [1280, 900])
def test_the_panel_fits_beside_something_else(start: Page, width: int) -> None:
    start.set_viewport_size({"width": width, "height": 800})
    boxes = [start.get_by_label(label).bounding_box() for label in FIELDS[:10]]
    assert all(box and box["x"] + box["width"] <= width for box in boxes)
    rows = panel(start).locator(".widget-text, .widget-dropdown").all()
    assert max((row.bounding_box() or {"width": 0})["width"] for row in rows) <= 1280 / 2


def test_axe_finds_no_serious_fault_in_our_widgets(start: Page) -> None:
    assert not serious_faults(start, ".jp-OutputArea-output .widget-vbox")
