"""The command line: one port for IAM, the gateway and the management calls."""

import argparse
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from practice import credentials
from practice.host import flags as shared
from practice.host import server, web
from practice.modelarts import account, gateway, models
from practice.ports import DEFAULT as PORTS

_MODELS = Path(__file__).parents[2] / "data" / "models"


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
        secrets, flags.token_lifetime_seconds, lambda: time.time() + flags.clock_offset_seconds
    )
    deployments = {
        name: models.Deployment(name, flags.models, flags.inference_delay_seconds)
        for name in models.KINDS
    }
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
    port = PORTS["modelarts"]["iam"]
    add = parser.add_argument
    add("--port", type=shared.port, default=port, help=f"default: {port}")
    add("--models", type=Path, default=_MODELS, help="where the models are; default: data/models")
    add(
        "--token_lifetime_seconds",
        type=shared.seconds,
        default=account.LIFETIME,
        help="a token's life; default: a day",
    )
    add(
        "--requests_per_second",
        type=shared.count,
        default=gateway.RATE,
        help="to one API; 0 is any number; default: 200, as in the product",
    )
    add(
        "--timeout_seconds",
        type=shared.seconds,
        default=gateway.PATIENCE,
        help="of an inference; default: 40, as in the product",
    )
    # For tests: the product has none of these.
    add(
        "--lock_after",
        type=shared.count,
        default=5,
        help="wrong signatures in a row that do not lock an AK yet; 0: never; default: 5",
    )
    add(
        "--clock_offset_seconds",
        type=shared.finite,
        default=0.0,
        help="how far this service's clock is off",
    )
    add(
        "--inference_delay_seconds",
        type=shared.seconds,
        default=0.0,
        help="makes each model slower",
    )
    shared.add_lifetime(parser)
    shared.add_trouble(parser)
    return parser.parse_args(arguments)
