"""A class: one set of services, known students, nothing that one of them does to the others."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from practice import classroom, launch, manager, state
from practice.host.students import OTHERS, Students
from tests.tfserving import eventually

ADA, BEN, STRANGER = 12345, 12346, 12347
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only Linux tells, only root can play two"
)
# All that it needs is imported before it becomes the other: this folder may be closed to him.
PROGRAM = """
import os, grpc, json, requests, sys, cryptography.fernet
from helpers import ccai, endpoints, errors, modelarts, tfserving, sessions
from helpers.endpoints import headers
from helpers.serving_api import model_management_pb2, model_service_pb2_grpc
from helpers.tfserving import rest, grpc as over_grpc
from requests.auth import HTTPBasicAuth
os.setgid({uid}); os.setuid({uid})
FLOWER = {{"data": {{"req_data": [dict.fromkeys(
    ("sepal_length", "sepal_width", "petal_length", "petal_width"), 1.5)]}}}}

def outcome(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except errors.CallError as error:
        return type(error).__name__
    return "answered"
"""
EVERYTHING = """
iris = endpoints.load("tfserving").replace(model="iris")
flower = {"features": [[5.9, 3.0, 5.1, 1.8]]}
answers = [outcome(tfserving.predict, iris, flower, protocol=p) for p in ("grpc", "rest")]
for profile in ("practice", "practice-secure"):
    answers.append(outcome(ccai.text_to_speech, endpoints.load("ccai", profile), "Hello"))
for profile in ("practice", "practice-signature", "practice-appcode"):
    answers.append(outcome(modelarts.infer_json, endpoints.load("modelarts", profile), FLOWER))
print(json.dumps(answers))
"""
CHANGES = """
channel = grpc.insecure_channel(endpoints.load("tfserving").grpc)
request = model_management_pb2.ReloadConfigRequest()
request.config.model_config_list.SetInParent()
try:
    model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=20)
except grpc.RpcError as error:
    print(error.code().name)
url = endpoints.load("ccai").rest
print(requests.post(f"{url}/cgi-bin/fcgi_py_policy", {"local": 0}, timeout=20).text)
print(requests.post(f"{url}/cgi-bin/fcgi_policy", {"local": 0}, timeout=20).text)
endpoint = endpoints.load("modelarts")
token = modelarts.get_token(endpoint).value
call = {"headers": {"X-Auth-Token": token}, "verify": endpoint.ca_file, "timeout": 20}
url = f"{endpoint.iam}/v1/{os.environ['OTW_MODELARTS_PROJECT_ID']}/services"
service = requests.get(url, **call).json()["services"][0]["service_id"]
print(requests.put(f"{url}/{service}", json={"status": "stopped"}, **call).status_code)
"""


PREDICT = "tensorflow.serving.PredictionService/Predict"
RELOAD = "tensorflow.serving.ModelService/HandleReloadConfigRequest"


def by(uid: int, code: str, variables: dict[str, str]) -> str:
    """Run a program as another user; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(uid=uid) + code],
        cwd=launch.ROOT,
        env=os.environ | {"no_proxy": "*", "REQUESTS_CA_BUNDLE": ""} | variables,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


@pytest.fixture(scope="module")
def files() -> Iterator[Path]:
    """Start a class of two; returns the folder with their files."""
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)  # pytest's own folders are closed to others
        environment.setenv("OTW_STATE_DIR", name)
        try:
            yield classroom.up(classroom.students(f"ada:{ADA},ben:{BEN}"))
        finally:
            classroom.down()


def variables(files: Path, name: str) -> dict[str, str]:
    read: dict[str, str] = json.loads((files / f"{name}.json").read_text("utf-8"))
    return read


def rows(name: str) -> dict[str, dict[str, Any]]:
    """Return what a student called, by method."""
    (own,) = (one for one in classroom.status()["students"] if one["name"] == name)
    return {row["method"]: row for row in own["calls"]}


@as_root
@pytest.mark.slow
def test_a_student_calls_everything_and_only_the_list_lets_in(files: Path) -> None:
    ada = variables(files, "ada")
    assert json.loads(by(ADA, EVERYTHING, ada)) == ["answered"] * 7
    assert set(json.loads(by(STRANGER, EVERYTHING, ada))) == {"NotPermitted"}
    # Each service writes its own record, a moment after the calls.
    eventually(lambda: {"POST /v3/auth/tokens", PREDICT} <= rows("ada").keys())
    predict = rows("ada")[PREDICT]
    assert (predict["service"], predict["calls"], predict["errors"]) == ("tfserving", 1, 0)
    assert not rows("ben")


@as_root
@pytest.mark.slow
def test_a_student_changes_nothing_for_the_others(files: Path) -> None:
    printed = by(BEN, CHANGES, variables(files, "ben")).splitlines()
    refused = "failed to set policy daemon"
    assert printed == ["PERMISSION_DENIED", refused, refused, "403"]
    assert not any(row["problem"] for row in classroom.status()["services"].values())
    eventually(lambda: RELOAD in rows("ben"))
    assert rows("ben")[RELOAD]["errors"]


@as_root
@pytest.mark.slow
def test_each_student_has_secrets_that_only_that_student_can_read(files: Path) -> None:
    ada, ben = (variables(files, name) for name in ("ada", "ben"))
    own = {name for name, value in ada.items() if value != ben[name]}
    assert own == {
        *(f"OTW_CCAI_{name}" for name in ("USER", "PASSWORD")),
        *(f"OTW_MODELARTS_{name}" for name in ("USER", "PASSWORD", "AK", "SK", "APPCODE")),
        *(f"OTW_MODELARTS_{name}" for name in ("APPKEY", "APPSECRET")),
    }
    for name, uid in (("ada", ADA), ("ben", BEN)):
        status = (files / f"{name}.json").stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (uid, 0o600)
    for path in files.parent.glob("*"):
        if path.is_file() and path.name != "ca.pem":
            assert not path.stat().st_mode & 0o077, path


@as_root
@pytest.mark.slow
def test_another_list_counts_at_once_and_who_stays_keeps_the_secrets(files: Path) -> None:
    before = variables(files, "ada")
    pids = {row["pid"] for row in classroom.status()["services"].values()}
    classroom.up(classroom.students(f"ada:{ADA},cleo:{STRANGER}"))
    try:
        assert variables(files, "ada") == before
        assert not (files / "ben.json").exists()
        assert {row["pid"] for row in classroom.status()["services"].values()} == pids
        assert json.loads(by(STRANGER, EVERYTHING, variables(files, "cleo"))) == ["answered"] * 7
        assert set(json.loads(by(BEN, EVERYTHING, before))) == {"NotPermitted"}
    finally:
        classroom.up(classroom.students(f"ada:{ADA},ben:{BEN}"))


@as_root
@pytest.mark.slow
def test_a_service_that_was_killed_comes_back_with_the_next_up(files: Path) -> None:
    old = classroom.status()["services"]["modelarts"]
    os.kill(old["pid"], 9)
    eventually(lambda: not classroom.status()["services"]["modelarts"]["healthy"])
    classroom.up([])
    new = classroom.status()["services"]["modelarts"]
    assert (new["healthy"], new["iam"]) == (True, old["iam"])


def test_a_number_names_a_file_and_users_of_this_machine_are_lists(tmp_path: Path) -> None:
    assert [one["name"] for one in classroom.students("12")][::11] == ["student-01", "student-12"]
    path = tmp_path / "students.txt"
    path.write_text("\ufeffada:1001  # first row\n\nben@example.org\n", encoding="utf-8")
    assert classroom.students(str(path)) == [
        {"name": "ada", "uid": 1001},
        {"name": "ben@example.org", "uid": None},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ada,../etc,b:c", "'../etc' is no name; 'b:c' has no user number behind the colon"),
        ("ada,Ada", "the name ada is there twice"),
        ("ada:7001,ben:7001", "the user number 7001 is there twice"),
        ("learner", "learner is the name of whoever runs the class"),
        ("ada:0", "ada is the user who runs the class, or root"),
        (",", "nobody is in it"),
        ("0", "nobody is in it"),
        ("9999", "at most 500"),
        ("missing.txt", "There is no file missing.txt"),
    ],
)
def test_a_list_that_cannot_be_used_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(state.PracticeError, match=r".") as caught:
        classroom.students(text)
    assert reason in str(caught.value)


def test_what_a_student_makes_up_fills_no_memory(tmp_path: Path) -> None:
    (tmp_path / "class.json").write_text('{"students": []}')
    students = Students(tmp_path / "class.json", tmp_path / "calls.json")
    for number in range(1000):
        students.count("ada", f"GET /{number}{'x' * 10_000}", failed=True)
    students.save()
    counted = json.loads((tmp_path / "calls.json").read_text("utf-8"))["ada"]
    assert (len(counted), counted[OTHERS]["calls"]) == (101, 900)
    assert (tmp_path / "calls.json").stat().st_size < 30_000


def test_a_class_that_cannot_start_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(classroom, "names", lambda: ["tfserving", "modelarts"])

    def refuse() -> None:
        if manager.status()["tfserving"]["healthy"]:  # the class's: its folder is the state's now
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classroom.up(classroom.students("1"), tick=refuse)
    with classroom.folder():
        assert not any(row["pid"] for row in manager.status().values())
    assert os.environ["OTW_STATE_DIR"] == str(tmp_path)
