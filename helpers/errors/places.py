"""The words for what a reader is to give, for where the reader is: Python, a form, or a terminal.

Sentences say it in Python, as `endpoint.replace(ca_file=...)` and `timeout=60`. In a terminal that
becomes a flag or a variable, and in a form a field.
"""

import re
from contextvars import ContextVar

from helpers.language import _

PYTHON = "python"
FORM = "form"
TERMINAL = "terminal"
HERE: ContextVar[str] = ContextVar("here", default=PYTHON)

# By a field's name, or by what is given to it where that says more.
_FLAGS = {
    "rest": "HOST:PORT",
    "model": "MODEL",
    "tls": "--tls",
    "ca_file": "--ca-file FILE",
    "cert_file": "--cert FILE",
    "key_file": "--key FILE",
    "headers": "--header 'NAME: VALUE'",
    "token": "--token-file FILE",
    "timeout": "--timeout SECONDS",
    "auth": "",  # what stands beside it says which
    "user=AK": "OTW_MODELARTS_AK",
    "password=SK": "OTW_MODELARTS_SK",
    "password=APPCODE": "OTW_MODELARTS_APPCODE",
    "iam": "OTW_MODELARTS_IAM",
    "user": "OTW_MODELARTS_USER",
    "password": "OTW_MODELARTS_PASSWORD",
    "domain": "OTW_MODELARTS_DOMAIN",
    "project": "OTW_MODELARTS_PROJECT",
}
_FIELDS = {
    "rest": _("the field REST address"),
    "grpc": _("the field gRPC address"),
    "model": _("the field Model"),
    "tls": _("the box TLS"),
    "ca_file": _("the field CA file"),
    "cert_file": _("the field Client certificate"),
    "key_file": _("the field Client key"),
    "headers": _("the field Header"),
    "token": _("the field Token"),
    "auth": _("the field Way in"),
    "iam": _("the field IAM address"),
    "user": _("the field User"),
    "password": _("the field Password"),
    "domain": _("the field Domain"),
    "project": _("the field Project"),
}
_WORDS: dict[str, dict[str, str]] = {PYTHON: {}, FORM: _FIELDS, TERMINAL: _FLAGS}
_TEXT = r"'[^']*'|\{[^}]*\}|[^,()'{]+"
_GIVE = re.compile(
    r"(?:verify='ca\.pem'(?:, or | 或 ))?"
    rf"endpoint\.replace\((\w+=(?:{_TEXT})(?:, \w+=(?:{_TEXT}))*)\)"
    r"|\b(timeout=)(?:\.\.\.|[\d.]*\d)"
)
_ARGUMENT = re.compile(rf"(\w+)=(?:{_TEXT})")


def worded(text: str, place: str = "") -> str:
    """Return a sentence in the words of a place; without one, of the context's.

    What a place has no words for stays.

    Examples
    --------
    >>> worded("Name it: endpoint.replace(ca_file=...). Wait: timeout=60.", TERMINAL)
    'Name it: --ca-file FILE. Wait: --timeout SECONDS.'
    """
    words = _WORDS[place or HERE.get()]

    def give(match: re.Match[str]) -> str:
        arguments = _ARGUMENT.finditer(match[1] or "timeout=.")
        given = [words.get(one[0], words.get(one[1])) for one in arguments]
        return match[0] if None in given else _(", ").join(filter(None, given))

    return _GIVE.sub(give, text)
