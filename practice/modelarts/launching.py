"""How the practice ModelArts is started and asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.endpoints import Endpoint
from practice import credentials, state
from practice.launch import Service, ask
from practice.modelarts import account
from practice.modelarts.published import SERVICES
from practice.ports import DEFAULT as PORTS

_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
_FLOWER = json.dumps({"data": {"req_data": [_ROW]}})


def _prepare(folder: Path, models: Path) -> None:
    credentials.certificate(folder)
    credentials.secrets_of(folder, "modelarts", account.make)


def _arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['iam']}", f"--folder={folder}", f"--models={models}"]


def _endpoints(folder: Path, models: Path, addresses: Mapping[str, str]) -> dict[str, Endpoint]:
    secrets = state.read_secrets("modelarts", folder)
    iam = addresses["iam"]
    iris = Endpoint(
        "modelarts",
        rest=f"{iam}{SERVICES['iris'].path}",
        ca_file=str(credentials.ca_file(folder)),
        iam=iam,
        **{name: secrets[name] for name in ("user", "password", "domain", "project")},
    )
    signed = Endpoint(
        "modelarts",
        rest=iris.rest,
        ca_file=iris.ca_file,
        user=secrets["ak"],
        password=secrets["sk"],
        auth="signature",
    )
    app = Endpoint(
        "modelarts",
        rest=f"{iam}{SERVICES['iris'].app_path}",
        ca_file=iris.ca_file,
        password=secrets["appcode"],
        auth="appcode",
    )
    return {
        "practice": iris,
        "practice-digits": iris.replace(rest=f"{iam}{SERVICES['digits'].path}"),
        "practice-detector": iris.replace(rest=f"{iam}{SERVICES['digits_detector'].path}"),
        "practice-signature": signed,
        "practice-appcode": app,
    }


def _answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the flowers' service answers an app; a token would take two requests."""
    authority = Path(entry["endpoints"]["practice-appcode"]["ca_file"])
    code = state.read_secrets("modelarts", authority.parent).get("appcode", "")
    headers = {"X-Apig-AppCode": code, "Content-Type": "application/json"}
    path = SERVICES["iris"].app_path
    iam = entry.get("iam")
    status, _ = ask(iam, seconds, "POST", path, _FLOWER, headers, authority=authority)
    return status == 200


MODELARTS = Service(
    name="modelarts",
    module="practice.modelarts",
    ports=PORTS["modelarts"],
    addresses={"iam": "https://127.0.0.1:{}"},
    prepare=_prepare,
    arguments=_arguments,
    endpoints=_endpoints,
    answers=_answers,
    variables=("project_id", "appkey", "appsecret"),
)
