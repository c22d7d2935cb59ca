"""What the Explorer finds at an endpoint: models, paths, services, or why there is nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import endpoints, errors
from helpers.endpoints import Endpoint
from helpers.tfserving.signatures import DEFAULT_SIGNATURE
from practice import manager, processes
from tests.http_answers import http_answer
from tests.tfserving import write_config
from workbench.explorer import catalog


def test_models_come_with_their_states_and_signatures(endpoint: Endpoint) -> None:
    found = {each.name: each for each in catalog.entries(endpoint)}
    assert set(found) == {"digits", "digits_detector", "iris"}
    digits = found["digits"]
    assert {version: each.state for version, each in digits.states.items()} == {
        2: "AVAILABLE",
        1: "AVAILABLE",
    }
    assert digits.signatures
    assert digits.signatures.version == 2
    assert set(digits.signatures[DEFAULT_SIGNATURE].inputs) == {"images"}
    assert digits.endpoint == endpoint.replace(model="digits")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_endpoint_that_names_no_models_is_asked_for_those_given(
    protocol: str, endpoint: Endpoint
) -> None:
    alone = endpoint.replace(models=(), **{"rest" if protocol == "grpc" else "grpc": ""})
    assert catalog.entries(alone) == []
    iris, missing = catalog.entries(alone, ["iris", "irises", "iris"])
    assert iris.signatures
    assert (missing.name, missing.states, missing.signatures) == ("irises", {}, None)
    assert isinstance(missing.error, errors.UnknownModel)


def test_one_version_has_all_versions_states_and_its_own_signatures(endpoint: Endpoint) -> None:
    found = catalog.entry(endpoint.replace(model="digits", version=1))
    assert set(found.states) == {1, 2}
    assert found.signatures
    assert found.signatures.version == 1
    assert isinstance(
        catalog.entry(endpoint.replace(model="digits", version=7)).error, errors.UnknownModel
    )


def test_nobody_there_is_told_once_and_not_for_each_model() -> None:
    nowhere = Endpoint("tfserving", grpc=f"127.0.0.1:{processes.choose_port()}")
    with pytest.raises(errors.ConnectionFailed):
        catalog.entries(nowhere, ["a", "b"], timeout=2)


def test_something_else_that_answers_is_told(tcp_server: Callable[[bytes | None], str]) -> None:
    address = tcp_server(http_answer(b"hello"))
    elsewhere = Endpoint("tfserving", rest=f"http://{address}", model="a")
    with pytest.raises(errors.NotThisProtocol):
        catalog.entries(elsewhere, timeout=5)


def test_ccais_paths_are_asked_for_and_its_methods_are_known() -> None:
    manager.up("ccai")
    here = endpoints.load("ccai")
    assert "fcgi_py_ocr" in {each.name for each in catalog.entries(here)}
    methods = {each.name for each in catalog.entries(here.replace(rest=""))}
    assert methods == {"ASR", "Classification", "FaceDetection", "FacialLandmark", "OCR"}


def test_modelarts_services_are_listed_with_a_token_and_named_without() -> None:
    manager.up("modelarts")
    found = {each.name: each for each in catalog.entries(endpoints.load("modelarts"))}
    assert set(found) == {"digits", "digits_detector", "iris"}
    assert found["iris"].note == "running"
    assert found["digits"].endpoint.rest == endpoints.load("modelarts", "practice-digits").rest
    by_code = endpoints.load("modelarts", "practice-appcode")
    [alone] = catalog.entries(by_code)
    assert (alone.endpoint, alone.note) == (by_code, "this endpoint")
    with pytest.raises(errors.NotAuthenticated):
        catalog.entries(endpoints.load("modelarts").replace(password="wrong"))


def test_a_config_file_names_its_models(tmp_path: Path) -> None:
    models = [{"name": name, "base_path": tmp_path} for name in ("ä b", "digits")]
    write_config(tmp_path / "models.config", *models)
    assert catalog.names_of_config(tmp_path / "models.config") == ["ä b", "digits"]
    content = (tmp_path / "models.config").read_bytes()
    assert catalog.names_of_config(content) == ["ä b", "digits"]
    assert catalog.names_of_config(b"") == []
    noted = "# 模型\n".encode("gbk") + content
    assert catalog.names_of_config(noted) == ["ä b", "digits"], "a comment has any encoding"


@pytest.mark.parametrize("content", [b"models: []", b"\xff\xfe\x00", b"{", b"\x89PNG\r\n"])
def test_what_is_no_config_file_is_refused(content: bytes) -> None:
    with pytest.raises(errors.BadInput, match="config file of TensorFlow Serving"):
        catalog.names_of_config(content)


def test_a_config_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.BadInput, match="cannot be read"):
        catalog.names_of_config(tmp_path / "gone.config")
