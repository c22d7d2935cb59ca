"""Where a service is, and which model is meant there; nothing here touches the network."""

from helpers.endpoints.endpoint import KINDS, Endpoint, from_mapping
from helpers.endpoints.practice import (
    AUTH,
    PROFILES,
    environment,
    public,
    read_services,
    running,
    state_dir,
    variables,
)
from helpers.errors import BadInput

__all__ = [
    "KINDS",
    "PROFILES",
    "Endpoint",
    "environment",
    "from_mapping",
    "load",
    "public",
    "read_services",
    "running",
    "state_dir",
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
    if kind not in KINDS:
        raise BadInput(f"Unknown kind {kind!r}. Known: {', '.join(KINDS)}.")
    if profile not in PROFILES[kind]:
        from helpers.endpoints import profiles  # 50 ms: few readers have a file of their own

        found = profiles.get(kind, profile)
        like = f"practice-{found.auth or ('secure' if found.tls else '')}"
        return found.replace(**environment(kind, like if like in PROFILES[kind] else "practice"))
    given = environment(kind, profile)
    if "grpc" in given or "rest" in given:
        more = {"tls": profile == "practice-secure", "auth": AUTH.get(profile, "")}
        return from_mapping({"kind": kind, **more, **given}, "The environment")
    return running(kind, profile).replace(**given)
