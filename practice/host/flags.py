"""Flags that the practice services share, and the values that flags take."""

import argparse
import contextlib
import math
from pathlib import Path


def parser(module: str, description: str, kept: str) -> argparse.ArgumentParser:
    """Make the parser of a service that keeps something in a folder."""
    made = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, allow_abbrev=False
    )
    made.add_argument(
        "--folder", type=Path, help=f"where {kept} lie or are made; default: the state folder"
    )
    return made


def add_lifetime(parser: argparse._ActionsContainer) -> None:
    """Add when a service ends by itself, and who may call; the products have no such flags."""
    parser.add_argument(
        "--idle_timeout_seconds", type=seconds, default=0, help="end after so long without a call"
    )
    parser.add_argument(
        "--unload_timeout_seconds",
        type=seconds,
        default=0,
        help="give the engines' memory back after so long without a call (not on Windows)",
    )
    parser.add_argument("--exit_with_pid", type=int, default=0, help="end with this process")
    parser.add_argument(
        "--this_user_only",
        action="store_true",
        help="refuse calls of other users of this machine (Linux), and of pages from elsewhere",
    )
    parser.add_argument(
        "--class_file", type=Path, help="answer the students in this file: otw class up writes it"
    )
    parser.add_argument("--calls_file", type=Path, help="count in this file what they call")
    parser.add_argument(
        "--bind",
        default="",
        metavar="HOST",
        help="let them in from the network, too, at this address: otw class up --bind",
    )


def add_trouble(parser: argparse._ActionsContainer) -> None:
    """Add where faults come from: `server.trouble_source` reads it."""
    parser.add_argument(
        "--trouble_file", type=Path, help="which faults to make; with --exit_with_pid only"
    )


def port(text: str) -> int:
    """Read a port, from 1 on."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)


def port_or_none(text: str) -> int:
    """Read a port; 0 is for none."""
    return 0 if text == "0" else port(text)


def count(text: str) -> int:
    """Read a whole number, from 0 on."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 on")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds, from 0 on."""
    number = finite(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def finite(text: str) -> float:
    """Read a number of seconds, which may be less than 0."""
    with contextlib.suppress(ValueError):
        if math.isfinite(float(text)):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
