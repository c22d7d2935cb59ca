"""Where an explorer looks: a panel, an endpoint, or an address that somebody was given."""

from collections.abc import Callable, Iterator
from typing import Any

from helpers import endpoints
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput, CallError


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
        f"An explorer takes an EndpointPanel, an Endpoint, or an address such as 127.0.0.1:8500, "
        f"not {type(source).__name__}."
    )


def endpoint_at(address: str) -> Endpoint:
    """Make an endpoint of TensorFlow Serving from an address.

    Parameters
    ----------
    address : str
        `host:port` of gRPC, or `http://host:port` of REST, with a gateway's path behind it if
        there is one. Where a profile has it, its other address and its models come along.

    Examples
    --------
    >>> endpoint_at("example.org:8500")
    Endpoint(kind='tfserving', grpc='example.org:8500')
    """
    address = address.strip().rstrip("/")
    protocol = "rest" if "://" in address else "grpc"
    bare = endpoints.from_mapping({"kind": "tfserving", protocol: address}, "The address")
    return next((saved for saved in _profiles() if getattr(saved, protocol) == address), bare)


def _profiles() -> Iterator[Endpoint]:
    saved, _ = profiles.read()
    yield from (endpoint for endpoint in saved.values() if endpoint.kind == "tfserving")
    for name in endpoints.PROFILES["tfserving"]:
        try:
            yield endpoints.running("tfserving", name)
        except CallError:
            continue  # it does not run
