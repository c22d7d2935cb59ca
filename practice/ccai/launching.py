"""How the practice CCAI is started and asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.endpoints import Endpoint
from practice import credentials
from practice.launch import Service, answers_call, ask
from practice.ports import DEFAULT as PORTS

if TYPE_CHECKING:
    import grpc


def _prepare(folder: Path, models: Path) -> None:
    credentials.certificate(folder)
    credentials.user(folder, "ccai")


def _arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    flags = [f"--{key.replace('_', '-')}-port={port}" for key, port in ports.items()]
    return [*flags, f"--folder={folder}"]


def _endpoints(folder: Path, models: Path, addresses: Mapping[str, str]) -> dict[str, Endpoint]:
    user, password = credentials.user(folder, "ccai")
    secure = Endpoint(
        "ccai",
        rest=addresses["secure_rest"],
        grpc=addresses["secure_grpc"],
        ca_file=str(credentials.ca_file(folder)),
        user=user,
        password=password,
    )
    plain = Endpoint("ccai", rest=addresses["rest"], grpc=addresses["grpc"])
    return {"practice": plain, "practice-secure": secure}


def _answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether both plain ports answer a health check."""

    def call(channel: "grpc.Channel") -> Any:
        # `otw practice down` needs none of it: 40 ms.
        from protos import inference_service_pb2, inference_service_pb2_grpc

        stub = inference_service_pb2_grpc.InferenceStub(channel)
        return stub.HealthCheck(inference_service_pb2.Empty(), timeout=seconds)

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/cgi-bin/fcgi_py_policy"
    _, answer = ask(entry.get("rest"), seconds, "POST", path, "healthcheck=1", form)
    return answer == b"healthcheck ok" and answers_call(entry, call)


CCAI = Service(
    name="ccai",
    module="practice.ccai",
    ports=PORTS["ccai"],
    addresses={
        "rest": "http://127.0.0.1:{}",
        "grpc": "127.0.0.1:{}",
        "secure_rest": "https://127.0.0.1:{}",
        "secure_grpc": "127.0.0.1:{}",
    },
    prepare=_prepare,
    arguments=_arguments,
    endpoints=_endpoints,
    answers=_answers,
)
