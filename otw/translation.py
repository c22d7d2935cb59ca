"""Chapters and documents in another language: the English file, and a catalogue of its texts.

A catalogue is a file of gettext: `otw/locales/zh_CN/notebooks/04-....po` for a chapter. A message
in it is a paragraph, an item of a list, a heading or a cell of a table, as Markdown has it: code
spans and links are in it. Of code, comments are messages.
"""

import io
import itertools
import os
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
import polib
from markdown_it import MarkdownIt

from helpers import language
from otw import outputs
from practice.launch import ROOT

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_LINE_BREAK = re.compile(r"\n[ >\t]*")  # within a paragraph, which may stand in a list or a quote
_SUMMARY = re.compile(r"<summary>(.*?)</summary>", re.S)
_LINK = re.compile(r"(?<=\]\()([^)#\s]*)(?:#([^)\s]*))?(?=\))")
_NOT_TRANSLATED = re.compile(r"`[^`]*`|\]\([^)]*\)|<[^>]*>|[^A-Za-z]")

_CATALOGUES = language.CATALOGUES / "zh_CN"

Translate = Callable[[str], str]


def catalogue(name: str) -> Path:
    """Return the file with the translations of a document, named as the repository has it."""
    return (_CATALOGUES / name).with_suffix(".po")


@cache
def translations(name: str) -> Mapping[str, str]:
    """Return the translations of a document's texts, by the English ones; empty if it has none."""
    file = catalogue(name)
    if not file.exists():
        return {}
    return {entry.msgid: entry.msgstr for entry in polib.pofile(str(file)) if entry.translated()}


def translate(name: str) -> Translate:
    """Return what translates a text of a document; a text without translation stays English."""
    texts = translations(name)
    return lambda text: texts.get(text, text)


def names(pattern: str) -> list[str]:
    """Return the documents that a pattern finds, as the repository names them."""
    return [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(pattern))]


def messages(name: str) -> Iterator[str]:
    """Yield what is to be translated of a document, in its order, once each."""
    seen: dict[str, None] = {}

    def note(text: str) -> str:
        seen.setdefault(text)
        return text

    text = (ROOT / name).read_text(encoding="utf-8")
    if not name.endswith(".ipynb"):
        markdown(text, note)
    else:
        for cell in nbformat.reads(text, as_version=4).cells:
            _source(cell, note)
    yield from seen


def markdown(text: str, translate: Translate) -> str:
    """Return a Markdown text with each of its texts translated."""
    parts = []
    position = 0
    for start, end in _spans(text):
        message = _LINE_BREAK.sub(" ", text[start:end])
        if _NOT_TRANSLATED.sub("", message):
            parts += [text[position:start], translate(message)]
            position = end
    return "".join([*parts, text[position:]])


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the texts begin and end."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    position = 0
    for token in _MARKDOWN.parse(text):
        if token.type == "html_block":
            first, behind = token.map or (0, 0)
            for summary in _SUMMARY.finditer(text, starts[first], starts[behind]):
                yield summary.span(1)
        elif token.type == "inline" and token.content:
            first, _behind = token.map or (0, 0)
            position = max(position, starts[first])
            # The parser gives the text without what marks it on each line as a list's or a quote's.
            lines_of_text = map(re.escape, token.content.split("\n"))
            pattern = _LINE_BREAK.pattern.join(lines_of_text).replace(r"\|", r"\\?\|")
            found = re.compile(pattern).search(text, position)
            if not found:
                raise ValueError(f"This Markdown cannot be translated: {token.content!r}")
            position = found.end()
            yield found.span()


def code(text: str, translate: Translate) -> str:
    """Return Python's source with each comment translated."""
    lines = text.split("\n")
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                words = token.string[1:].strip()
                lines[row - 1] = f"{lines[row - 1][:column]}# {translate(words)}"
    except (tokenize.TokenError, SyntaxError):  # a cell for another program, such as %%bash
        return text
    return "\n".join(lines)


def _source(cell: Any, translate: Translate) -> None:
    turn = markdown if cell.cell_type == "markdown" else code
    cell.source = turn(cell.source, translate)


def notebook(name: str, change: Translate) -> Any:
    """Return a chapter in the other language, its outputs too.

    Parameters
    ----------
    name : str
        As the repository has it.
    change : callable
        Takes and returns the text of a cell that is Markdown, translated.
    """
    made = nbformat.read(ROOT / name, as_version=4)
    for cell in made.cells:
        _source(cell, translate(name))
        if cell.cell_type == "markdown":
            cell.source = change(cell.source)
        else:
            cell.outputs = [outputs.translated(output) for output in cell.outputs]
    if "widgets" in made.metadata:
        made.metadata.widgets = outputs.widgets(made.metadata.widgets)
    return nbformat.from_dict(made)


def made(name: str, place: str, places: Mapping[str, str] | None = None) -> str:
    """Return a document's text in the other language, as its file has it.

    Parameters
    ----------
    name, place : str
        Where the English file stands, and where the translated one does.
    places : mapping of str to str, optional
        The same of all documents to which a link may lead. Without it they are those of a
        clone: GitHub has the translated documents, and of the chapters the English ones only.
    """
    if places is None:
        places = documents() | (chapters() if name.endswith(".ipynb") else {})

    def change(text: str) -> str:
        return linked(text, name, place, places)

    if name.endswith(".ipynb"):
        return nbformat.writes(notebook(name, change)).rstrip("\n") + "\n"
    return change(markdown((ROOT / name).read_text(encoding="utf-8"), translate(name)))


@cache
def offered() -> list[str]:
    """Return the documents that are translated to the last text, as the repository names them."""
    return list(filter(_is_offered, _with_catalogue()))


def missing(root: Path) -> dict[str, str]:
    """Return the place of each chapter that is offered and not there, by its name."""
    chapters = (name for name in _with_catalogue() if name.startswith("notebooks/"))
    return {
        name: place(name)
        for name in chapters
        if not (root / place(name)).exists() and _is_offered(name)  # which takes longer to see
    }


def _with_catalogue() -> list[str]:
    files = sorted(_CATALOGUES.glob("**/*.po"))
    stems = [file.relative_to(_CATALOGUES).with_suffix("").as_posix() for file in files]
    return [name for stem in stems for name in names(f"{stem}.*")]


def _is_offered(name: str) -> bool:
    return set(messages(name)) <= translations(name).keys()


def chapters() -> dict[str, str]:
    """Return the place in notebooks/zh of each chapter and its solutions, by its name."""
    return {name: place(name) for name in offered() if name.startswith("notebooks/")}


def documents() -> dict[str, str]:
    """Return the place of each other document that is translated, by its name."""
    return {name: place(name) for name in offered() if not name.startswith("notebooks/")}


def place(name: str) -> str:
    """Return where the repository has a document in the other language.

    Examples
    --------
    >>> place("notebooks/solutions/04-grpc.ipynb"), place("README.md")
    ('notebooks/zh/solutions/04-grpc.ipynb', 'README.zh-CN.md')
    """
    first, _, rest = name.partition("/")
    return f"{first}/zh/{rest}" if rest else f"{PurePosixPath(name).stem}.zh-CN.md"


def linked(text: str, name: str, place: str, places: Mapping[str, str]) -> str:
    """Return a translated Markdown text with links that lead where it stands.

    Parameters
    ----------
    text : str
    name, place : str
        Where the English text stands, and where the translated one does.
    places : mapping of str to str
        The same of all documents that are translated.
    """

    def lead(link: re.Match[str]) -> str:
        path, anchor = link[1], link[2]
        if "://" in path or path.startswith("mailto:"):
            return link[0]
        target = joined(PurePosixPath(name).parent, path) if path else name
        if target in places and anchor:
            anchor = anchors(target).get(anchor, anchor)
        if path:
            leads = places.get(target, target)
            if target == name and not anchor:  # to itself: that is the link to its English
                leads = name
            there = os.path.relpath(leads, PurePosixPath(place).parent)
            path = there.replace(os.sep, "/")
        return f"{path}#{anchor}" if anchor else path

    return _LINK.sub(lead, text)


@cache
def anchors(name: str) -> Mapping[str, str]:
    """Return the anchors of a document's headings in the other language, by the English ones."""
    text = (ROOT / name).read_text(encoding="utf-8")
    tokens = _MARKDOWN.parse(text) if name.endswith(".md") else []
    headings = [
        inline.content
        for heading, inline in itertools.pairwise(tokens)
        if heading.type == "heading_open"
    ]
    translated = map(translate(name), headings)
    return {anchor(old): anchor(new) for old, new in zip(headings, translated, strict=True)}


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub, JupyterLab and Sphinx make it.

    Examples
    --------
    >>> anchor("HTTP/2: 通道 (`channel`)")
    'http2-通道-channel'
    """
    words = re.sub(r"\]\([^)]*\)", "", heading)
    return re.sub(r"[^\w\- ]", "", words).lower().replace(" ", "-")


def joined(folder: PurePosixPath, path: str) -> str:
    """Return what a link in a document of a folder leads to, as the repository names it."""
    return os.path.normpath(folder / path).replace(os.sep, "/")
