"""What came along with a model: example inputs, which fill in the form below, and its card."""

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import Signature
from workbench.code.tfserving import method
from workbench.fields import Fields, scrolling, status
from workbench.values import modelcards, warmup
from workbench.values.warmup import Example


class ExampleInputs(w.VBox):
    """The card and the requests that came with a model; of these, those that fit the form.

    Parameters
    ----------
    folder : str
        Of the SavedModel; empty where it is not on this machine.
    fields : Fields
    later : callable
        Given a function, has it called in the explorer's thread.
    """

    def __init__(
        self, folder: str, fields: Fields, later: Callable[[Callable[[], object]], object]
    ) -> None:
        self._fields = fields
        self._later = later
        self._form: Any = None
        self.examples: list[Example] = []
        self.problem = w.HTML()
        try:
            self.examples = warmup.read(folder) if folder else []
        except BadInput as error:
            self.problem.value = status("red", str(error))
        self.field = fields(
            w.Dropdown,
            _("Example inputs"),
            _("Requests that came with the model; one that is chosen fills in the form"),
            changed=self._choose,
        )
        self.cards = [
            w.HTML(f"<details><summary>{escape(name)}</summary>{scrolling(escape(text))}</details>")
            for name, text in (modelcards.read(folder) if folder else {}).items()
        ]
        super().__init__(self.cards)

    def offer(self, form: Any, signature_name: str) -> None:
        """Offer the requests that a form can take."""
        self._form = form
        fitting = [
            (example.title, number)
            for number, example in enumerate(self.examples)
            if form and _fits(example, form.signature, signature_name)
        ]
        with self._fields.quiet(self.field):
            self.field.options = [(_("choose one"), None), *fitting]
            self.field.value = None
        requests = [self.field] if fitting else [self.problem] if self.problem.value else []
        self.children = [*self.cards, *requests]

    def _choose(self) -> None:
        form = self._form
        if self.field.value is None or form is None:
            return
        example = self.examples[self.field.value]
        if example.method == "predict":
            self._later(lambda: form.fill(**example.inputs))
        else:
            self._later(lambda: form.fill(example.features))


def _fits(example: Example, signature: Signature | None, signature_name: str) -> bool:
    if not signature or (example.signature_name, example.method) != (
        signature_name,
        method(signature),
    ):
        return False
    return example.method != "predict" or set(example.request.inputs) <= set(signature.inputs)
