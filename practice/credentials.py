"""The local authority, the server's certificate and the users: made at first start, then kept.

Secrets lie in files of mode 0600. The authority's own key is thrown away once it has signed; that
of a class on a network is kept while the class is up.
"""

import contextlib
import datetime
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from practice import state

LIFETIME = 30  # days that certificates of a class on a network hold
_AUTHORITY_KEY = "ca.key"
HOSTS = ("localhost", "127.0.0.1", "::1")


class Certificate(NamedTuple):
    """PEM files of a server: its certificate with those above it, and its key."""

    chain: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    """Return the server's certificate and key, made on the first call.

    Parameters
    ----------
    folder : Path
        `ca.pem` in it is what clients trust: `ca_file(folder)`.
    """
    files = Certificate(folder / "server.pem", folder / "server.key")
    if not all(path.exists() for path in (*files, ca_file(folder))):
        _sign(folder, files)
    return files


@contextlib.contextmanager
def home(folder: Path | None) -> Iterator[Path]:
    """Give the folder that a flag names; without one the state folder, locked meanwhile."""
    if folder is not None:
        yield folder
        return
    with state.lock():
        yield state.folder()


def ca_file(folder: Path) -> Path:
    """Return where the authority's certificate lies."""
    return folder / "ca.pem"


def user(folder: Path, service: str) -> tuple[str, str]:
    """Return a service's user and password, made up on the first call."""
    account = secrets_of(folder, service, new_user)
    return account["user"], account["password"]


def new_user() -> dict[str, str]:
    """Make up a password; the user is always the same."""
    return {"user": "learner", "password": secrets.token_urlsafe(12)}


def secrets_of(folder: Path, service: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Return what a service keeps secret, made up on the first call."""
    account = state.read_secrets(service, folder)
    if not account:
        account = make()
        state.write_secrets(service, account, folder)
    return account


def make_authority(folder: Path, *hosts: str) -> None:
    """Make the authority of a class on a network, and its server's certificate, both anew.

    Its key stays, for students who come later: `forget_authority`.

    Parameters
    ----------
    folder : Path
        As in `certificate`.
    *hosts : str
        Names and addresses of the server on the network.
    """
    _sign(folder, Certificate(folder / "server.pem", folder / "server.key"), *hosts, keep=True)


def certify(folder: Path, name: str) -> str:
    """Return a new certificate of a student's, with its key, in PEM form."""
    import trustme

    authority = trustme.CA.from_pem(
        ca_file(folder).read_bytes(), (folder / _AUTHORITY_KEY).read_bytes()
    )
    # The address is nobody's: without one, gRPC would take the name for a host's.
    issued = authority.issue_cert(
        "student@otw.invalid",
        common_name=name,
        organization_name="Over the Wire",
        not_after=_end(),
    )
    return issued.private_key_and_cert_chain_pem.bytes().decode()


def forget_authority(folder: Path) -> None:
    """Let nobody sign with the authority of a class any more, and nothing it signed be used."""
    for path in (folder / _AUTHORITY_KEY, folder / "server.pem", folder / "server.key"):
        path.unlink(missing_ok=True)


def _end() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(LIFETIME)


def _sign(folder: Path, files: Certificate, *hosts: str, keep: bool = False) -> None:
    import trustme  # 40 ms; from the second start on, the files are there

    authority = trustme.CA(organization_name="Over the Wire", organization_unit_name="practice")
    issued = authority.issue_cert(
        *dict.fromkeys((*HOSTS, *hosts)),
        organization_name="Over the Wire",
        not_after=_end() if keep else None,
    )
    if keep:
        write(folder / _AUTHORITY_KEY, authority.private_key_pem.bytes())
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    write(files.key, issued.private_key_pem.bytes())
    write(files.chain, chain)
    write(ca_file(folder), authority.cert_pem.bytes())


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, in place of one that is there."""
    path.unlink(missing_ok=True)
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(content)
    except OSError as error:
        raise state.unwritable(path, error) from error
