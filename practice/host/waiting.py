"""Whether the caller still waits for its answer: what takes long asks between its steps."""

from collections.abc import Callable
from contextvars import ContextVar

_WAITS: ContextVar[Callable[[], bool]] = ContextVar("waits", default=lambda: True)


class caller:  # noqa: N801  (a context manager; a generator's takes five times as long)
    """Let `waits` tell, within the block, whether the caller is still there."""

    def __init__(self, waits: Callable[[], bool]) -> None:
        self._waits = waits

    def __enter__(self) -> None:
        self._token = _WAITS.set(self._waits)

    def __exit__(self, *error: object) -> None:
        _WAITS.reset(self._token)


def question() -> Callable[[], bool]:
    """Return what tells, in other threads too, whether the caller of now still waits."""
    return _WAITS.get()


def is_over() -> bool:
    """Whether the caller has gone, or its deadline has passed."""
    return not question()()
