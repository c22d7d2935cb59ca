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
from workbench.explorer.adjusting import Adjusting
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, status
from workbench.values import pictures
from workbench.values import reading as values
from workbench.values.arrays import fit, is_batched, summary

TYPED, PASTED, UPLOADED, RANDOM = "typed", "pasted table", "file", "random"
GIVEN, LEFT_OUT = "given by a cell", "left out"
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
        self.name, self.spec, self._field, self._changed = name, spec, fields, changed
        self._given: Any = None
        self._changes = 0  # counted in the main thread, while another one may be reading
        self._known: tuple[int, NDArray | CallError | None] = (-1, None)
        self._made: dict[str, list[w.Widget]] = {}
        self._adjusting: Adjusting | None = None
        self._suggested = pictures.suggest(spec)
        ways = _ways(spec, optional)
        self.way = fields(w.Dropdown, name[:60], f"{name} takes {spec}", options=ways)
        self.told = fields(w.HTML, " ", "")
        super().__init__(layout=fields.box)
        self.way.observe(lambda _: self._show_way(), "value")
        self._show_way()

    @functools.cached_property
    def _upload(self) -> Upload:
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
            self._upload.files = [(str(name), file_bytes(value))]
            self._switch(UPLOADED)
            return
        # The caller may go on with its array: what is sent again is to be what was sent.
        self._given = copy.deepcopy(value) if isinstance(value, list | np.ndarray) else value
        if GIVEN not in self.way.options:
            self.way.options = [*self.way.options, GIVEN]
        self._switch(GIVEN)

    def read(self) -> NDArray | None:
        """Return the array, or None when the input is left out; BadInput when there is none."""
        changes, found = self._known
        if changes != self._changes:
            changes = self._changes  # it may change meanwhile: then this is not the last reading
            try:
                found = self._read()
            except CallError as error:
                found = error
            self._known = changes, found
        if isinstance(found, CallError):
            raise found
        return found

    def check(self) -> bool:
        """Show what is wrong, or dtype and shape of what is right; returns which of both."""
        array, words, colour = None, "left out: the model has a value of its own", "grey"
        try:
            array = self.read()
            if array is not None:
                words, colour = summary(array), "green"
        except CallError as error:
            words, colour = str(error), "red"
        if self.way.value == UPLOADED and self._upload.files and colour == "green":
            words += f" of {', '.join(name for name, _ in self._upload.files)[:200]}"
        if self._adjusting:
            uploaded = self.way.value == UPLOADED and self._is_picture()
            self._adjusting.show(array if uploaded else None)
        self.told.value = status(colour, words)
        return colour != "red"

    def _read(self) -> NDArray | None:
        way = self._way
        if way == LEFT_OUT:
            return None
        if way == GIVEN:
            return fit(self.name, self._given, self.spec)
        if way == RANDOM:
            *asked, seed = (field.value for field in self._made[way])
            sizes = _shape(asked[0]) if self.spec.shape is None else asked
            return values.at_random(self.spec, sizes, seed)
        if way != UPLOADED:
            return values.from_text(self.name, self._made[way][0].value, self.spec)
        if not self._upload.files:
            raise _no_file(self.name)
        how = self._adjusting.preprocessing if self._adjusting else None
        read = [values.from_file(self.name, *each, self.spec, how) for each in self._upload.files]
        return read[0] if len(read) == 1 else self._batch(read)

    def _batch(self, arrays: list[NDArray]) -> NDArray:
        if not is_batched(self.spec):
            raise BadInput(
                f"Input {self.name!r} takes {self.spec}: one file, not {len(arrays)}. Choose one."
            )
        try:
            return np.concatenate(arrays)
        except ValueError as error:
            shapes = ", ".join(str(list(each.shape)) for each in arrays[:5])
            raise BadInput(
                f"Input {self.name!r}: the files become arrays of different shapes ({shapes}). "
                "One batch takes files of the same shape. Choose a size to resize pictures to."
            ) from error

    def _is_picture(self) -> bool:
        return bool(self._upload.files) and pictures.is_picture(self._upload.files[0][1])

    def _switch(self, way: str) -> None:
        if self.way.value == way:
            self._touched()
        else:
            self.way.value = way

    def _show_way(self) -> None:
        """Make the fields of the way chosen; the others are not made before they are wanted."""
        way = self.way.value
        if way not in self._made:
            make = {
                UPLOADED: self._upload_fields,
                RANDOM: self._random_fields,
                GIVEN: list,
                LEFT_OUT: list,
            }
            self._made[way] = make.get(way, self._text_fields)()
        self._way = way  # its fields are there now
        self.children = [self.way, *self._made[way], self.told]
        self._touched()

    def _text_fields(self) -> list[w.Widget]:
        many = self.way.value == PASTED
        field = self._field(
            w.Textarea if many else w.Text,
            "Value",
            f"{self.name} takes {self.spec}",
            placeholder="rows, with commas or tabs" if many else "1.5, or [[1, 2], [3, 4]]",
        )
        return self._watched(field)

    def _upload_fields(self) -> list[w.Widget]:
        if self._suggested:
            self._adjusting = Adjusting(self._suggested, self._field, self._touched)
        return [self._upload, *filter(None, [self._adjusting])]

    def _random_fields(self) -> list[w.Widget]:
        asked = [
            self._field(
                w.BoundedIntText,
                f"Size {axis}",
                f"Of dimension {axis}, which may be any",
                value=1,
                min=0,
                max=_LARGEST,
            )
            for axis in values.ask_sizes(self.spec)
        ]
        if self.spec.shape is None:
            asked = [self._field(w.Text, "Shape", "Any, such as 1, 28, 28", value="1")]
        seed = self._field(
            w.BoundedIntText, "Seed", "The same seed gives the same numbers", min=0, max=2**31
        )
        return self._watched(*asked, seed)

    def _watched(self, *fields: w.Widget) -> list[w.Widget]:
        for field in fields:
            field.observe(lambda _: self._touched(), "value")
        return list(fields)

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
    match _ways(spec, optional)[0]:
        case "left out":
            return None
        case "random":
            axes = values.ask_sizes(spec) if spec.shape is not None else [0]
            return values.at_random(spec, [1] * len(axes))
        case "file":
            raise _no_file(name)
    return values.from_text(name, "", spec)


def _ways(spec: TensorSpec, optional: bool) -> list[str]:
    """List the ways to give an input, the usual one first."""
    ways = [RANDOM, TYPED, PASTED, UPLOADED]
    if pictures.suggest(spec):
        ways = [UPLOADED, RANDOM, PASTED]
    elif spec.dtype.kind == "O":
        ways = [TYPED, PASTED, UPLOADED, RANDOM]
    return [LEFT_OUT, *ways] if optional else ways


def _no_file(name: str) -> BadInput:
    return BadInput(f"Input {name!r} has no file yet. Choose one.")


def _shape(text: str) -> list[int]:
    sizes = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise BadInput(f"A shape is whole numbers, such as 1, 28, 28, not {text!r}.")
    return [int(size) for size in sizes]
