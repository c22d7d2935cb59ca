"""Writes calls as files that a person can open: a table of all, and what was sent and answered."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.ccai.speech import Speech
from workbench import answers
from workbench.answers.transcripts import plain
from workbench.explorer.calls import Record, to_csv

_LARGE = 1_000  # values; an array of more is a file of its own
_ALL = 2**62  # characters
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".wav"}


def write(folder: Path, records: Sequence[Record]) -> int:
    """Write calls into a new folder.

    Parameters
    ----------
    folder : Path
    records : sequence of Record
        At the least one. Of those whose arrays were dropped, the table alone has something.

    Returns
    -------
    int
        How many files there are: `calls.csv`, and for each call `0001-inputs.json` and
        `0001-outputs.json`, with `.npy` files beside them for large arrays. A file that was
        sent, or a sound that was answered, is that file.

    Raises
    ------
    OSError
        When it cannot be written, or the folder is there.
    """
    folder.mkdir()
    (folder / "calls.csv").write_text(to_csv(records), encoding="utf-8-sig", newline="")
    for number, record in enumerate(records, start=1):
        for side, value in (("inputs", record.request.payload), ("outputs", record.answer)):
            if value is not None:
                _write(folder / f"{number:04}-{side}", value)
    return len(list(folder.iterdir()))


def _write(path: Path, value: Any) -> None:
    """Write what was sent or answered, with the ending that says what it is."""
    if isinstance(value, Speech):
        value = value.wav()
    if isinstance(value, bytes):
        ending = next((end for start, end in _ENDINGS.items() if value.startswith(start)), ".bin")
        path.with_name(path.name + ending).write_bytes(value)
        return
    if isinstance(value, np.ndarray):
        value = {"values": value}
    if isinstance(value, Mapping):
        value = {
            name: _beside(path, number, name, part)
            for number, (name, part) in enumerate(value.items(), start=1)
        }
    path.with_name(f"{path.name}.json").write_text(answers.raw(value, _ALL), encoding="utf-8")


def _beside(path: Path, number: int, name: str, value: Any) -> Any:
    """Return the name of a file, once a large array is in it; others are returned as they are."""
    if not _is_large(value):
        return value
    ending = re.sub(r"[^\w.-]+", "_", f"-{number}-{name}")[:60]  # a model may call it anything
    file = path.with_name(f"{path.name}{ending}.npy")
    np.save(file, plain(value))
    return file.name


def _is_large(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind != "O" and value.size > _LARGE
