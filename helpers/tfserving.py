"""Calls to TensorFlow Serving, over gRPC or REST: predict, classify, regress, and what is there."""

import contextlib
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers import errors, tfserving_grpc
from helpers.endpoints import Endpoint
from helpers.examples import Class, features_of
from helpers.signatures import Signatures, check_inputs, suggest

_KEPT_SECONDS = 10.0  # signatures; an answer over gRPC tells, besides, when they are too old


def predict(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    *,
    signature_name: str = "",
    timeout: float = 10.0,
    check: bool = True,
    over: str = "",
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
    over : str, optional
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
    if not isinstance(inputs, Mapping):
        raise errors.BadInput("Inputs go by name, as in {'images': array}.")
    way, known = _way(endpoint, over), None
    if check:
        inputs = _checked(endpoint, way, inputs, signature_name, ends)
    if _over(way) == "rest":  # JSON has neither dtypes nor the name of a single output
        known = _signatures(endpoint, way, ends)
    with _explained(endpoint, way, ends):
        version, outputs = way.predict(endpoint, inputs, signature_name, known, ends)
    kept = _kept(endpoint, way).get(_which(endpoint))
    if kept is not None and version is not None and kept[0].version != version:
        _kept(endpoint, way).pop(_which(endpoint), None)  # another version answers: ask for its own
    return outputs


def classify(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = 10.0,
    over: str = "",
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
    over : str, optional
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
    found = _infer("classify", endpoint, examples, context, signature_name, timeout, over)
    return [[Class(label, float(np.float32(score))) for label, score in row] for row in found]


def regress(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = 10.0,
    over: str = "",
) -> NDArray:
    """Ask for one number for each example; everything else is as for `classify`.

    Returns
    -------
    ndarray of float32, shape [examples]

    See tensorflow_serving/apis/regression.proto.
    """
    found = _infer("regress", endpoint, examples, context, signature_name, timeout, over)
    return np.array(found, np.float32)


def signatures(endpoint: Endpoint, *, timeout: float = 10.0, over: str = "") -> Signatures:
    """Ask what a model takes and gives.

    Returns
    -------
    Signatures
        By name; each has `inputs` and `outputs` with dtype and shape. Shows as a table.

    Raises
    ------
    CallError
        `UnknownModel` when the model is not served there, for instance.

    See tensorflow_serving/apis/get_model_metadata.proto.
    """
    way, ends = _way(endpoint, over), time.monotonic() + timeout
    with _explained(endpoint, way, ends):
        found = way.signatures(endpoint, ends)
    _kept(endpoint, way)[_which(endpoint)] = found, time.monotonic()
    return found


class VersionStatus(NamedTuple):
    """The state of one version: START, LOADING, AVAILABLE, UNLOADING or END, and why."""

    state: str
    code: str = "OK"
    message: str = ""


def status(
    endpoint: Endpoint, *, timeout: float = 10.0, over: str = ""
) -> dict[int, VersionStatus]:
    """Ask which versions of a model there are, and the state of each.

    Returns
    -------
    dict of int to VersionStatus
        Highest version first.

    Raises
    ------
    CallError
        `UnknownModel` when no model of that name is configured there, for instance.

    See tensorflow_serving/apis/get_model_status.proto.
    """
    way = _way(endpoint, over)
    try:
        response = way.status(endpoint, time.monotonic() + timeout)
    except errors.UnknownModel as known:
        known.args = (_not_served(endpoint, way),)
        raise
    return {
        each.version: VersionStatus(
            _name(each, "state"), _name(each.status, "error_code"), each.status.error_message
        )
        for each in response.model_version_status
    }


_connections: "weakref.WeakKeyDictionary[Any, dict[tuple, tuple[Signatures, float]]]" = (
    weakref.WeakKeyDictionary()
)


def _way(endpoint: Endpoint, over: str) -> ModuleType:
    """Return the module that speaks the protocol."""
    if over not in ("", "grpc", "rest"):
        raise errors.BadInput(f"over is grpc, rest or empty, not {over!r}.")
    if over == "rest" or (not over and endpoint.rest and not endpoint.grpc):
        from helpers import tfserving_rest  # only here: gRPC needs none of it

        return tfserving_rest
    return tfserving_grpc


def _infer(method, endpoint, examples, context, signature_name, timeout, over) -> list:
    way, ends = _way(endpoint, over), time.monotonic() + timeout
    name = signature_name or endpoint.signature_name
    features, shared = [features_of(each) for each in examples], features_of(context or {})
    with _explained(endpoint, way, ends):
        return way.infer(endpoint, method, features, shared, name, ends)


def _kept(endpoint: Endpoint, way: ModuleType) -> dict[tuple, tuple[Signatures, float]]:
    return _connections.setdefault(way.connection(endpoint), {})


def _signatures(endpoint: Endpoint, way: ModuleType, ends: float) -> Signatures:
    known = _kept(endpoint, way).get(_which(endpoint))
    if known is not None and time.monotonic() - known[1] < _KEPT_SECONDS:
        return known[0]
    return signatures(endpoint, timeout=_left(ends), over=_over(way))


def _checked(endpoint, way, inputs, signature_name: str, ends: float) -> dict[str, NDArray]:
    known = _kept(endpoint, way).get(_which(endpoint))
    if known is not None:
        try:
            return check_inputs(known[0], signature_name, inputs)
        except errors.CallError:
            pass  # perhaps another version answers by now: ask again, then judge
    fresh = signatures(endpoint, timeout=_left(ends), over=_over(way))
    return check_inputs(fresh, signature_name, inputs)


@contextlib.contextmanager
def _explained(endpoint: Endpoint, way: ModuleType, ends: float) -> Iterator[None]:
    """Make an UnknownModel say whether the model is missing, one version of it, or failed."""
    try:
        yield
    except errors.UnknownModel as known:
        if "version label" not in known.details:
            known.args = (_why_unknown(endpoint, way, ends),)
        raise


def _why_unknown(endpoint: Endpoint, way: ModuleType, ends: float) -> str:
    try:
        every = endpoint.replace(version=None, version_label="")
        versions = status(every, timeout=_left(ends), over=_over(way))
    except errors.CallError:
        return _not_served(endpoint, way)
    states = "; ".join(
        f"version {version} is {each.state}" + (f" ({each.message})" if each.message else "")
        for version, each in versions.items()
    )
    asked = f"Version {endpoint.version} of model" if endpoint.version else "Model"
    return f"{asked} {endpoint.model!r} is not available at {_where(endpoint, way)}: {states}."


def _not_served(endpoint: Endpoint, way: ModuleType) -> str:
    if not endpoint.model:
        return "No model was named. Name one: endpoint.replace(model=...)."
    text = f"Model {endpoint.model!r} is not served at {_where(endpoint, way)}."
    if not endpoint.models:
        return text
    return f"{text} {suggest(endpoint.model, endpoint.models, 'Served there')}"


def _over(way: ModuleType) -> str:
    return way.__name__.rpartition("_")[2]


def _where(endpoint: Endpoint, way: ModuleType) -> str:
    return getattr(endpoint, _over(way))


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.1)


def _which(endpoint: Endpoint) -> tuple:
    return endpoint.model, endpoint.version, endpoint.version_label


def _name(message: Any, field: str) -> str:
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return values[getattr(message, field)].name
