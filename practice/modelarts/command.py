"""The command line: one port for IAM, the gateway and the management calls."""

import argparse
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from practice import credentials
from practice.files import MODELS
from practice.host import flags as shared
from practice.host import server, web
from practice.modelarts import account, gateway, models
from practice.ports import DEFAULT as PORTS

_PORT = PORTS["modelarts"]["iam"]
_FLAGS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "port": (shared.port, _PORT, f"default: {_PORT}"),
    "models": (Path, MODELS, "where the models are; default: data/models"),
    "token_lifetime_seconds": (shared.seconds, account.LIFETIME, "a token's life; default: a day"),
    "requests_per_second": (
        shared.count,
        gateway.RATE,
        "to one API; 0 is any number; default: 200, as in the product",
    ),
    "timeout_seconds": (
        shared.seconds,
        gateway.PATIENCE,
        "of an inference; default: 40, as in the product",
    ),
    # For tests: the product has none of these.
    "lock_after": (
        shared.count,
        5,
        "wrong signatures in a row that do not lock an AK yet; 0: never; default: 5",
    ),
    "clock_offset_seconds": (shared.finite, 0.0, "how far this service's clock is off"),
    "inference_delay_seconds": (shared.seconds, 0.0, "makes each model slower"),
}


def main(arguments: list[str] | None = None) -> int:
    """Bind the port and serve until told to end."""
    flags = _parse(arguments)
    return server.main(flags, lambda activity: [_open(flags, activity)])


def _open(flags: argparse.Namespace, activity: server.Activity) -> server.Server:
    """Bind the port and begin to deploy; nothing is answered before `server.run`."""
    with credentials.home(flags.folder) as folder:
        secrets = credentials.secrets_of(folder, "modelarts", account.make)
        certificate = credentials.certificate(folder)
    holder = account.Account(
        secrets,
        flags.token_lifetime_seconds,
        lambda: time.time() + flags.clock_offset_seconds,
        activity.students,
    )
    deployments = {
        name: models.Deployment(name, flags.models, flags.inference_delay_seconds)
        for name in models.KINDS
    }
    activity.problem = lambda: models.problem(deployments.values())
    app = gateway.Gateway(
        holder,
        deployments,
        patience=flags.timeout_seconds,
        rate=flags.requests_per_second,
        lock_limit=flags.lock_after,
    )
    opened = web.WebServer(
        server.troubled(app, server.trouble_source(flags)),
        flags.port,
        activity,
        certificate,
        headers_limit=2 * gateway.HEADERS_LIMIT,
    )
    threading.Thread(target=_deploy, args=(deployments.values(),), daemon=True).start()
    return opened


def _deploy(deployments: Iterable[models.Deployment]) -> None:
    for deployment in deployments:
        deployment.load()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = shared.parser(
        "practice.modelarts",
        "A local ModelArts: IAM, the gateway, and three inference services.",
        "certificate, key and account",
    )
    for name, (kind, default, text) in _FLAGS.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    shared.add_lifetime(parser)
    shared.add_trouble(parser)
    return parser.parse_args(arguments)
