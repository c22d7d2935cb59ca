"""A progress bar that shows only when something takes long, and leaves nothing behind."""

import contextlib
import sys
import time
from collections.abc import Iterator

from practice.state import Tick


@contextlib.contextmanager
def bar(text: str, limit: float, patience: float = 2.0) -> Iterator[Tick]:
    """Give a function to call while waiting; after `patience` seconds it draws a bar.

    Parameters
    ----------
    text : str
        What is being waited for.
    limit : float
        Seconds that fill the bar.
    patience : float
        Seconds before it appears.
    """
    began = time.monotonic()
    shown = None

    def tick() -> None:
        nonlocal shown
        elapsed = time.monotonic() - began
        if elapsed < patience:
            return
        if shown is None:
            from tqdm.auto import tqdm  # 30 ms, and most starts take less than the patience

            form = "{desc}: {bar}"  # no numbers: nobody knows how long it really takes
            shown = tqdm(desc=text, total=limit, leave=False, bar_format=form)
        shown.update(min(elapsed, limit) - shown.n)

    try:
        yield tick
    finally:
        if shown is not None:
            shown.close()
            _clear_cell()


def _clear_cell() -> None:
    # A notebook would otherwise keep a widget that no longer exists.
    if "IPython" not in sys.modules:
        return
    from IPython import display, get_ipython  # a notebook has it; elsewhere it may be missing

    if getattr(get_ipython(), "kernel", None) is not None:
        display.clear_output(wait=True)
