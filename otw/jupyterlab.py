"""`python -m otw.jupyterlab`: JupyterLab, which ends with the `otw lab` that started it."""

import os
import signal
import sys
import threading

from jupyterlab.labapp import main


def _end_with_parent() -> None:
    """Wait until the pipe from `otw lab` is closed: also SIGKILL does that, on every system."""
    # Not through sys.stdin, whose lock Python would wait for at its end.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(main())
