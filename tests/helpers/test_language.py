"""The language of sentences: the environment chooses it, and the catalogue has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import language

ROOT = Path(__file__).parent.parent.parent
CODE = """
from helpers.errors import explain
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
ENGLISH = [
    "Fill in the form first.",
    "2 tf.Examples: a int64",
    "The machine answers and nobody listens on this port.",
    "calling AI inference services",
]
CHINESE = ["请先填写表单。", "tf.Example", "这台机器", "推理服务"]


def printed(chosen: str) -> str:
    environment = {**os.environ, "OTW_LANGUAGE": chosen, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def test_explorer_explanations_and_otw_speak_the_language_of_the_environment() -> None:
    english, chinese = printed("en"), printed("zh")
    assert [sentence for sentence in ENGLISH if sentence not in english] == []
    assert [sentence for sentence in CHINESE if sentence not in chinese] == []
    assert [sentence for sentence in ENGLISH if sentence in chinese] == []


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({"OTW_LANGUAGE": "zh"}, "zh_CN"),
        ({"OTW_LANGUAGE": "zh-CN"}, "zh_CN"),
        ({"OTW_LANGUAGE": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_Hans_SG.UTF-8"}, "zh_CN"),
        ({"LANG": "zh_TW.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_language_is_that_of_the_first_variable(
    variables: dict[str, str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTW_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language.chosen() == chosen
