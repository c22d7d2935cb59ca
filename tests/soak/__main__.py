"""Runs the soak, and writes the table in docs/measured.md."""

import argparse
import itertools
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from tqdm import tqdm

from tests import tables
from tests.soak.clients import Outcome, call_all, questions
from tests.tfserving import AVAILABLE, END, MODELS, Running, eventually, running, write_config

THREADS, REQUESTS = 16, 100_000
_GROWTH = 0.05  # of memory, from when a tenth of the requests is done


class Result(NamedTuple):
    """What there was in the end."""

    outcomes: dict[str, Outcome]
    seconds: float
    switches: int
    reloads: int
    memory: tuple[float, float]  # MB after a tenth of the requests, and in the end
    problems: list[str]


def main() -> int:
    """Run it; the exit status counts what is not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"default: {REQUESTS:,}")
    asked = parser.parse_args().requests
    result = run(asked)
    table = _table(result)
    print(table, *result.problems, sep="\n")
    if asked >= REQUESTS and not result.problems:
        tables.write("soak", table)
    return len(result.problems)


def run(requests: int) -> Result:
    """Let the clients call a service of their own while its models change."""
    with tempfile.TemporaryDirectory(prefix="otw-soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for model in ("iris", "digits"):
            shutil.copytree(MODELS / model, folder / "models" / model)
        deployer = Deployer(folder / "models")
        flags = ["--prefer_tflite_model", "--file_system_poll_wait_seconds=0.1"]
        config = write_config(folder / "models.config", *deployer.config(labels=False))
        with running(folder, config, *flags) as service:
            return _soak(service, deployer, requests)


def _soak(service: Running, deployer: "Deployer", requests: int) -> Result:
    eventually(lambda: list(service.states("digits").values()) == [AVAILABLE] * 2)
    service.reload(*deployer.config())
    asked = questions(MODELS)
    process, began = psutil.Process(service.process.pid), time.monotonic()
    memory: list[float] = []
    deployer.start(service)
    try:
        with tqdm(total=requests, unit="request") as bar:
            for outcomes in call_all(service.endpoint, asked, requests, THREADS):
                bar.update(sum(each.calls for each in outcomes.values()) - bar.n)
                if not memory and bar.n >= requests / 10:
                    memory.append(process.memory_info().rss / 1e6)
    finally:
        deployer.stop()
    seconds = time.monotonic() - began
    memory.append(process.memory_info().rss / 1e6)
    found = Result(
        outcomes, seconds, deployer.switches, deployer.reloads, (memory[0], memory[-1]), []
    )
    found.problems.extend([*deployer.problems, *_problems(found, requests, service.log())])
    return found


class Deployer:
    """Brings a new version of iris again and again, moves digits' label, adds a model, drops it.

    Parameters
    ----------
    models : Path
        A folder of models of its own.
    """

    def __init__(self, models: Path) -> None:
        self.switches = self.reloads = 0
        self.problems: list[str] = []
        self._models, self._stop = models, threading.Event()

    def config(self, stable: int = 1, *, labels: bool = True, more: bool = False) -> list[Any]:
        """Return the entries of a configuration."""
        digits = {"name": "digits", "base_path": self._models / "digits"}
        digits["model_version_policy"] = {"all": {}}
        if labels:
            digits["version_labels"] = {"stable": stable}
        entries = [{"name": "iris", "base_path": self._models / "iris"}, digits]
        return entries + ([digits | {"name": "more", "version_labels": {}}] if more else [])

    def start(self, service: Running) -> None:
        """Begin to change things, in a thread of its own."""
        self._thread = threading.Thread(target=self._work, args=(service,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End with the change that is being made."""
        self._stop.set()
        self._thread.join()

    def _work(self, service: Running) -> None:
        try:
            for number in itertools.count(2):
                self._switch(service, number)
                service.reload(*self.config(stable=number % 2 + 1, more=number % 3 == 0))
                self.reloads += 1
                if self._stop.wait(0.2):  # between two changes
                    return
        except Exception as error:  # it is told in the end
            self.problems.append(f"changing models failed: {type(error).__name__}: {error}")

    def _switch(self, service: Running, number: int) -> None:
        iris = self._models / "iris"
        draft = shutil.copytree(MODELS / "iris" / "1", self._models / "draft")
        Path(draft).rename(iris / str(number))
        eventually(lambda: service.states("iris").get(number) == AVAILABLE)
        eventually(lambda: service.states("iris")[number - 1] == END)
        shutil.rmtree(iris / str(number - 1))
        self.switches += 1


def _problems(result: Result, requests: int, log: str) -> list[str]:
    found = []
    for over, outcome in result.outcomes.items():
        if not outcome.calls:
            found.append(f"{over}: nobody called")
        if outcome.wrong:
            found.append(f"{over}: {outcome.wrong} wrong answers")
        found += [f"{over}: lost {count}: {text}" for text, count in outcome.lost.most_common(5)]
    if sum(each.calls for each in result.outcomes.values()) != requests:
        found.append("not every request was counted")
    if not (result.switches and result.reloads):
        found.append("no version was changed, or nothing reloaded")
    if "Traceback" in log:
        found.append("a traceback in the log")
    before, after = result.memory
    if requests >= REQUESTS and after > before * (1 + _GROWTH):
        found.append(f"memory grew from {before:.0f} to {after:.0f} MB")
    return found


def _table(result: Result) -> str:
    lines = ["| | requests | right | wrong | lost | median | slowest |", "|---" * 7 + "|"]
    for over, each in result.outcomes.items():
        name = {"grpc": "gRPC", "rest": "REST"}[over]
        lines.append(
            f"| {name} | {each.calls:,} | {each.right:,} | {each.wrong or 'none'} "
            f"| {each.lost.total() or 'none'} | {1000 * statistics.median(each.seconds):.0f} ms "
            f"| {max(each.seconds):.1f} s |"
        )
    calls, (before, after) = sum(each.calls for each in result.outcomes.values()), result.memory
    return "\n".join(lines) + (
        f"\n\n{THREADS} clients, {result.seconds:.0f} s ({calls / result.seconds:,.0f} requests "
        f"per second, clients on the same machine), {result.switches} versions and "
        f"{result.reloads} reloads meanwhile. Memory: {before:.1f} MB after a tenth of the "
        f"requests, {after:.1f} MB in the end ({100 * (after / before - 1):+.1f} %).\n"
    )


if __name__ == "__main__":
    sys.exit(main())
