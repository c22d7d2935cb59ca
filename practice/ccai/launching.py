"""How the practice CCAI is started and asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practice import credentials
from practice.service import Service, answers_call, ask

if TYPE_CHECKING:
    import grpc


def _prepare_ccai(folder: Path, models: Path) -> dict[str, Any]:
    credentials.certificate(folder)
    user, _ = credentials.user(folder, "ccai")
    return {"user": user, "ca_file": str(credentials.ca_file(folder))}


def _ccai_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    doors = [f"--{key.replace('_', '-')}-port={port}" for key, port in ports.items()]
    return [*doors, f"--folder={folder}"]


def _ccai_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    request = ("POST", "/cgi-bin/fcgi_py_policy", "healthcheck=1", form)
    _, answer = ask(entry.get("rest"), seconds, *request)
    return answer == b"healthcheck ok" and _grpc_answers(entry, seconds)


def _grpc_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    def call(channel: "grpc.Channel") -> Any:
        # `otw practice down` needs none of it: 40 ms.
        from protos import inference_service_pb2, inference_service_pb2_grpc

        stub = inference_service_pb2_grpc.InferenceStub(channel)
        return stub.HealthCheck(inference_service_pb2.Empty(), timeout=seconds)

    return answers_call(entry, call)


CCAI = Service(
    name="ccai",
    module="practice.ccai",
    addresses={
        "rest": (8080, "http://127.0.0.1:{}"),
        "grpc": (8081, "127.0.0.1:{}"),
        "secure_rest": (8443, "https://127.0.0.1:{}"),
        "secure_grpc": (8444, "127.0.0.1:{}"),
    },
    prepare=_prepare_ccai,
    arguments=_ccai_arguments,
    answers=_ccai_answers,
    told=(
        "rest",
        "grpc",
        "secure_rest",
        "secure_grpc",
        "user",
        "password",
        "ca_file",
    ),
)
