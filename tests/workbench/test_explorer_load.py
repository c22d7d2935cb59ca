"""The explorer's load test says what it will do, does so much and no more, and stops at once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.endpoints import Endpoint
from practice.instance import PrivateEndpoint
from tests.tfserving import eventually
from workbench.explorer import Explorer
from workbench.explorer.calls import Request
from workbench.explorer.load import Load, _announced


@pytest.fixture
def explorer(
    private: PrivateEndpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Explorer]:
    monkeypatch.chdir(tmp_path)
    made = Explorer(private)
    made.choose("iris")
    made.tabs.selected_index = 3
    yield made
    made.close()
    private.trouble()


def begin(explorer: Explorer, count: int, in_flight: int) -> None:
    explorer.load.count.value = count
    explorer.load.in_flight.value = in_flight
    explorer.load.prepare.click()
    explorer.wait()
    explorer.load.begin.click()
    explorer.wait()


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_so_many_calls_are_made_and_their_latency_is_told(
    explorer: Explorer, protocol: str
) -> None:
    explorer.protocol.value = (protocol,)
    begin(explorer, 50, 4)
    eventually(lambda: "50 calls were made" in explorer.load.result.value)
    for words in ("p50", "p99", "longest", "a second", "<img"):
        assert words in explorer.load.result.value
    assert "Errors" not in explorer.load.result.value
    assert not explorer.history.records


def test_nothing_is_sent_before_it_was_said_what_to_whom_and_pressed(explorer: Explorer) -> None:
    pane = explorer.load
    assert pane.begin.disabled
    pane.begin.click()
    pane.prepare.click()
    explorer.wait()
    address = explorer.endpoint.grpc
    assert f"100 calls to iris · serving_default at {address} over gRPC, 8 at" in pane.plan.value
    assert "on this machine" in pane.plan.value
    pane.count.value = 5
    assert pane.begin.disabled
    assert not pane.plan.value, "it is to be said anew"
    pane.begin.click()
    explorer.wait()
    assert not pane.result.value


def test_another_machine_is_named() -> None:
    endpoint = Endpoint("tfserving", grpc="192.0.2.7:8500", rest="https://example.org:8501")
    request = Request(endpoint, "m", {}, ("grpc", "rest"), print, print)  # type: ignore[arg-type]
    for protocol, host in (("grpc", "192.0.2.7"), ("rest", "example.org")):
        words = _announced(Load(request, protocol, 10, 2, print))
        assert f"{host} is another machine: ask whose it is" in words


def test_errors_are_counted_by_class(explorer: Explorer, private: PrivateEndpoint) -> None:
    private.trouble(delay=600)
    explorer.form.timeout.value = 0.05
    begin(explorer, 6, 3)
    eventually(lambda: "6 calls were made" in explorer.load.result.value)
    assert "DeadlineExceeded" in explorer.load.result.value


def test_it_stops_at_once_and_leaves_no_thread(
    explorer: Explorer, private: PrivateEndpoint
) -> None:
    private.trouble(delay=600)
    begin(explorer, 1000, 3)
    assert "0 of 1000 calls" in explorer.load.result.value
    explorer.load.stop.click()
    explorer.wait()
    assert "Stopped after 0 calls" in explorer.load.result.value
    eventually(lambda: not any(each.name.startswith("load ") for each in threading.enumerate()))
    private.trouble()
    begin(explorer, 1, 3)
    eventually(lambda: "1 call was made" in explorer.load.result.value)
