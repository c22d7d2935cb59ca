"""The form that fits what is chosen."""

from collections.abc import Callable
from typing import Any

from helpers import snippets
from helpers.explorer.catalog import Entry
from helpers.explorer.form import Form
from helpers.explorer.form_ccai import CcaiForm
from helpers.explorer.form_examples import ExamplesForm
from helpers.explorer.form_modelarts import ModelArtsForm
from helpers.fields import Fields


def make(entry: Entry, signature_name: str, fields: Fields, changed: Callable[[], object]) -> Any:
    """Make a form; None for what cannot be called.

    Parameters
    ----------
    entry : Entry
    signature_name : str
        Of a model.
    fields : Fields
    changed : callable
        Called without arguments after each change.

    Returns
    -------
    Form, ExamplesForm, CcaiForm, ModelArtsForm or None
        Widgets with `ways`, `fill`, `check` and `requests`.
    """
    if entry.endpoint.kind == "ccai":
        return CcaiForm(entry.endpoint, entry.name, fields, changed)
    if entry.endpoint.kind == "modelarts":
        return ModelArtsForm(entry.endpoint, entry.name, fields, changed)
    if not entry.signatures or signature_name not in entry.signatures:
        return None
    signature = entry.signatures[signature_name]
    kind = Form if snippets.method(signature) == "predict" else ExamplesForm
    return kind(entry.endpoint, signature_name, signature, fields, changed)
