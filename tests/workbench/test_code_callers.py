"""Code that a gateway lets in: it reads secrets from the environment, and runs as it is shown."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers import channels, endpoints, modelarts
from helpers.endpoints import Endpoint
from helpers.tfserving.signatures import Signature, TensorSpec
from practice import manager
from tests.fronts import TOKEN, Front, grpc_front, rest_front
from workbench.code.modelarts import ModelArtsWriter
from workbench.code.previews import CURL, GRPC, REQUESTS, TITLES, Preview
from workbench.code.tfserving import TfServingWriter

ROOT = Path(__file__).parents[2]
SIGNATURE = Signature({"features": TensorSpec(np.dtype("float32"), (-1, 4))}, {})
FLOWER = {"features": np.array([[5.1, 3.5, 1.4, 0.2]], "float32")}
ROW = {"sepal_length": 3, "sepal_width": 1, "petal_length": 2.2, "petal_width": 4}


@pytest.fixture
def fronts(endpoint: Endpoint, tmp_path: Path) -> Iterator[tuple[Front, Front]]:
    (tmp_path / "grpc").mkdir()
    with (
        rest_front(endpoint.rest, tmp_path, client_certificate=True) as rest,
        grpc_front(endpoint.grpc, tmp_path / "grpc") as grpc,
    ):
        yield rest, grpc
    channels.close()


def run(code: str, title: str, **variables: str) -> str:
    words = ["sh", "-c", code] if title == CURL else [sys.executable, "-c", code]
    environment = os.environ | variables
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_code_goes_through_a_front(fronts: tuple[Front, Front]) -> None:
    rest, grpc = (
        TfServingWriter(
            front.endpoint(protocol, headers=headers), "", SIGNATURE, FLOWER, shell="sh"
        ).preview()
        for front, protocol in zip(fronts, ("rest", "grpc"), strict=True)
        for headers in [{"Authorization": "Bearer ${TEAM_TOKEN}", "X-Key": "s3cr3t"}]
    )
    for shown, title in ((rest, REQUESTS), (rest, CURL), (grpc, GRPC)):
        code = shown.code[title]
        assert "s3cr3t" not in code
        assert "e-10" in run(code, title, TEAM_TOKEN=TOKEN, OTW_HEADER_X_KEY="s3cr3t")
    seen = [call for front in fronts for call in front.seen]
    assert {call["x-key"] for call in seen} == {"s3cr3t"}
    assert len(seen) == 3


def of_modelarts(endpoint: Endpoint) -> Preview:
    return ModelArtsWriter(endpoint, {"data": {"req_data": [ROW]}}, shell="sh").preview()


def test_code_with_a_ready_token_runs() -> None:
    manager.up("modelarts")
    service = endpoints.load("modelarts")
    token = modelarts.get_token(service).value
    ready = Endpoint("modelarts", rest=service.rest, ca_file=service.ca_file, token=token)
    shown = of_modelarts(ready.replace(headers={"X-Team": "s3cr3t"}))
    for title in (REQUESTS, CURL):
        code = shown.code[title]
        assert "OTW_MODELARTS_TOKEN" in code
        assert token not in code
        variables = {"OTW_MODELARTS_TOKEN": token, "OTW_HEADER_X_TEAM": "s3cr3t"}
        assert "Iris" in run(code, title, **variables)


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "s3cr3t"},
        {"auth": "appcode", "password": "s3cr3t"},
        {"auth": "signature", "user": "AK", "password": "s3cr3t"},
        {"user": "ada", "password": "s3cr3t", "iam": "https://iam", "domain": "d", "project": "p"},
    ],
)
def test_no_proof_of_modelarts_is_in_the_code(fields: dict[str, str]) -> None:
    values = {"kind": "modelarts", "rest": "https://h/v1/infers/a", **fields}
    endpoint = endpoints.from_mapping(values, "a test").replace(headers={"X-Team": "s3cr3t"})
    for shell in ("sh", "powershell"):
        shown = ModelArtsWriter(endpoint, {"data": 1}, shell=shell).preview()
        assert "s3cr3t" not in str(shown)
        for title in {REQUESTS, CURL} & shown.code.keys():
            assert "OTW_HEADER_X_TEAM" in shown.code[title]


def test_there_is_no_code_that_sends_a_header_unencrypted() -> None:
    there = Endpoint("tfserving", grpc="m.example:8500", rest="http://m.example", model="m")
    endpoint = there.replace(headers={"X-Team": "s3cr3t"})
    shown = TfServingWriter(endpoint, "", SIGNATURE, FLOWER).preview()
    assert dict.fromkeys(TITLES, True) == {
        title: "machine over TLS only" in reason for title, reason in shown.reasons.items()
    }
