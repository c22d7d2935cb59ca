"""How the practice proxy is started and asked."""

from collections.abc import Mapping
from pathlib import Path

from practice import credentials
from practice.launch import Service
from practice.ports import DEFAULT as PORTS


def _arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['http']}", f"--folder={folder}"]


PROXY = Service(
    name="proxy",
    module="practice.proxy",
    ports=PORTS["proxy"],
    addresses={"http": "http://127.0.0.1:{}"},
    prepare=lambda folder, models: credentials.user(folder, "proxy"),
    arguments=_arguments,
    endpoints=lambda folder, models, addresses: {},  # no service that helpers call
    health="http",
    variables=("http",),
    troubled=False,
)
