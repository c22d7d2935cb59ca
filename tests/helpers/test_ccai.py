"""The helper against the real practice service: answers, and what each mistake is told."""

import http.client
import socket
import traceback
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import trustme
from PIL import Image

from helpers import ccai, channels, endpoints, errors, images
from helpers.ccai import answers, calls
from helpers.ccai.speech import Speech
from helpers.endpoints import Endpoint
from practice import credentials, manager, processes, state
from tests import ccai as shared
from tests.ccai import DATA, Running
from tests.http_answers import http_answer

WAYS: list[dict[str, Any]] = [{}, {"dialect": "cpp"}, {"protocol": "grpc"}]
GO_FORWARD = Speech.read(DATA / "audio" / "go-forward.wav")


# The fixtures of this file.
service, here, there = shared.service, shared.here, shared.there


@pytest.fixture(params=["plain", "secure"])
def either(request: pytest.FixtureRequest, service: Running) -> Endpoint:
    return getattr(service, request.param)


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget channels and sessions, which may know the environment of an earlier test."""
    monkeypatch.setattr(channels, "_channels", {})
    monkeypatch.setattr(channels, "_sessions", {})


# The same answer on every way.


@pytest.fixture(scope="module")
def items(here: Endpoint) -> list[ccai.TextItem]:
    """Return what is read over REST from the Python service."""
    return ccai.ocr(here, shared.written("Meeting\nat ten"))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_text_is_read_the_same_on_every_way(
    either: Endpoint, way: dict[str, Any], items: list[ccai.TextItem]
) -> None:
    found = ccai.ocr(either, shared.written("Meeting\nat ten"), **way)
    assert found == items
    assert [item.text for item in found] == ["Meeting", "at ten"]
    sure = () if way.get("protocol") == "grpc" else items[0].confidences
    assert found[0].confidences == pytest.approx(sure, abs=1e-6)
    assert all(type(number) is int for item in found for number in item.box)


def test_each_character_has_a_confidence(items: list[ccai.TextItem]) -> None:
    assert [len(item.confidences) for item in items] == [len("Meeting"), len("at ten")]


def test_faces_are_the_same_over_rest_and_grpc(either: Endpoint) -> None:
    picture = shared.two_faces()
    faces = ccai.detect_faces(either, picture)
    assert faces == ccai.detect_faces(either, picture, protocol="grpc")
    assert len(faces) == len(ccai.detect_faces(either, picture, dialect="cpp")) == 2
    assert all(isinstance(face, ccai.Face) for face in faces)
    assert all(face.x2 - face.x1 == face.y2 - face.y1 for face in faces)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_landmarks_are_the_same_on_every_way(here: Endpoint, way: dict[str, Any]) -> None:
    points = ccai.facial_landmarks(here, shared.two_faces(), **way)
    assert (points.shape, points.dtype) == ((2, 35, 2), np.int64)
    assert (points == ccai.facial_landmarks(here, shared.two_faces())).all()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_where_there_is_no_face_there_are_none(here: Endpoint, way: dict[str, Any]) -> None:
    assert ccai.detect_faces(here, shared.blank(), **way) == []
    assert ccai.facial_landmarks(here, shared.blank(), **way).shape == (0, 35, 2)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_tags_are_the_same_on_every_way(here: Endpoint, way: dict[str, Any]) -> None:
    for digit in "0123456789":
        (best,) = ccai.classify(here, shared.written(digit, 200))
        expected = [best] if best.confidence > 0.5 or not way else []
        assert ccai.classify(here, shared.written(digit, 200), **way) == expected


def test_a_recording_is_heard_the_same_over_rest_and_grpc(either: Endpoint) -> None:
    assert ccai.speech_to_text(either, GO_FORWARD) == "go forward ten meters"
    assert ccai.speech_to_text(either, GO_FORWARD, protocol="grpc") == "go forward ten meters"


def test_what_is_said_can_be_heard(here: Endpoint, there: Endpoint) -> None:
    said = ccai.text_to_speech(here, "Where do you live")
    assert (said.rate, said.samples.dtype) == (22050, np.float32)
    assert 0.5 < said.seconds < 5
    assert (ccai.text_to_speech(there, "Where do you live").samples == said.samples).all()
    heard = ccai.speech_to_text(here, said)
    assert heard == "where do you live"
    assert ccai.speech_to_text(there, said, protocol="grpc") == heard


def test_silence_has_no_words(here: Endpoint) -> None:
    silence = Speech(np.zeros(16000, np.float32), 16000)
    assert ccai.speech_to_text(here, silence) == ""
    assert ccai.speech_to_text(here, silence, protocol="grpc") == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [("ppocr", "Meeting ten"), ("digitalnote", "Meeting\n ten"), ("handwritten", "Meeting")],
)
def test_an_image_is_read_as_one_text(here: Endpoint, name: str, text: str) -> None:
    lines = "Meeting" if name == "handwritten" else "Meeting\nten"
    assert ccai.read_text(here, shared.written(lines), service=name) == text


def test_an_image_may_be_a_path_bytes_or_an_array(here: Endpoint) -> None:
    path = DATA / "photos" / "astronaut.png"
    array = np.asarray(Image.open(path).convert("RGB"))
    expected = ccai.detect_faces(here, path)
    assert len(expected) == 1
    for image in (str(path), path.read_bytes(), array, array[:, ::-1][:, ::-1]):
        assert ccai.detect_faces(here, image) == expected


def test_an_array_may_be_grey(here: Endpoint) -> None:
    grey = np.asarray(Image.open(DATA / "photos" / "astronaut.png").convert("L"))
    assert len(ccai.detect_faces(here, grey)) == 1


def test_the_colours_of_an_array_are_red_green_blue() -> None:
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    assert Image.open(BytesIO(images.png(red))).getpixel((0, 0)) == (255, 0, 0)


def test_all_is_well(either: Endpoint) -> None:
    ccai.check(either)
    ccai.check(either.replace(rest=""))
    ccai.check(either.replace(grpc=""))


@pytest.mark.parametrize(
    "form", [{"image": "ab+/c+==", "n": 1}, {"text": "= a+b & 你好/~%2B"}, {"text": "=a"}, {}]
)
def test_a_form_is_sent_as_requests_sends_it(tcp_server: Callable, form: dict[str, Any]) -> None:
    received = []

    def note(connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            assert file.readline() == b"POST /cgi-bin/fcgi_py_tts HTTP/1.1\r\n"
            headers = http.client.parse_headers(file)
            body = file.read(int(headers["Content-Length"]))
        received.append((headers["Content-Type"], body))
        connection.sendall(http_answer(b"{}"))

    url = f"http://{tcp_server(note)}"
    calls.send(Endpoint("ccai", rest=url), "fcgi_py_tts", form, 10)
    with requests.Session() as session:
        session.trust_env = False
        session.post(f"{url}/cgi-bin/fcgi_py_tts", data=form, timeout=10)
    ours, theirs = received
    assert ours == theirs


def test_a_signature_is_that_of_the_sample_clients() -> None:
    form = {"app_id": 1000001, "nonce_str": "abc", "text": "hello world"}
    form |= {"time_stamp": 1700000000}
    assert ccai.sign(form, "demo-key") == "C672691BEF8DD823314E78BA6BF9C784"
    assert ccai.sign(dict(reversed(form.items())), "demo-key") != ccai.sign(form, "demo-key")


# Answers as they come.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[]", []),
        ("", []),
        (" \r\n", []),
        ('{"x": 1},{"x": 2}', [{"x": 1}, {"x": 2}]),
        ('[{"x": 1}\n{"x": 2}]', [{"x": 1}, {"x": 2}]),
        ('{"list":[\r\n\t{"x":1}\n\t{"x":2}\n\t]\r\n}', {"list": [{"x": 1}, {"x": 2}]}),
        ('{"data":"ab\r\ncd"}', {"data": "ab\r\ncd"}),
        ('{"text":"} {"}', {"text": "} {"}),
        ('{"text":"a},{b"},{"text":"[]"}', [{"text": "a},{b"}, {"text": "[]"}]),
        ('{"text":"\\u4e2d"}', {"text": "中"}),
    ],
)
def test_json_that_is_not_quite_is_repaired(text: str, expected: Any) -> None:
    assert answers.parse(text) == expected


@pytest.mark.parametrize("text", ["hello", "{", '{"a": }', "<html></html>", "{'a': 1}"])
def test_what_is_no_json_at_all_is_not(text: str) -> None:
    with pytest.raises(errors.ServiceFailed, match="not JSON") as caught:
        answers.parse(text)
    assert caught.value.details == text


def test_one_bracketless_object_is_a_list_of_one() -> None:
    assert answers.faces(answers.parse('{"x1":1,"y1":2,"x2":3,"y2":4}')) == [(1, 2, 3, 4)]
    points = answers.parse(",".join('{"x":1,"y":2}' for _ in range(35)))
    assert answers.landmarks(points).tolist() == [[[1, 2]] * 35]


def test_text_items_of_all_three_forms_are_equal() -> None:
    place = {"x": 1, "y": 2, "width": 3, "height": 4}
    word = [{"character": "a", "confidence": 0.5}]
    python = {"item": "", "itemcoord": [place], "itemstring": "a", "word": word}
    floats = {side: float(value) for side, value in place.items()}
    cpp = {"itemcoord": [floats], "words": word, "itemstring": "a"}
    over_grpc = {"itemcoord": place, "itemstring": "a"}
    first = answers.text_items({"item_list": [python]})
    assert first == answers.text_items({"item_list": [cpp]}) == answers.text_items([over_grpc])
    assert repr(first[0]) == "TextItem(text='a', box=(1, 2, 3, 4))"


def test_a_success_is_told_by_ret_and_not_by_msg() -> None:
    text = '{"ret": 0, "msg": "Only generates wave file, ...", "data": "x", "time": 0.1}'
    assert answers.data_of(text) == "x"


def test_a_sound_that_was_damaged_on_its_way_is_noticed() -> None:
    with pytest.raises(errors.ServiceFailed, match="damaged"):
        answers.speech({"format": 2, "speech": "AAAA", "md5sum": "0" * 32})
    with pytest.raises(errors.ServiceFailed, match="base64"):
        answers.speech({"format": 2, "speech": "!", "md5sum": "0" * 32})


# Mistakes, and what they are told.


def failure(function: Callable, *arguments: Any, **options: Any) -> errors.CallError:
    with pytest.raises(errors.CallError) as caught:
        function(*arguments, **options)
    error = caught.value
    assert str(error)
    assert "{" not in str(error)  # every sentence was filled in
    return error


def both_ways(endpoint: Endpoint) -> list[errors.CallError]:
    """Fail over REST and over gRPC, and check that the address is named."""
    over_rest = failure(ccai.detect_faces, endpoint, b"x")
    over_grpc = failure(ccai.detect_faces, endpoint, b"x", protocol="grpc")
    assert (over_rest.service, over_rest.endpoint) == ("CCAI", endpoint.rest)
    assert (over_grpc.service, over_grpc.endpoint) == ("CCAI", endpoint.grpc)
    for error, address in [(over_rest, endpoint.rest), (over_grpc, endpoint.grpc)]:
        assert address in str(error)
    return [over_rest, over_grpc]


def test_nobody_listens(here: Endpoint) -> None:
    port = processes.choose_port()
    nobody = here.replace(rest=f"http://127.0.0.1:{port}", grpc=f"127.0.0.1:{port}")
    for error in [*both_ways(nobody), failure(ccai.check, nobody)]:
        assert type(error) is errors.ConnectionFailed
        assert "Check the address and the port" in str(error)


def test_the_practice_service_is_not_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    for profile in ("practice", "practice-secure"):
        error = failure(endpoints.load, "ccai", profile)
        assert type(error) is errors.ConnectionFailed
        assert "otw practice up ccai" in str(error)


def test_rest_and_grpc_ports_mixed_up(here: Endpoint) -> None:
    rest, grpc = here.rest.rpartition("/")[2], f"http://{here.grpc}"
    for error in both_ways(here.replace(rest=grpc, grpc=rest)):
        assert type(error) is errors.NotThisProtocol
        assert "is this the other one" in str(error)


def test_plain_and_secure_ports_mixed_up(here: Endpoint, there: Endpoint) -> None:
    plain_client = here.replace(rest=there.rest.replace("https", "http"), grpc=there.grpc)
    tls_client = there.replace(rest=here.rest.replace("http", "https"), grpc=here.grpc)
    for error in [*both_ways(plain_client), *both_ways(tls_client)]:
        assert isinstance(error, errors.ConnectionFailed)
        assert "TLS" in str(error) or "Check the address" in str(error)


def test_another_services_port(here: Endpoint, endpoint: Endpoint) -> None:
    error = failure(ccai.check, here.replace(rest="", grpc=endpoint.grpc))
    assert type(error) is errors.NotThisProtocol
    assert "no CCAI" in str(error)


def test_a_web_server_that_is_no_ccai(here: Endpoint, tcp_server: Callable) -> None:
    other = here.replace(rest=f"http://{tcp_server(http_answer(b'hello'))}", grpc="")
    error = failure(ccai.check, other)
    assert type(error) is errors.NotThisProtocol
    assert "it is no CCAI" in str(error)
    assert type(failure(ccai.ocr, other, b"x")) is errors.ServiceFailed


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, errors.NotPermitted),
        (404, errors.NotThisProtocol),
        (413, errors.TooLarge),
        (429, errors.Throttled),
        (502, errors.ServiceFailed),
    ],
)
def test_an_http_status_becomes_the_error_that_fits(
    here: Endpoint, tcp_server: Callable, status: int, kind: type
) -> None:
    page = http_answer(status=status)
    error = failure(ccai.ocr, here.replace(rest=f"http://{tcp_server(page)}"), b"x")
    assert type(error) is kind
    assert (error.code, error.details) == (status, http.client.responses[status])


def test_an_answer_that_breaks_off(here: Endpoint, tcp_server: Callable) -> None:
    for page in (b"", http_answer(b"hello", length=50)):
        error = failure(ccai.ocr, here.replace(rest=f"http://{tcp_server(page)}"), b"x")
        assert type(error) is errors.ConnectionFailed


def test_no_answer_in_time(here: Endpoint, tcp_server: Callable) -> None:
    silent = tcp_server(None)
    for way in ({"protocol": "rest"}, {"protocol": "grpc"}):
        deaf = here.replace(rest=f"http://{silent}", grpc=silent)
        error = failure(ccai.ocr, deaf, b"x", timeout=0.3, **way)
        assert type(error) is errors.DeadlineExceeded
        assert "timeout=" in str(error)


# Who is asked, and who is asking.


def test_no_authority_is_given(there: Endpoint) -> None:
    for error in both_ways(there.replace(ca_file="")):
        assert type(error) is errors.NotTrusted
        assert "endpoint.replace(ca_file=...)" in str(error)


def test_another_authority_is_given(there: Endpoint, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    for error in both_ways(there.replace(ca_file=str(tmp_path / "ca.pem"))):
        assert type(error) is errors.NotTrusted


def test_the_certificate_is_of_another_name(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("another.test")
    authority.cert_pem.write_to_path(credentials.ca_file(tmp_path))
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
    with shared.running(tmp_path) as service:
        for error in both_ways(service.secure):
            assert type(error) is errors.NotTrusted
            assert "made out to another name" in str(error)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_that_is_no_authority(there: Endpoint, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    for protocol in ("rest", "grpc"):
        own = there.replace(ca_file=str(path))
        error = failure(ccai.detect_faces, own, b"x", protocol=protocol)
        assert type(error) is errors.BadInput
        assert str(path) in str(error)


def test_nobody_says_who_it_is(there: Endpoint) -> None:
    for error in both_ways(there.replace(user="", password="")):
        assert type(error) is errors.NotAuthenticated
        assert "user and password" in str(error)


@pytest.mark.parametrize("size", [300_000, 3_000_000])
def test_a_refusal_arrives_whatever_the_size(there: Endpoint, size: int) -> None:
    for _ in range(5):
        error = failure(ccai.detect_faces, there.replace(user="", password=""), bytes(size))
        assert type(error) is errors.NotAuthenticated


def test_the_password_is_wrong(there: Endpoint) -> None:
    over_rest, over_grpc = both_ways(there.replace(password="pässwörd 中文"))
    assert type(over_rest) is errors.NotAuthenticated
    assert type(over_grpc) is errors.NotPermitted
    for error in (over_rest, over_grpc):
        assert "user and password" in str(error)
        assert "pässwörd" not in str(error)


def test_a_user_is_never_named_without_tls(here: Endpoint) -> None:
    named = here.replace(user="learner", password="secret")
    for protocol in ("rest", "grpc"):
        error = failure(ccai.ocr, named, b"x", protocol=protocol)
        assert type(error) is errors.BadInput
        assert "over TLS only" in str(error)


def test_the_password_is_nowhere_to_be_read(here: Endpoint, there: Endpoint) -> None:
    port = processes.choose_port()
    endpoints_ = [
        there.replace(ca_file=""),
        there.replace(rest=f"https://127.0.0.1:{port}", grpc=f"127.0.0.1:{port}"),
        there.replace(rest=here.rest.replace("http", "https"), grpc=here.grpc),
        there.replace(rest=here.rest, tls=False, ca_file="", grpc=here.grpc),
    ]
    token = shared.basic(there.user, there.password).removeprefix("Basic ")
    for endpoint in endpoints_:
        for protocol in ("rest", "grpc"):
            error = failure(ccai.detect_faces, endpoint, b"x", protocol=protocol)
            shown = [*traceback.format_exception(error), repr(error), *error._render_traceback_()]
            shown += [str(error.details), repr(endpoint), repr(vars(error))]
            assert there.password not in "".join(shown)
            assert token not in "".join(shown)


# What is sent.


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_bytes_that_are_no_image(here: Endpoint, way: dict[str, Any]) -> None:
    error = failure(ccai.ocr, here, b"no image", **way)
    assert type(error) is errors.BadInput


def test_bytes_that_are_no_image_to_the_classifier(here: Endpoint) -> None:
    for way in WAYS[1:]:
        assert type(failure(ccai.classify, here, b"no image", **way)) is errors.BadInput
    error = failure(ccai.classify, here, b"no image")  # CCAI's Python service does not look at it
    assert (type(error), error.code) == (errors.ServiceFailed, 1)
    assert "inference failed" in str(error)


def test_a_file_that_is_not_there(here: Endpoint, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", tmp_path):
        error = failure(ccai.ocr, here, path)
        assert type(error) is errors.BadInput
        assert str(path) in str(error)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 3), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(16, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_an_array_that_is_no_image_says_what_it_is(here: Endpoint, array: np.ndarray) -> None:
    error = failure(ccai.ocr, here, array)
    assert type(error) is errors.BadInput
    assert f"{array.dtype} of shape {array.shape}" in str(error)


def test_an_image_above_the_limit(here: Endpoint) -> None:
    # A multiple of three needs no padding, which makes for a form that is written faster.
    error = failure(ccai.detect_faces, here, bytes(51 * 10**6))
    assert (type(error), error.code) == (errors.TooLarge, 413)


@pytest.mark.parametrize("text", ["", "###", "12", "中文"])
def test_a_text_with_nothing_to_say(here: Endpoint, text: str) -> None:
    error = failure(ccai.text_to_speech, here, text)
    assert type(error) is errors.BadInput


def test_the_reason_of_a_failed_recognition_comes_through(here: Endpoint) -> None:
    error = failure(ccai.speech_to_text, here, GO_FORWARD, language="CHINESE")
    assert (type(error), error.code) == (errors.ServiceFailed, 1)
    assert "no Chinese model" in str(error)
    assert error.details in str(error)
    assert error.endpoint == here.rest


def test_a_sound_without_samples(here: Endpoint) -> None:
    empty = Speech(np.zeros(0, np.float32), 16000)
    error = failure(ccai.speech_to_text, here, empty)
    assert "no speech data" in str(error)


def test_a_remote_policy_comes_through(here: Endpoint) -> None:
    try:
        shared.post(here, "py_policy", {"local": 0})
        error = failure(ccai.read_text, here, shared.blank())
        assert (type(error), error.code) == (errors.ServiceFailed, 2)
        assert "no remote inference" in str(error)
        for way in WAYS:
            assert isinstance(failure(ccai.ocr, here, shared.blank(), **way), errors.CallError)
    finally:
        shared.post(here, "py_policy", {"local": 1})


def test_a_service_that_does_not_exist(here: Endpoint) -> None:
    error = failure(ccai.read_text, here, shared.blank(), service="poetry")
    assert type(error) is errors.NotThisProtocol


@pytest.mark.parametrize(
    "options", [{"protocol": "soap"}, {"protocol": "GRPC"}, {"dialect": "java"}]
)
def test_a_way_that_does_not_exist(here: Endpoint, options: dict[str, Any]) -> None:
    error = failure(ccai.ocr, here, shared.blank(), **options)
    assert type(error) is errors.BadInput
    assert next(iter(options.values())) in str(error)


def test_an_endpoint_without_an_address(here: Endpoint) -> None:
    assert "REST address" in str(failure(ccai.ocr, here.replace(rest=""), b"x"))
    no_grpc = failure(ccai.ocr, here.replace(grpc=""), b"x", protocol="grpc")
    assert "gRPC address" in str(no_grpc)
    nowhere = Endpoint("ccai")
    assert type(failure(ccai.check, nowhere)) is errors.BadInput


# What the environment says.


def test_the_environments_authority_does_not_go_before_the_endpoints(
    there: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unconnected: None
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"):
        monkeypatch.setenv(name, str(tmp_path / "other.pem"))
    ccai.check(there)


def test_nor_does_it_add_trust(
    there: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unconnected: None
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", there.ca_file)
    wrong = there.replace(ca_file=str(tmp_path / "other.pem"))
    assert type(failure(ccai.detect_faces, wrong, b"x")) is errors.NotTrusted


def test_a_proxy_is_not_used_for_this_machine(
    either: Endpoint, monkeypatch: pytest.MonkeyPatch, unconnected: None
) -> None:
    nobody = f"http://127.0.0.1:{processes.choose_port()}"
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, nobody)
        monkeypatch.setenv(name.upper(), nobody)
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    ccai.check(either)
    by_name = either.replace(
        rest=either.rest.replace("127.0.0.1", "localhost"),
        grpc=either.grpc.replace("127.0.0.1", "localhost"),
    )
    ccai.check(by_name)


def test_a_netrc_file_is_not_read_for_this_machine(
    there: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unconnected: None
) -> None:
    file = tmp_path / "netrc"
    file.write_text(f"machine 127.0.0.1 login {there.user} password {there.password}\n")
    monkeypatch.setenv("NETRC", str(file))
    nobody = there.replace(user="", password="")
    assert type(failure(ccai.detect_faces, nobody, b"x")) is errors.NotAuthenticated


def test_a_service_that_was_started_again_is_called_as_before() -> None:
    manager.up("ccai")
    both = endpoints.load("ccai"), endpoints.load("ccai", "practice-secure")
    for endpoint in both:
        ccai.check(endpoint)
    process = processes.find(state.read_services()["ccai"])
    assert process
    processes.end([process])
    assert type(failure(ccai.check, both[0])) is errors.ConnectionFailed
    manager.up("ccai")
    assert (endpoints.load("ccai"), endpoints.load("ccai", "practice-secure")) == both
    for endpoint in both:
        ccai.check(endpoint)
    manager.down("ccai")
