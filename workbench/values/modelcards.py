"""What a model's maker wrote for people to read beside it: a model card, a README, a license."""

import os
from pathlib import Path

_BEGINNINGS = ("readme", "model_card", "model-card", "modelcard", "license")  # of files' names
_LONGEST = 50_000  # characters; what is longer is no card


def paths(folder: str | os.PathLike[str]) -> list[Path]:
    """List the files in a model's folder and, of a version, in the one that it is in."""
    version = Path(folder)
    folders = [version, version.parent] if version.name.isdecimal() else [version]
    return [
        path
        for place in folders
        for path in sorted(place.iterdir())
        if path.name.lower().startswith(_BEGINNINGS) and path.is_file()
    ]


def read(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Return the texts of a model's folder by the files' names, long ones cut.

    Examples
    --------
    >>> read("data/photos")
    {}
    """
    try:
        return {path.name: _text(path) for path in paths(folder)}
    except OSError:  # a card is a help, and no more
        return {}


def _text(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.read(_LONGEST)
