"""How the practice proxy is started and asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from practice import credentials
from practice.launch import Service, ask
from practice.ports import DEFAULT as PORTS


def _arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['http']}", f"--folder={folder}"]


def _answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the proxy forwards a request: one to itself, which it counts nowhere."""
    url = str(entry.get("http", ""))
    _, answer = ask(url, seconds, "GET", f"{url}/health")
    return answer == b"practice proxy"


PROXY = Service(
    name="proxy",
    module="practice.proxy",
    ports=PORTS["proxy"],
    addresses={"http": "http://127.0.0.1:{}"},
    prepare=lambda folder, models: credentials.user(folder, "proxy"),
    arguments=_arguments,
    endpoints=lambda folder, models, addresses: {},  # no service that helpers call
    answers=_answers,
    variables=("http",),
    troubled=False,
)
