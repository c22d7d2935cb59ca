"""The one exception inside the service: a gRPC code by name and TensorFlow Serving's text."""

import logging

log = logging.getLogger("practice.tfserving")


class Failure(Exception):
    """What the client will read."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def as_failure(error: Exception, action: str) -> Failure:
    """Return a Failure as it is; anything unforeseen is logged, and INTERNAL for the client."""
    if isinstance(error, Failure):
        return error
    log.exception("%s failed", action)
    return Failure("INTERNAL", f"{type(error).__name__}: {error}")


def invalid(text: str) -> Failure:
    """Make the failure of a request that is wrong in itself, whatever is served."""
    return Failure("INVALID_ARGUMENT", text)
