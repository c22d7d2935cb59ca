"""Whether the caller still waits for its answer: what takes long asks between its steps."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_WAITS: ContextVar[Callable[[], bool]] = ContextVar("waits", default=lambda: True)


@contextlib.contextmanager
def caller(waits: Callable[[], bool]) -> Iterator[None]:
    """Let `waits` tell, within the block, whether the caller is still there."""
    token = _WAITS.set(waits)
    try:
        yield
    finally:
        _WAITS.reset(token)


def question() -> Callable[[], bool]:
    """Return what tells, in other threads too, whether the caller of now still waits."""
    return _WAITS.get()


def is_over() -> bool:
    """Whether the caller has gone, or its deadline has passed."""
    return not question()()
