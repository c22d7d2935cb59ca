"""`make student`: the folder that students get, and its update, which keeps what they wrote.

It has what the chapters need to run, and neither solutions nor tests nor the teacher's pages. With
OTW_LANGUAGE=zh the chapters are in it in Chinese, too.
"""

import argparse
import hashlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from helpers import language
from otw import translation
from otw.translation import joined
from tests.course.merge import digests, merge

ROOT = Path(__file__).parents[2]
README = "docs/teaching/for-students.md"  # becomes the folder's README.md
PARTS = [
    *("otw", "workbench", "practice", "helpers", "protos", "data", "docs", ".jupyter"),
    *(".devcontainer", "binder", "requirements", "notebooks"),
    *("Makefile", "pyproject.toml", "requirements.txt", "environment.yml", ".gitignore"),
    *("LICENSE", "LICENSE-prose", "CITATION.cff"),
]
TARGETS = ["help", "lab", "tensorflow", "scale", "newman", "clean"]  # of the Makefile
CHECKS = PurePosixPath("practice/exercises")
HANDED_OUT = ".handed-out.json"  # what the folder was when it was last written
_LEFT_OUT = re.compile(
    r"docs/(zh/)?(teaching|site)/|otw/locales/\w+/(?!LC_MESSAGES/)"
    r"|requirements/(?!(tensorflow|scale)\.txt)|notebooks/(?!\d\d-[^/]*\.ipynb$)"
    r"|(.*/)?(__pycache__|\.ipynb_checkpoints|\.DS_Store)(/|$)"
)
_LINK = re.compile(r"!?\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_SOLUTIONS = re.compile(
    r"The (\[solutions\]\([^)]*\)|solutions) are "
    r"(notebooks of their own|in a \[notebook of their own\]\([^)]*\))\."
)


def main() -> int:
    """Write the folder, or bring it up to date; returns the exit status."""
    advice = (
        "It has no solutions, no tests and no page for teachers: give it to your students as it is."
    )
    return make("student", __doc__, contents, HANDED_OUT, advice)


def make(
    target: str,
    description: str | None,
    contents: Callable[[], dict[str, bytes]],
    record: str,
    advice: str,
) -> int:
    """Write what a target of make writes, and say how that went; returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"make {target}", description=description)
    parser.add_argument("folder", nargs="?", default=f"build/{target}", help="(DIR=...)")
    folder = Path(parser.parse_args().folder).expanduser()
    if folder.exists() and not folder.is_dir():
        print(f"{folder} is a file. Name a folder: make {target} DIR=folder", file=sys.stderr)
        return 1
    if folder.exists() and any(folder.iterdir()) and not (folder / record).exists():
        print(
            f"{folder} is neither empty nor written by make {target}, which leaves the file "
            f"{record}. Nothing was written. Name another folder: make {target} DIR=folder",
            file=sys.stderr,
        )
        return 1
    try:
        for line in write(folder, contents(), record):
            print(line)
        print(advice)
    except OSError as error:
        print(f"Not all was written: {error}. Run it again: nothing is lost.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended before all was written. Run it again: nothing is lost.", file=sys.stderr)
        return 130
    return 0


def write(folder: Path, files: Mapping[str, bytes], record: str = HANDED_OUT) -> Iterator[str]:
    """Write the folder, or bring it up to date, and yield what a teacher should know of it."""
    path = folder / record
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    now: dict[str, Any] = {}
    written = 0
    for name, content in files.items():
        path = folder / name
        handed_out = before.get(name)
        notes: list[str] = []
        now[name] = _digest(content)
        if name.endswith(".ipynb"):
            ours = nbformat.reads(content.decode(), as_version=4)
            now[name] = digests(ours)
            content = _chapter(path, ours, content, handed_out or {}, notes)
        elif path.exists() and _digest(path.read_bytes()) not in (handed_out, now[name]):
            if handed_out == now[name]:
                continue  # only they have changed it
            notes.append(_set_aside(path))
        if not path.exists() or path.read_bytes() != content:
            replace(path, content)
            written += 1
        yield from (f"{name}: {note}" for note in notes)
    for name in before.keys() - files.keys():
        _remove(folder / name, before[name])
    replace(folder / record, (json.dumps(now, indent=1, sort_keys=True) + "\n").encode())
    yield f"{folder} is ready: {len(files)} files, {written} of them written now."


def contents() -> dict[str, bytes]:
    """Return the files that a student gets, by their names in the folder."""
    names = [name for name in _names() if not name.startswith(f"{CHECKS}/")]
    own = [f"{CHECKS}/__init__.py", f"{CHECKS}/checks.zip", "README.md"]
    files = {name: (ROOT / name).read_bytes() for name in [*names, own[0]]}
    translated = translation.chapters() if language.chosen() != "en" else {}
    for name in translated.keys() & files.keys():
        names.append(translated[name])
        files[translated[name]] = translation.made(name, translated[name]).encode()
    present = {*names, *own}
    files[own[1]] = _packed_checks()
    readme = _moved_links((ROOT / README).read_text(encoding="utf-8"))
    files["README.md"] = _text(readme, "README.md", present).encode()
    files["Makefile"] = _makefile(files["Makefile"].decode()).encode()
    for name in names:
        if name.endswith(".md"):
            files[name] = _text(files[name].decode(), name, present).encode()
        elif name.endswith(".ipynb"):
            notebook = nbformat.reads(files[name].decode(), as_version=4)
            for cell in notebook.cells:
                if cell.cell_type == "markdown":
                    cell.source = _text(cell.source, name, present)
            files[name] = packed(notebook)
    return files


def _names() -> list[str]:
    paths = [ROOT / part for part in PARTS]
    inside = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    names = [path.relative_to(ROOT).as_posix() for path in inside if path.is_file()]
    return sorted(name for name in names if not _LEFT_OUT.match(name))


def _packed_checks() -> bytes:
    """Pack what the checks know into one file: nobody shall read an answer by accident.

    It is no lock: who unpacks it can read it.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / CHECKS).glob("[!_]*.py")):
            # With a date of its own, no two would be alike, and none would be up to date.
            entry = zipfile.ZipInfo(path.name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _makefile(text: str) -> str:
    """Return the Makefile without the targets that need what a student does not have."""
    targets = re.findall(r"^([a-z-]+):.*?## ", text, re.M)
    gone = set(targets) - set(TARGETS)
    blocks = [
        block
        for block in text.split("\n\n")
        if not gone & set(re.findall(r"^([a-z-]+):.*?## ", block, re.M))
    ]
    listed = "\n\n".join(blocks).rstrip("\n") + "\n"
    return re.sub(r"^\.PHONY:.*", f".PHONY: {' '.join(TARGETS)}", listed, flags=re.M)


def _moved_links(text: str) -> str:
    """Return the page for students with links that are right where its README.md stands."""
    folder = PurePosixPath(README).parent
    return _LINK.sub(
        lambda link: link[0].replace(link[2], joined(folder, link[2])) if _local(link) else link[0],
        text,
    )


def _text(text: str, name: str, present: set[str]) -> str:
    """Return a page or a cell without the links and rows that lead to what is left out."""
    folder = PurePosixPath(name).parent
    text = _SOLUTIONS.sub("Your teacher has the solutions.", text)

    def leads(link: re.Match[str]) -> bool:
        target = joined(folder, link[2])
        return not _local(link) or any(f"{file}/".startswith(f"{target}/") for file in present)

    lines = [
        line
        for line in text.split("\n")
        if not (line.startswith("| [") and (row := _LINK.search(line)) and not leads(row))
    ]
    return _LINK.sub(lambda link: link[0] if leads(link) else link[1], "\n".join(lines))


def _local(link: re.Match[str]) -> bool:
    return "://" not in link[2]


def _chapter(
    path: Path, ours: Any, content: bytes, handed_out: dict[str, str], notes: list[str]
) -> bytes:
    """Return what a chapter becomes in a student's folder, and note what a student should see."""
    if not path.exists():
        return content
    theirs = _read(path)
    if theirs is None:
        notes.append(_set_aside(path))
        return content
    merged = merge(ours, theirs, handed_out)
    if merged.replaced:
        notes.append(_set_aside(path))
    notes += [
        f"exercise {number} is another one now; the answer stays" for number in merged.changed
    ]
    return path.read_bytes() if merged.notebook == theirs else packed(merged.notebook)


def _read(path: Path) -> Any:
    """Return a student's notebook; None if it is none, or has lost the ids of its cells."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception:  # nbformat has no error of its own for JSON that is no notebook
        return None
    return notebook if all("id" in cell for cell in notebook.cells) else None


def _set_aside(path: Path) -> str:
    """Keep a file beside itself, before ours is written in its place; returns a note of it."""
    kept, number = path.with_name(f"{path.stem}.yours{path.suffix}"), 1
    while kept.exists() and kept.read_bytes() != path.read_bytes():
        number += 1
        kept = path.with_name(f"{path.stem}.yours-{number}{path.suffix}")
    replace(kept, path.read_bytes())
    return f"changed here and in the course; what stood here is in {kept.name}"


def _remove(path: Path, handed_out: Any) -> None:
    """Remove a file that students get no longer, unless it was changed."""
    if not path.is_file():
        return
    if isinstance(handed_out, dict):
        notebook = _read(path)
        unchanged = notebook is not None and digests(notebook) == handed_out
    else:
        unchanged = _digest(path.read_bytes()) == handed_out
    if unchanged:
        path.unlink()


def packed(notebook: Any) -> bytes:
    """Return a notebook as a file has it."""
    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def replace(path: Path, content: bytes) -> None:
    """Write a file as a whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
