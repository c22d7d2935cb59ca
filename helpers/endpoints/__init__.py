"""Where a service is, and which model is meant there; nothing here touches the network."""

from helpers.endpoints.endpoint import KINDS, Endpoint, check_kind, from_mapping
from helpers.endpoints.practice import (
    AUTH,
    PROFILES,
    environment,
    is_of_class,
    named,
    read_services,
    running,
    state_dir,
    variable,
    variables,
)
from helpers.language import _

__all__ = [
    "KINDS",
    "PROFILES",
    "Endpoint",
    "environment",
    "from_mapping",
    "is_of_class",
    "load",
    "named",
    "read_services",
    "running",
    "state_dir",
    "variable",
    "variables",
]


def load(kind: str, profile: str = "practice") -> Endpoint:
    """Find an endpoint: what runs on this machine, or a profile of your own.

    Parameters
    ----------
    kind : str
        `tfserving`, `ccai` or `modelarts`.
    profile : str
        `practice` is the practice service on this machine. `PROFILES` has more of them: of kind
        `ccai`, `practice-secure` is the same service over TLS and with a user. Any other name is
        a table in `notebooks/endpoints.toml`.

    Returns
    -------
    Endpoint
        Environment variables such as `OTW_TFSERVING_GRPC=host:port` go before what is found.

    Raises
    ------
    ConnectionFailed
        When the practice service is not running.
    BadInput
        For an unknown kind or profile, and for values that cannot be an address.
    """
    check_kind(kind)
    if profile not in PROFILES[kind]:
        from helpers.endpoints import profiles  # 50 ms: few readers have a file of their own

        own = profiles.get(kind, profile)
        similar = f"practice-{own.auth or ('secure' if own.tls else '')}"
        fields = environment(kind, similar if similar in PROFILES[kind] else "practice")
        return own.replace(**fields)
    fields = environment(kind, profile)
    if "grpc" in fields or "rest" in fields:
        fixed = {"kind": kind, "tls": profile == "practice-secure", "auth": AUTH.get(profile, "")}
        return from_mapping({**fixed, **fields}, _("The environment"))
    return running(kind, profile).replace(**fields)
