"""Trouble in private services, and what retries make of it."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import practice
from helpers import ccai, errors, modelarts, tfserving
from helpers.endpoints import Endpoint
from practice import launch, manager, processes, services, state
from practice.host import trouble
from practice.launch import MODELS

FLOWER = {"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}
DIGIT = Path(__file__).parents[2] / "data" / "images" / "digit.png"
CALLS: dict[str, Callable[[Endpoint], Any]] = {
    "tfserving": lambda e: tfserving.predict(
        e.replace(model="iris"), {"features": np.ones((1, 4), np.float32)}, check=False
    ),
    "modelarts": lambda e: modelarts.infer_json(e, {"data": {"req_data": [FLOWER]}}),
    "ccai": lambda e: ccai.classify(e, DIGIT),
    "ccai over gRPC": lambda e: ccai.classify(e, DIGIT, protocol="grpc"),
}


@pytest.fixture(scope="module", params=list(CALLS))
def service(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Callable]]:
    with practice.private(request.param.partition(" ")[0]) as endpoint:
        call = CALLS[request.param]
        call(endpoint)  # tokens and engines are there
        yield endpoint, call


def test_without_trouble_all_is_well(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(fail="UNAVAILABLE")
    endpoint.trouble()
    assert call(endpoint)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        ("UNAVAILABLE", (errors.ConnectionFailed, errors.ServiceFailed)),
        ("RESOURCE_EXHAUSTED", (errors.Throttled,)),
        ("UNAUTHENTICATED", (errors.NotAuthenticated,)),
        ("INTERNAL", (errors.ServiceFailed, errors.BadInput)),
    ],
)
def test_it_fails_with_the_code_asked_for(
    service: tuple[Any, Callable], code: str, kinds: tuple[type, ...]
) -> None:
    endpoint, call = service
    endpoint.trouble(fail=code)
    with pytest.raises(errors.CallError) as caught:
        call(endpoint)
    assert isinstance(caught.value, kinds)
    assert caught.value.code in (code, trouble.STATUSES[code])


def test_a_cut_connection_is_one_that_broke(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(cut=True)
    with pytest.raises(errors.ConnectionFailed, match="broke before the answer was complete"):
        call(endpoint)
    endpoint.trouble()
    assert call(endpoint)


def test_a_delay_comes_before_the_answer(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(delay=0.3)
    began = time.monotonic()
    assert call(endpoint)
    assert time.monotonic() - began >= 0.3
    endpoint.trouble()


def test_so_many_calls_and_no_more(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(fail="UNAVAILABLE", calls=2)
    for _ in range(2):
        with pytest.raises(errors.CallError):
            call(endpoint)
    assert call(endpoint)


def test_a_share_of_calls(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(fail="UNAVAILABLE", rate=0.5)
    failed = 0
    for _ in range(40):
        try:
            call(endpoint)
        except errors.CallError:
            failed += 1
    assert 10 <= failed <= 30
    endpoint.trouble()


@pytest.mark.parametrize("faults", [{"fail": "UNAVAILABLE"}, {"cut": True}])
def test_with_retries_a_few_faults_are_not_noticed(
    service: tuple[Any, Callable], faults: dict[str, Any]
) -> None:
    endpoint, call = service
    endpoint.trouble(calls=2, **faults)
    assert call(endpoint.replace(retries=4))


def test_retries_end(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(fail="UNAVAILABLE")
    with pytest.raises((errors.ConnectionFailed, errors.ServiceFailed)):
        call(endpoint.replace(retries=1))
    endpoint.trouble()


def test_what_may_not_help_is_not_tried_again(service: tuple[Any, Callable]) -> None:
    endpoint, call = service
    endpoint.trouble(fail="UNAUTHENTICATED", calls=1)
    try:
        call(endpoint.replace(retries=4))
    except errors.NotAuthenticated:
        return
    assert endpoint.kind == "modelarts"  # it got a new token and tried once more by itself


def test_a_hung_service_meets_the_deadline() -> None:
    with practice.private("tfserving") as endpoint:
        endpoint.trouble(delay=1000)
        with pytest.raises(errors.DeadlineExceeded):
            tfserving.status(endpoint.replace(model="iris"), timeout=0.3)
        began = time.monotonic()
    assert time.monotonic() - began < 100  # and it ends all the same


@pytest.mark.parametrize(
    "faults",
    [
        {"fail": "SLOWLY"},
        {"delay": -1},
        {"delay": float("nan")},
        {"rate": 2},
        {"calls": -1},
        {"explode": True},
    ],
)
def test_a_fault_that_there_is_not_is_refused(
    service: tuple[Any, Callable], faults: dict[str, Any]
) -> None:
    with pytest.raises(practice.PracticeError):
        service[0].trouble(**faults)


def test_a_shared_service_takes_no_trouble() -> None:
    manager.up("tfserving")
    assert not hasattr(manager, "trouble")
    process = processes.find(state.read_services()["tfserving"])
    assert process
    assert launch.TROUBLE not in " ".join(process.cmdline())


@pytest.mark.parametrize("name", [own.name for own in services.SERVICES.values() if own.troubled])
def test_a_service_without_an_owner_refuses_the_flag(name: str, tmp_path: Path) -> None:
    iris = [f"--model_base_path={MODELS / 'iris'}", "--prefer_tflite_model=true"]
    service = services.SERVICES[name]
    models = iris if service.module == "practice.tfserving" else []
    done = subprocess.run(
        [sys.executable, "-m", service.module, f"--trouble_file={tmp_path / 'x'}", *models],
        capture_output=True,
        text=True,
        timeout=60,
        env={"OTW_STATE_DIR": str(tmp_path)},
    )
    assert done.returncode != 0
    assert "it needs --exit_with_pid" in done.stdout + done.stderr


@pytest.mark.parametrize("retries", [-1, 5])
def test_retries_have_bounds(retries: int) -> None:
    with pytest.raises(errors.BadInput, match="from 0 to 4"):
        Endpoint("tfserving", retries=retries)


def test_every_code_of_the_table_is_one_of_grpc() -> None:
    assert all(hasattr(grpc.StatusCode, name) for name in trouble.STATUSES)
