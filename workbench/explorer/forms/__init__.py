"""The form that fits what is chosen."""

from collections.abc import Callable
from typing import Any

from workbench.code.tfserving import method
from workbench.explorer.catalog import Entry
from workbench.explorer.forms.ccai import CcaiForm
from workbench.explorer.forms.examples import ExamplesForm
from workbench.explorer.forms.modelarts import ModelArtsForm
from workbench.explorer.forms.tfserving import Form
from workbench.fields import Fields


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
    kind = Form if method(signature) == "predict" else ExamplesForm
    return kind(entry.endpoint, signature_name, signature, fields, changed)
