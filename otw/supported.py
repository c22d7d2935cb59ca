"""Where Over the Wire can be installed: `make` runs this file before it makes an environment.

Here is nothing but the standard library, and `python otw/supported.py` needs no installation. An
old Python must be able to read it, too.
"""

from __future__ import annotations

import platform
import sys
import sysconfig

if __name__ == "__main__":  # nothing is installed yet, so there is no other language

    def _(sentence: str, **values: object) -> str:
        return sentence.format(**values) if values else sentence
else:
    from helpers.language import _  # type: ignore[assignment]

PYTHONS = ((3, 11), (3, 12), (3, 13))


def problem(command: str = "") -> str | None:
    """Say why nothing can be installed on this machine.

    Parameters
    ----------
    command : str, optional
        The command that names another Python, such as `make lab`.

    Returns
    -------
    str or None
        What is there, what is needed and what to do; None where all packages have wheels.
    """
    return _python(command) or _system()


def _python(command: str) -> str | None:
    version = platform.python_version()
    if platform.python_implementation() != "CPython" or sys.version_info[:2] not in PYTHONS:
        advice = _("Take another one.")
        if command:
            advice = _("Name another one: {command} PYTHON=python3.12", command=command)
        return _(
            "Over the Wire needs Python 3.11, 3.12 or 3.13 (CPython); {path} is {implementation} "
            "{version}. {advice}",
            path=sys.executable,
            implementation=platform.python_implementation(),
            version=version,
            advice=advice,
        )
    return None


def _system() -> str | None:
    system, found = platform.system(), sysconfig.get_platform()
    machine = platform.machine()
    if system == "Windows":
        good = found == "win-amd64"  # also on ARM, where Windows runs a Python made for x86-64
    elif system == "Darwin":
        release = platform.mac_ver()[0]
        found = _("macOS {release} on {machine}", release=release, machine=machine)
        good = machine == "arm64" and int(release.partition(".")[0]) >= 14
    else:
        library, release = platform.libc_ver()
        numbers = tuple(int(part) for part in release.split(".") if part.isdecimal())
        good = system == "Linux" and library == "glibc" and numbers >= (2, 28)
        good &= machine == "x86_64" or (machine == "aarch64" and sys.version_info[:2] != (3, 12))
        found = _(
            "{system} on {machine} with {library} and Python {version}",
            system=system,
            machine=machine,
            library=f"{library} {release}" if library else _("another C library than glibc"),
            version=platform.python_version(),
        )
    if good:
        return None
    return _(
        "Over the Wire runs on Windows on x86-64, macOS 14 or later on Apple silicon, and Linux "
        "with glibc 2.28 or later on x86-64 or ARM64 (ARM64 not with Python 3.12). This is "
        "{system}: packages are missing for it.",
        system=found,
    )


if __name__ == "__main__":
    sys.exit(problem(" ".join(["make", *sys.argv[1:]]) if sys.argv[1:] else ""))
