"""The form that fits what is chosen."""

from collections.abc import Callable

from workbench.code.tfserving import method
from workbench.explorer.catalog import Entry
from workbench.explorer.forms.ccai import CcaiForm
from workbench.explorer.forms.form import Form
from workbench.explorer.forms.modelarts import ModelArtsForm
from workbench.explorer.forms.tfserving import ExamplesForm, PredictForm
from workbench.fields import Fields

_KINDS: dict[str, type[Form]] = {"ccai": CcaiForm, "modelarts": ModelArtsForm}


def make(
    entry: Entry, signature_name: str, fields: Fields, changed: Callable[[], object]
) -> Form | None:
    """Make the form of what is called; None for what cannot be.

    Parameters
    ----------
    entry : Entry
    signature_name : str
        Of a model.
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """
    kind = _KINDS.get(entry.endpoint.kind)
    if not kind:
        if not entry.signatures or signature_name not in entry.signatures:
            return None
        call = method(entry.signatures[signature_name])
        kind = PredictForm if call == "predict" else ExamplesForm
    return kind(entry, signature_name, fields, changed)
