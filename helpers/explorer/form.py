"""The form of a signature of TensorFlow Serving, and the requests that it makes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w
from numpy.typing import NDArray

from helpers import snippets, tfserving, timing
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.explorer.calls import Request
from helpers.explorer.editors import Editor
from helpers.explorer.preview import preview
from helpers.fields import Fields
from helpers.signatures import Signature, TensorSpec

Arrays = Mapping[str, NDArray]


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
        self.editors = {
            name: Editor(name, spec, fields, changed, optional=name in signature.optional)
            for name, spec in signature.inputs.items()
        }
        self.per_call = fields(
            w.BoundedIntText, "Examples a call", "0 sends all of them in one call",
            min=0, max=1_000_000,
        )  # fmt: skip
        self.timeout = fields(
            w.BoundedFloatText, "Timeout (s)", "Seconds until a call is given up",
            value=10.0, min=0.001, max=86_400,
        )  # fmt: skip
        for field in (self.per_call, self.timeout):
            field.observe(lambda _: changed(), "value")
        batched = any(map(_is_batched, signature.inputs.values()))
        last = [self.per_call, self.timeout] if batched else [self.timeout]
        super().__init__([*self.editors.values(), *last])

    def fill(self, **values: Any) -> None:
        """Give inputs their values from a cell: array-likes, bytes of files, or paths."""
        for name, value in values.items():
            if name not in self.editors:
                raise BadInput(f"There is no input {name!r}; there are {list(self.editors)}.")
            self.editors[name].fill(value)

    def check(self) -> bool:
        """Show beside each input whether it fits; returns whether all do."""
        found = [editor.check() for editor in self.editors.values()]
        return all(found)

    def requests(self) -> list[Request]:
        """Return what is to be sent, one request for each call; BadInput when it cannot be."""
        read = {name: editor.read() for name, editor in self.editors.items()}
        inputs = {name: array for name, array in read.items() if array is not None}
        return [self._request(part) for part in self._split(inputs)]

    def _split(self, inputs: dict[str, NDArray]) -> list[dict[str, NDArray]]:
        size = self.per_call.value
        batched = [name for name in inputs if _is_batched(self.signature.inputs[name])]
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
    no_rest = not endpoint.rest or snippets.not_in_json(signature)
    return (*(["grpc"] if endpoint.grpc else []), *([] if no_rest else ["rest"]))


def target(endpoint: Endpoint) -> str:
    """Say which model and signature are called."""
    which = endpoint.version or endpoint.version_label
    return f"{endpoint.model}{f' {which}' if which else ''} · {endpoint.signature_name}"


def _is_batched(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape[:1] == (-1,)  # type: ignore[index]


def _predict(endpoint: Endpoint, inputs: Arrays, timeout: float, way: str) -> dict[str, NDArray]:
    if way == "grpc":  # in parts, which `predict` does not tell
        outputs = timing.timeline(endpoint, inputs, timeout=timeout).outputs
    else:
        outputs = tfserving.predict(endpoint, inputs, timeout=timeout, over=way)
    return dict(sorted(outputs.items()))  # gRPC keeps no order
