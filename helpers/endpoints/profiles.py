"""The endpoints a reader keeps: `endpoints.toml`, beside the notebooks. Never a secret in it."""

import os
import re
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from helpers.endpoints.endpoint import Endpoint, from_mapping
from helpers.endpoints.practice import PROFILES, state_dir
from helpers.errors import BadInput
from helpers.language import _

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_HEADER = re.compile(r"^\s*\[(?!\[)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z0-9_-]+")


def path() -> str:
    """Return the file's path: beside the notebooks, or where `OTW_ENDPOINTS` says.

    In the state folder where the notebooks are not this user's to write: an installation may be
    shared.
    """
    notebooks = os.path.join(_ROOT, "notebooks")
    if not os.access(notebooks, os.W_OK):
        notebooks = state_dir()
    return os.environ.get("OTW_ENDPOINTS") or os.path.join(notebooks, "endpoints.toml")


def read() -> tuple[dict[str, Endpoint], list[str]]:
    """Read all profiles.

    Returns
    -------
    dict of str to Endpoint
        The good ones by name, also when others in the file are broken.
    list of str
        A sentence for each broken one: which, in which line, and why.
    """
    try:
        with open(path(), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [_("{path} cannot be read: {error}.", path=_file(), error=error)]
    tables, problems = _parse(text)
    profiles = {}
    for name, table in tables.items():
        try:
            if not isinstance(table, Mapping):
                raise BadInput(_("this belongs to no profile."))
            profiles[name] = from_mapping({"kind": "tfserving", **table}, _("it"))
        except BadInput as error:
            problems.append(
                _("Profile {name!r} in {file}: {error}", name=name, file=_file(), error=error)
            )
    return profiles, problems


def get(kind: str, name: str) -> Endpoint:
    """Return one profile; BadInput says which there are when it is not one of them."""
    profiles, problems = read()
    fitting = {key: profile for key, profile in profiles.items() if profile.kind == kind}
    if name in fitting:
        return fitting[name]
    missing = _(
        "{file} has no good profile {name!r} of kind {kind!r}. Profiles: {names}.",
        file=_file(),
        name=name,
        kind=kind,
        names=", ".join(fitting) or _("none"),
    )
    raise BadInput(" ".join([missing, *problems]))


def save(name: str, endpoint: Endpoint, *, instead_of: Iterable[str] = ()) -> None:
    """Write a profile, and keep whatever else is in the file.

    Parameters
    ----------
    name : str
        Letters, digits, `-` and `_`. A profile of that name is replaced.
    endpoint : Endpoint
        Its secrets are not written: of headers their names, and the environment variables that
        have their values.
    instead_of : iterable of str
        Profiles that are taken out.

    Raises
    ------
    BadInput
        For a bad name, a file that is broken, and a folder that cannot be written.
    """
    import filelock  # optional: most readers never save
    import tomlkit

    ours = {profile for profiles in PROFILES.values() for profile in profiles}
    if not _NAME.fullmatch(name) or name in {*ours, "environment"}:
        raise BadInput(
            _(
                "{name!r} cannot name a profile. Use letters, digits, - and _; {taken} and "
                "environment are taken.",
                name=name,
                taken=", ".join(sorted(ours)),
            )
        )
    try:
        os.makedirs(os.path.dirname(path()) or ".", mode=0o700, exist_ok=True)
        with filelock.FileLock(f"{path()}.lock", timeout=10):
            document = tomlkit.document()
            if os.path.exists(path()):
                with open(path(), encoding="utf-8") as file:
                    document = tomlkit.parse(file.read())
            fields = endpoint.public()
            if "headers" in fields:  # in one line: a table of their own would be read as a profile
                inline = tomlkit.inline_table()
                inline.update(fields["headers"])
                fields["headers"] = inline
            for replaced in instead_of:
                document.pop(replaced, None)
            document[name] = fields
            _replace(tomlkit.dumps(document))
    except (OSError, ValueError) as error:  # tomlkit's errors are ValueErrors
        raise BadInput(
            _("{file} was left as it is: {error}.", file=_file(), error=error)
        ) from error


def _replace(text: str) -> None:
    handle, new = tempfile.mkstemp(dir=os.path.dirname(path()), suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(new, path())
    except OSError:
        os.unlink(new)
        raise


def _parse(text: str) -> tuple[dict[str, Any], list[str]]:
    try:
        return tomllib.loads(text), []
    except tomllib.TOMLDecodeError as whole:
        problem = _("{file} is broken: {error}.", file=_file(), error=whole)
    # One broken profile does not take the others along: read each table by itself.
    tables: dict[str, Any] = {}
    starts = [match.start() for match in _HEADER.finditer(text)]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        try:
            tables |= tomllib.loads(text[start:end])
        except tomllib.TOMLDecodeError:
            continue  # named above, with its line
    return tables, [problem]


def _file() -> str:
    return os.path.basename(path())
