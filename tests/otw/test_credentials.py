"""`otw` with a token, a header or a certificate, and a service of ModelArts by its address."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import channels, endpoints, modelarts
from helpers.endpoints import Endpoint, profiles
from helpers.errors import places
from otw import kernel, page
from otw.cli import main
from practice import manager
from tests.fronts import TOKEN, Front, grpc_front, rest_front
from workbench.explorer import Explorer

FLOWER = "features=5.1,3.5,1.4,0.2"
ROW = {"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}
BODY = json.dumps({"data": {"req_data": [ROW]}})
PICTURE = Path(__file__).parents[2] / "data" / "images" / "digits-02.png"
SERVICE = "https://infer.example/v1/infers/eb3e0c54-3dfa-4750-af0c-95c45e5d3e83"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin without profiles and without variables, and end with Python's words."""
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    for name in [name for name in os.environ if name.startswith(("OTW_MODELARTS_", "OTW_CA"))]:
        monkeypatch.delenv(name)
    yield
    places.HERE.set(places.PYTHON)
    channels.close()


@pytest.fixture(params=["rest", "grpc"])
def front(request: pytest.FixtureRequest, endpoint: Endpoint, tmp_path: Path) -> Iterator[Front]:
    if request.param == "rest":
        with rest_front(endpoint.rest, tmp_path, client_certificate=True) as opened:
            yield opened
    else:
        with grpc_front(endpoint.grpc, tmp_path) as opened:
            yield opened
    channels.close()


@pytest.fixture(scope="module")
def service() -> Endpoint:
    """Return the practice ModelArts, whose profile is there too."""
    manager.up("modelarts")
    return endpoints.load("modelarts")


@pytest.fixture
def no_practice(service: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """Return it without a profile, as somebody else's."""
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path / "state"))
    return service


Otw = Callable[..., tuple[int, str, str]]


@pytest.fixture
def otw(capsys: pytest.CaptureFixture[str]) -> Otw:
    def run(*words: str) -> tuple[int, str, str]:
        status = main(list(words))
        return (status, *capsys.readouterr())

    return run


def files(front: Front) -> list[str]:
    return ["--ca-file", front.ca_file, "--cert", front.cert_file, "--key", front.key_file]


def test_a_header_and_a_certificate_open_a_front(
    front: Front, otw: Otw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ["predict", front.address, "iris", "--input", FLOWER, *files(front)]
    status, told, why = otw(*call)
    assert (status, told) == (8, "")
    assert "--header 'NAME: VALUE'" in why
    assert "endpoint." not in why
    monkeypatch.setenv("TEAM_TOKEN", TOKEN)
    (tmp_path / "headers.txt").write_text(f"Authorization: Bearer {TOKEN}\n\nX-Team: vision\n")
    for header in (
        "Authorization: Bearer ${TEAM_TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        f"@{tmp_path / 'headers.txt'}",
    ):
        status, told, why = otw(*call, "--header", header)
        assert (status, why) == (0, "")
        assert "probabilities" in told
    assert front.seen[-1]["x-team"] == "vision"


def test_a_profile_needs_only_its_variable(
    front: Front, otw: Otw, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = "rest" if "://" in front.address else "grpc"
    profiles.save("team", front.endpoint(protocol))
    status, _, why = otw("describe", front.address, "iris")
    assert status == 2
    assert "environment variable OTW_HEADER_AUTHORIZATION, which is not set" in why
    monkeypatch.setenv("OTW_HEADER_AUTHORIZATION", f"Bearer {TOKEN}")
    status, told, _ = otw("describe", front.address, "iris")
    assert status == 0
    assert "serving_default" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--header", "s3cr3t"], "without a colon"),
        (["--header", "Host: s3cr3t"], "is set by the connection itself"),
        (["--header", "X-Key: ${NO_SUCH_VARIABLE}"], "NO_SUCH_VARIABLE, which is not set"),
        (["--header", "@no/such/file"], "no/such/file cannot be read"),
        (["--header", "X-Key: s3cr3t", "--header", "x-key: s3cr3t"], "is given twice"),
        (
            ["--key", "key.pem"],
            "A client key is for a certificate. Give its file, too: --cert FILE",
        ),
        (["--cert", "no.pem"], "client certificate no.pem cannot be read"),
        (["--token-file", __file__], "A token is for ModelArts. Give another one as a header: --h"),
    ],
)
def test_what_cannot_be_given_is_told_in_flags(otw: Otw, words: list[str], said: str) -> None:
    status, told, why = otw("describe", "127.0.0.1:1", "iris", *words)
    assert (status, told) == (2, "")
    assert said in why
    assert "s3cr3t" not in why
    assert "endpoint." not in why


def test_no_header_goes_unencrypted_to_another_machine(otw: Otw) -> None:
    for address in ("models.example:8500", "http://models.example"):
        status, _, why = otw("describe", address, "iris", "--header", "X-Key: s3cr3t")
        assert status == 2
        assert "headers are sent over TLS only" in why


def test_a_service_of_modelarts_is_called_by_its_address(
    service: Endpoint, otw: Otw, tmp_path: Path
) -> None:
    status, told, _ = otw("describe", service.rest)
    assert status == 0
    assert "answers, and lets you in" in told
    assert "digits_detector: running" in told
    status, told, _ = otw("predict", service.rest, "--input", BODY)
    assert (status, "Iris" in told) == (0, True)
    (tmp_path / "body.json").write_text(BODY)
    twice = ["--input", f"@{tmp_path / 'body.json'}", "--input", BODY]
    status, told, _ = otw("predict", service.rest, *twice, "--json", "--save", str(tmp_path))
    assert status == 0
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["call"] for line in lines] == [1, 2]
    assert lines[0]["outputs"] == json.loads((tmp_path / "2-answer.json").read_text("utf-8"))
    detector = endpoints.load("modelarts", "practice-detector").rest
    status, told, _ = otw("predict", detector, "--input", f"images=@{PICTURE}")
    assert status == 0
    assert json.loads(told)["detection_classes"]


def test_a_ready_token_is_enough(
    no_practice: Endpoint, otw: Otw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = [no_practice.rest, "--ca-file", no_practice.ca_file]
    file = tmp_path / "token"
    token = modelarts.get_token(no_practice).value
    file.write_text(f"{token}\n")
    monkeypatch.setenv("OTW_MODELARTS_SK", "the token goes before it")
    assert otw("describe", *where, "--token-file", str(file))[0] == 0
    monkeypatch.setenv("OTW_MODELARTS_TOKEN", token)
    assert otw("predict", *where, "--input", BODY)[0] == 0
    monkeypatch.setenv("OTW_MODELARTS_TOKEN", "MIIover")
    status, _, why = otw("predict", *where, "--input", BODY)
    assert status == 8
    assert "MIIover" not in why


def test_a_key_or_an_app_code_is_enough(
    no_practice: Endpoint, otw: Otw, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Path(no_practice.ca_file).parent / "secrets.json"
    secrets = json.loads(account.read_text("utf-8"))["modelarts"]
    where = ["--ca-file", no_practice.ca_file, "--input", BODY]
    monkeypatch.setenv("OTW_MODELARTS_AK", secrets["ak"])
    monkeypatch.setenv("OTW_MODELARTS_SK", secrets["sk"])
    assert otw("predict", no_practice.rest, *where)[0] == 0


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        (
            {},
            ["--token-file FILE", "OTW_MODELARTS_TOKEN", "OTW_MODELARTS_USER", "OTW_MODELARTS_AK"],
        ),
        (
            {"USER": "ada", "PASSWORD": "s3cr3t", "IAM": "https://iam.example"},
            ["_DOMAIN", "_PROJECT"],
        ),
        ({"SK": "s3cr3t"}, ["A signature needs an access key. Missing: OTW_MODELARTS_AK."]),
    ],
)
def test_what_is_missing_is_named(
    otw: Otw, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], missing: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTW_MODELARTS_{name}", value)
    for command in ("describe", "predict", "explore"):
        status, told, why = otw(command, SERVICE)
        assert (status, told) == (2, "")
        assert all(name in why for name in missing), why
        assert "endpoint." not in why
        assert "s3cr3t" not in why


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["iris"], 2, "Leave MODEL out"),
        ([], 2, "--input images=@photo.jpg"),
        (["--input", "images=3"], 2, "NAME=@FILE"),
        (["--input", "@-", "--input", "x=@-"], 2, "read once only"),
        (["--input", "{a"], 3, "--input is no JSON"),
        (["--input", f"@{PICTURE}"], 3, "is no JSON"),
        (["--input", "@no/such/file"], 3, "no/such/file cannot be read"),
        (["--input", BODY, "--version", "2"], 2, "no signature, version or label"),
        (["--input", BODY, "--input", "{a"], 3, "After 1 of 2 calls"),
    ],
)
def test_a_call_that_modelarts_cannot_get_is_told(
    service: Endpoint, otw: Otw, words: list[str], status: int, said: str
) -> None:
    returned, _, why = otw("predict", service.rest, *words)
    assert (returned, said in why) == (status, True), why


def test_the_pages_explorer_calls_modelarts_with_the_token(
    no_practice: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = modelarts.get_token(no_practice).value
    ready = Endpoint("modelarts", rest=no_practice.rest, ca_file=no_practice.ca_file, token=token)
    notebook = page.notebook("title", ready, [], 10.0)
    for name, value in kernel.secrets(ready).items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {}
    code = notebook.cells[0]["source"].partition("workbench\n")[2]  # without the magic
    exec(code.replace("\nExplorer(", "\nexplorer = Explorer("), names)
    explorer = names["explorer"]
    try:
        explorer.fill(json.loads(BODY))
        assert "OTW_MODELARTS_TOKEN" in explorer.code("curl")
        assert explorer.send()["data"]["resp_data"]
    finally:
        explorer.close()


def test_an_explorer_at_an_address_says_what_is_missing_where_the_reader_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for place, words in ((places.PYTHON, "endpoint.replace(token"), (places.TERMINAL, "--token-f")):
        places.HERE.set(place)
        explorer = Explorer(SERVICE)
        try:
            explorer.wait()
            assert words in explorer.chooser.card.value
            assert "OTW_MODELARTS_TOKEN" in explorer.chooser.card.value
        finally:
            explorer.close()


def test_the_page_has_its_secrets_in_the_environment_only() -> None:
    endpoint = Endpoint(
        "modelarts",
        rest=SERVICE,
        token="s3cr3t",
        headers={"X-Key": "s3cr3t", "X-Team": "${TEAM}"},
    )
    notebook = page.notebook("title", endpoint, [], 10.0)
    assert "s3cr3t" not in str(notebook)
    environment = kernel.secrets(endpoint)
    assert environment == {"OTW_MODELARTS_TOKEN": "s3cr3t", "OTW_HEADER_X_KEY": "s3cr3t"}
    assert "headers={'X-Key': '${OTW_HEADER_X_KEY}', 'X-Team': '${TEAM}'}" in str(notebook.cells)
