"""errors.explain: every row of its table, real exceptions of every library, and the cards."""

import builtins
import json
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import requests
import urllib3

from helpers import endpoints, errors, modelarts, tfserving
from helpers.endpoints import Endpoint
from helpers.errors import explanations, meanings
from practice import manager, processes, state
from tests.http_answers import http_answer

BY_TEXT, BY_TYPE = meanings.table()
FLOWER = {"data": {"req_data": [{"sepal_length": 3}]}}


def test_no_row_hides_another() -> None:
    for row in BY_TEXT:
        explanation = errors.explain(Exception(f"before {row.match} behind"))
        assert explanation.means == row.means, row.match
        assert all(explanation.checks), row.match


def test_each_row_is_sentences() -> None:
    for row in [*BY_TEXT, *BY_TYPE.values()]:
        assert row.means.endswith("."), row
        for check in row.check.split(" ;; "):
            assert check.count("`") % 2 == 0, row
            assert set(re.findall(r"\{(\w+)\}", check)) <= {"address", "host"}, row


def test_each_error_in_the_table_can_be_raised() -> None:
    for row in [*BY_TEXT, *BY_TYPE.values()]:
        assert bool(row.error) == bool(row.sentence), row
        if row.error:
            assert issubclass(getattr(errors, row.error), errors.CallError)
            places = set(re.findall(r"\{(\w+)\}", row.sentence))
            assert places <= {"service", "endpoint", "code", "details"}, row


def test_each_type_in_the_table_exists() -> None:
    homes: dict[str, Any] = {
        "helpers": errors,
        "requests": requests.exceptions,
        "urllib3": urllib3.exceptions,
        "practice": state,
        "builtins": builtins,
        "json": json,
        "ssl": ssl,
        "socket": socket,
    }
    for name in BY_TYPE:
        module, _, kind = name.partition(".")
        if module in ("http", "iam"):
            assert 400 <= int(kind) < 600
        elif module == "grpc":
            assert hasattr(grpc.StatusCode, kind)
        else:
            assert issubclass(getattr(homes[module], kind), BaseException)


def test_every_error_of_the_tree_has_its_own_row() -> None:
    tree = {kind.__name__ for kind in errors.CallError.__subclasses__()}
    tree |= {"NotTrusted"}
    assert {f"helpers.{name}" for name in tree} <= BY_TYPE.keys()
    assert {f"grpc.{code.name}" for code in grpc.StatusCode} - {"grpc.OK"} <= BY_TYPE.keys()


def grpc_call(address: str, channel: Callable = grpc.insecure_channel, **options: Any) -> None:
    with channel(address, **options) as opened:
        opened.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"", timeout=2)


def nobody() -> int:
    return processes.choose_port()


HTML = http_answer(b"<html>")
BROKEN = http_answer(b"half", length=60)
GRUMPY = http_answer(status=503)
PROVOKED: list[tuple[bytes | None, Callable[[str], Any], str]] = [
    (None, lambda at: requests.get(f"http://127.0.0.1:{nobody()}"), "nobody listens"),
    (
        None,
        lambda at: urllib3.PoolManager().request("GET", f"http://127.0.0.1:{nobody()}"),
        "nobody listens",
    ),
    (None, lambda at: socket.create_connection(("127.0.0.1", nobody())), "nobody listens"),
    (None, lambda at: grpc_call(f"127.0.0.1:{nobody()}"), "nobody listens"),
    (None, lambda at: requests.get("http://no-such-host.invalid"), "looked up|No machine"),
    (None, lambda at: grpc_call("no-such-host.invalid:1"), "look up the name"),
    (None, lambda at: socket.getaddrinfo("no-such-host.invalid", 1), "looked up|No machine"),
    (None, lambda at: requests.get(f"http://{at}", timeout=0.2), "no answer came"),
    (
        None,
        lambda at: urllib3.PoolManager(timeout=0.2, retries=False).request("GET", f"http://{at}"),
        "no answer came",
    ),
    (None, lambda at: requests.get(at), "no http:// or https://"),
    (None, lambda at: requests.get("http://"), "not an address"),
    (None, lambda at: json.loads("<html>"), "The answer is no JSON"),
    (None, lambda at: json.loads('{"a": 1} {'), "After the JSON"),
    (None, lambda at: json.loads('{"a": tru'), "no correct JSON"),
    (HTML, lambda at: requests.get(f"http://{at}").json(), "The answer is no JSON"),
    (HTML, lambda at: grpc_call(at), "does not speak gRPC|speaks plain HTTP"),
    (HTML, lambda at: requests.get(f"https://{at}"), "its port is a plain one"),
    (BROKEN, lambda at: requests.get(f"http://{at}"), "broke off"),
    (b"", lambda at: requests.get(f"http://{at}"), "hung up without an answer"),
    (
        b"\x00\x01garbage\r\n\r\n",
        lambda at: requests.get(f"http://{at}"),
        "does not speak HTTP|broke",
    ),
    (GRUMPY, lambda at: requests.get(f"http://{at}").raise_for_status(), "cannot answer now"),
    (
        GRUMPY,
        lambda at: requests.get(
            "http://infer.example", proxies={"http": f"http://127.0.0.1:{nobody()}"}
        ),
        "nobody answers there|nobody listens",
    ),
    (
        GRUMPY,
        lambda at: requests.get("https://infer.example", proxies={"https": f"http://{at}"}),
        "did not open the tunnel",
    ),
    (None, lambda at: requests.get(f"https://{at}", verify="missing.pem"), "not there"),
]


@pytest.mark.parametrize(("answer", "call", "means"), PROVOKED)
def test_an_exception_as_its_library_raises_it(
    monkeypatch: pytest.MonkeyPatch,
    tcp_server: Callable,
    answer: bytes | None,
    call: Callable,
    means: str,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call(tcp_server(answer))
    explanation = errors.explain(caught.value)
    assert re.search(means, explanation.means), explanation
    assert "{" not in "".join(explanation.checks)


def test_a_certificate_of_an_unknown_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    manager.up("modelarts")
    with pytest.raises(requests.exceptions.SSLError) as caught:
        requests.get(endpoints.load("modelarts").iam, timeout=10)
    assert "does not know the authority" in errors.explain(caught.value).means


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_proxy_that_is_not_there_is_not_taken_for_the_service(
    host: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/hello")(b"", timeout=10)
    monkeypatch.setenv(variable, f"http://ada:secret@{host}:9/")
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError) as astray:
        channel.unary_unary("/hello")(b"", timeout=10)
    assert "nobody listens on this port" in errors.explain(refused.value).means
    assert "Your settings name a proxy" in errors.explain(astray.value).means


def test_a_services_own_answer_explains_a_bare_http_error() -> None:
    manager.up("modelarts")
    endpoint = endpoints.load("modelarts")
    response = requests.post(endpoint.rest, json={}, verify=endpoint.ca_file, timeout=10)
    with pytest.raises(requests.HTTPError) as caught:
        response.raise_for_status()
    explanation = errors.explain(caught.value)
    assert explanation.means == "The request has no token."
    assert explanation.title == "requests: HTTPError"


def test_our_own_errors_keep_their_sentence(endpoint: Endpoint) -> None:
    with pytest.raises(errors.UnknownModel) as caught:
        tfserving.predict(endpoint.replace(model="digit"), {})
    explanation = errors.explain(caught.value)
    assert explanation.happened == str(caught.value)
    assert "No model of this name" in explanation.means


def test_a_group_is_explained_by_its_first() -> None:
    manager.up("modelarts")
    with pytest.raises(modelarts.CallsFailed) as caught:
        modelarts.infer_many(endpoints.load("modelarts"), [FLOWER])
    assert "model's own code" in errors.explain(caught.value).means


def test_addresses_are_filled_in() -> None:
    port = nobody()
    with pytest.raises(requests.ConnectionError) as caught:
        requests.get(f"http://127.0.0.1:{port}/a")
    assert f"`curl -v http://127.0.0.1:{port}`" in repr(errors.explain(caught.value))
    assert "HOST:PORT" in repr(errors.explain(ConnectionRefusedError("Connection refused")))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic c2VjcmV0d29yZA==",
        "Bearer secretword",
        "password=secretword",
        '{"password": "secretword"}',
        "X-Auth-Token: secretword",
        "'X-Subject-Token': 'secretword'",
        "http://ada:secretword@proxy:3128",
        "X-Apig-AppCode: secretword",
        "apikey=secretword",
        "MII" + "secretword" * 9,
        "gAAAA" + "secretword" * 9,
        "sk=secretword&x=1",
        "Signature=secretwordsecretword",
        "x" * 390 + " password=" + "secretword" * 900,
    ],
)
def test_secrets_are_cut(text: str) -> None:
    shown = errors.explain(ValueError(f"before {text}"))
    for form in (repr(shown), shown._repr_html_()):
        assert "secretword" not in form
        assert "c2VjcmV0d29yZA" not in form


def test_no_word_of_our_own_sentences_is_taken_for_a_secret() -> None:
    for row in [*BY_TEXT, *BY_TYPE.values()]:
        sentence = row.sentence.replace("{details}", "Incorrect token")
        assert explanations.cut(sentence) == sentence


def test_long_bodies_are_cut() -> None:
    shown = errors.explain(ValueError("a" * 5_000_000))
    assert len(shown.happened) < 500
    assert "5,000,000 letters in all" in shown.happened


def test_html_in_a_message_stays_text() -> None:
    assert "<script>" not in errors.explain(ValueError("<script>alert(1)</script>"))._repr_html_()


def test_a_page_typesets_no_mathematics_in_a_card() -> None:
    assert "mathjax_ignore" in errors.explain(ValueError("$PATH or $HOME"))._repr_html_()


def test_a_chain_that_goes_in_circles_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert errors.explain(one).happened == "one"
