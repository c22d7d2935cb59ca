"""Progress bars that show when something takes over two seconds, and leave nothing behind.

Where nobody looks on, as in a log, there is a line for each phase in their place.
"""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def bar(total: int | None, unit: str, shown: bool = True) -> Iterator[Callable[[], object]]:
    """Give a function to call after each step.

    Parameters
    ----------
    total : int or None
        Steps, if that is known.
    unit : str
        What a step is, for the rate.
    shown : bool
        Without it, nothing is drawn. TQDM_DISABLE in the environment turns all bars off.
    """
    from tqdm.auto import tqdm  # only here: a call alone needs no bar

    # Which tqdm forgets in a notebook.
    quiet = not shown or "TQDM_DISABLE" in os.environ or not _is_watched()
    drawn = tqdm(total=total, unit=unit, delay=2, leave=False, disable=quiet)
    try:
        yield drawn.update
    finally:
        drawn.total = None  # or a notebook would keep a bar that ended early, in red
        drawn.close()


@contextlib.contextmanager
def waiting(
    text: str, limit: float, patience: float = 2.0, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Give a function to call again and again while waiting; it draws the time gone by.

    What the function is called with, if anything, is shown as what is done at the moment.

    Parameters
    ----------
    text : str
        What is being waited for.
    limit : float
        Seconds that it usually takes. Later the bar grows on, ever more slowly.
    patience : float
        Seconds before it appears.
    shown : bool
        Without it, nothing is drawn. TQDM_DISABLE in the environment turns all bars off.
    """
    began = time.monotonic()
    drawn: Any = None
    written = ""
    quiet = not shown or "TQDM_DISABLE" in os.environ or sys.stderr is None

    def tick(phase: str = "") -> None:
        nonlocal drawn, written
        elapsed = time.monotonic() - began
        if elapsed < patience or quiet:
            return
        line = f"{text}, {phase}" if phase else text
        if not _is_watched():
            if line != written:
                print(line, file=sys.stderr, flush=True)
                written = line
            return
        if drawn is None:
            from tqdm.auto import tqdm  # 30 ms, and most waits take less than the patience

            form = "{desc}: {bar} {elapsed_s:.0f} s"  # nobody knows how long it really takes
            drawn = tqdm(total=1.0, leave=False, bar_format=form, mininterval=0.5, miniters=0)
            drawn.start_t -= elapsed
        drawn.set_description_str(line, refresh=False)
        drawn.update(1 - math.exp(-2 * elapsed / limit) - drawn.n)

    try:
        yield tick
    finally:
        if drawn is not None:
            drawn.close()
            _clear_cell()


def _is_watched() -> bool:
    """Whether standard error is a terminal or a notebook's, and no file."""
    return _in_notebook() or (sys.stderr is not None and sys.stderr.isatty())


def _in_notebook() -> bool:
    if not sys.modules.get("IPython"):
        return False
    from IPython import get_ipython  # a notebook has it; elsewhere it may be missing

    return getattr(get_ipython(), "kernel", None) is not None


def _clear_cell() -> None:
    # A notebook would otherwise keep a widget that no longer exists.
    if _in_notebook():
        from IPython import display

        display.clear_output(wait=True)
