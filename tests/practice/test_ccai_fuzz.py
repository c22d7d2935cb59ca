"""Five thousand requests that nobody should send: the service answers each and stays well."""

import functools
import io
import json
import random
import re
import socket
from collections.abc import Callable
from concurrent import futures
from typing import Any
from urllib.parse import quote_from_bytes

import grpc
import psutil
import pytest
from PIL import Image

from helpers.endpoints import Endpoint
from protos import inference_service_pb2 as messages
from tests import ccai
from tests.ccai import FORM, PATHS, Answer, Running, ask, strict_wav, text64

THREADS, SEED = 8, 20261121
METHODS = ("Classification", "FaceDetection", "FacialLandmark", "OCR", "ASR", "HealthCheck")
# What takes longest gets few pictures that can be read.
READERS = ("ocr", "ppocr", "digitalnote", "handwritten", "OCR")
FIELDS = (
    b"image",
    b"text",
    b"speech",
    b"realtime",
    b"language",
    b"rate",
    b"samplewidth",
    b"device",
    b"local",
    b"healthcheck",
    b"audio_input",
    b"app_id",
    b"sign",
    b"",
    b"\0",
    b"%zz",
)
WORDS = (
    b"",
    b"0",
    b"1",
    b"-1",
    b"1e999",
    b"NaN",
    b"OFFLINE",
    b"ENGLISH",
    b"CHINESE",
    b"16000",
    b"2",
    b"CPU",
    b"HETERO:CPU,GPU",
    b"hello world",
    b"caf\xc3\xa9",
    b"\xff\xfe",
    b"\0",
    b"%",
    b"%4",
    b"%zz",
    b"../../etc/passwd",
    b"<script>",
    b"' OR 1=1 --",
    b"{{7*7}}",
    b"a" * 100_000,
    "\u0661".encode(),
    "中文 \U0001f600".encode(),
    b"\r\nSet-Cookie: a=b",
)
SENTENCES = (b"successfully set the policy daemon", b"failed to set policy daemon")
UNHANDLED = b"<title>Unhandled Exception</title>"
PAGES = {status: f"<h1>{status} ".encode() for status in (400, 401, 404, 413)}


@functools.cache
def files() -> tuple[bytes, ...]:
    """Return small files of many kinds, good ones."""
    photograph = Image.open(io.BytesIO(ccai.face())).convert("RGB").resize((96, 96))
    found = [ccai.blank(), ccai.written("7", 12), strict_wav(bytes(3200))]
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        photograph.save(buffer, format=kind)
        found.append(buffer.getvalue())
    return tuple(found)


def bomb(width: int, height: int) -> bytes:
    """Return the beginning of a PNG file that promises a very large picture."""
    sizes = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return ccai.blank()[:16] + sizes + ccai.blank()[24:]


def content(chance: random.Random, readable: bool = True) -> bytes:
    """Return a file: a good one, a damaged one, or none at all."""
    kind = chance.randrange(6 if readable else 4)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 1, 2, 3, 12, 44, 1000)))
    good = chance.choice(files())
    if kind == 1:
        return good[: chance.randrange(40)]
    if kind == 2:
        start = chance.choice((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF", b"GIF89a"))
        return start + chance.randbytes(200)
    if kind == 3:
        return bomb(*chance.choice(((2**31 - 1, 2**31 - 1), (0, 0), (100_000, 100_000))))
    if kind == 4:
        return good[: chance.randrange(len(good))]
    flipped = bytearray(good)
    for _ in range(chance.randrange(20)):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def value(chance: random.Random, readable: bool) -> bytes:
    """Return what stands behind a field's name, escaped well or badly."""
    if chance.random() < 0.5:
        return chance.choice(WORDS)
    text = text64(content(chance, readable)).encode()
    kind = chance.randrange(6)
    if kind == 0:
        return text[: chance.randrange(len(text) + 1)]
    if kind == 1:
        return text  # with plus signs that are not escaped
    if kind == 2:
        return quote_from_bytes(content(chance, readable)).encode()
    return quote_from_bytes(text).encode()


def form(chance: random.Random, readable: bool) -> bytes:
    """Return a form, more or less."""
    kind = chance.randrange(20)
    if kind == 0:
        return chance.randbytes(chance.randrange(2000))
    if kind == 1:
        return b"&".join(b"f%d=%d" % (n, n) for n in range(chance.choice((999, 1001, 20_000))))
    if kind == 2:
        return chance.choice((b"", b"=", b"&", b"&=" * 1000, b"image", b"\0" * 100, b"%"))
    count = chance.randrange(1, 6)
    pairs = [(chance.choice(FIELDS), value(chance, readable)) for _ in range(count)]
    if chance.random() < 0.7:
        pairs.insert(
            0, (b"image", quote_from_bytes(text64(content(chance, readable)).encode()).encode())
        )
    if chance.random() < 0.3:
        pairs.insert(0, (b"text", chance.choice(WORDS[:-10])))
    if chance.random() < 0.3:
        pairs += [
            (b"realtime", b"OFFLINE"),
            (b"language", b"ENGLISH"),
            (b"rate", b"16000"),
            (b"samplewidth", b"2"),
        ]
    return b"&".join(name + b"=" + value for name, value in pairs)


def streaming(chance: random.Random) -> bytes:
    """Return JSON for `streaming`, more or less."""
    deep = chance.randrange(1, 200_000)
    thing: Any = chance.choice((None, 1, -1.5, True, "x", [], {}, "start", "stop", "\0", "𝒳"))
    return chance.choice(
        (
            b"[" * deep,
            b'{"pipeline":' * deep,
            b'{"pipeline":"x","method":' + b"[" * deep + b"]" * deep + b"}",
            json.dumps({"pipeline": thing, "method": thing, "parameter": thing}).encode(),
            json.dumps({"pipeline": thing, "method": thing}).encode("utf-16"),
            json.dumps(thing).encode(),
            b'{"pipeline":"x","method":"stop"}' + chance.randbytes(5),
            b'{"pipeline":"\xff","method":"\xfe"}',
            b'{"pipeline":"x","method":1e400}',
            b'{"pipeline":"x","method":' + b"9" * 10_000 + b"}",
            chance.randbytes(100),
        )
    )


# One request of each kind; each returns what is wrong with the answer, or nothing.


def wrong_page(answer: Answer) -> str:
    if b"Traceback" in answer.body or b'.py"' in answer.body:
        return "a traceback"
    if answer.status in PAGES:
        texts = (b"not Acceptable", b"get content length error")
        known = PAGES[answer.status] in answer.body
        head = not answer.body
        return "" if known or head or answer.body in texts else "an unknown page"
    return "" if answer.status in (200, 500) else "an unknown status"


def wrong_python(answer: Answer) -> str:
    if answer.status == 500:
        known = len(answer.body) == 218 and UNHANDLED in answer.body
        return "" if known else "an unknown page"
    if answer.status != 200:
        return "" if answer.status in PAGES else "an unknown status"
    if answer.header("content-type") != "text/plain":
        return "another content type"
    if answer.body in (b"", b"healthcheck ok", *SENTENCES):
        return ""
    envelope = json.loads(answer.body)
    good = envelope["ret"] in (0, 1, 2) and json.dumps(envelope, indent=1) == answer.body.decode()
    return "" if good else "no envelope"


def wrong_cpp(answer: Answer) -> str:
    if answer.status != 200:
        return "" if answer.status in PAGES else "an unknown status"
    if answer.header("content-type") != "text/html":
        return "another content type"
    text = answer.body.decode()
    if answer.body in (b"", b"healthcheck ok", b"0", b"-1", *SENTENCES):
        return ""
    if re.fullmatch(r'error: [a-z ]+,?\n?\t"time":\d+\.\d{3}\n}', text):
        return ""
    start = re.match(r'\{\r\n\t"ret":[012],\r\n\t"msg":"[a-z ]+",\r?\n', text)
    end = re.search(r'\t"time":\d+\.\d{3}\n\}\Z', text)
    return "" if start and end and json.loads(text) else "no envelope"


def wrong_answer(path: str, answer: Answer) -> str:
    page = wrong_page(answer)
    if page or path.endswith("info"):
        return page
    return wrong_python(answer) if "fcgi_py_" in path else wrong_cpp(answer)


def by_http(chance: random.Random, service: Running) -> str:
    path = chance.choice(PATHS)
    reads = any(path.endswith(name) for name in READERS)
    body = form(chance, readable=not reads or chance.random() < 0.5)
    if path.endswith("streaming"):
        body = streaming(chance)
    if b"ONLINE" in body or (path.endswith("policy") and b"local=0" in body):
        body = b""  # what waits, and what stops the engines for all
    headers = dict(FORM) if chance.random() < 0.9 else {"Content-Type": chance.choice(("", "a/b"))}
    method = chance.choice(("POST",) * 18 + ("GET", "HEAD", "PUT", "BREW"))
    endpoint = service.plain
    if chance.random() < 0.2:
        endpoint = service.secure
        headers["Authorization"] = chance.choice(
            (
                *(ccai.authorized(endpoint)["Authorization"],) * 8,
                "Basic \xff",
                "Basic AAAA",
                "Nobody",
            )
        )
    answer = ask(endpoint, path, body, headers, method)
    problem = wrong_answer(path, answer)
    if not answer.body and method != "HEAD":
        problem = problem or "an empty answer"
    return describe(path, body, answer, problem)


def by_socket(chance: random.Random, service: Running) -> str:
    """Send what a client's library would refuse to send."""
    host, _, port = service.plain.rest.rpartition("/")[2].rpartition(":")
    path = chance.choice(PATHS).encode()
    line = chance.choice(
        (
            b"POST %s%%00 HTTP/1.1" % path,
            b"POST %s?%%zz#x HTTP/1.1" % path,
            b"POST /%s HTTP/1.1" % (b"a" * 70_000),
            b"POST %s HTTP/0.9" % path,
            b"POST //cgi-bin/../%s HTTP/1.1" % path,
            b"\x00\xff %s" % path,
            b"GET",
            b"POST %s\xff HTTP/1.1" % path,
            b"POST http://x%s HTTP/1.1" % path,
            b"\r\n\r\n",
        )
    )
    header = chance.choice(
        (
            b"Content-Length: 5",
            b"Content-Length: 99999999999999999999",
            b"Content-Length: -1",
            b"Content-Length: five",
            b"Transfer-Encoding: chunked",
            b"X: \xff\x00",
            b":",
            b"Transfer-Encoding: gzip, chunked",
            b"Expect: 100-continue",
            b"X" * 100_000,
        )
    )
    body = chance.choice((b"", b"image=", b"5\r\nhello\r\n0\r\n\r\n", chance.randbytes(50)))
    request = line + b"\r\nHost: localhost\r\n" + header + b"\r\n\r\n" + body
    received = b""
    with socket.create_connection((host, int(port)), timeout=60) as client:
        try:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                received += part
        except OSError:
            pass  # the service may close on what is no HTTP
    status = re.match(rb"HTTP/1\.1 (\d+) ", received)
    known = not received or (status and int(status[1]) in (100, 200, 400, 404, 413, 500))
    shown = b"Traceback" in received
    return "" if known and not shown else f"{request[:300]!r}: {received[:300]!r}"


def by_grpc(chance: random.Random, service: Running, stub: Any) -> str:
    method = chance.choice(METHODS)
    reads = method in READERS
    body = content(chance, readable=not reads or chance.random() < 0.5)
    if method == "ASR" and chance.random() < 0.7:
        wav = bytearray(strict_wav(chance.randbytes(chance.choice((0, 1, 3200, 6401)))))
        wav[chance.randrange(len(wav))] = chance.randrange(256)
        body = bytes(wav)
    request = messages.Empty() if method == "HealthCheck" else messages.Input(buffer=body)
    text = getattr(getattr(stub, method)(request, timeout=60), "json", "")
    try:
        json.loads(f"[{text}]" if method.startswith("Fac") else text or "[]")
    except ValueError:
        return f"{method} {body[:100]!r}: {text[:300]!r}"
    return ""


def by_bare_grpc(chance: random.Random, channel: grpc.Channel) -> str:
    """Send bytes that are no message."""
    body = chance.choice(
        (chance.randbytes(30), b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab", b"\xff")
    )
    call = channel.unary_unary(f"/inference_service.Inference/{chance.choice(METHODS)}")
    try:
        call(body, timeout=60)
    except grpc.RpcError as error:
        # What cannot be parsed is refused by gRPC itself.
        return "" if error.code() is grpc.StatusCode.INTERNAL else f"{body!r}: {error}"
    return ""


def describe(path: str, body: bytes, answer: Answer, problem: str) -> str:
    return problem and f"{problem}: {path} {body[:200]!r} -> {answer.status} {answer.body[:300]!r}"


service = ccai.service


def known_answers(endpoint: Endpoint, stub: Any) -> list[str]:
    picture = ccai.written("Meeting")
    names = ("py_ocr", "ocr", "py_face_detection", "facial_landmark", "py_classification")
    found = [ccai.post(endpoint, name, {"image": text64(picture)}).body for name in names]
    found.append(ccai.post(endpoint, "py_tts", {"text": "hello"}).body)
    texts = [ccai.without_time(each) for each in found]
    wav = strict_wav(ccai.recording())
    for method, body in [("OCR", picture), ("FaceDetection", ccai.face()), ("ASR", wav)]:
        texts.append(getattr(stub, method)(messages.Input(buffer=body), timeout=60).json)
    return texts


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(range(500), id="some"),
        pytest.param(range(500, 5000), id="all", marks=[pytest.mark.nightly, pytest.mark.fuzz]),
    ],
)
def test_the_service_stays_well_whatever_it_is_sent(service: Running, numbers: range) -> None:
    process = psutil.Process(service.pid)
    born = process.create_time()
    with ccai.stub(service.plain) as stub, grpc.insecure_channel(service.plain.grpc) as channel:
        before = known_answers(service.plain, stub)
        kinds: list[tuple[int, Callable[[random.Random], str]]] = [
            (70, lambda chance: by_http(chance, service)),
            (10, lambda chance: by_socket(chance, service)),
            (16, lambda chance: by_grpc(chance, service, stub)),
            (4, lambda chance: by_bare_grpc(chance, channel)),
        ]

        def one(number: int) -> str:
            chance = random.Random(SEED + number)
            shares, calls = zip(*kinds, strict=True)
            try:
                problem = chance.choices(calls, shares)[0](chance)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            return problem and f"request {number}: {problem}"

        with futures.ThreadPoolExecutor(THREADS) as pool:
            problems = [text for text in pool.map(one, numbers) if text]
        assert not problems, f"{len(problems)} problems, such as\n" + "\n".join(problems[:10])

        assert process.is_running()
        assert process.create_time() == born
        assert ccai.post(service.plain, "py_policy", {}).body == SENTENCES[0]
        assert known_answers(service.plain, stub) == before
        health = stub.HealthCheck(messages.Empty(), timeout=30)
        assert health.status == messages.HealthStatus.SUCCESS
    headers = ccai.authorized(service.secure)
    for path in PATHS[:3]:
        assert ask(service.secure, path, "healthcheck=1", headers).body == b"healthcheck ok"
    log = service.written()
    # gRPC itself writes one for bytes that are no message.
    assert log.count("Traceback") == log.count("Exception deserializing message!")
    assert service.secure.password not in log
    assert headers["Authorization"].removeprefix("Basic ") not in log
