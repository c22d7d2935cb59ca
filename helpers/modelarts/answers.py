"""What ModelArts, its gateway and IAM answer: JSON, or errors that say which of them refused."""

from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from datetime import datetime
from typing import Any

from helpers import errors
from helpers.endpoints import Endpoint
from helpers.errors import libraries
from helpers.language import _


def answer(endpoint: Endpoint, response: Any) -> Any:
    """Return an answer's JSON, or raise the CallError that says what to do.

    Parameters
    ----------
    endpoint : Endpoint
        Asked; for the sentence.
    response : requests.Response
    """
    status = response.status_code
    try:
        content = response.json()
    except (ValueError, RecursionError) as error:
        if status >= 400:
            raise libraries.from_http(response, endpoint) from error
        raise errors.NotThisProtocol(
            _(
                "Something answers at {address}, but not with JSON. Is the address right?",
                address=endpoint.rest,
            ),
            service=endpoint.service,
            endpoint=endpoint.rest,
            code=status,
        ) from error
    fields = content if isinstance(content, dict) else {}
    # APIG's codes are the gateway's, ModelArts' are what is behind it, MR's the model's own code.
    code = str(fields.get("error_code") or fields.get("erno") or "")
    if status < 300 and not code:
        return content
    keystone = fields["error"] if isinstance(fields.get("error"), dict) else {}  # IAM's other form
    text = str(fields.get("error_msg") or fields.get("msg") or keystone.get("message") or "")
    types = [f"{'iam' if keystone else 'http'}.{status}", "http.500"]
    details = text.rstrip(".")
    failure = libraries.call_error(code, types, endpoint, endpoint.rest, status, details)
    failure.details = f"{code} {text}".strip()
    raise failure


def lifetime(token: dict[str, Any]) -> float:
    """Return how many seconds a token lives, by IAM's own clock."""
    expires, issued = (datetime.fromisoformat(token[key]) for key in ("expires_at", "issued_at"))
    return (expires - issued).total_seconds()


class CallsFailed(ExceptionGroup):
    """Raised when some of many calls failed: all their exceptions, and the other answers.

    Attributes
    ----------
    answers : list
        In the order of the inputs; None where the call failed or was not made.
    """

    answers: list[Any]

    @classmethod
    def answers_of(cls, calls: Sequence[Future]) -> list[Any]:
        """Return the answers of calls that have ended, or raise what went wrong."""
        failures = {number: call.exception() for number, call in enumerate(calls)}
        ended = [error for error in failures.values() if isinstance(error, Exception)]
        failed = [error for error in ended if not isinstance(error, CancelledError)]
        answers = [None if failures[n] else call.result() for n, call in enumerate(calls)]
        if not failed:
            return answers
        for number, error in failures.items():
            if error:
                error.add_note(_("This was input number {number}, counted from 0.", number=number))
        message = _("{failed} of {count} calls failed", failed=len(failed), count=len(calls))
        if unmade := len(ended) - len(failed):
            message = _(
                "{failed} of {count} calls failed, and after that {unmade} were not made",
                failed=len(failed),
                count=len(calls),
                unmade=unmade,
            )
        group = cls(message, failed)
        group.answers = answers
        raise group

    def _render_traceback_(self) -> list[str]:
        """Show a notebook's reader one line for each failure."""
        lines = [f"  {type(error).__name__}: {error}" for error in self.exceptions]
        return [f"{type(self).__name__}: {self.message}", *lines]
