"""helpers.modelarts against the practice service: tokens, signatures, images, JSON, failures."""

import dataclasses
import datetime
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

import practice
from helpers import channels, endpoints, errors, modelarts
from helpers.endpoints import Endpoint
from practice import manager, state
from tests.http_answers import moved, received

DATA = Path(__file__).parents[2] / "data"
PICTURE = DATA / "images" / "digits-02.png"
FLOWER = {"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}
BODY = {"data": {"req_data": [FLOWER]}}
WAYS = ("practice", "practice-signature", "practice-appcode")
SERVICE = "https://infer.example.com/v1/infers/eb3e0c54-3dfa-4750-af0c-95c45e5d3e83"


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[None]:
    """Start the shared service; what breaks one takes a private one."""
    manager.up("modelarts")
    yield
    channels.close()


@pytest.fixture(autouse=True)
def no_tokens() -> None:
    """Begin each test without a token."""
    modelarts._tokens.clear()


@pytest.fixture
def endpoint() -> Endpoint:
    return endpoints.load("modelarts")


@pytest.fixture
def detector() -> Endpoint:
    return endpoints.load("modelarts", "practice-detector")


def prepared(body: str | bytes | None, **headers: str) -> requests.PreparedRequest:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.Request("POST" if body else "GET", SERVICE, given, data=body).prepare()


def signature(request: requests.PreparedRequest) -> str:
    return str(request.headers["Authorization"]).partition("Signature=")[2]


# The sheet's vectors: made with Huawei Cloud's SDK, and the one of its signing guide.
TEXT = (
    '{"data":{"req_data":[{"sepal_length":3,"sepal_width":1,"petal_length":2.2,"petal_width":4}]}}'
)
KEYS = ("EXAMPLEAK00000000001", "ExampleSecretKey0000000000000000000000001")


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (
            TEXT,
            "application/json",
            "d20e6a7effa693da6cc03cd39dbb9eae2a70d9ce250afadff3e2ad93f7529066",
        ),
        (
            TEXT.replace("2.2", "2.3"),
            "application/json",
            "ef8420e83a3ef9fbfd181665d679ffa611e20937f046e92ed35bddc6ee872375",
        ),
        (
            TEXT,
            "multipart/form-data; boundary=xyz",
            "5b6f1741e27af98b7b82d09c1c74cda2c4323bc5a327e75b5b2d5118081a44af",
        ),
    ],
)
def test_a_signature_is_that_of_the_sdk(body: str, kind: str, expected: str) -> None:
    assert len(TEXT) == 93
    request = prepared(body, Content_Type=kind, X_Sdk_Date="20260101T000000Z")
    assert signature(modelarts.sign(request, *KEYS)) == expected


def test_a_signature_is_that_of_the_signing_guide() -> None:
    url = (
        "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs"
        "?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0"
    )
    headers = {"Content-Type": "application/json", "X-Sdk-Date": "20191115T033655Z"}
    request = requests.Request("GET", url, headers).prepare()
    modelarts.sign(request, "QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc")
    assert signature(request) == "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"


def test_signing_puts_in_what_is_missing_and_keeps_what_is_there() -> None:
    request = modelarts.sign(prepared(TEXT), "AK", "SK")
    assert request.headers["Host"] == "infer.example.com"
    then = datetime.datetime.strptime(str(request.headers["X-Sdk-Date"]), "%Y%m%dT%H%M%SZ")
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert abs(now - then) < datetime.timedelta(minutes=1)
    assert "SK" not in str(request.headers).replace("SDK", "")
    kept = modelarts.sign(prepared(TEXT, Host="here:1"), "AK", "SK")
    assert kept.headers["Host"] == "here:1"


def test_a_body_that_is_a_stream_cannot_be_signed() -> None:
    with open(PICTURE, "rb") as file:
        request = requests.Request("POST", SERVICE, data=file).prepare()
        with pytest.raises(errors.BadInput, match="Read the file first"):
            modelarts.sign(request, "AK", "SK")


@pytest.mark.parametrize("path", ["", "/", "/a b/%7Ec/é", "/a%2Fb/?q=1&q=0&a=%20+"])
def test_signed_paths_and_queries_are_accepted_by_the_service(
    endpoint: Endpoint, path: str
) -> None:
    keys = endpoints.load("modelarts", "practice-signature")
    request = requests.Request("POST", endpoint.rest + path, json=BODY).prepare()
    modelarts.sign(request, keys.user, keys.password)
    session = channels.session(keys)
    response = session.send(request, verify=session.verify, timeout=30)
    # Let in by the gateway: the model's service has no path but its own.
    assert response.status_code in (200, 404)
    assert "APIG" not in response.text


@pytest.mark.parametrize("profile", WAYS)
def test_each_way_in_gives_the_same_answer(profile: str) -> None:
    answer = modelarts.infer_json(endpoints.load("modelarts", profile), BODY)
    assert answer == {
        "meta": {"uuid": ""},
        "data": {"resp_data": [{**FLOWER, "predictresult": "Iris-virginica"}]},
    }


@pytest.mark.parametrize("way", ["", "signature"])
def test_an_image_is_a_path_bytes_or_an_array(detector: Endpoint, way: str) -> None:
    import matplotlib.pyplot as plt

    if way:
        keys = endpoints.load("modelarts", "practice-signature")
        detector = detector.replace(auth=way, user=keys.user, password=keys.password)
    pixels = np.round(plt.imread(PICTURE) * 255).astype(np.uint8)
    answers = [
        modelarts.infer_image(detector, image)
        for image in (PICTURE, str(PICTURE), PICTURE.read_bytes(), pixels)
    ]
    assert answers[0]["detection_classes"]
    assert answers.count(answers[0]) == 4


def test_the_form_field_has_the_name_given(detector: Endpoint) -> None:
    with pytest.raises(errors.BadInput, match="The model can do nothing") as caught:
        modelarts.infer_image(detector, PICTURE, name="picture")
    assert caught.value.details == "MR.0105 Recognition failed"


def test_a_token_is_fetched_once_and_kept(endpoint: Endpoint) -> None:
    tokens = [modelarts.get_token(endpoint) for _ in range(3)]
    assert tokens[0] is tokens[1] is tokens[2]
    assert 86_000 < tokens[0].remaining <= 86_400
    others = endpoint.replace(rest=endpoints.load("modelarts", "practice-digits").rest)
    assert modelarts.get_token(others) is tokens[0]


def test_many_threads_fetch_one_token(endpoint: Endpoint) -> None:
    tokens: list[modelarts.Token] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(modelarts.get_token(endpoint)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, tokens))) == 1


@pytest.mark.parametrize(("lifetime", "kept"), [(599, False), (660, True)])
def test_a_token_is_renewed_ten_minutes_before_its_end(lifetime: int, kept: bool) -> None:
    flags = [f"--token_lifetime_seconds={lifetime}"]
    with practice.private("modelarts", flags=flags) as endpoint:
        first, second = modelarts.get_token(endpoint), modelarts.get_token(endpoint)
    assert (first is second) is kept


def test_a_token_that_is_over_before_its_time_is_fetched_again_once(endpoint: Endpoint) -> None:
    good = modelarts.get_token(endpoint)
    modelarts._tokens[modelarts._account(endpoint)] = dataclasses.replace(good, value="old")
    assert modelarts.infer_json(endpoint, BODY)["data"]
    assert modelarts.get_token(endpoint).value not in ("old", good.value)


def test_a_token_that_is_never_taken_is_an_error_and_no_endless_loop() -> None:
    flags = ["--token_lifetime_seconds=0"]
    with (
        practice.private("modelarts", flags=flags) as endpoint,
        pytest.raises(errors.NotAuthenticated, match="token expires") as caught,
    ):
        modelarts.infer_json(endpoint, BODY)
    assert caught.value.code == 401


def test_secrets_are_in_no_repr_and_in_no_exception(endpoint: Endpoint) -> None:
    kept = state.read_secrets("modelarts")
    secrets = [kept[name] for name in ("password", "sk", "appcode", "appsecret", "token_key")]
    secrets.append(modelarts.get_token(endpoint).value)
    shown = [repr(modelarts.get_token(endpoint)), str(modelarts.get_token(endpoint))]
    for profile in endpoints.PROFILES["modelarts"]:
        known = endpoints.load("modelarts", profile)
        assert known.password in secrets
        shown.append(repr(known))
        for broken in (
            known.replace(rest=known.rest + "0"),
            known.replace(password=known.password[:-1] + "?"),
            known.replace(ca_file=""),
        ):
            try:
                modelarts.infer_json(broken, BODY)
            except errors.CallError as error:
                shown += ["".join(traceback.format_exception(error)), repr(vars(error))]
                shown += error._render_traceback_()
    assert len(shown) > 20
    assert not [secret for secret in secrets for text in shown if secret in text]


FAILURES: list[tuple[Callable[[Endpoint], Any], type[errors.CallError], str]] = [
    (
        lambda e: modelarts.infer_json(e.replace(password="wrong"), BODY),
        errors.NotAuthenticated,
        "IAM does not know this user",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(domain="learner"), BODY),
        errors.NotAuthenticated,
        "the domain is the account's name",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(project="mars"), BODY),
        errors.BadInput,
        "no such project",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(iam=""), BODY),
        errors.BadInput,
        "missing for a token to be fetched: endpoint.replace.iam=",
    ),
    (lambda e: modelarts.infer_json(e.replace(rest=""), BODY), errors.BadInput, "HTTPS only"),
    (
        lambda e: modelarts.infer_json(e.replace(rest=e.rest[:-1]), BODY),
        errors.UnknownModel,
        "No service is published",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(rest=e.rest + "/x"), BODY),
        errors.UnknownModel,
        "no such path",
    ),
    (lambda e: modelarts.infer_json(e, {"a": 1}), errors.BadInput, "fields are missing"),
    (lambda e: modelarts.infer_json(e, {"a": float("nan")}), errors.BadInput, "as JSON"),
    (lambda e: modelarts.infer_json(e, {"a": object()}), errors.BadInput, "as JSON"),
    (lambda e: modelarts.infer_image(e, "no-such-file.png"), errors.BadInput, "cannot be read"),
    (lambda e: modelarts.infer_image(e, bytes(13_000_000)), errors.TooLarge, "larger than"),
    (
        lambda e: modelarts.infer_json(e.replace(auth="signature"), BODY),
        errors.NotAuthenticated,
        "ak not exist",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(auth="appcode"), BODY),
        errors.NotAuthenticated,
        "x-auth-token not found",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(ca_file=""), BODY),
        errors.NotTrusted,
        "not signed by an authority",
    ),
    (
        lambda e: modelarts.infer_json(e.replace(iam="https://127.0.0.1:1"), BODY),
        errors.ConnectionFailed,
        "Nothing answers",
    ),
    (
        lambda e: modelarts.get_token(e.replace(iam=e.iam.replace("https", "http"))),
        errors.BadInput,
        "sent over TLS only",
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), FAILURES)
def test_what_goes_wrong_says_what_to_do(
    endpoint: Endpoint,
    call: Callable[[Endpoint], Any],
    kind: type[errors.CallError],
    text: str,
) -> None:
    with pytest.raises(kind, match=text):
        call(endpoint)


def test_an_app_code_is_not_sent_without_tls(endpoint: Endpoint) -> None:
    app = endpoints.load("modelarts", "practice-appcode")
    with pytest.raises(errors.BadInput, match="HTTPS only"):
        modelarts.infer_json(app.replace(rest=app.rest.replace("https", "http")), BODY)


def test_a_wrong_app_code_is_told_from_a_wrong_token() -> None:
    app = endpoints.load("modelarts", "practice-appcode")
    with pytest.raises(errors.NotAuthenticated, match="second address"):
        modelarts.infer_json(app.replace(password="wrong"), BODY)


def test_a_slow_model_is_given_up() -> None:
    with practice.private("modelarts", flags=["--inference_delay_seconds=1"]) as endpoint:
        modelarts.get_token(endpoint)
        with pytest.raises(errors.DeadlineExceeded, match="did not answer in time"):
            modelarts.infer_json(endpoint, BODY, timeout=0.3)


def test_a_stopped_service_says_that_it_does_not_run() -> None:
    with practice.private("modelarts") as endpoint:
        token = modelarts.get_token(endpoint)
        session = channels.session(endpoint)
        headers = {"X-Auth-Token": token.value}
        told = session.post(
            f"{endpoint.iam}/v3/auth/tokens",
            json={
                "auth": {
                    "identity": {
                        "methods": ["password"],
                        "password": {
                            "user": {
                                "name": endpoint.user,
                                "password": endpoint.password,
                                "domain": {"name": endpoint.domain},
                            }
                        },
                    },
                    "scope": {"project": {"name": endpoint.project}},
                }
            },
            verify=session.verify,
            timeout=30,
        ).json()
        project = told["token"]["project"]["id"]
        identity = endpoint.rest.rpartition("/")[2]
        url = f"{endpoint.iam}/v1/{project}/services/{identity}"
        stop = session.put(
            url, json={"status": "stopped"}, headers=headers, verify=session.verify, timeout=30
        )
        assert stop.status_code == 200
        for call in (
            lambda: modelarts.infer_json(endpoint, BODY),
            lambda: modelarts.check(endpoint),
        ):
            with pytest.raises(errors.ServiceFailed, match="it is stopped"):
                call()


def test_throttling_is_an_error_of_its_own() -> None:
    with practice.private("modelarts", flags=["--requests_per_second=1"]) as endpoint:
        with pytest.raises(modelarts.CallsFailed) as caught:
            modelarts.infer_many(endpoint, [BODY] * 5)
        assert {type(error) for error in caught.value.exceptions} == {errors.Throttled}


@pytest.mark.parametrize("profile", list(endpoints.PROFILES["modelarts"]))
def test_check_says_nothing_when_all_is_well(profile: str) -> None:
    modelarts.check(endpoints.load("modelarts", profile))


def test_check_raises_for_what_is_not_even_sent(endpoint: Endpoint) -> None:
    with pytest.raises(errors.BadInput, match="HTTPS only"):
        modelarts.check(endpoint.replace(rest=""))
    with pytest.raises(errors.NotAuthenticated):
        modelarts.check(endpoint.replace(password="wrong"))


def test_many_answers_come_in_the_order_of_the_inputs(detector: Endpoint) -> None:
    paths = sorted((DATA / "images").glob("digits-*.png"))
    many = modelarts.infer_many(detector, iter(paths))
    assert many == [modelarts.infer_image(detector, path) for path in paths]


def test_many_dicts_go_as_json(endpoint: Endpoint) -> None:
    bodies = [{"meta": {"uuid": str(number)}, **BODY} for number in range(20)]
    answers = modelarts.infer_many(endpoint, bodies, threads=3)
    assert [answer["meta"]["uuid"] for answer in answers] == [str(n) for n in range(20)]


def test_nothing_to_send_gives_no_answers(endpoint: Endpoint) -> None:
    assert modelarts.infer_many(endpoint, []) == []


def test_of_many_calls_every_exception_and_every_answer_arrives(detector: Endpoint) -> None:
    with pytest.raises(modelarts.CallsFailed, match="2 of 4 calls failed") as caught:
        modelarts.infer_many(detector, [PICTURE, b"no image", "missing.png", PICTURE])
    group = caught.value
    assert [type(error) for error in group.exceptions] == [errors.BadInput, errors.BadInput]
    assert group.exceptions[1].__notes__ == ["This was input number 2, counted from 0."]
    assert [answer is None for answer in group.answers] == [False, True, True, False]
    assert len(group._render_traceback_()) == 3


def test_of_many_calls_with_a_wrong_password_iam_hears_one(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    fetch = modelarts._fetch

    def count(*arguments: Any) -> modelarts.Token:
        asked.append(arguments)
        return fetch(*arguments)

    monkeypatch.setattr(modelarts, "_fetch", count)
    with pytest.raises(modelarts.CallsFailed, match="1 of 50 calls failed, .* 49 were") as caught:
        modelarts.infer_many(endpoint.replace(password="wrong"), [BODY] * 50)
    assert len(asked) == 1
    assert [type(error) for error in caught.value.exceptions] == [errors.NotAuthenticated]
    assert caught.value.answers == [None] * 50


def test_many_calls_with_a_wrong_key_do_not_lock_it() -> None:
    with practice.private("modelarts", flags=["--lock_after=5"]) as endpoint:
        kept = state.read_secrets("modelarts", endpoint._own.folder)
        keys = endpoint.replace(auth="signature", user=kept["ak"], password=kept["sk"])
        with pytest.raises(modelarts.CallsFailed):
            modelarts.infer_many(keys.replace(password="wrong"), [BODY] * 50)
        assert modelarts.infer_json(keys, BODY)["data"]


def test_threads_that_wait_for_a_refused_token_are_refused_with_it(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IAM locks a user after five wrong passwords."""
    wrong = endpoint.replace(password="wrong")
    began = threading.Semaphore(0)
    fetch = modelarts._fetch
    asked = []

    def late(*arguments: Any) -> modelarts.Token:
        asked.append(arguments)
        for _ in range(9):
            assert began.acquire(timeout=20)
        time.sleep(0.2)  # so that they wait for the lock
        return fetch(*arguments)

    def get() -> str:
        began.release()
        try:
            return modelarts.get_token(wrong).value
        except errors.NotAuthenticated as error:
            return str(error)

    monkeypatch.setattr(modelarts, "_fetch", late)
    with ThreadPoolExecutor(9) as pool:
        texts = [future.result(60) for future in [pool.submit(get) for _ in range(9)]]
    assert len(asked) == 1
    assert len(set(texts)) == 1
    began.release(9)
    with pytest.raises(errors.NotAuthenticated):  # who comes later may have another answer
        modelarts.get_token(wrong)
    assert len(asked) == 2


@pytest.fixture
def silent(endpoint: Endpoint, tcp_server: Callable[[None], str]) -> Iterator[Endpoint]:
    """Return an endpoint whose IAM never answers, while a thread asks it for a token."""
    silent = endpoint.replace(iam=f"https://{tcp_server(None)}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(modelarts.get_token, silent, timeout=8)
        while modelarts._account(silent) not in modelarts._locks:
            time.sleep(0.01)
        yield silent
        assert not waiting.done()


def test_a_silent_iam_holds_no_other_account(endpoint: Endpoint, silent: Endpoint) -> None:
    assert modelarts.get_token(endpoint).value


def test_a_token_is_waited_for_no_longer_than_the_call_has_time(silent: Endpoint) -> None:
    with pytest.raises(errors.DeadlineExceeded, match="did not answer in time") as caught:
        modelarts.get_token(silent, timeout=0.1)
    assert caught.value.endpoint == silent.iam
    with pytest.raises(errors.DeadlineExceeded):
        modelarts.infer_json(silent, BODY, timeout=0.1)


def test_a_redirect_is_named_and_not_followed(
    tls_server: Callable[[Callable], str], tmp_path: Path
) -> None:
    asked = []

    def gateway(connection: ssl.SSLSocket) -> None:
        asked.append(received(connection))
        connection.sendall(moved("/login"))

    app = Endpoint("modelarts", rest=f"https://{tls_server(gateway)}/v1/infers/x", auth="appcode")
    app = app.replace(password="code", ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(errors.NotThisProtocol, match="redirects to /login"):
        modelarts.infer_json(app, BODY)
    assert len(asked) == 1


def test_ctrl_c_ends_many_calls_and_begins_no_more(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tqdm.auto

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    sent, forever = [], threading.Event()

    def slow(*arguments: object, **_: object) -> None:
        sent.append(arguments)
        forever.wait(0.01)

    monkeypatch.setattr(tqdm.auto, "tqdm", interrupted)
    monkeypatch.setattr(modelarts, "infer_json", slow)
    with pytest.raises(KeyboardInterrupt):
        modelarts.infer_many(endpoint, [BODY] * 2000, threads=2)
    assert len(sent) < 2000


def test_an_answer_that_is_no_json_is_another_protocol(endpoint: Endpoint) -> None:
    """CCAI's REST door over TLS answers with a page."""
    manager.up("ccai")
    ccai = endpoints.load("ccai", "practice-secure")
    wrong = endpoints.load("modelarts", "practice-appcode").replace(rest=f"{ccai.rest}/v1/infers/x")
    with pytest.raises(errors.NotThisProtocol):
        modelarts.infer_json(wrong, BODY)
    with pytest.raises(errors.NotThisProtocol):
        modelarts.get_token(endpoint.replace(iam=ccai.rest))


def test_the_certificate_is_not_checked_only_when_asked(endpoint: Endpoint) -> None:
    with pytest.warns(Warning, match="Unverified HTTPS request"):
        modelarts.infer_json(endpoint.replace(ca_file="", verify=False), BODY)


def test_the_environment_goes_before_the_files(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in manager.variables("modelarts").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTW_STATE_DIR", "nowhere")
    for profile in endpoints.PROFILES["modelarts"]:
        modelarts.check(endpoints.load("modelarts", profile))
    assert endpoints.load("modelarts") == endpoint


def test_a_ready_token_is_used_and_none_is_fetched(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = modelarts.get_token(endpoint).value
    bare = Endpoint("modelarts", rest=endpoint.rest, ca_file=endpoint.ca_file)
    modelarts._tokens.clear()
    assert modelarts.infer_json(bare.replace(token=token), BODY)["data"]["resp_data"]
    modelarts.check(bare.replace(token=token))
    assert not modelarts._tokens
    monkeypatch.setenv("OTW_MODELARTS_REST", endpoint.rest)
    monkeypatch.setenv("OTW_MODELARTS_TOKEN", token)
    assert endpoints.load("modelarts").token == token
    over = bare.replace(token=f"{token[:-4]}AAAA", user="ada", password="x")
    with pytest.raises(errors.NotAuthenticated):
        modelarts.infer_json(over, BODY)


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, "iam=..., user=..., password=..., domain=..., project=..."),
        ({"iam": "https://iam", "user": "ada", "password": "x"}, "domain=..., project=..."),
        ({"auth": "signature", "user": "AK"}, "access key. Missing: endpoint.replace(password=SK)"),
        ({"auth": "signature"}, "endpoint.replace(user=AK, password=SK)"),
        ({"auth": "appcode"}, "The AppCode is missing: endpoint.replace(password=APPCODE)"),
    ],
)
def test_what_is_missing_is_told_before_a_call(fields: dict[str, str], missing: str) -> None:
    here = endpoints.from_mapping({"kind": "modelarts", "rest": SERVICE, **fields}, "a test")
    with pytest.raises(errors.BadInput) as caught:
        modelarts.infer_json(here, BODY)
    assert missing in str(caught.value)
    assert ("endpoint.replace(token=...)" in str(caught.value)) is (not here.auth)


def test_headers_go_to_the_service_and_not_to_another_iam(
    endpoint: Endpoint, tls_server: Callable[[Any], str], tmp_path: Path
) -> None:
    asked: list[bytes] = []

    def answer(connection: Any) -> None:
        asked.append(received(connection))

    ca_file = str(tmp_path / "ca.pem")
    iam, service = (f"https://{tls_server(answer)}" for _ in range(2))
    here = endpoint.replace(
        iam=iam, rest=f"{service}/v1/infers/x", ca_file=ca_file, headers={"X-Team": "s3cr3t"}
    )
    with pytest.raises(errors.CallError):
        modelarts.get_token(here)
    assert b"s3cr3t" not in asked[-1]
    with pytest.raises(errors.CallError):
        modelarts.infer_json(here.replace(token="x"), BODY)
    assert b"X-Team: s3cr3t" in asked[-1]
