"""Commands of curl, quoted as `sh` or `powershell` reads them back."""

import re
import shlex
from collections.abc import Sequence

LONGEST = 300  # characters of JSON that a person still wants in a command
_APOSTROPHES = re.compile("['\u2018\u2019\u201a\u201b]")  # each ends a text of PowerShell's


def post(url: str, body: str, shell: str = "sh", options: Sequence[str] = (), raw: str = "") -> str:
    """Write a command that posts a text.

    Parameters
    ----------
    url : str
    body : str
        A long one goes through standard input. `@name` is the file of that name.
    shell : str
        Whose quotes: `sh` or `powershell`.
    options : list of str
        More words for curl.
    raw : str
        More of them, as the shell is to read them: with variables.

    Examples
    --------
    >>> post("http://127.0.0.1:8501/v1/models/m:predict", "@body.json", raw='-u "$USER"')
    'curl -u "$USER" -d @body.json http://127.0.0.1:8501/v1/models/m:predict'
    """
    from_input = command([*options, "-d", "@-", url], shell, raw)
    if shell == "powershell" and body[0] != "@":
        # As an argument it would lose its quotes with older ones.
        return f"{quoted([body], shell)} | {from_input}"
    if len(body) <= LONGEST:
        return command([*options, "-d", body, url], shell, raw)
    return f"{from_input} <<'EOF'\n{body}\nEOF"


def command(words: Sequence[str], shell: str = "sh", raw: str = "") -> str:
    """Write a command: words to quote after those that the shell is to read itself."""
    curl = "curl.exe" if shell == "powershell" else "curl"
    return " ".join(filter(None, [curl, raw, quoted(words, shell)]))


def quoted(words: Sequence[str], shell: str) -> str:
    """Return words as `sh` or `powershell` reads them back."""
    if shell == "powershell":
        doubled = (_APOSTROPHES.sub(r"\g<0>\g<0>", word) for word in words)
        return " ".join(f"'{word}'" for word in doubled)
    return shlex.join(words)
