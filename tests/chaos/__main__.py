"""Runs the scenarios, each against a state folder of its own, and writes their table into docs."""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

import psutil
from tqdm import tqdm

from practice import manager, state
from tests import tables
from tests.chaos import scenarios
from tests.chaos.clients import Outcome
from tests.chaos.scenarios import SCENARIOS, NotRun

_PROMISED = {"tfserving": 0.999, "modelarts": 0.999}  # in scenarios a to c
_HEAD = (
    "| | what happens | service | calls | right | errors of the tree | anything else | slowest "
    "| memory |\n"
)


def main() -> int:
    """Run all, or those named; the exit status counts what is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join(SCENARIOS)}; all if none")
    parser.add_argument("--seconds", type=float, default=60, help="for each; default: 60")
    parser.add_argument("--inside", help=argparse.SUPPRESS)  # a namespace of its own
    flags = parser.parse_args()
    if flags.inside:
        return _inside(flags.inside, flags.seconds)
    rows, problems = [], []
    for key in tqdm(flags.scenarios or list(SCENARIOS), unit="scenario"):
        found, wrong = _run(key, flags.seconds)
        rows += found
        problems += [f"{key}: {each}" for each in wrong]
    table = _HEAD + "|---" * 9 + "|\n" + "".join(rows)
    print(table, *problems, sep="\n")
    if not flags.scenarios and flags.seconds >= 60:
        tables.write("chaos", table)
    return len(problems)


def _run(key: str, seconds: float) -> tuple[list[str], list[str]]:
    if key == "d":
        return _in_a_namespace(key, seconds)
    with tempfile.TemporaryDirectory(prefix="otw-chaos-", ignore_cleanup_errors=True) as folder:
        os.environ["OTW_STATE_DIR"] = folder
        return _told(key, seconds)


def _in_a_namespace(key: str, seconds: float) -> tuple[list[str], list[str]]:
    """Run with 1 MB of memory for a disk, which only this process and its children see."""
    what = SCENARIOS[key][0]
    if not shutil.which("unshare"):
        return [f"| {key} | {what} | not run: there is no unshare | | | | | | |\n"], []
    with tempfile.TemporaryDirectory(prefix="otw-chaos-") as folder:
        mount = f"mount -t tmpfs -o size=1m tmpfs {folder} && exec "
        command = f"{sys.executable} -m tests.chaos --inside={key} --seconds={seconds}"
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount + command],
            env=os.environ | {"OTW_STATE_DIR": folder},
            capture_output=True,
            text=True,
        )
    rows = [f"{line}\n" for line in done.stdout.splitlines() if line.startswith("|")]
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    if done.returncode and not problems:
        problems = [done.stderr[-2000:]]
    return rows, problems


def _inside(key: str, seconds: float) -> int:
    rows, problems = _told(key, seconds)
    print(*rows, sep="")
    for each in problems:
        print("problem:", each.replace("\n", " "))
    return len(problems)


def _told(key: str, seconds: float) -> tuple[list[str], list[str]]:
    what, scenario = SCENARIOS[key]
    before = _sockets()
    try:
        outcomes = scenario(seconds)
    except NotRun as error:
        return [f"| {key} | {what} | not run: {error} | | | | | | |\n"], []
    finally:
        problems = _left_behind(before)
    rows = []
    for name, outcome in outcomes.items():
        rows.append(_row(key, what, name, outcome))
        problems += [f"{name}: {each}" for each in outcome.wrong[:5]]
        if key in "abc" and outcome.misses(_PROMISED.get(name, 0)):
            problems.append(f"{name}: {outcome.share:.2%} right, promised {_PROMISED[name]:.1%}")
        if not outcome.calls:
            problems.append(f"{name}: nobody called it")
    return rows, problems


def _row(key: str, what: str, name: str, outcome: Outcome) -> str:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(outcome.errors.items()))
    return (
        f"| {key} | {what} | {name} | {outcome.calls:,} | {outcome.share:.3%} | {kinds or 'none'} "
        f"| {len(outcome.wrong) or 'none'} | {outcome.slowest:.1f} s "
        f"| {f'+{outcome.memory} MB' if outcome.memory else ''} |\n"
    )


def _left_behind(sockets: int) -> list[str]:
    """Bring everything back, stop it, and tell what is left."""
    problems = []
    manager.up(*scenarios.NAMES)
    if not all(each["healthy"] for each in manager.status(*scenarios.NAMES).values()):
        problems.append("a service was not healthy after ready()")
    if problem := state.services_problem():
        problems.append(problem)
    manager.down()
    here = str(state.folder())
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            words = process.info["cmdline"] or []
            if any(word.startswith("practice.") for word in words) and here in " ".join(words):
                problems.append(f"process {process.pid} is left")
    problems += [f"{path.name} is half-written" for path in state.folder().rglob("*.tmp")]
    if (more := _sockets() - sockets) > 0:
        problems.append(f"{more} connections are left")
    return problems


def _sockets() -> int:
    """Count this process's own connections."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED
        for each in psutil.Process().net_connections(kind="tcp")
    )


if __name__ == "__main__":
    sys.exit(main())
