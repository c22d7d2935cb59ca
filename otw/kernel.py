"""The kernel of `otw explore`: it starts first, so that it and the page's server load together."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from helpers.endpoints import Endpoint, headers
from otw.terminal import PASSWORD

VARIABLES = {"password": PASSWORD, "token": "OTW_MODELARTS_TOKEN"}


def environment(endpoint: Endpoint, folder: Path) -> dict[str, str]:
    """Return what a kernel has in its environment: an endpoint's secrets, and this folder.

    What Jupyter and IPython write is kept there.
    """
    kept = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    own = {name: str(folder / name) for name in kept}
    # The kernel works where the command was started, but imports nothing from there.
    # NumPy's threads for linear algebra spin while they wait, and the explorer has no use for them.
    own |= {"OPENBLAS_NUM_THREADS": "1"}
    return own | {"PYTHONSAFEPATH": "1"} | secrets(endpoint)


def secrets(endpoint: Endpoint) -> dict[str, str]:
    """Return the environment that has an endpoint's secrets, as its notebook reads them."""
    values = {name: getattr(endpoint, field) for field, name in VARIABLES.items()}
    public = endpoint.public().get("headers", {})
    given = dict(endpoint.headers).items()
    values |= {headers.variable(name): value for name, value in given if public[name] != value}
    return {name: value for name, value in values.items() if value}


@contextlib.contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a kernel, with this process's environment; it ends with the block at the latest.

    Its last argument is the connection file, in this folder.
    """
    import zmq
    from jupyter_client.connect import write_connection_file
    from jupyter_client.launcher import launch_kernel  # 0.1 s

    public, secret = zmq.curve_keypair()
    file, _ = write_connection_file(
        str(folder / "kernel.json"),
        key=token_hex().encode(),
        curve_publickey=public,
        curve_secretkey=secret,
    )
    command = [sys.executable, "-m", __name__, "-f", file]
    with launch_kernel(command, stdin=subprocess.PIPE) as kernel:
        try:
            yield kernel
        finally:
            kernel.kill()


def run() -> None:
    """Be a kernel; not one to debug, nor to remember what it was asked, as the page asks little."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # 0.1 s
    gc.disable()  # it looks through all that is imported, again and again: 0.1 s
    from ipykernel import kernelapp

    import workbench.explorer.explorer  # noqa: F401

    gc.enable()
    kernelapp.launch_new_instance([*sys.argv[1:], "--HistoryManager.enabled=False"])


def _end_with_parent() -> None:
    """Wait until the pipe from `otw explore` is closed: also SIGKILL does that, on every system."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    run()
