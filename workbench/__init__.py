"""What one looks and measures with: the panel, plots, timings, the wire, the explorer."""

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """Show errors that nobody catches as cards: `%load_ext workbench`."""
    from workbench.cards import show_uncaught  # optional: for notebooks only

    shell.set_custom_exc((Exception,), show_uncaught)


def unload_ipython_extension(shell: Any) -> None:
    """Show them as IPython does again: `%unload_ext workbench`."""
    shell.set_custom_exc((), None)
