"""`python -m otw.jupyterlab`: JupyterLab, which ends with the `otw lab` that started it."""

import contextlib
import os
import signal
import sys
import threading

from jupyterlab.labapp import main


def _end_with_parent(parent: int) -> None:
    """Wait until the pipe from `otw lab` is closed: also SIGKILL does that, on every system."""
    # Not through sys.stdin, whose lock Python would wait for at its end.
    while os.read(0, 4096):
        pass
    _leave(parent)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(parent: int) -> None:
    """Give back the lease of the `otw lab` that was killed: the last one stops the services."""
    from practice import manager, state  # JupyterLab opens sooner without them

    with contextlib.suppress(state.PracticeError, OSError):
        manager.leave_lab(manager.lease(parent))


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.exit(main())
