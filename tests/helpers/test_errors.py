"""One tree of errors, and how an uncaught one looks in a notebook."""

import grpc
import pytest

from helpers import errors
from helpers.endpoints import Endpoint
from helpers.errors import libraries

ENDPOINT = Endpoint("tfserving", grpc="127.0.0.1:8500")


class Broken(grpc.RpcError):
    """What a stub raises, with a code and a text of our choice."""

    def __init__(self, code: str, details: str = "text of the service") -> None:
        super().__init__()
        self._code, self._details = grpc.StatusCode[code], details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        ("UNAVAILABLE", "Connection refused", errors.ConnectionFailed),
        ("UNAVAILABLE", "Trying to connect an http1.x server", errors.NotThisProtocol),
        ("UNIMPLEMENTED", "Method not found!", errors.NotThisProtocol),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", errors.DeadlineExceeded),
        ("UNAUTHENTICATED", "", errors.NotAuthenticated),
        ("PERMISSION_DENIED", "", errors.NotPermitted),
        ("NOT_FOUND", "Servable not found for request: Latest(x)", errors.UnknownModel),
        ("FAILED_PRECONDITION", 'Serving signature key "x" not found.', errors.UnknownSignature),
        ("FAILED_PRECONDITION", "something else", errors.BadInput),
        ("INVALID_ARGUMENT", "Expects arg[0] to be float", errors.BadInput),
        ("INVALID_ARGUMENT", "Unrecognized servable version label: x", errors.UnknownModel),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (9 vs. 4)", errors.TooLarge),
        ("RESOURCE_EXHAUSTED", "queue is full", errors.Throttled),
        ("INTERNAL", "", errors.ServiceFailed),
        ("UNKNOWN", "", errors.ServiceFailed),
        ("CANCELLED", "", errors.ServiceFailed),
    ],
)
def test_each_code_becomes_the_error_that_fits(code: str, details: str, kind: type) -> None:
    original = Broken(code, details)
    error = libraries.from_grpc(original, ENDPOINT)
    assert type(error) is kind
    assert isinstance(error, errors.CallError)
    assert (error.code, error.details, error.__cause__) == (code, details, original)
    assert "{" not in str(error)


@pytest.mark.parametrize("code", [code.name for code in grpc.StatusCode if code.name != "OK"])
def test_no_code_is_without_a_sentence(code: str) -> None:
    error = libraries.from_grpc(Broken(code), ENDPOINT)
    assert "127.0.0.1:8500" in str(error)


def test_a_text_with_braces_is_kept_as_it_is() -> None:
    error = libraries.from_grpc(Broken("INTERNAL", "{x} {0}"), ENDPOINT)
    assert "{x} {0}" in str(error)


def test_a_notebook_shows_sentences_in_place_of_a_traceback() -> None:
    error = errors.UnknownModel("No such model.", code="NOT_FOUND", details="Servable not found")
    assert error._render_traceback_() == [
        "UnknownModel: No such model.",
        "(NOT_FOUND: Servable not found)",
    ]
    assert errors.BadInput("Wrong.")._render_traceback_() == ["BadInput: Wrong."]
