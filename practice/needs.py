"""`%%needs tensorflow`: a cell that says why it is left out where that is not installed."""

from IPython.core.error import UsageError

from helpers.language import _
from practice.rayserve import launching as ray
from protos import official

_MAGIC = "%%needs"
NEEDS = ("tensorflow", "ray")


def transform(lines: list[str]) -> list[str]:
    """Take the first line off a cell that begins with `%%needs tensorflow`, or leave it out.

    Parameters
    ----------
    lines : list of str
        The cell, each line with its end.

    Returns
    -------
    list of str
        The cell without that line; where what it names is missing, one that prints how to add it.

    Raises
    ------
    UsageError
        When anything else than one of `NEEDS` is named.

    Examples
    --------
    >>> transform(["1 + 1"])
    ['1 + 1']
    """
    words = lines[0].split() if lines else []
    if not words or words[0] != _MAGIC:
        return lines
    if len(words) != 2 or words[1] not in NEEDS:
        raise UsageError(
            _(
                "{magic} takes one word, {needs}; here is {line!r}.",
                magic=_MAGIC,
                needs=_(" or ").join(NEEDS),
                line=lines[0].strip(),
            )
        )
    return lines[1:] if is_installed(words[1]) else [f"print({left_out(words[1])!r})\n"]


def is_installed(need: str) -> bool:
    """Whether one of `NEEDS` is installed; it is not imported."""
    return ray.has_ray() if need == "ray" else official.has_tensorflow()


def left_out(need: str) -> str:
    """Return what a cell prints that is left out."""
    absent = ray.absent() if need == "ray" else _(official.ABSENT)
    return _("This cell is left out. {why}", why=absent)
