"""One editor for each input: typed, pasted, uploaded, or made by chance."""

import copy
import functools
import os
from collections.abc import Callable
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput, CallError
from helpers.images import file_bytes
from helpers.tfserving.signatures import TensorSpec
from workbench.explorer.preprocessing import PreprocessingFields
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, status
from workbench.values import pictures
from workbench.values import reading as values
from workbench.values.arrays import fit, is_batched, summary

TYPED = "typed"
PASTED = "pasted table"
UPLOADED = "file"
RANDOM = "random"
FROM_CELL = "given by a cell"
LEFT_OUT = "left out"
_LARGEST = 1_000_000  # of a size


class Editor(w.VBox):
    """What one input is to be; `read` gives the array.

    Parameters
    ----------
    name : str
    spec : TensorSpec
    fields : Fields
    changed : callable
        Called without arguments after each change.
    optional : bool
        Whether the input can be left out.
    """

    def __init__(
        self,
        name: str,
        spec: TensorSpec,
        fields: Fields,
        changed: Callable[[], object],
        *,
        optional: bool = False,
    ) -> None:
        self.name = name
        self.spec = spec
        self.fields: dict[str, list[w.Widget]] = {}  # by source; made when they are first shown
        self.preprocessing: PreprocessingFields | None = None
        self._field = fields
        self._changed = changed
        self._from_cell: Any = None
        self._changes = 0  # counted in the main thread, while another one may be reading
        self._reading: tuple[int, NDArray | CallError | None] = (-1, None)  # of so many changes
        self.source = fields(
            w.Dropdown,
            name[:60],
            f"{name} takes {spec}",
            changed=self._show_source,
            options=_sources(spec, optional),
        )
        self.status = fields.status()
        super().__init__(layout=fields.box)
        self._show_source()

    @functools.cached_property
    def upload(self) -> Upload:
        """The button for files."""
        return Upload(self.name, self._touched, multiple=True)

    def fill(self, value: Any) -> None:
        """Take a value from a cell.

        Parameters
        ----------
        value : array-like, bytes or path
            Bytes are those of a file, as those at a path are. Everything else, text too, is the
            input's value.
        """
        if isinstance(value, bytes | os.PathLike):
            name = os.path.basename(value) if isinstance(value, os.PathLike) else "a cell"
            self.upload.files = [(str(name), file_bytes(value))]
            source = UPLOADED
        else:
            # The caller may go on with its array: what is sent again is to be what was sent.
            changeable = isinstance(value, list | np.ndarray)
            self._from_cell = copy.deepcopy(value) if changeable else value
            source = FROM_CELL
            if source not in self.source.options:
                self.source.options = [*self.source.options, source]
        if self.source.value == source:
            self._touched()
        else:
            self.source.value = source

    def read(self) -> NDArray | None:
        """Return the array, or None when the input is left out; BadInput when there is none."""
        changes, value = self._reading
        if changes != self._changes:
            changes = self._changes  # it may change meanwhile: then this is not the last reading
            try:
                value = self._read()
            except CallError as error:
                value = error
            self._reading = (changes, value)
        if isinstance(value, CallError):
            raise value
        return value

    def check(self) -> bool:
        """Show what is wrong, or dtype and shape of what is right; returns which of both."""
        array = None
        colour = "grey"
        words = "left out: the model has a value of its own"
        try:
            array = self.read()
            if array is not None:
                colour = "green"
                words = summary(array)
        except CallError as error:
            colour = "red"
            words = str(error)
        uploaded = self.source.value == UPLOADED and bool(self.upload.files)
        if uploaded and colour == "green":
            words += f" of {', '.join(name for name, _ in self.upload.files)[:200]}"
        if self.preprocessing:
            is_picture = uploaded and pictures.is_picture(self.upload.files[0][1])
            self.preprocessing.show(array if is_picture else None)
        self.status.value = status(colour, words)
        return colour != "red"

    def _read(self) -> NDArray | None:
        source = self._shown_source
        if source == LEFT_OUT:
            return None
        if source == FROM_CELL:
            return fit(self.name, self._from_cell, self.spec)
        if source == RANDOM:
            *sizes, seed = (field.value for field in self.fields[source])
            if self.spec.shape is None:
                sizes = _shape(sizes[0])
            return values.at_random(self.spec, sizes, seed)
        if source != UPLOADED:
            return values.from_text(self.name, self.fields[source][0].value, self.spec)
        if not self.upload.files:
            raise _no_file(self.name)
        how = self.preprocessing.preprocessing if self.preprocessing else None
        arrays = [values.from_file(self.name, *file, self.spec, how) for file in self.upload.files]
        return arrays[0] if len(arrays) == 1 else self._batch(arrays)

    def _batch(self, arrays: list[NDArray]) -> NDArray:
        if not is_batched(self.spec):
            raise BadInput(
                f"Input {self.name!r} takes {self.spec}: one file, not {len(arrays)}. Choose one."
            )
        try:
            return np.concatenate(arrays)
        except ValueError as error:
            shapes = ", ".join(str(list(array.shape)) for array in arrays[:5])
            raise BadInput(
                f"Input {self.name!r}: the files become arrays of different shapes ({shapes}). "
                "One batch takes files of the same shape. Choose a size to resize pictures to."
            ) from error

    def _show_source(self) -> None:
        """Make the fields of the source chosen; the others are not made before they are wanted."""
        source = self.source.value
        if source not in self.fields:
            self.fields[source] = self._fields_of(source)
        self._shown_source = source  # its fields are there now
        self.children = [self.source, *self.fields[source], self.status]
        self._touched()

    def _fields_of(self, source: str) -> list[w.Widget]:
        field = functools.partial(self._field, changed=self._touched)
        if source in (FROM_CELL, LEFT_OUT):
            return []
        if source == RANDOM:
            sizes = [
                field(
                    w.BoundedIntText,
                    f"Size {axis}",
                    f"Of dimension {axis}, which may be any",
                    value=1,
                    max=_LARGEST,
                )
                for axis in values.ask_sizes(self.spec)
            ]
            if self.spec.shape is None:
                sizes = [field(w.Text, "Shape", "Any, such as 1, 28, 28", value="1")]
            tooltip = "The same seed gives the same numbers"
            return [*sizes, field(w.BoundedIntText, "Seed", tooltip, max=2**31)]
        if source == UPLOADED:
            if suggested := pictures.suggest(self.spec):
                self.preprocessing = PreprocessingFields(suggested, self._field, self._touched)
            return [self.upload, *filter(None, [self.preprocessing])]
        kind = w.Text
        example = "1.5, or [[1, 2], [3, 4]]"
        if source == PASTED:
            kind = w.Textarea
            example = "rows, with commas or tabs"
        return [field(kind, "Value", f"{self.name} takes {self.spec}", placeholder=example)]

    def _touched(self) -> None:
        self._changes += 1
        self._changed()


def untouched(name: str, spec: TensorSpec, *, optional: bool = False) -> NDArray | None:
    """Return what an editor gives that nobody has touched, without making one.

    Raises
    ------
    BadInput
        Where nothing can be given unasked, as for pictures.

    Examples
    --------
    >>> untouched("x", TensorSpec(np.dtype("float32"), (-1, 3))).shape
    (1, 3)
    """
    usual = _sources(spec, optional)[0]
    if usual == LEFT_OUT:
        return None
    if usual == UPLOADED:
        raise _no_file(name)
    if usual == RANDOM:
        axes = values.ask_sizes(spec) if spec.shape is not None else [0]
        return values.at_random(spec, [1] * len(axes))
    return values.from_text(name, "", spec)


def _sources(spec: TensorSpec, optional: bool) -> list[str]:
    """List where an input's value may come from, the usual one first."""
    if pictures.suggest(spec):
        sources = [UPLOADED, RANDOM, PASTED]
    elif spec.dtype.kind == "O":
        sources = [TYPED, PASTED, UPLOADED, RANDOM]
    else:
        sources = [RANDOM, TYPED, PASTED, UPLOADED]
    return [LEFT_OUT, *sources] if optional else sources


def _no_file(name: str) -> BadInput:
    return BadInput(f"Input {name!r} has no file yet. Choose one.")


def _shape(text: str) -> list[int]:
    sizes = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise BadInput(f"A shape is whole numbers, such as 1, 28, 28, not {text!r}.")
    return [int(size) for size in sizes]
