"""What the tests of ModelArts share: a service of their own, a signer, and things to send."""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import hmac
import http.client
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import psutil
from PIL import Image

from practice import processes, state
from practice.launch import MODELS, ROOT
from practice.modelarts.published import SERVICES
from tests import ccai

DATA = Path(__file__).parent.parent / "data"
NAMES = ("digits_detector", "digits", "iris")
IRIS, DIGITS, DETECTOR = (SERVICES[name].path for name in ("iris", "digits", "digits_detector"))
APP_IRIS, APP_DIGITS = SERVICES["iris"].app_path, SERVICES["digits"].app_path
TOKENS = "/v3/auth/tokens"
JSON = {"Content-Type": "application/json"}
ROW = {"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}
SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Answer(ccai.Answer):
    """An HTTP answer as it came, with what its JSON says."""

    @property
    def json(self) -> Any:
        """The body as JSON, in which NaN has no place."""
        return json.loads(self.body, parse_constant=no_constant)

    @property
    def code(self) -> tuple[int, str]:
        """Status and error code, of whichever of the four forms the answer has."""
        try:
            found = self.json
        except ValueError:
            return self.status, repr(self.body[:80])
        code = found.get("error_code") or found.get("erno") or found.get("error", {}).get("title")
        return self.status, str(code)

    @property
    def text(self) -> str:
        """What the error says."""
        return str(self.json["error_msg"])


def no_constant(name: str) -> Any:
    """Refuse what Python reads and JSON does not have."""
    raise ValueError(f"{name} is no JSON")


@dataclasses.dataclass(frozen=True)
class Running:
    """A service of one's own: its port, its folder, its process and its log."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    @functools.cached_property
    def account(self) -> dict[str, str]:
        """Who may call here."""
        return state.read_secrets("modelarts", self.folder)

    @functools.cached_property
    def trust(self) -> ssl.SSLContext:
        """What a client needs to trust this service."""
        return ssl.create_default_context(cafile=str(self.folder / "ca.pem"))

    @property
    def host(self) -> str:
        """The value of the header Host."""
        return f"127.0.0.1:{self.port}"

    @property
    def secrets(self) -> list[str]:
        """What nobody else may read."""
        open_ = ("user", "user_id", "domain", "domain_id", "project", "project_id", "ak", "appkey")
        return [value for key, value in self.account.items() if key not in open_]

    def written(self) -> str:
        """Return what the service wrote to its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def connect(self) -> http.client.HTTPSConnection:
        """Open a connection that can be used for several requests."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.trust)

    def ask(
        self,
        target: str,
        body: bytes | str | None = None,
        headers: Headers = (),
        method: str = "POST",
    ) -> Answer:
        """Make one request on a connection of its own, with these headers and no others."""
        with contextlib.closing(self.connect()) as connection:
            return ask(connection, target, body, headers, method)

    @contextlib.contextmanager
    def bare(self) -> Iterator[ssl.SSLSocket]:
        """Open a TLS connection to send on it what no library would."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain,
            self.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            yield secure

    @functools.cached_property
    def token(self) -> str:
        """A token for the project, always the same one."""
        return new_token(self)

    @property
    def with_token(self) -> dict[str, str]:
        """The headers of a JSON request with a token."""
        return {**JSON, "X-Auth-Token": self.token}


def ask(
    connection: http.client.HTTPSConnection,
    target: str,
    body: bytes | str | None = None,
    headers: Headers = (),
    method: str = "POST",
) -> Answer:
    """Make one request with these headers, Host and Content-Length, and no others."""
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    names = {name.lower() for name, _ in pairs}
    connection.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
    content = body.encode() if isinstance(body, str) else body
    if content is not None and not names & {"content-length", "transfer-encoding"}:
        connection.putheader("Content-Length", str(len(content)))
    for name, value in pairs:
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(content, encode_chunked="transfer-encoding" in names)
    response = connection.getresponse()
    return Answer(response.status, response.getheaders(), response.read())


@contextlib.contextmanager
def running(
    *flags: str, folder: Path | None = None, models: Path | None = None
) -> Iterator[Running]:
    """Start one and wait until each of its services runs or has failed.

    It limits neither requests nor wrong signatures, unless the flags say so. A folder that is
    given is not removed, so that the same account can be met again.
    """
    own = folder or Path(tempfile.mkdtemp(prefix="otw-modelarts-"))
    log = own / f"modelarts-{time.monotonic_ns()}.log"
    port = processes.choose_port()
    command = [
        sys.executable,
        "-m",
        "practice.modelarts",
        f"--port={port}",
        f"--folder={own}",
        f"--models={models or MODELS}",
        "--requests_per_second=0",
        "--lock_after=0",
        f"--exit_with_pid={os.getpid()}",
        *flags,
    ]
    with contextlib.ExitStack() as stack:
        if folder is None:
            stack.callback(shutil.rmtree, own, ignore_errors=True)
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT
            )
        stack.callback(kill, process)
        while not is_ready(one := Running(port, own, process, log)):
            assert process.poll() is None, one.written()
            time.sleep(0.01)
        yield one


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process; a virtual environment's python.exe on Windows has a child."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
    process.kill()
    process.wait()


def is_ready(service: Running) -> bool:
    """Whether it answers, and has begun with each of its services."""
    try:
        found = service.ask(
            f"/v1/{service.account['project_id']}/services",
            headers={"X-Auth-Token": new_token(service)},
            method="GET",
        ).json["services"]
    except (OSError, KeyError, http.client.HTTPException):
        return False
    return all(each["status"] in ("running", "failed") for each in found)


# Tokens.


def login(account: Mapping[str, str], scope: Any = None, **user: Any) -> dict[str, Any]:
    """Return what is posted for a token; for the project by its name, unless a scope is given."""
    known = {
        "name": account["user"],
        "password": account["password"],
        "domain": {"name": account["domain"]},
    }
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user or known}},
            "scope": {"project": {"name": account["project"]}} if scope is None else scope,
        }
    }


def post_login(service: Running, body: Any, query: str = "") -> Answer:
    """Ask for a token."""
    return service.ask(TOKENS + query, json.dumps(body), JSON)


def new_token(service: Running, scope: Any = None) -> str:
    """Get a token."""
    answer = post_login(service, login(service.account, scope))
    assert answer.status == 201, answer
    token = answer.header("x-subject-token")
    assert token
    return token


# Signatures: SDK-HMAC-SHA256 as the fact sheet has it, written without a look at the service's.


def encoded(text: str) -> str:
    """Decode what is percent-encoded and encode it as a canonical request does."""
    return quote(unquote_to_bytes(text), safe="-_.~")


def canonical_request(
    method: str, target: str, headers: Headers, signed: str, body: bytes = b""
) -> str:
    """Write the six parts of a request that are signed."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    values = {name.lower(): value.strip(" \t") for name, value in pairs}
    path, _, query = target.partition("?")
    parts = "/".join(map(encoded, path.split("/")))
    arguments = sorted(
        (encoded(name), encoded(value))
        for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)
    )
    payload = hashlib.sha256(body).hexdigest()
    if body:
        payload = values.get("x-sdk-content-sha256", payload)
    return "\n".join(
        [
            method.upper(),
            parts.rstrip("/") + "/",
            "&".join(f"{name}={value}" for name, value in arguments),
            *(f"{name}:{values[name.lower()]}" for name in signed.split(";")),
            "",
            signed,
            payload,
        ]
    )


def signature(canonical: str, date: str, sk: str) -> str:
    """Sign a canonical request."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"SDK-HMAC-SHA256\n{date}\n{digest}"
    return hmac.new(sk.encode(), text.encode(), hashlib.sha256).hexdigest()


class Signed(NamedTuple):
    """A request with its signature, to be sent as it is or altered first."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> dict[str, str]:
        """The three parts of the header."""
        parts = self.headers["Authorization"].removeprefix("SDK-HMAC-SHA256 ").split(", ")
        return {name: value for name, _, value in (part.partition("=") for part in parts)}

    def send(self, service: Running) -> Answer:
        """Send it."""
        return service.ask(self.target, self.body or None, self.headers, self.method)


def sign(
    service: Running,
    target: str = IRIS,
    body: bytes = b"",
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
    key: str = "ak",
    ahead: float = 0,
    date: str = "",
    only: str = "",
) -> Signed:
    """Sign a request with the AK (or `key="appkey"`), with all its headers or `only` some."""
    access, secret = service.account[key], {"ak": "sk", "appkey": "appsecret"}[key]
    date = date or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + ahead))
    sent = {"Host": service.host, "X-Sdk-Date": date, **headers}
    kind = headers.get("Content-Type", "application/json")
    if not kind.startswith(("application/json", "application/bson")):
        sent.setdefault("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")
    signed = only or ";".join(sorted(name.lower() for name in sent))
    value = signature(
        canonical_request(method, target, sent, signed, body), date, service.account[secret]
    )
    sent["Authorization"] = authorization(access, signed, value)
    return Signed(method, target, sent, body)


def authorization(access: str, signed: str, value: str) -> str:
    """Write the header's value."""
    return f"SDK-HMAC-SHA256 Access={access}, SignedHeaders={signed}, Signature={value}"


# Things to send.


def flowers(*rows: Any, **more: Any) -> bytes:
    """Return the body of a text request."""
    return json.dumps({**more, "data": {"req_data": list(rows)}}).encode()


class Part(NamedTuple):
    """One part of a form; without a filename it is text."""

    content: bytes
    name: str = "images"
    filename: str | None = "test.png"
    kind: str | None = "image/png"


def form(*parts: Part, boundary: str = "b0undary") -> bytes:
    """Return the body of a file request."""
    lines = []
    for part in parts:
        filename = "" if part.filename is None else f'; filename="{part.filename}"'
        kind = "" if part.kind is None else f"Content-Type: {part.kind}\r\n"
        head = f'Content-Disposition: form-data; name="{part.name}"{filename}\r\n{kind}\r\n'
        lines.append(f"--{boundary}\r\n{head}".encode() + part.content + b"\r\n")
    return b"".join(lines) + f"--{boundary}--\r\n".encode()


def form_headers(boundary: str = "b0undary") -> dict[str, str]:
    """Return the headers of a file request."""
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def png(image: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@functools.cache
def blank(side: int = 64) -> bytes:
    """Return a PNG file that shows nothing."""
    return png(Image.new("RGB", (side, side), "white"))


@functools.cache
def boxes(name: str) -> list[tuple[str, list[float]]]:
    """Return the digits of a picture in data/images with their boxes in pixels."""
    with Image.open(DATA / "images" / name) as image:
        width, height = image.size
    with open(DATA / "images" / "boxes.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == name]
    sides = {"ymin": height, "xmin": width, "ymax": height, "xmax": width}
    return [(row["digit"], [size * float(row[key]) for key, size in sides.items()]) for row in rows]


@functools.cache
def digit(text: str) -> bytes:
    """Return a PNG file with one digit, cut out of a picture in data/images."""
    for path in sorted((DATA / "images").glob("*.png")):
        for name, (top, left, bottom, right) in boxes(path.name):
            if name == text:
                with Image.open(path) as image:
                    return png(image.crop((round(left), round(top), round(right), round(bottom))))
    raise AssertionError(f"no picture shows a {text}")
