"""The forms of TensorFlow Serving's signatures: an editor for each input, or examples as JSON."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench import timing
from workbench.code.tfserving import TfServingWriter, method, not_in_json
from workbench.explorer.calls import Request
from workbench.explorer.editors import RANDOM, Editor, examples_field, untouched
from workbench.explorer.forms.form import Form
from workbench.fields import WholeNumber, version_text
from workbench.values import examples
from workbench.values.arrays import is_batched

_PAGE = 20  # editors shown at once: each of them costs a browser milliseconds


class SignatureForm(Form):
    """A form for one signature of a model."""

    def make(self) -> None:
        """Name the signature, and the protocols over which it can be called."""
        self.endpoint = self.endpoint.replace(signature_name=self.signature_name)
        version = version_text(self.endpoint)
        model = f"{self.endpoint.model} {version}" if version else self.endpoint.model
        self.target = f"{model} · {self.signature_name}"
        protocols = ["grpc"] if self.endpoint.grpc else []
        if self.endpoint.rest and not not_in_json(self.signature):
            protocols.append("rest")
        self.protocols = tuple(protocols)


class PredictForm(SignatureForm):
    """An editor for each input of a signature."""

    def make(self) -> None:
        """Make the editors of the first page; the others are made when shown, or filled."""
        super().make()
        self.editors = _Editors(self._editor)
        self._untouched: dict[tuple[TensorSpec, bool, str], NDArray | None] = {}
        self._editors: list[Editor] = []  # that are shown
        self._children: tuple = ()
        self.per_call = self.field(
            WholeNumber,
            _("Examples a call"),
            _("Of a large batch; without a number, all are sent in one call"),
            placeholder=_("all"),
        )
        self.seed = self._fields(
            w.BoundedIntText,
            _("Seed"),
            _("The same seed gives the same random numbers"),
            changed=self._sow,
            max=2**31,
        )
        names = list(self.signature.inputs)
        self._pages = [names[start : start + _PAGE] for start in range(0, len(names), _PAGE)]
        self.page = self._fields(
            w.Dropdown,
            _("Inputs"),
            _("Of {count} inputs, {shown} are shown at once", count=len(names), shown=_PAGE),
            changed=self._show_page,
            options=[
                (_("{first} to {last}", first=page[0][:40], last=page[-1][:40]), page)
                for page in self._pages
            ],
        )
        self._show_page()

    def fill(self, /, **values: Any) -> None:
        """Give inputs their values from a cell: array-likes, bytes of files, or paths."""
        for name, value in values.items():
            if name not in self.signature.inputs:
                names = list(self.signature.inputs)
                raise BadInput(
                    _("There is no input {name!r}; there are {names}.", name=name, names=names)
                )
            self.editors[name].fill(value)

    def fill_at_random(self) -> None:
        """Fill in every input by chance."""
        for name in self.signature.inputs:
            self.editors[name].fill_at_random()

    def fill_again(self, payload: Mapping[str, NDArray]) -> None:
        """Fill in what an earlier request sent; what it left out is left out again."""
        for name in self.signature.inputs:
            self.editors[name].fill_again(payload.get(name))

    def check(self) -> bool:
        """Show beside each input whether it fits; returns whether all do."""
        self._show_fields()
        fit = [editor.check() for editor in list(self.editors.values())]
        return super().check() and all(fit)

    def summary(self) -> str:
        """Say nothing more than the editors; BadInput when an input cannot be sent."""
        for name in self.signature.inputs:
            self._read(name)
        return ""

    def requests(self) -> list[Request]:
        """Return what is to be sent, one request for each call; BadInput when it cannot be."""
        arrays = {name: self._read(name) for name in self.signature.inputs}
        inputs = {name: array for name, array in arrays.items() if array is not None}
        timeout = self.timeout.value
        return [
            self.request(
                part,
                partial(_predict, self.endpoint, part, timeout),
                TfServingWriter(self.endpoint, "", self.signature, part, timeout=timeout),
            )
            for part in self._split(inputs)
        ]

    def _editor(self, name: str) -> Editor:
        optional = name in self.signature.optional
        spec = self.signature.inputs[name]
        seed = self.seed.value
        return Editor(name, spec, self._fields, self._changed, optional=optional, seed=seed)

    def _show_page(self) -> None:
        self._editors = [self.editors[name] for name in self.page.value or []]
        self._show_fields()

    def _show_fields(self) -> None:
        """Show the inputs of a page, and what there is for all of them."""
        first = [self.page, self.status] if len(self._pages) > 1 else []
        is_random = any(editor.source.value == RANDOM for editor in self._editors)
        batched = any(map(is_batched, self.signature.inputs.values()))
        last = [*([self.seed] if is_random else []), *([self.per_call] if batched else [])]
        children = (*first, *self._editors, *last, self.timeout)
        if children != self._children:
            self.children = self._children = children

    def _sow(self) -> None:
        for editor in self.editors.values():
            editor.sow(self.seed.value)
        self._untouched = {}
        self._changed()

    def _read(self, name: str) -> NDArray | None:
        if name in self.editors:
            return self.editors[name].read()
        optional = name in self.signature.optional
        spec = self.signature.inputs[name]
        # Many inputs are often of few kinds. Of strings, the name tells whether they are examples.
        kind = (spec, optional, name if spec.dtype.kind == "O" else "")
        if kind not in self._untouched:
            value = untouched(name, spec, optional=optional, seed=self.seed.value)
            self._untouched[kind] = value
        return self._untouched[kind]

    def _split(self, inputs: dict[str, NDArray]) -> list[dict[str, NDArray]]:
        size = self.per_call.number
        batched = [name for name in inputs if is_batched(self.signature.inputs[name])]
        if not size or not batched:
            return [inputs]
        counts = {len(inputs[name]) for name in batched}
        if len(counts) > 1:
            raise BadInput(
                _(
                    "The inputs have {counts} examples: only inputs with equally many can be "
                    "sent in several calls. Leave 'Examples a call' empty, or give equally many.",
                    counts=sorted(counts),
                )
            )
        return [
            {n: v[start : start + size] if n in batched else v for n, v in inputs.items()}
            for start in range(0, max(counts.pop(), 1), size)
        ]


class _Editors(dict[str, Editor]):
    """Editors by the inputs' names, made when they are asked for."""

    def __init__(self, make: Callable[[str], Editor]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Editor:
        self[name] = self._make(name)
        return self[name]


def _predict(
    endpoint: Endpoint, inputs: Mapping[str, NDArray], timeout: float, protocol: str
) -> dict[str, NDArray]:
    if protocol == "grpc":  # in parts, which `predict` does not tell
        outputs = timing.timeline(endpoint, inputs, timeout=timeout).outputs
    else:
        outputs = tfserving.predict(endpoint, inputs, timeout=timeout, protocol=protocol)
    return dict(sorted(outputs.items()))  # gRPC keeps no order


class ExamplesForm(SignatureForm):
    """Examples, as `tf.train.Example` has them, for Classify and Regress."""

    def make(self) -> None:
        """Make the field for the examples."""
        super().make()
        self.examples = examples_field(self.field)
        self.children = [self.examples, self.status, self.timeout]

    def fill(self, value: list[dict[str, Any]]) -> None:
        """Give the examples from a cell; BadInput when JSON cannot hold them."""
        self.examples.value = examples.write(value)

    def fill_at_random(self) -> None:
        """Fill in an example without features: the service says which ones it misses."""
        self.fill([{}])

    def summary(self) -> str:
        """Say how many examples there are; BadInput when they are none."""
        return examples.described(examples.read(self.examples.value))

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        given = examples.read(self.examples.value)
        timeout = self.timeout.value
        infer = _regress if method(self.signature) == "regress" else _classify
        call = partial(infer, self.endpoint, given, timeout)
        writer = TfServingWriter(
            self.endpoint, "", self.signature, {}, examples=given, timeout=timeout
        )
        return [self.request(given, call, writer)]


def _regress(
    endpoint: Endpoint, given: list[dict[str, Any]], timeout: float, protocol: str
) -> dict[str, NDArray]:
    values = tfserving.regress(endpoint, given, timeout=timeout, protocol=protocol)
    return {"value": values}


def _classify(
    endpoint: Endpoint, given: list[dict[str, Any]], timeout: float, protocol: str
) -> dict[str, NDArray]:
    """Return classes and scores as arrays, with room for the longest row."""
    rows = tfserving.classify(endpoint, given, timeout=timeout, protocol=protocol)
    shape = (len(rows), max(map(len, rows), default=0))
    classes = np.full(shape, "", object)
    scores = np.zeros(shape, np.float32)
    for number, row in enumerate(rows):
        classes[number, : len(row)] = [result.label for result in row]
        scores[number, : len(row)] = [result.score for result in row]
    return {"classes": classes, "scores": scores}
