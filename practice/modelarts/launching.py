"""How the practice ModelArts is started and asked."""

from collections.abc import Mapping
from pathlib import Path

from helpers.endpoints import Endpoint
from practice import credentials, state
from practice.launch import Service
from practice.modelarts import account
from practice.modelarts.published import SERVICES
from practice.ports import DEFAULT as PORTS


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


MODELARTS = Service(
    name="modelarts",
    module="practice.modelarts",
    ports=PORTS["modelarts"],
    addresses={"iam": "https://127.0.0.1:{}"},
    prepare=_prepare,
    arguments=_arguments,
    endpoints=_endpoints,
    health="iam",
    variables=("project_id", "appkey", "appsecret"),
)
