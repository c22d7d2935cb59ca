"""The command line: one port, and how much goes wrong there on purpose."""

import argparse
import contextlib
import logging
import threading
from fractions import Fraction

from practice import credentials
from practice.host import flags as shared
from practice.host import limits, server
from practice.ports import DEFAULT as PORTS
from practice.proxy.faults import Faults

_FAULTS = {
    "refuse": ("refused", "answered with 503"),
    "stall": ("stalled", "accepted and never answered"),
    "cut": ("cut", "cut off in the middle of the answer"),
}


def main(arguments: list[str] | None = None) -> int:
    """Bind the port and serve until told to end."""
    flags = _parse(arguments)
    # The library writes whole requests into its log, with whatever is secret in them.
    logging.getLogger("proxy").setLevel(logging.CRITICAL)
    return server.main(flags, lambda activity: [_open(flags, activity)])


def _open(flags: argparse.Namespace, activity: server.Activity) -> server.Server:
    """Bind the port; nothing is answered before `server.run`."""
    # 0.1 s: who mistypes a flag need not wait.
    from practice.proxy import log
    from practice.proxy.connection import Settings
    from practice.proxy.server import ProxyServer

    with credentials.home(flags.folder) as folder:
        user, password = credentials.user(folder, "proxy")
    shares = {name: getattr(flags, flag) for flag, (name, _) in _FAULTS.items()}
    return ProxyServer(
        Settings(
            port=flags.port,
            user=user,
            password=password,
            authenticate=flags.authenticate,
            faults=Faults(shares),
            record=log.Record(folder),
            activity=activity,
            places=threading.BoundedSemaphore(limits.connections() // 2),  # each has two sockets
        )
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = shared.parser(
        "practice.proxy",
        "A forward proxy: plain HTTP, and CONNECT for everything else.",
        "its record and its user",
    )
    port = PORTS["proxy"]["http"]
    parser.add_argument("--port", type=shared.port, default=port, help=f"default: {port}")
    parser.add_argument("--authenticate", action="store_true", help="ask for user and password")
    for flag, (_, text) in _FAULTS.items():
        parser.add_argument(
            f"--{flag}",
            type=_share,
            default=Fraction(0),
            metavar="SHARE",
            help=f"how many of all requests are {text}, from 0 to 1",
        )
    shared.add_lifetime(parser)
    flags = parser.parse_args(arguments)
    if flags.refuse + flags.stall + flags.cut > 1:
        parser.error("--refuse, --stall and --cut are more than 1 together")
    return flags


def _share(text: str) -> Fraction:
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if 0 <= Fraction(text) <= 1:
            return Fraction(text)
    raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
