"""The language of sentences: what a person reads in a form, on a page or in a terminal.

`_` is how gettext marks such a sentence in the source, and what its tools look for. The sentence
stands there in English, as a literal, with names in braces for what differs from call to call.

Explanations of errors stand in a table, errors/meanings.csv, where those tools do not look:
`helpers.errors.meanings.sentences` yields them, for who makes a catalogue.
"""

import contextlib
import functools
import gettext
import io
import locale
import os
import re
import sys
from pathlib import Path

CATALOGUES = Path(__file__).parent.parent / "otw" / "locales"
# Where gettext looks, in its order, after our own variable.
_VARIABLES = ("OTW_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
# Simplified: who reads the other script, as in Taiwan and Hong Kong, gets English.
_CHINESE_FONTS = ("Noto Sans SC", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei")
_CHINESE = re.compile(r"zh([-_.](cn|sg|hans|utf).*)?$", re.I)


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


def chosen() -> str:
    """Return the reader's language, `en` or `zh_CN`: OTW_LANGUAGE, or else the system's.

    Examples
    --------
    >>> os.environ["OTW_LANGUAGE"] = "en"
    >>> chosen()
    'en'
    """
    asked = next(filter(None, map(os.environ.get, _VARIABLES)), "") or _of_windows()
    return "zh_CN" if _CHINESE.match(asked) else "en"


def catalogue(name: str) -> Path:
    """Return the file with the translations of the code's sentences into a language."""
    return CATALOGUES / name / "LC_MESSAGES" / "otw.po"


def choose(name: str) -> None:
    """Take a language, `en` or `zh`, from now on: here, and in the programs that are started."""
    os.environ["OTW_LANGUAGE"] = name
    _catalogue.cache_clear()


def add_letters() -> None:
    """Let matplotlib draw the letters of the reader's language, after it was imported.

    Those of Chinese are not in its own font: it takes Noto Sans SC, which `make chinese`
    installs, or else one of the system's.
    """
    if chosen() == "en":
        return
    import matplotlib
    from matplotlib import font_manager

    with contextlib.suppress(ImportError):
        import zhplot  # noqa: F401  # adds its font
    fonts = {font.name for font in font_manager.fontManager.ttflist}
    present = [name for name in _CHINESE_FONTS if name in fonts]
    matplotlib.rcParams["font.family"] = [*present, "DejaVu Sans"]


def _of_windows() -> str:
    """Return the language of Windows' menus, which sets no variable; elsewhere nothing."""
    if sys.platform != "win32":
        return ""
    import ctypes

    number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
    return locale.windows_locale.get(number, "")


@functools.cache
def _catalogue() -> gettext.NullTranslations:
    """Read the catalogue once, when the first sentence is asked for."""
    file = catalogue(chosen())
    if not file.exists():
        return gettext.NullTranslations()
    import polib  # English needs none

    # Of the .po itself, in 0.03 s: no compiled file beside it can be an old one.
    return gettext.GNUTranslations(io.BytesIO(polib.pofile(str(file)).to_binary()))
