"""The language of sentences: what a person reads in a form, on a page or in a terminal.

`_` is how gettext marks such a sentence in the source, and what its tools look for. The sentence
stands there in English, as a literal, with names in braces for what differs from call to call.

Explanations of errors stand in a table, errors/meanings.csv, where those tools do not look:
`helpers.errors.meanings.sentences` yields them, for who makes a catalogue.
"""

import functools
import gettext
import os
from pathlib import Path

_CATALOGUES = Path(__file__).parent.parent / "otw" / "locales"


def _(sentence: str, /, **values: object) -> str:
    """Return a sentence in the reader's language, with its values filled in.

    Parameters
    ----------
    sentence : str
        In English. A value stands in it as `{name}`, with a format if need be: `{seconds:.1f}`.
    **values
        Filled in after the translation, which may need them in another order. Without any, braces
        are braces.

    Examples
    --------
    >>> _("{name} is not served at {address}.", name="digit", address="127.0.0.1:8500")
    'digit is not served at 127.0.0.1:8500.'
    """
    translated = _catalogue().gettext(sentence)
    return translated.format(**values) if values else translated


def plural(one: str, many: str, count: int, /, **values: object) -> str:
    """Return the sentence for so many things; `{count}` in it is the number.

    Examples
    --------
    >>> plural("{count} call was made", "{count} calls were made", 2)
    '2 calls were made'
    """
    return _catalogue().ngettext(one, many, count).format(count=count, **values)


@functools.cache
def _catalogue() -> gettext.NullTranslations:
    """Read the catalogue once: of `OTW_LANGUAGE`, or else of what the system speaks."""
    language = os.environ.get("OTW_LANGUAGE")
    languages = [language] if language else None
    return gettext.translation("otw", _CATALOGUES, languages, fallback=True)
