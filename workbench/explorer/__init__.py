"""Explore any model: what it takes, what it gives, and the calls in between."""

from typing import Any

__all__ = ["Explorer"]


def __getattr__(name: str) -> Any:
    """Import `Explorer` when it is asked for: the parts here need no widgets."""
    if name == "Explorer":
        from workbench.explorer.explorer import Explorer

        return Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
