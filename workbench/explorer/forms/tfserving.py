"""The form of a signature of TensorFlow Serving, and the requests that it makes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w
from numpy.typing import NDArray

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError
from helpers.tfserving.signatures import Signature
from workbench import timing
from workbench.code.tfserving import not_in_json, preview
from workbench.explorer.calls import Request
from workbench.explorer.editors import Editor, untouched
from workbench.fields import Fields, status, version_text
from workbench.values.arrays import is_batched

Arrays = Mapping[str, NDArray]

_PAGE = 20  # editors shown at once: each of them costs a browser milliseconds


class _Editors(dict[str, Editor]):
    """Editors by the inputs' names, made when they are asked for."""

    def __init__(self, make: Callable[[str], Editor]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Editor:
        self[name] = self._make(name)
        return self[name]


class Form(w.VBox):
    """An editor for each input of a signature.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    signature_name : str
    signature : Signature
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        signature_name: str,
        signature: Signature,
        fields: Fields,
        changed: Callable[[], object],
    ) -> None:
        self.endpoint = endpoint.replace(signature_name=signature_name)
        self.signature = signature
        self.ways = ways_of(endpoint, signature)
        self._fields, self._changed = fields, changed
        self._untouched: dict[str, NDArray | CallError | None] = {}
        self.editors = _Editors(self._make)
        self.per_call = fields(
            w.BoundedIntText,
            "Examples a call",
            "0 sends all of them in one call",
            min=0,
            max=1_000_000,
        )
        self.timeout = fields.timeout(10.0)
        for field in (self.per_call, self.timeout):
            field.observe(lambda _: changed(), "value")
        batched = any(map(is_batched, signature.inputs.values()))
        self._last = [self.per_call, self.timeout] if batched else [self.timeout]
        names = list(signature.inputs)
        self._pages = [names[at : at + _PAGE] for at in range(0, len(names), _PAGE)]
        self.page = fields(
            w.Dropdown,
            "Inputs",
            f"Of {len(names)} inputs, {_PAGE} are shown at once",
            options=[(f"{each[0][:40]} to {each[-1][:40]}", each) for each in self._pages],
        )
        self.told = fields(w.HTML, " ", "")
        super().__init__()
        self.page.observe(lambda _: self._show_page(), "value")
        self._show_page()

    def fill(self, /, **values: Any) -> None:
        """Give inputs their values from a cell: array-likes, bytes of files, or paths."""
        for name, value in values.items():
            if name not in self.signature.inputs:
                known = list(self.signature.inputs)
                raise BadInput(f"There is no input {name!r}; there are {known}.")
            self.editors[name].fill(value)

    def check(self) -> bool:
        """Show beside each input whether it fits; returns whether all do."""
        fit = [editor.check() for editor in list(self.editors.values())]
        self.told.value = ""
        try:
            for name in self.signature.inputs:
                self._read(name)
        except CallError as error:
            self.told.value = status("red", str(error))
            return False
        return all(fit)

    def requests(self) -> list[Request]:
        """Return what is to be sent, one request for each call; BadInput when it cannot be."""
        read = {name: self._read(name) for name in self.signature.inputs}
        inputs = {name: array for name, array in read.items() if array is not None}
        return [self._request(part) for part in self._split(inputs)]

    def _make(self, name: str) -> Editor:
        optional = name in self.signature.optional
        spec = self.signature.inputs[name]
        return Editor(name, spec, self._fields, self._changed, optional=optional)

    def _show_page(self) -> None:
        """Show some of the editors; they are made when they are first shown, or filled."""
        top = [self.page, self.told] if len(self._pages) > 1 else []
        shown = self.page.value or []
        self.children = [*top, *(self.editors[name] for name in shown), *self._last]

    def _read(self, name: str) -> NDArray | None:
        if name in self.editors:
            return self.editors[name].read()
        if name not in self._untouched:
            optional = name in self.signature.optional
            try:
                value = untouched(name, self.signature.inputs[name], optional=optional)
            except CallError as error:
                self._untouched[name] = error
            else:
                self._untouched[name] = value
        found = self._untouched[name]
        if isinstance(found, CallError):
            raise found
        return found

    def _split(self, inputs: dict[str, NDArray]) -> list[dict[str, NDArray]]:
        size = self.per_call.value
        batched = [name for name in inputs if is_batched(self.signature.inputs[name])]
        if not size or not batched:
            return [inputs]
        counts = {len(inputs[name]) for name in batched}
        if len(counts) > 1:
            raise BadInput(
                f"The inputs have {sorted(counts)} examples: only inputs with equally many can be "
                "sent in several calls. Write 0 at 'Examples a call', or give equally many."
            )
        return [
            {n: v[at : at + size] if n in batched else v for n, v in inputs.items()}
            for at in range(0, max(counts.pop(), 1), size)
        ]

    def _request(self, inputs: dict[str, NDArray]) -> Request:
        endpoint, timeout = self.endpoint, self.timeout.value
        return Request(
            endpoint,
            target(endpoint),
            inputs,
            self.ways,
            partial(_predict, endpoint, inputs, timeout),
            partial(preview, endpoint, "", self.signature, inputs, timeout=timeout),
        )


def ways_of(endpoint: Endpoint, signature: Signature) -> tuple[str, ...]:
    """Return over which protocols a signature can be called: `grpc`, `rest` or both."""
    no_rest = not endpoint.rest or not_in_json(signature)
    return (*(["grpc"] if endpoint.grpc else []), *([] if no_rest else ["rest"]))


def target(endpoint: Endpoint) -> str:
    """Say which model and signature are called."""
    which = version_text(endpoint)
    return f"{endpoint.model}{f' {which}' if which else ''} · {endpoint.signature_name}"


def _predict(endpoint: Endpoint, inputs: Arrays, timeout: float, way: str) -> dict[str, NDArray]:
    if way == "grpc":  # in parts, which `predict` does not tell
        outputs = timing.timeline(endpoint, inputs, timeout=timeout).outputs
    else:
        outputs = tfserving.predict(endpoint, inputs, timeout=timeout, protocol=way)
    return dict(sorted(outputs.items()))  # gRPC keeps no order
