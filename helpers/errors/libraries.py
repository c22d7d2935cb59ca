"""Errors of grpc and requests, and HTTP answers, turned into those of the tree."""

from typing import Any

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

# What a gRPC code means when its text says nothing more. Source: grpc.io/docs/guides/status-codes
# for the codes, tensorflow-serving's own error texts for how it uses them.
_BY_CODE: dict[str, tuple[type[CallError], str]] = {
    "UNAVAILABLE": (
        ConnectionFailed,
        "{endpoint} is not available now: {details}",
    ),
    "DEADLINE_EXCEEDED": (
        DeadlineExceeded,
        "{endpoint} did not answer in time. Give the call more time (timeout=...), "
        "or check whether the service hangs.",
    ),
    "UNAUTHENTICATED": (NotAuthenticated, "{endpoint} asks who you are. Give user and password."),
    "PERMISSION_DENIED": (
        NotPermitted,
        "{endpoint} does not allow this call for this user. Check user and password.",
    ),
    "UNIMPLEMENTED": (
        NotThisProtocol,
        "{endpoint} speaks gRPC, but is no {service}: it does not know this method.",
    ),
    "NOT_FOUND": (UnknownModel, "{endpoint} does not serve that model or version."),
    "FAILED_PRECONDITION": (BadInput, "{endpoint} cannot do this now: {details}"),
    "INVALID_ARGUMENT": (BadInput, "{endpoint} does not take this input: {details}"),
    "RESOURCE_EXHAUSTED": (Throttled, "{endpoint} is asked too much: {details} Try again later."),
}
_NOBODY = (
    ConnectionFailed,
    "Nothing answers at {endpoint}. Check the address and the port, "
    "and that the service is running.",
)
_FAILED = (ServiceFailed, "{endpoint} failed on its own side: {details}")

_NO_SIGNATURE = (UnknownSignature, "The model has no signature of that name: {details}")

# Texts that say more than their code does.
_BY_TEXT: tuple[tuple[str, tuple[type[CallError], str]], ...] = (
    ("failed to connect to all addresses", _NOBODY),
    ("errors resolving", _NOBODY),
    ("DNS resolution failed", _NOBODY),
    (
        "larger than max",
        (TooLarge, "The message is too large for one side: {details}"),
    ),
    ("Serving signature key", _NO_SIGNATURE),
    ("Serving signature name", _NO_SIGNATURE),
    ("No signature was found with the name", _NO_SIGNATURE),
    (
        "Malformed request",
        (NotThisProtocol, "{endpoint} does not know this URL. Check the model's name: {details}"),
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
_NOT_TRUSTED = (
    NotTrusted,
    "The certificate of {endpoint} is not signed by an authority that is trusted here. "
    "If the server has an authority of its own, name its PEM file: endpoint.replace(ca_file=...).",
)
_OTHER_NAME = (
    NotTrusted,
    "The certificate of {endpoint} is made out to another name. "
    "Call the server by a name that is in its certificate.",
)
# What OpenSSL, gRPC and requests say of a certificate.
_OF_CERTIFICATES = (
    ("Hostname Verification Check failed", _OTHER_NAME),
    ("Hostname mismatch", _OTHER_NAME),
    ("IP address mismatch", _OTHER_NAME),
    ("CERTIFICATE_VERIFY_FAILED", _NOT_TRUSTED),
)
_CLOSED = (
    ConnectionFailed,
    "{endpoint} closes the connection at once. Perhaps one side speaks TLS and the other does "
    "not: for REST that is https or http in the address, for gRPC it is tls.",
)
_BROKEN = (
    ConnectionFailed,
    "The connection to {endpoint} broke before the answer was complete. Try again, and look "
    "whether the service still runs.",
)
_NO_HTTP_THERE = (
    NotThisProtocol,
    "Something answers at {endpoint}, but it does not speak HTTP. "
    "REST and gRPC have ports of their own: is this the other one?",
)
# What says that two sides speak differently, first where it is certain.
_OF_SIDES = (
    ("BadStatusLine", _NO_HTTP_THERE),
    ("WRONG_VERSION_NUMBER", _CLOSED),
    ("Stream removed (Socket closed", _BROKEN),
    ("RemoteDisconnected", _CLOSED),
    ("Socket closed", _CLOSED),
    ("Connection reset", _BROKEN),
    ("Broken pipe", _BROKEN),
    ("EOF occurred", _BROKEN),
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
    kind, sentence = _of_text(details) or _BY_CODE.get(code, _FAILED)
    debug = error.debug_error_string() if hasattr(error, "debug_error_string") else ""
    if any(text in details or text in debug for text in _NOT_GRPC):
        kind, sentence = _NO_GRPC_THERE
    kind, sentence = _of_connection(details) or (kind, sentence)
    message = sentence.format(service=service, endpoint=endpoint, details=details)
    known = kind(message, service=service, endpoint=endpoint, code=code, details=details)
    known.__cause__ = error
    return known


# What an HTTP status means, as far as services agree about it.
_BY_STATUS: dict[int, tuple[type[CallError], str]] = {
    401: (NotAuthenticated, "{endpoint} asks who you are. Check user and password."),
    403: (NotPermitted, "{endpoint} does not allow this call for this user."),
    404: (
        NotThisProtocol,
        "Something answers at {endpoint}, but it has no {service} at that path.",
    ),
    413: (TooLarge, "The request is larger than {endpoint} accepts."),
    429: (Throttled, "{endpoint} is asked too much. Try again later."),
}
# What TensorFlow Serving's REST makes of gRPC's codes; 400 is three of them.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "INVALID_ARGUMENT",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_HTTP_FAILED = (ServiceFailed, "{endpoint} answered with HTTP status {code}: {details}")


def from_http(response: Any, *, service: str, endpoint: str) -> CallError:
    """Turn an HTTP answer that is no success into the error that says what to do.

    Parameters
    ----------
    response : requests.Response
        Its status is 400 or more.
    service, endpoint : str
        For the sentence: what was called, and where.
    """
    code, details = response.status_code, response.reason or ""
    kind, sentence = _BY_STATUS.get(code, _HTTP_FAILED)
    message = sentence.format(service=service, endpoint=endpoint, code=code, details=details)
    return kind(message, service=service, endpoint=endpoint, code=code, details=details)


def from_rest(response: Any, *, service: str, endpoint: str) -> CallError:
    """Turn an answer of TensorFlow Serving's REST that is no success into a fitting error.

    Its body is `{"error": text}`, and the texts are mostly those that gRPC gives; anything else
    is treated as `from_http` does.
    """
    try:
        details = str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return from_http(response, service=service, endpoint=endpoint)
    code = response.status_code
    kind, sentence = _of_text(details) or _BY_CODE.get(_CODES.get(code, ""), _FAILED)
    message = sentence.format(service=service, endpoint=endpoint, details=details)
    return kind(message, service=service, endpoint=endpoint, code=code, details=details)


def from_requests(error: Any, *, service: str, endpoint: str) -> CallError:
    """Turn an exception of `requests` into the error of this tree that says what to do.

    Parameters
    ----------
    error : requests.RequestException
        It becomes the new error's `__cause__`.
    service, endpoint : str
        For the sentence: what was called, and where.
    """
    import requests  # only here: gRPC needs none of it

    details = str(error)
    entry: tuple[type[CallError], str] = _FAILED
    if isinstance(error, requests.Timeout):
        entry = _BY_CODE["DEADLINE_EXCEEDED"]
    elif type(error).__name__ in ("ChunkedEncodingError", "ContentDecodingError"):
        entry = _BROKEN
    elif isinstance(error, requests.ConnectionError):
        entry = _of_connection(details) or _NOBODY
    kind, sentence = entry
    message = sentence.format(service=service, endpoint=endpoint, details=details)
    known = kind(message, service=service, endpoint=endpoint, details=details)
    known.__cause__ = error
    return known


def _of_text(details: str) -> tuple[type[CallError], str] | None:
    return next((entry for text, entry in _BY_TEXT if text in details), None)


def _of_connection(details: str) -> tuple[type[CallError], str] | None:
    known = (*_OF_CERTIFICATES, *_OF_SIDES)
    return next((entry for text, entry in known if text in details), None)
