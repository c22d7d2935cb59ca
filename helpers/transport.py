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

# The watch of the call that is being made, if there is one: see `workbench.watching`. Calls with
# `async` are not watched.
WATCH: "contextvars.ContextVar[Watch | None]" = contextvars.ContextVar("watch", default=None)

_PAUSES = (0.2, 0.4, 0.8, 1.6)  # seconds before each retry over REST, as gRPC's channels pause
_BUSY = (429, 502, 503, 504)  # HTTP statuses after which another try may go well


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
            if not (retries and _answer_broke_off(error)):
                raise failed(endpoint, error) from error
            retries -= 1  # without a pause: the service is there, the connection was not


async def unary_async(endpoint: Endpoint, method: Callable, request: Any, timeout: float) -> Any:
    """Do as `unary` does, with a method of `grpc.aio`."""
    deadline = time.monotonic() + timeout
    retries = endpoint.retries
    while True:
        try:
            return await method(request, timeout=deadline - time.monotonic())
        except grpc.RpcError as error:
            if not (retries and _answer_broke_off(error)):
                raise failed(endpoint, error) from error
            retries -= 1


def request(
    endpoint: Endpoint, method: str, url: str, timeout: float, **content: Any
) -> "requests.Response":
    """Ask a REST address; returns the answer whatever its status, or raises CallError.

    All of it ends after `timeout` seconds, to the last byte of the answer, which may have
    `channels.MAX_MESSAGE` bytes after inflating. With `endpoint.retries` it is asked again, with
    growing pauses, when the connection fails or breaks and when the service is busy or not
    available. A redirect is followed only to the address that was asked.
    """
    import requests  # only here: calls over gRPC need none of it

    from helpers.sessions import until

    session = channels.session(endpoint)
    deadline = time.monotonic() + timeout
    for pause in (*_PAUSES[: endpoint.retries], None):
        try:
            remaining = deadline - time.monotonic()
            if remaining <= 0:  # it would be a ValueError
                raise requests.Timeout("The time was over before the request was sent.")
            with until(deadline):
                if watch := WATCH.get():
                    response = watch.request(session, method, url, remaining, **content)
                else:
                    response = session.request(
                        method, url, timeout=remaining, verify=session.verify, **content
                    )
        except requests.RequestException as error:
            if time.monotonic() >= deadline:  # `requests` has several errors for that
                late = requests.Timeout(str(error))
                raise libraries.from_requests(late, endpoint) from error
            if pause is None or not _is_passing(error):
                raise libraries.from_requests(error, endpoint) from error
            wished = ""
        else:
            if pause is None or response.status_code not in _BUSY:
                break
            wished = response.headers.get("Retry-After", "")
        _pause(pause, wished, deadline)
    if response.is_redirect:
        raise libraries.from_redirect(response, endpoint)
    return response


def _pause(seconds: float, wished: str, deadline: float) -> None:
    """Wait about so long, or as long as the service wishes, but not longer than the call may."""
    import random  # optional: most calls are made once

    seconds *= random.SystemRandom().uniform(0.8, 1.2)  # as gRPC: not all callers at once
    seconds = max(seconds, float(wished) if wished.isdecimal() else 0.0)
    time.sleep(max(0.0, min(seconds, deadline - time.monotonic())))


def _is_passing(error: Any) -> bool:
    """Whether a call that ended so may go well the next time."""
    from requests import exceptions  # only here, as above

    if isinstance(error, exceptions.Timeout | exceptions.SSLError):
        return False
    return isinstance(
        error,
        exceptions.ConnectionError
        | exceptions.ChunkedEncodingError
        | exceptions.ContentDecodingError,
    )


def failed(endpoint: Endpoint, error: grpc.RpcError) -> CallError:
    """Return the error of the tree; after a failed connection the next call connects anew."""
    made = libraries.from_grpc(error, endpoint)
    if isinstance(made, ConnectionFailed):
        channels.forget(endpoint)
    return made


def _answer_broke_off(error: Any) -> bool:
    return "Stream removed (Socket closed" in (error.details() or "")
