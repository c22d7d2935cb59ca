"""A gRPC channel or an HTTP session from an endpoint: TLS, user and proxy are settled here."""

import asyncio
import atexit
import base64
import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from helpers.endpoints import Endpoint
from helpers.endpoints.endpoint import host_of_url, is_loopback
from helpers.errors import BadInput, ConnectionFailed
from helpers.language import _

if TYPE_CHECKING:
    import requests

    from helpers.endpoints.headers import Headers

MAX_MESSAGE = 256 * 1024 * 1024  # bytes, both ways; gRPC's own limit for answers is 4,194,304

_channels: dict[tuple, grpc.Channel] = {}
_aio_channels: "dict[asyncio.AbstractEventLoop, dict[tuple, grpc.aio.Channel]]" = {}
_sessions: "dict[tuple, requests.Session]" = {}
_stubs: "weakref.WeakKeyDictionary[grpc.Channel, dict[Any, Any]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_parents_channels: tuple = ()  # of the process that this one was forked from


def channel(endpoint: Endpoint) -> grpc.Channel:
    """Return the channel to an endpoint; all callers in this process share one.

    Parameters
    ----------
    endpoint : Endpoint
        Its `grpc` address, `tls`, files, `retries`, `user`, `password` and `headers` count.

    Returns
    -------
    grpc.Channel
        Nothing is sent before the first call. It is closed when Python ends.

    Raises
    ------
    BadInput
        When there is no gRPC address, when a file cannot be read, and for a user, or headers to
        another machine, without TLS.
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
        Its `rest` address, files, `verify`, `user`, `password` and `headers` count. ModelArts
        takes user and password in ways of its own, so of kind `modelarts` they stay out.

    Returns
    -------
    requests.Session
        It keeps its connections open. Pass `verify=session.verify` with each request:
        `requests` would let the environment's REQUESTS_CA_BUNDLE go before it.

    Raises
    ------
    BadInput
        When there is no REST address, when a file cannot be read, and for a user, or headers to
        another machine, without TLS.
    """
    if not endpoint.rest:
        raise BadInput(_("This endpoint has no REST address. Set one: endpoint.replace(rest=...)."))
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


class _Metadata(grpc.UnaryUnaryClientInterceptor, grpc.aio.UnaryUnaryClientInterceptor):
    """Puts metadata into a channel's calls, of `grpc` or of `grpc.aio`, with TLS or without.

    They have one request and one answer, as all calls of TensorFlow Serving and CCAI. A channel's
    call credentials would do the same, but over TLS only.
    """

    def __init__(self, metadata: "Headers") -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), *self._metadata)
        return continuation(details._replace(metadata=metadata), request)


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
        forked = ConnectionFailed(
            _(
                "This process was forked from one that had called over gRPC, and gRPC does not "
                "work after that. Start processes anew: multiprocessing.get_context('spawn')."
            )
        )
        forked.sentence = "forked from one that had called over gRPC"
        raise forked
    if not endpoint.grpc:
        raise BadInput(_("This endpoint has no gRPC address. Set one: endpoint.replace(grpc=...)."))
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        # Else a new channel waits as long as an old one that was refused, and is not gone yet.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    host = endpoint.grpc.rpartition(":")[0]
    if endpoint.no_proxy or is_loopback(host):
        options.append(("grpc.enable_http_proxy", 0))
    if endpoint.retries:
        options += _retry_options(endpoint.retries)
    opened: Any
    if endpoint.tls:
        opened = functools.partial(kind.secure_channel, endpoint.grpc, _credentials(endpoint))
    elif endpoint.user:
        raise _unencrypted_user()
    elif endpoint.headers and not is_loopback(host):
        raise _unencrypted_headers()
    else:
        opened = functools.partial(kind.insecure_channel, endpoint.grpc)
    if not endpoint.headers:
        return opened(options=options)
    interceptor = _Metadata(tuple((name.lower(), value) for name, value in _headers(endpoint)))
    if kind is grpc.aio:
        return opened(options=options, interceptors=[interceptor])
    return grpc.intercept_channel(opened(options=options), interceptor)


def _credentials(endpoint: Endpoint) -> grpc.ChannelCredentials:
    certificate, key = _read_client_files(endpoint)
    credentials = grpc.ssl_channel_credentials(_read_ca_file(endpoint.ca_file), key, certificate)
    if endpoint.user:
        plugin = BasicAuthenticationPlugin(endpoint.user, endpoint.password)
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.metadata_call_credentials(plugin)
        )
    return credentials


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
    local = is_loopback(host_of_url(endpoint.rest))
    if endpoint.user and not secure:
        raise _unencrypted_user()
    if endpoint.headers and not (secure or local):
        raise _unencrypted_headers()
    new = Session(MAX_MESSAGE)
    new.trust_env = not (endpoint.no_proxy or local)
    if secure and endpoint.ca_file:
        _read_ca_file(endpoint.ca_file)  # says what is wrong with it
        new.verify = os.path.expanduser(endpoint.ca_file)
    if not endpoint.verify:
        new.verify = False
    if secure and endpoint.cert_file:
        _read_client_files(endpoint)
        files = (endpoint.cert_file, endpoint.key_file or endpoint.cert_file)
        new.cert = tuple(map(os.path.expanduser, files))  # type: ignore[assignment]
    if endpoint.sends_user:
        # As bytes, or requests would write them in Latin-1.
        new.auth = (endpoint.user.encode(), endpoint.password.encode())  # type: ignore[assignment]
    elif endpoint.headers:
        new.auth = lambda request: request  # or a .netrc would replace Authorization
    new.headers.update(_headers(endpoint))
    return new


def _unencrypted_user() -> BadInput:
    return BadInput(
        _("User and password are sent over TLS only. Use TLS (https for REST), or leave them out.")
    )


def _unencrypted_headers() -> BadInput:
    return BadInput(
        _(
            "To another machine, headers are sent over TLS only: their values are secrets. Use TLS "
            "(https for REST), or leave them out."
        )
    )


def _headers(endpoint: Endpoint) -> "Headers":
    if not endpoint.headers:
        return ()
    from helpers.endpoints import headers  # optional: most endpoints have none

    return headers.filled(headers.check(endpoint.headers))


def _key(endpoint: Endpoint) -> tuple:
    return (
        endpoint.grpc,
        endpoint.tls,
        endpoint.ca_file,
        endpoint.retries,
        endpoint.no_proxy,
        endpoint.user,
        endpoint.password,
        endpoint.cert_file,
        endpoint.key_file,
        _headers(endpoint),
    )


def _read_ca_file(ca_file: str) -> bytes | None:
    if not ca_file:
        return None
    pem = _read(ca_file, _("CA file"))
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise BadInput(_("The CA file {path} holds no certificate in PEM form.", path=ca_file))
    return pem


def _read_client_files(endpoint: Endpoint) -> tuple[bytes | None, bytes | None]:
    """Return certificate and key, if there are any; BadInput when they cannot be used."""
    if not endpoint.cert_file:
        return None, None
    import ssl  # optional: few servers ask for one

    certificate = _read(endpoint.cert_file, _("client certificate"))
    key_file = endpoint.key_file or endpoint.cert_file
    key = _read(key_file, _("client key"))
    if b"PRIVATE KEY" not in key:
        raise BadInput(
            _(
                "{path} has no private key in PEM form. The certificate needs its own: "
                "endpoint.replace(key_file=...).",
                path=key_file,
            )
        )
    if b"ENCRYPTED" in key:  # OpenSSL would ask for it on the terminal
        raise BadInput(
            _(
                "The client key {path} has a password. Take it off: "
                "openssl pkey -in {path} -out key.pem",
                path=key_file,
            )
        )
    try:
        files = map(os.path.expanduser, (endpoint.cert_file, key_file))
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*files)
    except ssl.SSLError as error:
        raise BadInput(
            _(
                "{certificate} and {key} are no certificate and its key in PEM form: {reason}.",
                certificate=endpoint.cert_file,
                key=key_file,
                reason=error.reason,
            )
        ) from error
    return certificate, key


def _read(path: str, what: str) -> bytes:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            return file.read()
    except OSError as error:
        raise BadInput(
            _("The {what} {path} cannot be read: {why}.", what=what, path=path, why=error.strerror)
        ) from error


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
