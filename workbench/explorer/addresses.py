"""Where an explorer looks: a panel, an endpoint, or an address that somebody was given."""

from collections.abc import Callable, Iterator
from typing import Any

from helpers import endpoints
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput, CallError
from helpers.language import _

_MODELARTS = "/v1/infers/"  # in the address of each of its services
_BY_AUTH = {"": "practice", "appcode": "practice-appcode", "signature": "practice-signature"}
_SECRETS = {"token", "password"}


def endpoint_getter(source: Any) -> Callable[[], Endpoint]:
    """Return what gives the endpoint as it is at that time.

    Parameters
    ----------
    source : EndpointPanel, Endpoint or str

    Raises
    ------
    BadInput
        For anything else, and for what is no address.
    """
    if isinstance(source, str):
        source = endpoint_at(source)
    if isinstance(source, Endpoint):
        return lambda: source
    if hasattr(type(source), "endpoint"):
        return lambda: source.endpoint
    raise BadInput(
        _(
            "An explorer takes an EndpointPanel, an Endpoint, or an address such as "
            "127.0.0.1:8500, not {type}.",
            type=type(source).__name__,
        )
    )


def endpoint_at(address: str) -> Endpoint:
    """Make an endpoint of TensorFlow Serving, or of ModelArts, from an address.

    Parameters
    ----------
    address : str
        `host:port` of gRPC, or `http://host:port` of REST, with a gateway's path behind it if
        there is one; of ModelArts `https://host/v1/infers/...`. Where a profile has it, what else
        that says comes along, and the models of all profiles at this address. Of ModelArts, the
        environment says who calls: `OTW_MODELARTS_TOKEN`, ...

    Examples
    --------
    >>> endpoint_at("example.org:8500")
    Endpoint(kind='tfserving', grpc='example.org:8500')
    """
    address = address.strip().rstrip("/")
    protocol = "rest" if "://" in address else "grpc"
    kind = "modelarts" if is_modelarts(address) else "tfserving"
    bare = endpoints.from_mapping({"kind": kind, protocol: address}, _("The address"))
    there = [saved for saved in _profiles(kind) if getattr(saved, protocol) == address]
    endpoint = there[0] if there else bare
    if kind == "modelarts":
        return endpoint.replace(**_caller(endpoint))
    models = (name for saved in there for name in (saved.model, *saved.models))
    return endpoint.replace(models=tuple(dict.fromkeys(filter(None, models))))


def is_modelarts(address: str) -> bool:
    """Whether an address is that of a service of ModelArts: `https://host/v1/infers/...`."""
    return "://" in address and _MODELARTS in address


def _caller(endpoint: Endpoint) -> dict[str, Any]:
    """Return what the environment has that proves who calls ModelArts, but no address."""
    environments = {
        auth: endpoints.environment("modelarts", profile) for auth, profile in _BY_AUTH.items()
    }
    auth = endpoint.auth
    if not (auth or endpoint.user):  # nothing says how: what there is a secret for
        secrets = (auth for auth, fields in environments.items() if _SECRETS & fields.keys())
        auth = next(secrets, "")
    return {"auth": auth} | {
        field: value for field, value in environments[auth].items() if field != "rest"
    }


def _profiles(kind: str) -> Iterator[Endpoint]:
    saved, _problems = profiles.read()
    yield from (endpoint for endpoint in saved.values() if endpoint.kind == kind)
    for name in endpoints.PROFILES[kind]:
        try:
            yield endpoints.running(kind, name)
        except CallError:
            continue  # it does not run
