"""What the forms of services share that take one thing: a timeout, and a word on what is there."""

from collections.abc import Callable

import ipywidgets as w

from helpers.errors import CallError
from workbench.fields import Fields, status


class OneThing(w.VBox):
    """A form that `summary` sums up.

    Parameters
    ----------
    fields : Fields
    seconds : float
        The timeout to begin with.
    changed : callable
        Called without arguments after each change.
    """

    def __init__(self, fields: Fields, seconds: float, changed: Callable[[], object]) -> None:
        self._changed = changed
        self.timeout = fields.timeout(seconds)
        self.told = fields(w.HTML, " ", "")
        super().__init__()
        self._watch(self.timeout)

    def summary(self) -> str:
        """Say what would be sent; BadInput when nothing can be."""
        raise NotImplementedError

    def check(self) -> bool:
        """Show what would be sent, or why nothing can be; returns which of both."""
        try:
            words = self.summary()
        except CallError as error:
            self.told.value = status("red", str(error))
            return False
        self.told.value = status("green", words)
        return True

    def _watch(self, *fields: w.Widget) -> None:
        for field in fields:
            field.observe(lambda _: self._changed(), "value")
