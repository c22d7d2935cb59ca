"""Five thousand requests that nobody should send: the service answers each and stays well."""

import contextlib
import http.client
import json
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import psutil
import pytest

from practice.modelarts.published import SERVICES
from tests import modelarts
from tests.modelarts import (
    APP_DIGITS,
    APP_IRIS,
    DATA,
    DETECTOR,
    DIGITS,
    IRIS,
    SETOSA,
    TOKENS,
    Answer,
    Part,
    Running,
    authorization,
    flowers,
    form,
    form_headers,
    login,
    new_token,
    post_login,
    running,
    sign,
)

SEED, THREADS, MEGABYTE = 20261121, 8, 2**20
RIGHT = flowers(SETOSA)
FAILED = b'{"erno":"MR.0105","msg":"Recognition failed","words_result":{}}'
# The statuses of each form of refusal.
GATEWAY, PLATFORM = {401, 404, 413, 414, 494}, {400, 401, 403, 404, 405}
KEYSTONE = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}
WORDS = (
    "",
    "0",
    "-1",
    "NaN",
    "null",
    "running",
    "x" * 5000,
    "é",
    "中 \U0001f600",
    "\0",
    "%",
    "%zz",
    "../../etc/passwd",
    "<script>",
    "' OR 1=1 --",
    "{{7*7}}",
    "${jndi:x}",
    "\ud800",
    "\x7f",
    "\x1b[0m",
    "a\r\nb",
    " ",
    "\u2028",
    "__class__",
    "1e999",
    "١",
)
HEADER_WORDS = (
    "",
    "0",
    "x",
    "a" * 30_000,
    "\xe9\xff",
    "\xa0",
    "\x01",
    "\x1f",
    "a b",
    "a;b",
    "a,b",
    ";;;",
    "=",
    '"',
    "\\",
    "%00",
    "Bearer x",
    "Basic \xff",
    "SDK-HMAC-SHA256",
    "SDK-HMAC-SHA256 Access=,",
)


# What is sent.


def mostly(chance: random.Random, usual: Any, others: Sequence[Any]) -> Any:
    """Return the usual thing in three of four cases."""
    return usual if chance.random() < 0.75 else chance.choice(others)


def something(chance: random.Random, depth: int = 0) -> Any:
    """Return any value that JSON has."""
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return chance.choice((None, True, False))
    if kind == 1:
        return chance.choice((0, -1, 2**63, 10**400, 1.5, -0.0, 1e308, 5e-324))
    if kind < 5:
        return chance.choice(WORDS)
    if kind == 5:
        return chance.choice((SETOSA, [SETOSA], {"req_data": [SETOSA]}))
    count = chance.randrange(4)
    if kind == 6:
        return [something(chance, depth + 1) for _ in range(count)]
    names = ("data", "req_data", "meta", "uuid", "sepal_length", "auth", "status", *WORDS)
    return {chance.choice(names): something(chance, depth + 1) for _ in range(count)}


def broken_json(chance: random.Random) -> bytes:
    """Return bytes that are JSON at most to some."""
    deep = chance.choice((10, 900, 1100, 50_000, 200_000))
    cut = chance.randrange(len(RIGHT))
    number = chance.choice(
        (b"9" * 5000, b"1e400", b"NaN", b"-Infinity", b"00", b"+1", b"0x1", b".5")
    )
    return chance.choice(
        (
            b"[" * deep,
            b'{"data":' * deep,
            b"[" * deep + b"]" * deep,
            b'{"meta":{"uuid":' + b"[" * deep + b"]" * deep + b"}," + RIGHT[1:],
            RIGHT.replace(b"0.2", b"[" * deep + b"]" * deep),
            RIGHT.replace(b"0.2", number),
            RIGHT.replace(b"}]", b', "more": ' + number + b"}]"),
            RIGHT[:cut],
            RIGHT[cut:],
            b'{"meta":{"uuid":' + number + b"}," + RIGHT[1:],
            RIGHT.decode().encode("utf-16"),
            RIGHT.decode().encode("utf-32"),
            b"\xef\xbb\xbf" + RIGHT,
            RIGHT + b"\0",
            RIGHT.replace(b"data", b"\xff\xfe"),
            RIGHT.replace(b"}]", b', "a": "\xed\xa0\x80"}]'),
            RIGHT.replace(b"}]", b', "\\ud800": "\\udfff"}]'),
            chance.randbytes(100),
            b"\0" * 100,
            RIGHT * 2,
            b'{"data":{}, ' + RIGHT[1:],
            b"null",
            b'"',
            b"'",
            b"{}" * 1000,
        )
    )


def body_of_json(chance: random.Random) -> bytes:
    """Return JSON that does not fit, hardly fits, or is none."""
    kind = chance.randrange(5)
    if kind == 0:
        return broken_json(chance)
    if kind == 1:
        return json.dumps(something(chance)).encode()
    if kind == 2:
        row = SETOSA | {chance.choice([*SETOSA, "more"]): something(chance)}
        return flowers(SETOSA, row, meta=something(chance))
    if kind == 3:
        return flowers(*[SETOSA] * chance.choice((0, 1, 1000)), meta={"uuid": something(chance)})
    flipped = bytearray(RIGHT)
    for _ in range(chance.randrange(5)):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def picture(chance: random.Random) -> bytes:
    """Return a file: a good picture, a damaged one, or none at all."""
    good = mostly(chance, modelarts.digit("7"), (modelarts.blank(), modelarts.blank(1)))
    kind = chance.randrange(10)
    if kind == 0:
        return chance.randbytes(chance.choice((0, 1, 12, 1000)))
    if kind == 1:
        return good[: chance.randrange(len(good))]
    if kind == 2:
        start = chance.choice((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF89a", b"II*\0"))
        return start + chance.randbytes(200)
    if kind == 3:
        side = chance.choice((0, 1, 100_000, 2**31 - 1)).to_bytes(4, "big")
        return good[:16] + side * 2 + good[24:]
    if kind == 4:
        flipped = bytearray(good)
        flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        return bytes(flipped)
    return good


NAMES = ("image", "data", "", "é", "a" * 3000, 'a"b', "images\0")
FILES = (None, "", "é.png", "../../x", "a" * 3000, "\0", ";")
LABELS = (None, "multipart/form-data", "", "text/plain; charset=x", "a" * 3000, "\xff")
DISPOSITIONS = (
    b"Content-Disposition: form-data",
    b"Content-Disposition: attachment",
    b"",
    b":",
    b"a: b",
    b'Content-Disposition: form-data; name="images"; filename="x"; filename*=utf-8\'\'%ff',
    b'Content-Disposition: form-data; name=images; filename="',
    b"A: " + b"b" * 20_000,
    b"Content-Disposition: form-data; name=\xff\xfe",
    b"\r\n".join([b"A: b"] * 1000),
    b"Content-Transfer-Encoding: base64",
    b"Content-Disposition: ; ; ;=",
    b"\0: \0",
)
FORMS = (
    'multipart/form-data; boundary="{}"',
    "multipart/form-data",
    "MULTIPART/FORM-DATA; BOUNDARY={}",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=x; boundary={}",
    "multipart/form-data; charset=none; boundary={}",
    "multipart/form-data; boundary=\xff",
    'multipart/form-data; boundary="',
    "multipart/form-data; boundary*=utf-8''{}",
)


def multipart(chance: random.Random) -> tuple[bytes, str]:
    """Return a form with its content type; either may be broken."""
    parts = [
        Part(
            picture(chance),
            mostly(chance, "images", NAMES),
            mostly(chance, "./test.png", FILES),
            mostly(chance, "image/png", LABELS),
        )
        for _ in range(mostly(chance, 1, (0, 2, 3)))
    ]
    boundary = mostly(chance, "b0undary", ("-", "a" * 70, "a" * 500, "'()+_,-./:=? x"))
    body, kind = form(*parts, boundary=boundary), chance.randrange(12)
    if kind == 0:
        body = body[: chance.randrange(len(body))]
    elif kind == 1:
        strange = chance.choice(DISPOSITIONS)
        body, boundary = b"--b\r\n%b\r\n\r\nx\r\n--b--\r\n" % strange, "b"
    elif kind == 2:
        count = chance.choice((999, 1200))
        body = form(*(Part(b"7", f"f{n}", None, None) for n in range(count)), boundary=boundary)
    elif kind < 5:
        flipped = bytearray(body)
        flipped[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        body = bytes(flipped)
    given = mostly(chance, "multipart/form-data; boundary={}", FORMS)
    return body, given.replace("{}", boundary)


# One request of each kind; each returns what is wrong with the answer, or nothing.


def wrong(answer: Answer) -> str:
    """Say why an answer is none of those the sheet has."""
    if b"Traceback" in answer.body or b'.py"' in answer.body:
        return "a traceback"
    if not re.fullmatch("[0-9a-f]{32}", answer.header("x-request-id") or ""):
        return "no request id"
    if answer.header("content-type") != "application/json":
        return "another content type"
    try:
        found = answer.json
    except ValueError:
        return "no JSON"
    return wrong_form(answer, found)


def wrong_form(answer: Answer, found: dict[str, Any]) -> str:
    keys, code = set(found), str(found.get("error_code"))
    if code.startswith("APIG."):
        good = keys == {"error_code", "error_msg", "request_id"} and answer.status in GATEWAY
        return (
            "" if good and found["request_id"] == answer.header("x-request-id") else "no gateway's"
        )
    if code.startswith("ModelArts."):
        good = keys == {"error_code", "error_msg"} and answer.status in PLATFORM
        return "" if good else "no dispatcher's"
    if "erno" in keys:
        return "" if (answer.status, answer.body) == (500, FAILED) else "no model server's"
    if "error" in keys:
        return "" if found["error"]["title"] == KEYSTONE.get(answer.status) else "no keystone's"
    answers = (
        {"meta", "data"},
        {"predicted_label", "scores"},
        {"total_count", "count", "services"},
        {"detection_classes", "detection_boxes", "detection_scores"},
    )
    if answer.status == 201:
        return "" if answer.header("x-subject-token") else "no token"
    known = keys in answers or {"service_id", "status"} <= keys
    return "" if answer.status == 200 and known else "nothing that is known"


def credentials(
    chance: random.Random, service: Running, target: str, body: bytes
) -> dict[str, str]:
    """Return headers that let in, mostly."""
    kind = chance.randrange(10)
    app = target in (APP_IRIS, APP_DIGITS)
    if kind == 0:
        return {
            chance.choice(("X-Auth-Token", "Authorization", "apikey")): chance.choice(HEADER_WORDS)
        }
    if kind < 3:
        return sign(service, target, body, {}, key="appkey" if app else "ak").headers
    return (
        {"X-Apig-AppCode": service.account["appcode"]} if app else {"X-Auth-Token": service.token}
    )


def told(answer: Answer, target: str, body: bytes | None, problem: str = "") -> str:
    """Describe a problem, if there is one."""
    problem = problem or wrong(answer)
    return problem and f"{problem}: {target[:200]} {(body or b'')[:300]!r} -> {answer}"


def text_to_a_model(chance: random.Random, service: Running) -> str:
    target = chance.choice((IRIS, IRIS, IRIS, APP_IRIS, DIGITS, DETECTOR))
    body = body_of_json(chance)
    headers = credentials(chance, service, target, body)
    kind = chance.choice(("application/json", "application/json", "text/plain", "", "a/b;c=", None))
    if kind is not None and "Authorization" not in headers:
        headers["Content-Type"] = kind
    return told(service.ask(target, body, headers), target, body)


def file_to_a_model(chance: random.Random, service: Running) -> str:
    target = chance.choice((DIGITS, APP_DIGITS, DETECTOR, IRIS))
    body, kind = multipart(chance)
    headers = credentials(chance, service, target, body) | {"Content-Type": kind}
    return told(service.ask(target, body, headers), target, body)


def strange_headers(chance: random.Random, service: Running) -> str:
    target = chance.choice((IRIS, APP_IRIS, TOKENS, "/", "/v1/infers", f"{IRIS}/x", f"{IRIS}?%zz"))
    names = (
        "Authorization",
        "X-Auth-Token",
        "X-Apig-AppCode",
        "apikey",
        "X-Sdk-Date",
        "Content-Type",
        "X-Sdk-Content-Sha256",
        "X-Request-Id",
        "X-Apig-Mode",
        "Accept",
        "Accept-Encoding",
        "Cookie",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "Host",
        "Referer",
        "Range",
        "Content-Encoding",
        "X" * 500,
        "Upgrade",
        "Expect",
    )
    count = chance.randrange(1, 5)
    pairs = [(chance.choice(names), chance.choice(HEADER_WORDS)) for _ in range(count)]
    pairs += credentials(chance, service, target, RIGHT).items()
    if chance.random() < 0.1:
        pairs += [(f"X-{number}", "x") for number in range(chance.choice((90, 1000)))]
    answer = service.ask(target, RIGHT, pairs)
    host_or_more = answer.status == 400 and answer.body == b"Invalid HTTP request received."
    return "" if host_or_more else told(answer, f"{target} {pairs}", RIGHT)


def strange_signature(chance: random.Random, service: Running) -> str:
    signed = sign(service, IRIS, RIGHT)
    names = signed.authorization["SignedHeaders"]
    lists = (names, "", ";", "\xff", "host;" * 3000, "x-sdk-date", names[::-1], "{0}", "\x01")
    dates = ("20260101T000000Z", "", "x", "00000000T000000Z", "99991231T235959Z", "\xb2" * 8)
    parts = (
        chance.choice((service.account["ak"], "", "\xff", "a" * 5000, "AK", "%s", "{0}")),
        chance.choice(lists),
        chance.choice((signed.authorization["Signature"], "", "0" * 64, "f" * 10_000, "\xff")),
    )
    changed = {"Authorization": authorization(*parts)}
    if chance.random() < 0.5:
        changed["X-Sdk-Date"] = chance.choice(dates)
    if chance.random() < 0.3:
        changed["Host"] = chance.choice(("[", "]", "a:b:c", "x?y#z", "\xff", "@", "a" * 5000))
    target = chance.choice(
        (IRIS, f"{IRIS}?{'&' * 1000}", f"{IRIS}?a=%zz&%", f"{IRIS}?=&=#?", APP_IRIS)
    )
    headers = signed.headers | changed
    answer = service.ask(target, RIGHT, headers)
    if answer.body == b"Invalid HTTP request received.":
        return "" if answer.status == 400 else "another status"
    known = answer.status == 401 or (parts[1] == names and answer.status == 200)
    return told(answer, f"{target} {headers}", RIGHT, "" if known else "another status")


def strange_login(chance: random.Random, service: Running) -> str:
    body: Any = login(service.account)
    if chance.random() < 0.6:
        part = body["auth"]
        for _ in range(chance.randrange(1, 5)):
            inner = [value for value in part.values() if isinstance(value, dict)]
            if inner:
                part = chance.choice(inner)
        part[chance.choice([*part, "id", "name", "domain", "more"])] = something(chance)
        content = json.dumps(body).encode()
    else:
        content = broken_json(chance).replace(b"data", b"auth")
    query = chance.choice(("", "?nocatalog", "?nocatalog=%ff", "?" + "&" * 500, "?%", "?a=b#c"))
    method = "POST" if chance.random() < 0.9 else chance.choice(("GET", "PUT", "BREW", "HEAD"))
    answer = service.ask(TOKENS + query, content, {"Content-Type": "application/json"}, method)
    if method == "HEAD":
        return "" if (answer.status, answer.body) == (404, b"") else f"more than a head: {answer}"
    return told(answer, TOKENS + query, content)


def strange_management(chance: random.Random, service: Running) -> str:
    project = chance.choice(
        (service.account["project_id"],) * 6 + ("0" * 32, "", "%00", "..", "é%FF")
    )
    place = chance.choice(
        ("", "", "/", f"/{SERVICES['iris'].id}", "/x", "/%FF", f"/{'a' * 3000}", "/a/b")
    )
    names = (
        "service_id",
        "service_name",
        "status",
        "infer_type",
        "offset",
        "limit",
        "sort_by",
        "order",
        "model_id",
        "x",
        "",
    )
    values = (
        "",
        "0",
        "1",
        "-1",
        "999999999",
        "9" * 50,
        "1.5",
        "%D9%A1",
        "%FF",
        "%00",
        "running",
        "asc",
        "status",
        "publish_at",
        "a" * 3000,
        "%F0%9F%98%80",
        "%ED%A0%80",
        "+",
        "#",
    )
    count = chance.randrange(4)
    query = "&".join(f"{chance.choice(names)}={chance.choice(values)}" for _ in range(count))
    path = f"/v1/{project}/services{place}".replace("é", "%C3%A9")
    target = f"{path}?{query}" if query else path
    method, body = "GET", None
    if chance.random() < 0.3:
        method = chance.choice(("PUT", "POST", "DELETE", "PATCH"))
        wanted = something(chance)
        changes = (b"", broken_json(chance), json.dumps({"status": wanted}).encode())
        body = chance.choice(changes)
    headers = (
        credentials(chance, service, target, body or b"")
        if method != "GET"
        else {"X-Auth-Token": service.token}
    )
    return told(service.ask(target, body, headers, method), f"{method} {target}", body)


def no_http(chance: random.Random, service: Running) -> str:
    """Send over TLS what is no HTTP, and read what comes until the connection ends."""
    path = chance.choice((IRIS, TOKENS, "/")).encode()
    line = b"POST %b HTTP/1.1" % path
    head = b"\r\nHost: here\r\nConnection: close\r\n"
    requests = (
        b"\x00\xff\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP\r\n\r\n",
        b"POST  / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        line + b"\r\n\r\n",
        line + b"\r\nHost: a\r\nHost: b\r\n\r\n",
        line + head + b"Content-Length: -1\r\n\r\n",
        line + head + b"Content-Length: five\r\n\r\n",
        line + head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        line + head + b": x\r\n\r\n",
        line + head + b"Transfer-Encoding: gzip\r\n\r\n",
        line + head + b"X: \xff\x00\r\n\r\n",
        line + head + b"Content-Length: 99999999999999999999999\r\n\r\n",
        line + head + b"X: " + b"y" * 400_000 + b"\r\n\r\n",
        b"A" * 400_000,
        line + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /" + b"a" * 400_000,
        line + head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        line + head + b"\r\n",
        line + b"\xff" + head + b"\r\n",
        line.replace(b"/1.1", b"/0.9") + head + b"\r\n",
        line.replace(b"POST /", b"POST http://x/") + head + b"\r\n",
        chance.randbytes(50) + b"\r\n\r\n",
        b"POST * HTTP/1.1" + head + b"\r\n",
        line + head + b"Expect: 100-continue\r\n\r\n",
        line + head + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\r\n" * 100 + line + head + b"\r\n",
    )
    request, received = chance.choice(requests), b""
    # One that says more will come waits for it, and would wait long.
    waits = b"9999999" in request or b"/0.9" in request
    with contextlib.suppress(OSError), service.bare() as client:
        client.sendall(request)
        while not waits and (part := client.recv(65536)):
            received += part
    status = re.match(rb"HTTP/1\.1 (\d+) ", received)
    known = not received or (status and int(status[1]) in {100, 400, 401, 404, 413, 414, 494})
    good = known and b"Traceback" not in received
    return "" if good else f"{request[:200]!r} -> {received[:300]!r}"


def no_tls(chance: random.Random, service: Running) -> str:
    """Send what is no TLS, or leave early."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(100)
    starts = (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        hello,
        hello[:8],
        chance.randbytes(300),
        b"\x15\x03\x03\0\x02\x02\x28",
    )
    received = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", service.port), timeout=60) as client,
    ):
        client.sendall(chance.choice(starts))
        if chance.random() < 0.5:
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(1000):
                received += part
    return f"an answer without TLS: {received!r}" if b"HTTP" in received else ""


def leaving_early(chance: random.Random, service: Running) -> str:
    """Begin a right request and go."""
    token = f"X-Auth-Token: {service.token}\r\n"
    request = f"POST {IRIS} HTTP/1.1\r\nHost: here\r\n{token}Content-Length: {len(RIGHT)}\r\n\r\n"
    content = request.encode() + RIGHT
    with contextlib.suppress(OSError), service.bare() as client:
        client.sendall(content[: chance.randrange(len(content) + 1)])
        if chance.random() < 0.5:
            client.shutdown(socket.SHUT_RDWR)
    return ""


KINDS: list[tuple[int, Callable[[random.Random, Running], str]]] = [
    (26, text_to_a_model),
    (24, file_to_a_model),
    (10, strange_headers),
    (10, strange_signature),
    (10, strange_login),
    (10, strange_management),
    (5, no_http),
    (2, no_tls),
    (3, leaving_early),
]


# All of them.


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as one:
        yield one


def known_answers(service: Running) -> list[Any]:
    """Return what the service says to some right calls."""
    headers = {**form_headers(), "X-Auth-Token": service.token}
    found: list[Any] = [
        service.ask(IRIS, RIGHT, service.with_token).json,
        sign(service, IRIS, RIGHT).send(service).json,
        sign(service, APP_IRIS, RIGHT, key="appkey").send(service).json,
        service.ask(APP_IRIS, RIGHT, {"X-Apig-AppCode": service.account["appcode"]}).json,
        set(post_login(service, login(service.account)).json["token"]),
    ]
    found += [
        service.ask(DIGITS, form(Part(modelarts.digit(each))), headers).json for each in "059"
    ]
    for name in ("digits-04.png", "digits-10.png"):
        file = (DATA / "images" / name).read_bytes()
        found.append(service.ask(DETECTOR, form(Part(file)), headers).json)
    listed = service.ask(f"/v1/{service.account['project_id']}/services", None, headers, "GET")
    found.append([(each["service_name"], each["status"]) for each in listed.json["services"]])
    return found


def fuzz(service: Running, numbers: range) -> list[str]:
    """Send requests from several threads; returns the problems."""

    def one(number: int) -> str:
        chance = random.Random(SEED + number)
        shares, calls = zip(*KINDS, strict=True)
        call = chance.choices(calls, shares)[0]
        try:
            problem = call(chance, service)
        except (OSError, http.client.HTTPException) as error:
            problem = f"{type(error).__name__}: {error}"
        return problem and f"request {number}, {call.__name__}: {problem}"

    assert service.token  # before the threads ask for it
    with futures.ThreadPoolExecutor(THREADS) as pool:
        return [text for text in pool.map(one, numbers) if text]


def settled(process: psutil.Process, count: int) -> int:
    """Return how many connections the service still has, when no more are being closed."""
    limit = time.monotonic() + 60
    while (found := len(process.net_connections(kind="tcp"))) > count and time.monotonic() < limit:
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(range(250), id="some"),
        pytest.param(range(250, 5000), id="all", marks=[pytest.mark.nightly, pytest.mark.fuzz]),
    ],
)
def test_the_service_stays_well_whatever_it_is_sent(service: Running, numbers: range) -> None:
    process = psutil.Process(service.process.pid)
    born, before = process.create_time(), known_answers(service)
    warm = numbers[: len(numbers) // 5]
    problems = fuzz(service, warm)
    memory, connections = process.memory_info().rss, settled(process, 1)
    problems += fuzz(service, numbers[len(warm) :])
    assert not problems, f"{len(problems)} problems, such as\n" + "\n".join(problems[:10])

    assert service.process.poll() is None
    assert process.create_time() == born
    assert known_answers(service) == before
    assert process.memory_info().rss - memory < 150 * MEGABYTE
    assert process.num_threads() < 100
    assert settled(process, connections) <= connections

    log = service.written()
    assert "Traceback" not in log
    assert len(log) < 2 * MEGABYTE
    for secret in (*service.secrets, service.token, new_token(service)):
        assert secret not in log


def test_a_client_that_breaks_off_its_handshake_harms_nobody(service: Running) -> None:
    context = ssl.create_default_context()  # which does not know the authority
    for _ in range(50):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", service.port), timeout=30) as plain,
        ):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
    assert service.ask(IRIS, RIGHT, service.with_token).status == 200
