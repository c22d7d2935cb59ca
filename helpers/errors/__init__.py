"""The errors a call can end with: one short tree, and what each means in plain words.

`libraries` makes them of what grpc, requests and HTTP say; `meanings` is the table of both.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.errors.explanations import Explanation


class CallError(Exception):
    """A call that did not give an answer; every error below is one.

    Parameters
    ----------
    message : str
        What happened, what was expected and what to do, in sentences.
    service : str, optional
        What was called: `TensorFlow Serving`, ...
    endpoint : str, optional
        Where: `127.0.0.1:8500`.
    code : str or int, optional
        The gRPC code (`NOT_FOUND`) or the HTTP status (404).
    details : str, optional
        The service's own text, as it came.

    The original exception, where there is one, is `__cause__`.

    Examples
    --------
    >>> print(CallError("Nobody listens.", endpoint="127.0.0.1:1"))
    Nobody listens.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str | None = None,
        endpoint: str | None = None,
        code: str | int | None = None,
        details: str = "",
    ) -> None:
        super().__init__(message)
        self.service = service
        self.endpoint = endpoint
        self.code = code
        self.details = details
        self.sentence = ""  # that of its row in `meanings`, in English, or the row's match

    def _render_traceback_(self) -> list[str]:
        """Show a notebook's reader the sentences; IPython asks for this, `%debug` still works."""
        lines = [f"{type(self).__name__}: {self}"]
        if self.code is not None:
            lines.append(f"({self.code}: {self.details})")
        return lines


class ConnectionFailed(CallError):
    """Nothing answers at that address, or the connection broke."""


class NotTrusted(ConnectionFailed):
    """The server's certificate is not one to trust, or is made out to another name."""


class NotThisProtocol(CallError):
    """Something answers there, but it does not speak this protocol."""


class DeadlineExceeded(CallError):
    """No answer came in the time given."""


class NotAuthenticated(CallError):
    """The service does not know who is calling: no credentials, or wrong ones."""


class NotPermitted(CallError):
    """The service knows who is calling and does not allow this call."""


class UnknownModel(CallError):
    """No such model, version or version label is served there."""


class UnknownSignature(CallError):
    """The model has no signature of that name."""


class BadInput(CallError):
    """The input is not what the model or the message takes."""


class TooLarge(CallError):
    """The request or the answer is larger than one side accepts."""


class Throttled(CallError):
    """The service is asked more than it allows; later is a good time to try again."""


class ServiceFailed(CallError):
    """The service took the request and failed on its own side."""


def explain(error: BaseException, place: str = "") -> "Explanation":
    """Say what happened, what it usually means and what to check.

    Parameters
    ----------
    error : BaseException
        Of this tree, or as grpc, requests, urllib3, ssl, socket and json raise it.
    place : str, optional
        One of `places`: what to give is said as Python, as a form's fields or as flags.

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

    return explanations.explain(error, place)
