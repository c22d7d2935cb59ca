"""Another user of the machine gets no model run as you, and none of his calls answered."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import requests

import practice
from helpers import ccai, tfserving
from helpers.serving_api import model_management_pb2, model_service_pb2_grpc
from practice import launch
from practice.host.peers import Peers
from practice.instance import PrivateEndpoint
from practice.ports import HEALTH_PATH
from practice.tfserving.failures import Failure
from practice.tfserving.folders import Folders
from tests.tfserving import config_of, eventually, running

OTHER = 12345
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only Linux tells, only root can play two"
)
# All that it needs is imported before it becomes the other: this folder may be closed to him.
PROGRAM = """
import os, sys, grpc, requests
from helpers.serving_api import (
    get_model_status_pb2, model_management_pb2, model_service_pb2_grpc,
    predict_pb2, prediction_service_pb2_grpc,
)
from protos import inference_service_pb2, inference_service_pb2_grpc
from tests.tfserving import config_of
os.setgid({uid}); os.setuid({uid})
"""


def by_another_user(code: str, *words: str, uid: int = OTHER) -> str:
    """Run a program as another user; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(uid=uid) + code, *words],
        cwd=launch.ROOT,
        env=os.environ | {"no_proxy": "*"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def reload(address: str, base_path: Path) -> str:
    """Ask for one model in place of all; returns the status's code."""
    request = model_management_pb2.ReloadConfigRequest(
        config=config_of({"name": "iris", "base_path": base_path})
    )
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        try:
            stub.HandleReloadConfigRequest(request, timeout=60)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateEndpoint]:
    """Return a CCAI of this module's own."""
    with practice.private("ccai") as service:
        yield service


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a folder with a version of a model, which no service was started with."""
    return Path(shutil.copytree(launch.MODELS / "iris", tmp_path / "elsewhere"))


GRPC = """
channel = grpc.insecure_channel(sys.argv[1])
models = model_service_pb2_grpc.ModelServiceStub(channel)
prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
ccai = inference_service_pb2_grpc.InferenceStub(channel)
config = config_of({"name": "iris", "base_path": sys.argv[2]})
calls = {
    "tfserving": [
        (models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(config=config)),
        (models.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()),
        (prediction.Predict, predict_pb2.PredictRequest()),
    ],
    "ccai": [(ccai.HealthCheck, inference_service_pb2.Empty())],
}
for call, request in calls[sys.argv[3]]:
    try:
        call(request, timeout=20)
    except grpc.RpcError as error:
        print(error.code().name)
"""
REST = """
for url in sys.argv[1:]:
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1:1", "X-Forwarded-Proto": "https"}):
        print(requests.post(url, data={"local": 0}, headers=headers, timeout=20).status_code)
"""


@as_root
def test_a_caller_of_another_user_is_refused(private: PrivateEndpoint) -> None:
    assert (
        by_another_user(GRPC, private.grpc, "/", "tfserving").split() == ["PERMISSION_DENIED"] * 3
    )
    assert by_another_user(REST, f"{private.rest}/v1/models/iris").split() == ["403"] * 2
    assert tfserving.status(private.replace(model="iris"))[1].state == "AVAILABLE"


@as_root
def test_the_other_services_refuse_him_too(service: PrivateEndpoint) -> None:
    with practice.private("proxy") as proxy:
        assert by_another_user(GRPC, service.grpc, "/", "ccai").split() == ["PERMISSION_DENIED"]
        urls = [f"{service.rest}/cgi-bin/fcgi_py_policy", f"{proxy.http}{HEALTH_PATH}"]
        assert by_another_user(REST, *urls).split() == ["403"] * 4
        assert ccai.classify(service, (launch.ROOT / "data/images/digit.png").read_bytes())


@as_root
def test_a_call_whose_sender_has_gone_counts_as_nobodys() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as accepted,
    ):
        ends = (accepted.getpeername(), accepted.getsockname())
        assert Peers([]).admits(*ends)
        client.close()
        assert not Peers([]).admits(*ends)


@as_root
def test_whose_socket_it_is_counts_for_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("practice.host.peers._SOON", 0.0)
    only_root = Peers([])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for uid, admitted in ((0, True), (OTHER, False)):
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                os.fchown(client.fileno(), uid, uid)  # as if he had opened it
                client.connect(listener.getsockname())
                with listener.accept()[0] as accepted:
                    ends = (accepted.getpeername(), accepted.getsockname())
                    assert only_root.admits(*ends) is admitted


def test_a_reload_takes_only_folders_of_the_start(elsewhere: Path) -> None:
    with practice.private("tfserving") as private:
        models = private._own.models
        assert reload(private.grpc, elsewhere) == "PERMISSION_DENIED"
        assert reload(private.grpc, models / "iris" / ".." / ".." / "..") == "PERMISSION_DENIED"
        link = models / "iris" / "2"
        link.symlink_to(elsewhere / "1", target_is_directory=True)
        iris = private.replace(model="iris")
        eventually(lambda: 2 in tfserving.status(iris) and tfserving.status(iris)[2].state == "END")
        assert tfserving.status(iris)[2].code == "PERMISSION_DENIED"
        assert tfserving.status(iris)[1].state == "AVAILABLE"
        link.unlink()
        assert reload(private.grpc, models / "digits") == "OK"


def test_one_started_by_hand_takes_any_folder_as_the_product_does(
    elsewhere: Path, tmp_path: Path
) -> None:
    flags = [f"--model_base_path={launch.MODELS / 'iris'}", "--model_name=iris"]
    with running(tmp_path, *flags, "--prefer_tflite_model") as service:
        assert reload(service.grpc, elsewhere) == "OK"


@as_root
@pytest.mark.parametrize("name", ["1", "1/model.tflite"])
def test_a_model_with_a_file_of_another_user_is_not_loaded(elsewhere: Path, name: str) -> None:
    folders = Folders(config_of({"name": "iris", "base_path": elsewhere}))
    folders.check(str(elsewhere / "1"))
    os.chown(elsewhere / name, OTHER, OTHER)
    with pytest.raises(Failure, match=f"{name} belongs to another user, {OTHER}"):
        folders.check(str(elsewhere / "1"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:8080"},
        {"Host": "127.evil.example"},
        {"Host": "["},
    ],
)
def test_a_page_from_elsewhere_changes_nothing(
    service: PrivateEndpoint, headers: dict[str, str]
) -> None:
    url = f"{service.rest}/cgi-bin/fcgi_py_policy"
    assert requests.post(url, {"local": 0}, headers=headers, timeout=20).status_code == 403
    own = {"Origin": "http://localhost:8888"}
    assert requests.post(url, {"local": 1}, headers=own, timeout=20).status_code == 200
