"""The command line: one port, and how much goes wrong there on purpose."""

import argparse
import contextlib
import logging
from fractions import Fraction
from pathlib import Path

from practice import credentials, state
from practice.host import flags as shared
from practice.host import server, signals
from practice.proxy.faults import Faults

_FAULTS = {
    "--refuse": ("refused", "answered with 503"),
    "--stall": ("stalled", "accepted and never answered"),
    "--cut": ("cut", "cut off in the middle of the answer"),
}


def main(arguments: list[str] | None = None) -> int:
    """Open the port and serve until told to end."""
    flags = _parse(arguments)
    server.start_log()
    # The library writes whole requests into its log, with whatever is secret in them.
    logging.getLogger("proxy").setLevel(logging.CRITICAL)
    activity = server.Activity()
    stop = signals.Stop()
    try:
        door = _open(flags, activity)
    except (OSError, state.PracticeError) as error:
        server.log.error("The proxy cannot start: %s", error)
        return 1
    server.log.info("port: %s:%d", server.LOOPBACK, flags.port)
    server.run([door], activity, stop, flags)
    return 0


def _open(flags: argparse.Namespace, activity: server.Activity) -> server.Door:
    """Bind the port; nothing is answered before `server.run`."""
    from practice.proxy import door, forward, record  # 0.1 s: who mistypes a flag need not wait

    with credentials.home(flags.folder) as folder:
        user, password = credentials.user(folder, "proxy")
    shares = {name: getattr(flags, flag.lstrip("-")) for flag, (name, _) in _FAULTS.items()}
    return door.ProxyDoor(
        forward.Settings(
            flags.port,
            user,
            password,
            flags.authenticate,
            Faults(shares),
            record.Record(folder),
            activity,
        )
    )


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m practice.proxy",
        description="A forward proxy: plain HTTP, and CONNECT for everything else.",
        allow_abbrev=False,
    )
    parser.add_argument("--port", type=shared.port, default=3128, help="default: 3128")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where its record and its user lie or are made; default: the state folder",
    )
    parser.add_argument("--authenticate", action="store_true", help="ask for user and password")
    for flag, (_, text) in _FAULTS.items():
        parser.add_argument(
            flag,
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
