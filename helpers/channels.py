"""A gRPC channel or an HTTP session from an endpoint: TLS, user and proxy are settled here."""

import asyncio
import atexit
import base64
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from helpers.endpoints import Endpoint
from helpers.endpoints.endpoint import host_of_url, is_loopback
from helpers.errors import BadInput, ConnectionFailed

if TYPE_CHECKING:
    import requests

MAX_MESSAGE = 256 * 1024 * 1024  # bytes, both ways; gRPC's own limit for answers is 4,194,304

_channels: dict[tuple, grpc.Channel] = {}
_aio_channels: "dict[asyncio.AbstractEventLoop, dict[tuple, grpc.aio.Channel]]" = {}
_sessions: "dict[tuple, requests.Session]" = {}
_stubs: "weakref.WeakKeyDictionary[grpc.Channel, dict[Any, Any]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_parents_channels: tuple = ()  # of the process that this one was forked from
_TLS_ONLY = "User and password are sent over TLS only. Use TLS (https for REST), or leave them out."


def channel(endpoint: Endpoint) -> grpc.Channel:
    """Return the channel to an endpoint; all callers in this process share one.

    Parameters
    ----------
    endpoint : Endpoint
        Its `grpc` address, `tls`, `ca_file`, `retries`, `user` and `password` count.

    Returns
    -------
    grpc.Channel
        Nothing is sent before the first call. It is closed when Python ends.

    Raises
    ------
    BadInput
        When there is no gRPC address, when the CA file cannot be read, and for a user
        without TLS.
    ConnectionFailed
        In a process that was forked after its parent had opened a channel.
    """
    return _shared(_channels, _key(endpoint), lambda: _open(endpoint, grpc))


def stub(endpoint: Endpoint, kind: Callable[[grpc.Channel], Any]) -> Any:
    """Return the stub of the shared channel, of a generated class such as `InferenceStub`."""
    opened = channel(endpoint)
    stubs = _stubs.setdefault(opened, {})
    if kind not in stubs:
        stubs[kind] = kind(opened)
    return stubs[kind]


def aio_channel(endpoint: Endpoint) -> "grpc.aio.Channel":
    """Return the channel for `async` code; all callers in the running event loop share one.

    Everything else is as for `channel`.
    """
    loop = asyncio.get_running_loop()
    if loop not in _aio_channels:
        with _lock:
            for closed in [other for other in _aio_channels if other.is_closed()]:
                del _aio_channels[closed]
            _aio_channels[loop] = {}
    return _shared(_aio_channels[loop], _key(endpoint), lambda: _open(endpoint, grpc.aio))


def session(endpoint: Endpoint) -> "requests.Session":
    """Return the HTTP session to an endpoint; all callers in this process share one.

    Parameters
    ----------
    endpoint : Endpoint
        Its `rest` address, `ca_file`, `verify`, `user` and `password` count. ModelArts
        takes user and password in ways of its own, so of kind `modelarts` they stay out.

    Returns
    -------
    requests.Session
        It keeps its connections open. Pass `verify=session.verify` with each request:
        `requests` would let the environment's REQUESTS_CA_BUNDLE go before it.

    Raises
    ------
    BadInput
        When there is no REST address, when the CA file cannot be read, and for a user
        without TLS.
    """
    if not endpoint.rest:
        raise BadInput("This endpoint has no REST address. Set one: endpoint.replace(rest=...).")
    key = (*_key(endpoint), endpoint.rest, endpoint.verify)
    return _shared(_sessions, key, lambda: _open_session(endpoint))


def forget(endpoint: Endpoint) -> None:
    """Drop the shared channels, so that the next call connects anew.

    After a failed connection a channel waits before it tries again. Whoever has started
    the service in the meantime should not have to wait with it.
    """
    key = _key(endpoint)
    with _lock:
        _channels.pop(key, None)
        for opened in _aio_channels.values():
            opened.pop(key, None)


class BasicAuthenticationPlugin(grpc.AuthMetadataPlugin):
    """Puts user and password into each call's metadata, as HTTP's Basic authentication does."""

    def __init__(self, user: str, password: str) -> None:
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._metadata = (("authorization", f"Basic {token}"),)

    def __call__(self, context: object, callback: Callable) -> None:
        callback(self._metadata, None)


def _shared(opened: dict[tuple, Any], key: tuple, open_new: Callable[[], Any]) -> Any:
    connection = opened.get(key)
    if connection is None:
        with _lock:
            connection = opened.get(key)
            if connection is None:
                connection = opened[key] = open_new()
    return connection


def _open(endpoint: Endpoint, kind: Any) -> Any:
    """Open a channel of `grpc` or of `grpc.aio`."""
    if _parents_channels:
        raise ConnectionFailed(
            "This process was forked from one that had called over gRPC, and gRPC does not work "
            "after that. Start processes anew: multiprocessing.get_context('spawn')."
        )
    if not endpoint.grpc:
        raise BadInput("This endpoint has no gRPC address. Set one: endpoint.replace(grpc=...).")
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
    ]
    if endpoint.no_proxy or is_loopback(endpoint.grpc.rpartition(":")[0]):
        options.append(("grpc.enable_http_proxy", 0))
    if endpoint.retries:
        options += _retry_options(endpoint.retries)
    if not endpoint.tls:
        if endpoint.user:
            raise BadInput(_TLS_ONLY)
        return kind.insecure_channel(endpoint.grpc, options=options)
    credentials = grpc.ssl_channel_credentials(root_certificates=_read_ca_file(endpoint.ca_file))
    if endpoint.user:
        plugin = BasicAuthenticationPlugin(endpoint.user, endpoint.password)
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.metadata_call_credentials(plugin)
        )
    return kind.secure_channel(endpoint.grpc, credentials, options=options)


def _retry_options(retries: int) -> list[tuple[str, Any]]:
    """Return a channel's options for trying again; gRPC itself varies the pauses.

    `transport.unary` adds the answers that break off.

    See gRPC's proposal A6, "Client Retries".
    """
    import json  # optional: most calls are made once

    policy = {
        "maxAttempts": retries + 1,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    return [
        ("grpc.service_config", json.dumps(config)),
        # A channel that was refused waits by itself too: not longer than the pauses here.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


def _open_session(endpoint: Endpoint) -> "requests.Session":
    from helpers.sessions import Session  # only here: gRPC needs none of it

    secure = endpoint.rest.startswith("https://")
    if endpoint.user and not secure:
        raise BadInput(_TLS_ONLY)
    new = Session(MAX_MESSAGE)
    new.trust_env = not (endpoint.no_proxy or is_loopback(host_of_url(endpoint.rest)))
    if secure and endpoint.ca_file:
        _read_ca_file(endpoint.ca_file)  # says what is wrong with it
        new.verify = os.path.expanduser(endpoint.ca_file)
    if not endpoint.verify:
        new.verify = False
    if endpoint.user and endpoint.kind != "modelarts":
        # As bytes, or requests would write them in Latin-1.
        new.auth = (endpoint.user.encode(), endpoint.password.encode())  # type: ignore[assignment]
    return new


def _key(endpoint: Endpoint) -> tuple:
    return (
        endpoint.grpc,
        endpoint.tls,
        endpoint.ca_file,
        endpoint.retries,
        endpoint.no_proxy,
        endpoint.user,
        endpoint.password,
    )


def _read_ca_file(ca_file: str) -> bytes | None:
    if not ca_file:
        return None
    try:
        with open(os.path.expanduser(ca_file), "rb") as file:
            pem = file.read()
    except OSError as error:
        raise BadInput(f"The CA file {ca_file} cannot be read: {error.strerror}.") from error
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise BadInput(f"The CA file {ca_file} holds no certificate in PEM form.")
    return pem


@atexit.register
def close() -> None:
    """Close all shared channels and sessions; the next call opens its own anew."""
    with _lock:
        for opened in (*_channels.values(), *_sessions.values()):
            opened.close()
        _channels.clear()
        _aio_channels.clear()  # the event loop closes what is left of them
        _sessions.clear()


def _after_fork() -> None:
    """Leave the parent's connections alone; a session can be opened anew, a channel cannot."""
    global _lock, _parents_channels
    _lock = threading.Lock()  # nobody is left who would release the parent's
    of_loops = (channel for opened in _aio_channels.values() for channel in opened.values())
    # Kept, so that nothing closes them; a child's child has those of both.
    _parents_channels = (*_parents_channels, *_channels.values(), *of_loops)
    _channels.clear()
    _aio_channels.clear()
    _sessions.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
