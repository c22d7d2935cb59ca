"""Loopback ports of this program that lead to a class's services on another machine.

So chapters whose calls name no certificate reach what asks for one: `helpers` could call it
directly, and `requests.post(url)` or `grpc.insecure_channel(address)` could not.
"""

import asyncio
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from helpers import endpoints
from helpers.endpoints.practice import CLASS, PROFILES, service_of
from helpers.language import _
from practice import processes, state
from practice.host import streams
from practice.host.peers import of_this_user

_PATIENCE = 5.0  # seconds
_HOST = "127.0.0.1"
_EXPIRED = 10  # OpenSSL's X509_V_ERR_...
_ANOTHER_HOST = (62, 64)
_remotes: dict[str, str] = {}  # the class's addresses, by those here
_lock = threading.Lock()


def remote(address: str) -> str:
    """Return the class's address, host:port, that this one leads to; empty when it is none."""
    if endpoints.is_of_class(address):
        return address
    return _remotes.get(address, "")


def lead(service: str) -> None:
    """Let the environment name loopback ports for a class's service, once that admits its student.

    Raises
    ------
    PracticeError
        When it does not; the text says what to do.
    """
    with _lock:
        context = _context()
        here: dict[str, str] = {}
        for variable, has_tls in _variables(service):
            before, mark, rest = os.environ[variable].rpartition("://")
            address, slash, path = rest.partition("/")
            there = remote(address)
            if not there:
                continue
            if there not in here:
                _check(there, context)
                here[there] = address if there != address else _open(there, context)
            scheme = before if has_tls else before.replace("https", "http")
            os.environ[variable] = f"{scheme}{mark}{here[there]}{slash}{path}"


def _variables(service: str) -> Iterator[tuple[str, bool]]:
    """Yield which variables have its addresses, and whether these have TLS on their own machine."""
    for kind, profiles in PROFILES.items():
        for profile, names in profiles.items():
            if service_of(kind, profile) == service:
                has_tls = kind == "modelarts" or profile == "practice-secure"
                for field in ("grpc", "rest", "iam"):
                    if os.environ.get(names.get(field, "")):
                        yield names[field], has_tls


def _context() -> ssl.SSLContext:
    authority, certificate = (
        os.environ.get(CLASS[field], "") for field in ("ca_file", "cert_file")
    )
    try:
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate)
    except OSError as error:  # ssl.SSLError is one
        raise state.PracticeError(
            _(
                "The files {authority} and {certificate}, which {variables} name, cannot be used: "
                "{error}. They come with your variables of the class.",
                authority=repr(authority),
                certificate=repr(certificate),
                variables=f"{CLASS['ca_file']}, {CLASS['cert_file']}",
                error=error,
            )
        ) from error
    context.set_alpn_protocols([streams.TUNNEL])
    return context


def _check(there: str, context: ssl.SSLContext) -> None:
    """Ask a class's port whether it admits this student."""
    host, port = _ends(there)
    try:
        with (
            socket.create_connection((host, port), timeout=_PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            admitted = encrypted.recv(1) == streams.ADMITTED
        reason = _refused()
    except OSError as error:
        admitted = False
        reason = _reason(error)
    if not admitted:
        raise state.PracticeError(
            _(
                "The class's service at {address} cannot be used. {reason}",
                address=there,
                reason=reason,
            )
        )


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return _("Its certificate has expired. Ask who runs the class to start a new one.")
        if error.verify_code in _ANOTHER_HOST:
            return _("Its certificate is for another address. Correct the address.")
        return _(
            "It has no certificate of the authority in {variable}: it is another class, or yours "
            "are the files of an earlier one. Ask who runs the class for new files.",
            variable=CLASS["ca_file"],
        )
    if isinstance(error, ssl.SSLError):
        return _refused()
    if isinstance(error, socket.gaierror):
        return _("No machine of that name was found. Correct the address.")
    if isinstance(error, ConnectionRefusedError):
        return _("Nothing listens there: the class is over, or its address is another one.")
    if isinstance(error, ConnectionError):
        return _("It closed the connection. Ask who runs the class whether it is up.")
    return _(
        "It does not answer ({error}). Is this machine in the network of the class, and does that "
        "let its machines reach one another?",
        error=error,
    )


def _refused() -> str:
    # TLS 1.3 lets a server say why, and not each one does.
    return _(
        "It does not take your certificate: that has expired, is of an earlier class, or you are "
        "not in its list any more. Ask who runs the class for new files."
    )


def _ends(address: str) -> tuple[str, int]:
    host, _colon, port = address.rpartition(":")
    return host, int(port)


def _open(there: str, context: ssl.SSLContext) -> str:
    """Open a port here, of the same number if that is free; returns its address."""
    host, port = _ends(there)
    peers = of_this_user()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        if not peers.admits(*ends):
            writer.close()
            return
        try:
            outside = await asyncio.open_connection(host, port, ssl=context, limit=streams.CHUNK)
            if await outside[0].read(1) == streams.ADMITTED:
                await streams.carry((reader, writer), outside)
            else:
                outside[1].close()
        except OSError:  # the call fails as it does where nothing listens
            pass
        finally:
            writer.close()

    local = processes.choose_port(port)
    opening = asyncio.start_server(carry, _HOST, local, limit=streams.CHUNK)
    asyncio.run_coroutine_threadsafe(opening, _loop()).result(_PATIENCE)
    _remotes[f"{_HOST}:{local}"] = there
    return f"{_HOST}:{local}"


def _loop() -> Any:
    """Return the event loop of all tunnels; it ends with this program."""
    global _running
    if _running is None:
        _running = asyncio.new_event_loop()
        threading.Thread(target=_running.run_forever, name="tunnels", daemon=True).start()
    return _running


_running: asyncio.AbstractEventLoop | None = None
