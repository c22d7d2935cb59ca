"""Clients that know every right answer, and what came of their calls."""

import collections
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from helpers import tfserving
from helpers.endpoints import Endpoint

Answers = dict[str, np.ndarray]
_CHANCE = np.random.default_rng(20261121)
_INPUTS = {
    "iris": {"features": _CHANCE.uniform(0.1, 7, (2, 4)).astype("f4")},
    "digits": {"images": _CHANCE.random((1, 8, 8, 1), "f4")},
}


class Question(NamedTuple):
    """What is asked for, and the answers that are right: several where a label may move."""

    model: str
    which: dict[str, Any]
    right: list[Answers]


@dataclasses.dataclass
class Outcome:
    """What came of the calls over one protocol."""

    right: int = 0
    wrong: int = 0
    lost: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self.right + self.wrong + self.lost.total()


def questions(models: Path) -> list[Question]:
    """Ask LiteRT itself, without a service, for the right answers.

    Parameters
    ----------
    models : Path
        Holds iris with one version and digits with two.
    """
    iris = _alone(models / "iris" / "1", "iris")
    first, second = (_alone(models / "digits" / number, "digits") for number in "12")
    return [
        Question("iris", {}, [iris]),
        Question("digits", {}, [second]),
        Question("iris", {}, [iris]),
        Question("digits", {"version": 1}, [first]),
        Question("digits", {"version": 2}, [second]),
        Question("digits", {"version_label": "stable"}, [first, second]),
    ]


def call_all(
    endpoint: Endpoint, asked: list[Question], requests: int, threads: int
) -> Iterator[dict[str, Outcome]]:
    """Make calls from many threads, every fourth of them over REST; yields until all are done.

    Each call that ends with any exception counts as lost.
    """
    outcomes = {"grpc": Outcome(), "rest": Outcome()}
    numbers, lock = iter(range(requests)), threading.Lock()

    def client(number: int) -> None:
        protocol = "rest" if number % 4 == 0 else "grpc"
        turns = itertools.cycle(asked[number % len(asked) :] + asked[: number % len(asked)])
        for question in turns:
            with lock:
                if next(numbers, None) is None:
                    return
            began = time.perf_counter()
            note = _outcome(endpoint, question, protocol)
            with lock:
                outcomes[protocol].seconds.append(time.perf_counter() - began)
                note(outcomes[protocol])

    pool = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(threads)]
    for each in pool:
        each.start()
    for each in pool:
        while each.is_alive():
            each.join(0.2)
            yield outcomes
    yield outcomes


def _outcome(endpoint: Endpoint, question: Question, protocol: str) -> Callable[[Outcome], None]:
    called = endpoint.replace(model=question.model, **question.which)
    inputs = _INPUTS[question.model]
    try:
        found = tfserving.predict(called, inputs, check=False, protocol=protocol, timeout=60)
    except Exception as error:  # whatever it is, the call is lost
        text = f"{type(error).__name__}: {error}"[:200]
        return lambda outcome: outcome.lost.update([text])
    if any(_same(found, right) for right in question.right):
        return _count_right
    return _count_wrong


def _count_right(outcome: Outcome) -> None:
    outcome.right += 1


def _count_wrong(outcome: Outcome) -> None:
    outcome.wrong += 1


def _same(found: Answers, right: Answers) -> bool:
    return found.keys() == right.keys() and all(
        np.array_equal(found[name], right[name]) for name in right
    )


def _alone(folder: Path, model: str) -> Answers:
    interpreter = Interpreter(str(folder / "model.tflite"), num_threads=1)
    return interpreter.get_signature_runner("serving_default")(**_INPUTS[model])
