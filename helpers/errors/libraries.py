"""Errors of grpc and requests, and HTTP answers, turned into those of the tree."""

from collections.abc import Iterable
from typing import Any

from helpers import errors
from helpers.errors import CallError, meanings

# What TensorFlow Serving's REST makes of gRPC's codes; 400 is three of them.
_GRPC_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    501: "INVALID_ARGUMENT",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


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
    code = error.code().name
    details = error.details() or ""
    debug = error.debug_error_string() if hasattr(error, "debug_error_string") else ""
    made = call_error(
        f"{details}\n{debug}",
        [f"grpc.{code}"],
        service=service,
        endpoint=endpoint,
        code=code,
        details=details,
    )
    made.__cause__ = error
    return made


def from_requests(error: Any, *, service: str, endpoint: str) -> CallError:
    """Turn an exception of `requests` into the error of this tree that says what to do.

    Parameters
    ----------
    error : requests.RequestException
        It becomes the new error's `__cause__`.
    service, endpoint : str
        For the sentence: what was called, and where.
    """
    details = str(error)
    made = call_error(
        details, meanings.types_of(error), service=service, endpoint=endpoint, details=details
    )
    made.__cause__ = error
    return made


def from_http(response: Any, *, service: str, endpoint: str) -> CallError:
    """Turn an HTTP answer that is no success into the error that says what to do.

    Parameters
    ----------
    response : requests.Response
        Its status is 400 or more.
    service, endpoint : str
        For the sentence: what was called, and where.
    """
    code = response.status_code
    details = response.reason or ""
    types = [f"http.{code}", "http.500"]
    return call_error("", types, service=service, endpoint=endpoint, code=code, details=details)


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
    types = [f"grpc.{_GRPC_CODES.get(code, 'INTERNAL')}"]
    return call_error(
        details, types, service=service, endpoint=endpoint, code=code, details=details
    )


def call_error(
    text: str,
    types: Iterable[str],
    *,
    service: str,
    endpoint: str,
    code: str | int | None = None,
    details: str = "",
) -> CallError:
    """Make the error of the tree that fits a text or, if none does, one of these types.

    Parameters
    ----------
    text : str
        What is looked through for the rows' texts.
    types : iterable of str
        The last of them has a row that makes an error.
    service, endpoint, code, details
        As in `CallError`; the row's sentence names them.
    """
    row = next(row for row in meanings.find(text, types) if row.error)
    message = row.sentence.format(service=service, endpoint=endpoint, code=code, details=details)
    kind = getattr(errors, row.error)
    return kind(message, service=service, endpoint=endpoint, code=code, details=details)
