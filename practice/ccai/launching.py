"""How the practice CCAI is started and asked."""

from collections.abc import Mapping
from pathlib import Path

from helpers.endpoints import Endpoint
from practice import credentials
from practice.launch import Service
from practice.ports import DEFAULT as PORTS


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
    health="rest",
)
