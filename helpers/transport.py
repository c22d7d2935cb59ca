"""One call over the shared channel or session; what goes wrong is an error of the tree."""

import contextvars
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from helpers import channels, errors
from helpers.endpoints import Endpoint
from helpers.errors import libraries

if TYPE_CHECKING:
    import requests

    from workbench.watching import Watch

# The watch of the call that this thread is making, if there is one: see `workbench.watching`.
WATCH: "contextvars.ContextVar[Watch | None]" = contextvars.ContextVar("watch", default=None)


def unary(endpoint: Endpoint, method: Callable, request: Any, timeout: float) -> Any:
    """Call a stub's method; returns the message, or raises CallError.

    With `endpoint.retries`, gRPC tries again by itself, but not once the answer has begun: that
    is added here.
    """
    ends, left = time.monotonic() + timeout, endpoint.retries
    if watch := WATCH.get():
        method = functools.partial(watch.unary, channels.channel(endpoint), method)
    while True:
        try:
            return method(request, timeout=ends - time.monotonic())
        except grpc.RpcError as error:
            if left and _broke_off(error):
                left -= 1  # without a pause: the service is there, the connection was not
                continue
            raise known_error(endpoint, error) from error


async def unary_async(endpoint: Endpoint, method: Callable, request: Any, timeout: float) -> Any:
    """Do as `unary` does, with a method of `grpc.aio`."""
    ends, left = time.monotonic() + timeout, endpoint.retries
    while True:
        try:
            return await method(request, timeout=ends - time.monotonic())
        except grpc.RpcError as error:
            if left and _broke_off(error):
                left -= 1
                continue
            raise known_error(endpoint, error) from error


def request(
    endpoint: Endpoint, method: str, url: str, timeout: float, **content: Any
) -> "requests.Response":
    """Ask a REST address; returns the answer whatever its status, or raises CallError."""
    import requests  # only here: calls over gRPC need none of it

    session = channels.session(endpoint)
    try:
        if timeout <= 0:  # it would be a ValueError
            raise requests.Timeout("The time was over before the request was sent.")
        if watch := WATCH.get():
            return watch.request(session, method, url, timeout, **content)
        return session.request(method, url, timeout=timeout, verify=session.verify, **content)
    except requests.RequestException as error:
        where = {"service": endpoint.service, "endpoint": endpoint.rest}
        raise libraries.from_requests(error, **where) from error


def _broke_off(error: Any) -> bool:
    return "Stream removed (Socket closed" in (error.details() or "")


def known_error(endpoint: Endpoint, error: grpc.RpcError) -> errors.CallError:
    """Return the error of the tree; after a failed connection the next call connects anew."""
    where = {"service": endpoint.service, "endpoint": endpoint.grpc}
    known = libraries.from_grpc(error, **where)
    if isinstance(known, errors.ConnectionFailed):
        channels.forget(endpoint)
    return known
