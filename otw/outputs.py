"""Stored outputs in another language: what they would be if their cells had run in it.

The code's sentences are known, and what is filled into them stands in the output: the pattern of a
sentence is looked for there, and its translation gets the same values. tests/language runs the
chapters, and sees that these are the outputs.
"""

import functools
import html
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import polib

from helpers import language, tables

# Of a widget's state: others are classes, sizes, colours, data.
_SHOWN = {"value", "description", "tooltip", "placeholder", "titles", "_options_labels"}
_MARKUP = re.compile(r'(<[^>]*?\b(?:alt|title|aria-label)="|"[^<>]*>|<[^>]*>)')
_CODE = re.compile(r"<code>([^<]*)</code>")  # which stands between backticks in a sentence
_BACKTICKS = re.compile(r"`([^`]*)`")
_TAGS = re.compile(r"<[a-z!/]")
_VALUE = re.compile(r"\{(\w+)(?:![rsa])?(?::[^{}]*)?\}")
_COLUMN = re.compile(r"( {2,})")
_ROW = re.compile("(?=<tr>)")
_LIST = re.compile(r"(\S+(?:, \S+)*)( and | or )(\S+)")
# What is between values, to be looked for: two words, or one behind a comma.
_TELLING = re.compile(r"[A-Za-z]+\W+[A-Za-z]+|[,:;] [A-Za-z]{2}|[A-Za-z]{3}[.:?!]")
_LONG = 25  # letters
_DONE = re.compile("\ue000(\\d+)\ue001")  # where a translation stands, for no other to look into


class _Sentence(NamedTuple):
    """A sentence of the code.

    Parameters
    ----------
    words : str
        The longest part of it without values.
    pattern : Pattern
        Its values are groups.
    translation : str
    stands_alone : bool
        Whether it is a sentence that may stand among others.
    """

    words: str
    pattern: re.Pattern[str]
    translation: str
    stands_alone: bool


def translated(output: Mapping[str, Any]) -> Any:
    """Return an output of a cell in the other language."""
    kind = output["output_type"]
    if kind == "stream":
        return {**output, "text": text(output["text"])}
    if kind == "error":
        lines = [text(line) for line in output["traceback"]]
        return {**output, "evalue": text(output["evalue"]), "traceback": lines}
    data = {
        kind: text(content) if kind.startswith("text/") else content
        for kind, content in output["data"].items()
    }
    return {**output, "data": data}


def widgets(state: Any) -> Any:
    """Return the state of widgets, as a notebook stores it, in the other language."""
    if isinstance(state, list):
        return [widgets(one) for one in state]
    if not isinstance(state, dict):
        return state
    return {key: _shown(value) if key in _SHOWN else widgets(value) for key, value in state.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    return [_shown(one) for one in value] if isinstance(value, list) else value


def text(english: str) -> str:
    """Return a text of an output in the other language."""
    if not _TAGS.search(english):
        return "\n".join(map(_row, english.split("\n")))
    return "".join(_html_row(row) for row in _ROW.split(english))


def _html_row(english: str) -> str:
    parts = _MARKUP.split(_CODE.sub(r"`\1`", english))
    old = [html.unescape(part) for part in parts[::2]]
    for number, (before, after) in enumerate(zip(old, _cells(old), strict=True)):
        if after != before:
            parts[2 * number] = html.escape(after)
    return _BACKTICKS.sub(r"<code>\1</code>", "".join(parts))


def _row(english: str) -> str:
    """Translate a line; the columns of a table keep their places."""
    parts = _COLUMN.split(english)
    for number, cell in zip(range(0, len(parts), 2), _cells(parts[::2]), strict=True):
        if number + 1 < len(parts) and cell != parts[number]:
            width = tables.width(parts[number]) + len(parts[number + 1])
            parts[number + 1] = " " * max(2, width - tables.width(cell))
        parts[number] = cell
    return "".join(parts)


def _cells(english: list[str]) -> list[str]:
    """Translate the cells of a row: single words only where all cells are such, as in a head."""
    words = {cell for cell in english if re.search("[A-Za-z]", cell)}
    if len(words) > 1 and words <= _exact().keys():
        return [_exact().get(cell, cell) for cell in english]
    return [_within(cell) if " " in cell.strip() else cell for cell in english]


def _within(english: str) -> str:
    """Translate a text, or the sentences that stand in it."""
    done: list[str] = []
    translation = _whole(english, done) or _among(english, done)
    while _DONE.search(translation):
        translation = _DONE.sub(lambda match: done[int(match[1])], translation)
    return translation


def _among(english: str, done: list[str]) -> str:
    """Translate the sentences that stand in a text, the longest first, and leave their numbers."""

    def keep(match: re.Match[str], sentence: _Sentence) -> str:
        done.append(_filled(match, sentence, done))
        return f"\ue000{len(done) - 1}\ue001"

    for candidate in _sentences():
        if candidate.stands_alone and candidate.words in english:
            for end in ("$", r"(?!\w)"):
                pattern = rf"(?<!\w){candidate.pattern.pattern}{end}"
                english = re.sub(pattern, functools.partial(keep, sentence=candidate), english)
    return english


def _whole(english: str, done: list[str]) -> str:
    """Return the translation of a text that is a sentence of the code; empty if it is none."""
    bare = english.strip()
    if bare in _exact():
        return english.replace(bare, _exact()[bare])
    for sentence in _sentences():
        if sentence.words in english and (match := sentence.pattern.fullmatch(english)):
            return _filled(match, sentence, done)
    return ""


def _filled(match: re.Match[str], sentence: _Sentence, done: list[str]) -> str:
    values = {"count": "1"} | match.groupdict()
    return _VALUE.sub(lambda value: _of_value(values[value[1]], done), sentence.translation)


def _of_value(english: str, done: list[str]) -> str:
    if names := _LIST.fullmatch(english):
        return f"{names[1]}{_exact().get(names[2], names[2])}{names[3]}"
    return _exact().get(english) or _among(english, done)


@functools.cache
def _exact() -> dict[str, str]:
    return {old: new for old, new in _catalogue() if not _VALUE.search(old)}


@functools.cache
def _sentences() -> list[_Sentence]:
    longest_first = sorted(_catalogue(), key=lambda pair: -len(_VALUE.sub("", pair[0])))
    made = (_sentence(old, new) for old, new in longest_first)
    return [sentence for sentence in made if _TELLING.search(sentence.words)]


def _sentence(old: str, new: str) -> _Sentence:
    parts = _VALUE.split(old)
    letters = len("".join(parts[::2]))
    pattern = ""
    for number, part in enumerate(parts):
        behind = "".join(parts[number + 1 :: 2])
        if number % 2 == 0:
            pattern += re.escape(part)
            if number == 0 and part[:1].islower():  # it may begin a text
                pattern = f"[{part[0]}{part[0].upper()}]{pattern[1:]}"
        elif part in parts[1:number:2]:
            pattern += rf"(?P={part})"
        elif not behind:  # nothing says where it ends
            pattern += rf"(?P<{part}>(?=.*\w).+)"
        elif not re.search(r"\w", behind):
            pattern += rf"(?P<{part}>(?=.*\w).+?)"
        else:  # some words, but no sentence
            pattern += rf"(?P<{part}>(?=.*\w)(?:(?![.:?!] ).)+?)"
    words = max((part[number == 0 :] for number, part in enumerate(parts[::2])), key=len)
    stands_alone = old[-1:] in ".:?!" or letters >= _LONG
    return _Sentence(words, re.compile(pattern), new, stands_alone)


@functools.cache
def _catalogue() -> list[tuple[str, str]]:
    """Return the sentences that can be looked for, each with its translation."""
    pairs = []
    for entry in polib.pofile(str(language.catalogue("zh_CN"))):
        if not entry.translated():
            continue
        new = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        values = set(_VALUE.findall(new)) - {"count"}  # the singular may have it as a word
        for old in filter(None, (entry.msgid, entry.msgid_plural)):
            if values <= set(_VALUE.findall(old)):
                pairs.append((old, new))
    return pairs
