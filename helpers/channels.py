"""A gRPC channel from an endpoint: TLS, proxy and message size are settled here."""

import atexit
import os
import threading

import grpc

from helpers.endpoints import Endpoint
from helpers.errors import BadInput

MAX_MESSAGE = 256 * 1024 * 1024  # bytes, both ways; gRPC's own limit for answers is 4,194,304

_channels: dict[tuple[str, bool, str], grpc.Channel] = {}
_lock = threading.Lock()


def channel(endpoint: Endpoint) -> grpc.Channel:
    """Return the channel to an endpoint; all callers in this process share one.

    Parameters
    ----------
    endpoint : Endpoint
        Its `grpc` address, `tls` and `ca_file` count.

    Returns
    -------
    grpc.Channel
        Nothing is sent before the first call. It is closed when Python ends.

    Raises
    ------
    BadInput
        When there is no gRPC address, or the CA file cannot be read.
    """
    if not endpoint.grpc:
        raise BadInput("This endpoint has no gRPC address. Set one: endpoint.replace(grpc=...).")
    key = (endpoint.grpc, endpoint.tls, endpoint.ca_file)
    with _lock:
        if key not in _channels:
            _channels[key] = _open(endpoint)
        return _channels[key]


def forget(endpoint: Endpoint) -> None:
    """Drop the shared channel, so that the next call connects anew.

    After a failed connection a channel waits before it tries again. Whoever has started
    the service in the meantime should not have to wait with it.
    """
    with _lock:
        _channels.pop((endpoint.grpc, endpoint.tls, endpoint.ca_file), None)


def _open(endpoint: Endpoint) -> grpc.Channel:
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
    ]
    if _is_loopback(endpoint.grpc.rpartition(":")[0]):
        options.append(("grpc.enable_http_proxy", 0))  # no proxy reaches this machine's inside
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.grpc, options=options)
    credentials = grpc.ssl_channel_credentials(root_certificates=_authority(endpoint.ca_file))
    return grpc.secure_channel(endpoint.grpc, credentials, options=options)


def _authority(ca_file: str) -> bytes | None:
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


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or host.startswith("127.")


@atexit.register
def _close() -> None:
    with _lock:
        for each in _channels.values():
            each.close()
        _channels.clear()
