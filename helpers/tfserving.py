"""Calls to TensorFlow Serving over gRPC: predict, signatures, status."""

import time
import weakref
from collections.abc import Callable, Mapping
from typing import NamedTuple

import grpc
from numpy.typing import ArrayLike, NDArray

from helpers import channels, errors, transport
from helpers.endpoints import Endpoint
from helpers.serving_api import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from helpers.signatures import Signatures, check_inputs, from_signature_defs, suggest
from helpers.tensors import to_ndarray, to_tensor_proto


def predict(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    *,
    signature_name: str = "",
    timeout: float = 10.0,
    check: bool = True,
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

    Returns
    -------
    dict of str to ndarray
        Writable arrays by the signature's output names.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text.

    See tensorflow_serving/apis/predict.proto.
    """
    ends = time.monotonic() + timeout
    signature_name = signature_name or endpoint.signature_name
    if not isinstance(inputs, Mapping):
        raise errors.BadInput("Inputs go by name, as in {'images': array}.")
    if check:
        inputs = _checked(endpoint, inputs, signature_name, ends)
    request = predict_pb2.PredictRequest(model_spec=_model_spec(endpoint, signature_name))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value))
    response = _call(endpoint, "Predict", request, ends)
    known = _connection(endpoint).signatures
    cached = known.get(_which(endpoint))
    if cached is not None and cached.version != response.model_spec.version.value:
        known.pop(_which(endpoint), None)  # another version answers: ask for its signatures
    return {name: to_ndarray(proto) for name, proto in response.outputs.items()}


def signatures(endpoint: Endpoint, *, timeout: float = 10.0) -> Signatures:
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
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=_model_spec(endpoint), metadata_field=["signature_def"]
    )
    response = _call(endpoint, "GetModelMetadata", request, time.monotonic() + timeout)
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(unpacked)
    found = from_signature_defs(
        endpoint.model, response.model_spec.version.value, unpacked.signature_def
    )
    _connection(endpoint).signatures[_which(endpoint)] = found
    return found


class VersionStatus(NamedTuple):
    """The state of one version: START, LOADING, AVAILABLE, UNLOADING or END, and why."""

    state: str
    code: str = "OK"
    message: str = ""


def status(endpoint: Endpoint, *, timeout: float = 10.0) -> dict[int, VersionStatus]:
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
    from helpers.serving_api import get_model_status_pb2  # only here: most calls ask no status

    request = get_model_status_pb2.GetModelStatusRequest(model_spec=_model_spec(endpoint))
    response = _call(endpoint, "GetModelStatus", request, time.monotonic() + timeout)
    return {
        each.version: VersionStatus(
            get_model_status_pb2.ModelVersionStatus.State.Name(each.state),
            _code_name(each.status),
            each.status.error_message,
        )
        for each in response.model_version_status
    }


class _Connection:
    """What is kept for one channel: its stub, and the signatures already asked for."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.signatures: dict[tuple, Signatures] = {}


_connections: "weakref.WeakKeyDictionary[grpc.Channel, _Connection]" = weakref.WeakKeyDictionary()


def _connection(endpoint: Endpoint) -> _Connection:
    channel = channels.channel(endpoint)
    known = _connections.get(channel)
    if known is None:
        known = _connections[channel] = _Connection(channel)
    return known


def _method(endpoint: Endpoint, name: str) -> Callable:
    if name != "GetModelStatus":
        return getattr(_connection(endpoint).stub, name)
    from helpers.serving_api import model_service_pb2_grpc  # a service of its own

    return model_service_pb2_grpc.ModelServiceStub(channels.channel(endpoint)).GetModelStatus


def _call(endpoint: Endpoint, method: str, request, ends: float):
    call = _method(endpoint, method)
    try:
        return transport.unary(endpoint, call, request, ends - time.monotonic())
    except errors.UnknownModel as known:
        if method != "GetModelStatus":
            raise _unknown_model(endpoint, known, ends) from known.__cause__
        known.args = (_not_served(endpoint),)
        raise


def _unknown_model(endpoint: Endpoint, known: errors.CallError, ends: float) -> errors.CallError:
    """Say whether the model is missing, one version of it, or failed to load and why."""
    if endpoint.version_label and known.code == "INVALID_ARGUMENT":
        return known
    try:
        versions = status(endpoint.replace(version=None, version_label=""), timeout=_left(ends))
    except errors.CallError:
        known.args = (_not_served(endpoint),)
        return known
    states = "; ".join(
        f"version {version} is {each.state}" + (f" ({each.message})" if each.message else "")
        for version, each in versions.items()
    )
    asked = f"Version {endpoint.version} of model" if endpoint.version else "Model"
    known.args = (f"{asked} {endpoint.model!r} is not available at {endpoint.grpc}: {states}.",)
    return known


def _not_served(endpoint: Endpoint) -> str:
    if not endpoint.model:
        return "No model was named. Name one: endpoint.replace(model=...)."
    text = f"Model {endpoint.model!r} is not served at {endpoint.grpc}."
    if not endpoint.models:
        return text
    return f"{text} {suggest(endpoint.model, endpoint.models, 'Served there')}"


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.1)


def _checked(endpoint, inputs, signature_name: str, ends: float) -> dict[str, NDArray]:
    known = _connection(endpoint).signatures.get(_which(endpoint))
    if known is not None:
        try:
            return check_inputs(known, signature_name, inputs)
        except errors.CallError:
            pass  # perhaps another version answers by now: ask again, then judge
    fresh = signatures(endpoint, timeout=_left(ends))
    return check_inputs(fresh, signature_name, inputs)


def _which(endpoint: Endpoint) -> tuple:
    return endpoint.model, endpoint.version, endpoint.version_label


def _model_spec(endpoint: Endpoint, signature_name: str = ""):
    spec = model_pb2.ModelSpec(name=endpoint.model, signature_name=signature_name)
    if endpoint.version is not None:
        spec.version.value = endpoint.version
    elif endpoint.version_label:
        spec.version_label = endpoint.version_label
    return spec


def _code_name(status_proto) -> str:
    field = status_proto.DESCRIPTOR.fields_by_name["error_code"]
    return field.enum_type.values_by_number[status_proto.error_code].name
