"""The features of an example, as `tf.train.Example` has them, for Classify and Regress."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.errors import BadInput

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
        raise BadInput("An example is features by name, as in {'petal_length': 1.4}.")
    features = {}
    for name, value in example.items():
        array = np.asarray(value, object).reshape(-1)
        values = [_plain(name, item) for item in array.tolist()]
        if len(set(map(type, values))) > 1:
            raise BadInput(f"Feature {name!r} mixes kinds; make all ints, floats or text.")
        features[name] = values
    return features


def _plain(name: str, value: Any) -> int | float | bytes:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float | bytes):
        return value
    raise BadInput(
        f"Feature {name!r} has a {type(value).__name__}; tf.train.Example has ints, floats and "
        "text or bytes."
    )
