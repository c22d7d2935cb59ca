"""How the practice proxy is started and asked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from practice import credentials
from practice.service import Service, ask


def _prepare_proxy(folder: Path, models: Path) -> dict[str, Any]:
    credentials.user(folder, "proxy")
    return {}


def _proxy_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['http']}", f"--folder={folder}"]


def _proxy_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the proxy forwards a request: one to itself, which it counts nowhere."""
    url = str(entry.get("http", ""))
    _, answer = ask(url, seconds, "GET", f"{url}/health")
    return answer == b"practice proxy"


PROXY = Service(
    name="proxy",
    module="practice.proxy",
    addresses={"http": (3128, "http://127.0.0.1:{}")},
    prepare=_prepare_proxy,
    arguments=_proxy_arguments,
    answers=_proxy_answers,
    told=("http",),
    troubled=False,
)
