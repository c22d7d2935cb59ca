"""The list of practice services. Each one's `launching` says how it is started and asked."""

import difflib

from helpers.language import _
from practice import state
from practice.ccai.launching import CCAI
from practice.launch import Service
from practice.modelarts.launching import MODELARTS
from practice.proxy.launching import PROXY
from practice.rayserve.launching import RAYSERVE
from practice.tfserving.launching import LIGHT, WHOLE

SERVICES = {service.name: service for service in (LIGHT, WHOLE, CCAI, MODELARTS, PROXY, RAYSERVE)}


class UnknownService(state.PracticeError):
    """Raised for a name that no practice service has."""


def get(name: str) -> Service:
    """Return a service by its name."""
    if name in SERVICES:
        return SERVICES[name]
    near = difflib.get_close_matches(name, SERVICES, n=1)
    sentence = _(
        "There is no practice service {name!r}. Known: {names}.",
        name=name,
        names=", ".join(SERVICES),
    )
    if near:
        sentence = _("{names} Did you mean {near!r}?", names=sentence, near=near[0])
    raise UnknownService(sentence)
