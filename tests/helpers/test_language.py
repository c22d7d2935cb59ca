"""The language of sentences: the environment chooses it, and the catalogue has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import practice
from helpers import ccai, channels, endpoints, language
from helpers.errors import CallError, explain

ROOT = Path(__file__).parent.parent.parent
CODE = """
from helpers.endpoints import Endpoint
from helpers.errors import explain
from otw.cli import main
from practice import services
from workbench.explorer.panes import PreviewPane
from workbench.fields import Fields
from workbench.values import examples
try:
    PreviewPane(Fields()).text("curl")
except Exception as error:
    print(error)
for wrong in (lambda: Endpoint("tfserving", grpc="host"), lambda: services.get("ccay")):
    try:
        wrong()
    except Exception as error:
        print(error)
print(examples.described([{"a": 1}, {"a": 2}]))
print(explain(ConnectionRefusedError(111, "Connection refused")).means)
main(["--help"])
"""
ENGLISH = [
    "Fill in the form first.",
    "'host' is not a gRPC address.",
    "Did you mean 'ccai'?",
    "2 tf.Examples: a int64",
    "The machine answers and nobody listens on this port.",
    "calling AI inference services",
]
CHINESE = [
    "请先填写表单。",
    "'host' 不是 gRPC 地址。",
    "你要的是不是 'ccai'？",
    "tf.Example",
    "这台机器",
    "推理服务",
]


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


@pytest.mark.parametrize("forked", [True, False], ids=["after a fork", "of what is no image"])
def test_an_error_of_our_own_is_explained_alike_in_each_language(
    forked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    practice.ready("ccai")
    service = endpoints.load("ccai").replace(retries=1)  # nobody has its channel yet
    if forked:
        monkeypatch.setattr(channels, "_parents_channels", (object(),))
    means = {}
    try:
        for chosen in ("en", "zh"):
            language.choose(chosen)
            channels.forget(service)
            with pytest.raises(CallError) as raised:
                ccai.ocr(service, b"no image", protocol="grpc")
            means[chosen] = explain(raised.value).means
        assert means["zh"] == language._(means["en"])
    finally:
        language.choose("en")


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
