"""The engines behind CCAI's services, one module each, loaded when they are first used."""

import importlib.metadata


class EngineFailed(Exception):
    """Raised when an engine cannot answer; the text says why."""


def packaged(package: str, name: str) -> str:
    """Return the path of a file inside a package, which is only looked into and not imported."""
    for file in importlib.metadata.files(package) or []:
        if file.as_posix().endswith(name):
            return str(file.locate())
    raise OSError(f"{name} of the package {package} is missing. Install it again.")
