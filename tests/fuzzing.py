"""How many examples a property is tried on: a bounded number, or many more by `make fuzz`."""

from typing import Any

from hypothesis import HealthCheck, settings

settings.register_profile(
    "bounded",
    deadline=None,  # a machine that is busy is no mistake
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "fuzz", settings.get_profile("bounded"), max_examples=2000, derandomize=False, print_blob=True
)
settings.load_profile("bounded")  # --hypothesis-profile=fuzz replaces it


def examples(number: int, **more: Any) -> settings:
    """Return settings for a property that wants another number of examples than 100."""
    return settings(max_examples=number * settings().max_examples // 100, **more)
