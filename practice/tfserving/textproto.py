"""Text protos, as the flags of tensorflow_model_server name them."""

import logging
from typing import Any, TypeVar

from google.protobuf import text_format

from practice.tfserving.failures import Failure, invalid

M = TypeVar("M", bound=Any)
log = logging.getLogger("practice.tfserving")


def read(path: str, message: M) -> M:
    """Fill a message from a file in text form, or raise Failure as the product words it."""
    try:
        # A comment may be in any encoding.
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        if text.startswith("\ufeff"):  # text_format.cc reads none either, checked at 2.21
            log.error(
                "%s begins with a byte order mark. Save it as UTF-8 without one: the product "
                "refuses it, too.",
                path,
            )
        return text_format.Parse(text, message)
    except (text_format.ParseError, UnicodeError) as error:
        log.error("Error parsing text-format %s: %s", message.DESCRIPTOR.full_name, error)
        raise invalid(f"Invalid protobuf file: '{path}'") from error
    except OSError as error:
        raise Failure("NOT_FOUND", f"{path}; {error.strerror or error}") from error
