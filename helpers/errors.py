"""The errors a call can end with: one short tree, whatever the service and the protocol."""

from typing import Any


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

    def _render_traceback_(self) -> list[str]:
        """Show a notebook's reader the sentences; IPython asks for this, `%debug` still works."""
        lines = [f"{type(self).__name__}: {self}"]
        if self.code is not None:
            lines.append(f"({self.code}: {self.details})")
        return lines


class ConnectionFailed(CallError):
    """Nothing answers at that address, or the connection broke."""


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


# What a gRPC code means when its text says nothing more. Source: grpc.io/docs/guides/status-codes
# for the codes, tensorflow-serving's own error texts for how it uses them.
_BY_CODE: dict[str, tuple[type[CallError], str]] = {
    "UNAVAILABLE": (
        ConnectionFailed,
        "Nothing answers at {endpoint}. Check the address and the port, "
        "and that the service is running.",
    ),
    "DEADLINE_EXCEEDED": (
        DeadlineExceeded,
        "{endpoint} did not answer in time. Give the call more time (timeout=...), "
        "or check whether the service hangs.",
    ),
    "UNAUTHENTICATED": (NotAuthenticated, "{endpoint} asks who you are. Give user and password."),
    "PERMISSION_DENIED": (NotPermitted, "{endpoint} does not allow this call for this user."),
    "UNIMPLEMENTED": (
        NotThisProtocol,
        "{endpoint} speaks gRPC, but is no {service}: it does not know this method.",
    ),
    "NOT_FOUND": (UnknownModel, "{endpoint} does not serve that model or version."),
    "FAILED_PRECONDITION": (BadInput, "{endpoint} cannot do this now: {details}"),
    "INVALID_ARGUMENT": (BadInput, "{endpoint} does not take this input: {details}"),
    "RESOURCE_EXHAUSTED": (Throttled, "{endpoint} is asked too much: {details} Try again later."),
}
_FAILED = (ServiceFailed, "{endpoint} failed on its own side: {details}")

# Texts that say more than their code does.
_BY_TEXT: tuple[tuple[str, tuple[type[CallError], str]], ...] = (
    (
        "larger than max",
        (TooLarge, "The message is too large for one side: {details}"),
    ),
    (
        "Serving signature key",
        (UnknownSignature, "The model has no signature of that name: {details}"),
    ),
    (
        "ModelSpec has no name",
        (UnknownModel, "The request names no model: {details}"),
    ),
    (
        "Unrecognized servable version label",
        (UnknownModel, "The model has no version label of that name: {details}"),
    ),
)
_NOT_GRPC = (
    "http1.x server",  # an HTTP server answered gRPC's first bytes
    "Failed parsing HTTP/2",
    "content-type",
    "Received http2 header with status",
    "Expected SETTINGS frame",
)
_NO_GRPC_THERE = (
    NotThisProtocol,
    "Something answers at {endpoint}, but it does not speak gRPC. "
    "REST and gRPC have ports of their own: is this the other one?",
)


def from_grpc(error: Any, *, service: str, endpoint: str) -> CallError:
    """Turn a `grpc.RpcError` into the error of this tree that says what to do.

    Parameters
    ----------
    error : grpc.RpcError
        As a stub raises it. It becomes the new error's `__cause__`.
    service, endpoint : str
        For the sentence: what was called, and where.

    Returns
    -------
    CallError
        Of the fitting class, ready to be raised.
    """
    code, details = error.code().name, error.details() or ""
    kind, sentence = _BY_CODE.get(code, _FAILED)
    for text, entry in _BY_TEXT:
        if text in details:
            kind, sentence = entry
    debug = error.debug_error_string() if hasattr(error, "debug_error_string") else ""
    if any(text in details or text in debug for text in _NOT_GRPC):
        kind, sentence = _NO_GRPC_THERE
    message = sentence.format(service=service, endpoint=endpoint, details=details)
    known = kind(message, service=service, endpoint=endpoint, code=code, details=details)
    known.__cause__ = error
    return known
