"""What the notebooks import: endpoints, channels, calls, and the errors they raise."""

import os
from typing import Any

# gRPC would write each failed handshake to the screen as well; it raises an exception anyway.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def load_ipython_extension(shell: Any) -> None:
    """Show errors that nobody catches as cards: `%load_ext helpers`."""
    from helpers.errors.explanations import show_uncaught  # optional: for notebooks only

    shell.set_custom_exc((Exception,), show_uncaught)


def unload_ipython_extension(shell: Any) -> None:
    """Show them as IPython does again: `%unload_ext helpers`."""
    shell.set_custom_exc((), None)
