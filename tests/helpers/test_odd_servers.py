"""Odd numbers and missing fields of an answer are shown, or they are an error of the tree."""

import json
import ssl
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from helpers import ccai, modelarts, tfserving
from helpers.endpoints import Endpoint
from helpers.errors import CallError, NotThisProtocol, ServiceFailed
from helpers.serving_api import get_model_metadata_pb2, get_model_status_pb2, types_pb2
from tests.http_answers import http_answer, received
from workbench.explorer import Explorer, catalog

Metadata = get_model_metadata_pb2.GetModelMetadataResponse
Status = get_model_status_pb2.GetModelStatusResponse
SERVICE = "/tensorflow.serving."


def metadata(*sizes: int) -> Any:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    taken = signatures.signature_def["serving_default"].inputs["x"]
    taken.dtype = types_pb2.DT_FLOAT
    for size in sizes:
        taken.tensor_shape.dim.add(size=size)
    answer = Metadata()
    answer.metadata["signature_def"].Pack(signatures)
    return answer


def broken() -> Any:
    answer = metadata(1)
    answer.metadata["signature_def"].value = b"\xff\xff"
    return answer


def status(state: int = 30, code: int = 0) -> Any:
    answer = Status()
    version = answer.model_version_status.add(version=1, state=state)
    version.status.error_code = code
    return answer


MODELS = {
    "odd state": (status(state=77), metadata(-1)),
    "odd code": (status(code=99), metadata(-1)),
    "odd sizes": (status(), metadata(-5, -(2**63), 2)),
    "broken": (status(), broken()),
    "without": (status(), Metadata()),
    "good": (status(), metadata(-1, 4)),
}


class Odd(grpc.GenericRpcHandler):
    """Answers as `MODELS` says."""

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        place = {"GetModelStatus": 0, "GetModelMetadata": 1}[name]
        kind = get_model_status_pb2.GetModelStatusRequest  # both begin with a ModelSpec
        return grpc.unary_unary_rpc_method_handler(
            lambda request, _: MODELS[request.model_spec.name][place],
            kind.FromString,
            lambda answer: answer.SerializeToString(),
        )


@pytest.fixture(scope="module")
def odd() -> Iterator[Endpoint]:
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Odd()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Endpoint("tfserving", grpc=f"127.0.0.1:{port}")
    server.stop(None).wait()


def test_a_number_that_no_enum_has_is_shown(odd: Endpoint) -> None:
    assert tfserving.status(odd.replace(model="odd state"))[1].state == "77"
    assert tfserving.status(odd.replace(model="odd code"))[1].code == "99"


def test_any_negative_size_is_an_unknown_one(odd: Endpoint) -> None:
    signatures = tfserving.signatures(odd.replace(model="odd sizes"))
    assert signatures["serving_default"].inputs["x"].shape == (-1, -1, 2)


@pytest.mark.parametrize("model", ["broken", "without"])
def test_signatures_that_cannot_be_read_are_an_error_of_the_service(
    odd: Endpoint, model: str
) -> None:
    with pytest.raises(ServiceFailed, match="signatures") as caught:
        tfserving.signatures(odd.replace(model=model))
    assert (caught.value.code, caught.value.endpoint) == ("INTERNAL", odd.grpc)


def test_no_odd_model_takes_the_others_with_it(odd: Endpoint) -> None:
    errors = {entry.name: type(entry.error) for entry in catalog.entries(odd, MODELS)}
    assert errors == {
        **dict.fromkeys(MODELS, type(None)),
        "broken": ServiceFailed,
        "without": ServiceFailed,
    }


def test_the_explorer_makes_a_form_for_odd_sizes(odd: Endpoint) -> None:
    explorer = Explorer(odd, names=["odd sizes"])
    try:
        explorer.fill(x=np.ones((1, 3, 2), "float32"))
        assert explorer.form.requests()[0].payload["x"].shape == (1, 3, 2)
        assert explorer.answer.html.value == ""
    finally:
        explorer.close()


def test_over_rest_a_newer_service_may_have_more(tcp_server: Callable[[bytes], str]) -> None:
    version = {"version": "1", "state": "DREAMING", "status": {"error_code": 99}, "mood": "good"}
    body = json.dumps({"model_version_status": [version]}).encode()
    endpoint = Endpoint("tfserving", rest=f"http://{tcp_server(http_answer(body))}", model="m")
    assert tfserving.status(endpoint) == {1: tfserving.VersionStatus("UNKNOWN", "99", "")}


CCAI = {
    "speech": lambda endpoint: ccai.text_to_speech(endpoint, "hello"),
    "words": lambda endpoint: ccai.speech_to_text(endpoint, ccai.Speech(np.zeros(9, "f4"), 16000)),
    "text_items": lambda endpoint: ccai.ocr(endpoint, b"\x89PNG"),
    "faces": lambda endpoint: ccai.detect_faces(endpoint, b"\x89PNG"),
    "landmarks": lambda endpoint: ccai.facial_landmarks(endpoint, b"\x89PNG"),
    "tags": lambda endpoint: ccai.classify(endpoint, b"\x89PNG"),
}
ODD = ('{"ret": 0, "data": [{"x": "NaN"}, 7]}', '{"ret": 0, "data": 7}', "[" * 100_000)


@pytest.mark.parametrize("read", CCAI)
@pytest.mark.parametrize("text", ODD, ids=["fields", "number", "nested"])
def test_what_ccai_should_not_answer_is_an_error_of_the_service(
    tcp_server: Callable[[bytes], str], read: str, text: str
) -> None:
    answer = http_answer(text.encode())
    with pytest.raises(ServiceFailed):
        CCAI[read](Endpoint("ccai", rest=f"http://{tcp_server(answer)}"))


LISTED = [
    {"service_name": "good", "status": "running", "access_address": "https://host/v1/infers/a"},
    {"service_name": "odd", "status": "running", "access_address": "ftp://host"},
    {"service_name": None, "access_address": 7},
    "no service",
]


def test_one_odd_service_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modelarts, "services", lambda *_, **__: LISTED)
    entries = catalog.entries(Endpoint("modelarts", rest="https://host/v1/infers/a"))
    assert [(entry.name, entry.error is None) for entry in entries] == [
        ("good", True),
        ("odd", False),
        ("without a name", False),
        ("without a name", True),
    ]


@pytest.mark.parametrize("body", [b'{"token": []}', b'{"token": {"project": []}}', b"[" * 100_000])
def test_an_odd_iam_is_an_error_of_the_tree(
    tls_server: Callable[[Callable], str], tmp_path: Path, body: bytes
) -> None:
    def answer(connection: ssl.SSLSocket) -> None:
        received(connection)
        connection.sendall(http_answer(body, 201))

    iam = f"https://{tls_server(answer)}"
    user = {"user": "u", "password": "p", "domain": "d", "project": "p"}
    endpoint = Endpoint("modelarts", iam=iam, ca_file=str(tmp_path / "ca.pem")).replace(**user)
    with pytest.raises(NotThisProtocol):
        modelarts.get_token(endpoint)


@pytest.mark.parametrize("body", [b"{}", b'{"services": 7}', b'{"services": [{}]}'])
def test_an_odd_list_of_services_is_an_error_of_the_tree(
    tcp_server: Callable[[bytes], str], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = Endpoint("modelarts", rest="https://host/v1/infers/a")
    token = modelarts.Token("value", "", float("inf"), "project")
    monkeypatch.setitem(modelarts._tokens, modelarts._account(endpoint), token)
    with pytest.raises(CallError, match="no list of services"):
        modelarts.services(endpoint, f"http://{tcp_server(http_answer(body))}")
