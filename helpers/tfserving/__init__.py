"""Calls to TensorFlow Serving, over gRPC or REST: predict, classify, regress, and what is there."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers.endpoints import Endpoint
from helpers.tfserving import models as tfserving_models
from helpers.tfserving.examples import Class, features_of
from helpers.tfserving.many import apredict, predict_many
from helpers.tfserving.models import VersionStatus, signatures, status

__all__ = [
    "VersionStatus",
    "apredict",
    "classify",
    "predict",
    "predict_many",
    "regress",
    "signatures",
    "status",
]


def predict(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    *,
    signature_name: str = "",
    timeout: float = 10.0,
    check: bool = True,
    protocol: str = "",
) -> dict[str, NDArray]:
    """Send inputs to a model and return its outputs.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name: `endpoint.replace(model="digits")`.
    inputs : mapping of str to array-like
        By the signature's names. Lists are cast to the signature's dtype.
    signature_name : str, optional
        In place of the endpoint's; the service's default is `serving_default`.
    timeout : float
        Seconds until the call is given up.
    check : bool
        Whether names, dtypes and shapes are checked against the signature before sending.
        TensorFlow Serving itself does not check shapes.
    protocol : str, optional
        `"grpc"` or `"rest"`; without it gRPC, if the endpoint has a gRPC address.

    Returns
    -------
    dict of str to ndarray
        Writable arrays by the signature's output names.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text.

    See tensorflow_serving/apis/predict.proto and tensorflow.org/tfx/serving/api_rest.
    """
    ends = time.monotonic() + timeout
    signature_name = signature_name or endpoint.signature_name
    way, known = tfserving_models.protocol_of(endpoint, protocol), None
    inputs = tfserving_models.named(inputs)
    if check:
        inputs = tfserving_models.checked(endpoint, way, inputs, signature_name, ends)
    if tfserving_models.name_of(way) == "rest":  # JSON has no dtypes
        known = tfserving_models.known(endpoint, way, ends)
    with tfserving_models.explained(endpoint, way, ends):
        version, outputs = way.predict(endpoint, inputs, signature_name, known, ends)
    if version is not None:
        tfserving_models.answered(endpoint, way, version)
    return outputs


def classify(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = 10.0,
    protocol: str = "",
) -> list[list[Class]]:
    """Classify examples, which are features by name, as `tf.train.Example` has them.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    examples : iterable of mapping of str to number, str, bytes or a list of them
        A float is another kind of feature than an int: `2.0` is not `2`.
    context : mapping, optional
        Features that all examples share; an example's own go before.
    signature_name : str, optional
        In place of the endpoint's; the service's default is `serving_default`.
    timeout : float
        Seconds until the call is given up.
    protocol : str, optional
        `"grpc"` or `"rest"`, as for `predict`.

    Returns
    -------
    list of list of Class
        For each example its classes.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text.

    See tensorflow_serving/apis/classification.proto.
    """
    found = _infer("classify", endpoint, examples, context, signature_name, timeout, protocol)
    return [[Class(label, float(np.float32(score))) for label, score in row] for row in found]


def regress(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = 10.0,
    protocol: str = "",
) -> NDArray:
    """Ask for one number for each example; everything else is as for `classify`.

    Returns
    -------
    ndarray of float32, shape [examples]

    See tensorflow_serving/apis/regression.proto.
    """
    found = _infer("regress", endpoint, examples, context, signature_name, timeout, protocol)
    return np.array(found, np.float32)


def _infer(method, endpoint, examples, context, signature_name, timeout, protocol) -> list:
    way, ends = tfserving_models.protocol_of(endpoint, protocol), time.monotonic() + timeout
    name = signature_name or endpoint.signature_name
    features, shared = [features_of(each) for each in examples], features_of(context or {})
    with tfserving_models.explained(endpoint, way, ends):
        return way.infer(endpoint, method, features, shared, name, ends)
