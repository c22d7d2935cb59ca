"""The language of sentences: OTW_LANGUAGE chooses the catalogue from which they come."""

import os
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# A catalogue of nobody's language, for a sentence of the explorer, one of a count, and one of otw.
SENTENCES = {
    "": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n",
    "Fill in the form first.": "Fülle erst das Formular aus.",
    "{count} tf.Example: {features}\0{count} tf.Examples: {features}": "eins\0{count}: {features}",
    "The machine answers and nobody listens on this port.": "Niemand hört zu.",
    "Over the Wire: calling AI inference services.": "Über den Draht.",
}
CODE = """
import sys
from pathlib import Path
from helpers import language
from helpers.errors import explain
language._CATALOGUES = Path(sys.argv[1])
from otw.cli import main
from workbench.explorer.panes import PreviewPane
from workbench.fields import Fields
from workbench.values import examples
try:
    PreviewPane(Fields()).text("curl")
except Exception as error:
    print(error)
print(examples.described([{"a": 1}, {"a": 2}]))
print(explain(ConnectionRefusedError(111, "Connection refused")).means)
main(["--help"])
"""


def compiled(sentences: dict[str, str]) -> bytes:
    """Write a catalogue as msgfmt compiles it: a head, two tables of length and place, texts."""
    pairs = sorted(sentences.items())
    texts = [text.encode() for column in zip(*pairs, strict=True) for text in column]
    at = 28 + 8 * len(texts)
    places = []
    for text in texts:
        places += [len(text), at]
        at += len(text) + 1
    head = (0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    table = struct.pack(f"<{7 + len(places)}I", *head, *places)
    return table + b"".join(text + b"\0" for text in texts)


def printed(catalogues: Path, language: str) -> str:
    environment = {**os.environ, "OTW_LANGUAGE": language, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", CODE, str(catalogues)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout


def test_the_explorer_and_otw_speak_the_language_of_the_environment(tmp_path: Path) -> None:
    folder = tmp_path / "xx" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "otw.mo").write_bytes(compiled(SENTENCES))
    translated = printed(tmp_path, "xx")
    assert translated.startswith("Fülle erst das Formular aus.\n2: a int64\n")
    assert "Über den Draht." in translated
    english = printed(tmp_path, "en")
    assert english.startswith("Fill in the form first.\n2 tf.Examples: a int64\n")
    assert "calling AI inference services" in english
