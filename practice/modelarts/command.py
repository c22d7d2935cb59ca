"""The command line: one port for IAM, the gateway and the management calls."""

import argparse
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from practice import credentials, state
from practice.host import flags as shared
from practice.host import server, signals, web
from practice.modelarts import account, gateway, models

_MODELS = Path(__file__).parents[2] / "data" / "models"


def main(arguments: list[str] | None = None) -> int:
    """Open the port and serve until told to end."""
    flags = _parse(arguments)
    server.start_log()
    activity = server.Activity()
    stop = signals.Stop()
    try:
        certificate, kept = _secrets(flags.folder)
    except (OSError, state.PracticeError) as error:
        server.log.error("The service cannot keep its account: %s", error)
        return 1
    holder = account.Account(
        kept, flags.token_lifetime_seconds, lambda: time.time() + flags.clock_offset_seconds
    )
    deployments = {
        name: models.Deployment(name, flags.models, flags.inference_delay_seconds)
        for name in models.KINDS
    }
    app: Callable = gateway.Gateway(
        holder,
        deployments,
        patience=flags.timeout_seconds,
        rate=flags.requests_per_second,
        lock_limit=flags.lock_after,
    )
    try:
        app = server.troubled(app, server.trouble_source(flags))
        door = web.WebServer(
            app, flags.port, activity, certificate, headers_limit=2 * gateway.HEADERS_LIMIT
        )
    except (OSError, ValueError) as error:
        server.log.error("The service cannot start: %s", error)
        return 1
    threading.Thread(target=_deploy, args=(deployments.values(),), daemon=True).start()
    server.log.info("port: %s:%d", server.LOOPBACK, flags.port)
    server.run([door], activity, stop, flags)
    return 0


def _deploy(deployments: Iterable[models.Deployment]) -> None:
    for each in deployments:
        each.load()


def _secrets(folder: Path | None) -> tuple[credentials.Certificate, dict[str, str]]:
    with credentials.home(folder) as home:
        kept = credentials.secrets_of(home, "modelarts", account.make)
        return credentials.certificate(home), kept


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m practice.modelarts",
        description="A local ModelArts: IAM, the gateway, and three inference services.",
        allow_abbrev=False,
    )
    for name, (kind, default, text) in _FLAGS.items():
        parser.add_argument(name, type=kind, default=default, help=text)
    shared.add_lifetime(parser)
    shared.add_trouble(parser)
    return parser.parse_args(arguments)


_FLAGS: dict[str, tuple[Callable[[str], Any], Any, str]] = {
    "--port": (shared.port, 9443, "default: 9443"),
    "--folder": (
        Path,
        None,
        "where certificate, key and account lie or are made; default: the state folder",
    ),
    "--models": (Path, _MODELS, "where the models are; default: data/models"),
    "--token_lifetime_seconds": (
        shared.seconds,
        account.LIFETIME,
        "a token's life; default: a day",
    ),
    "--requests_per_second": (
        shared.count,
        gateway.RATE,
        "to one API; 0 is any number; default: 200, as in the product",
    ),
    "--timeout_seconds": (
        shared.seconds,
        gateway.PATIENCE,
        "of an inference; default: 40, as in the product",
    ),
    # For tests: the product has none of these.
    "--lock_after": (
        shared.count,
        5,
        "wrong signatures in a row that do not lock an AK yet; 0: never; default: 5",
    ),
    "--clock_offset_seconds": (shared.finite, 0.0, "how far this service's clock is off"),
    "--inference_delay_seconds": (shared.seconds, 0.0, "makes each model slower"),
}
