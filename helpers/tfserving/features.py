"""The features of an example, as `tf.train.Example` has them, for Classify and Regress."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers import serving_api
from helpers.errors import BadInput
from helpers.language import _

_KINDS = {int: "int64_list", float: "float_list", bytes: "bytes_list"}  # fields of a Feature
Features = Mapping[str, list]
Examples = Sequence[Features]


def features_of(example: Mapping[str, Any]) -> dict[str, list]:
    """Bring each feature into one of `tf.train.Example`'s three kinds.

    Parameters
    ----------
    example : mapping of str to number, str, bytes or a list of them

    Returns
    -------
    dict of str to list
        Of int, of float or of bytes.

    Raises
    ------
    BadInput
        For a feature that mixes kinds, or has something else.

    See tensorflow/core/example/feature.proto.

    Examples
    --------
    >>> features_of({"petal_length": 1.4, "species": "setosa", "sizes": [1, 2]})
    {'petal_length': [1.4], 'species': [b'setosa'], 'sizes': [1, 2]}
    """
    if not isinstance(example, Mapping):
        raise BadInput(_("An example is features by name, as in {'petal_length': 1.4}."))
    features = {}
    for name, value in example.items():
        array = np.asarray(value, object).reshape(-1)
        values = [_plain(name, item) for item in array.tolist()]
        if len(set(map(type, values))) > 1:
            raise BadInput(
                _("Feature {name!r} mixes kinds; make all ints, floats or text.", name=name)
            )
        features[name] = values
    return features


def fill(message: Any, features: Features) -> None:
    """Fill a `tf.train.Example` message with what `features_of` gives."""
    for name, values in features.items():
        feature = message.features.feature[name]
        if values:
            getattr(feature, _KINDS[type(values[0])]).value.extend(values)


def serialized(example: Mapping[str, Any]) -> bytes:
    """Write an example as the bytes that a string input takes whose model parses them.

    Parameters
    ----------
    example : mapping of str to number, str, bytes or a list of them

    Raises
    ------
    BadInput
        As `features_of` does, and for a whole number of over 64 bits.

    Examples
    --------
    >>> serialized({"n": 1}).hex()
    '0a0c0a0a0a016e12051a030a0101'
    """
    message = serving_api.example_pb2.Example()
    try:
        fill(message, features_of(example))
    except ValueError as error:
        raise BadInput(
            _("The example cannot be written as tf.train.Example: {error}.", error=error)
        ) from error
    return message.SerializeToString(deterministic=True)


def _plain(name: str, value: Any) -> int | float | bytes:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float | bytes):
        return value
    raise BadInput(
        _(
            "Feature {name!r} has a {type}; tf.train.Example has ints, floats and text or bytes.",
            name=name,
            type=type(value).__name__,
        )
    )
