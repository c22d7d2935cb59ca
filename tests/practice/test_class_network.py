"""A class on a network: a certificate of one's own or no answer, and the chapters unchanged."""

import contextlib
import datetime
import functools
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
import trustme

from helpers import ccai, endpoints, modelarts, tfserving
from helpers.errors import CallError
from helpers.serving_api import model_management_pb2, model_service_pb2_grpc
from practice import classroom, credentials, launch, manager, state
from practice.host import door, streams
from tests.benchmarks.classroom import CHAPTERS, STUDENT
from tests.tfserving import eventually

BIND = "127.0.0.2"  # another address, the same machine


def _can_bind() -> bool:
    try:
        socket.create_server((BIND, 0)).close()
    except OSError:  # macOS has only one
        return False
    return True


pytestmark = pytest.mark.skipif(not _can_bind(), reason="loopback has one address here")

FLOWER = {"features": [[5.9, 3.0, 5.1, 1.8]]}
ROW = dict.fromkeys(("sepal_length", "sepal_width", "petal_length", "petal_width"), 1.5)
FACE = launch.DATA / "photos" / "astronaut.png"
# A student's program: helpers before and after `ready`, and then calls that name no certificate.
PROGRAM = """
import json, grpc, requests, practice
from helpers import endpoints
from tests.practice.test_class_network import answers
print(json.dumps(answers()))
practice.ready("tfserving", "ccai", "modelarts")
practice.ready("tfserving")
print(json.dumps(answers()))
endpoint, voice = endpoints.load("tfserving"), endpoints.load("ccai", "practice-secure")
print(requests.get(f"{endpoint.rest}/v1/models/iris", timeout=20).status_code)
grpc.channel_ready_future(grpc.insecure_channel(endpoint.grpc)).result(20)
trusted = grpc.ssl_channel_credentials(open(voice.ca_file, "rb").read())
grpc.channel_ready_future(grpc.secure_channel(voice.grpc, trusted)).result(20)
"""


def answers() -> list[str]:
    """Call everything as the environment says."""
    iris = endpoints.load("tfserving").replace(model="iris")
    plain, secure = (endpoints.load("ccai", name) for name in ("practice", "practice-secure"))
    calls: list[Callable[[], Any]] = [
        lambda: tfserving.predict(iris, FLOWER, protocol="grpc"),
        lambda: tfserving.predict(iris, FLOWER, protocol="rest"),
    ]
    for voice in (plain, secure):
        calls += [
            functools.partial(ccai.text_to_speech, voice, "Hello"),
            functools.partial(ccai.detect_faces, voice, FACE, protocol="grpc"),
        ]
    for profile in ("practice", "practice-signature", "practice-appcode"):
        own = endpoints.load("modelarts", profile)
        calls.append(functools.partial(modelarts.infer_json, own, {"data": {"req_data": [ROW]}}))
    return [_outcome(call) for call in calls]


def _outcome(call: Any) -> str:
    try:
        call()
    except CallError as error:
        return type(error).__name__
    return "answered"


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """Start a class of two on a network; returns the folder with their files."""
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory() as name:
        environment.setenv("OTW_STATE_DIR", name)
        try:
            yield classroom.up(classroom.students("ada,ben"), bind=BIND)
        finally:
            classroom.down()


@pytest.fixture
def ada(files: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Let the environment be ada's."""
    variables = classroom.environment(files / "ada.json")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def ports() -> list[int]:
    """Return all ports of the class."""
    rows = classroom.status()["services"].values()
    keys = ("grpc", "rest", "secure_rest", "secure_grpc", "iam")
    return [int(row[key].rpartition(":")[2]) for row in rows for key in keys if row.get(key)]


def first_byte(
    port: int, authority: Path, certificate: Path | None = None, key: Path | None = None
) -> bytes:
    """Return the first byte of a tunnel; empty for who is refused."""
    context = ssl.create_default_context(cafile=authority)
    if certificate:
        context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([streams.TUNNEL])
    try:
        with (
            socket.create_connection((BIND, port), timeout=20) as connection,
            context.wrap_socket(connection, server_hostname=BIND) as encrypted,
        ):
            return encrypted.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


@pytest.mark.slow
def test_a_student_calls_everything_with_and_without_the_certificate_named(files: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=launch.ROOT,
        env=os.environ | classroom.environment(files / "ada.json"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    before, line, again, after, status = done.stdout.splitlines()
    assert json.loads(before) == json.loads(after) == ["answered"] * 9
    assert again.removesuffix(" Loopback is in no_proxy.") in line
    assert f"tfserving is the class's at {BIND}:" in again
    assert "where you are ada: none is started here." in again
    assert status == "200"
    predict = "tensorflow.serving.PredictionService/Predict"

    def counted() -> set[tuple[str, str]]:
        rows = classroom.status()["students"]
        return {(one["name"], row["method"]) for one in rows for row in one["calls"]}

    eventually(lambda: ("ada", predict) in counted())
    assert {name for name, _ in counted()} == {"ada"}


@pytest.mark.nightly
def test_no_cell_of_the_chapters_differs(files: Path, tmp_path: Path) -> None:
    own = {"PYTHONPATH": str(launch.ROOT), "OTW_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", STUDENT, *CHAPTERS],
        cwd=tmp_path,
        env=os.environ | classroom.environment(files / "ada.json") | own,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTW_STATE_DIR", own["OTW_STATE_DIR"])
        manager.down()  # the proxy, which is a student's own
    assert json.loads(done.stdout)["failed"] == []


def test_without_a_certificate_of_this_class_no_port_answers(files: Path, tmp_path: Path) -> None:
    authority = files.parent / "ca.pem"
    # As yesterday's: of the same name, for the same student.
    credentials.make_authority(tmp_path, BIND)
    old = tmp_path / "ada.pem"
    old.write_text(credentials.certify(tmp_path, "ada"))
    for port in ports():
        assert first_byte(port, authority, files / "ada.cert.pem") == streams.ADMITTED
        assert first_byte(port, authority) == b""
        assert first_byte(port, authority, old) == b""
        # The server's own is signed by the class, and is no student's.
        assert first_byte(port, authority, *credentials.certificate(files.parent)) == b""
        with socket.create_connection((BIND, port), timeout=20) as plain:
            plain.sendall(b"GET /practice/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert b"HTTP" not in plain.recv(100)


def test_another_students_certificate_with_this_ones_password_is_refused(
    files: Path, ada: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_CLASS_CERT", str(files / "ben.cert.pem"))
    outcomes = answers()
    assert outcomes[:4] == ["answered"] * 4  # which ask for no password: ben's own calls
    assert set(outcomes[4:]) == {"NotPermitted", "NotAuthenticated"}


def test_no_student_reloads_whatever_the_metadata_says(files: Path, ada: dict[str, str]) -> None:
    pem = Path(ada["OTW_CLASS_CERT"]).read_bytes()
    trusted = grpc.ssl_channel_credentials(Path(ada["OTW_CLASS_CA"]).read_bytes(), pem, pem)
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    with grpc.secure_channel(ada["OTW_TFSERVING_GRPC"], trusted) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.HandleReloadConfigRequest(request, timeout=20, metadata=[("uid", "0")])
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_page_from_elsewhere_is_refused_there_too(files: Path, ada: dict[str, str]) -> None:
    url = f"{ada['OTW_TFSERVING_REST']}/v1/models/iris"
    call: dict[str, Any] = {"cert": ada["OTW_CLASS_CERT"], "verify": ada["OTW_CLASS_CA"]}
    statuses = [
        requests.get(url, headers=headers, timeout=20, **call).status_code
        for headers in ({}, {"Host": "evil.example"}, {"Origin": "https://evil.example"})
    ]
    assert statuses == [200, 403, 403]


def test_who_never_ends_a_handshake_keeps_nobody_out(files: Path) -> None:
    (port, *_) = ports()
    silent = [socket.create_connection((BIND, port), timeout=20) for _ in range(3 * 64)]
    try:
        certificate = files / "ada.cert.pem"
        assert first_byte(port, files.parent / "ca.pem", certificate) == streams.ADMITTED
        for connection in silent[:64]:  # those cut off in favour of later ones
            connection.settimeout(20)
            assert connection.recv(1) == b""
    finally:
        for connection in silent:
            connection.close()


def test_whoever_has_most_connections_loses_one_of_them(files: Path) -> None:
    class Task:
        ended = False

        def cancel(self) -> None:
            self.ended = True

    places = door._Places(3)
    tasks = [Task() for _ in range(4)]
    for task, student in zip(tasks, ("ben", "ada", "ada", "ada"), strict=True):
        places.take(task, student)
    assert [task.ended for task in tasks] == [False, True, False, False]


def test_all_that_a_student_needs_is_in_one_file(files: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(files / "ada.zip") as archive:
        archive.extractall(tmp_path)
    own = tmp_path / "ada"
    assert sorted(path.name for path in own.iterdir()) == ["ada.cert.pem", "ada.json", "ca.pem"]
    variables = classroom.environment(own / "ada.json")
    assert variables["OTW_CLASS_CERT"] == str(own / "ada.cert.pem")
    assert variables["OTW_CLASS_CA"] == variables["OTW_CA"] == str(own / "ca.pem")
    secret = [
        own / "ada.json",
        own / "ada.cert.pem",
        *files.glob("*"),
        files.parent / "ca.key",
        files.parent / "class.json",
    ]
    if sys.platform != "win32":
        assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert b"PRIVATE KEY" not in (own / "ca.pem").read_bytes()
    (own / "ada.cert.pem").rename(own / "mine.pem")
    listed = json.loads((own / "ada.json").read_text())
    listed["OTW_CLASS_CERT"] = "C:\\class\\students\\ada.cert.pem"
    (own / "ada.json").write_text(json.dumps(listed))
    with pytest.raises(state.PracticeError, match="ada.cert.pem is missing: put it beside"):
        classroom.environment(own / "ada.json")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ("authority", "it is another class, or yours are the files of an earlier one"),
        ("old certificate", "It does not take your certificate: that has expired"),
        ("no student", "or you are not in its list any more. Ask who runs the class for new files"),
        ("host", "Its certificate is for another address"),
        ("port", "Nothing listens there: the class is over"),
        ("name", "No machine of that name was found"),
        ("file", "come with your variables of the class"),
    ],
)
def test_what_keeps_a_student_out_is_said(
    files: Path,
    ada: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
    reason: str,
) -> None:
    own = tmp_path / "own.pem"
    if changed == "authority":
        own.write_bytes(trustme.CA().cert_pem.bytes())
        monkeypatch.setenv("OTW_CLASS_CA", str(own))
    elif changed == "old certificate":
        authority = trustme.CA.from_pem(
            (files.parent / "ca.pem").read_bytes(), (files.parent / "ca.key").read_bytes()
        )
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(1)
        issued = authority.issue_cert("student@otw.invalid", common_name="ada", not_after=past)
        own.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
        monkeypatch.setenv("OTW_CLASS_CERT", str(own))
    elif changed == "no student":
        own.write_text(credentials.certify(files.parent, "cleo"))
        monkeypatch.setenv("OTW_CLASS_CERT", str(own))
    elif changed == "file":
        monkeypatch.setenv("OTW_CLASS_CERT", str(own))
    with socket.create_server(("127.0.0.3", 0)) as listening:
        port = listening.getsockname()[1]
        if changed in ("host", "port", "name"):
            host = {"host": "127.0.0.3", "port": BIND, "name": "class.invalid"}[changed]
            monkeypatch.setenv("OTW_CLASS_HOST", host)
            monkeypatch.setenv("OTW_TFSERVING_GRPC", f"{host}:{port}")
            monkeypatch.setenv("OTW_TFSERVING_REST", f"https://{host}:{port}")
        answering = threading.Thread(target=_answer, args=(listening, files.parent), daemon=True)
        answering.start()
        with pytest.raises(state.PracticeError) as caught:
            manager.ready("tfserving")
        assert reason in str(caught.value)


def _answer(listening: socket.socket, folder: Path) -> None:
    """Begin TLS with whoever connects, as the class's door at another address would."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credentials.certificate(folder))
    with contextlib.suppress(OSError):
        context.wrap_socket(listening.accept()[0], server_side=True)


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("0.0.0.0", "one address of this machine, not all"),
        ("192.0.2.77", "is no IPv4 address of this machine"),
        ("class.invalid", "and no name that leads to one"),
        ("localhost", "without --bind, too"),
    ],
)
def test_a_class_is_open_at_one_address_of_this_machine(
    bind: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    with pytest.raises(state.PracticeError, match=r".") as caught:
        classroom.up(classroom.students("ada"), bind=bind)
    assert reason in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_a_class_keeps_its_authority_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(classroom, "names", lambda: ["tfserving"])
    own = tmp_path / "class"
    try:
        files = classroom.up(classroom.students("ada"), bind=BIND)
        authority = (own / "ca.pem").read_bytes()
        certificate = (files / "ada.cert.pem").read_bytes()
        classroom.up(classroom.students("ada,ben"))
        assert (files / "ada.cert.pem").read_bytes() == certificate
        assert (own / "ca.pem").read_bytes() == authority
        ben = tmp_path / "ben.pem"
        ben.write_bytes((files / "ben.cert.pem").read_bytes())
        (port, *_) = ports()
        assert first_byte(port, own / "ca.pem", ben) == streams.ADMITTED
        with pytest.raises(state.PracticeError, match="End it first"):
            classroom.up([], bind="127.0.0.3")
        classroom.up(classroom.students("ada"))
        assert first_byte(port, own / "ca.pem", ben) == b""
        classroom.down()
        assert not any(files.iterdir())
        assert not (own / "ca.key").exists()
        classroom.up([], bind=BIND)
        assert (own / "ca.pem").read_bytes() != authority
        (port, *_) = ports()
        assert first_byte(port, own / "ca.pem", ben) == b""
        classroom.down()
        classroom.up([])  # off, unless it is asked for
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((BIND, port), timeout=20)
    finally:
        classroom.down()
