"""`make messages`: bring the catalogues in otw/locales up to date with the English texts.

What was translated stays. What is new is empty, and what has changed is marked as fuzzy, beside the
translation of what stood there before: look at it, mend it, and take the mark away.
test_catalogues.py says what is left to do.
"""

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polib

from helpers import language
from helpers.errors import meanings
from otw import translation
from practice.launch import ROOT
from protos.official import ABSENT

ROOMS = ("helpers", "workbench", "practice", "otw")
OTW = language.catalogue("zh_CN")
DOCUMENTS = [
    "README.md",
    "docs/glossary.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/teaching/*.md"))),
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("notebooks/[0-9]*.ipynb"))),
    *(
        path.relative_to(ROOT).as_posix()
        for path in sorted(ROOT.glob("notebooks/solutions/*.ipynb"))
    ),
]


def main() -> None:
    """Bring all of them up to date, and print how many texts are open in each."""
    _update(OTW, list(of_code()))
    for name in DOCUMENTS:
        entries = [polib.POEntry(msgid=text) for text in translation.messages(name)]
        _update(translation.catalogue(name), entries)


def of_code() -> Iterator[polib.POEntry]:
    """Yield the sentences that go through `_` and `plural`, and those of meanings.csv."""
    seen: dict[str, polib.POEntry] = {}
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        for one, many in _literals(ast.parse(path.read_bytes())):
            plural = {"msgid_plural": many, "msgstr_plural": {0: ""}} if many else {}
            place = path.relative_to(ROOT).as_posix()
            entry = seen.setdefault(one, polib.POEntry(msgid=one, **plural))
            if (place, "") not in entry.occurrences:
                entry.occurrences.append((place, ""))
    elsewhere = {
        "helpers/errors/meanings.csv": meanings.sentences(),
        "protos/official.py": [ABSENT],
    }
    for place, sentences in elsewhere.items():
        for sentence in sentences:
            entry = polib.POEntry(msgid=sentence, occurrences=[(place, "")])
            seen.setdefault(sentence, entry)
    yield from seen.values()


def _literals(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield each sentence, and what it is for many, in the file's order: calls may be nested."""
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("_", "plural")
    ]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        literals = call.args[: 2 if call.func.id == "plural" else 1]  # type: ignore[attr-defined]
        texts = [str(text.value) for text in literals if isinstance(text, ast.Constant)]
        if texts:  # else a sentence that is looked up, and stands elsewhere
            yield texts[0], texts[1] if len(texts) > 1 else ""


_CODE = re.compile(r"`[^`]+`")
_TARGET = re.compile(r"\]\(([^)]*)\)")
_VALUE = re.compile(r"\{[^{}]*\}")
_TAG = re.compile(r"</?[a-z][^>]*>")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_CHINESE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]")  # letters, and signs such as 、


def faults(entry: polib.POEntry) -> Iterator[str]:
    """Yield what a translation has lost of the original, or has beside it."""
    old = entry.msgid_plural or entry.msgid
    new = entry.msgstr_plural[0] if entry.msgid_plural else entry.msgstr
    exact = {"code span": _CODE, "link": _TARGET, "value in braces": _VALUE, "tag": _TAG}
    for kind, pattern in exact.items():
        if Counter(pattern.findall(old)) != Counter(pattern.findall(new)):
            yield f"another {kind}: {pattern.findall(old)} became {pattern.findall(new)}"
    old_words, new_words = (_TARGET.sub("", _VALUE.sub("", _CODE.sub("", t))) for t in (old, new))
    numbers = Counter(_NUMBER.findall(old_words)) - Counter(_NUMBER.findall(new_words))
    if numbers:
        yield f"numbers are lost: {', '.join(numbers)}"
    lost = [name for name in names() if _has(old_words, name) and not _has(new_words, name)]
    if lost:
        yield f"names are lost: {', '.join(lost)}"
    if len(re.findall(r"\b[a-z]{2,}\b", old_words)) > 2 and not _CHINESE.search(new):
        yield "it is not in Chinese"
    if old_words.strip(" ,") and [old[:1].isspace(), old[-1:].isspace()] != [
        new[:1].isspace(),
        new[-1:].isspace(),
    ]:
        yield "space at its beginning or end is another"


def _has(text: str, name: str) -> bool:
    return bool(re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text))


@cache
def names() -> list[str]:
    """Return the words that stay English: the second table of docs/zh/terms.md."""
    text = (ROOT / "docs/zh/terms.md").read_text(encoding="utf-8").partition("## 不翻译的词")[2]
    rows = re.findall(r"^\| ([A-Za-z].*?) \|", text, re.M)
    return [name for row in rows for name in row.split(", ")]


def _update(file: Path, entries: list[polib.POEntry]) -> None:
    template = polib.POFile()
    template.extend(entries)
    catalogue = polib.pofile(str(file)) if file.exists() else polib.POFile()
    catalogue.wrapwidth = 100
    catalogue.metadata = {
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Language": "zh_CN",
        "Plural-Forms": "nplurals=1; plural=0;",
    }
    catalogue.merge(template)
    gone = {entry.msgid: entry for entry in catalogue.obsolete_entries() if entry.msgstr}
    for entry in catalogue.untranslated_entries():
        for near in difflib.get_close_matches(entry.msgid, gone, n=1, cutoff=0.8):
            entry.msgstr = gone[near].msgstr
            entry.previous_msgid = near
            entry.flags.append("fuzzy")
    for entry in catalogue.obsolete_entries():
        catalogue.remove(entry)
    order = {entry.msgid: number for number, entry in enumerate(entries)}
    catalogue.sort(key=lambda entry: order[entry.msgid])
    file.parent.mkdir(parents=True, exist_ok=True)
    catalogue.save(str(file))
    open_ones = len(catalogue.untranslated_entries()) + len(catalogue.fuzzy_entries())
    print(f"{file.relative_to(ROOT)}: {len(catalogue)} texts, {open_ones} to translate")


if __name__ == "__main__":
    main()
