"""Ray Serve with our models: the unchanged client, a replica killed, an update, and who may in."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
import requests
from numpy.typing import NDArray

import practice
from helpers import endpoints, tfserving
from helpers.endpoints import Endpoint
from helpers.errors import CallError
from helpers.serving_api import (
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from helpers.tensors import to_tensor_proto
from practice import manager, processes
from practice.instance import PrivateEndpoint
from practice.rayserve.cluster import Cluster
from practice.rayserve.head import ALLOWED
from tests.practice.test_other_users import OTHER, PROGRAM, as_root
from tests.tfserving import eventually
from workbench.explorer import Explorer

pytestmark = [pytest.mark.ray, pytest.mark.slow]
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")


@pytest.fixture(scope="module")
def service() -> Iterator[PrivateEndpoint]:
    with practice.private("rayserve") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def cluster(service: PrivateEndpoint) -> Cluster:
    return Cluster(service)


@pytest.fixture(scope="module")
def tfserving_endpoint() -> Endpoint:
    manager.up("tfserving")
    return endpoints.load("tfserving")


@pytest.fixture(scope="module")
def digits() -> NDArray:
    return np.random.default_rng(10).random((40, 8, 8, 1), np.float32)


def head(service: PrivateEndpoint) -> psutil.Process:
    """Return the process that has Ray below it."""
    assert service._own.process is not None
    (inner,) = psutil.Process(service._own.process.pid).children()
    return inner


def test_its_answers_are_those_of_the_practice_service(
    service: PrivateEndpoint, tfserving_endpoint: Endpoint, digits: NDArray
) -> None:
    inputs = {
        "digits": {"images": digits},
        "digits_detector": {"images": np.zeros((1, 96, 96, 1), np.float32)},
        "iris": {"features": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)},
    }
    for model, values in inputs.items():
        version = {"version": 1} if model == "digits" else {}
        signature = "detected_model" if model == "digits_detector" else ""
        changes = {"model": model, "signature_name": signature}
        here = tfserving.predict(service.replace(**changes), values)
        there = tfserving.predict(tfserving_endpoint.replace(**changes, **version), values)
        for name, array in there.items():
            np.testing.assert_array_equal(here[name], array)


def test_signatures_and_status_are_those_of_the_practice_service(
    service: PrivateEndpoint, tfserving_endpoint: Endpoint
) -> None:
    here, there = (one.replace(model="iris") for one in (service, tfserving_endpoint))
    assert str(tfserving.signatures(here)) == str(tfserving.signatures(there))
    assert tfserving.status(here) == tfserving.status(there)


@pytest.mark.parametrize("changes", [{"name": "digit"}, {"signature_name": "nix"}, {"name": ""}])
def test_its_errors_are_those_of_the_practice_service(
    service: PrivateEndpoint, tfserving_endpoint: Endpoint, changes: dict[str, str]
) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    for name, value in changes.items():
        setattr(request.model_spec, name, value)
    answers = []
    for endpoint in (service, tfserving_endpoint):
        with grpc.insecure_channel(endpoint.grpc) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.Predict(request, timeout=60)
            answers.append((raised.value.code(), raised.value.details()))
    assert answers[0] == answers[1]


def test_a_message_of_seven_megabytes_passes(service: PrivateEndpoint) -> None:
    answer = tfserving.predict(
        service.replace(model="digits"), {"images": np.zeros((28_000, 8, 8, 1), np.float32)}
    )
    assert len(answer["classes"]) == 28_000


def test_new_models_come_with_a_configuration_and_not_with_a_reload(
    service: PrivateEndpoint,
) -> None:
    with grpc.insecure_channel(service.grpc) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=60)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "Deploy a new configuration" in str(raised.value.details())


def test_otw_describes_and_predicts_against_it(service: PrivateEndpoint) -> None:
    def otw(*words: str) -> str:
        code = "import sys; from otw.cli import main; sys.exit(main())"
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        ).stdout

    assert "features" in otw("describe", service.grpc, "iris")
    row = "features=[[5.1, 3.5, 1.4, 0.2]]"
    assert "probabilities" in otw("predict", service.grpc, "iris", row)


def test_the_explorer_shows_and_calls_its_models(service: PrivateEndpoint) -> None:
    explorer = Explorer(service)
    explorer.choose("iris")
    explorer.fill(features=[[5.1, 3.5, 1.4, 0.2]])
    assert explorer.send("grpc")["probabilities"].argmax() == 0


def test_two_replicas_share_the_calls_and_say_which_answered(
    service: PrivateEndpoint, cluster: Cluster, digits: NDArray
) -> None:
    cluster.deploy(cluster.config(num_replicas=2))
    replicas = {replica.name for replica in cluster.wait()}
    request = predict_pb2.PredictRequest(inputs={"images": to_tensor_proto(digits[:1])})
    request.model_spec.name = "digits"
    with grpc.insecure_channel(service.grpc) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

        def who() -> str:
            _answer, call = predict.with_call(request, timeout=60)
            return dict(call.trailing_metadata())["replica"]

        eventually(lambda: {who() for _ in range(20)} == replicas)


def test_a_killed_replica_is_replaced_and_a_client_that_tries_again_loses_nothing(
    service: PrivateEndpoint, cluster: Cluster, digits: NDArray
) -> None:
    cluster.deploy(cluster.config(num_replicas=2))
    before = cluster.wait()
    patient = service.replace(model="digits", retries=4)
    expected = tfserving.predict(patient, {"images": digits})["classes"]
    batches = ({"images": digits} for _ in range(600))
    answers = tfserving.predict_many(patient, batches, progress=False)
    for number, answer in enumerate(answers):
        np.testing.assert_array_equal(answer["classes"], expected)
        if number == 100:
            before[0].kill()
    assert number == 599
    eventually(lambda: before[0].name not in {one.name for one in cluster.replicas()})
    assert {one.name for one in cluster.wait()} & {before[1].name}


def test_a_rolling_update_fails_no_call(
    service: PrivateEndpoint, cluster: Cluster, digits: NDArray
) -> None:
    cluster.deploy(cluster.config(num_replicas=2, versions={"digits": 1}))
    cluster.wait()
    updated = threading.Event()

    def update() -> None:
        cluster.deploy(cluster.config(versions={"digits": 2}))
        cluster.wait()
        updated.set()

    request = predict_pb2.PredictRequest(inputs={"images": to_tensor_proto(digits[:1])})
    request.model_spec.name = "digits"
    versions: list[int] = []
    with grpc.insecure_channel(service.grpc) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        updating = threading.Thread(target=update)
        updating.start()
        while not updated.is_set() and updating.is_alive():
            versions.append(predict(request, timeout=60).model_spec.version.value)
        updating.join()
        assert predict(request, timeout=60).model_spec.version.value == 2
    assert set(versions) <= {1, 2}
    assert 1 in versions


def test_batching_changes_no_answer_and_an_error_is_that_of_its_call(
    service: PrivateEndpoint, cluster: Cluster, digits: NDArray
) -> None:
    endpoint = service.replace(model="digits")
    batches = [{"images": digits[:size]} for size in range(1, 41)]
    alone = [tfserving.predict(endpoint, batch) for batch in batches]
    cluster.deploy(cluster.config(batching=True))
    cluster.wait()
    together = tfserving.predict_many(endpoint, batches, progress=False)
    for before, after in zip(alone, together, strict=True):
        np.testing.assert_array_equal(before["classes"], after["classes"])
        np.testing.assert_allclose(before["probabilities"], after["probabilities"], rtol=1e-5)
    wrong = [*batches[:5], {"pictures": digits[:1]}, *batches[5:9]]
    results = list(
        tfserving.predict_many(endpoint, wrong, check=False, collect_errors=True, progress=False)
    )
    failed = [number for number, one in enumerate(results) if isinstance(one, CallError)]
    assert failed == [5]
    cluster.deploy(cluster.config(batching=False))
    cluster.wait()


def test_a_second_node_takes_what_the_first_has_no_room_for(
    service: PrivateEndpoint, cluster: Cluster, digits: NDArray
) -> None:
    cluster.add_node()
    cluster.deploy(cluster.config(num_replicas=3))
    replicas = cluster.wait()
    assert len({replica.node for replica in replicas}) == 2
    expected = tfserving.predict(service.replace(model="digits"), {"images": digits})
    assert len(expected["classes"]) == len(digits)
    cluster.deploy(cluster.config(num_replicas=1))
    cluster.wait()


def test_a_configuration_that_is_none_is_refused_with_the_reason(cluster: Cluster) -> None:
    with pytest.raises(practice.PracticeError, match="num_replicas"):
        cluster.deploy(cluster.config(num_replicas=-1))


def test_the_rest_api_wants_the_token(service: PrivateEndpoint) -> None:
    url = f"{service._own.entry['api']}/api/serve/applications/"
    for headers in ({}, {"Authorization": "Bearer guess"}):
        assert requests.get(url, headers=headers, timeout=60).status_code == 401
        assert requests.put(url, headers=headers, json={}, timeout=60).status_code == 401


@only_linux
def test_nothing_of_ray_listens_on_this_machine_but_the_two_doors(
    service: PrivateEndpoint,
) -> None:
    family = [head(service), *head(service).children(recursive=True)]
    assert any(process.name() == "gcs_server" for process in family)
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", port) for port in service._own.ports.values()}


@as_root
def test_another_user_is_neither_answered_nor_let_in(service: PrivateEndpoint) -> None:
    code = """
with grpc.insecure_channel(sys.argv[1]) as channel:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "iris"
    try:
        model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=60)
    except grpc.RpcError as error:
        print(error.code().name)
print(requests.get(f"{sys.argv[2]}/api/serve/applications/", timeout=60).status_code)
for path in sys.argv[3:]:
    print(os.access(path, os.R_OK))
"""
    own = service._own
    (folder,) = (word[13:] for word in head(service).cmdline() if word.startswith("--ray_folder="))
    token = next(word[13:] for word in head(service).cmdline() if word.startswith("--token_file="))
    done = subprocess.run(
        [
            *(sys.executable, "-c", PROGRAM.format(uid=OTHER) + code),
            *(service.grpc, own.entry["api"], folder, token),
        ],
        env=os.environ | {"no_proxy": "*"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["UNAVAILABLE", "403", "False", "False"]


@only_linux
@pytest.mark.skipif(not shutil.which("nsenter"), reason="no nsenter")
def test_without_the_token_nothing_is_submitted_from_inside_either(
    service: PrivateEndpoint, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("an-invented-token-of-some-length-0123456789", encoding="utf-8")
    code = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"
    inside = ["nsenter", f"--target={head(service).pid}", "--user", "--net"]
    words = head(service).children()[0].cmdline()
    (port,) = (word.removeprefix("--port=") for word in words if word.startswith("--port="))
    done = subprocess.run(
        [*inside, "--preserve-credentials", sys.executable, "-c", code, f"127.0.0.1:{port}"],
        env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "token authentication" in done.stderr


@only_linux
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare")
def test_where_no_network_can_be_had_it_is_not_started_without_being_asked(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    module = [sys.executable, "-m", "practice.rayserve", f"--token_file={token}"]
    ports = [f"--{name}={processes.choose_port()}" for name in ("port", "api_port")]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *module, *ports],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Ray listens on all addresses" in done.stderr
    assert f"{ALLOWED}=1" in done.stderr


def test_a_kernel_that_is_killed_while_it_starts_one_leaves_no_process() -> None:
    code = "import practice\nwith practice.private('rayserve'): pass"
    kernel = subprocess.Popen([sys.executable, "-c", code])
    family: list[psutil.Process] = []

    def ray_is_coming_up() -> bool:
        family[:] = psutil.Process(kernel.pid).children(recursive=True)
        return len(family) >= 3

    eventually(ray_is_coming_up)
    kernel.kill()
    kernel.wait()
    eventually(lambda: not any(map(processes.alive, family)))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_killed_it_leaves_no_process_and_no_folder(service: PrivateEndpoint) -> None:
    inner = head(service)
    (folder,) = (word[13:] for word in inner.cmdline() if word.startswith("--ray_folder="))
    family = [inner, *inner.children(recursive=True)]
    assert service._own.process is not None
    os.kill(service._own.process.pid, signal.SIGKILL)
    eventually(lambda: not any(map(processes.alive, family)))
    eventually(lambda: not Path(folder).exists())
