"""What a reader's client sends while it is checked: handed on unchanged, shown without secrets."""

import os
import subprocess
import sys
import textwrap

import grpc
import numpy as np
import pytest
import requests

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.serving_api import get_model_metadata_pb2, prediction_service_pb2_grpc
from practice import check
from practice.exercises import recorder
from tests.practice.exercises import chapter04


def of_detector(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(model="digits_detector", signature_name="detected_model")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_answer_through_it_is_the_answer_of_the_service(
    endpoint: Endpoint, images: np.ndarray, protocol: str
) -> None:
    endpoint = of_detector(endpoint)
    direct = tfserving.predict(endpoint, {"images": images}, protocol=protocol)
    with recorder.recorded(endpoint, protocol) as (address, calls):
        there = endpoint.replace(**{protocol: address})
        outputs = tfserving.predict(there, {"images": images}, protocol=protocol)
    assert outputs.keys() == direct.keys()
    assert all(np.array_equal(outputs[name], direct[name]) for name in direct)
    assert [call.path for call in calls][-1] in (
        recorder.PREDICT,
        "/v1/models/digits_detector:predict",
    )


def test_a_refusal_comes_through_it_with_its_code_and_text(endpoint: Endpoint) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "digit"
    errors = []
    with recorder.recorded(endpoint, "grpc") as (address, _calls):
        for place in (endpoint.grpc, address):
            with grpc.insecure_channel(place) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                with pytest.raises(grpc.RpcError) as error:
                    stub.GetModelMetadata(request, timeout=10)
                errors.append((error.value.code(), error.value.details()))
    assert errors[0] == errors[1]
    with recorder.recorded(endpoint, "rest") as (address, _calls):
        answers = [
            requests.post(f"{place}/v1/models/digit:predict", json={"instances": []}, timeout=10)
            for place in (endpoint.rest, address)
        ]
    assert answers[0].status_code == answers[1].status_code == 404
    assert answers[0].content == answers[1].content
    assert answers[0].headers["content-type"] == answers[1].headers["content-type"]


def test_a_call_is_shown_by_its_fields_and_without_secrets(endpoint: Endpoint) -> None:
    with recorder.recorded(endpoint, "rest") as (address, calls):
        requests.post(
            f"{address}/v1/models/digits_detector:predict",
            json={"signature_name": "detected_model", "instances": ["hidden-value"]},
            headers={"authorization": "Bearer hidden-token", "x-auth-token": "hidden-token"},
            timeout=10,
        )
        requests.post(f"{address}/form", {"password": "hidden-word"}, timeout=10)
    first, second = map(str, calls)
    assert first.startswith("POST /v1/models/digits_detector:predict (")
    assert first.endswith("bytes: signature_name detected_model, instances")
    assert second.endswith("bytes: password")
    assert "hidden" not in f"{calls} {first} {second}"


def test_a_grader_sees_the_calls_of_a_client_that_is_solved_and_of_one_that_is_not(
    endpoint: Endpoint,
) -> None:
    verdict = check("04-5", chapter04.detect_with_the_helper)
    predicts = [call for call in verdict.calls if call.path == recorder.PREDICT]
    assert verdict.solved
    assert len(predicts) == 3  # pictures
    assert str(predicts[0]).endswith(
        "model_spec.name digits_detector, model_spec.signature_name detected_model, "
        "inputs.images [1, 96, 96, 1]"
    )
    assert check("04-5", chapter04.elsewhere).calls == ()
    (call,) = check("04-5", chapter04.from_a_table_after_a_call).calls
    assert call.path.endswith("/GetModelStatus")


def test_no_more_than_the_last_fifty_calls_are_kept(endpoint: Endpoint) -> None:
    with recorder.recorded(endpoint, "rest") as (address, calls), requests.Session() as session:
        for number in range(60):
            session.get(f"{address}/{number}", timeout=10)
    assert [call.path for call in calls] == [f"/{number}" for number in range(10, 60)]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can be another user"
)
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_another_user_of_this_machine_is_refused(endpoint: Endpoint, protocol: str) -> None:
    code = """
        import os, sys
        import grpc, requests
        os.setuid(12345)
        address = sys.argv[1]
        if address.startswith("http"):
            print(requests.get(f"{address}/v1/models/digits", timeout=10).status_code)
        else:
            method = grpc.insecure_channel(address).unary_unary("/any.Service/Method")
            try:
                method(b"", timeout=10)
            except grpc.RpcError as error:
                print(error.code().name)
    """
    with recorder.recorded(endpoint, protocol) as (address, calls):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), address],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stdout.strip() == {"grpc": "PERMISSION_DENIED", "rest": "403"}[protocol]
    assert not calls
