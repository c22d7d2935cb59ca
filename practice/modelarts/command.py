"""The command line: one port for IAM, the gateway and the management calls."""

import argparse
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from practice import credentials, server, state, web
from practice.modelarts import account, gateway, models

_MODELS = Path(__file__).parents[2] / "data" / "models"


def main(arguments: list[str] | None = None) -> int:
    """Open the port and serve until told to end."""
    flags = _parse(arguments)
    server.start_log()
    activity, stop = server.Activity(), server.stop_on_signals()
    certificate, kept = _secrets(flags.folder)
    holder = account.Account(
        kept, flags.token_lifetime_seconds, lambda: time.time() + flags.clock_offset_seconds
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
    try:
        door = web.WebServer(
            app, flags.port, activity, certificate, headers_limit=2 * gateway.HEADERS_LIMIT
        )
    except OSError as error:
        server.log.error("The service cannot start: %s", error)
        return 1
    threading.Thread(target=_deploy, args=(deployments.values(),), daemon=True).start()
    server.log.info("port: %s:%d", server.LOOPBACK, flags.port)
    server.run(
        [door],
        activity,
        stop,
        idle_timeout_seconds=flags.idle_timeout_seconds,
        exit_with_pid=flags.exit_with_pid,
    )
    return 0


def _deploy(deployments: Iterable[models.Deployment]) -> None:
    for each in deployments:
        each.load()


def _secrets(folder: Path | None) -> tuple[credentials.Certificate, dict[str, str]]:
    if folder is None:
        folder = state.make_folder(state.folder())
        with state.lock():
            return _made(folder)
    return _made(folder)


def _made(folder: Path) -> tuple[credentials.Certificate, dict[str, str]]:
    kept = credentials.secrets_of(folder, "modelarts", account.make)
    return credentials.certificate(folder), kept


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m practice.modelarts",
        description="A local ModelArts: IAM, the gateway, and three inference services.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=_port, default=9443, help="default: 9443")
    add(
        "--folder",
        type=Path,
        help="where certificate, key and account lie or are made; default: the state folder",
    )
    add("--models", type=Path, default=_MODELS, help="where the models are; default: data/models")
    add(
        "--token_lifetime_seconds",
        type=float,
        default=account.LIFETIME,
        help="how long a token lives; default: a day",
    )
    add(
        "--requests_per_second",
        type=int,
        default=gateway.RATE,
        help="to one API; 0 is any number; default: 200, as in the product",
    )
    add(
        "--timeout_seconds",
        type=float,
        default=gateway.PATIENCE,
        help="how long an inference may take; default: 40, as in the product",
    )
    # For tests: the product has none of these.
    add(
        "--lock_after",
        type=int,
        default=5,
        help="wrong signatures in a row that do not lock an AK yet; 0 locks nothing; default: 5",
    )
    add("--clock_offset_seconds", type=float, default=0, help="how far this service's clock is off")
    add("--inference_delay_seconds", type=float, default=0, help="makes each model slower")
    add("--idle_timeout_seconds", type=float, default=0, help="end after so long without a call")
    add("--exit_with_pid", type=int, default=0, help="end with this process")
    return parser.parse_args(arguments)  # fmt: skip


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)
