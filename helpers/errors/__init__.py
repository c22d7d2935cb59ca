"""The errors a call can end with: one short tree, and what each means in plain words."""

from typing import TYPE_CHECKING

from helpers.errors.tree import (
    BadInput,
    CallError,
    ConnectionFailed,
    DeadlineExceeded,
    NotAuthenticated,
    NotPermitted,
    NotThisProtocol,
    NotTrusted,
    ServiceFailed,
    Throttled,
    TooLarge,
    UnknownModel,
    UnknownSignature,
)

if TYPE_CHECKING:
    from helpers.errors.explanations import Explanation

__all__ = [
    "BadInput",
    "CallError",
    "ConnectionFailed",
    "DeadlineExceeded",
    "NotAuthenticated",
    "NotPermitted",
    "NotThisProtocol",
    "NotTrusted",
    "ServiceFailed",
    "Throttled",
    "TooLarge",
    "UnknownModel",
    "UnknownSignature",
    "explain",
]

for _name in set(__all__) - {"explain"}:
    globals()[_name].__module__ = __name__  # in tracebacks, the name to import them by


def explain(error: BaseException) -> "Explanation":
    """Say what happened, what it usually means and what to check.

    Parameters
    ----------
    error : BaseException
        Of this tree, or as grpc, requests, urllib3, ssl, socket and json raise it.

    Returns
    -------
    Explanation
        Shows as a card in a notebook, as text elsewhere; without secrets and long bodies.

    Examples
    --------
    >>> explain(ConnectionRefusedError(111, "Connection refused")).means
    'The machine answers and nobody listens on this port.'
    """
    from helpers.errors import explanations  # optional: calls that succeed need none of it

    return explanations.explain(error)
