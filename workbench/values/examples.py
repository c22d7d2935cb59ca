"""Examples, as `tf.train.Example` has them, written as JSON: what models of TFX take."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _, plural
from helpers.tfserving import features
from helpers.tfserving.rest import b64
from helpers.tfserving.signatures import TensorSpec
from workbench.values.arrays import of_base64

_KINDS = {int: "int64", float: "float", bytes: "bytes"}  # as TensorFlow calls a feature's kinds


def are_likely(name: str, spec: TensorSpec) -> bool:
    """Whether a string input's values are serialized examples, as far as its name can say it.

    Examples
    --------
    >>> are_likely("examples", TensorSpec(np.dtype(object), (-1,)))
    True
    """
    return can_be(spec) and (name == "inputs" or "example" in name.lower())


def can_be(spec: TensorSpec) -> bool:
    """Whether an input's values may be serialized examples: a list of strings."""
    return spec.dtype.kind == "O" and spec.shape in ((-1,), None)


def read(text: str) -> list[dict[str, Any]]:
    """Read examples that are written as JSON.

    Parameters
    ----------
    text : str
        A list of objects, or one: of numbers, texts, `{"b64": ...}` for bytes, or lists of them.

    Raises
    ------
    BadInput
        For everything else, and when there is none.

    Examples
    --------
    >>> read('[{"height": 1.5, "picture": {"b64": "AAE="}}]')
    [{'height': 1.5, 'picture': b'\\x00\\x01'}]
    """
    try:
        examples = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError) as error:
        raise BadInput(_("The examples are no JSON: {error}.", error=error)) from error
    if isinstance(examples, dict):
        examples = [examples]
    if not isinstance(examples, list) or not all(isinstance(e, dict) for e in examples):
        raise BadInput(_('Examples are a list of objects, such as [{"height": 1.5}].'))
    if not examples:
        raise BadInput(_('There is no example yet. Write one, such as [{"height": 1.5}].'))
    try:
        examples = [{name: of_base64(item) for name, item in e.items()} for e in examples]
        for example in examples:
            features.features_of(example)  # raises for what is no feature
            "".join(example).encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            _("The examples hold half a character (a lone surrogate), which UTF-8 cannot write.")
        ) from error
    return examples


def write(examples: Sequence[Mapping[str, Any]]) -> str:
    """Write examples as JSON that `read` takes; BadInput when JSON cannot hold them."""
    try:
        return json.dumps(examples, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        sentence = _("The examples cannot be written as JSON: {error}.", error=error)
        raise BadInput(sentence) from error


def serialized(examples: Sequence[Mapping[str, Any]]) -> NDArray:
    """Return examples as the strings that an input takes; objects of shape (examples,)."""
    strings = np.empty(len(examples), object)
    strings[:] = [features.serialized(example) for example in examples]
    return strings


def described(examples: Sequence[Mapping[str, Any]]) -> str:
    """Say how many examples there are, and of which kind each feature is: 1 is none, 1.0 is.

    Examples
    --------
    >>> described([{"height": 1.5, "name": "a"}])
    '1 tf.Example: height float, name bytes'
    """
    kinds: dict[str, str] = {}
    for example in examples:
        for name, values in features.features_of(example).items():
            kinds[name] = _KINDS[type(values[0])] if values else kinds.get(name, "empty")
    listed = ", ".join(f"{name} {kind}" for name, kind in kinds.items())[:200] or _("no features")
    return plural(
        "{count} tf.Example: {features}",
        "{count} tf.Examples: {features}",
        len(examples),
        features=listed,
    )


def _plain(value: Any) -> Any:
    """Return what JSON has for values that only `features_of` takes."""
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.longdouble):
        return value.tolist()
    if not isinstance(value, bytes):
        raise BadInput(
            _(
                "An example has a {type}; tf.train.Example has ints, floats and text or bytes.",
                type=type(value).__name__,
            )
        )
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64(value)
