"""A request's JSON text, read by the product's rules: fast where that is safe, else by its parser.

The product parses with RapidJSON, which takes NaN and Infinity, stops after the first value, and
of keys that are there twice finds the first. See tensorflow_serving/util/json_tensor.cc.
"""

import re
from typing import Any

import orjson
import rapidjson

from practice.tfserving import json_numbers
from practice.tfserving.failures import Failure

_NATIVE = rapidjson.NM_NATIVE | rapidjson.NM_NAN
_LONG = re.compile(rb"[0-9]{19}")
_BOM = b"\xef\xbb\xbf"
_AFTER_THE_ROOT = "The document root must not be followed by other values."
_QUOTED = 256  # bytes of a value that an error text quotes
_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String"}


def parse(body: bytes) -> dict[str, Any]:
    """Read a request's object, or raise Failure as the product words it.

    Returns
    -------
    dict
        Values are as `json.loads` gives them, but for a list of numbers, which may come as
        `Numbers`. A whole number above 64 bits is a float.
    """
    if not body:
        raise _parse_error("The document is empty")
    document = _numbers_in_an_object(body)
    if document is None:
        document = _unambiguous(body)
    if document is None:
        document = _exact(body)
    if type(document) is not dict:
        raise Failure("INVALID_ARGUMENT", f"JSON Value: {dump(document)} Is not object")
    return document


def type_name(value: Any) -> str:
    """Return RapidJSON's name for the type of a value.

    Examples
    --------
    >>> type_name([1]), type_name(True), type_name(1.5)
    ('Array', 'True', 'Number')
    """
    return str(value) if type(value) is bool else _TYPES.get(type(value), "Number")


def dump(value: Any) -> str:
    """Write a value as error texts quote it: pretty, and cut.

    Examples
    --------
    >>> dump({"a": [1]})
    '{\\n    "a": [\\n        1\\n    ]\\n}'
    """
    value = json_numbers.plain(value)
    if type(value) is float:
        return json_numbers.decimals([value], single=abs(value) <= json_numbers.LARGEST)[0]
    try:
        text = rapidjson.dumps(
            value, write_mode=rapidjson.WM_PRETTY, ensure_ascii=False, number_mode=_NATIVE
        )
    except RecursionError:
        text = "..."
    return text.encode()[:_QUOTED].decode(errors="ignore")


def _numbers_in_an_object(body: bytes) -> dict[str, Any] | None:
    """Read an object whose only list is one of numbers; None for anything else."""
    start, end = body.find(b"["), body.rfind(b"]") + 1
    if start < 0 or end <= start:
        return None
    document = _unambiguous(body[:start] + b"[]" + body[end:])
    if type(document) is not dict:
        return None
    numbers = json_numbers.read(body[start:end])
    if numbers is None:
        return None
    for fields in (document, *document.values()):
        for key, value in fields.items() if type(fields) is dict else ():
            if value == []:
                fields[key] = numbers
                return document
    return None


def _unambiguous(body: bytes) -> Any:
    """Read with orjson; None where that could differ from the product's reading.

    What orjson takes is strict JSON, of which RapidJSON makes the same, unless a key is there
    twice. With as many keys as there are colons, none is.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if _count_keys(document) == body.count(b":") else None


def _count_keys(document: Any) -> int:
    """Count the keys of all objects, or fewer: lists that begin with a number are passed over."""
    count, left = 0, [document]
    while left:
        value = left.pop()
        if type(value) is dict:
            count += len(value)
            left.extend(value.values())
        elif type(value) is list and value and type(value[0]) in (dict, list):
            left.extend(value)
    return count


def _exact(body: bytes) -> Any:
    """Read with RapidJSON, twice: for its errors and its end, then for numbers to the last bit."""
    skipped = len(_BOM) if body.startswith(_BOM) else 0
    body = body[skipped:]
    text = re.sub("[\udc80-\udcff]", "?", body.decode(errors="surrogateescape")).encode()
    try:
        try:
            rapidjson.loads(text, number_mode=_NATIVE)
        except rapidjson.JSONDecodeError as error:
            offset, what = _told(error)
            if what != _AFTER_THE_ROOT:
                raise _parse_error(what, skipped + offset) from error
            text = text[:offset]
        if not body.startswith(text):
            raise _parse_error("Invalid encoding in string.", skipped + _first_invalid(body))
        document = _FirstKeyWins(number_mode=rapidjson.NM_NAN)(text)
    except RecursionError:
        raise _parse_error("Nested too deeply.") from None
    return _without_long_integers(document) if _LONG.search(text) else document


class _FirstKeyWins(rapidjson.Decoder):
    def start_object(self) -> list[tuple[str, Any]]:
        return []

    def end_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            found.setdefault(key, value)
        return found


def _without_long_integers(document: Any) -> Any:
    """Make floats of whole numbers above 64 bits, as RapidJSON itself does."""
    holder = [document]
    left: list[Any] = [holder]
    while left:
        container = left.pop()
        for key, value in container.items() if type(container) is dict else enumerate(container):
            if type(value) is int and not -(2**63) <= value < 2**64:
                container[key] = float(value)
            elif type(value) in (dict, list):
                left.append(value)
    return holder[0]


def _told(error: rapidjson.JSONDecodeError) -> tuple[int, str]:
    place, _, what = str(error).removeprefix("Parse error at offset ").partition(": ")
    return int(place), what


def _first_invalid(body: bytes) -> int:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return len(body)


def _parse_error(what: str, offset: int | None = None) -> Failure:
    place = "" if offset is None else f" at offset: {offset}"
    return Failure("INVALID_ARGUMENT", f"JSON Parse error: {what}{place}")
