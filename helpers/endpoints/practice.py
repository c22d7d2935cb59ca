"""Where the practice services of this machine are, as their manager wrote it down."""

import os
import time
from typing import Any

from helpers.endpoints.endpoint import KINDS, Endpoint, from_mapping
from helpers.errors import BadInput, ConnectionFailed
from helpers.language import _

_MODELARTS = {
    "ca_file": "OTW_CA",
    "cert_file": "OTW_MODELARTS_CERT",
    "key_file": "OTW_MODELARTS_KEY",
    "headers": "OTW_MODELARTS_HEADERS",
}
_TOKEN = {
    **_MODELARTS,
    "token": "OTW_MODELARTS_TOKEN",
    "user": "OTW_MODELARTS_USER",
    "password": "OTW_MODELARTS_PASSWORD",
    "iam": "OTW_MODELARTS_IAM",
    "domain": "OTW_MODELARTS_DOMAIN",
    "project": "OTW_MODELARTS_PROJECT",
}
# For each kind the practice service's profiles, and the environment variable for each field.
PROFILES: dict[str, dict[str, dict[str, str]]] = {
    "tfserving": {
        "practice": {
            "grpc": "OTW_TFSERVING_GRPC",
            "rest": "OTW_TFSERVING_REST",
            "user": "OTW_TFSERVING_USER",
            "password": "OTW_TFSERVING_PASSWORD",
            "ca_file": "OTW_TFSERVING_CA",
            "cert_file": "OTW_TFSERVING_CERT",
            "key_file": "OTW_TFSERVING_KEY",
            "headers": "OTW_TFSERVING_HEADERS",
        },
        "practice-tf": {"grpc": "OTW_TFSERVING_TF_GRPC", "rest": "OTW_TFSERVING_TF_REST"},
        "practice-ray": {"grpc": "OTW_RAYSERVE_GRPC"},
    },
    "ccai": {
        "practice": {"rest": "OTW_CCAI_REST", "grpc": "OTW_CCAI_GRPC"},
        "practice-secure": {
            "rest": "OTW_CCAI_SECURE_REST",
            "grpc": "OTW_CCAI_SECURE_GRPC",
            "user": "OTW_CCAI_USER",
            "password": "OTW_CCAI_PASSWORD",
            "ca_file": "OTW_CA",
            "cert_file": "OTW_CCAI_CERT",
            "key_file": "OTW_CCAI_KEY",
            "headers": "OTW_CCAI_HEADERS",
        },
    },
    "modelarts": {
        "practice": {"rest": "OTW_MODELARTS_IRIS", **_TOKEN},
        "practice-digits": {"rest": "OTW_MODELARTS_DIGITS", **_TOKEN},
        "practice-detector": {"rest": "OTW_MODELARTS_DETECTOR", **_TOKEN},
        "practice-signature": {
            "rest": "OTW_MODELARTS_IRIS",
            "user": "OTW_MODELARTS_AK",
            "password": "OTW_MODELARTS_SK",
            **_MODELARTS,
        },
        "practice-appcode": {
            "rest": "OTW_MODELARTS_APP_IRIS",
            "password": "OTW_MODELARTS_APPCODE",
            **_MODELARTS,
        },
    },
}
# Of a class on another machine: its address, who this student is there, and what proves both.
CLASS = {
    "host": "OTW_CLASS_HOST",
    "student": "OTW_CLASS_STUDENT",
    "ca_file": "OTW_CLASS_CA",
    "cert_file": "OTW_CLASS_CERT",
}
_SERVICES = {"practice-tf": "tfserving-tf", "practice-ray": "rayserve"}  # others: as their kind
AUTH = {"practice-signature": "signature", "practice-appcode": "appcode"}


def environment(kind: str, profile: str = "practice") -> dict[str, Any]:
    """Return what the environment says of an endpoint: `OTW_TFSERVING_GRPC`, `_USER`, ...

    Headers stand there as HTTP has them: `Name: value`, one a line.
    """
    names = PROFILES[kind][profile]
    fields: dict[str, Any]
    fields = {field: os.environ[name] for field, name in names.items() if os.environ.get(name)}
    if "headers" in fields:
        from helpers.endpoints import headers  # optional: most endpoints have none

        fields["headers"] = headers.from_lines(fields["headers"].splitlines())
    if is_of_class(fields.get("grpc") or fields.get("rest", "")):
        files = {field: os.environ.get(CLASS[field], "") for field in ("ca_file", "cert_file")}
        fields = {**files, **fields}
    return fields


def is_of_class(address: str) -> bool:
    """Whether an address, host:port or a URL, is of the class that the environment names."""
    host = os.environ.get(CLASS["host"])
    own = address.rpartition("://")[2].partition("/")[0].rpartition(":")[0]
    return bool(host) and own == host


def variables(endpoint: Endpoint, profile: str) -> dict[str, str]:
    """Return the environment that says of a profile what an endpoint does."""
    names = PROFILES[endpoint.kind][profile]
    values = {name: getattr(endpoint, field) for field, name in names.items()}
    return {name: value for name, value in values.items() if value}


def variable(endpoint: Endpoint, field: str) -> str:
    """Return the environment variable for a field, as `otw practice env` calls it."""
    profiles = PROFILES[endpoint.kind]
    like = f"practice-{endpoint.auth or ('secure' if endpoint.kind == 'ccai' else '')}"
    return profiles.get(like, profiles["practice"])[field]


def service_of(kind: str, profile: str) -> str:
    """Return which practice service is behind a profile."""
    return _SERVICES.get(profile, kind)


def named(service: str) -> dict[str, str]:
    """Return where a practice service's server is by the environment, by the variables that say so.

    Empty unless the environment names an address for all of the service's profiles: a chapter
    may need any of them.
    """
    addresses: dict[str, str] = {}
    for kind, profiles in PROFILES.items():
        for profile, names in profiles.items():
            if service_of(kind, profile) != service:
                continue
            own = {names[field] for field in ("grpc", "rest") if field in names}
            said = {name: os.environ[name] for name in sorted(own) if os.environ.get(name)}
            if not said:
                return {}
            addresses |= said
    return addresses


def state_dir() -> str:
    """Return the folder in which the practice services keep their state.

    The environment variable `OTW_STATE_DIR` moves it.

    Raises
    ------
    BadInput
        For a user without a home folder, as a container may have one.
    """
    import platformdirs  # optional: an address given by hand needs no folder

    moved = os.environ.get("OTW_STATE_DIR")
    try:
        return moved or platformdirs.user_state_dir("over-the-wire", appauthor=False)
    except RuntimeError as error:
        raise BadInput(
            _(
                "This user has no home folder, and so no place for what the practice services "
                "keep. Set the environment variable OTW_STATE_DIR to a folder that only this user "
                "can write."
            )
        ) from error


def running(kind: str, profile: str = "practice") -> Endpoint:
    """Return where the practice service is, as its manager wrote it down."""
    service = service_of(kind, profile)
    try:
        fields = read_services()[service]["endpoints"][profile]
        if "user" in fields or "auth" in fields:  # then there is a secret
            secrets = read_json(os.path.join(state_dir(), "secrets.json"))
            fields |= secrets["endpoints"][service][profile]
        return from_mapping(fields, "services.json")
    except (BadInput, KeyError, TypeError) as error:  # also what an earlier version wrote
        raise ConnectionFailed(
            _(
                "The practice service {service} is not running. Start it with "
                "practice.ready({service!r}) in Python or `otw practice up {service}` in a "
                "terminal.",
                service=service,
            ),
            service=KINDS[kind],
        ) from error


def read_services() -> dict[str, dict[str, Any]]:
    """Return what the manager wrote of each service; nothing when the file is broken."""
    entries = read_json(os.path.join(state_dir(), "services.json"))
    if not isinstance(entries, dict):
        return {}
    return {name: entry for name, entry in entries.items() if isinstance(entry, dict)}


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return what a JSON file holds; None when it is missing or broken."""
    import json  # optional: an address given by hand needs no file

    for _try in range(20):
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except PermissionError:
            time.sleep(0.01)  # Windows, for a moment, while the file is being replaced
        except (OSError, ValueError):
            return None
    return None
