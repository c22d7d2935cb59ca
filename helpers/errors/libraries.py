"""Errors of grpc and requests, and HTTP answers, turned into those of the tree."""

from collections.abc import Iterable
from typing import Any

from helpers import errors
from helpers.errors import CallError, meanings
from helpers.language import _

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
_WHO_ARE_YOU = ("type:http.401", "type:grpc.UNAUTHENTICATED")


def from_grpc(error: Any, endpoint: Any) -> CallError:
    """Turn a `grpc.RpcError` into the error of this tree that says what to do.

    Parameters
    ----------
    error : grpc.RpcError
        As a stub raises it. It becomes the new error's `__cause__`.
    endpoint : Endpoint
        What was called.

    Returns
    -------
    CallError
        Of the fitting class, ready to be raised.
    """
    code = error.code().name
    details = error.details() or ""
    debug = error.debug_error_string() if hasattr(error, "debug_error_string") else ""
    text = f"{details}\n{debug}"
    made = call_error(text, [f"grpc.{code}"], endpoint, endpoint.grpc, code, details)
    made.__cause__ = error
    return made


def from_requests(error: Any, endpoint: Any) -> CallError:
    """Turn a `requests.RequestException` into the error that says what to do, as `from_grpc`."""
    text = str(error)
    made = call_error(text, meanings.types_of(error), endpoint, endpoint.rest, None, text)
    made.__cause__ = error
    return made


def from_http(response: Any, endpoint: Any) -> CallError:
    """Turn a `requests.Response` with a status from 400 on into the error that says what to do."""
    status = response.status_code
    types = [f"http.{status}", "http.500"]
    return call_error("", types, endpoint, endpoint.rest, status, response.reason or "")


def from_redirect(response: Any, endpoint: Any) -> CallError:
    """Turn a redirect that was not followed into the error that says where it goes."""
    there = response.headers["Location"]
    text = f"redirects to {there}"
    return call_error(text, [], endpoint, endpoint.rest, response.status_code, there)


def from_rest(response: Any, endpoint: Any) -> CallError:
    """Turn an answer of TensorFlow Serving's REST that is no success into a fitting error.

    Its body is `{"error": text}`, and the texts are mostly those that gRPC gives; anything else
    is treated as `from_http` does.
    """
    try:
        text = str(response.json()["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return from_http(response, endpoint)
    status = response.status_code
    types = [f"grpc.{_GRPC_CODES.get(status, 'INTERNAL')}"]
    return call_error(text, types, endpoint, endpoint.rest, status, text)


def call_error(
    text: str,
    types: Iterable[str],
    endpoint: Any,
    address: str,
    code: str | int | None,
    details: str,
) -> CallError:
    """Make the error of the tree that fits a text or, if none does, one of these types.

    Parameters
    ----------
    text : str
        What is looked through for the texts of `meanings`.
    types : iterable of str
        The last of them has a row that makes an error.
    endpoint : Endpoint
    address : str
        The one of its addresses that was called.
    code, details
        As in `CallError`; the row's sentence may name them.
    """
    row = next(row for row in meanings.find(text, types) if row.error)
    about = {"service": endpoint.service, "endpoint": address, "code": code, "details": details}
    sentence = _(row.sentence)
    if row.match in _WHO_ARE_YOU and endpoint.headers:
        sentence = _(
            "{endpoint} does not accept who you are by the headers that were sent: {names}. "
            "Is the token complete, and still valid? Give another one: "
            "endpoint.replace(headers=...).",
            endpoint=address,
            names=", ".join(dict(endpoint.headers)),
        )
    made = getattr(errors, row.error)(sentence.format(**about), **about)
    made.sentence = row.sentence
    return made
