"""A progress bar that shows when something takes over two seconds, and leaves nothing behind."""

import contextlib
import os
from collections.abc import Callable, Iterator


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

    quiet = not shown or "TQDM_DISABLE" in os.environ  # which tqdm forgets in a notebook
    drawn = tqdm(total=total, unit=unit, delay=2, leave=False, disable=quiet)
    try:
        yield drawn.update
    finally:
        drawn.total = None  # or a notebook would keep a bar that ended early, in red
        drawn.close()
