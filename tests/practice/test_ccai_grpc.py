"""The practice CCAI over gRPC: method by method, exact texts, and who is let in."""

import contextlib
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from helpers.endpoints import Endpoint
from protos import inference_service_pb2 as messages
from protos import inference_service_pb2_grpc
from tests import ccai
from tests.ccai import Running, basic, post, strict_wav, text64

IMAGE_METHODS = ("Classification", "FaceDetection", "FacialLandmark", "OCR")
METHODS = (*IMAGE_METHODS, "ASR", "HealthCheck")


# The fixtures of this file.
service, here, there = ccai.service, ccai.here, ccai.there


@pytest.fixture(scope="module")
def stub(here: Endpoint) -> Iterator[Any]:
    with ccai.stub(here) as one:
        yield one


@pytest.fixture(scope="module")
def secure_stub(there: Endpoint) -> Iterator[Any]:
    with ccai.stub(there) as one:
        yield one


def answer(stub: Any, method: str, content: bytes) -> str:
    return getattr(stub, method)(messages.Input(buffer=content), timeout=60).json


def call(stub: Any, method: str, header: str | None = None) -> Any:
    request = messages.Empty() if method == "HealthCheck" else messages.Input(buffer=b"x")
    metadata = [("authorization", header)] if header is not None else []
    return getattr(stub, method)(request, timeout=30, metadata=metadata)


def refusal(function: Callable, *arguments: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        function(*arguments)
    return caught.value.code().name, caught.value.details()


def rest(here: Endpoint, name: str, content: bytes) -> Any:
    """Ask the same engine over REST."""
    return json.loads(post(here, name, {"image": text64(content)}).body)["data"]


# The six methods.


def test_the_methods_have_their_full_names(here: Endpoint) -> None:
    with grpc.insecure_channel(here.grpc) as channel:
        for name in METHODS:
            bare = channel.unary_unary(f"/inference_service.Inference/{name}")
            assert isinstance(bare(b"", timeout=30), bytes)
        for name in ("/inference_service.Inference/Segmentation", "/Inference/OCR"):
            assert refusal(channel.unary_unary(name), b"")[0] == "UNIMPLEMENTED"


def test_the_messages_are_numbered_as_in_the_original() -> None:
    assert messages.Input(buffer=b"ab").SerializeToString() == b"\x0a\x02ab"
    assert messages.Result(json="ab").SerializeToString() == b"\x0a\x02ab"
    assert messages.HealthStatus(status="TIMEOUT").SerializeToString() == b"\x08\x01"
    assert dict(messages.HealthStatus.Status.items()) == {"SUCCESS": 0, "TIMEOUT": 1}
    assert messages.Empty().SerializeToString() == b""


def test_health_is_success(stub: Any) -> None:
    health = stub.HealthCheck(messages.Empty(), timeout=30)
    assert health.status == messages.HealthStatus.SUCCESS


def test_classification_is_a_list_of_one_or_none(here: Endpoint, stub: Any) -> None:
    lengths = set()
    for digit in "0123456789":
        picture = ccai.written(digit, 200)
        (tag,) = rest(here, "py_classification", picture)["tag_list"]
        name, confidence = tag["tag_name"], tag["tag_confidence"]
        likely = f'[{{"tag_name":"{name}","tag_confidence":{confidence:.6f}}}]'
        expected = likely if confidence >= 0.5 else "[]"
        assert answer(stub, "Classification", picture) == expected
        lengths.add(len(json.loads(expected)))
    assert 1 in lengths


def test_faces_come_without_brackets(here: Endpoint, stub: Any) -> None:
    (face,) = rest(here, "py_face_detection", ccai.face())["face_list"]
    expected = '{{"x1":{x1},"y1":{y1},"x2":{x2},"y2":{y2}}}'.format(**face)
    assert answer(stub, "FaceDetection", ccai.face()) == expected


def test_several_faces_are_joined_by_commas(stub: Any) -> None:
    text = answer(stub, "FaceDetection", ccai.two_faces())
    face = r'\{"x1":-?\d+,"y1":-?\d+,"x2":\d+,"y2":\d+\}'
    assert re.fullmatch(f"{face},{face}", text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_landmarks_are_35_whole_points_a_face_without_brackets(here: Endpoint, stub: Any) -> None:
    points = rest(here, "py_facial_landmark", ccai.face())["face_shape_list"]
    expected = ",".join(f'{{"x":{int(p["x"])},"y":{int(p["y"])}}}' for p in points)
    assert answer(stub, "FacialLandmark", ccai.face()) == expected
    assert len(json.loads(f"[{answer(stub, 'FacialLandmark', ccai.two_faces())}]")) == 70


def test_ocr_has_an_object_for_the_place_and_no_characters(here: Endpoint, stub: Any) -> None:
    picture = ccai.written("Meeting\nat ten")
    items = [
        {"itemcoord": item["itemcoord"][0], "itemstring": item["itemstring"]}
        for item in rest(here, "py_ocr", picture)["item_list"]
    ]
    expected = json.dumps(items, separators=(",", ":"), ensure_ascii=False)
    assert len(items) >= 2
    assert answer(stub, "OCR", picture) == expected


def test_asr_answers_in_upper_case(stub: Any) -> None:
    text = answer(stub, "ASR", strict_wav(ccai.recording()))
    assert text == '{"text":"GO FORWARD TEN METERS"}'


@pytest.mark.parametrize(
    ("method", "expected"),
    [("FaceDetection", ""), ("FacialLandmark", ""), ("OCR", "[]")],
)
def test_where_nothing_is_found(stub: Any, method: str, expected: str) -> None:
    assert answer(stub, method, ccai.blank()) == expected


@pytest.mark.parametrize("method", [*IMAGE_METHODS, "ASR"])
@pytest.mark.parametrize("content", [b"", b"no file", b"RIFF", b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_bad_input_is_an_empty_text_and_ok(stub: Any, method: str, content: bytes) -> None:
    assert answer(stub, method, content) == ""


def test_files_of_the_other_kind_are_bad_input_too(stub: Any) -> None:
    assert answer(stub, "ASR", ccai.face()) == ""
    assert answer(stub, "OCR", strict_wav(bytes(3200))) == ""


def test_base64_is_for_rest_only(stub: Any) -> None:
    assert answer(stub, "FaceDetection", text64(ccai.face()).encode()) == ""


def test_twenty_megabytes_are_accepted(here: Endpoint, stub: Any) -> None:
    large = ccai.face() + bytes(20 * 2**20)  # what is behind a PNG file's end is not looked at
    assert answer(stub, "FaceDetection", large) == answer(stub, "FaceDetection", ccai.face())


def test_a_message_of_any_size_is_accepted(stub: Any) -> None:
    assert answer(stub, "OCR", bytes(100 * 2**20)) == ""


# The strict header of a WAV file.


def test_silence_in_a_strict_file_is_read(stub: Any) -> None:
    assert answer(stub, "ASR", strict_wav(bytes(32000))) == '{"text":""}'


@pytest.mark.parametrize(
    "changed",
    [
        {"riff": b"RIFX"},
        {"wave": b"AVI "},
        {"fmt": b"fmt\0"},
        {"tag": 3},
        {"channels": 2},
        {"rate": 22050},
        {"byte_rate": 44100},
        {"align": 4},
        {"bits": 8},
        {"data": b"LIST"},
        {"fmt_size": 18},
        {"fmt_size": 2**32 - 1},
        {"length": 32001},
        {"length": 2**31 - 1},
        {"length": 2**32 - 1},
    ],
    ids=str,
)
def test_one_wrong_field_makes_the_text_empty(stub: Any, changed: dict[str, Any]) -> None:
    assert answer(stub, "ASR", strict_wav(bytes(32000), **changed)) == ""


def test_the_whole_length_in_the_header_is_not_looked_at(stub: Any) -> None:
    assert answer(stub, "ASR", strict_wav(bytes(32000), size=7)) == '{"text":""}'


def test_a_longer_format_chunk_may_come_before_the_data(stub: Any) -> None:
    plain, longer = strict_wav(ccai.recording()), strict_wav(ccai.recording(), extra=bytes(2))
    assert answer(stub, "ASR", longer) == answer(stub, "ASR", plain) != ""


def test_a_chunk_before_the_data_is_not_skipped(stub: Any) -> None:
    wav = strict_wav(bytes(32000))
    with_list = wav[:36] + b"LIST" + (4).to_bytes(4, "little") + b"INFO" + wav[36:]
    assert answer(stub, "ASR", with_list) == ""


def test_what_comes_after_the_data_is_not_heard(stub: Any) -> None:
    wav = strict_wav(ccai.recording(), length=len(ccai.recording()) // 2)
    half = strict_wav(ccai.recording()[: len(ccai.recording()) // 2])
    assert answer(stub, "ASR", wav) == answer(stub, "ASR", half)


def test_a_cut_file_is_bad_input(stub: Any) -> None:
    wav = strict_wav(bytes(3200))
    for length in (1, 12, 36, 43, len(wav) - 1):
        assert answer(stub, "ASR", wav[:length]) == ""


def test_the_float_file_of_tts_is_bad_input(here: Endpoint, stub: Any) -> None:
    assert answer(stub, "ASR", ccai.speech_of(post(here, "py_tts", {"text": "hello"}))) == ""


# The door with TLS and a user.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "header",
    [None, "", "Basic", "basic bGVhcm5lcjp4", "Bearer abc", "Basic bm9jb2xvbg==", "Basic "],
)
def test_who_names_nobody_is_unauthenticated(
    secure_stub: Any, method: str, header: str | None
) -> None:
    assert refusal(call, secure_stub, method, header) == ("UNAUTHENTICATED", "Authenticate failed")


def test_a_wrong_password_is_denied_by_every_method(there: Endpoint, secure_stub: Any) -> None:
    header = basic(there.user, "guess")
    with futures.ThreadPoolExecutor(len(METHODS)) as pool:
        asked = [pool.submit(refusal, call, secure_stub, name, header) for name in METHODS]
        refusals = [each.result() for each in asked]
    assert refusals == [("PERMISSION_DENIED", "Permission denied")] * len(METHODS)


def test_a_wrong_user_is_denied(there: Endpoint, secure_stub: Any) -> None:
    header = basic("nobody", there.password)
    assert refusal(call, secure_stub, "OCR", header) == ("PERMISSION_DENIED", "Permission denied")


@pytest.mark.parametrize("method", METHODS)
def test_the_user_is_let_in(there: Endpoint, secure_stub: Any, method: str) -> None:
    result = call(secure_stub, method, basic(there.user, there.password))
    assert getattr(result, "json", "") == ""


def test_an_unknown_method_is_unimplemented_for_everybody(there: Endpoint) -> None:
    authority = grpc.ssl_channel_credentials(Path(there.ca_file).read_bytes())
    with grpc.secure_channel(there.grpc, authority) as channel:
        unknown = channel.unary_unary("/inference_service.Inference/Nothing")
        assert refusal(unknown, b"")[0] == "UNIMPLEMENTED"


def test_those_who_guess_hold_up_nobody(there: Endpoint, secure_stub: Any) -> None:
    wrong, right = basic(there.user, "guess"), basic(there.user, there.password)
    with futures.ThreadPoolExecutor(20) as pool:
        guesses = [pool.submit(refusal, call, secure_stub, "OCR", wrong) for _ in range(20)]
        assert call(secure_stub, "HealthCheck", right).status == messages.HealthStatus.SUCCESS
        assert not all(guess.done() for guess in guesses)
        assert {guess.result()[0] for guess in guesses} == {"PERMISSION_DENIED"}


def test_a_wrong_password_costs_time(there: Endpoint, secure_stub: Any) -> None:
    began = time.monotonic()
    refusal(call, secure_stub, "HealthCheck", basic(there.user, "guess"))
    assert time.monotonic() - began > 1


def test_the_password_is_never_in_the_log(service: Running) -> None:
    secure = service.secure
    refusal_text = "wrong user or password"
    assert refusal_text in service.written()
    for secret in (secure.password, basic(secure.user, secure.password)[6:], "guess"):
        assert secret not in service.written()


def test_the_plain_door_looks_at_no_user(stub: Any) -> None:
    assert call(stub, "HealthCheck", "Basic wrong").status == messages.HealthStatus.SUCCESS


def test_a_plain_client_at_the_tls_door_finds_nobody(there: Endpoint) -> None:
    with grpc.insecure_channel(there.grpc) as channel:
        plain = inference_service_pb2_grpc.InferenceStub(channel)
        assert refusal(call, plain, "HealthCheck")[0] == "UNAVAILABLE"


def test_a_client_without_the_authority_trusts_nobody(there: Endpoint) -> None:
    with grpc.secure_channel(there.grpc, grpc.ssl_channel_credentials()) as channel:
        other = inference_service_pb2_grpc.InferenceStub(channel)
        code, details = refusal(call, other, "HealthCheck")
        assert (code, "CERTIFICATE_VERIFY_FAILED" in details) == ("UNAVAILABLE", True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_before_1_2_is_refused(there: Endpoint) -> None:
    import socket

    context = ssl.create_default_context(cafile=there.ca_file)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    host, _, port = there.grpc.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain, server_hostname=host)


# A client in the manner of the original's own test client.


class Login(grpc.AuthMetadataPlugin):
    """Says who is calling, or nothing."""

    def __init__(self, header: str | None) -> None:
        self._metadata = [("authorization", header)] if header else None

    def __call__(self, context: Any, callback: Callable) -> None:
        callback(self._metadata, None)


@contextlib.contextmanager
def original(endpoint: Endpoint, header: str | None) -> Iterator[Any]:
    """Connect to `localhost`, with call credentials even where nothing is encrypted."""
    carrier = grpc.local_channel_credentials()
    if endpoint.tls:
        carrier = grpc.ssl_channel_credentials(Path(endpoint.ca_file).read_bytes())
    login = grpc.metadata_call_credentials(Login(header))
    credentials = grpc.composite_channel_credentials(carrier, login)
    address = f"localhost:{endpoint.grpc.rpartition(':')[2]}"
    with grpc.secure_channel(address, credentials) as channel:
        yield inference_service_pb2_grpc.InferenceStub(channel)


def samples() -> dict[str, bytes]:
    wav, text = strict_wav(ccai.recording()), ccai.written("Meeting")
    return {
        "ASR": wav,
        "Classification": ccai.written("7", 200),
        "FaceDetection": ccai.face(),
        "FacialLandmark": ccai.face(),
        "OCR": text,
    }


@pytest.fixture(scope="module")
def known(stub: Any) -> dict[str, str]:
    """Return what each method answers to its sample."""
    return {method: answer(stub, method, content) for method, content in samples().items()}


@pytest.mark.parametrize("door", ["plain", "plain with a user", "secure"])
def test_the_originals_own_client_gets_every_answer(
    here: Endpoint, there: Endpoint, known: dict[str, str], door: str
) -> None:
    header = None if door == "plain" else basic(there.user, there.password)
    with original(there if door == "secure" else here, header) as client:
        health = client.HealthCheck(messages.Empty(), timeout=30)
        assert health.status == messages.HealthStatus.SUCCESS
        for method, content in samples().items():
            assert answer(client, method, content) == known[method] != ""


def test_the_originals_own_client_without_a_user_is_refused(there: Endpoint) -> None:
    with original(there, None) as client:
        assert refusal(call, client, "HealthCheck") == ("UNAUTHENTICATED", "Authenticate failed")
