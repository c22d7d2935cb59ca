"""What the forms of all services share: a timeout, a word on what is there, and requests."""

import json
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from helpers.errors import BadInput, CallError
from helpers.language import _
from workbench.code.previews import Writer
from workbench.explorer.calls import Request
from workbench.explorer.catalog import Entry
from workbench.fields import Fields, status


class Form(w.VBox):
    """What a call takes; a service's own form makes the fields for it, fills and reads them.

    Parameters
    ----------
    entry : Entry
        What is called.
    signature_name : str
        Of a model.
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """

    TIMEOUT = 10.0  # seconds, to begin with
    protocols: tuple[str, ...]  # over which it can be called
    fill: Any  # from a cell: a method, whose arguments are the form's own

    def __init__(
        self, entry: Entry, signature_name: str, fields: Fields, changed: Callable[[], object]
    ) -> None:
        self.endpoint = entry.endpoint
        self.target = entry.name
        self.signature_name = signature_name
        self.signature: Any = entry.signatures.get(signature_name) if entry.signatures else None
        self.editors: dict[str, Any] = {}  # of inputs, by name; none where one thing is sent
        self._fields = fields
        self._changed = changed
        self.status = fields.status()
        self.timeout = fields.timeout(self.TIMEOUT, changed)
        super().__init__()
        self.make()

    def make(self) -> None:
        """Make the fields and show them."""
        raise NotImplementedError

    def fill_at_random(self) -> None:
        """Fill in something that can be sent; BadInput where nobody tells what that is."""
        raise BadInput(
            _(
                "{target} does not tell what it takes, so nothing can be made up. Fill in the "
                "form: the service's own page says with what.",
                target=self.target,
            )
        )

    def summary(self) -> str:
        """Say what would be sent; BadInput when nothing can be."""
        raise NotImplementedError

    def requests(self) -> list[Request]:
        """Return what is to be sent, one request for each call; BadInput when it cannot be."""
        raise NotImplementedError

    def fill_again(self, payload: Any) -> None:
        """Fill in what an earlier request sent."""
        self.fill(payload)

    def check(self) -> bool:
        """Show what would be sent, or why nothing can be; returns which of both."""
        try:
            words = self.summary()
        except CallError as error:
            self.status.value = status("red", str(error))
            return False
        self.status.value = status("green", words) if words else ""
        return True

    def field(self, kind: type, label: str, tooltip: str = "", **options: Any) -> Any:
        """Make a field whose changes count."""
        return self._fields(kind, label, tooltip, changed=self._changed, **options)

    def request(self, payload: Any, call: Callable[[str], Any], writer: Writer) -> Request:
        """Make a request of what is sent."""
        protocols = self.protocols
        return Request(self.endpoint, self.target, payload, protocols, call, writer.preview)


def read_json(text: str, problem: str) -> Any:
    """Read what was typed; BadInput says the problem, with what JSON has at `{error}`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(problem.format(error=error)) from error
