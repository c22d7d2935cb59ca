"""The local ModelArts against the fact sheet: tokens, signatures, apps, models, management."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from practice import processes
from practice.host import server
from practice.launch import MODELS, ROOT
from practice.modelarts import command, models, signing
from practice.modelarts.published import SERVICES
from tests import modelarts
from tests.modelarts import (
    APP_DIGITS,
    APP_IRIS,
    DATA,
    DETECTOR,
    DIGITS,
    IRIS,
    JSON,
    NAMES,
    ROW,
    SETOSA,
    TOKENS,
    Answer,
    Part,
    Running,
    ask,
    flowers,
    form,
    form_headers,
    login,
    new_token,
    post_login,
    running,
    sign,
)

RIGHT = flowers(SETOSA)
PROJECT_ONLY = {"user", "project", "roles", "catalog", "methods", "issued_at", "expires_at"}
NO_API = "The API does not exist or has not been published in the environment"
IAM, APP = (f"Incorrect {kind} authentication information: " for kind in ("IAM", "app"))
FAILED = (500, b'{"erno":"MR.0105","msg":"Recognition failed","words_result":{}}')
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def here() -> Iterator[Running]:
    with running() as service:
        yield service


def named(answer: Answer) -> str:
    """Return the flower in an answer of one row."""
    assert answer.status == 200, answer
    return answer.json["data"]["resp_data"][0]["predictresult"]


def is_refused(answer: Answer, status: int, code: str, text: str) -> None:
    """Assert a refusal; one by the gateway names the request."""
    assert (answer.status, answer.json["error_code"]) == (status, code), answer
    assert re.fullmatch(text, answer.text), answer.text
    assert answer.header("content-type") == "application/json"
    expected = {"error_code", "error_msg"}
    if code.startswith("APIG."):
        expected.add("request_id")
        assert answer.json["request_id"] == answer.header("x-request-id")
    assert set(answer.json) == expected


# Test vectors of the signature.


VECTOR_A = {
    "Content-Type": "application/json",
    "X-Sdk-Date": "20260101T000000Z",
    "Host": "infer.example.com",
}


@pytest.mark.parametrize(
    ("petal", "more", "signed", "expected"),
    [
        (
            "2.2",
            {},
            "content-type;host;x-sdk-date",
            "d20e6a7effa693da6cc03cd39dbb9eae2a70d9ce250afadff3e2ad93f7529066",
        ),
        (
            "2.3",
            {},
            "content-type;host;x-sdk-date",
            "ef8420e83a3ef9fbfd181665d679ffa611e20937f046e92ed35bddc6ee872375",
        ),
        (
            "2.2",
            {
                "Content-Type": "multipart/form-data; boundary=xyz",
                "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD",
            },
            "content-type;host;x-sdk-content-sha256;x-sdk-date",
            "5b6f1741e27af98b7b82d09c1c74cda2c4323bc5a327e75b5b2d5118081a44af",
        ),
    ],
    ids=["json", "another body", "form"],
)
def test_the_tests_own_signer_agrees_with_the_sdk(
    petal: str, more: dict[str, str], signed: str, expected: str
) -> None:
    rows = '[{"sepal_length":3,"sepal_width":1,"petal_length":2.2,"petal_width":4}]'
    body = ('{"data":{"req_data":' + rows + "}}").replace("2.2", petal)
    canonical = modelarts.canonical_request("POST", IRIS, VECTOR_A | more, signed, body.encode())
    secret = "ExampleSecretKey0000000000000000000000001"
    assert modelarts.signature(canonical, VECTOR_A["X-Sdk-Date"], secret) == expected


def test_the_tests_own_signer_agrees_with_the_manual() -> None:
    date = "20191115T033655Z"
    headers = {
        "Content-Type": "application/json",
        "X-Sdk-Date": date,
        "Host": "service.region.example.com",
    }
    canonical = modelarts.canonical_request(
        "GET",
        "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs"
        "?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        headers,
        "content-type;host;x-sdk-date",
    )
    assert modelarts.signature(canonical, date, "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc") == (
        "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
    )


# IAM: a token for a name and a password.


def test_a_token_comes_in_the_header_and_not_in_the_body(here: Running) -> None:
    answer = post_login(here, login(here.account))
    assert answer.status == 201
    token = answer.header("x-subject-token")
    assert token
    assert token.encode() not in answer.body
    assert answer.header("content-type") == "application/json"
    assert list(answer.json) == ["token"]


def test_a_project_token_tells_who_for_what_and_where(here: Running) -> None:
    known = here.account
    token = post_login(here, login(known)).json["token"]
    domain = {"id": known["domain_id"], "name": known["domain"]}
    assert set(token) == PROJECT_ONLY
    assert token["methods"] == ["password"]
    assert token["user"] == {
        "id": known["user_id"],
        "name": known["user"],
        "password_expires_at": "",
        "domain": domain,
    }
    assert token["project"] == {
        "id": known["project_id"],
        "name": known["project"],
        "domain": domain,
    }
    assert all(set(role) == {"id", "name"} for role in token["roles"])
    assert token["roles"]
    for entry in token["catalog"]:
        assert set(entry) == {"id", "name", "type", "endpoints"}
        for endpoint in entry["endpoints"]:
            assert set(endpoint) == {"id", "interface", "region", "region_id", "url"}
            assert endpoint["url"].startswith(f"https://{here.host}/")
    assert "iam" in {entry["type"] for entry in token["catalog"]}


def test_a_token_lives_for_a_day_by_the_clock_of_utc(here: Running) -> None:
    before = datetime.now(UTC)
    token = post_login(here, login(here.account)).json["token"]
    for name in ("issued_at", "expires_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", token[name])
    issued, expires = (
        datetime.fromisoformat(token[f"{each}_at"]) for each in ("issued", "expires")
    )
    assert (expires - issued).total_seconds() == 24 * 3600
    assert before <= issued <= datetime.now(UTC)


@pytest.mark.parametrize("kind", ["name, domain name", "name, domain id", "id", "id, name"])
def test_a_user_is_named_in_any_of_the_ways_there_are(here: Running, kind: str) -> None:
    known = here.account
    users: dict[str, dict[str, Any]] = {
        "name, domain name": {"name": known["user"], "domain": {"name": known["domain"]}},
        "name, domain id": {"name": known["user"], "domain": {"id": known["domain_id"]}},
        "id": {"id": known["user_id"]},
        "id, name": {
            "id": known["user_id"],
            "name": known["user"],
            "domain": {"name": known["domain"]},
        },
    }
    answer = post_login(here, login(known, password=known["password"], **users[kind]))
    assert answer.status == 201
    assert answer.json["token"]["user"]["id"] == known["user_id"]


def scopes(known: dict[str, str]) -> dict[str, Any]:
    project, domain = known["project"], known["domain"]
    return {
        "project name": {"project": {"name": project}},
        "project id": {"project": {"id": known["project_id"]}},
        "with the domain's name": {"project": {"name": project, "domain": {"name": domain}}},
        "with the domain's id": {
            "project": {"name": project, "domain": {"id": known["domain_id"]}}
        },
        "both": {"domain": {"name": domain}, "project": {"name": project}},
        "domain name": {"domain": {"name": domain}},
        "domain id": {"domain": {"id": known["domain_id"]}},
        "empty": {},
    }


@pytest.mark.parametrize(
    "kind",
    ["project name", "project id", "with the domain's name", "with the domain's id", "both"],
)
def test_a_token_for_the_project_lets_call_the_models(here: Running, kind: str) -> None:
    answer = post_login(here, login(here.account, scopes(here.account)[kind]))
    assert set(answer.json["token"]) == PROJECT_ONLY
    headers = {**JSON, "X-Auth-Token": answer.header("x-subject-token") or ""}
    assert named(here.ask(IRIS, RIGHT, headers)) == "Iris-setosa"


@pytest.mark.parametrize("kind", ["domain name", "domain id"])
def test_a_token_for_the_domain_tells_the_domain_in_the_project_s_place(
    here: Running, kind: str
) -> None:
    token = post_login(here, login(here.account, scopes(here.account)[kind])).json["token"]
    assert set(token) == PROJECT_ONLY - {"project"} | {"domain"}
    assert token["domain"] == {"id": here.account["domain_id"], "name": here.account["domain"]}


def test_without_a_scope_there_is_neither_project_nor_domain(here: Running) -> None:
    body = login(here.account)
    del body["auth"]["scope"]
    assert set(post_login(here, body).json["token"]) == PROJECT_ONLY - {"project"}
    empty = post_login(here, login(here.account, {}))
    assert set(empty.json["token"]) == PROJECT_ONLY - {"project"}


@pytest.mark.parametrize(
    "query", ["?nocatalog", "?nocatalog=", "?nocatalog=true", "?a=b&nocatalog=x"]
)
def test_nocatalog_leaves_the_catalog_out(here: Running, query: str) -> None:
    answer = post_login(here, login(here.account), query)
    assert set(answer.json["token"]) == PROJECT_ONLY - {"catalog"}


@pytest.mark.parametrize("kind", ["application/json;charset=utf8", "text/plain", None])
def test_the_login_s_content_type_does_not_matter(here: Running, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    assert here.ask(TOKENS, json.dumps(login(here.account)), headers).status == 201


def test_a_new_token_leaves_the_old_ones_alive(here: Running) -> None:
    tokens = [new_token(here) for _ in range(3)]
    assert len(set(tokens)) == 3
    for token in tokens:
        assert named(here.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})) == "Iris-setosa"


def is_keystone(answer: Answer, status: int, title: str) -> None:
    """Assert a refusal in the form that was seen of the token call."""
    assert answer.status == status, answer
    assert answer.header("x-subject-token") is None
    assert list(answer.json) == ["error"]
    assert set(answer.json["error"]) == {"message", "code", "title"}
    assert (answer.json["error"]["code"], answer.json["error"]["title"]) == (status, title)
    assert answer.json["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [
        {"password": "wrong"},
        {"password": ""},
        {"password": "PASSWORD "},
        {"name": "nobody"},
        {"name": ""},
        {"name": None},
        {"name": 1},
        {"domain": {"name": "nowhere"}},
        {"domain": {}},
        {"domain": {"id": "0" * 32}},
        {"domain": {"name": None}},
        {"domain": {"id": None}},
        {"domain": {"name": ["over-the-wire"]}},
        {"id": "0" * 32},
        {"id": None},
        {"id": ""},
        {"password": "\ud800"},
        {"name": "\ud800"},
        {"password": "\0"},
    ],
    ids=str,
)
def test_a_wrong_login_is_unauthorized(here: Running, change: dict[str, Any]) -> None:
    known = here.account
    if change.get("password") == "PASSWORD ":
        change = {"password": known["password"] + " "}
    user = {
        "name": known["user"],
        "password": known["password"],
        "domain": {"name": known["domain"]},
    }
    answer = post_login(here, login(known, **(user | change)))
    is_keystone(answer, 401, "Unauthorized")
    assert answer.json == {
        "error": {"message": "Unauthorized.", "code": 401, "title": "Unauthorized"}
    }


def test_the_project_in_the_domain_s_place_is_unauthorized(here: Running) -> None:
    user = {"name": here.account["user"], "password": here.account["password"]}
    swapped = login(here.account, **user, domain={"name": here.account["project"]})
    is_keystone(post_login(here, swapped), 401, "Unauthorized")


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"name": "nowhere"}},
        {"project": {"id": "0" * 32}},
        {"project": {}},
        {"project": {"name": None}},
        {"project": {"name": 1}},
        {"project": []},
        {"project": None},
        {"project": "practice"},
        {"domain": None},
        {"domain": "over-the-wire"},
        [],
        "project",
        1,
        {"project": {"name": "practice", "domain": {"name": "nowhere"}}},
        {"project": {"name": "practice", "domain": "over-the-wire"}},
        {"project": {"name": "nowhere"}, "domain": {"name": "over-the-wire"}},
    ],
    ids=str,
)
def test_a_wrong_scope_is_a_bad_request(here: Running, scope: Any) -> None:
    is_keystone(post_login(here, login(here.account, scope)), 400, "Bad Request")


@pytest.mark.parametrize("domain", [{"name": "nowhere"}, {"id": "0" * 32}, {}], ids=str)
def test_another_s_domain_is_refused(here: Running, domain: dict[str, str]) -> None:
    is_keystone(post_login(here, login(here.account, {"domain": domain})), 401, "Unauthorized")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"auth"',
        b"{}",
        b'{"auth":{}}',
        b'{"auth":null}',
        b'{"auth":[]}',
        b'{"auth":{"identity":[]}}',
        b"\xff\xfe",
        b"\0",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
        b'{"auth":{"identity":{"methods":["password"]}}}',
        b'{"auth":{"identity":{"methods":["password"],"password":{}}}}',
        b'{"auth":{"identity":{"methods":["password"],"password":{"user":{}}}}}',
        b'{"auth":{"identity":{"methods":["password"],"password":{"user":[]}}}}',
    ],
    ids=range(21),
)
def test_what_is_no_login_is_a_bad_request(here: Running, body: bytes) -> None:
    is_keystone(here.ask(TOKENS, body, JSON), 400, "Bad Request")


IN_A_LOGIN = (
    "auth",
    "auth/identity",
    "auth/identity/methods",
    "auth/identity/password",
    "auth/identity/password/user",
    "auth/identity/password/user/domain",
    "auth/identity/password/user/password",
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (path, value)
        for path in IN_A_LOGIN
        for value in ("missing", None, 5, "x", [], [1])
        if (path, value) != (IN_A_LOGIN[-1], "x")  # that is a wrong password
    ],
    ids=str,
)
def test_a_part_that_is_missing_or_of_another_type_is_a_bad_request(
    here: Running, path: str, value: Any
) -> None:
    *above, last = path.split("/")
    body: Any = login(here.account)
    part = body
    for name in above:
        part = part[name]
    if value == "missing":
        del part[last]
    else:
        part[last] = value
    is_keystone(post_login(here, body), 400, "Bad Request")


@pytest.mark.parametrize("methods", [["token"], ["password", "totp"], [], "password"], ids=str)
def test_other_methods_of_login_are_a_bad_request(here: Running, methods: Any) -> None:
    body = login(here.account)
    body["auth"]["identity"]["methods"] = methods
    is_keystone(post_login(here, body), 400, "Bad Request")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_tokens_are_only_posted_for(here: Running, method: str) -> None:
    answer = here.ask(TOKENS, json.dumps(login(here.account)), JSON, method)
    is_keystone(answer, 404, "Not Found")


@pytest.mark.parametrize(
    "path", ["/v3/auth/tokens/", "/v3/auth", "/v2/auth/tokens", "/V3/auth/tokens"]
)
def test_another_path_gives_no_token(here: Running, path: str) -> None:
    answer = here.ask(path, json.dumps(login(here.account)), JSON)
    is_refused(answer, 404, "APIG.0101", NO_API)


# Ways in.


def by_token(service: Running, target: str, body: bytes) -> dict[str, str]:
    return service.with_token


def by_key(service: Running, target: str, body: bytes) -> dict[str, str]:
    return sign(service, target, body).headers


def by_app_key(service: Running, target: str, body: bytes) -> dict[str, str]:
    return sign(service, target, body, key="appkey").headers


def by_app_code(service: Running, target: str, body: bytes) -> dict[str, str]:
    return {**JSON, "X-Apig-AppCode": service.account["appcode"]}


def by_app_key_alone(service: Running, target: str, body: bytes) -> dict[str, str]:
    return {**JSON, "apikey": service.account["appkey"]}


Way = Callable[[Running, str, bytes], dict[str, str]]
WAYS: list[Way] = [by_token, by_key, by_app_key, by_app_code, by_app_key_alone]
USERS, APPS = WAYS[:2], WAYS[2:]


@pytest.mark.parametrize("way", WAYS)
def test_each_way_in_opens_its_own_address(here: Running, way: Way) -> None:
    target = IRIS if way in USERS else APP_IRIS
    assert named(here.ask(target, RIGHT, way(here, target, RIGHT))) == "Iris-setosa"


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (by_app_key, IAM + r"Get secretKey failed,ak:\w+,err:ak not exist"),
        (by_app_code, IAM + "x-auth-token not found"),
        (by_app_key_alone, IAM + "x-auth-token not found"),
    ],
)
def test_an_app_s_way_is_refused_at_the_first_address(here: Running, way: Way, text: str) -> None:
    is_refused(here.ask(IRIS, RIGHT, way(here, IRIS, RIGHT)), 401, "APIG.0301", text)


@pytest.mark.parametrize(
    ("way", "text"),
    [
        (by_token, APP + "Access or Credential is empty in Authorization"),
        (by_key, APP + r"app not found, appkey \w+"),
    ],
)
def test_a_user_s_way_is_refused_at_the_app_s_address(here: Running, way: Way, text: str) -> None:
    is_refused(here.ask(APP_IRIS, RIGHT, way(here, APP_IRIS, RIGHT)), 401, "APIG.0303", text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_every_service_can_be_called_in_every_way(here: Running, name: str, way: Way) -> None:
    target = SERVICES[name].path if way in USERS else SERVICES[name].app_path
    headers = way(here, target, RIGHT)
    if name == "iris":
        assert named(here.ask(target, RIGHT, headers)) == "Iris-setosa"
    else:  # let in, and then these fields are not what the model takes
        answer = here.ask(target, RIGHT, headers)
        assert (answer.status, answer.body) == FAILED


@pytest.mark.parametrize(("key", "target"), [("ak", DIGITS), ("appkey", APP_DIGITS)])
def test_a_form_s_signature_leaves_its_body_out(here: Running, key: str, target: str) -> None:
    body = form(Part(modelarts.digit("7")))
    signed = sign(here, target, body, form_headers(), key=key)
    assert signed.headers["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    assert "x-sdk-content-sha256" in signed.authorization["SignedHeaders"]
    assert signed.send(here).json["predicted_label"] == "7"
    other = signed._replace(body=form(Part(modelarts.digit("0"))))
    assert other.send(here).json["predicted_label"] == "0"


def test_a_form_s_body_may_be_signed_all_the_same(here: Running) -> None:
    import hashlib

    body, other = (form(Part(modelarts.digit(each))) for each in "70")
    headers = {**form_headers(), "X-Sdk-Content-Sha256": hashlib.sha256(body).hexdigest()}
    signed = sign(here, DIGITS, body, headers)
    assert signed.send(here).json["predicted_label"] == "7"
    is_refused(
        signed._replace(body=other).send(here),
        401,
        "APIG.0301",
        IAM + "verify aksk signature fail, .+",
    )


def test_a_hash_that_is_said_but_not_signed_is_refused(here: Running) -> None:
    signed = sign(here, body=RIGHT)
    for value in ("UNSIGNED-PAYLOAD", modelarts.hashlib.sha256(RIGHT).hexdigest(), "x"):
        added = signed.headers | {"X-Sdk-Content-Sha256": value}
        answer = signed._replace(headers=added).send(here)
        is_refused(answer, 401, "APIG.0301", IAM + "verify aksk signature fail, .+")


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"X-Project-Id": "p"},
        {"X-Security-Token": "s"},
        {"X-Custom": "  a  b "},
        {"Accept": "*/*"},
    ],
    ids=str,
)
def test_every_header_may_be_signed(here: Running, more: dict[str, str]) -> None:
    signed = sign(here, body=RIGHT, headers={**JSON, **more})
    assert all(name.lower() in signed.authorization["SignedHeaders"] for name in more)
    assert named(signed.send(here)) == "Iris-setosa"


@pytest.mark.parametrize("only", ["x-sdk-date", "host;x-sdk-date", "content-type;x-sdk-date"])
def test_of_the_headers_only_the_date_has_to_be_signed(here: Running, only: str) -> None:
    assert named(sign(here, body=RIGHT, only=only).send(here)) == "Iris-setosa"
    assert sign(here, body=RIGHT, only="content-type;host").send(here).status == 401


@pytest.mark.parametrize("only", ["x-sdk-date;host", "Host;X-Sdk-Date", "host;host;x-sdk-date"])
def test_signed_names_are_sorted_in_lower_case_and_each_is_there_once(
    here: Running, only: str
) -> None:
    answer = sign(here, body=RIGHT, only=only).send(here)
    is_refused(answer, 401, "APIG.0301", IAM + "verify aksk signature fail, .+")


@pytest.mark.parametrize(
    "query",
    [
        "?a=1",
        "?b=2&a=1",
        "?a=2&a=1",
        "?a",
        "?a=",
        "?q=a%20b%2Fc%2B",
        "?%C3%A9=%E4%B8%AD",
        "?a=%7e",
        "?a=1&&b=2",
        "?a=x=y",
        "?A=1&a=2&%61=0",
    ],
)
def test_a_query_is_signed_in_order_and_escaped(here: Running, query: str) -> None:
    assert named(sign(here, IRIS + query, RIGHT).send(here)) == "Iris-setosa"


@pytest.mark.parametrize("target", [IRIS + "/", IRIS.replace("infers", "%69nfers")])
def test_a_path_is_signed_decoded_and_with_a_closing_slash(here: Running, target: str) -> None:
    assert named(sign(here, target, RIGHT).send(here)) == "Iris-setosa"


# What the gateway refuses.


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v1",
        "/v1/infer",
        f"/v1/infers/{UNKNOWN_ID}",
        "/v1/infers/iris",
        IRIS.upper(),
        IRIS[:-1],
        f"{IRIS}0",
        IRIS.replace("infers", "infer"),
        "/v2" + IRIS[3:],
        f"/{IRIS}",
        f"/v1/infers/{UNKNOWN_ID}{IRIS.removeprefix('/v1/infers')}",
        "/v1/infers//",
        "/%00",
    ],
)
def test_an_unknown_address_has_no_api(here: Running, target: str) -> None:
    for headers in (here.with_token, JSON):  # whoever asks
        is_refused(here.ask(target, RIGHT, headers), 404, "APIG.0101", NO_API)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("target", [IRIS, APP_IRIS])
def test_a_wrong_method_has_no_api(here: Running, method: str, target: str) -> None:
    way = by_app_code if target == APP_IRIS else by_token
    answer = here.ask(target, RIGHT, way(here, target, RIGHT), method)
    assert answer.code in [(404, "APIG.0101"), (405, "APIG.0101")]
    assert answer.json["request_id"] == answer.header("x-request-id")


def test_a_head_is_refused_without_a_body(here: Running) -> None:
    answer = here.ask(IRIS, None, here.with_token, "HEAD")
    assert (answer.status in (404, 405), answer.body) == (True, b"")


def padded(size: int) -> bytes:
    """Return the right body with spaces around it."""
    return RIGHT.ljust(size)


def test_a_body_of_13_megabytes_is_too_large_and_one_of_11_9_is_not(here: Running) -> None:
    assert named(here.ask(IRIS, padded(11_900_000), here.with_token)) == "Iris-setosa"
    for target in (IRIS, APP_IRIS, TOKENS, "/nowhere"):
        answer = here.ask(target, padded(13_000_000), here.with_token)
        is_refused(answer, 413, "APIG.0201", "Request entity too large")


def test_a_body_of_millions_of_values_is_too_large(here: Running) -> None:
    body = b'{"data": {"req_data": [' + b"[]," * 2**20 + b"[]]}}"
    is_refused(here.ask(IRIS, body, here.with_token), 413, "APIG.0201", "Request entity too large")


def test_a_body_in_chunks_has_the_same_limit(here: Running) -> None:
    headers = {**here.with_token, "Transfer-Encoding": "chunked"}
    assert named(here.ask(IRIS, RIGHT, headers)) == "Iris-setosa"
    answer = here.ask(IRIS, padded(13_000_000), headers)
    is_refused(answer, 413, "APIG.0201", "Request entity too large")


def test_a_file_has_the_same_limit(here: Running) -> None:
    headers = {**form_headers(), "X-Auth-Token": here.token}
    picture = modelarts.digit("3")
    # A PNG file ends where it ends; what follows is ignored.
    large = here.ask(DIGITS, form(Part(picture.ljust(11_900_000, b"\0"))), headers)
    assert large.json["predicted_label"] == "3"
    answer = here.ask(DIGITS, form(Part(picture.ljust(13_000_000, b"\0"))), headers)
    is_refused(answer, 413, "APIG.0201", "Request entity too large")


@pytest.mark.parametrize("target", [IRIS, TOKENS, "/v1/p/services", "/nowhere"])
def test_an_address_of_more_than_32_kilobytes_is_too_large(here: Running, target: str) -> None:
    answer = here.ask(f"{target}?q={'a' * 33_000}", RIGHT, here.with_token)
    is_refused(answer, 414, "APIG.0201", "Request URI too large")


def test_an_address_of_31_kilobytes_passes(here: Running) -> None:
    assert named(here.ask(f"{IRIS}?q={'a' * 31_000}", RIGHT, here.with_token)) == "Iris-setosa"
    assert named(sign(here, f"{IRIS}?q={'a' * 31_000}", RIGHT).send(here)) == "Iris-setosa"


def test_headers_have_limits_each_and_together(here: Running) -> None:
    def with_headers(*sizes: int) -> Answer:
        more = {f"X-Large-{number}": "a" * size for number, size in enumerate(sizes)}
        return here.ask(IRIS, RIGHT, here.with_token | more)

    assert named(with_headers(31_000)) == "Iris-setosa"
    assert named(with_headers(*[30_000] * 4)) == "Iris-setosa"
    for sizes in ([33_000], [30_000] * 5):
        answer = with_headers(*sizes)
        is_refused(answer, 494, "APIG.0201", "Request headers too large")


def test_without_credentials_the_token_is_missing(here: Running) -> None:
    answer = here.ask(IRIS, RIGHT, JSON)
    is_refused(answer, 401, "APIG.0301", IAM + "x-auth-token not found")


@pytest.mark.parametrize(
    "token", ["", "x", "MIIYNQYJKoZIhvcNAQcCoIIYJjCC", "a" * 4000, "\xe9", "a b"]
)
def test_a_garbage_token_cannot_be_decrypted(here: Running, token: str) -> None:
    answer = here.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})
    is_refused(answer, 401, "APIG.0301", IAM + "decrypt token fail")


@pytest.mark.parametrize("header", ["Bearer abc", "Basic YTpi", "x", "SDK-HMAC-SHA"])
def test_a_leftover_authorization_beside_a_token_is_refused(here: Running, header: str) -> None:
    answer = here.ask(IRIS, RIGHT, {**here.with_token, "Authorization": header})
    is_refused(answer, 401, "APIG.0301", IAM + "decrypt token fail")


def test_a_wrong_signature_shows_what_was_verified(here: Running) -> None:
    signed = sign(here, body=RIGHT)
    answer = signed._replace(body=RIGHT + b" ").send(here)
    is_refused(answer, 401, "APIG.0301", IAM + "verify aksk signature fail, .+")


def test_an_unknown_access_key_is_named(here: Running) -> None:
    signed = sign(here, body=RIGHT)
    unknown = signed.headers["Authorization"].replace(here.account["ak"], "ABCDEFGHIJ0123456789")
    answer = here.ask(IRIS, RIGHT, signed.headers | {"Authorization": unknown})
    text = IAM + "Get secretKey failed,ak:ABCDEFGHIJ0123456789,err:ak not exist"
    is_refused(answer, 401, "APIG.0301", text)


ILL_FORMED = [
    "SDK-HMAC-SHA256",
    "SDK-HMAC-SHA256 ",
    "SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
    "SDK-HMAC-SHA256 Access=AK",
    "SDK-HMAC-SHA256 Credential=AK/20260101",
    "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date, Signature=0",
    "SDK-HMAC-SHA256 Signature=0, SignedHeaders=x-sdk-date, Access=AK",
]


@pytest.mark.parametrize("header", ILL_FORMED)
def test_an_ill_formed_signature_is_refused(here: Running, header: str) -> None:
    for target, code in ((IRIS, "APIG.0301"), (APP_IRIS, "APIG.0303")):
        answer = here.ask(target, RIGHT, {**JSON, "Authorization": header})
        text = (IAM if code == "APIG.0301" else APP) + ".+"
        is_refused(answer, 401, code, text)


def test_an_empty_app_authorization_says_so(here: Running) -> None:
    text = APP + "Access or Credential is empty in Authorization"
    for headers in ({}, {"Authorization": ""}, {"Authorization": ILL_FORMED[2]}):
        answer = here.ask(APP_IRIS, RIGHT, {**JSON, **headers})
        is_refused(answer, 401, "APIG.0303", text)


@pytest.mark.parametrize("code", ["", "x", "a" * 64, "\xe9"])
def test_a_wrong_app_code_finds_no_app(here: Running, code: str) -> None:
    answer = here.ask(APP_IRIS, RIGHT, {**JSON, "X-Apig-AppCode": code})
    is_refused(answer, 401, "APIG.0303", APP + "app not found, .+")
    assert here.account["appcode"] not in answer.text


@pytest.mark.parametrize("key", ["x", "0" * 32])
def test_a_wrong_app_key_is_named(here: Running, key: str) -> None:
    text = APP + f"app not found, appkey {key}"
    answer = here.ask(APP_IRIS, RIGHT, {**JSON, "apikey": key})
    is_refused(answer, 401, "APIG.0303", text)
    signed = sign(here, APP_IRIS, RIGHT, key="appkey").headers
    unknown = signed["Authorization"].replace(here.account["appkey"], key)
    answer = here.ask(APP_IRIS, RIGHT, signed | {"Authorization": unknown})
    is_refused(answer, 401, "APIG.0303", text)


def test_a_wrong_app_signature_shows_what_was_verified(here: Running) -> None:
    signed = sign(here, APP_IRIS, RIGHT, key="appkey")
    answer = signed._replace(body=RIGHT + b" ").send(here)
    start = re.escape(f"verify signature fail, canonicalRequest:POST|{APP_IRIS}/||")
    is_refused(answer, 401, "APIG.0303", APP + start + ".+")


def test_more_than_so_many_requests_a_second_are_refused() -> None:
    with running("--requests_per_second=1") as service:
        text = r"The throttling threshold has been reached: .*limit:1,time:1 second"
        with contextlib.closing(service.connect()) as connection:
            for _ in range(100):
                answer = ask(connection, IRIS, RIGHT, service.with_token)
                if answer.status == 429:
                    break
                assert named(answer) == "Iris-setosa"
        is_refused(answer, 429, "APIG.0308", text)
        # Each API for itself, and nobody who is refused counts.
        assert service.ask(DIGITS, RIGHT, service.with_token).status != 429
        assert service.ask(APP_IRIS, RIGHT, JSON).status == 401
        assert named(service.ask(APP_IRIS, RIGHT, by_app_code(service, "", b""))) == "Iris-setosa"


def test_every_answer_has_a_request_id_of_its_own(here: Running) -> None:
    token, project = here.with_token, here.account["project_id"]
    found = [
        here.ask(IRIS, RIGHT, token),
        here.ask(IRIS, b"", token),
        here.ask(IRIS, b"x", token),
        here.ask(IRIS, b"{}", token),
        here.ask(IRIS, RIGHT, JSON),
        here.ask("/", b"", JSON),
        here.ask(f"{IRIS}/x", RIGHT, token),
        here.ask(IRIS, RIGHT, token, "GET"),
        here.ask(TOKENS, b"", JSON),
        post_login(here, login(here.account)),
        here.ask(TOKENS, None, JSON, "GET"),
        here.ask(IRIS, padded(13_000_000), token),
        here.ask(f"/v1/{project}/services", None, token, "GET"),
        here.ask(f"/v1/{project}/services", None, JSON, "GET"),
        here.ask(IRIS, RIGHT, {**token, "X-Request-Id": "0" * 32}),
    ]
    ids = [answer.header("x-request-id") or "" for answer in found]
    assert len(set(ids)) == len(found)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_debug_headers_tell_times_and_limits() -> None:
    with running("--requests_per_second=100") as service:
        headers = service.with_token
        silent = service.ask(IRIS, RIGHT, headers)
        assert not [name for name, _ in silent.headers if name.lower().startswith("x-apig")]
        answer = service.ask(IRIS, RIGHT, {**headers, "X-Apig-Mode": "debug"})
        assert named(answer) == "Iris-setosa"
        for name in ("x-apig-latency", "x-apig-upstream-latency"):
            assert (answer.header(name) or "").isdigit()
        limit = answer.header("x-apig-ratelimit-api") or ""
        assert re.fullmatch(r"remain:\d\d,limit:100,time:1 second", limit)
        refused = service.ask(IRIS, RIGHT, {"X-Apig-Mode": "debug"})
        assert refused.header("x-apig-latency")


# What the dispatcher refuses.


def test_an_address_without_a_service_says_so(here: Running) -> None:
    for target in ("/v1/infers", "/v1/infers/"):
        answer = here.ask(target, RIGHT, here.with_token)
        is_refused(answer, 400, "ModelArts.4201", ".+")
        assert here.ask(target, RIGHT, JSON).code == (401, "APIG.0301")


@pytest.mark.parametrize("kind", ["domain name", "empty"])
def test_a_token_without_a_project_has_not_the_role(here: Running, kind: str) -> None:
    token = new_token(here, scopes(here.account)[kind])
    answer = here.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})
    is_refused(answer, 403, "ModelArts.4102", ".+")


NO_JSON = [
    b"x",
    b"{",
    b'{"data":}',
    b"{'data':1}",
    RIGHT + b"x",
    b"\xff\xfe",
    b"\0",
    b"[" * 200_000,
    b'{"data":"\xff"}',
    b"--b0undary--\r\n",
]


@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
@pytest.mark.parametrize("kind", ["application/json", "text/plain", None])
def test_what_is_neither_form_nor_json_is_refused(
    here: Running, body: bytes, kind: str | None
) -> None:
    headers = {"X-Auth-Token": here.token} | ({"Content-Type": kind} if kind else {})
    is_refused(here.ask(IRIS, body, headers), 400, "ModelArts.4105", ".+")


@pytest.mark.parametrize("headers", [JSON, form_headers(), {}], ids=str)
@pytest.mark.parametrize("body", [b"", None])
def test_an_empty_request_is_refused(
    here: Running, headers: dict[str, str], body: bytes | None
) -> None:
    answer = here.ask(IRIS, body, {**headers, "X-Auth-Token": here.token})
    is_refused(answer, 400, "ModelArts.4202", ".+")


@pytest.mark.parametrize("path", ["x", "predictions/poetry", "/", "eb3e0c54", IRIS[1:]])
def test_a_path_that_the_model_has_not_is_refused(here: Running, path: str) -> None:
    answer = here.ask(f"{IRIS}/{path}", RIGHT, here.with_token)
    is_refused(answer, 404, "ModelArts.4204", f"API /{path} does not exist")


PICTURE = Part(modelarts.blank())
BROKEN_FORMS = [
    ("multipart/form-data", form(PICTURE)),
    ("multipart/form-data; boundary=", form(PICTURE)),
    ("multipart/form-data; boundary=other", form(PICTURE)),
    ("multipart/form-data; boundary=b0undary", b"x"),
    ("multipart/form-data; boundary=b0undary", RIGHT),
    ("multipart/form-data; boundary=b0undary", form(PICTURE).replace(b"\r\n", b"\n")),
    ("multipart/form-data; boundary=b0undary", b"--b0undary\r\n\r\nx\r\n--b0undary--\r\n"),
    (
        "multipart/form-data; boundary=b0undary",
        b"--b0undary\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b0undary--\r\n",
    ),
    ("Multipart/Form-Data", form(PICTURE)),
]


@pytest.mark.parametrize(("kind", "body"), BROKEN_FORMS, ids=range(len(BROKEN_FORMS)))
def test_a_broken_form_is_refused(here: Running, kind: str, body: bytes) -> None:
    answer = here.ask(DIGITS, body, {"Content-Type": kind, "X-Auth-Token": here.token})
    is_refused(answer, 400, "ModelArts.4200", ".+")


@pytest.mark.parametrize("left", [-1, -4, -12, 100, 20, 10])
def test_a_form_that_breaks_off_is_refused(here: Running, left: int) -> None:
    body = form(PICTURE).removesuffix(b"\r\n")[:left]
    answer = here.ask(DIGITS, body, {**form_headers(), "X-Auth-Token": here.token})
    is_refused(answer, 400, "ModelArts.4200", ".+")


def test_a_model_that_takes_too_long_is_given_up() -> None:
    flags = ("--timeout_seconds=0.05", "--inference_delay_seconds=2")
    with running(*flags) as service:
        answer = service.ask(IRIS, RIGHT, service.with_token)
        text = re.escape(
            "Failed to respond because response timed out, please confirm your service is able to "
            "process the request without timeout. "
        )
        is_refused(answer, 504, "ModelArts.4503", text)
        assert service.ask(IRIS, b"", service.with_token).code == (400, "ModelArts.4202")


def test_a_slow_model_within_the_limit_is_waited_for() -> None:
    with running("--timeout_seconds=30", "--inference_delay_seconds=0.2") as service:
        answer = service.ask(IRIS, RIGHT, service.with_token | {"X-Apig-Mode": "debug"})
        assert named(answer) == "Iris-setosa"
        assert int(answer.header("x-apig-upstream-latency") or 0) >= 200


# What the models refuse.


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SETOSA.items() if key != name}


VALUES: list[Any] = [
    None,
    True,
    False,
    "0.2",
    "",
    [],
    [0.2],
    {},
    {"a": 1},
    10**400,
    -(10**400),
]
ROWS: list[Any] = [
    None,
    [],
    {},
    SETOSA,
    "x",
    1,
    [[]],
    [{}],
    [None],
    [1],
    ["x"],
    [[5.1, 3.5, 1.4, 0.2]],
    [SETOSA, {}],
    [SETOSA, None],
    [[SETOSA]],
]
WRONG_FLOWERS: list[Any] = [
    {},
    [],
    None,
    1,
    "x",
    True,
    {"data": None},
    {"data": []},
    {"data": {}},
    {"data": "req_data"},
    {"input": "xxx"},
    {"req_data": [SETOSA]},
    [SETOSA],
    SETOSA,
    *({"data": {"req_data": [without(name)]}} for name in SETOSA),
    {"meta": "x", "data": {"req_data": [SETOSA]}},
    {"meta": [1], "data": {"req_data": [SETOSA]}},
]


WRONG_FLOWERS += [{"data": {"req_data": rows}} for rows in ROWS]
WRONG_FLOWERS += [{"data": {"req_data": [SETOSA | {"petal_width": each}]}} for each in VALUES]


@pytest.mark.parametrize("body", WRONG_FLOWERS, ids=range(len(WRONG_FLOWERS)))
def test_fields_that_the_flowers_model_cannot_use(here: Running, body: Any) -> None:
    answer = here.ask(IRIS, json.dumps(body), here.with_token)
    assert (answer.status, answer.body) == FAILED


def row(value: str, name: str = "petal_width") -> bytes:
    """Return a body in which one number is written in any way."""
    return json.dumps({"data": {"req_data": [SETOSA | {name: "?"}]}}).replace('"?"', value).encode()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
@pytest.mark.parametrize("name", ["petal_width", "colour"])
def test_what_is_no_number_of_json_is_refused(here: Running, value: str, name: str) -> None:
    answer = here.ask(IRIS, row(value, name), here.with_token)
    assert answer.code in [(500, "MR.0105"), (400, "ModelArts.4105")]


@pytest.mark.parametrize("value", ["1e300", "-1e39"])
def test_a_number_too_large_for_the_model_is_refused(here: Running, value: str) -> None:
    answer = here.ask(IRIS, row(value), here.with_token)
    assert (answer.status, answer.body) == FAILED


@pytest.mark.parametrize(
    "body",
    [
        row('"\\ud800"', "colour"),
        row("1", "\ud800"),
        flowers(SETOSA, meta={"uuid": "\udfff"}),
        row("[" * 900 + "]" * 900, "colour"),
        b'{"meta":{"uuid":NaN},' + RIGHT[1:],
    ],
    ids=["surrogate", "name", "uuid", "deep", "NaN"],
)
def test_what_cannot_be_written_back_ends_in_a_known_answer(here: Running, body: bytes) -> None:
    answer = here.ask(IRIS, body, here.with_token)
    assert answer.code in [(500, "MR.0105"), (400, "ModelArts.4105"), (200, "None")]
    assert answer.header("x-request-id")


ONE = Part(modelarts.blank())
WRONG_FORMS = {
    "no part": (),
    "a blank picture": (ONE,),
    "no file": (Part(b""),),
    "text in place of a file": (Part(b"7", filename=None, kind=None),),
    "a picture as text": (Part(modelarts.digit("7"), filename=None, kind=None),),
    "two files": (Part(modelarts.digit("7")), Part(modelarts.digit("7"))),
    "a file and a text": (Part(modelarts.digit("7")), Part(b"7", filename=None, kind=None)),
    "another name": (Part(modelarts.digit("7"), name="image"),),
    "another case": (Part(modelarts.digit("7"), name="Images"),),
    "an empty name": (Part(modelarts.digit("7"), name=""),),
    "no picture": (Part(b"this is no picture"),),
    "half a header": (Part(modelarts.digit("7")[:20]),),
    "JSON": (Part(RIGHT, kind="application/json"),),
    "a wide promise": (
        Part(modelarts.blank()[:16] + b"\x7f\xff\xff\xff" * 2 + modelarts.blank()[24:]),
    ),
}


@pytest.mark.parametrize("kind", WRONG_FORMS)
def test_files_that_the_digits_model_cannot_use(here: Running, kind: str) -> None:
    body = form(*WRONG_FORMS[kind])
    answer = here.ask(DIGITS, body, {**form_headers(), "X-Auth-Token": here.token})
    assert (answer.status, answer.body) == FAILED


@pytest.mark.parametrize("kind", [kind for kind in WRONG_FORMS if kind != "a blank picture"])
def test_files_that_the_detector_cannot_use(here: Running, kind: str) -> None:
    body = form(*WRONG_FORMS[kind])
    answer = here.ask(DETECTOR, body, {**form_headers(), "X-Auth-Token": here.token})
    assert (answer.status, answer.body) == FAILED


def test_a_form_is_nothing_for_the_flowers_and_json_nothing_for_pictures(here: Running) -> None:
    headers = {**form_headers(), "X-Auth-Token": here.token}
    for part in (
        ONE,
        Part(RIGHT, "data", None, None),
        Part(RIGHT, "data", None, "application/json"),
    ):
        answer = here.ask(IRIS, form(part), headers)
        assert (answer.status, answer.body) == FAILED
    for target in (DIGITS, DETECTOR):
        for body in (RIGHT, b'{"images": "aGVsbG8="}', b'{"images": ["x"]}', b"[]", b"1"):
            answer = here.ask(target, body, here.with_token)
            assert (answer.status, answer.body) == FAILED


# What the models answer.

FLOWERS = {
    "Iris-setosa": (5.1, 3.5, 1.4, 0.2),
    "Iris-versicolor": (5.9, 2.8, 4.3, 1.3),
    "Iris-virginica": (6.5, 3.0, 5.5, 2.0),
}


def test_each_flower_comes_back_as_it_was_sent_with_its_name(here: Running) -> None:
    rows = [dict(zip(SETOSA, values, strict=True)) for values in FLOWERS.values()]
    answer = here.ask(IRIS, flowers(*rows), here.with_token)
    told = [row | {"predictresult": name} for row, name in zip(rows, FLOWERS, strict=True)]
    assert answer.json == {"meta": {"uuid": ""}, "data": {"resp_data": told}}
    assert answer.header("content-type") == "application/json"


def test_the_request_of_the_documentation_is_answered(here: Running) -> None:
    name = "10eb0091-887f-4839-9929-cbc884f1e20e"
    answer = here.ask(IRIS, flowers(ROW, meta={"uuid": name}), here.with_token)
    assert answer.json["meta"] == {"uuid": name}
    (only,) = answer.json["data"]["resp_data"]
    assert only.pop("predictresult") in FLOWERS
    assert only == ROW


def test_fields_that_the_model_does_not_know_come_back_too(here: Running) -> None:
    sent = SETOSA | {"colour": "blue", "note": [1, {"a": None}]}
    (only,) = here.ask(IRIS, flowers(sent), here.with_token).json["data"]["resp_data"]
    assert only == sent | {"predictresult": "Iris-setosa"}


def test_whole_numbers_are_numbers(here: Running) -> None:
    whole = dict.fromkeys(SETOSA, 1) | {"sepal_length": 5, "sepal_width": 4, "petal_width": 0}
    assert named(here.ask(IRIS, flowers(whole), here.with_token)) == "Iris-setosa"


@pytest.mark.parametrize(
    "more", [{}, {"meta": {}}, {"meta": None}, {"meta": {"uuid": ""}}], ids=str
)
def test_the_uuid_is_blank_when_none_was_sent(here: Running, more: dict[str, Any]) -> None:
    answer = here.ask(IRIS, flowers(SETOSA, **more), here.with_token)
    assert answer.json["meta"] == {"uuid": ""}


def test_the_uuid_comes_back_whatever_it_is(here: Running) -> None:
    for name in (str(uuid.uuid4()), "7", "é 中 \U0001f600", "<b>\"'\\\n"):
        answer = here.ask(IRIS, flowers(SETOSA, meta={"uuid": name, "x": 1}), here.with_token)
        assert answer.json["meta"] == {"uuid": name}


def test_a_thousand_flowers_are_answered_in_their_order(here: Running) -> None:
    names = list(FLOWERS) * 334
    rows = [dict(zip(SETOSA, FLOWERS[name], strict=True), n=n) for n, name in enumerate(names)]
    told = here.ask(IRIS, flowers(*rows), here.with_token).json["data"]["resp_data"]
    assert [(each["n"], each["predictresult"]) for each in told] == list(enumerate(names))


@pytest.mark.parametrize("text", "0123456789")
def test_a_digit_is_told_with_ten_scores_the_best_first(here: Running, text: str) -> None:
    headers = {**form_headers(), "X-Auth-Token": here.token}
    answer = here.ask(DIGITS, form(Part(modelarts.digit(text))), headers).json
    assert set(answer) == {"predicted_label", "scores"}
    assert answer["predicted_label"] == answer["scores"][0][0] == text
    assert sorted(label for label, _ in answer["scores"]) == list("0123456789")
    values = [score for _, score in answer["scores"]]
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in values)
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-5)


def overlap(one: list[float], other: list[float]) -> float:
    """Return intersection over union."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    common = max(height, 0) * max(width, 0)
    areas = ((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return common / (sum(areas) - common)


@pytest.mark.parametrize("name", [f"digits-{number:02}.png" for number in range(1, 11)])
def test_every_digit_of_a_picture_is_found_where_it_is(here: Running, name: str) -> None:
    picture = (DATA / "images" / name).read_bytes()
    headers = {**form_headers(), "X-Auth-Token": here.token}
    answer = here.ask(DETECTOR, form(Part(picture)), headers).json
    assert list(answer) == ["detection_classes", "detection_boxes", "detection_scores"]
    found = list(zip(*answer.values(), strict=True))
    expected = modelarts.boxes(name)
    assert len(found) == len(expected)
    for text, box in expected:
        assert any(label == text and overlap(place, box) > 0.5 for label, place, _ in found)
    scores = answer["detection_scores"]
    assert scores == sorted(scores, reverse=True)
    assert all(0.5 <= score <= 1 for score in scores)


def test_boxes_are_in_pixels_of_the_picture_that_was_sent(here: Running) -> None:
    with modelarts.Image.open(DATA / "images" / "digits-01.png") as image:
        wide = modelarts.png(image.resize((288, 192)))
    headers = {**form_headers(), "X-Auth-Token": here.token}
    (box,) = here.ask(DETECTOR, form(Part(wide)), headers).json["detection_boxes"]
    ((_, small),) = modelarts.boxes("digits-01.png")
    expected = [side * factor for side, factor in zip(small, (2, 3, 2, 3), strict=True)]
    assert overlap(box, expected) > 0.5


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"])
def test_pictures_of_many_kinds_are_read(here: Running, kind: str) -> None:
    import io

    buffer = io.BytesIO()
    with modelarts.Image.open(io.BytesIO(modelarts.digit("8"))) as image:
        image.convert("RGB").save(buffer, format=kind)
    headers = {**form_headers(), "X-Auth-Token": here.token}
    answer = here.ask(DIGITS, form(Part(buffer.getvalue())), headers)
    assert answer.json["predicted_label"] == "8"


# The documentation's own clients.


@pytest.mark.parametrize(
    "part",
    [
        Part(modelarts.digit("4"), filename="./test.png", kind="multipart/form-data"),
        Part(modelarts.digit("4"), filename="./test.png", kind=None),
        Part(modelarts.digit("4"), filename="été 中.png"),
        Part(modelarts.digit("4"), filename="a;b='c.png", kind="image/png; charset=binary"),
        Part(modelarts.digit("4"), filename="C:\\\\test.png", kind="application/json"),
    ],
    ids=range(5),
)
def test_a_part_s_label_does_not_matter(here: Running, part: Part) -> None:
    headers = {**form_headers(), "X-Auth-Token": here.token}
    assert here.ask(DIGITS, form(part), headers).json["predicted_label"] == "4"


def test_other_fields_beside_the_file_do_not_matter(here: Running) -> None:
    more = Part(b"hello", "note", None, None), Part(b"x", "other", "x.bin")
    headers = {**form_headers(), "X-Auth-Token": here.token}
    body = form(more[0], Part(modelarts.digit("4")), more[1])
    assert here.ask(DIGITS, body, headers).json["predicted_label"] == "4"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "text/plain"]
)
def test_text_is_read_as_json_whatever_it_is_called(here: Running, kind: str) -> None:
    headers = {"Content-Type": kind, "X-Auth-Token": here.token}
    assert named(here.ask(IRIS, RIGHT, headers)) == "Iris-setosa"


def test_the_documentation_s_python_works_as_it_is(here: Running, tmp_path: Path) -> None:
    (tmp_path / "test.png").write_bytes(modelarts.digit("6"))
    headers, trust = {"X-Auth-Token": here.token}, str(here.folder / "ca.pem")
    with requests.Session() as session, open(tmp_path / "test.png", "rb") as file:
        session.trust_env = False
        files = {"images": ("./test.png", file, "multipart/form-data")}
        url = f"https://{here.host}{DIGITS}"
        response = session.request("POST", url, headers=headers, files=files, verify=trust)
        assert response.json()["predicted_label"] == "6"
        url, data = f"https://{here.host}{IRIS}", RIGHT.decode()
        response = session.request("POST", url, headers=headers, data=data, verify=trust)
        assert "Content-Type" not in response.request.headers
        assert response.json()["data"]["resp_data"][0]["predictresult"] == "Iris-setosa"


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")
def test_the_documentation_s_curl_works_as_it_is(here: Running, tmp_path: Path) -> None:
    (tmp_path / "test.png").write_bytes(modelarts.digit("6"))

    def curl(*arguments: str) -> Any:
        token = f"X-Auth-Token:{here.token}"
        command = ["curl", "-skv", "--noproxy", "*", *arguments, "-H", token, "-X", "POST"]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)

    image = f"images=@{(tmp_path / 'test.png').as_posix()}"
    assert curl("-F", image, f"https://{here.host}{DIGITS}")["predicted_label"] == "6"
    row = '{"sepal_length":3,"sepal_width":1,"petal_length":2.2,"petal_width":4}'
    text = '{"data":{"req_data":[' + row + "]}}"
    told = curl("-d", text, "-H", "Content-type: application/json", f"https://{here.host}{IRIS}")
    assert told["data"]["resp_data"][0]["predictresult"] in FLOWERS


# Management.


def manage(
    service: Running, rest: str = "", method: str = "GET", body: Any = None, **headers: str
) -> Answer:
    """Make a management call with a token, unless there are other headers."""
    path = f"/v1/{service.account['project_id']}/services{rest}"
    content = None if body is None else json.dumps(body)
    known = headers or {"X-Auth-Token": service.token, **JSON}
    return service.ask(path, content, known, method)


def listed(service: Running, query: str = "") -> list[str]:
    """Return the names of the services listed."""
    answer = manage(service, query)
    assert answer.status == 200, answer
    assert answer.json["count"] == len(answer.json["services"])
    return [each["service_name"] for each in answer.json["services"]]


def test_the_list_tells_of_all_services(here: Running) -> None:
    answer = manage(here)
    assert (answer.status, list(answer.json)) == (200, ["total_count", "count", "services"])
    assert answer.json["total_count"] == answer.json["count"] == 3
    assert {each["service_name"] for each in answer.json["services"]} == set(NAMES)
    for each in answer.json["services"]:
        assert each["service_id"] == SERVICES[each["service_name"]].id
        assert (each["status"], each["infer_type"]) == ("running", "real-time")
        assert each["project"] == here.account["project_id"]
        assert each["owner"] == here.account["user_id"]
        assert each["tenant"] == here.account["domain_id"]
        assert isinstance(each["invocation_times"], int)
        assert isinstance(each["failed_times"], int)
        assert 0 < time.time() - each["publish_at"] / 1000 < 3600


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?service_name=iris", {"iris"}),
        ("?service_name=nothing", set()),
        (f"?service_id={SERVICES['digits'].id}", {"digits"}),
        ("?service_id=x", set()),
        ("?status=running", set(NAMES)),
        ("?status=stopped", set()),
        ("?status=failed", set()),
        ("?infer_type=real-time", set(NAMES)),
        ("?infer_type=batch", set()),
        ("?service_name=iris&status=running", {"iris"}),
        ("?service_name=iris&status=failed", set()),
        ("?model_id=00000000-0000-4000-8000-000000000000", set()),
        ("?unknown=1", set(NAMES)),
    ],
)
def test_the_list_can_be_filtered(here: Running, query: str, expected: set[str]) -> None:
    assert set(listed(here, query)) == expected
    assert manage(here, query).json["total_count"] == len(expected)


def test_the_list_comes_in_pages(here: Running) -> None:
    pages = [listed(here, f"?limit=2&offset={n}&sort_by=service_name&order=asc") for n in range(3)]
    assert pages == [["digits", "digits_detector"], ["iris"], []]
    assert manage(here, "?limit=2").json["total_count"] == 3
    assert len(listed(here, "?limit=1000")) == 3


@pytest.mark.parametrize("key", ["service_name", "publish_at", "status", "invocation_times"])
def test_the_list_can_be_sorted(here: Running, key: str) -> None:
    for order in ("asc", "desc"):
        found = manage(here, f"?sort_by={key}&order={order}").json["services"]
        values = [each[key] for each in found]
        assert values == sorted(values, reverse=order == "desc")


@pytest.mark.parametrize(
    "query",
    [
        "?limit=x",
        "?limit=-1",
        "?limit=",
        "?limit=1.5",
        "?offset=x",
        "?offset=-1",
        "?limit=%D9%A1",
        "?limit=99999999999999999999",
        "?sort_by=x",
        "?sort_by=",
        "?order=x",
        "?order=ASC",
    ],
)
def test_a_bad_value_in_the_list_s_query_is_refused(here: Running, query: str) -> None:
    answer = manage(here, query)
    assert answer.code in [(400, "ModelArts.0101"), (400, "ModelArts.0104")]


@pytest.mark.parametrize("name", NAMES)
def test_details_tell_the_address_for_inference(here: Running, name: str) -> None:
    found = manage(here, f"/{SERVICES[name].id}").json
    assert found["access_address"] == f"https://{here.host}{SERVICES[name].path}"
    assert found["bind_access_address"] == f"https://{here.host}{SERVICES[name].app_path}"
    (summary,) = manage(here, f"?service_name={name}").json["services"]
    assert {key: found[key] for key in summary} == summary
    assert isinstance(found["config"], list)
    assert not {"error_msg", "progress"} & set(found)


def test_calls_and_failures_are_counted(here: Running) -> None:
    def counted() -> tuple[int, int]:
        found = manage(here, f"/{SERVICES['iris'].id}").json
        return found["invocation_times"], found["failed_times"]

    calls, failures = counted()
    here.ask(IRIS, RIGHT, here.with_token)
    assert counted() == (calls + 1, failures)
    here.ask(IRIS, b"{}", here.with_token)
    assert counted() == (calls + 2, failures + 1)
    here.ask(IRIS, RIGHT, JSON)  # the gateway refuses it
    assert counted() == (calls + 2, failures + 1)


def test_management_calls_can_be_signed(here: Running) -> None:
    path = f"/v1/{here.account['project_id']}/services"
    for query, count in (("", 3), ("?service_name=iris&limit=5", 1)):
        answer = sign(here, path + query, method="GET").send(here)
        assert (answer.status, answer.json["count"]) == (200, count)
    is_refused(
        sign(here, path, method="GET")._replace(target=f"{path}?limit=1").send(here),
        403,
        "ModelArts.0206",
        ".+",
    )


def test_the_platform_s_own_codes(here: Running) -> None:
    is_refused(manage(here, **JSON), 401, "ModelArts.0201", ".+")
    is_refused(manage(here, **{"X-Auth-Token": "x"}), 401, "ModelArts.0203", ".+")
    for kind in ("domain name", "empty"):
        token = new_token(here, scopes(here.account)[kind])
        is_refused(manage(here, **{"X-Auth-Token": token}), 401, "ModelArts.0212", ".+")
    other = here.ask(f"/v1/{'0' * 32}/services", None, here.with_token, "GET")
    is_refused(other, 403, "ModelArts.0210", ".+")
    is_refused(manage(here, f"/{UNKNOWN_ID}"), 404, "ModelArts.3502", f".*{UNKNOWN_ID}.*")
    is_refused(manage(here, f"/{SERVICES['iris'].app_id}"), 404, "ModelArts.3502", ".+")
    is_refused(
        manage(here, f"/{UNKNOWN_ID}", "PUT", {"status": "stopped"}), 404, "ModelArts.3502", ".+"
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_list_is_only_got(here: Running, method: str) -> None:
    assert manage(here, "", method, {}).status == 405
    if method != "PUT":
        assert manage(here, f"/{SERVICES['iris'].id}", method, {}).status == 405


BAD_CHANGES: list[Any] = [
    None,
    {},
    [],
    1,
    "stopped",
    {"status": None},
    {"status": "x"},
    {"status": "running"},
    {"status": ["stopped"]},
    {"status": True},
    {"status": "deploying"},
    {"status": "STOPPED"},
]


@pytest.mark.parametrize("body", BAD_CHANGES, ids=str)
def test_a_change_that_is_none_is_refused(here: Running, body: Any) -> None:
    answer = manage(here, f"/{SERVICES['iris'].id}", "PUT", body)
    assert answer.code in [(400, "ModelArts.0101"), (400, "ModelArts.0104")]
    assert named(here.ask(IRIS, RIGHT, here.with_token)) == "Iris-setosa"


def test_a_service_is_stopped_and_started_again() -> None:
    with running() as service:
        iris = f"/{SERVICES['iris'].id}"

        def until(wanted: str) -> set[str]:
            seen = set()
            for _ in range(5000):
                status = manage(service, iris).json["status"]
                if status == wanted:
                    break
                seen.add(status)
            return seen

        assert manage(service, iris, "PUT", {"status": "stopped"}).status == 200
        assert until("stopped") <= {"running", "stopping"}
        stopped = manage(service, iris).json
        assert not {"access_address", "error_msg", "progress"} & set(stopped)
        assert listed(service, "?status=stopped") == ["iris"]
        for target, way in ((IRIS, by_token), (APP_IRIS, by_app_code)):
            answer = service.ask(target, RIGHT, way(service, target, RIGHT))
            is_refused(answer, 400, "ModelArts.4203", "service .+ unavailable.*")
        assert service.ask(IRIS, RIGHT, JSON).code == (401, "APIG.0301")
        assert service.ask(DIGITS, b"{}", service.with_token).code == (500, "MR.0105")
        assert manage(service, iris, "PUT", {"status": "stopped"}).status == 400

        assert manage(service, iris, "PUT", {"status": "running"}).status == 200
        assert until("running") <= {"deploying"}
        assert named(service.ask(IRIS, RIGHT, service.with_token)) == "Iris-setosa"
        assert "access_address" in manage(service, iris).json


def test_a_deployment_waits_deploys_and_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, kept = threading.Event(), threading.Event(), models.KINDS["iris"]

    def slowly(*arguments: Any) -> models.Model:
        begun.set()
        assert go_on.wait(30)
        return kept(*arguments)

    monkeypatch.setitem(models.KINDS, "iris", slowly)  # type: ignore[arg-type]
    deployment = models.Deployment("iris", MODELS)
    seen = [deployment.status]
    with futures.ThreadPoolExecutor(1) as pool:
        loading = pool.submit(deployment.load)
        assert begun.wait(30)
        seen.append(deployment.status)
        go_on.set()
        loading.result()
    assert [*seen, deployment.status] == ["waiting", "deploying", "running"]


def test_a_model_that_is_broken_has_failed_while_the_others_run(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(MODELS, folder)
    (folder / "digits" / "1" / "model.tflite").write_bytes(b"this is no model")
    with running(models=folder) as service:
        assert set(listed(service, "?status=running")) == {"iris", "digits_detector"}
        assert listed(service, "?status=failed") == ["digits"]
        broken = manage(service, f"/{SERVICES['digits'].id}").json
        assert broken["error_msg"]
        assert "access_address" not in broken
        answer = service.ask(
            DIGITS, form(PICTURE), {**form_headers(), "X-Auth-Token": service.token}
        )
        is_refused(answer, 400, "ModelArts.4203", "service .+ unavailable.*")
        assert named(service.ask(IRIS, RIGHT, service.with_token)) == "Iris-setosa"

        shutil.copy(MODELS / "digits" / "1" / "model.tflite", folder / "digits" / "1")
        put = manage(service, f"/{SERVICES['digits'].id}", "PUT", {"status": "running"})
        assert put.status == 200
        for _ in range(5000):
            found = manage(service, f"/{SERVICES['digits'].id}").json
            if found["status"] != "deploying":
                break
        assert found["status"] == "running"
        assert "error_msg" not in found


def test_without_models_all_have_failed_and_logging_in_works(tmp_path: Path) -> None:
    with running(models=tmp_path / "nowhere") as service:
        assert set(listed(service, "?status=failed")) == set(NAMES)
        assert "Traceback" not in service.written()


# Tokens over time.


def test_tokens_end_when_their_time_is_over(tmp_path: Path) -> None:
    with running("--token_lifetime_seconds=600", folder=tmp_path) as service:
        answer = post_login(service, login(service.account))
        token = answer.header("x-subject-token") or ""
        ends = answer.json["token"]["expires_at"]
        assert named(service.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})) == "Iris-setosa"
    with running("--clock_offset_seconds=300", folder=tmp_path) as service:
        assert named(service.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})) == "Iris-setosa"
        assert manage(service, **{"X-Auth-Token": token}).status == 200
    with running("--clock_offset_seconds=601", folder=tmp_path) as service:
        answer = service.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})
        is_refused(answer, 401, "APIG.0301", IAM + re.escape(f"token expires, expires_at: {ends}"))
        is_refused(manage(service, **{"X-Auth-Token": token}), 401, "ModelArts.0202", ".+")
        assert named(service.ask(IRIS, RIGHT, service.with_token)) == "Iris-setosa"


def test_a_token_and_the_account_outlive_the_service(tmp_path: Path) -> None:
    with running(folder=tmp_path) as first:
        token, account = first.token, first.account
        authority = (tmp_path / "ca.pem").read_bytes()
    with running(folder=tmp_path) as second:
        assert second.account == account
        assert (tmp_path / "ca.pem").read_bytes() == authority
        assert named(second.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": token})) == "Iris-setosa"


def test_what_opens_another_s_service_does_not_open_this_one(here: Running) -> None:
    with running() as other:
        assert not set(other.secrets) & set(here.secrets)
        for target, way in ((IRIS, by_token), (IRIS, by_key), *((APP_IRIS, each) for each in APPS)):
            headers = way(other, target, RIGHT) | {"Host": here.host}
            assert here.ask(target, RIGHT, headers).status == 401
        answer = here.ask(IRIS, RIGHT, other.with_token)
        is_refused(answer, 401, "APIG.0301", IAM + "decrypt token fail")
        is_keystone(post_login(here, login(other.account)), 401, "Unauthorized")
        with pytest.raises(ssl.SSLCertVerificationError):
            modelarts.Running(here.port, other.folder, here.process, here.log).ask(IRIS)


# Signatures over time.


@pytest.mark.parametrize(("offset", "further"), [(840, -120), (-840, 120)], ids=["ahead", "behind"])
def test_a_signature_holds_for_a_quarter_of_an_hour(offset: int, further: int) -> None:
    with running(f"--clock_offset_seconds={offset}") as service:
        for target, key in ((IRIS, "ak"), (APP_IRIS, "appkey")):
            assert named(sign(service, target, RIGHT, key=key).send(service)) == "Iris-setosa"
        answer = sign(service, IRIS, RIGHT, ahead=further).send(service)
        is_refused(answer, 401, "APIG.0301", IAM + "verify aksk signature fail, .+")
        answer = sign(service, APP_IRIS, RIGHT, key="appkey", ahead=further).send(service)
        time_ = r"\d{8}T\d{6}Z"
        text = f"signature expired, signature time:{time_},server time:{time_}"
        is_refused(answer, 401, "APIG.0303", APP + text)


@pytest.mark.parametrize(
    "date",
    [
        "0",
        "now",
        "2026-11-21T00:00:00Z",
        "20261121",
        "20261121T000000",
        "20261321T000000Z",
        "20261121T006000Z",
        "99999999T999999Z",
        "00000000T000000Z",
        "1795219200",
        "00010101T000000Z",
        "99991231T235959Z",
    ],
)
def test_a_date_that_is_none_is_refused(here: Running, date: str) -> None:
    answer = sign(here, body=RIGHT, date=date).send(here)
    is_refused(answer, 401, "APIG.0301", IAM + "verify aksk signature fail, .+")
    answer = sign(here, APP_IRIS, RIGHT, date=date, key="appkey").send(here)
    is_refused(answer, 401, "APIG.0303", APP + ".+")


# The lock.


def wrong(service: Running) -> Answer:
    """Send a request whose signature does not fit its body."""
    return sign(service, body=RIGHT)._replace(body=RIGHT + b" ").send(service)


def test_an_access_key_is_locked_after_the_sixth_failure_in_a_row() -> None:
    with running("--lock_after=5") as service:
        for _ in range(2):  # one that is right in between resets the count
            for _ in range(5):
                assert "verify aksk signature fail" in wrong(service).text
            assert named(sign(service, body=RIGHT).send(service)) == "Iris-setosa"
        for _ in range(6):
            assert "verify aksk signature fail" in wrong(service).text
        text = IAM + "AK access failed to reach the limit,forbidden"
        for _ in range(2):
            answer = sign(service, body=RIGHT).send(service)
            is_refused(answer, 401, "APIG.0301", text)
        path = f"/v1/{service.account['project_id']}/services"
        assert sign(service, path, method="GET").send(service).code == (403, "ModelArts.0206")
        # Others are not locked out.
        assert named(service.ask(IRIS, RIGHT, service.with_token)) == "Iris-setosa"
        assert new_token(service)
        for way in APPS:
            assert named(service.ask(APP_IRIS, RIGHT, way(service, APP_IRIS, RIGHT)))


def test_failures_of_others_lock_nobody() -> None:
    with running("--lock_after=5") as service:
        for _ in range(7):
            service.ask(IRIS, RIGHT, {**JSON, "X-Auth-Token": "x"})
            signed = sign(service, body=RIGHT).headers
            unknown = signed["Authorization"].replace(service.account["ak"], "SOMEBODY")
            service.ask(IRIS, RIGHT, signed | {"Authorization": unknown})
            app = sign(service, APP_IRIS, RIGHT, key="appkey")
            assert app._replace(body=RIGHT + b" ").send(service).status == 401
            bad = login(service.account)
            bad["auth"]["identity"]["password"]["user"]["password"] = "wrong"
            assert post_login(service, bad).status == 401
        assert named(sign(service, body=RIGHT).send(service)) == "Iris-setosa"
        assert named(sign(service, APP_IRIS, RIGHT, key="appkey").send(service)) == "Iris-setosa"
        assert new_token(service)


def test_the_lock_opens_after_five_minutes() -> None:
    now = [1000.0]
    lock = signing.Lock(lambda: now[0], 5)
    for failures in range(6):
        assert not lock.closed, failures
        lock.note(succeeded=False)
    assert lock.closed
    now[0] += 299.9
    assert lock.closed
    now[0] += 0.1
    assert not lock.closed
    for _ in range(5):  # and it counts from the beginning
        lock.note(succeeded=False)
    assert not lock.closed
    lock.note(succeeded=False)
    assert lock.closed


def test_a_success_resets_the_lock_and_no_limit_never_locks() -> None:
    lock, never = signing.Lock(lambda: 0.0, 5), signing.Lock(lambda: 0.0, 0)
    for _ in range(20):
        for _ in range(5):
            lock.note(succeeded=False)
            never.note(succeeded=False)
        lock.note(succeeded=True)
    assert not lock.closed
    assert not never.closed


# Where it listens, what it writes, how it starts.


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_their_owner_can_read_the_files(here: Running) -> None:
    made = [path for path in here.folder.iterdir() if path != here.log]
    assert {"ca.pem", "server.pem", "server.key", "secrets.json"} <= {path.name for path in made}
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_plain_http_gets_no_answer(here: Running) -> None:
    with socket.create_connection(("127.0.0.1", here.port), timeout=30) as client:
        client.sendall(f"POST {IRIS} HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n".encode())
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(1000):
                received += part
    assert b"HTTP" not in received
    assert b"APIG" not in received


def test_a_client_that_does_not_know_the_authority_goes_away(here: Running) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", here.port, timeout=30)
    with contextlib.closing(connection), pytest.raises(ssl.SSLCertVerificationError):
        connection.request("POST", TOKENS)


def test_an_old_tls_is_refused(here: Running) -> None:
    def shake(newest: ssl.TLSVersion) -> str | None:
        trust = ssl.create_default_context(cafile=str(here.folder / "ca.pem"))
        trust.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            trust.minimum_version, trust.maximum_version = ssl.TLSVersion.TLSv1, newest
        with socket.create_connection(("127.0.0.1", here.port), timeout=30) as plain:
            return trust.wrap_socket(plain, server_hostname="127.0.0.1").version()

    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake(ssl.TLSVersion.TLSv1_1)
    assert shake(ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert shake(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_is_for_this_machine(here: Running, name: str) -> None:
    with (
        socket.create_connection(("127.0.0.1", here.port), timeout=30) as plain,
        here.trust.wrap_socket(plain, server_hostname=name) as secure,
    ):
        assert secure.getpeercert()


def test_only_this_machine_can_call(here: Running) -> None:
    process = psutil.Process(here.process.pid)
    family = [process, *process.children(recursive=True)]
    found = [each for member in family for each in member.net_connections(kind="inet")]
    listening = {tuple(each.laddr) for each in found if each.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", here.port)}


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for flag in (
        "port",
        "folder",
        "models",
        "token_lifetime_seconds",
        "requests_per_second",
        "timeout_seconds",
        "lock_after",
        "clock_offset_seconds",
        "inference_delay_seconds",
        "idle_timeout_seconds",
        "exit_with_pid",
    ):
        assert f"--{flag}" in shown


@pytest.mark.parametrize(
    "flag",
    [
        "--port=0",
        "--port=65536",
        "--port=x",
        "--port=-1",
        "--port=",
        "--prot=1",
        "--por=9443",
        "--token_lifetime_seconds=x",
        "--token_lifetime_seconds=nan",
        "--token_lifetime_seconds=-1",
        "--requests_per_second=x",
        "--requests_per_second=-1",
        "--timeout_seconds=-1",
        "--timeout_seconds=nan",
        "--lock_after=-1",
        "--lock_after=1.5",
        "--inference_delay_seconds=-1",
        "--inference_delay_seconds=nan",
        "--clock_offset_seconds=nan",
        "--clock_offset_seconds=inf",
        "more",
    ],
)
def test_a_flag_that_makes_no_sense_is_refused(
    flag: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun() -> None:
        raise AssertionError("it takes this flag and starts")

    monkeypatch.setattr(server, "start_log", begun)
    with pytest.raises(SystemExit) as ended:
        command.main([flag])
    assert ended.value.code == 2
    assert flag.partition("=")[0] in capsys.readouterr().err


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends by itself."""
    own = [sys.executable, "-m", "practice.modelarts", *flags]
    return subprocess.run(own, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_that_is_taken_is_named(here: Running, tmp_path: Path) -> None:
    ended = run(f"--port={here.port}", f"--folder={tmp_path}")
    assert ended.returncode == 1
    assert "cannot start" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    ended = run(f"--port={processes.choose_port()}", f"--folder={folder}")
    assert ended.returncode != 0
    assert str(folder) in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_it_ends_when_asked(tmp_path: Path) -> None:
    with running(folder=tmp_path) as service:
        service.process.terminate()
        assert service.process.wait(30) == 0
        assert processes.is_free(service.port)
        assert "Traceback" not in service.written()


def test_the_log_holds_no_secret_and_no_traceback(here: Running) -> None:
    for way in USERS:
        here.ask(IRIS, b"{}", way(here, IRIS, b"{}"))
        here.ask(IRIS, RIGHT, way(here, IRIS, RIGHT) | {"X-Auth-Token": here.token[:-1]})
    post_login(here, login(here.account))
    log = here.written()
    assert "Recognition failed" in log or "iris" in log
    for secret in (*here.secrets, here.token):
        assert secret not in log
    assert "Signature=" not in log
    assert "Traceback" not in log


def test_a_line_of_the_log_stays_short_whatever_was_sent(here: Running) -> None:
    before = here.log.stat().st_size
    body = json.dumps({"data": {"req_data": [SETOSA | {"petal_width": "x" * 1_000_000}]}})
    assert here.ask(IRIS, body, here.with_token).code == (500, "MR.0105")
    assert here.log.stat().st_size - before < 5000
