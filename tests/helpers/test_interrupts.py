"""Ctrl-C, put off: real signals in this process."""

import signal
import threading
from collections.abc import Iterator

import pytest

from helpers.interrupts import Postponed


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Begin and end with Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, before)
    assert left is signal.default_int_handler


def press(done: list[str]) -> None:
    signal.raise_signal(signal.SIGINT)
    done.append("to its end")


def test_what_must_not_be_interrupted_goes_to_its_end() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), Postponed():
        press(done)
    assert done == ["to its end"]


def test_after_it_ctrl_c_counts_at_once() -> None:
    done: list[str] = []
    with Postponed():
        done.append("before")
    with pytest.raises(KeyboardInterrupt):
        press(done)
    assert done == ["before"]


def test_twice_is_once() -> None:
    done: list[str] = []

    def twice() -> None:
        with Postponed():
            press(done)
            press(done)

    with pytest.raises(KeyboardInterrupt):
        twice()
    assert len(done) == 2


def test_an_error_in_it_does_not_lose_it() -> None:
    def fail() -> None:
        with Postponed():
            press([])
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        fail()


def test_one_within_another() -> None:
    done: list[str] = []

    def nested() -> None:
        with Postponed():
            with Postponed():
                press(done)
            done.append("the outer one, too")

    with pytest.raises(KeyboardInterrupt):
        nested()
    assert done == ["to its end", "the outer one, too"]


def test_whoever_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    done: list[str] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Postponed():
            press(done)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert done == ["to its end"]


def test_other_threads_have_no_ctrl_c() -> None:
    done: list[str] = []

    def elsewhere() -> None:
        with Postponed():
            done.append("to its end")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert done == ["to its end"]
