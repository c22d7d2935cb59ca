"""What is measured: real work against the clock, and real calls held up on their way."""

import contextlib
import functools
import socket
import subprocess
import sys
import threading
import time
import timeit
from collections.abc import Callable, Iterator

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from helpers import channels, errors
from helpers.endpoints import Endpoint
from helpers.tfserving import codec
from helpers.tfserving import grpc as tfserving_grpc
from workbench import timing
from workbench.timing import compare, ratios, timeline

PARTS = ("connect", "encode", "send", "wait", "receive", "decode")
IRIS = {"features": np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)}
MANY = {"features": np.ones((625_000, 4), np.float32)}  # 10 MB there, 7.5 MB back
HELD = 1.0  # seconds, many times what a part takes otherwise


def work(seconds: float) -> None:
    """Keep Python busy for so long."""
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        pass


# Contenders.


def test_contenders_take_turns() -> None:
    called = []

    def contender(name: str) -> Callable[[], None]:
        return lambda: called.append(name) or work(0.01)  # type: ignore[func-returns-value]

    compare({"a": contender("a"), "b": contender("b")}, rounds=4)
    assert called[-8:] == ["a", "b"] * 4


class Clock:
    """Goes on only when it is told to: the machine's own would also count what others do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.calls = 0.0, 0
        timer = functools.partial(timeit.Timer, timer=lambda: self.now)
        monkeypatch.setattr(timing.timeit, "Timer", timer)

    def work(self, seconds: float) -> None:
        self.now += seconds
        self.calls += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_figure_is_the_seconds_of_one_call(clock: Clock) -> None:
    (figures,) = compare({"work": lambda: clock.work(0.002)}, rounds=9).values()
    assert figures.tolist() == pytest.approx([0.002] * 9)
    assert clock.calls > 9


def test_a_fast_function_is_called_until_a_clock_can_tell(clock: Clock) -> None:
    (figures,) = compare({"fast": lambda: clock.work(1e-6)}, rounds=5).values()
    assert clock.calls > 10_000
    assert figures.tolist() == pytest.approx([1e-6] * 5)


def test_a_slow_first_call_is_no_figure(clock: Clock) -> None:
    late = iter([0.05])
    (figures,) = compare({"late": lambda: clock.work(next(late, 1e-5))}, rounds=5).values()
    assert figures.tolist() == pytest.approx([1e-5] * 5)


def test_the_clock_is_the_machines() -> None:
    (figures,) = compare({"work": lambda: work(0.002)}, rounds=3).values()
    assert figures.min() >= 0.002


def test_what_a_contender_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        compare({"bad": lambda: 1 // 0})


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_shows_after_two_seconds(
    progress: bool, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    compare({"quick": lambda: work(0.01)}, progress=progress)
    assert capsys.readouterr() == ("", "")
    compare({"slow": lambda: work(0.25)}, rounds=10, progress=progress)
    assert ("measurements" in capsys.readouterr().err) == progress


LONG = """
import time
from workbench.timing import compare
figures = compare({"sleep": lambda: time.sleep(0.25)}, rounds=10)
print(len(figures["sleep"]))
"""


def test_a_notebook_can_do_without_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LONG)])
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    (output,) = notebook.cells[0].outputs
    assert output["text"] == "10\n"


def test_ratios_are_medians_of_rounds_and_not_of_figures() -> None:
    figures = {"first": [1, 10, 1], "other": [2, 20, 30]}
    assert ratios(figures) == {"first": 1.0, "other": 2.0}


def test_no_contender_has_no_ratio() -> None:
    assert ratios(compare({})) == {}


# A call, taken apart.


class Relay:
    """Passes bytes to a service and back, and stops for a while where it is told to."""

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._held = {"there": 0, "back": 0}  # bytes until it stops; 0 is never
        self._closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self, way: str, after: int) -> None:
        """Stop once, for `HELD` seconds, when so many more bytes have come."""
        self._held[way] = after

    def close(self) -> None:
        self._closed.set()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            near, _ = self._listener.accept()
            far = socket.create_connection(self._target)
            back = threading.Thread(target=self._pass, args=(far, near, "back"), daemon=True)
            back.start()
            self._pass(near, far, "there")
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError), target:
            while data := source.recv(65536):
                if left := self._held[way]:
                    self._held[way] = max(left - len(data), 0)
                    if not self._held[way]:
                        self._closed.wait(HELD)
                target.sendall(data)


@pytest.fixture
def iris(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(model="iris")


@pytest.fixture
def relay(iris: Endpoint) -> Iterator[Relay]:
    opened = Relay(iris.grpc)
    yield opened
    opened.close()


def test_the_answer_is_the_one_of_an_ordinary_call(iris: Endpoint) -> None:
    method = channels.channel(iris).unary_unary(tfserving_grpc.PREDICT)
    plain = codec.decode_predict(method(codec.encode_predict("iris", IRIS), timeout=10))
    outputs = timeline(iris, IRIS).outputs
    assert outputs.keys() == plain.keys()
    assert (outputs["probabilities"] == plain["probabilities"]).all()


@pytest.mark.parametrize("inputs", [IRIS, MANY], ids=["small", "large"])
def test_the_parts_are_the_whole(iris: Endpoint, inputs: dict) -> None:
    began = time.perf_counter()
    found = timeline(iris, inputs, timeout=60)
    whole = time.perf_counter() - began
    assert min(found[:6]) >= 0
    assert whole - 0.1 < sum(found[:6]) <= whole


@pytest.mark.parametrize(
    ("part", "inputs", "way", "after"),
    [
        ("send", MANY, "there", 1_000_000),
        ("wait", IRIS, "there", 1),
        ("wait", IRIS, "back", 1),
        ("receive", MANY, "back", 1_000_000),
    ],
)
def test_what_takes_long_is_in_its_part(
    iris: Endpoint, relay: Relay, part: str, inputs: dict, way: str, after: int
) -> None:
    there = iris.replace(grpc=relay.address)
    timeline(there, IRIS)
    relay.hold(way, after)
    found = timeline(there, inputs, timeout=60)
    assert getattr(found, part) > 0.9 * HELD
    assert max(PARTS, key=lambda each: getattr(found, each)) == part


def test_connecting_is_in_connect(iris: Endpoint, relay: Relay) -> None:
    relay.hold("back", 1)  # the service's first words
    there = iris.replace(grpc=relay.address)
    assert timeline(there, IRIS).connect > 0.9 * HELD
    assert timeline(there, IRIS).connect < 0.5 * HELD


def test_sending_takes_longer_for_more_bytes(iris: Endpoint) -> None:
    small = [timeline(iris, IRIS).send for _ in range(5)]
    large = [timeline(iris, MANY, timeout=60).send for _ in range(5)]
    assert np.median(large) > 2 * np.median(small)


def test_no_thread_is_left(iris: Endpoint) -> None:
    before = threading.active_count()
    for _ in range(20):
        timeline(iris, IRIS)
    ends = time.monotonic() + 60
    while threading.active_count() > before:
        assert time.monotonic() < ends, threading.enumerate()
        time.sleep(0.01)  # the pace of asking, not a guess at when it is so


ENDS = """
import sys
import numpy as np
from helpers.endpoints import Endpoint
from workbench.timing import timeline
endpoint = Endpoint("tfserving", grpc=sys.argv[1], model="iris")
for _ in range(3):
    timeline(endpoint, {"features": np.ones((1, 4), np.float32)})
"""


def test_a_program_may_end_right_after_it(iris: Endpoint) -> None:
    command = [sys.executable, "-c", ENDS, iris.grpc]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("change", "inputs", "kind"),
    [
        ({"model": "no-such"}, IRIS, errors.UnknownModel),
        ({"signature_name": "no-such"}, IRIS, errors.UnknownSignature),
        ({"grpc": "127.0.0.1:1"}, IRIS, errors.ConnectionFailed),
        ({"grpc": ""}, IRIS, errors.BadInput),
        ({}, {"features": np.ones((1, 4))}, errors.BadInput),
        ({}, {"features": [object()]}, errors.BadInput),
        ({}, IRIS["features"], errors.BadInput),
    ],
)
def test_errors_are_those_of_the_tree(
    iris: Endpoint, change: dict, inputs: dict, kind: type[errors.CallError]
) -> None:
    began = time.monotonic()
    with pytest.raises(kind):
        timeline(iris.replace(**change), inputs, timeout=120)
    assert time.monotonic() - began < 60, "the deadline was waited for"


def test_a_signature_goes_before_the_endpoints(iris: Endpoint) -> None:
    with pytest.raises(errors.UnknownSignature, match="no-such"):
        timeline(iris, IRIS, signature_name="no-such")


def test_the_version_is_sent(iris: Endpoint) -> None:
    with pytest.raises(errors.UnknownModel):
        timeline(iris.replace(version=9), IRIS)


def test_one_deadline_is_for_all_parts(
    iris: Endpoint, tcp_server: Callable[[bytes | None], str]
) -> None:
    began = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        timeline(iris.replace(grpc=tcp_server(None)), IRIS, timeout=0.5)
    assert 0.4 < time.monotonic() - began < 60
