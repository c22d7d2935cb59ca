"""What is served at an endpoint: models with their versions and signatures, or services."""

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import text_format

from helpers import ccai, modelarts, serving_api, tfserving
from helpers.endpoints import Endpoint
from helpers.errors import (
    BadInput,
    CallError,
    ConnectionFailed,
    DeadlineExceeded,
    NotAuthenticated,
    NotThisProtocol,
    UnknownModel,
)
from helpers.images import file_bytes
from helpers.language import _
from helpers.tfserving import VersionStatus
from helpers.tfserving.signatures import Signatures
from protos import inference_service_pb2 as messages

_NOT_THE_MODEL = (ConnectionFailed, DeadlineExceeded, NotAuthenticated, NotThisProtocol)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing that can be called.

    Parameters
    ----------
    name : str
        A model, a path of CCAI, or a service of ModelArts.
    endpoint : Endpoint
        Set to it.
    states : dict of int to VersionStatus
        Of TensorFlow Serving's models only.
    signatures : Signatures or None
        Of TensorFlow Serving's models that are loaded.
    note : str
        What else is known of it.
    error : CallError or None
        Why there are no signatures.
    """

    name: str
    endpoint: Endpoint
    states: dict[int, VersionStatus] = dataclasses.field(default_factory=dict)
    signatures: Signatures | None = None
    note: str = ""
    error: CallError | None = None


def entries(endpoint: Endpoint, names: Iterable[str] = (), *, timeout: float = 10.0) -> list[Entry]:
    """Ask what is served.

    Parameters
    ----------
    endpoint : Endpoint
    names : iterable of str
        Models to look for, besides those that the endpoint names: TensorFlow Serving cannot list
        what it serves.
    timeout : float
        Seconds for each question.

    Returns
    -------
    list of Entry
        Of a model that cannot be called, with the error.

    Raises
    ------
    CallError
        When nobody answers, or nobody may ask.
    """
    if endpoint.kind == "ccai":
        return _paths(endpoint, timeout)
    if endpoint.kind == "modelarts":
        return _services(endpoint, timeout)
    models = []
    for name in dict.fromkeys(filter(None, [endpoint.model, *names, *endpoint.models])):
        model = entry(endpoint.replace(model=name), timeout=timeout)
        if isinstance(model.error, _NOT_THE_MODEL):
            raise model.error  # the next one would end the same way
        models.append(model)
    return models


def entry(endpoint: Endpoint, *, timeout: float = 10.0) -> Entry:
    """Ask for one model of TensorFlow Serving: its versions, states and signatures."""
    try:
        every_version = endpoint.replace(version=None, version_label="")
        states = tfserving.status(every_version, timeout=timeout)
        signatures = tfserving.signatures(endpoint, timeout=timeout)
    except CallError as error:
        return Entry(endpoint.model, endpoint, error=error)
    return Entry(endpoint.model, endpoint, states, signatures)


def _paths(endpoint: Endpoint, timeout: float) -> list[Entry]:
    if not endpoint.rest:  # only REST tells what there is; gRPC has the methods of its .proto
        methods = messages.DESCRIPTOR.services_by_name["Inference"].methods
        return [Entry(one.name, endpoint) for one in methods if one.input_type.name == "Input"]
    paths = ccai.services(endpoint, timeout=timeout)
    return [Entry(path, endpoint) for path in paths if path.startswith("fcgi")]  # others take JSON


def _services(endpoint: Endpoint, timeout: float) -> list[Entry]:
    here = Entry(endpoint.rest.rpartition("/")[2], endpoint, note=_("this endpoint"))
    if endpoint.auth:  # only a token may list
        return [here]
    services = []
    if not endpoint.token:  # which does not say of which project it is
        with contextlib.suppress(UnknownModel, NotThisProtocol):  # its management is elsewhere
            services = modelarts.services(endpoint, timeout=timeout)
    if not services:
        modelarts.check(endpoint, timeout=timeout)
    return [_service(endpoint, service) for service in services] or [here]


def _service(endpoint: Endpoint, service: Any) -> Entry:
    fields = service if isinstance(service, Mapping) else {}
    name = str(fields.get("service_name") or _("without a name"))
    note = str(fields.get("status", ""))
    try:
        address = fields.get("access_address") or ""  # of those that run only
        return Entry(name, endpoint.at(address), note=note)
    except BadInput as error:  # of this one, and the others are there
        return Entry(name, endpoint, note=note, error=error)


def names_of_config(file: str | os.PathLike[str] | bytes) -> list[str]:
    """Read the models' names of a file as `--model_config_file` takes it.

    Parameters
    ----------
    file : path, or the bytes of a file

    Raises
    ------
    BadInput
        When it cannot be read, or is no such file.

    See tensorflow_serving/config/model_server_config.proto.
    """
    try:
        text = file_bytes(file).decode("utf-8-sig", "surrogateescape")  # comments may be in any
        config = text_format.Parse(text, serving_api.model_server_config_pb2.ModelServerConfig())
    except (UnicodeError, text_format.ParseError) as error:
        name = _("This") if isinstance(file, bytes) else os.fspath(file)
        raise BadInput(
            _(
                "{name} cannot be read as a config file of TensorFlow Serving "
                "(model_config_list {{ config {{ name: ... }} }}): {error}",
                name=name,
                error=error,
            )
        ) from error
    return [model.name for model in config.model_config_list.config]
