"""Names of classes, from a file that somebody has beside a model."""

import json
from typing import Any

from helpers.errors import BadInput
from helpers.language import _

_MOST = 100_000  # classes


def read(content: bytes) -> list[str]:
    """Read a label file.

    Parameters
    ----------
    content : bytes
        One name a line, or JSON: a list of names, or an object of names by number, or of numbers
        by name.

    Returns
    -------
    list of str
        By the classes' numbers; empty for a number that has no name.

    Raises
    ------
    BadInput
        When it is none of these.

    Examples
    --------
    >>> read(b"cat\\ndog\\n"), read(b'{"1": "cat"}'), read(b'{"cat": 1}')
    (['cat', 'dog'], ['', 'cat'], ['', 'cat'])
    """
    try:
        text = content.decode("utf-8-sig").rstrip()
        names = json.loads(text) if text[:1] in ("[", "{") else text.splitlines()
        if isinstance(names, dict):
            names = _in_order(names)
    except (ValueError, TypeError, RecursionError) as error:
        raise _not_labels() from error
    if not names or not all(isinstance(name, str) for name in names):
        raise _not_labels()
    return [name.strip() for name in names]


def _in_order(names: dict[str, Any]) -> list[Any]:
    """Return names by number, whichever of both is the key."""
    numbered = all(isinstance(name, str) for name in names.values())
    pairs = names.items() if numbered else ((number, name) for name, number in names.items())
    by_number = {int(number): name for number, name in pairs}
    if not 0 <= min(by_number) <= max(by_number) < _MOST:
        raise ValueError
    return [by_number.get(number, "") for number in range(max(by_number) + 1)]


def _not_labels() -> BadInput:
    return BadInput(
        _(
            "This is no label file. It has one name a line, or it is JSON: a list of names, or an "
            "object of names by number."
        )
    )
