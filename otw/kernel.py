"""The kernel of `otw explore`: it starts first, so that it and the page's server load together."""

import contextlib
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers.endpoints import Endpoint, headers
from otw.terminal import PASSWORD

VARIABLES = {"password": PASSWORD, "token": "OTW_MODELARTS_TOKEN"}


def environment(endpoint: Endpoint, folder: Path) -> dict[str, str]:
    """Return what a kernel has in its environment: an endpoint's secrets, and this folder.

    What Jupyter and IPython write is kept there.
    """
    own = {name: str(folder / name) for name in ("JUPYTER_DATA_DIR", "IPYTHONDIR")}
    # The kernel works where the command was started, but imports nothing from there.
    return own | {"PYTHONSAFEPATH": "1"} | secrets(endpoint)


def secrets(endpoint: Endpoint) -> dict[str, str]:
    """Return the environment that has an endpoint's secrets, as its notebook reads them."""
    values = {name: getattr(endpoint, field) for field, name in VARIABLES.items()}
    public = endpoint.public().get("headers", {})
    given = dict(endpoint.headers).items()
    values |= {headers.variable(name): value for name, value in given if public[name] != value}
    return {name: value for name, value in values.items() if value}


@contextlib.contextmanager
def started() -> Iterator[subprocess.Popen[bytes]]:
    """Start a kernel, with this process's environment; it ends with the block at the latest.

    It imports what it needs, and becomes a kernel once it reads its connection file's name.
    """
    from jupyter_client.launcher import launch_kernel  # 0.1 s

    with launch_kernel([sys.executable, "-m", __name__], stdin=subprocess.PIPE) as kernel:
        try:
            yield kernel
        finally:
            kernel.kill()


def run() -> None:
    """Be a kernel; not one to debug, nor to remember what it was asked, as the page asks little."""
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # 0.1 s
    gc.disable()  # it looks through all that is imported, again and again: 0.1 s
    from ipykernel import kernelapp

    import workbench.explorer.explorer  # noqa: F401

    gc.enable()
    if connection_file := sys.stdin.readline().strip():  # else nobody is there any more
        kernelapp.launch_new_instance(["-f", connection_file, "--HistoryManager.enabled=False"])


if __name__ == "__main__":
    run()
