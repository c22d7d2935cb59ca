"""What the notebooks import: endpoints, channels, calls, and the errors they raise."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Late: whoever makes a call should not wait for what looks at the machine.
    if name == "doctor":
        from helpers.machine import doctor

        return doctor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
