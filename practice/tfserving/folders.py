"""Which folders a service for one user loads models from: what a model does, this user does."""

import os
from collections.abc import Iterator
from typing import Any

from practice.tfserving.failures import Failure


class Folders:
    """Those that a service was started with, as far as they are its user's.

    Parameters
    ----------
    server_config : ModelServerConfig
        What it was started with.
    """

    def __init__(self, server_config: Any) -> None:
        bases = [model.base_path for model in server_config.model_config_list.config]
        # A version may be a link: `otw serve` lays out a model that lies elsewhere.
        self._real = {os.path.realpath(path) for base in bases for path in (base, *_entries(base))}
        # Who could change this very file, or is root, needs no model to run a program here.
        self._owners = {0, os.stat(__file__).st_uid}
        if hasattr(os, "geteuid"):
            self._owners.add(os.geteuid())

    def check_place(self, path: str) -> None:
        """Raise Failure for a folder that is, behind all links, in none of those."""
        real = os.path.realpath(path)
        if not any(real == own or real.startswith(os.path.join(own, "")) for own in self._real):
            raise Failure(
                "PERMISSION_DENIED",
                f"{path} is none of the folders that this service was started with. Start one of "
                "your own with it: otw serve, or practice.private.",
            )

    def check(self, folder: str) -> None:
        """Raise Failure for a version that lies elsewhere, or holds a file of another user."""
        self.check_place(folder)
        for path in (folder, *_below(folder)):
            # A link is its maker's, whoever has what it leads to.
            for owner in {os.lstat(path).st_uid, os.stat(path).st_uid} - self._owners:
                raise Failure(
                    "PERMISSION_DENIED",
                    f"{path} belongs to another user, {owner}, whose programs would run as you. "
                    "If you trust the model, copy it into a folder of your own and serve that.",
                )


def _entries(base: str) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(base)]
    except OSError:  # it may come later
        return []


def _below(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        for name in (*folders, *files):
            yield os.path.join(parent, name)
