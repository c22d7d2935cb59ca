"""Answers of the gateway, the dispatcher, the model server and IAM: each has a form of its own."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse


class Refusal(Exception):
    """Raised where a request ends; holds the answer.

    Parameters
    ----------
    status : int
    body : dict
    """

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = dict(body)

    @property
    def response(self) -> JSONResponse:
        """The answer as it goes out."""
        return JSONResponse(self.body, self.status)


def gateway(status: int, number: str, message: str) -> Refusal:
    """Make a refusal of API Gateway; the request's id is added where it goes out."""
    return Refusal(status, {"error_code": f"APIG.{number}", "error_msg": message})


def iam_authentication(reason: str) -> Refusal:
    """Refuse a token or a signature."""
    return gateway(401, "0301", f"Incorrect IAM authentication information: {reason}")


def iam_policy() -> Refusal:
    """Refuse a user who is known, and not allowed this."""
    return gateway(403, "0302", "The IAM user is not authorized to access the API")


def app_authentication(reason: str) -> Refusal:
    """Refuse an app's credentials."""
    return gateway(401, "0303", f"Incorrect app authentication information: {reason}")


def no_such_api() -> Refusal:
    """Refuse a path or a method that is not published."""
    return gateway(
        404, "0101", "The API does not exist or has not been published in the environment"
    )


def dispatcher(status: int, number: str, message: str) -> Refusal:
    """Make a refusal of ModelArts itself, behind the gateway."""
    return Refusal(status, {"error_code": f"ModelArts.{number}", "error_msg": message})


def recognition_failed() -> Refusal:
    """Refuse for the model's own code: its fields are wrong or missing, mostly.

    No document states the status. 500 it is, since a client that looks at nothing else should
    not take this for an answer.
    """
    return Refusal(500, {"erno": "MR.0105", "msg": "Recognition failed", "words_result": {}})


def iam(status: int, title: str, message: str) -> Refusal:
    """Make a refusal of IAM, in the form that was seen of the token call."""
    return Refusal(status, {"error": {"message": message, "code": status, "title": title}})
