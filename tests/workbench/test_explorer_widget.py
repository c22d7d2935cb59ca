"""The explorer without a browser: its fields are set as a browser would set them."""

import datetime
import gc
import json
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipywidgets import Widget

import practice
from helpers import endpoints, tfserving
from helpers.ccai.speech import Speech
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput, CallError, ConnectionFailed, DeadlineExceeded, UnknownModel
from practice.instance import PrivateEndpoint
from tests.http_answers import drip
from tests.tfserving import eventually
from tests.workbench.test_widgets import all_widgets
from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, TITLES, Preview
from workbench.explorer import Explorer, editors, export, panes
from workbench.explorer.calls import Record, Request
from workbench.fields import LAMPS
from workbench.panel import EndpointPanel

DATA = Path(__file__).parents[2] / "data"
DIGITS = DATA / "images" / "digits-08.png"
FLOWER = [[5.1, 3.5, 1.4, 0.2]]


@pytest.fixture(autouse=True)
def profile_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "endpoints.toml"


@pytest.fixture
def explorer(private: PrivateEndpoint) -> Iterator[Explorer]:
    made = Explorer(private)
    made.wait()
    yield made
    private.trouble()


def upload(explorer: Explorer, name: str, *files: tuple[str, bytes]) -> None:
    """Choose files as the browser does."""
    explorer.form.editors[name].upload.value = [
        {
            "name": title,
            "type": "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.datetime.now(datetime.UTC),
        }
        for title, content in files
    ]
    explorer.wait()


def told(explorer: Explorer, name: str) -> str:
    return explorer.form.editors[name].status.value


def state_of(explorer: Explorer) -> str:
    return json.dumps([each.get_state() for each in all_widgets(explorer)], default=repr)


def test_what_is_served_is_listed(explorer: Explorer) -> None:
    chooser = explorer.chooser
    assert "3 found" in chooser.status.value
    assert chooser.entry.options == ("digits", "digits_detector", "iris")
    assert chooser.version.options == ("the service's choice", "2", "1")
    assert "float32 [-1, 8, 8, 1]" in chooser.tree.value


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_picture_is_uploaded_sent_and_answered_with_boxes(
    explorer: Explorer, protocol: str
) -> None:
    explorer.choose("digits_detector")
    upload(explorer, "images", ("digits.png", DIGITS.read_bytes()))
    assert "float32 [1, 96, 96, 1] of digits.png" in told(explorer, "images")
    explorer.protocol.value = (protocol,)
    explorer.send_button.click()
    explorer.wait()
    assert "1 of 1 calls made" in explorer.status.value
    assert "detection_boxes" in explorer.answer.html.value
    assert "<img" in explorer.answer.html.value


def test_what_was_uploaded_is_not_stored_with_the_notebook(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    before = len(state_of(explorer))
    upload(explorer, "images", ("digits.png", DIGITS.read_bytes() + bytes(1_000_000)))
    [file] = explorer.form.editors["images"].upload.value
    assert not file["content"]
    assert len(state_of(explorer)) < before + 100_000


def test_several_pictures_are_one_batch(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    files = [(path.name, path.read_bytes()) for path in sorted(DATA.glob("images/digits-0*.png"))]
    upload(explorer, "images", *files[:3])
    assert "[3, 96, 96, 1]" in told(explorer, "images")
    assert explorer.send()["detection_boxes"].shape[0] == 3


def test_examples_are_sent_in_several_calls_and_come_together(explorer: Explorer) -> None:
    explorer.choose("iris")
    flowers = np.random.default_rng(1).random((7, 4)).astype("float32")
    explorer.fill(features=flowers)
    explorer.form.per_call.value = "3"
    explorer.wait()
    assert "This is the first of 3 calls." in explorer.preview.code.value
    explorer.send_button.click()
    explorer.wait()
    assert "3 of 3 calls made" in explorer.status.value
    assert "Where the time went" in explorer.answer.html.value
    assert "[7, 3]" in explorer.answer.html.value
    assert len(explorer.history.records) == 3


def test_both_protocols_are_sent_and_compared(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    explorer.protocol.value = ("grpc", "rest")
    explorer.send_button.click()
    explorer.wait()
    assert "Both answers are equal." in explorer.answer.html.value
    assert [each.protocol for each in explorer.history.records] == ["grpc", "rest"]
    assert {"connect", "send", "wait", "decode"} <= set(explorer.history.records[1].seconds)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (("notes.txt", b"not numbers"), "is no number"),
        (("a.png", b"no picture"), "no picture that can be read"),
        (("a.npy", b"\x93NUMPY broken"), "no .npy file"),
        (("empty", b""), "is empty"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_beside_the_input(
    explorer: Explorer, file: tuple[str, bytes], said: str
) -> None:
    explorer.choose("digits_detector")
    upload(explorer, "images", file)
    assert said in told(explorer, "images")
    assert explorer.send_button.disabled


def test_a_wrong_shape_says_the_right_one_and_nothing_is_sent(explorer: Explorer) -> None:
    explorer.choose("iris")
    editor = explorer.form.editors["features"]
    editor.source.value = editors.TYPED
    text = editor.fields[editors.TYPED][0]
    text.value = "1 2 3"
    explorer.wait()
    assert "has shape [1, 3]; expected float32 [-1, 4]" in editor.status.value
    assert explorer.send_button.disabled
    text.value = "1 2 3 4"
    explorer.wait()
    assert "float32 [1, 4]" in editor.status.value
    assert not explorer.send_button.disabled
    assert not explorer.history.records


def test_what_no_address_can_carry_is_refused_with_the_reason(private: PrivateEndpoint) -> None:
    explorer = Explorer(private.replace(rest=""))
    explorer.choose("iris")
    with pytest.raises(BadInput, match="cannot be called over 'rest'"):
        explorer.send("rest")
    explorer.form.protocols = ()
    explorer.protocol.options = ()
    explorer.send_button.click()
    explorer.wait()
    assert "cannot be sent to the addresses" in explorer.answer.html.value


def test_an_answer_that_cannot_be_shown_leaves_the_explorer_usable(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("nobody has thought of this")

    explorer.choose("iris")
    monkeypatch.setattr("workbench.answers.show", fail)
    explorer.send_button.click()
    explorer.wait()
    assert "nobody has thought of this" in explorer.answer.html.value
    monkeypatch.undo()
    explorer.send()
    assert "probabilities" in explorer.answer.html.value


def test_two_presses_at_once_make_one_call(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.send_button.click()
    assert explorer.send_button.disabled
    explorer.send_button.click()
    explorer.wait()
    assert len(explorer.history.records) == 1
    assert not explorer.send_button.disabled
    explorer.form.per_call.value = "0.5"
    explorer.wait()
    with pytest.raises(BadInput, match="Examples a call is a whole number"):
        explorer.code("curl")
    explorer.send_button.click()
    explorer.wait()
    assert len(explorer.history.records) == 1


def test_random_values_follow_their_size_and_seed(explorer: Explorer) -> None:
    explorer.choose("iris")
    editor = explorer.form.editors["features"]
    assert editor.source.value == editors.RANDOM
    [count] = editor.sizes
    seed = explorer.form.seed
    assert seed in explorer.form.children
    count.value = "5"
    explorer.wait()
    assert "float32 [5, 4]" in editor.status.value
    first = explorer.send()["probabilities"]
    assert np.array_equal(first, explorer.send()["probabilities"])
    seed.value = 1
    explorer.wait()
    assert not np.array_equal(first, explorer.send()["probabilities"])


def test_the_preprocessing_is_shown_and_changes_what_is_sent(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    upload(explorer, "images", ("digits.png", DIGITS.read_bytes()))
    adjusting = explorer.form.editors["images"].preprocessing
    assert adjusting.preprocessing.scale == "0..1"
    assert "as it will be sent" in adjusting.picture.value
    before = explorer.form.editors["images"].read()
    adjusting.fields["scale"].value = "-1..1"
    explorer.wait()
    after = explorer.form.editors["images"].read()
    assert np.allclose(after, before * 2 - 1, atol=1e-6)
    adjusting.fields["channels"].value = 3
    explorer.wait()
    assert "becomes shape [1, 96, 96, 3]; expected float32 [-1, 96, 96, 1]" in told(
        explorer, "images"
    )
    assert adjusting.picture.value == ""
    adjusting.fields["channels"].value = 1
    explorer.wait()
    assert "[96, 96, 1]" in adjusting.picture.value


def test_what_changes_while_it_is_read_is_read_again(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer.choose("iris")
    editor = explorer.form.editors["features"]
    editor.source.value = editors.TYPED
    explorer.wait()
    begun, go, read = threading.Event(), threading.Event(), editors.values.from_text

    def slowly(*of: Any, **options: Any) -> np.ndarray:
        begun.set()
        assert go.wait(20)
        return read(*of, **options)

    monkeypatch.setattr(editors.values, "from_text", slowly)
    text = editor.fields[editors.TYPED][0]
    text.value = "1 2 3 4"
    assert begun.wait(20)
    text.value = "5 6 7 8"
    go.set()
    explorer.wait()
    assert explorer.form.requests()[0].payload["features"].tolist() == [[5, 6, 7, 8]]


def test_what_was_typed_is_there_again_after_another_source(explorer: Explorer) -> None:
    explorer.choose("iris")
    editor = explorer.form.editors["features"]
    editor.source.value = editors.PASTED
    editor.fields[editors.PASTED][0].value = "1,2,3,4"
    for source in (editors.RANDOM, editors.TYPED, editors.PASTED):
        editor.source.value = source
    assert editor.children[1].value == "1,2,3,4"
    explorer.wait()
    assert explorer.form.requests()[0].payload["features"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("kind", [np.array, list])
def test_an_array_that_the_caller_changes_later_stays_as_it_was_given(
    explorer: Explorer, kind: Any
) -> None:
    explorer.choose("iris")
    flower = kind([[5.1, 3.5, 1.4, 0.2]])
    explorer.fill(features=flower)
    first = explorer.send()["probabilities"]
    flower[0][0] = 100.0
    assert np.array_equal(explorer.send()["probabilities"], first)
    assert explorer.history.records[0].request.payload["features"][0, 0] == np.float32(5.1)


def test_look_again_keeps_what_was_chosen_and_filled_in(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    explorer.chooser.signature.value = "detected_model"
    explorer.choose("digits")
    explorer.chooser.version.value = "1"
    explorer.wait()
    picture = np.ones((1, 8, 8, 1), "float32")
    explorer.fill(images=picture)
    explorer.chooser.look.click()
    explorer.wait()
    explorer.chooser.names.value = "no-such-model"
    explorer.wait()
    assert explorer.chooser.version.value == "1"
    assert explorer.chooser.entry.value == "digits"
    request = explorer.form.requests()[0]
    assert request.endpoint.version == 1
    assert np.array_equal(request.payload["images"], picture)


def test_look_again_asks_for_what_the_panel_says_now(private: PrivateEndpoint) -> None:
    panel = EndpointPanel("tfserving", model="digits")
    panel.grpc.value = private.grpc
    explorer = Explorer(panel)
    explorer.wait()
    panel.version.value = "1"
    explorer.chooser.look.click()
    explorer.wait()
    assert explorer.form.endpoint.version == 1


def test_the_model_that_was_named_goes_before_a_profile_that_is_out_of_date(
    private: PrivateEndpoint,
) -> None:
    profiles.save("before", Endpoint("tfserving", grpc=private.grpc, model="gone"))
    explorer = Explorer(private.grpc, names=["iris"])
    explorer.wait()
    assert explorer.chooser.entry.options == (
        ("gone (not served)", "gone"),
        ("iris", "iris"),
    )
    assert explorer.chooser.entry.value == "iris"
    explorer.choose("iris")
    with pytest.raises(UnknownModel) as caught:
        explorer.choose("gone")
    assert "Did you mean" not in str(caught.value)


def test_an_input_may_be_called_self(explorer: Explorer) -> None:
    explorer.choose("iris")
    with pytest.raises(BadInput, match="There is no input 'self'"):
        explorer.fill(**{"self": 1})


def test_the_preview_follows_the_form(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    for title in TITLES:
        assert "5.1" in explorer.code(title)
    explorer.preview.title.value = CURL
    assert "curl" in explorer.preview.code.value
    explorer.fill(features="none of it")
    with pytest.raises(BadInput, match="is text; expected float32"):
        explorer.code(GRPC)
    with pytest.raises(BadInput, match="There is no 'perl'"):
        explorer.code("perl")


def test_the_files_of_a_preview_are_saved_when_asked_for(
    explorer: Explorer, tmp_path: Path
) -> None:
    explorer.choose("digits_detector")
    explorer.fill(images=DIGITS)
    explorer.preview.title.value = REQUESTS
    explorer.preview.save.click()
    assert np.array_equal(np.load(tmp_path / "images.npy"), explorer.form.editors["images"].read())
    assert f"Saved in the folder {tmp_path.name}." in explorer.preview.saved.value


def test_a_file_of_somebody_else_is_replaced_only_when_asked_twice(
    explorer: Explorer, tmp_path: Path
) -> None:
    explorer.choose("digits_detector")
    upload(explorer, "images", ("digits.png", DIGITS.read_bytes()))
    explorer.preview.title.value = GRPC
    own = tmp_path / "images.npy"
    own.write_bytes(b"mine")
    explorer.preview.save.click()
    assert "images.npy would be replaced" in explorer.preview.saved.value
    assert own.read_bytes() == b"mine"
    explorer.preview.save.click()
    assert "Saved" in explorer.preview.saved.value
    assert np.load(own).shape == (1, 96, 96, 1)
    explorer.preview.save.click()  # the same content
    assert "Saved" in explorer.preview.saved.value


def test_json_that_is_too_long_to_show_can_be_saved(explorer: Explorer, tmp_path: Path) -> None:
    explorer.choose("digits_detector")
    explorer.fill(images=np.zeros((30, 96, 96, 1), "float32"))
    explorer.wait()
    explorer.preview.title.value = JSON
    assert "Save body.json" in explorer.preview.code.value
    assert explorer.preview.save in explorer.preview.children
    explorer.preview.save.click()
    sent = json.loads((tmp_path / "body.json").read_bytes())["inputs"]["images"]
    assert np.shape(sent) == (30, 96, 96, 1)


def test_an_error_is_a_card_and_the_next_call_goes(
    explorer: Explorer, private: PrivateEndpoint
) -> None:
    explorer.choose("iris")
    private.trouble(fail="UNAVAILABLE", rate=1.0)
    explorer.send_button.click()
    explorer.wait()
    assert "otw-explanation" in explorer.answer.html.value
    assert "Traceback" not in explorer.answer.html.value
    private.trouble()
    explorer.send_button.click()
    explorer.wait()
    assert [each.status == "OK" for each in explorer.history.records] == [False, True]


def test_cancel_frees_the_form_at_once(explorer: Explorer, private: PrivateEndpoint) -> None:
    explorer.choose("iris")
    for protocol in ("grpc", "rest"):
        private.trouble(delay=30)
        explorer.protocol.value = (protocol,)
        explorer.form.timeout.value = 60
        explorer.send_button.click()
        waited(lambda: explorer.cancel_button.disabled is False)
        explorer.cancel_button.click()
        explorer.wait(20)
        assert "cancelled after 0 of 1 calls" in explorer.status.value
        assert explorer.history.records[-1].status == "cancelled"
        assert "Cancelled" in explorer.answer.html.value
        assert not explorer.send_button.disabled
        private.trouble()
        explorer.send()


def test_a_cell_hears_that_its_call_was_cancelled(
    explorer: Explorer, private: PrivateEndpoint
) -> None:
    explorer.choose("iris")
    private.trouble(delay=30)
    explorer.form.timeout.value = 60
    explorer.cancel_button.observe(lambda change: explorer.cancel(), "disabled")
    with pytest.raises(CallError, match="The call was cancelled"):
        explorer.send()


def test_a_call_that_no_address_carries_is_an_error_in_a_cell(private: PrivateEndpoint) -> None:
    explorer = Explorer(private.replace(model="iris"))
    explorer.wait()
    explorer.form.protocols = explorer.protocol.options = ()
    with pytest.raises(BadInput, match="cannot be sent to the addresses"):
        explorer.send()


def test_the_answer_says_what_was_called(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.send()
    assert explorer.answer.html.value.startswith("<p>iris · serving_default</p>")


def waited(holds: Any) -> None:
    from tests.tfserving import eventually

    eventually(holds)


def test_a_deadline_is_told_as_one(explorer: Explorer, private: PrivateEndpoint) -> None:
    explorer.choose("iris")
    explorer.form.timeout.value = 0.2
    private.trouble(delay=5)
    with pytest.raises(DeadlineExceeded):
        explorer.send()


def test_the_kernel_goes_on_while_a_call_is_under_way(
    explorer: Explorer, private: PrivateEndpoint
) -> None:
    explorer.choose("iris")
    private.trouble(delay=2)
    done = threading.Event()

    def hear(change: dict[str, Any]) -> None:
        if "made" in change["new"]:
            done.set()

    explorer.status.observe(hear, "value")
    explorer.send_button.click()
    assert not done.is_set()  # the click came back before the answer
    assert done.wait(20)


def test_a_dead_service_is_told_and_found_again() -> None:
    with practice.private("tfserving") as own:
        explorer = Explorer(own)
        explorer.choose("iris")
        own.kill()
        with pytest.raises(ConnectionFailed):
            explorer.send()
        assert "otw-explanation" in explorer.answer.html.value
        explorer.chooser.look.click()
        explorer.wait()
        assert "ConnectionFailed" in explorer.chooser.status.value
        assert explorer.send_button.disabled


def test_nothing_there_is_a_card_and_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    explorer = Explorer("127.0.0.1:1", names=["iris"])
    explorer.wait()
    assert explorer.chooser.card in explorer.chooser.children
    assert "Nothing answers at 127.0.0.1:1" in explorer.chooser.card.value
    assert explorer.form is None
    with pytest.raises(BadInput, match="There is no form yet"):
        explorer.send()
    assert "Traceback" not in capfd.readouterr().err


def test_an_address_brings_what_its_profile_knows(endpoint: Endpoint) -> None:
    explorer = Explorer(endpoint.grpc)
    explorer.wait()
    assert explorer.chooser.entry.options == ("digits", "digits_detector", "iris")
    assert [value for _, value in explorer.protocol.options] == [
        ("grpc",),
        ("rest",),
        ("grpc", "rest"),
    ]
    assert Explorer(endpoint.rest).endpoint == explorer.endpoint


def test_a_panel_is_asked_for_its_endpoint_each_time(endpoint: Endpoint) -> None:
    panel = EndpointPanel("tfserving", model="iris")
    explorer = Explorer(panel)
    explorer.wait()
    assert explorer.chooser.entry.value == "iris"
    panel.grpc.value, panel.rest.value = "127.0.0.1:1", ""
    explorer.chooser.look.click()
    explorer.wait()
    assert "Nothing answers at 127.0.0.1:1" in explorer.chooser.card.value


class Place:
    """Where an explorer looks, for as long as nobody says otherwise."""

    endpoint = Endpoint("tfserving")


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_an_address_that_does_not_answer_holds_up_no_other(
    private: PrivateEndpoint, tcp_server: Callable[[None], str], protocol: str
) -> None:
    address = tcp_server(None)
    place = Place()
    addresses = {"rest": f"http://{address}"} if protocol == "rest" else {"grpc": address}
    place.endpoint = Endpoint("tfserving", model="iris").replace(**addresses)
    explorer = Explorer(place, timeout=60)
    try:
        eventually(lambda: "asking" in explorer.chooser.status.value)
        place.endpoint = private.replace(model="iris")
        explorer.chooser.look.click()
        explorer.wait(30)
        assert explorer.chooser.entry.value == "iris"
    finally:
        explorer.close()


def test_an_address_that_drips_is_given_up(tcp_server: Callable[..., str]) -> None:
    dripping = tcp_server(drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"))
    explorer = Explorer(Endpoint("tfserving", rest=f"http://{dripping}", model="m"), timeout=0.5)
    explorer.wait()
    assert explorer.chooser.status.value.endswith("DeadlineExceeded</span>")


@pytest.mark.parametrize("wrong", ["http:/x", "127.0.0.1", 5, None])
def test_what_is_no_place_is_refused(wrong: Any) -> None:
    with pytest.raises(BadInput, match="address"):
        Explorer(wrong)


def test_models_are_named_by_hand_or_by_a_config_file(private: PrivateEndpoint) -> None:
    bare = private.replace(models=())
    explorer = Explorer(bare)
    explorer.wait()
    assert "Name a model" in explorer.chooser.status.value
    explorer.chooser.names.value = "iris, nothing"
    explorer.wait()
    missing = ("nothing (not served)", "nothing")
    assert explorer.chooser.entry.options == (("iris", "iris"), missing)
    explorer.chooser.entry.value = "nothing"
    explorer.wait()
    assert "is not served" in explorer.chooser.card.value
    config = b'model_config_list { config { name: "digits" base_path: "/m" } }'
    explorer.chooser.config.take([("models.config", config)])
    explorer.wait()
    assert [value for _, value in explorer.chooser.entry.options] == ["iris", "nothing", "digits"]
    explorer.chooser.config.take([("models.config", b"\xff{")])
    explorer.wait()
    assert "cannot be read as a config file" in explorer.chooser.card.value


def test_a_version_is_chosen(explorer: Explorer) -> None:
    explorer.choose("digits")
    explorer.chooser.version.value = "1"
    explorer.wait()
    assert explorer.form.endpoint.version == 1
    explorer.fill(images=np.zeros((8, 8, 1), "float32"))
    explorer.send()
    assert explorer.history.records[-1].request.target == "digits 1 · serving_default"


def test_what_is_filled_in_stays_when_the_service_is_looked_at_again(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    form = explorer.form
    explorer.chooser.look.click()
    explorer.wait()
    assert explorer.form is form


def test_another_model_takes_the_answer_of_the_last_one_away(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.send()
    assert explorer.answer.html.value
    explorer.choose("digits")
    assert not explorer.answer.html.value
    assert not explorer.status.value


def test_an_unknown_name_says_what_there_is(explorer: Explorer) -> None:
    with pytest.raises(UnknownModel, match="'irsi' is not served"):
        explorer.choose("irsi")
    explorer.wait()
    explorer.chooser.entry.value = "irsi"
    explorer.wait()
    assert "UnknownModel" in explorer.chooser.status.value
    explorer.choose("iris")
    assert " found" in explorer.chooser.status.value
    with pytest.raises(BadInput, match="There is no input 'feature'; there are \\['features'\\]"):
        explorer.fill(feature=FLOWER)
    with pytest.raises(BadInput, match="signatures"):
        explorer.choose("iris", "other")


def test_history_shows_sends_again_and_exports(explorer: Explorer) -> None:
    explorer.history.show.click()
    explorer.wait()
    assert "No call has been made yet." in explorer.history.status.value
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    explorer.send()
    explorer.choose("digits")
    explorer.form.editors["images"].source.value = editors.RANDOM
    explorer.send()
    explorer.history.calls.value = 1
    explorer.history.show.click()
    explorer.wait()
    assert "probabilities" in explorer.answer.html.value
    explorer.history.again.click()
    explorer.wait()
    assert [each.request.target for each in explorer.history.records] == [
        "iris · serving_default",
        "digits · serving_default",
        "iris · serving_default",
    ]


def test_show_brings_back_inputs_and_answer_together(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    answered = explorer.send()["probabilities"]
    explorer.chooser.version.value = "1"
    explorer.wait()
    explorer.form.editors["features"].source.value = editors.RANDOM
    explorer.send()
    explorer.choose("digits")
    explorer.history.calls.value = 1
    explorer.history.show.click()
    explorer.wait()
    assert explorer.chooser.entry.value == "iris"
    assert explorer.chooser.version.value == "the service's choice"
    assert (
        explorer.form.editors["features"].fields[editors.TYPED][0].value == "[[5.1, 3.5, 1.4, 0.2]]"
    )
    assert "0.9" in explorer.answer.html.value
    assert np.array_equal(explorer.send()["probabilities"], answered)
    explorer.history.calls.value = 2
    explorer.history.again.click()
    explorer.wait()
    assert explorer.history.records[-1].request is explorer.history.records[1].request
    assert explorer.chooser.version.value == "1"


def test_a_picture_that_was_sent_is_brought_back_and_one_of_another_place_is_not(
    explorer: Explorer,
) -> None:
    explorer.choose("digits_detector")
    explorer.fill(images=DIGITS)
    sent = explorer.send() and explorer.history.records[0].request.payload["images"]
    explorer.choose("iris")
    explorer.history.show.click()
    explorer.wait()
    assert "boxes" in explorer.answer.html.value
    assert np.array_equal(explorer.form.editors["images"].read(), sent)
    explorer.choose("iris")
    elsewhere = explorer.endpoint.replace(grpc="127.0.0.1:1", rest="")
    explorer._endpoint = explorer.chooser._endpoint = lambda: elsewhere
    explorer.chooser.refresh()
    explorer.wait()
    explorer.history.show.click()
    explorer.wait()
    assert "boxes" in explorer.answer.html.value


def test_all_pictures_that_were_chosen_are_shown(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    picture = (DIGITS.name, DIGITS.read_bytes())
    upload(explorer, "images", picture, picture)
    shown = explorer.form.editors["images"].preprocessing.picture.value
    assert shown.count("<img") == 2
    assert "as they will be sent" in shown
    upload(explorer, "images", *[picture] * 101)
    shown = explorer.form.editors["images"].preprocessing.picture.value
    assert shown.count("<img") == 100
    assert "as they will be sent, the first 100 of 101" in shown


def test_a_slider_says_from_which_score_on_boxes_are_drawn(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    explorer.fill(images=DIGITS)
    scores = explorer.send()["detection_scores"]
    assert explorer.answer.scores in explorer.answer.children
    for sure in (0.05, 0.5, 1.0):
        explorer.answer.sure.value = sure
        explorer.wait()
        count = np.count_nonzero(scores >= sure)
        assert re.search(
            rf"\b{count} box(es)? with a score of {sure:g}", explorer.answer.html.value
        )
    explorer.choose("iris")
    explorer.send()
    assert explorer.answer.scores not in explorer.answer.children, "there are no boxes"


def test_a_label_file_names_the_classes_of_this_model_only(explorer: Explorer) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    explorer.send()
    pane = explorer.answer
    for content in (b"setosa\nversicolor\nvirginica\n", b'{"setosa": 0, "virginica": 2}'):
        pane.labels.take([("labels", content)])
        explorer.wait()
        assert "setosa (0)" in pane.html.value
        assert "3 names" in pane.named.value
    pane.labels.take([("labels", b"\xff\xfe")])
    explorer.wait()
    assert "This is no label file" in pane.named.value
    assert "setosa (0)" in pane.html.value
    explorer.choose("digits")
    explorer.form.editors["images"].source.value = editors.RANDOM
    explorer.send()
    assert "setosa" not in pane.html.value


def test_calls_are_exported_as_files_that_a_person_can_open(
    explorer: Explorer, tmp_path: Path
) -> None:
    explorer.history.export.click()
    explorer.wait()
    assert "No call has been made yet." in explorer.history.status.value
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    explorer.send()
    explorer.choose("digits_detector")
    explorer.fill(images=DIGITS)
    outputs = explorer.send()
    explorer.history.export.click()
    explorer.wait()
    [folder] = tmp_path.glob("calls-*")
    assert str(folder) in explorer.history.status.value
    assert sorted(file.name for file in folder.iterdir()) == [
        "0001-inputs.json",
        "0001-outputs.json",
        "0002-inputs-1-images.npy",
        "0002-inputs.json",
        "0002-outputs.json",
        "calls.csv",
    ]
    assert json.loads((folder / "0001-inputs.json").read_text()) == {"features": FLOWER}
    [name] = json.loads((folder / "0002-inputs.json").read_text()).values()
    assert np.load(folder / name).shape == (1, 96, 96, 1)
    answered = json.loads((folder / "0002-outputs.json").read_text())
    assert np.allclose(answered["detection_boxes"], outputs["detection_boxes"])
    assert len((folder / "calls.csv").read_text("utf-8-sig").splitlines()) == 3


def test_what_was_sent_as_a_file_is_exported_as_that_file(tmp_path: Path) -> None:
    sound = Speech(np.zeros(8, "float32"), 16000)
    request = Request(
        Endpoint("ccai", rest="http://127.0.0.1:1"),
        "asr",
        DIGITS.read_bytes(),
        ("rest",),
        print,
        lambda: Preview({}, {}, {}),
    )
    record = Record(request, "rest", datetime.datetime.now(datetime.UTC), {}, answer=sound)
    assert export.write(tmp_path / "calls", [record, record.without_arrays()]) == 3
    assert (tmp_path / "calls" / "0001-inputs.png").read_bytes() == DIGITS.read_bytes()
    assert (tmp_path / "calls" / "0001-outputs.wav").read_bytes() == sound.wav()


def test_beside_each_input_stands_what_it_takes_and_only_what_was_meant_is_green(
    explorer: Explorer,
) -> None:
    explorer.choose("iris")
    editor = explorer.form.editors["features"]
    assert "takes float32 [-1, 4]" in editor.status.value
    assert LAMPS["grey"] in editor.status.value, "random numbers"
    editor.source.value = "file"
    upload(explorer, "features", ("flower.csv", b"x"))
    assert LAMPS["red"] in editor.status.value
    assert editor.status.value.count("float32 [-1, 4]") == 1, "the sentence says it"
    explorer.fill(features=FLOWER)
    assert LAMPS["green"] in editor.status.value


def test_old_arrays_are_dropped_before_memory_is_full(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.explorer.panes.KEPT", 100)
    explorer.choose("iris")
    for _ in range(4):
        explorer.send()
    kept = [each.request.payload is not None for each in explorer.history.records]
    assert kept[-1]
    assert not kept[0]
    explorer.history.calls.value = 1
    explorer.history.again.click()
    explorer.wait()
    assert "were dropped" in explorer.history.status.value


def test_arrays_that_are_dropped_leave_the_memory(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.explorer.panes.KEPT", 100)
    explorer.choose("iris")
    sent = []
    for number in range(4):
        explorer.fill(features=np.full((1, 4), number, "float32"))
        explorer.send()
        sent.append(weakref.ref(explorer.history.records[-1].request.payload["features"]))
    gc.collect()
    assert sent[0]() is None
    assert sent[-1]() is not None


def test_strings_and_json_count_for_the_memory_that_is_kept() -> None:
    strings = {"x": np.array([b"0" * 1000] * 3, object)}
    assert panes.size_of(strings) == 3000
    assert panes.size_of({"a": [{"b": "0" * 500}, 1.5]}) == 508
    assert panes.size_of(Speech(np.zeros(1000, "float32"), 16000)) > 4000
    assert panes.size_of({"x": np.zeros((10, 10), "float32")}) == 400
    assert panes.size_of(b"0" * 70) == 70


def test_ccai_and_modelarts_have_forms_of_their_own() -> None:
    practice.ready("ccai", "modelarts")
    spoken = Explorer(endpoints.load("ccai", "practice-secure"))
    spoken.choose("fcgi_py_tts")
    spoken.fill("hello")
    assert spoken.preview.title.value == REQUESTS  # there is no method for it over gRPC
    spoken.fill("hello")
    assert spoken.send().seconds > 0.2
    spoken.choose("fcgi_py_ocr")
    spoken.fill(DATA / "notes" / "note.jpg")
    assert {each.text for each in spoken.send("rest")} == {
        each.text for each in spoken.send("grpc")
    }
    read = spoken.form.requests()[0]
    spoken.fill(DATA / "images" / "digit.png")
    assert spoken.form.requests()[0].call("rest") != read.call("rest") == read.call("grpc")
    spoken.choose("fcgi_meminfo")
    assert spoken.send()
    secured = Explorer(endpoints.load("modelarts", "practice-digits"))
    for each in (spoken, secured):
        with pytest.raises(BadInput, match="does not tell what it takes"):
            each.fill_at_random()
    secured.fill(DATA / "images" / "digit.png")
    assert secured.send()["predicted_label"] == "4"
    secret = endpoints.load("modelarts").password
    assert secret not in state_of(secured)
    assert endpoints.load("ccai", "practice-secure").password not in state_of(spoken)


@pytest.mark.tensorflow
def test_classify_and_regress_take_examples() -> None:
    with practice.private("tfserving-tf") as own:
        explorer = Explorer(own)
        explorer.choose("iris_examples", "classify")
        lengths = dict(
            zip(
                ["sepal_length", "sepal_width", "petal_length", "petal_width"],
                FLOWER[0],
                strict=True,
            )
        )
        explorer.fill([lengths])
        answer = explorer.send()
        assert answer["classes"][0, answer["scores"][0].argmax()] == "setosa"
        explorer.choose("iris_examples", "regress")
        explorer.fill([lengths])
        assert explorer.send("rest")["value"].shape == (1,)
        assert explorer.form.status.value.count("sepal_length float") == 1
        explorer.fill_at_random()
        with pytest.raises(BadInput, match=r"Feature: \w+ \(data type: float\) is required"):
            explorer.send()
        explorer.form.examples.value = "[1]"
        explorer.wait()
        assert "list of objects" in explorer.form.status.value


def test_every_error_in_a_field_is_a_call_error(explorer: Explorer) -> None:
    explorer.choose("iris")
    for text in ("", "[", "nan" * 9, "1,2;3", "{}", "[[[[1]]]]"):
        explorer.fill(features=text)
        with pytest.raises(CallError):
            explorer.form.requests()
        assert not explorer.form.check()


def test_closing_leaves_no_thread(private: PrivateEndpoint) -> None:
    before = threading.active_count()
    made = [Explorer(private) for _ in range(3)]
    for each in made:
        each.wait()
        each.close()
    waited(lambda: threading.active_count() <= before)


def widgets_of(explorer: Explorer) -> list[Widget]:
    return all_widgets(explorer)


def test_every_field_has_a_label(explorer: Explorer) -> None:
    explorer.choose("digits_detector")
    for each in widgets_of(explorer):
        if (
            hasattr(each, "value")
            and hasattr(each, "description")
            and "HTML" not in repr(type(each))
        ):
            assert each.description.strip(), type(each)


def test_predict_and_the_explorer_agree(explorer: Explorer, private: PrivateEndpoint) -> None:
    explorer.choose("iris")
    explorer.fill(features=FLOWER)
    plain = tfserving.predict(private.replace(model="iris"), {"features": FLOWER})
    assert np.array_equal(explorer.send()["probabilities"], plain["probabilities"])
