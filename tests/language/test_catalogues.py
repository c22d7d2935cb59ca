"""The catalogues have every text of today's English, and lose nothing of it."""

from pathlib import Path

import polib
import pytest

from otw import translation
from practice.launch import ROOT
from tests.language import messages

FILES = [messages.OTW, *map(translation.catalogue, messages.DOCUMENTS)]


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def catalogue(file: Path) -> polib.POFile:
    return polib.pofile(str(file))


def test_each_text_has_a_translation(file: Path, catalogue: polib.POFile) -> None:
    if file == messages.OTW:
        english = {entry.msgid for entry in messages.of_code()}
    else:
        english = set(translation.messages(messages.DOCUMENTS[FILES.index(file) - 1]))
    translated = {entry.msgid for entry in catalogue if entry.translated()}
    assert english == translated, "make messages, and translate what is empty or fuzzy"


def test_a_translation_loses_nothing(catalogue: polib.POFile) -> None:
    assert not [(entry.msgid, fault) for entry in catalogue for fault in messages.faults(entry)]


def test_documents_in_chinese_are_those_of_the_catalogues() -> None:
    for name, place in translation.documents().items():
        text = (ROOT / place).read_text(encoding="utf-8")
        assert text == translation.made(name, place), "make chinese"
