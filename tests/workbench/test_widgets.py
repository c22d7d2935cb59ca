"""The endpoint panel without a browser: its fields are set as a browser would set them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from ipywidgets import Widget

import practice
from helpers import ccai, channels, endpoints, errors, modelarts, tfserving
from helpers.endpoints import Endpoint, profiles
from practice import manager
from tests.fronts import TOKEN, rest_front
from workbench.explorer import Explorer
from workbench.panel import EndpointPanel


@pytest.fixture(autouse=True)
def profile_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    return tmp_path / "endpoints.toml"


@pytest.fixture
def panel(endpoint: Endpoint) -> EndpointPanel:
    made = EndpointPanel("tfserving", model="digits_detector")
    made.wait()
    return made


def state_of(panel: EndpointPanel) -> str:
    return json.dumps([widget.get_state() for widget in all_widgets(panel)], default=str)


def all_widgets(widget: Widget) -> list[Widget]:
    children = getattr(widget, "children", ())
    return [widget, *(each for child in children for each in all_widgets(child))]


def test_its_defaults_make_a_call(panel: EndpointPanel, images: np.ndarray) -> None:
    assert panel.endpoint.signature_name == "detected_model"
    assert tfserving.predict(panel.endpoint, {"images": images})["detection_boxes"].size


def test_the_lamp_says_ready_in_a_word(panel: EndpointPanel) -> None:
    assert "Ready: answered in" in panel.lamp.value


def test_choices_are_filled_from_the_server(panel: EndpointPanel) -> None:
    assert panel.model.options == ("digits", "digits_detector", "iris")
    assert panel.version.options == ("newest", "1")
    assert panel.signature.options == ("detected_model",)
    panel.model.value = "iris"
    panel.wait()
    assert panel.signature.options == ("serving_default",)
    assert panel.endpoint.signature_name == "serving_default"


def test_a_version_or_a_label(panel: EndpointPanel) -> None:
    panel.version.value = "1"
    assert (panel.endpoint.version, panel.endpoint.version_label) == (1, "")
    panel.version.value = "stable"
    assert (panel.endpoint.version, panel.endpoint.version_label) == (None, "stable")
    panel.wait()
    assert "no version label" in panel.lamp.value


def test_a_wrong_port_is_red_with_the_reason_and_green_again(panel: EndpointPanel) -> None:
    good = panel.grpc.value
    panel.grpc.value = "127.0.0.1:1"
    panel.wait()
    assert "Failed: Nothing answers at 127.0.0.1:1" in panel.lamp.value
    panel.grpc.value = good
    panel.wait()
    assert "Ready" in panel.lamp.value


@pytest.mark.parametrize(
    "address", ["127.0.0.1:99999", "http://127.0.0.1:8500", "::1:8500", "here"]
)
def test_a_bad_address_is_told_as_it_is_typed(panel: EndpointPanel, address: str) -> None:
    panel.grpc.value = address
    assert "is not a gRPC address" in panel.hint.value
    with pytest.raises(errors.BadInput, match="not a gRPC address"):
        assert panel.endpoint
    panel.grpc.value = "[::1]:8500"
    assert panel.hint.value == ""


def test_a_ca_file_that_is_none_is_red(panel: EndpointPanel, tmp_path: Path) -> None:
    panel.ca_file.value = str(tmp_path / "ca.pem")
    panel.wait()
    assert "Failed: The CA file" in panel.lamp.value


def test_the_password_is_in_no_widget_no_profile_and_no_text(
    panel: EndpointPanel, profile_file: Path
) -> None:
    panel.user.value, panel.password.value = "ada", "s3cr3t-word"
    panel.name.value = "mine"
    panel.save.click()
    panel.wait()
    assert panel.endpoint.password == "s3cr3t-word"
    assert "s3cr3t" not in state_of(panel)
    assert "s3cr3t" not in profile_file.read_text()
    assert "s3cr3t" not in repr(panel) + repr(panel.endpoint)


def test_no_password_goes_to_a_half_typed_address(
    panel: EndpointPanel, tcp_server: Callable
) -> None:
    panel.user.value, panel.password.value = "ada", "s3cr3t-word"
    panel.grpc.value = tcp_server(None)
    assert "press Test connection" in panel.lamp.value
    panel.test.click()
    panel.wait()
    assert "User and password are sent over TLS only" in panel.lamp.value


def test_a_saved_profile_is_chosen_again(panel: EndpointPanel, profile_file: Path) -> None:
    panel.model.value = "iris"
    panel.wait()
    panel.name.value = "mine"
    panel.save.click()
    assert "Saved in endpoints.toml" in panel.saved.value
    again = EndpointPanel("tfserving", profile="mine")
    assert (again.endpoint.model, again.endpoint.signature_name) == ("iris", "serving_default")


def test_saving_a_profile_keeps_the_one_that_is_chosen(
    panel: EndpointPanel, profile_file: Path
) -> None:
    panel.name.value = "first"
    panel.save.click()
    again = EndpointPanel("tfserving", profile="first")
    again.model.value = "iris"
    again.name.value = "second"
    again.save.click()
    again.wait()
    assert again.profile.value == "first"
    assert "second" in again.profile.options
    assert again.endpoint.model == "iris"


def test_a_bad_name_is_not_saved(panel: EndpointPanel, profile_file: Path) -> None:
    panel.name.value = "my server"
    panel.save.click()
    assert "cannot name a profile" in panel.saved.value
    assert not profile_file.exists()


def test_a_broken_file_is_told_and_good_profiles_still_work(
    endpoint: Endpoint, profile_file: Path
) -> None:
    profile_file.write_text('[bad\n[good]\ngrpc = "127.0.0.1:1"\n[odd]\nport = 1\n')
    panel = EndpointPanel("tfserving", profile="good")
    assert panel.profile.options == ("practice", "practice-tf", "practice-ray", "good")
    assert "line 1" in panel.saved.value
    assert "odd" in panel.saved.value


def test_the_environment_is_offered_when_it_says_something(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_TFSERVING_GRPC", endpoint.grpc)
    panel = EndpointPanel("tfserving", profile="environment", model="iris")
    assert panel.endpoint == Endpoint("tfserving", grpc=endpoint.grpc, model="iris")


def test_what_the_environment_says_is_chosen_at_the_beginning(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_TFSERVING_GRPC", endpoint.grpc)
    panel = EndpointPanel("tfserving", model="iris")
    assert panel.profile.value == "environment"
    assert (panel.grpc.value, panel.rest.value) == (endpoint.grpc, "")


def test_the_lamp_is_green_only_when_both_addresses_answer(panel: EndpointPanel) -> None:
    panel.rest.value = "http://127.0.0.1:1"
    panel.wait()
    assert "Failed: Over gRPC it answers, over REST it does not." in panel.lamp.value
    assert "http://127.0.0.1:1" in panel.lamp.value
    panel.rest.value = ""
    panel.wait()
    assert "Ready: answered in" in panel.lamp.value


def test_without_a_service_it_still_shows_and_says_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path / "nothing"))
    panel = EndpointPanel("tfserving", model="digits")
    assert "Failed: The practice service tfserving is not running" in panel.lamp.value
    assert panel.endpoint == Endpoint("tfserving", model="digits")


def test_an_unknown_kind_or_profile_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(errors.BadInput, match="Unknown kind"):
        EndpointPanel("tf")
    with pytest.raises(errors.BadInput, match="No profile 'mine'"):
        EndpointPanel("tfserving", profile="mine")


def test_a_proxy_on_the_way_is_told_without_its_password(
    panel: EndpointPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://ada:s3cr3t@proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    assert panel.proxy.value == "No proxy on the way."
    panel.grpc.value = "192.0.2.7:8500"
    assert panel.proxy.value == "The call goes through proxy.example:3128."
    panel.grpc.value = "127.0.0.1:1"
    panel.wait()


def test_a_service_that_never_answers_does_not_block(
    panel: EndpointPanel, tcp_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.panel.TIMEOUT", 0.5)
    panel.grpc.value = tcp_server(None)
    assert "asking" in panel.lamp.value
    panel.wait()
    assert "did not answer in time" in panel.lamp.value


def test_a_service_that_dies_while_the_panel_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    with practice.private("tfserving") as own:
        monkeypatch.setenv("OTW_TFSERVING_GRPC", own.grpc)
        panel = EndpointPanel("tfserving", profile="environment", model="iris")
        panel.wait()
        assert "Ready" in panel.lamp.value
        port = int(own.grpc.rpartition(":")[2])
        living = (each for each in psutil.Process().children() if each.status() != "zombie")
        process = next(each for each in living if f"--port={port}" in each.cmdline())
        process.suspend()  # it has the connection, and answers no more
        monkeypatch.setattr("workbench.panel.TIMEOUT", 20.0)
        panel.test.click()
        process.kill()
        panel.wait(30)
        assert "Failed" in panel.lamp.value
        panel.test.click()
        panel.wait()
        assert "Failed: Nothing answers at" in panel.lamp.value


def test_every_field_has_a_label_and_a_tooltip(panel: EndpointPanel) -> None:
    fields = [each for each in all_widgets(panel) if "description" in each.keys]
    named = [each for each in fields if type(each).__name__ != "HTML"]
    assert len(named) == 18
    assert all(each.description and each.tooltip for each in named)


def test_its_plain_text_is_the_same_in_every_run(panel: EndpointPanel) -> None:
    assert panel._repr_mimebundle_()["text/plain"] == "EndpointPanel('tfserving')"


def save_many(file: str, letter: str) -> None:
    os.environ["OTW_ENDPOINTS"] = file
    for number in range(10):
        profiles.save(f"{letter}{number}", Endpoint("tfserving", grpc="127.0.0.1:1"))


def test_two_kernels_saving_at_once_lose_nothing(profile_file: Path) -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=save_many, args=(str(profile_file), letter)) for letter in "ab"]
    for each in both:
        each.start()
    for each in both:
        each.join(30)
        assert each.exitcode == 0
    found, problems = profiles.read()
    assert (len(found), problems) == (20, [])


def test_comments_in_the_file_are_kept(profile_file: Path) -> None:
    profile_file.write_text("# mine\n[old]\ngrpc = '127.0.0.1:1' # here\n")
    profiles.save("new", Endpoint("tfserving", grpc="127.0.0.1:2", version=3))
    text = profile_file.read_text()
    assert "# mine" in text
    assert "# here" in text
    assert "version = 3" in text


def test_a_broken_file_is_not_overwritten(profile_file: Path) -> None:
    profile_file.write_text("[broken")
    with pytest.raises(errors.BadInput, match="was left as it is"):
        profiles.save("new", Endpoint("tfserving"))
    assert profile_file.read_text() == "[broken"


@pytest.fixture
def ccai_panel() -> EndpointPanel:
    manager.up("ccai")
    made = EndpointPanel("ccai", profile="practice-secure")
    made.wait()
    return made


def test_ccais_panel_has_two_addresses_and_no_model(ccai_panel: EndpointPanel) -> None:
    assert ccai_panel.profile.options[:2] == ("practice", "practice-secure")
    shown = all_widgets(ccai_panel)
    assert ccai_panel.rest in shown
    assert ccai_panel.model not in shown
    assert "Ready: answered in" in ccai_panel.lamp.value


def test_ccais_panel_makes_a_call_over_both_transports(ccai_panel: EndpointPanel) -> None:
    assert ccai_panel.endpoint == endpoints.load("ccai", "practice-secure")
    ccai.check(ccai_panel.endpoint)
    ccai_panel.profile.value = "practice"
    ccai_panel.wait()
    assert ccai_panel.endpoint == endpoints.load("ccai")
    ccai.check(ccai_panel.endpoint)


def test_the_password_of_the_secure_profile_is_in_no_widget(ccai_panel: EndpointPanel) -> None:
    password = endpoints.load("ccai", "practice-secure").password
    assert password
    assert password not in state_of(ccai_panel)


def test_a_wrong_password_makes_ccais_lamp_red(ccai_panel: EndpointPanel) -> None:
    ccai_panel.password.value = "wrong"
    assert "press Test connection" in ccai_panel.lamp.value
    ccai_panel.test.click()
    ccai_panel.wait()
    assert "Failed: https://127.0.0.1" in ccai_panel.lamp.value
    assert "Check user and password" in ccai_panel.lamp.value


def test_a_bad_rest_address_is_said_beside_the_fields(ccai_panel: EndpointPanel) -> None:
    ccai_panel.rest.value = "127.0.0.1:8080"
    assert "not a REST address" in ccai_panel.hint.value


@pytest.fixture
def modelarts_panel() -> EndpointPanel:
    manager.up("modelarts")
    made = EndpointPanel("modelarts")
    made.wait()
    return made


def test_modelarts_panel_says_how_long_the_token_lives(modelarts_panel: EndpointPanel) -> None:
    assert "Ready: answered in" in modelarts_panel.lamp.value
    assert "the token lives another 23 h" in modelarts_panel.lamp.value


@pytest.mark.parametrize("profile", list(endpoints.PROFILES["modelarts"]))
def test_modelarts_panel_knows_each_way_in(profile: str) -> None:
    manager.up("modelarts")
    panel = EndpointPanel("modelarts", profile=profile)
    panel.wait()
    assert "Ready: answered in" in panel.lamp.value
    assert panel.endpoint == endpoints.load("modelarts", profile)
    assert panel.endpoint.password not in state_of(panel)
    assert modelarts.get_token(endpoints.load("modelarts")).value not in state_of(panel)


def test_modelarts_panel_has_its_own_fields(modelarts_panel: EndpointPanel) -> None:
    shown = {getattr(widget, "description", "") for widget in modelarts_panel.children}
    assert {"Way in", "IAM address", "Domain", "Project", "REST address"} <= shown
    assert not {"gRPC address", "TLS", "Model", "Signature"} & shown


def test_another_way_in_needs_the_button(modelarts_panel: EndpointPanel) -> None:
    keys = endpoints.load("modelarts", "practice-signature")
    modelarts_panel.auth.value = "signature"
    modelarts_panel.user.value = keys.user
    modelarts_panel.password.value = keys.password
    assert "press Test connection" in modelarts_panel.lamp.value
    modelarts_panel.test.click()
    modelarts_panel.wait()
    assert "Ready: answered in" in modelarts_panel.lamp.value
    assert "token" not in modelarts_panel.lamp.value
    modelarts_panel.password.value = "wrong"
    modelarts_panel.test.click()
    modelarts_panel.wait()
    assert "Failed: The gateway does not take" in modelarts_panel.lamp.value


def test_a_modelarts_profile_is_saved_without_its_secret(
    modelarts_panel: EndpointPanel, profile_file: Path
) -> None:
    modelarts_panel.name.value = "cloud"
    modelarts_panel.save.click()
    text = profile_file.read_text(encoding="utf-8")
    assert "domain" in text
    assert modelarts_panel.endpoint.password not in text
    for taken in endpoints.PROFILES["modelarts"]:
        modelarts_panel.name.value = taken
        modelarts_panel.save.click()
        assert "cannot name a profile" in modelarts_panel.saved.value


def give(panel: EndpointPanel, name: str, value: str) -> None:
    panel.header.value = name
    panel.header_value.value = value


def test_headers_and_a_certificate_open_a_front(tmp_path: Path) -> None:
    manager.up("tfserving")
    service = endpoints.load("tfserving")
    with rest_front(service.rest, tmp_path, client_certificate=True) as front:
        panel = EndpointPanel("tfserving", model="iris")
        panel.wait()
        panel.grpc.value = ""
        panel.ca_file.value, panel.rest.value = front.ca_file, front.address
        panel.cert_file.value, panel.key_file.value = front.cert_file, front.key_file
        panel.test.click()
        panel.wait()
        assert "asks who you are" in panel.lamp.value
        assert "the field Header" in panel.lamp.value
        assert "endpoint." not in panel.lamp.value + panel.why.value
        give(panel, "Authorization", f"Bearer {TOKEN}")
        assert "press Test connection" in panel.lamp.value
        panel.test.click()
        panel.wait()
        assert "Ready: answered in" in panel.lamp.value
        assert panel.headers.value == "Sent with each call: Authorization"
        assert TOKEN not in state_of(panel) + repr(panel.endpoint)
    channels.close()


def test_a_saved_header_asks_for_what_is_missing_only(
    panel: EndpointPanel, profile_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(panel, "X-Key", "s3cr3t")
    give(panel, "Authorization", "Bearer ${TEAM_TOKEN}")
    panel.name.value = "team"
    panel.save.click()
    assert "OTW_HEADER_X_KEY, TEAM_TOKEN" in panel.saved.value
    assert "s3cr3t" not in profile_file.read_text(encoding="utf-8") + state_of(panel)
    monkeypatch.setenv("TEAM_TOKEN", "x")
    again = EndpointPanel("tfserving", profile="team")
    assert "Sent with each call: Authorization" in again.headers.value
    assert "X-Key: set OTW_HEADER_X_KEY before" in again.headers.value
    again.wait()
    assert "OTW_HEADER_X_KEY, which is not set" in again.lamp.value
    give(again, "x-key", "s3cr3t")
    again.test.click()
    again.wait()
    assert "Ready" in again.lamp.value
    again.header.value = "X-KEY"
    again.forget_header.click()
    assert dict(again.endpoint.headers) == {"Authorization": "Bearer ${TEAM_TOKEN}"}


def test_a_header_that_cannot_be_sent_is_told_and_not_kept(panel: EndpointPanel) -> None:
    give(panel, "Host", "s3cr3t")
    assert "is set by the connection itself" in panel.headers.value
    assert panel.endpoint.headers == ()
    assert "s3cr3t" not in state_of(panel)


def test_a_ready_token_is_enough_for_modelarts(
    modelarts_panel: EndpointPanel, profile_file: Path
) -> None:
    token = modelarts.get_token(modelarts_panel.endpoint).value
    for field in (modelarts_panel.user, modelarts_panel.iam, modelarts_panel.domain):
        field.value = ""
    modelarts_panel.token.value = token
    modelarts_panel.test.click()
    modelarts_panel.wait()
    assert "Ready: answered in" in modelarts_panel.lamp.value
    modelarts_panel.name.value = "cloud"
    modelarts_panel.save.click()
    assert "OTW_MODELARTS_TOKEN" in modelarts_panel.saved.value
    text = profile_file.read_text(encoding="utf-8")
    assert token not in state_of(modelarts_panel) + text + repr(modelarts_panel.endpoint)


def test_an_explorer_of_a_panel_names_the_panels_fields(tmp_path: Path) -> None:
    manager.up("tfserving")
    with rest_front(endpoints.load("tfserving").rest, tmp_path) as front:
        panel = EndpointPanel("tfserving", model="iris")
        panel.wait()
        panel.grpc.value, panel.rest.value = "", front.address
        panel.wait()
        explorer = Explorer(panel)
        try:
            explorer.wait()
            assert "name its PEM file: the field CA file." in explorer.chooser.card.value
        finally:
            explorer.close()
    channels.close()
