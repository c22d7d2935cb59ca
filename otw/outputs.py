"""Stored outputs in another language: what they would be if their cells had run in it.

The code's sentences are known, and what is filled into them stands in the output: the pattern of a
sentence is looked for there, and its translation gets the same values. tests/language runs the
chapters, and sees that these are the outputs.
"""

import functools
import html
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import polib

from helpers import language, tables

# Of a widget's state: others are classes, sizes, colours, data.
_SHOWN = {"value", "description", "tooltip", "placeholder", "titles", "_options_labels"}
_MARKUP = re.compile(r'(<[^>]*?\b(?:alt|title|aria-label)="|"[^"<>]*>|<[^>]*>)')
_TAGS = re.compile(r"<[a-z!/]")
_VALUE = re.compile(r"\{(\w+)(?:![rsa])?(?::[^{}]*)?\}")
_COLUMNS = re.compile(r"(\n| {2,})")
_SHORTEST = 10  # letters of a sentence that may stand within a text; a shorter one is all of it
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
    """

    words: str
    pattern: re.Pattern[str]
    translation: str


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
    if sentence := _whole(english):
        return sentence
    if _TAGS.search(english):
        parts = _MARKUP.split(english)
        parts[::2] = [html.escape(_lines(html.unescape(part)), quote=False) for part in parts[::2]]
        return "".join(parts)
    return _lines(english)


def _lines(english: str) -> str:
    """Translate what stands in each line, and in each column of a table, which keeps its place."""
    parts = _COLUMNS.split(english)
    for number in range(0, len(parts), 2):
        old, new = parts[number], _within(parts[number])
        parts[number] = new
        if new != old and number + 1 < len(parts) and parts[number + 1] != "\n":
            room = tables.width(old) + len(parts[number + 1]) - tables.width(new)
            parts[number + 1] = " " * max(2, room)
    return "".join(parts)


def _within(english: str) -> str:
    """Translate the sentences that stand in a text, the longest first."""
    if not re.search("[A-Za-z]", english):
        return english
    if sentence := _whole(english):
        return sentence
    done: list[str] = []

    def keep(match: re.Match[str], sentence: _Sentence) -> str:
        done.append(_filled(match, sentence))
        return f"\ue000{len(done) - 1}\ue001"

    for candidate in _sentences():
        if len(candidate.words) >= _SHORTEST and candidate.words in english:
            pattern = rf"(?<!\w){candidate.pattern.pattern}(?!\w)"
            english = re.sub(pattern, functools.partial(keep, sentence=candidate), english)
    while _DONE.search(english):
        english = _DONE.sub(lambda match: done[int(match[1])], english)
    return english


def _whole(english: str) -> str:
    """Return the translation of a text that is a sentence of the code; empty if it is none."""
    if english in _exact():
        return _exact()[english]
    for sentence in _sentences():
        if sentence.words in english and (match := sentence.pattern.fullmatch(english)):
            return _filled(match, sentence)
    return ""


def _filled(match: re.Match[str], sentence: _Sentence) -> str:
    values = {"count": "1"} | match.groupdict()  # the singular may have the number as a word
    return _VALUE.sub(lambda value: _within(values[value[1]]), sentence.translation)


@functools.cache
def _exact() -> dict[str, str]:
    return {old: new for old, new in _catalogue() if not _VALUE.search(old)}


@functools.cache
def _sentences() -> list[_Sentence]:
    made = [_sentence(old, new) for old, new in _catalogue()]
    letters = {sentence: len(_VALUE.sub("", sentence.pattern.pattern)) for sentence in made}
    return sorted(
        (sentence for sentence in made if re.search("[A-Za-z]{2}", sentence.words)),
        key=lambda sentence: -letters[sentence],
    )


def _sentence(old: str, new: str) -> _Sentence:
    pattern = ""
    seen = set()
    parts = _VALUE.split(old)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            pattern += re.escape(part)
        elif part in seen:
            pattern += rf"(?P={part})"
        else:
            seen.add(part)
            last = number == len(parts) - 2 and not parts[-1]
            pattern += rf"(?P<{part}>.+)" if last else rf"(?P<{part}>.+?)"
    return _Sentence(max(parts[::2], key=len), re.compile(pattern), new)


def _catalogue() -> Iterator[tuple[str, str]]:
    file = language.CATALOGUES / "zh_CN" / "LC_MESSAGES" / "otw.po"
    for entry in polib.pofile(str(file)):
        if not entry.translated():
            continue
        new = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
        for old in filter(None, (entry.msgid, entry.msgid_plural)):
            yield old, new
