"""How Ray Serve is started and asked."""

import importlib.util
import secrets
from collections.abc import Mapping
from pathlib import Path

from helpers.endpoints import Endpoint
from helpers.language import _
from practice import state
from practice.launch import Service
from practice.ports import DEFAULT as PORTS

_TOKEN = "rayserve.token"  # noqa: S105  (a file's name)


def has_ray() -> bool:
    """Whether Ray is installed; it is not imported."""
    return importlib.util.find_spec("ray") is not None


def absent() -> str:
    """Say that Ray is not installed, and how it is added."""
    return _(
        "Ray is not installed. Add it with `make scale`, or without make: "
        "python -m pip install --no-deps --require-hashes -r requirements/scale.txt"
    )


def token_file(folder: Path) -> Path:
    """Return where the token lies that Ray and its REST API ask for, in the service's folder."""
    return folder / _TOKEN


def _prepare(folder: Path, models: Path) -> None:
    if not has_ray():
        raise state.PracticeError(absent())
    path = token_file(folder)
    path.unlink(missing_ok=True)
    try:
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32), encoding="utf-8")
    except OSError as error:
        raise state.unwritable(path, error) from error


def _arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [
        f"--port={ports['grpc']}",
        f"--api_port={ports['api']}",
        f"--models={models.absolute()}",
        f"--token_file={token_file(folder)}",
    ]


def _endpoints(folder: Path, models: Path, addresses: Mapping[str, str]) -> Mapping[str, Endpoint]:
    served = sorted({path.parent.parent.name for path in models.glob("*/*/model.tflite")})
    return {"practice-ray": Endpoint("tfserving", grpc=addresses["grpc"], models=tuple(served))}


RAYSERVE = Service(
    name="rayserve",
    module="practice.rayserve",
    ports=PORTS["rayserve"],
    addresses={"grpc": "127.0.0.1:{}", "api": "http://127.0.0.1:{}"},
    prepare=_prepare,
    arguments=_arguments,
    endpoints=_endpoints,
    health="api",
    troubled=False,
    on_demand=True,
)
