"""Where the practice services of this machine are, as their manager wrote it down."""

import os
from collections.abc import Mapping
from typing import Any

from helpers.endpoints.endpoint import KINDS, Endpoint
from helpers.errors import ConnectionFailed

_WHO = {"user": "user", "password": "password", "ca_file": "ca_file"}
_TOKEN = {**_WHO, "iam": "iam", "domain": "domain", "project": "project"}
# For each kind the practice service's profiles: fields, and what each is called in the files of
# its manager. The environment goes before: `variable` has the names there.
PROFILES: dict[str, dict[str, dict[str, str]]] = {
    "tfserving": {
        "practice": {"rest": "rest", "grpc": "grpc", "user": "user", "password": "password"},
        "practice-tf": {"rest": "rest", "grpc": "grpc"},
    },
    "ccai": {
        "practice": {"rest": "rest", "grpc": "grpc"},
        "practice-secure": {"rest": "secure_rest", "grpc": "secure_grpc", **_WHO},
    },
    "modelarts": {
        "practice": {"rest": "iris", **_TOKEN},
        "practice-digits": {"rest": "digits", **_TOKEN},
        "practice-detector": {"rest": "detector", **_TOKEN},
        "practice-signature": {"rest": "iris", **_WHO, "user": "ak", "password": "sk"},
        "practice-appcode": {"rest": "app_iris", "password": "appcode", "ca_file": "ca_file"},
    },
}
_SERVICES = {"practice-tf": "tfserving-tf"}  # where it is not the one that the kind is called by
AUTH = {"practice-signature": "signature", "practice-appcode": "appcode"}


def environment(kind: str, profile: str = "practice") -> dict[str, str]:
    """Return what the environment says of an endpoint: `OTW_TFSERVING_GRPC`, `_USER`, ..."""
    service = _SERVICES.get(profile, kind)
    names = {field: variable(service, key) for field, key in PROFILES[kind][profile].items()}
    return {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}


def variable(service: str, key: str) -> str:
    """Return the name of an environment variable: `OTW_CCAI_REST`; one CA file is for all."""
    return "OTW_CA" if key == "ca_file" else f"OTW_{service}_{key}".upper().replace("-", "_")


def state_dir() -> str:
    """Return the folder in which the practice services keep their state.

    The environment variable `OTW_STATE_DIR` moves it.
    """
    import platformdirs  # optional: an address given by hand needs no folder

    given = os.environ.get("OTW_STATE_DIR")
    return given or platformdirs.user_state_dir("over-the-wire", appauthor=False)


def running(kind: str, profile: str = "practice") -> Endpoint:
    """Return where the practice service is, as its manager wrote it down."""
    service = _SERVICES.get(profile, kind)
    try:
        entry = _read("services.json")[service]
        if "ca_file" in PROFILES[kind][profile]:
            entry |= _read("secrets.json")[kind]
        return from_entry(kind, entry, profile)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConnectionFailed(
            f"The practice service {service} is not running. Start it with "
            f"practice.ready({service!r}) in Python or `otw practice up {service}` in a terminal.",
            service=KINDS[kind],
        ) from error


def from_entry(kind: str, entry: Mapping[str, Any], profile: str = "practice") -> Endpoint:
    """Make an endpoint of what the manager wrote down: a service's entry, with its secrets."""
    optional = ("user", "password") if kind == "tfserving" else ()  # only the environment has one
    names = {field: key for field, key in PROFILES[kind][profile].items() if field not in optional}
    known = {field: entry[key] for field, key in names.items()}
    models = tuple(entry.get("models", ()))
    return Endpoint(kind, **known, auth=AUTH.get(profile, ""), models=models)


def _read(name: str) -> dict[str, Any]:
    import json  # optional: an address given by hand needs no file

    with open(os.path.join(state_dir(), name), encoding="utf-8") as file:
        return json.load(file)
