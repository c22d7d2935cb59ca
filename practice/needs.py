"""`%%needs tensorflow`: a cell that says why it is left out where TensorFlow is not installed."""

from IPython.core.error import UsageError

from protos import official

_MAGIC = "%%needs"


def transform(lines: list[str]) -> list[str]:
    """Take the first line off a cell that begins with `%%needs tensorflow`, or leave it out.

    Parameters
    ----------
    lines : list of str
        The cell, each line with its end.

    Returns
    -------
    list of str
        The cell without that line; where TensorFlow is missing, one that prints how to add it.

    Raises
    ------
    UsageError
        When anything else than TensorFlow is named.

    Examples
    --------
    >>> transform(["1 + 1"])
    ['1 + 1']
    """
    words = lines[0].split() if lines else []
    if not words or words[0] != _MAGIC:
        return lines
    if words[1:] != ["tensorflow"]:
        raise UsageError(f"{_MAGIC} takes one word, tensorflow; here is {lines[0].strip()!r}.")
    return lines[1:] if official.has_tensorflow() else [f"print({left_out()!r})\n"]


def left_out() -> str:
    """Return what a cell prints that is left out."""
    return f"This cell is left out. {official.ABSENT}"
