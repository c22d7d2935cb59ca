"""Eight clients that call every service, and what came of their calls."""

import collections
import contextlib
import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers import ccai, channels, errors, modelarts, tfserving
from helpers.endpoints import Endpoint

CLIENTS = 8
DEADLINE = 10.0  # seconds that each call has
SLACK = 2.0  # seconds after its deadline at which a call counts as one that never ended
_DIGIT = (Path(__file__).parents[2] / "data" / "images" / "digit.png").read_bytes()
_FLOWERS = np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32)
_ROW = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}


def _tfserving(endpoint: Endpoint) -> bool:
    found = tfserving.predict(
        endpoint.replace(model="iris"), {"features": _FLOWERS}, check=False, timeout=DEADLINE
    )
    return found["probabilities"].argmax(axis=1).tolist() == [0, 2]


def _modelarts(endpoint: Endpoint) -> bool:
    body = {"data": {"req_data": [_ROW]}}
    found = modelarts.infer_json(endpoint, body, timeout=DEADLINE)
    return found["data"]["resp_data"] == [{**_ROW, "predictresult": "Iris-virginica"}]


def _ccai_rest(endpoint: Endpoint) -> bool:
    return ccai.classify(endpoint, _DIGIT, timeout=DEADLINE)[0].name == "four"


def _ccai_grpc(endpoint: Endpoint) -> bool:
    found = ccai.classify(endpoint, _DIGIT, protocol="grpc", timeout=DEADLINE)
    return found[0].name == "four"


CALLS: dict[str, list[Callable[[Endpoint], bool]]] = {
    "tfserving": [_tfserving],
    "modelarts": [_modelarts],
    "ccai": [_ccai_rest, _ccai_grpc],
}


@dataclasses.dataclass
class Outcome:
    """What came of the calls to one service."""

    right: int = 0
    errors: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[str] = dataclasses.field(default_factory=list)
    slowest: float = 0.0
    memory: int = 0  # MB that the service has grown by, where the scenario measures it

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return self.right + self.errors.total() + len(self.wrong)

    @property
    def share(self) -> float:
        """The share that was answered right."""
        return self.right / self.calls if self.calls else 0.0

    def misses(self, promised: float) -> bool:
        """Whether so many failures would come less than once in 1,000 runs if the promise held.

        A share alone cannot tell: one failure of 800 is more than 0.1%, and no surprise.
        """
        if not promised:
            return False
        likely, fewer = promised**self.calls, 0.0  # of no failure; of fewer than there were
        for failures in range(self.calls - self.right):
            fewer += likely
            likely *= (self.calls - failures) / (failures + 1) * (1 - promised) / promised
        return 1 - fewer < 0.001

    def note(self, problem: str, wrong: str, seconds: float) -> None:
        """Count a call."""
        self.slowest = max(self.slowest, seconds)
        if wrong:
            self.wrong.append(wrong)
        elif problem:
            self.errors[problem] += 1
        else:
            self.right += 1


def _tried(call: Callable, place: Callable[[], Endpoint]) -> tuple[str, str, float]:
    """Call once; returns the error of the tree, what else went wrong, and the seconds."""
    began = time.monotonic()
    problem, wrong = "", ""
    try:
        wrong = "" if call(place().replace(retries=4)) else "a wrong answer"
    except errors.CallError as error:
        problem = type(error).__name__
    except Exception as error:  # none of our tree
        wrong = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - began
    if seconds > DEADLINE + SLACK:
        wrong = wrong or f"it took {seconds:.1f} s"
    return problem, wrong, seconds


@contextlib.contextmanager
def calling(places: Mapping[str, Callable[[], Endpoint]]) -> Iterator[dict[str, Outcome]]:
    """Let eight clients call the services until the block ends.

    Parameters
    ----------
    places : dict of str to callable
        For each service what returns its endpoint; asked anew for each call, as `load` is.
    """
    outcomes = {name: Outcome() for name in places}
    ended, lock = threading.Event(), threading.Lock()

    def client(number: int) -> None:
        turns = [(name, call) for name in places for call in CALLS[name]]
        for name, call in itertools.cycle(
            turns[number % len(turns) :] + turns[: number % len(turns)]
        ):
            if ended.is_set():
                return
            problem, wrong, seconds = _tried(call, places[name])
            with lock:
                outcomes[name].note(problem, wrong, seconds)

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join(DEADLINE + SLACK + 5)
        stuck = sum(thread.is_alive() for thread in threads)
        if stuck:
            next(iter(outcomes.values())).wrong.append(f"{stuck} calls never ended")
        channels.close()


def once(endpoint: Any, name: str) -> None:
    """Call a service once, so that its engine is loaded and a token is there."""
    for call in CALLS[name]:
        call(endpoint)
