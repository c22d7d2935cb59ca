"""A button to choose files; what was chosen stays in the kernel's memory."""

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

from helpers.language import _

File = tuple[str, bytes]


class Upload(w.FileUpload):
    """A FileUpload whose files are not stored with the notebook.

    Parameters
    ----------
    purpose : str
        What the files are for.
    changed : callable
        Called without arguments after each change.
    multiple : bool
        Whether several files can be chosen at once.
    """

    def __init__(
        self, purpose: str, changed: Callable[[], object], *, multiple: bool = False
    ) -> None:
        super().__init__(
            description=_("Choose files") if multiple else _("Choose a file"),
            multiple=multiple,
            tooltip=_("For {purpose}", purpose=purpose),
            layout=w.Layout(margin="0 0 0 9.5em", width="12em"),
        )
        self._files: list[File] = []
        self._changed = changed
        self.observe(self._take, "value")

    @property
    def files(self) -> list[File]:
        """Names and contents."""
        return self._files

    @files.setter
    def files(self, files: Sequence[File]) -> None:
        self._files = list(files)
        # The button says how many there are. Their contents would be stored with the notebook.
        about = {"type": "", "content": b"", "last_modified": datetime.datetime.now().astimezone()}
        self.unobserve(self._take, "value")
        self.value = [{"name": name, "size": len(data), **about} for name, data in self._files]
        self.observe(self._take, "value")

    @property
    def content(self) -> bytes:
        """The bytes of the first file; empty when there is none."""
        return self.files[0][1] if self.files else b""

    def take(self, files: Sequence[File]) -> None:
        """Take files as names and contents."""
        self.files = list(files)
        self._changed()

    def _take(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self.take([(file["name"], bytes(file["content"])) for file in change["new"]])
