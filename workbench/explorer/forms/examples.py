"""The form of a signature for Classify or Regress: examples, as `tf.train.Example` has them."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.tfserving.features import features_of
from helpers.tfserving.signatures import Signature
from workbench.code.tfserving import method, preview
from workbench.explorer.calls import Request
from workbench.explorer.forms.base import OneThing
from workbench.explorer.forms.tfserving import target, ways_of
from workbench.fields import Fields


class ExamplesForm(OneThing):
    """Examples as JSON; the parameters are those of `workbench.explorer.forms.tfserving.Form`."""

    def __init__(
        self,
        endpoint: Endpoint,
        signature_name: str,
        signature: Signature,
        fields: Fields,
        changed: Callable[[], object],
    ) -> None:
        self.endpoint = endpoint.replace(signature_name=signature_name)
        self.signature, self.method = signature, method(signature)
        self.ways = ways_of(endpoint, signature)
        self.examples = fields(
            w.Textarea,
            "Examples",
            "A list of examples, each with its features",
            placeholder='[{"height": 1.5, "name": "a"}]: numbers, texts, or lists of them',
        )
        super().__init__(fields, 10.0, changed)
        self.children = [self.examples, self.told, self.timeout]
        self._watch(self.examples)

    def fill(self, examples: list[dict[str, Any]]) -> None:
        """Give the examples from a cell; BadInput when JSON cannot hold them."""
        try:
            self.examples.value = json.dumps(examples, default=_plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadInput(f"The examples cannot be written as JSON: {error}.") from error

    def summary(self) -> str:
        """Say how many examples there are; BadInput when they are none."""
        return f"{len(self._read())} examples"

    def requests(self) -> list[Request]:
        """Return the request; BadInput when it cannot be made."""
        examples, endpoint, timeout = self._read(), self.endpoint, self.timeout.value
        return [
            Request(
                endpoint,
                target(endpoint),
                examples,
                self.ways,
                partial(_infer, self.method, endpoint, examples, timeout),
                partial(
                    preview, endpoint, "", self.signature, {}, examples=examples, timeout=timeout
                ),
            )
        ]

    def _read(self) -> list[dict[str, Any]]:
        text = self.examples.value.strip()
        try:
            found = json.loads(text) if text else []
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The examples are no JSON: {error}.") from error
        found = [found] if isinstance(found, dict) else found
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise BadInput('Examples are a list of objects, such as [{"height": 1.5}].')
        if not found:
            raise BadInput('There is no example yet. Write one, such as [{"height": 1.5}].')
        try:
            for each in found:
                features_of(each)  # raises for what is no feature
        except UnicodeEncodeError as error:
            raise BadInput(
                "The examples hold half a character (a lone surrogate), which UTF-8 cannot write."
            ) from error
        return found


def _plain(value: Any) -> Any:
    """Return what JSON has for values that only `features_of` takes."""
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.longdouble):
        return value.tolist()
    if not isinstance(value, bytes):
        raise BadInput(
            f"An example has a {type(value).__name__}; tf.train.Example has ints, floats and "
            "text or bytes."
        )
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadInput(
            "An example has bytes that are no text, which cannot be written in this form. "
            "Send it from a cell, with tfserving.classify or tfserving.regress."
        ) from error


def _infer(
    method: str, endpoint: Endpoint, examples: list[dict[str, Any]], timeout: float, way: str
) -> dict[str, NDArray]:
    """Return what was answered as arrays: classes and scores, or values."""
    if method == "regress":
        return {"value": tfserving.regress(endpoint, examples, timeout=timeout, protocol=way)}
    rows = tfserving.classify(endpoint, examples, timeout=timeout, protocol=way)
    longest = max(map(len, rows), default=0)
    classes = np.full((len(rows), longest), "", object)
    scores = np.zeros((len(rows), longest), np.float32)
    for number, row in enumerate(rows):
        for place, each in enumerate(row):
            classes[number, place], scores[number, place] = each.label, each.score
    return {"classes": classes, "scores": scores}
