"""The dial for faults, turned without a browser."""

from collections.abc import Iterator

import numpy as np
import pytest

import practice
from helpers import tfserving
from helpers.endpoints import Endpoint
from practice import dial
from practice.dial import FaultDial
from practice.state import PracticeError


def call(endpoint: Endpoint) -> None:
    flower = np.ones((1, 4), np.float32)
    tfserving.predict(endpoint.replace(model="iris"), {"features": flower}, check=False)


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultDial]:
    monkeypatch.setattr(dial, "CALLS", 10)
    with practice.private("tfserving") as service:
        yield FaultDial(service, call, rate=0)


def test_without_faults_both_succeed(turned: FaultDial) -> None:
    assert turned.without.succeeded == turned.with_retries.succeeded == 1
    assert 'alt="Without retries 100%' in turned.plot.value
    assert "data:image/png;base64,iVBOR" in turned.plot.value
    assert "Without retries 100% of 10 calls succeeded" in turned.words.value


def test_turning_it_calls_again(turned: FaultDial) -> None:
    before = turned.plot.value
    turned.rate.value = 60
    assert turned.without.succeeded < 1
    assert turned.with_retries.succeeded > turned.without.succeeded
    assert turned.plot.value != before


@pytest.mark.filterwarnings("error")
def test_at_the_end_of_the_dial_nothing_succeeds(
    turned: FaultDial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "CALLS", 2)  # each with all its retries, and the waits between them
    turned.rate.value = 100
    assert turned.without.succeeded == turned.with_retries.succeeded == 0


def test_after_a_turn_the_service_is_well_again(turned: FaultDial) -> None:
    turned.rate.value = 50
    call(turned.service)


def test_when_its_service_has_ended_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "CALLS", 2)
    with practice.private("tfserving") as service:
        turned = FaultDial(service, call, rate=0)
    with pytest.raises(PracticeError, match="This private service has ended. Run the cell"):
        turned.rate.value = 10
    assert "This private service has ended" in turned.words.value


def test_its_plain_text_is_the_same_in_every_run(turned: FaultDial) -> None:
    assert repr(turned) == "FaultDial()"
