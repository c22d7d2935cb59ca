"""What TensorFlow Serving serves: the states and signatures of its models, and what fits them."""

import contextlib
import time
import weakref
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from numpy.typing import ArrayLike, NDArray

from helpers import errors
from helpers.endpoints import Endpoint
from helpers.tfserving import grpc as tfserving_grpc
from helpers.tfserving.signatures import Signatures, check_inputs, suggest

Inputs = Mapping[str, ArrayLike]
Arrays = dict[str, NDArray]

_KEPT_SECONDS = 10.0  # signatures; an answer over gRPC tells, besides, when they are too old
_connections: "weakref.WeakKeyDictionary[Any, dict[tuple, tuple[Signatures, float]]]" = (
    weakref.WeakKeyDictionary()
)


def signatures(endpoint: Endpoint, *, timeout: float = 10.0, protocol: str = "") -> Signatures:
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
    way, ends = protocol_of(endpoint, protocol), time.monotonic() + timeout
    with explained(endpoint, way, ends):
        found = way.signatures(endpoint, ends)
    _kept(endpoint, way)[_which(endpoint)] = found, time.monotonic()
    return found


class VersionStatus(NamedTuple):
    """The state of one version: START, LOADING, AVAILABLE, UNLOADING or END, and why."""

    state: str
    code: str = "OK"
    message: str = ""


def status(
    endpoint: Endpoint, *, timeout: float = 10.0, protocol: str = ""
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
    way = protocol_of(endpoint, protocol)
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


def protocol_of(endpoint: Endpoint, protocol: str) -> ModuleType:
    """Return the module that speaks it: REST's when that is asked for, or all there is."""
    if protocol not in ("", "grpc", "rest"):
        raise errors.BadInput(f"protocol is grpc, rest or empty, not {protocol!r}.")
    if protocol == "rest" or (not protocol and endpoint.rest and not endpoint.grpc):
        from helpers.tfserving import rest as tfserving_rest  # optional: gRPC needs none of it

        return tfserving_rest
    return tfserving_grpc


def name_of(way: ModuleType) -> str:
    """Return the protocol's name, as `protocol` takes it."""
    return way.__name__.rpartition(".")[2]


def known(endpoint: Endpoint, way: ModuleType, ends: float) -> Signatures:
    """Return the signatures, as they were kept or, after some seconds, asked for anew."""
    kept = _kept(endpoint, way).get(_which(endpoint))
    if kept is not None and time.monotonic() - kept[1] < _KEPT_SECONDS:
        return kept[0]
    return signatures(endpoint, timeout=_left(ends), protocol=name_of(way))


def named(inputs: Inputs) -> Inputs:
    """Return inputs that go by name, and refuse others."""
    if not isinstance(inputs, Mapping):
        raise errors.BadInput("Inputs go by name, as in {'images': array}.")
    return inputs


def checked(
    endpoint: Endpoint, way: ModuleType, inputs: Inputs, signature_name: str, ends: float
) -> Arrays:
    """Check inputs against the signatures; where the kept ones do not fit, ask for them anew."""
    fitting = fitted(endpoint, way, inputs, signature_name)
    if fitting is not None:
        return fitting
    fresh = signatures(endpoint, timeout=_left(ends), protocol=name_of(way))
    return check_inputs(fresh, signature_name, inputs)


def fitted(
    endpoint: Endpoint, way: ModuleType, inputs: Inputs, signature_name: str
) -> Arrays | None:
    """Check inputs against the kept signatures; nothing when the service has to be asked."""
    kept = _kept(endpoint, way).get(_which(endpoint))
    if kept is None:
        return None
    try:
        return check_inputs(kept[0], signature_name, inputs)
    except errors.CallError:
        return None  # perhaps another version answers by now


def answered(endpoint: Endpoint, way: ModuleType, version: int) -> None:
    """Forget the signatures when another version than theirs answers."""
    kept, which = _kept(endpoint, way), _which(endpoint)
    entry = kept.get(which)
    if entry is not None and entry[0].version != version:
        kept.pop(which, None)  # another thread may have done it


@contextlib.contextmanager
def explained(endpoint: Endpoint, way: ModuleType, ends: float) -> Iterator[None]:
    """Add the reason to an UnknownModel."""
    try:
        yield
    except errors.UnknownModel as error:
        add_reason(error, endpoint, way, ends)
        raise


def add_reason(
    error: errors.UnknownModel, endpoint: Endpoint, way: ModuleType, ends: float
) -> None:
    """Make the error say whether the model is missing, one version of it, or failed."""
    if "version label" not in error.details:
        error.args = (_reason(endpoint, way, ends),)


def _kept(endpoint: Endpoint, way: ModuleType) -> dict[tuple, tuple[Signatures, float]]:
    return _connections.setdefault(way.connection(endpoint), {})


def _reason(endpoint: Endpoint, way: ModuleType, ends: float) -> str:
    try:
        every = endpoint.replace(version=None, version_label="")
        versions = status(every, timeout=_left(ends), protocol=name_of(way))
    except errors.CallError:
        return _not_served(endpoint, way)
    states = "; ".join(
        f"version {version} is {each.state}" + (f" ({each.message})" if each.message else "")
        for version, each in versions.items()
    )
    asked = f"Version {endpoint.version} of model" if endpoint.version is not None else "Model"
    return f"{asked} {endpoint.model!r} is not available at {_where(endpoint, way)}: {states}."


def _not_served(endpoint: Endpoint, way: ModuleType) -> str:
    if not endpoint.model:
        return "No model was named. Name one: endpoint.replace(model=...)."
    text = f"Model {endpoint.model!r} is not served at {_where(endpoint, way)}."
    others = [name for name in endpoint.models if name != endpoint.model]
    return f"{text} {suggest(endpoint.model, others, 'Served there')}" if others else text


def _where(endpoint: Endpoint, way: ModuleType) -> str:
    return getattr(endpoint, name_of(way))


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.1)


def _which(endpoint: Endpoint) -> tuple:
    return endpoint.model, endpoint.version, endpoint.version_label


def _name(message: Any, field: str) -> str:
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    return values[getattr(message, field)].name
