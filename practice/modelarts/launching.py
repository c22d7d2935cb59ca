"""How the practice ModelArts is started and asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from practice import credentials, state
from practice.modelarts import account, published
from practice.service import Service, ask

_FLOWER = json.dumps(
    {
        "data": {
            "req_data": [
                {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
            ]
        }
    }
)


def _prepare_modelarts(folder: Path, models: Path) -> dict[str, Any]:
    credentials.certificate(folder)
    credentials.secrets_of(folder, "modelarts", account.make)
    return {"ca_file": str(credentials.ca_file(folder))}


def _modelarts_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['iam']}", f"--folder={folder}", f"--models={models}"]


def _modelarts_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the flowers' service answers an app; a token would take two requests."""
    authority = Path(str(entry.get("ca_file", "")))
    code = state.read_secrets("modelarts", authority.parent).get("appcode", "")
    headers = {"X-Apig-AppCode": code, "Content-Type": "application/json"}
    request = ("POST", published.SERVICES["iris"].app_path, _FLOWER, headers)
    status, _ = ask(entry.get("iam"), seconds, *request, authority=authority)
    return status == 200


MODELARTS = Service(
    name="modelarts",
    module="practice.modelarts",
    addresses={"iam": (9443, "https://127.0.0.1:{}")},
    prepare=_prepare_modelarts,
    arguments=_modelarts_arguments,
    answers=_modelarts_answers,
    told=(
        "iam",
        "iris",
        "digits",
        "detector",
        "app_iris",
        "user",
        "password",
        "domain",
        "project",
        "project_id",
        "ak",
        "sk",
        "appcode",
        "appkey",
        "appsecret",
        "ca_file",
    ),
    paths={
        "iris": ("iam", published.SERVICES["iris"].path),
        "digits": ("iam", published.SERVICES["digits"].path),
        "detector": ("iam", published.SERVICES["digits_detector"].path),
        "app_iris": ("iam", published.SERVICES["iris"].app_path),
    },
)
