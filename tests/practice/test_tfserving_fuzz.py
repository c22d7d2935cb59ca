"""Twelve thousand requests that nobody should send: the service answers on and stays well."""

import contextlib
import copy
import gzip
import http.client
import json
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from helpers.serving_api import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
    tensor_pb2,
)
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving.engine import CLASSIFY_METHOD
from tests.tfserving import MODELS, Running, make_odd_models, running, write_config

SEED, THREADS, MEGABYTE = 20261121, 8, 2**20
STATUSES = {200, 400, 404, 413, 501}
ANSWERS = (
    {"predictions"},
    {"outputs"},
    {"results"},
    {"model_version_status"},
    {"model_spec", "metadata"},
)
DTYPES = ("float32", "float64", "int8", "int64", "uint8", "uint32", "uint64")
FLOWER = [5.1, 3.5, 1.4, 0.2]
# What is right, to be made wrong: where it goes, and what.
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("iris:predict", {"signature_name": "serving_default", "instances": [FLOWER, FLOWER]}),
    ("iris:predict", {"inputs": {"features": [FLOWER]}}),
    ("digits:predict", {"instances": [{"images": np.zeros((8, 8, 1)).tolist()}]}),
    ("digits/versions/1:predict", {"inputs": np.zeros((1, 8, 8, 1)).tolist()}),
    ("odd:predict", {"signature_name": "add", "instances": [{"a": 1.5, "b": 2}, {"a": 1, "b": 2}]}),
    ("odd:predict", {"signature_name": "add", "inputs": {"a": [1.5, 2], "b": [2, 3]}}),
    ("odd:classify", {"signature_name": "both", "examples": [{"v": 1.0}, {"v": [2.0]}]}),
    (
        "odd:regress",
        {
            "signature_name": "with_shared",
            "context": {"shared": [1.0]},
            "examples": [{"v": 1.5}, {"v": 2.5}],
        },
    ),
    ("dtypes:predict", {"signature_name": "bool", "inputs": [True, False]}),
    ("dtypes:predict", {"signature_name": "string", "inputs": {"x": ["a", {"b64": "aGk="}]}}),
]
REQUESTS += [("dtypes:predict", {"signature_name": n, "inputs": [[1, 0], [0, 1]]}) for n in DTYPES]
WORDS = (
    "",
    "0",
    "-1",
    "NaN",
    "x" * 5000,
    "é",
    "中 \U0001f600",
    "\0",
    "%",
    "../../etc/passwd",
    "\ud800",
    "<script>",
    "{{7*7}}",
    "\x7f",
    "a\r\nb",
    "\u2028",
    "__class__",
    "1e999",
    "serving_default",
    "inputs",
    "features",
    "b64",
    "====",
    "aGk",
    "both",
    "value",
    "divide",
)
NUMBERS = (
    b"9" * 5000,
    b"1e400",
    b"-1e400",
    b"NaN",
    b"-Infinity",
    b"Inf",
    b"00",
    b"+1",
    b"0x1",
    b".5",
    b"1.",
    b"1e",
    b"-",
    b"1e-999",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1_0",
)


def mostly(chance: random.Random, usual: Any, others: Sequence[Any]) -> Any:
    """Return the usual thing in three of four cases."""
    return usual if chance.random() < 0.75 else chance.choice(others)


def something(chance: random.Random, depth: int = 0) -> Any:
    """Return any value that JSON has."""
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return chance.choice((None, True, False))
    if kind < 3:
        return chance.choice((0, -1, 2**31, 2**63, 2**64, 10**400, 1.5, -0.0, 1e308, 5e-324))
    if kind < 5:
        return chance.choice(WORDS)
    if kind == 5:
        return chance.choice((list(FLOWER), [list(FLOWER)], {"b64": chance.choice(WORDS)}, [], {}))
    count = chance.randrange(4)
    if kind == 6:
        return [something(chance, depth + 1) for _ in range(count)]
    names = ("instances", "inputs", "signature_name", "examples", "context", "features", *WORDS)
    return {chance.choice(names): something(chance, depth + 1) for _ in range(count)}


def changed(chance: random.Random, document: Any) -> Any:
    """Return a document with some places changed."""
    document = copy.deepcopy(document)
    for _ in range(chance.randrange(1, 4)):
        place = document
        while place:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = chance.choice(keys)
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
                break
            place = inner
        if not place:
            break
        if isinstance(place, dict) and chance.random() < 0.4:
            place[chance.choice((*WORDS, "instances", "inputs"))] = place.pop(key)
        elif chance.random() < 0.2:
            del place[key]
        else:
            place[key] = something(chance)
    return document


def broken(chance: random.Random, good: bytes) -> bytes:
    """Return bytes that are JSON at most to some."""
    deep, cut = chance.choice((10, 900, 1100, 50_000, 200_000)), chance.randrange(len(good))
    return chance.choice(
        (
            b"[" * deep,
            b'{"inputs":' * deep,
            b'{"instances":' + b"[" * deep + b"]" * deep + b"}",
            good.replace(b"1", b"[" * deep + b"]" * deep),
            good[:cut],
            good[cut:],
            good.replace(b"1", chance.choice(NUMBERS)),
            good + b"\0",
            good * 2,
            b"{}" * 1000,
            good.decode().encode("utf-16"),
            good.decode().encode("utf-32"),
            b"\xef\xbb\xbf" + good,
            good.replace(b"e", b"\xff\xfe"),
            good.replace(b"e", b"\xed\xa0\x80"),
            b"null",
            b'"',
            b"",
            good.replace(b"e", b"\\ud800"),
            good.replace(b"{", b'{"a": 1, "a": 2, '),
            b"'" * 9,
            chance.randbytes(100),
            b"\0" * 100,
            b"// remark\n" + good,
            good.replace(b",", b",,"),
        )
    )


def flipped(chance: random.Random, content: bytes) -> bytes:
    """Return bytes with some bits turned, and some bytes taken out, put in or doubled."""
    made = bytearray(content)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(made) + 1)
        if chance.random() < 0.6 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif chance.random() < 0.5:
            del made[at : at + chance.randrange(1, 8)]
        else:
            made[at:at] = chance.randbytes(chance.randrange(1, 8))
    return bytes(made)


def body_of_json(chance: random.Random) -> tuple[str, bytes]:
    """Return a path and JSON that does not fit there, hardly fits, or is none."""
    path, document = chance.choice(REQUESTS)
    path = mostly(chance, path, [path for path, _ in REQUESTS])
    kind = chance.randrange(10)
    if kind == 0:
        return path, json.dumps(something(chance)).encode()
    good = json.dumps(document).encode()
    if kind < 4:
        return path, broken(chance, good)
    if kind < 6:
        return path, flipped(chance, good)
    return path, json.dumps(changed(chance, document)).encode()


# REST requests; each returns what is wrong with the answer, or nothing.


def sent(service: Running, request: bytes, *, leave: bool = False) -> tuple[int, str, bytes]:
    """Send bytes; return status, content type and body of the answer, 0 without one."""
    with socket.create_connection(("127.0.0.1", service.ports[1]), timeout=60) as client:
        with contextlib.suppress(ConnectionError):  # it may refuse before all is sent
            client.sendall(request)
        if leave:
            return 0, "", b""
        answer = http.client.HTTPResponse(client)
        try:
            answer.begin()
            return answer.status, answer.headers.get("content-type", ""), answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, "", b""


def wrong(status: int, kind: str, body: bytes) -> str:
    """Say why an answer is none of those that the product gives."""
    if b"Traceback" in body or b'.py"' in body:
        return "a traceback"
    if status not in STATUSES:
        return "another status"
    if kind != "application/json":
        page = status == 404 and body.startswith(b"<HTML>")
        bare = status == 400 and body == b"Invalid HTTP request received."
        return "" if page or bare or not body else "another content"
    if not body:
        return "" if status == 400 else "an empty answer"
    found = json.loads(body.decode(errors="replace"), strict=False)
    if status == 200:
        return "" if set(found) in ANSWERS else "an answer that there is not"
    return "" if list(found) == ["error"] and found["error"] else "no error"


def told(service: Running, request: bytes) -> str:
    answer = sent(service, request)
    problem = wrong(*answer)
    return problem and f"{problem}: {request[:400]!r} -> {answer[0]} {answer[2][:300]!r}"


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: here", "Connection: close", *headers)
    head = "\r\n".join((*lines, f"Content-Length: {len(body)}"))
    return f"{head}\r\n\r\n".encode("latin-1") + body


def text_to_a_model(chance: random.Random, service: Running) -> str:
    path, body = body_of_json(chance)
    return told(service, post(f"/v1/models/{path}", body))


def packed(chance: random.Random, service: Running) -> str:
    path, body = body_of_json(chance)
    content = gzip.compress(body, 1)
    content = chance.choice((content, content[:-9], content + b"x", body, flipped(chance, content)))
    coding = chance.choice(("gzip", "x-gzip, br", "gzip, gzip", "deflate", "gzip\t"))
    return told(service, post(f"/v1/models/{path}", content, f"Content-Encoding: {coding}"))


def strange_place(chance: random.Random, service: Running) -> str:
    name = mostly(
        chance, "iris", ("", "no", "%", "%zz", "%2F", "%00", "a" * 5000, "..", "%FF", "a:b")
    )
    which = mostly(
        chance,
        "",
        (
            "/versions/1",
            "/versions/-1",
            "/versions/" + "9" * 40,
            "/versions/x",
            "/labels/",
            "/labels/x",
            "/labels/%FF",
            "/versions/1/labels/x",
            "/labels/" + "x" * 5000,
            "/versions/%31",
        ),
    )
    verb = chance.choice(
        (
            ":predict",
            ":PREDICT",
            ":classify",
            ":regress",
            ":",
            ":explain",
            "",
            "/metadata",
            "/METADATA",
            "/",
            "?x=1",
            ":predict?x=1",
            ":predict#x",
            "//",
            "/x",
            ":predict/",
            ";x",
        )
    )
    start = mostly(
        chance, "/v1/models/", ("/V1/models/", "/v2/models/", "/", "//v1/models/", "/v1/")
    )
    method = mostly(chance, "GET", ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"))
    _, body = body_of_json(chance)
    request = post(f"{start}{name}{which}{verb}", body, "Origin: http://here")
    return told(service, request.replace(b"POST", method.encode(), 1))


def no_http(chance: random.Random, service: Running) -> str:
    """Send what is no HTTP."""
    line = b"POST /v1/models/iris:predict HTTP/1.1"
    head = b"\r\nHost: here\r\nConnection: close\r\n"
    requests = (
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP\r\n\r\n",
        chance.randbytes(50) + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        line + b"\r\n\r\n",
        line + head + b": x\r\n\r\n",
        line + b"\r\nHost: a\r\nHost: b\r\n\r\n",
        line + head + b"Content-Length: -1\r\n\r\n",
        line + head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        line + head + b"Transfer-Encoding: gzip\r\n\r\n",
        line + head + b"X: \xff\x00\r\n\r\n",
        line + head + b"X: " + b"y" * 400_000 + b"\r\n\r\n",
        b"POST /" + b"a" * 400_000,
        line + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        line + head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        line.replace(b"POST /", b"POST http://x/") + head + b"\r\n",
        line + head + b"Expect: 100-continue\r\n\r\n",
        line + head + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    )
    request = chance.choice(requests)
    status, kind, body = sent(service, request)
    good = not status or status == 431 or not wrong(status, kind, body)
    return "" if good else f"{request[:200]!r} -> {status} {body[:300]!r}"


def leaving_early(chance: random.Random, service: Running) -> str:
    path, document = chance.choice(REQUESTS)
    request = post(f"/v1/models/{path}", json.dumps(document).encode())
    sent(service, request[: chance.randrange(len(request) + 1)], leave=True)
    return ""


# gRPC messages.

SPEC = {"name": "odd", "signature_name": "both"}
EXAMPLES = {
    "example_list": {"examples": [{"features": {"feature": {"v": {"float_list": {"value": [1]}}}}}]}
}


def tensors() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": "odd", "signature_name": "add"})
    request.inputs["a"].CopyFrom(to_tensor_proto([1.0, 2.0], "float32"))
    request.inputs["b"].CopyFrom(to_tensor_proto([1, 2], "int32"))
    return request


def flowers() -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    request.inputs["features"].CopyFrom(to_tensor_proto([FLOWER], "float32"))
    return request


TASK = {"model_spec": SPEC, "method_name": CLASSIFY_METHOD}
MESSAGES: list[tuple[str, Any]] = [
    ("Predict", flowers()),
    ("Predict", flowers()),
    ("Predict", tensors()),
    ("Classify", classification_pb2.ClassificationRequest(model_spec=SPEC, input=EXAMPLES)),
    (
        "Regress",
        regression_pb2.RegressionRequest(
            model_spec=SPEC | {"signature_name": "value"}, input=EXAMPLES
        ),
    ),
    ("MultiInference", inference_pb2.MultiInferenceRequest(tasks=[TASK], input=EXAMPLES)),
    (
        "GetModelMetadata",
        get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=SPEC, metadata_field=["signature_def"]
        ),
    ),
    ("GetModelStatus", get_model_status_pb2.GetModelStatusRequest(model_spec=SPEC)),
    (
        "HandleReloadConfigRequest",
        model_management_pb2.ReloadConfigRequest(
            config={"model_config_list": {"config": [{"name": "odd", "base_path": "relative"}] * 3}}
        ),
    ),
]
KINDS = {"Predict": predict_pb2.PredictRequest} | {name: type(each) for name, each in MESSAGES}
CODES = {
    "OK",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "OUT_OF_RANGE",
}


def strange_tensor(chance: random.Random, tensor: Any) -> None:
    """Make a TensorProto say one thing and hold another."""
    kind = chance.randrange(7)
    if kind == 0:
        tensor.dtype = chance.choice((0, 1, 2, 7, 8, 19, 20, 21, 23, 101, 107, 999, -1))
    elif kind == 1:
        del tensor.tensor_shape.dim[:]
        for _ in range(chance.choice((0, 1, 2, 9, 300))):
            tensor.tensor_shape.dim.add(size=chance.choice((0, 1, 2, -1, 2**31, 2**62, -(2**63))))
    elif kind == 2:
        tensor.tensor_content = chance.randbytes(chance.randrange(40))
    elif kind == 3:
        tensor.string_val.extend(chance.randbytes(5) for _ in range(chance.randrange(4)))
        tensor.ClearField("tensor_content")
    elif kind == 4:
        tensor.int_val.extend((2**31 - 1, -1))
        tensor.half_val.extend((70000, -5))
        tensor.ClearField("tensor_content")
    elif kind == 5:
        tensor.tensor_shape.unknown_rank = True
    else:
        tensor.CopyFrom(tensor_pb2.TensorProto(dtype="DT_RESOURCE", resource_handle_val=[{}]))


def message(chance: random.Random) -> tuple[str, bytes]:
    """Return a method and bytes for it that are no message, or one that makes no sense."""
    method, good = chance.choice(MESSAGES)
    content = good.SerializeToString()
    kind = chance.randrange(10)
    if kind == 0:
        return method, chance.randbytes(chance.randrange(200))
    if kind == 1:
        return method, content[: chance.randrange(len(content))]
    if kind < 4:
        return method, flipped(chance, content)
    if kind == 4:
        return chance.choice(MESSAGES)[0], content
    request = copy.deepcopy(good)
    if method == "Predict":
        strange_inputs(chance, request)
    for spec in specs(request):
        if chance.random() < 0.5:
            strange_spec(chance, spec)
    for example in examples(request):
        strange_example(chance, example)
    return method, request.SerializeToString()


def strange_inputs(chance: random.Random, request: Any) -> None:
    name = chance.choice(list(request.inputs))
    strange_tensor(chance, request.inputs[name])
    if chance.random() < 0.3:
        request.inputs[chance.choice(("", "x", "é", "a" * 3000))].CopyFrom(request.inputs[name])
    if chance.random() < 0.3:
        request.output_filter.append(chance.choice(("", "y", "probabilities", "x" * 3000)))


def specs(request: Any) -> list[Any]:
    if hasattr(request, "tasks"):
        return [task.model_spec for task in request.tasks]
    return [request.model_spec] if hasattr(request, "model_spec") else []


def strange_spec(chance: random.Random, spec: Any) -> None:
    kind = chance.randrange(5)
    if kind == 0:
        spec.name = chance.choice(("", "no", "iris", "dtypes", "é" * 3000, "a/b"))
    elif kind == 1:
        spec.version.value = chance.choice((0, 1, 2, -1, 2**63 - 1, -(2**63)))
    elif kind == 2:
        spec.version_label = chance.choice(("", "stable", "é" * 3000))
    elif kind == 3:
        spec.signature_name = chance.choice(("", "add", "two_inputs", "wide_value", "x" * 3000))
    else:
        spec.Clear()


def examples(request: Any) -> list[Any]:
    given = getattr(request, "input", None)
    return list(given.example_list.examples) if given else []


def strange_example(chance: random.Random, example: Any) -> None:
    feature = example.features.feature[chance.choice(("v", "shared", "", "é"))]
    kind = chance.randrange(4)
    if kind == 0:
        feature.int64_list.value.extend((2**63 - 1, -1))
    elif kind == 1:
        feature.bytes_list.value.extend((b"", b"\xff" * 3000))
    elif kind == 2:
        feature.float_list.value.extend((float("nan"), 1e300, -0.0))
    else:
        feature.Clear()


def service_of(method: str) -> str:
    of_models = method in ("GetModelStatus", "HandleReloadConfigRequest")
    return f"/tensorflow.serving.{'Model' if of_models else 'Prediction'}Service/{method}"


def readable(method: str, content: bytes) -> bool:
    try:
        KINDS[method].FromString(content)
    except Exception:  # protobuf's DecodeError, and others of its own
        return False
    return True


def grpc_message(chance: random.Random, service: Running) -> str:
    method, content = message(chance)
    try:
        service.channel.unary_unary(service_of(method))(content, timeout=60)
        return ""
    except grpc.RpcError as error:
        code, text = error.code().name, error.details() or ""
    if "Traceback" in text or '.py"' in text:
        return f"a traceback: {text}"
    # As in the product: what cannot be parsed is INTERNAL.
    good = code in CODES or (code == "INTERNAL" and not readable(method, content))
    return "" if good else f"{method} {content[:300]!r} -> {code} {text[:300]}"


# All of them.

REST: list[tuple[int, Callable[[random.Random, Running], str]]] = [
    (68, text_to_a_model),
    (8, packed),
    (15, strange_place),
    (6, no_http),
    (3, leaving_early),
]
GRPC: list[tuple[int, Callable[[random.Random, Running], str]]] = [(1, grpc_message)]


@pytest.fixture(scope="module")
def service(needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("fuzz")
    make_odd_models(folder)
    bases = [MODELS / "iris", MODELS / "digits", folder / "odd", folder / "dtypes"]
    every: dict[str, Any] = {"model_version_policy": {"all": {}}}
    config = [{"name": path.name, "base_path": path, **every} for path in bases]
    flag = write_config(folder / "models.config", *config)
    with running(folder, flag, "--prefer_tflite_model") as one:
        yield one


def fuzz(service: Running, kinds: list[tuple[int, Callable]], numbers: Sequence[int]) -> list[str]:
    """Send requests from several threads; returns the problems."""
    shares, calls = zip(*kinds, strict=True)

    def one(number: int) -> str:
        chance = random.Random(SEED + number)
        call = chance.choices(calls, shares)[0]
        try:
            problem = call(chance, service)
        except (OSError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        return problem and f"request {number}, {call.__name__}: {problem}"

    with futures.ThreadPoolExecutor(THREADS) as pool:
        return [text for text in pool.map(one, numbers) if text]


def known_answers(service: Running) -> list[Any]:
    """Return what the service says to right calls."""
    found: list[Any] = [
        sent(service, post(f"/v1/models/{path}", json.dumps(document).encode()))
        for path, document in REQUESTS
    ]
    outputs = service.prediction.Predict(flowers(), timeout=30).outputs
    found.append(to_ndarray(outputs["probabilities"]).tolist())
    return [*found, service.states("digits"), service.states("odd")]


PARTS = [
    pytest.param(0.05, id="some"),
    pytest.param(1.0, id="all", marks=[pytest.mark.nightly, pytest.mark.fuzz]),
]


@pytest.mark.parametrize("share", PARTS)
def test_the_service_stays_well_whatever_it_is_sent(service: Running, share: float) -> None:
    process = psutil.Process(service.process.pid)
    rest, messages = range(int(10_000 * share)), range(10_000, 10_000 + int(2_000 * share))
    before = known_answers(service)
    assert {answer[0] for answer in before[: len(REQUESTS)]} == {200}
    problems = fuzz(service, REST, rest[::3]) + fuzz(service, GRPC, messages[::3])
    memory, threads = process.memory_info().rss, process.num_threads()
    for start in (1, 2):
        problems += fuzz(service, REST, rest[start::3]) + fuzz(service, GRPC, messages[start::3])
    assert not problems, f"{len(problems)} problems, such as\n" + "\n".join(problems[:10])

    assert service.process.poll() is None
    assert known_answers(service) == before
    assert process.memory_info().rss - memory < 40 * MEGABYTE
    # gRPC's and TensorFlow's own pools may still grow; a thread left by each request would be 400.
    assert process.num_threads() <= threads + 8
    log = service.log()
    assert "Traceback" not in log


def test_many_that_leave_early_harm_nobody(service: Running, tmp_path: Path) -> None:
    process = psutil.Process(service.process.pid)
    files = process.num_fds() if hasattr(process, "num_fds") else 0
    request = post("/v1/models/iris:predict", b'{"instances": [[1, 2, 3, 4]]}')
    for number in range(200):
        sent(service, request[: number % len(request)], leave=True)
    status, _, _ = sent(service, request)
    assert status == 200
    if files:
        assert process.num_fds() < files + 50
