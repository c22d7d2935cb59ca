"""What ModelArts, its gateway and IAM answer: JSON, or errors that say which of them refused."""

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any

from helpers import errors
from helpers.endpoints import Endpoint
from helpers.errors import libraries

# What a code means. APIG is the gateway, ModelArts what is behind it, MR the model's own code.
_BY_CODE: dict[str, tuple[type[errors.CallError], str]] = {
    "APIG.0101": (
        errors.UnknownModel,
        "No service is published at {endpoint}. Copy its address again from the service's page.",
    ),
    "APIG.0301": (
        errors.NotAuthenticated,
        "The gateway does not take this token or signature: {details}. Check user, password, "
        "domain and project, or AK and SK, and that this machine's clock is right.",
    ),
    "APIG.0303": (
        errors.NotAuthenticated,
        "The gateway does not take these app credentials: {details}. They belong to the "
        "service's second address.",
    ),
    "APIG.0307": (errors.NotAuthenticated, "The token is over. Get a new one."),
    "ModelArts.4102": (
        errors.NotPermitted,
        "This token may not call the service: {details} Is it a token for the right project?",
    ),
    "ModelArts.4105": (errors.BadInput, "The request's body is no correct JSON."),
    "ModelArts.4202": (errors.BadInput, "The request is empty."),
    "ModelArts.4203": (
        errors.ServiceFailed,
        "{details}. Only a service in the state Running answers: look at its page.",
    ),
    "ModelArts.4204": (errors.UnknownModel, "The service has no such path: {details}."),
    "ModelArts.4206": (errors.Throttled, "The service is asked too much. Try again later."),
    "ModelArts.4503": (errors.DeadlineExceeded, "The model took too long: {details}"),
    "IAM 400": (
        errors.BadInput,
        "IAM does not take this request: {details}. Check domain and project: the domain is the "
        "account's name.",
    ),
    "IAM 401": (
        errors.NotAuthenticated,
        "IAM does not know this user with this password. Check user, password and domain: the "
        "domain is the account's name, not the user's.",
    ),
    "MR.0105": (
        errors.BadInput,
        "The model can do nothing with this input: fields are missing or wrong, or a file is no "
        "picture. The service's page says what it takes.",
    ),
}


def answer(endpoint: Endpoint, response: Any) -> Any:
    """Return an answer's JSON, or raise the CallError that says what to do.

    Parameters
    ----------
    endpoint : Endpoint
        Asked; for the sentence.
    response : requests.Response
    """
    where = {"service": endpoint.service, "endpoint": endpoint.rest}
    try:
        found = response.json()
    except ValueError as error:
        if response.status_code >= 400:
            raise libraries.from_http(response, **where) from error
        raise errors.NotThisProtocol(
            f"Something answers at {endpoint.rest}, but not with JSON. Is the address right?",
            code=response.status_code,
            **where,
        ) from error
    told = found if isinstance(found, dict) else {}
    code = str(told.get("error_code") or told.get("erno") or "")
    if response.status_code < 300 and not code:
        return found
    keystone = told["error"] if isinstance(told.get("error"), dict) else {}  # IAM's other form
    details = str(told.get("error_msg") or told.get("msg") or keystone.get("message") or "")
    meaning = _BY_CODE.get(f"IAM {response.status_code}" if keystone else code)
    if meaning:
        kind, sentence = meaning
        known = kind(sentence.format(details=details.rstrip("."), **where), **where)
    else:
        known = libraries.from_http(response, **where)
    known.code, known.details = response.status_code, f"{code} {details}".strip()
    raise known


def lifetime(token: dict[str, Any]) -> float:
    """Return how many seconds a token lives, by IAM's own clock."""
    expires, issued = (datetime.fromisoformat(token[key]) for key in ("expires_at", "issued_at"))
    return (expires - issued).total_seconds()


class CallsFailed(ExceptionGroup):
    """Raised when some of many calls failed: all their exceptions, and the other answers.

    Attributes
    ----------
    answers : list
        In the order of the inputs; None where the call failed.
    """

    answers: list[Any]

    @classmethod
    def answers_of(cls, calls: Sequence[Future]) -> list[Any]:
        """Return the answers of calls that have ended, or raise what went wrong."""
        failures = {number: call.exception() for number, call in enumerate(calls)}
        failed = [error for error in failures.values() if isinstance(error, Exception)]
        answers = [None if failures[n] else call.result() for n, call in enumerate(calls)]
        if not failed:
            return answers
        for number, error in failures.items():
            if error:
                error.add_note(f"This was input number {number}, counted from 0.")
        group = cls(f"{len(failed)} of {len(calls)} calls failed", failed)
        group.answers = answers
        raise group

    def _render_traceback_(self) -> list[str]:
        """Show a notebook's reader one line for each failure."""
        lines = [f"  {type(error).__name__}: {error}" for error in self.exceptions]
        return [f"{type(self).__name__}: {self.message}", *lines]
