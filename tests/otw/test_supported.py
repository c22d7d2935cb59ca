"""Where nothing can be installed, the first step says what can."""

import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from otw import supported

FILE = Path(supported.__file__)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Return a function that makes this machine another one."""

    def become(
        system: str, processor: str, tag: str, *, mac: str = "", libc=("", ""), python=(3, 13)
    ) -> None:
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: processor)
        monkeypatch.setattr(platform, "mac_ver", lambda: (mac, ("", "", ""), processor))
        monkeypatch.setattr(platform, "libc_ver", lambda: libc)
        monkeypatch.setattr(sysconfig, "get_platform", lambda: tag)
        monkeypatch.setattr(sys, "version_info", python)

    return become


def test_this_machine_is_supported() -> None:
    assert supported.problem() is None
    assert subprocess.run([sys.executable, "-I", FILE, "lab"], capture_output=True).stderr == b""


@pytest.mark.parametrize(
    "wanted",
    [
        {"system": "Windows", "processor": "AMD64", "tag": "win-amd64"},
        {"system": "Windows", "processor": "ARM64", "tag": "win-amd64"},
        {"system": "Darwin", "processor": "arm64", "tag": "macosx-11.0-universal2", "mac": "14.7"},
        {"system": "Darwin", "processor": "arm64", "tag": "macosx-26.0-arm64", "mac": "26.1"},
        {
            "system": "Linux",
            "processor": "x86_64",
            "tag": "linux-x86_64",
            "libc": ("glibc", "2.28"),
        },
        {
            "system": "Linux",
            "processor": "aarch64",
            "tag": "linux-aarch64",
            "libc": ("glibc", "2.41"),
        },
    ],
)
def test_a_system_with_wheels(machine, wanted: dict) -> None:
    machine(**wanted)
    assert supported.problem() is None


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"system": "Windows", "processor": "ARM64", "tag": "win-arm64"}, "win-arm64"),
        ({"system": "Windows", "processor": "x86", "tag": "win32"}, "win32"),
        (
            {"system": "Darwin", "processor": "x86_64", "tag": "macosx-14.0-x86_64", "mac": "14.7"},
            "macOS 14.7 on x86_64",
        ),
        (
            {"system": "Darwin", "processor": "arm64", "tag": "macosx-13.0-arm64", "mac": "13.6"},
            "macOS 13.6 on arm64",
        ),
        (
            {
                "system": "Linux",
                "processor": "x86_64",
                "tag": "linux-x86_64",
                "libc": ("glibc", "2.17"),
            },
            "Linux on x86_64 with glibc 2.17",
        ),
        (
            {"system": "Linux", "processor": "x86_64", "tag": "linux-x86_64"},
            "another C library than glibc",
        ),
        (
            {
                "system": "Linux",
                "processor": "aarch64",
                "tag": "linux-aarch64",
                "libc": ("glibc", "2.41"),
                "python": (3, 12),
            },
            "Linux on aarch64 with glibc 2.41 and Python",
        ),
        ({"system": "FreeBSD", "processor": "amd64", "tag": "freebsd-14"}, "FreeBSD on amd64"),
    ],
)
def test_a_system_without_wheels_is_named_with_those_that_have_them(
    machine, wanted: dict, said: str
) -> None:
    machine(**wanted)
    problem = supported.problem()
    assert problem is not None
    assert said in problem
    assert "macOS 14 or later on Apple silicon" in problem


def test_another_python_is_asked_for_in_the_words_of_make(machine) -> None:
    machine("Linux", "x86_64", "linux-x86_64", libc=("glibc", "2.41"), python=(3, 10))
    problem = supported.problem("make lab")
    assert problem is not None
    assert "needs Python 3.11, 3.12 or 3.13" in problem
    assert "Name another one: make lab PYTHON=python3.12" in problem
