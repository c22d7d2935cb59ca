"""The table of practice services, by name."""

import difflib

from practice.ccai.launching import CCAI
from practice.modelarts.launching import MODELARTS
from practice.proxy.launching import PROXY
from practice.service import Service, UnknownService
from practice.tfserving.launching import LIGHT, WHOLE

SERVICES = {service.name: service for service in (LIGHT, WHOLE, CCAI, MODELARTS, PROXY)}


def get(name: str) -> Service:
    """Return a service by its name."""
    if name in SERVICES:
        return SERVICES[name]
    near = difflib.get_close_matches(name, SERVICES, n=1)
    raise UnknownService(
        f"There is no practice service {name!r}. Known: {', '.join(SERVICES)}."
        + (f" Did you mean {near[0]!r}?" if near else "")
    )
