"""`otw lab` opens the chapters in the reader's language."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import language
from otw import lab, translation

CHAPTER = "notebooks/04-grpc-tensorflow-serving.ipynb"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder to which the chapters in Chinese are written, in place of this clone."""
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    monkeypatch.setenv("OTW_LANGUAGE", "zh")
    language._catalogue.cache_clear()
    yield tmp_path
    language._catalogue.cache_clear()


def test_missing_chapters_are_written_and_what_stands_there_stays(empty: Path) -> None:
    mine = empty / translation.place(CHAPTER)
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    lab._write_chapters()
    assert mine.read_text() == "mine"
    written = {path.relative_to(empty).as_posix() for path in empty.glob("**/*.ipynb")}
    assert written == set(translation.chapters().values())
    assert lab._start() == "notebooks/zh/00-start-here.ipynb"


def test_english_is_opened_where_chinese_cannot_be_written(
    empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty / "notebooks").write_text("a file where a folder should be")
    lab._write_chapters()
    assert "章节写不出来" in capsys.readouterr().err
    assert lab._start() == "notebooks/00-start-here.ipynb"
