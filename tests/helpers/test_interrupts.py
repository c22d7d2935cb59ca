"""Ctrl-C, put off: real signals in this process."""

import signal
import threading
from collections.abc import Iterator

import pytest

from helpers.interrupts import Interrupts


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Begin and end with Python's own handler."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    left = signal.signal(signal.SIGINT, before)
    assert left is signal.default_int_handler


def press(done: list[str]) -> str:
    signal.raise_signal(signal.SIGINT)
    done.append("to its end")
    return "answer"


def test_what_must_not_be_interrupted_goes_to_its_end() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.finish(press, done)
    assert done == ["to its end"]


def test_outside_of_it_ctrl_c_counts_at_once() -> None:
    done: list[str] = []
    with Interrupts() as interrupts:
        interrupts.finish(done.append, "before")
        with pytest.raises(KeyboardInterrupt):
            press(done)
    assert done == ["before"]


def test_twice_is_once() -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            interrupts.finish(twice)
        assert interrupts.finish(len, "and on") == 6


def test_an_error_of_the_function_does_not_lose_it() -> None:
    def fail() -> None:
        signal.raise_signal(signal.SIGINT)
        raise ValueError

    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):
        interrupts.finish(fail)


def test_one_within_another() -> None:
    done: list[str] = []
    with Interrupts(), Interrupts() as inner, pytest.raises(KeyboardInterrupt):
        inner.finish(press, done)
    assert done == ["to its end"]


def test_a_handler_that_somebody_set_meanwhile_stays() -> None:
    pressed = []
    with Interrupts():
        signal.signal(signal.SIGINT, lambda *received: pressed.append(received))
    signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert len(pressed) == 1


def test_whoever_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    done: list[str] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            assert interrupts.finish(press, done) == "answer"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_have_no_ctrl_c() -> None:
    found = []

    def elsewhere() -> None:
        with Interrupts() as interrupts:
            found.append(interrupts.finish(len, "abc"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [3]
