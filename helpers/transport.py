"""One call over the shared channel or session; what goes wrong is an error of the tree."""

import contextvars
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from helpers import channels
from helpers.endpoints import Endpoint
from helpers.errors import CallError, ConnectionFailed, libraries

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
    deadline = time.monotonic() + timeout
    retries = endpoint.retries
    if watch := WATCH.get():
        method = functools.partial(watch.unary, channels.channel(endpoint), method)
    while True:
        try:
            return method(request, timeout=deadline - time.monotonic())
        except grpc.RpcError as error:
            if not (retries and _broke_off(error)):
                raise call_error(endpoint, error) from error
            retries -= 1  # without a pause: the service is there, the connection was not


async def unary_async(endpoint: Endpoint, method: Callable, request: Any, timeout: float) -> Any:
    """Do as `unary` does, with a method of `grpc.aio`."""
    deadline = time.monotonic() + timeout
    retries = endpoint.retries
    while True:
        try:
            return await method(request, timeout=deadline - time.monotonic())
        except grpc.RpcError as error:
            if not (retries and _broke_off(error)):
                raise call_error(endpoint, error) from error
            retries -= 1


def request(
    endpoint: Endpoint, method: str, url: str, timeout: float, **content: Any
) -> "requests.Response":
    """Ask a REST address; returns the answer whatever its status, or raises CallError.

    With `endpoint.retries`, the session tries again by itself, but not once the answer has
    begun: that is added here.
    """
    import requests  # only here: calls over gRPC need none of it
    from requests.exceptions import ChunkedEncodingError, ContentDecodingError

    session = channels.session(endpoint)
    deadline = time.monotonic() + timeout
    retries = endpoint.retries
    while True:
        try:
            remaining = deadline - time.monotonic()
            if remaining <= 0:  # it would be a ValueError
                raise requests.Timeout("The time was over before the request was sent.")
            if watch := WATCH.get():
                return watch.request(session, method, url, remaining, **content)
            verify = session.verify
            return session.request(method, url, timeout=remaining, verify=verify, **content)
        except requests.RequestException as error:
            broke_off = isinstance(error, ChunkedEncodingError | ContentDecodingError)
            if not (retries and broke_off):
                raise libraries.from_requests(error, endpoint) from error
            retries -= 1


def call_error(endpoint: Endpoint, error: grpc.RpcError) -> CallError:
    """Return the error of the tree; after a failed connection the next call connects anew."""
    made = libraries.from_grpc(error, endpoint)
    if isinstance(made, ConnectionFailed):
        channels.forget(endpoint)
    return made


def _broke_off(error: Any) -> bool:
    return "Stream removed (Socket closed" in (error.details() or "")
