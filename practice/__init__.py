"""Local services to practise against: `ready("tfserving")` and `private("tfserving")`."""

import importlib
from typing import TYPE_CHECKING, Any

from protos import official

if TYPE_CHECKING:
    from practice.exercises import check
    from practice.instance import private
    from practice.launch import DATA
    from practice.manager import ready
    from practice.proxy.log import proxy_log
    from practice.state import PracticeError

__all__ = ["DATA", "PracticeError", "check", "private", "proxy_log", "ready"]

_HOMES = {
    "DATA": "practice.launch",
    "PracticeError": "practice.state",
    "check": "practice.exercises",
    "private": "practice.instance",
    "proxy_log": "practice.proxy.log",
    "ready": "practice.manager",
}

# So that the documentation's own line, `from tensorflow_serving.apis import predict_pb2`, takes a
# moment and not the six seconds of TensorFlow, which may not even be installed.
official.install()


def __getattr__(name: str) -> Any:
    # Late, because `python -m practice.tfserving` imports this file too and needs no manager.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """Let a cell say what it needs: `%load_ext practice`, then `%%needs tensorflow` or `ray`."""
    from practice import needs  # IPython: for notebooks only

    shell.input_transformers_cleanup.append(needs.transform)


def unload_ipython_extension(shell: Any) -> None:
    """Forget `%%needs`: `%unload_ext practice`."""
    from practice import needs

    shell.input_transformers_cleanup.remove(needs.transform)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
