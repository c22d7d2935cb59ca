"""One editor for each input: typed, pasted, uploaded, or made by chance."""

import copy
import functools
import os
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput, CallError
from helpers.images import file_bytes
from helpers.language import _, plural
from helpers.tfserving.signatures import TensorSpec
from workbench import answers
from workbench.explorer.preprocessing import PreprocessingFields
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, WholeNumber, status
from workbench.values import choices, examples, pictures, strings
from workbench.values import reading as values
from workbench.values.arrays import fit, is_batched, kind, summary

TYPED = "typed"
EXAMPLES = "tf.Examples"
PASTED = "pasted table"
UPLOADED = "file"
RANDOM = "random"
FROM_CELL = "from a cell or an earlier call"
LEFT_OUT = "left out"
_SOME = 64  # of a size that may be any, for random values
_NOTED = 3  # notes beside an input; of more files, the first ones tell enough
_Reading = NDArray | CallError | None
_SHORT = 100  # values; fewer are brought back as text, to be read and changed


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
    seed : int
        Of random values.
    """

    def __init__(
        self,
        name: str,
        spec: TensorSpec,
        fields: Fields,
        changed: Callable[[], object],
        *,
        optional: bool = False,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.spec = spec
        self.fields: dict[str, list[w.Widget]] = {}  # by source; made when they are first shown
        self.preprocessing: PreprocessingFields | None = None
        self.sizes: list[Any] = []  # of random values, or the field of their shape
        self.range: w.Text | None = None  # of random numbers
        self._seed = seed
        self._field = fields
        self._changed = changed
        self._from_cell: Any = None
        self._changes = 0  # counted in the main thread, while another one may be reading
        self._reading: tuple[int, _Reading] = (-1, None)  # of so many changes
        self._notes: dict[str, None] = {}  # what was taken for what in the last reading
        self._sources = _sources(name, spec, optional)
        self.source = fields(
            w.Dropdown,
            name[:60],
            _("{name} takes {spec}", name=name, spec=spec),
            changed=self._show_source,
            options=_labelled(self._sources),
        )
        self.status = fields.status()
        self._shown_source = self.source.value
        self.fields[self._shown_source] = self._fields_of(self._shown_source)
        # With its children from the start: to change them takes one more message to the browser.
        self._shown = self._parts()
        super().__init__(self._shown, layout=fields.box)
        self._touched()

    @functools.cached_property
    def upload(self) -> Upload:
        """The button for files."""
        return Upload(self.name, self._touched, multiple=True)

    @functools.cached_property
    def texts(self) -> w.Dropdown:
        """How several lines become strings; shown where there are several."""
        return self._field(
            w.Dropdown,
            _("Lines"),
            _("Whether a line is a text, or all of them are one"),
            changed=self._touched,
            options=[
                (choices.TEXTS[texts], texts)
                for texts in (choices.LINES, choices.HEADING, choices.WHOLE)
            ],
        )

    def fill(self, value: Any) -> None:
        """Take a value from a cell.

        Parameters
        ----------
        value : array-like, bytes, path, or list of dict
            Bytes are those of a file, as those at a path are. A list of dict is examples, where
            the input takes those. Everything else, text too, is the input's value.
        """
        if EXAMPLES in self._sources and _are_examples(value):
            self._fill_examples(value)
            return
        if isinstance(value, bytes | os.PathLike):
            name = os.path.basename(value) if isinstance(value, os.PathLike) else _("a cell")
            self.upload.files = [(str(name), file_bytes(value))]
            source = UPLOADED
        else:
            # The caller may go on with its array: what is sent again is to be what was sent.
            changeable = isinstance(value, list | np.ndarray)
            self._from_cell = copy.deepcopy(value) if changeable else value
            source = FROM_CELL
            if source not in self._sources:
                self._sources.append(source)
                self.source.options = _labelled(self._sources)
        if self.source.value == source:
            self._touched()
        else:
            self.source.value = source

    def _fill_examples(self, value: Any) -> None:
        text = examples.write(value)
        self.source.value = EXAMPLES
        self.fields[EXAMPLES][0].value = text

    def fill_at_random(self) -> None:
        """Fill in something that can be sent: random values, or an example without features."""
        if "example" in self.name.lower() and EXAMPLES in self._sources:
            self._fill_examples([{}])
            return
        self.source.value = RANDOM
        for field in self.sizes:
            field.value = field.value or ("1" if self.spec.shape is None else str(_SOME))

    def sow(self, seed: int) -> None:
        """Make other random values, if random ones are chosen."""
        self._seed = seed
        self._changes += 1  # what it is part of knows

    def fill_again(self, array: NDArray | None) -> None:
        """Take what was sent before: as text, where it is short and reads as the same."""
        if array is None:
            self.source.value = LEFT_OUT
        elif TYPED in self._sources and (text := self._text(array)):
            self.source.value = TYPED
            self.fields[TYPED][0].value = text
        else:
            self.fill(array)

    def _text(self, array: NDArray) -> str:
        if array.size > _SHORT:
            return ""
        text = answers.raw(array)
        try:
            return text if answers.raw(values.from_text(self.name, text, self.spec)) == text else ""
        except CallError:
            return ""

    def read(self) -> NDArray | None:
        """Return the array, or None when the input is left out; BadInput when there is none."""
        changes, value = self._reading
        if changes != self._changes:
            changes = self._changes  # it may change meanwhile: then this is not the last reading
            self._notes = {}
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
        words = _("left out: the model has a value of its own")
        try:
            array = self.read()
            if array is not None:
                # Random numbers can be sent, but nobody has said that they are meant.
                colour = "grey" if self.source.value == RANDOM else "green"
                words = summary(array)
        except CallError as error:
            colour = "red"
            words = str(error)
        uploaded = self.source.value == UPLOADED and bool(self.upload.files)
        if uploaded and colour == "green":
            files = ", ".join(file[0] for file in self.upload.files)[:200]
            words = _("{summary} of {files}", summary=words, files=files)
        if colour == "green":
            words = "; ".join([words, *list(self._notes)[:_NOTED]])
        if self.preprocessing:
            is_picture = uploaded and pictures.is_picture(self.upload.files[0][1])
            self.preprocessing.show(array if is_picture else None)
        self._show_fields()
        takes = escape(_("takes {spec}", spec=self.spec))
        says_it = colour == "red" and str(self.spec) in words
        beside = "" if says_it else f" <code>{takes}</code>"
        self.status.value = f"{status(colour, words)}{beside}"
        return colour != "red"

    def _read(self) -> NDArray | None:
        source = self._shown_source
        if source == LEFT_OUT:
            return None
        if source == FROM_CELL:
            return fit(self.name, self._from_cell, self.spec)
        if source == RANDOM:
            return self._random()
        if source == EXAMPLES:
            return self._from_text(self.fields[source][0].value, choices.EXAMPLES)
        if source != UPLOADED:
            texts = self.texts.value if self._has_lines() else ""
            return self._from_text(self.fields[source][0].value, texts)
        if not self.upload.files:
            raise _no_file(self.name)
        how = self.preprocessing.preprocessing if self.preprocessing else None
        texts = self.texts.value if self._has_lines() else ""
        arrays = [
            values.from_file(self.name, *file, self.spec, how, texts=texts, note=self._note)
            for file in self.upload.files
        ]
        return arrays[0] if len(arrays) == 1 else self._batch(arrays)

    def _from_text(self, text: str, texts: str) -> NDArray:
        return values.from_text(self.name, text, self.spec, texts=texts, note=self._note)

    def _random(self) -> NDArray:
        if self.spec.shape is None:
            sizes = _shape(self.name, self.sizes[0].value)
        else:
            sizes = _sizes(self.name, self.spec, [field.number for field in self.sizes])
        bounds = _range(self.range.value, self.spec) if self.range else None
        return values.at_random(self.spec, sizes, self._seed, bounds)

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None

    def _has_lines(self) -> bool:
        """Whether what is pasted or uploaded has several lines that can be a text each."""
        if self.spec.dtype.kind != "O" or not strings.takes_several(self.spec):
            return False
        if self._shown_source == UPLOADED:
            return any(
                values.usual_texts(name, self.spec) == choices.LINES and b"\n" in content.strip()
                for name, content in self.upload.files
            )
        text = self.fields[self._shown_source][0].value if self._shown_source == PASTED else ""
        return strings.is_several(text) and not strings.is_list(text)

    def _batch(self, arrays: list[NDArray]) -> NDArray:
        if not is_batched(self.spec):
            raise BadInput(
                _(
                    "Input {name!r} takes {spec}: one file, not {count}. Choose one.",
                    name=self.name,
                    spec=self.spec,
                    count=len(arrays),
                )
            )
        try:
            return np.concatenate(arrays)
        except ValueError as error:
            shapes = ", ".join(str(list(array.shape)) for array in arrays[:5])
            raise BadInput(
                _(
                    "Input {name!r}: the files become arrays of different shapes ({shapes}). "
                    "One batch takes files of the same shape. Choose a size to resize pictures to.",
                    name=self.name,
                    shapes=shapes,
                )
            ) from error

    def _show_source(self) -> None:
        """Make the fields of the source chosen; the others are not made before they are wanted."""
        source = self.source.value
        if source not in self.fields:
            self.fields[source] = self._fields_of(source)
        self._shown_source = source  # its fields are there now
        self._show_fields()
        self._touched()

    def _show_fields(self) -> None:
        """Show the fields of the source, and below them what several lines are."""
        shown = self._parts([self.texts] if self._has_lines() else [])
        if shown != self._shown:
            self._shown = shown
            self.children = shown

    def _parts(self, lines: Sequence[w.Widget] = ()) -> tuple[w.Widget, ...]:
        """Return what is shown: how it is stands above the long part, which is of pictures."""
        fields = self.fields[self._shown_source]
        last = fields[1:] if self._shown_source == UPLOADED else []
        first = [field for field in fields if field not in last]
        return (self.source, *first, *lines, self.status, *last)

    def _fields_of(self, source: str) -> list[w.Widget]:
        field = functools.partial(self._field, changed=self._touched)
        if source in (FROM_CELL, LEFT_OUT):
            return []
        if source == RANDOM:
            return self._random_fields(field)
        if source == EXAMPLES:
            return [examples_field(field)]
        if source == UPLOADED:
            if suggested := pictures.suggest(self.spec):
                self.preprocessing = PreprocessingFields(suggested, self._field, self._touched)
            return [self.upload, *filter(None, [self.preprocessing])]
        kind = w.Text
        example = _("1.5, or [[1, 2], [3, 4]]")
        if source == PASTED:
            kind = w.Textarea
            example = _("rows, with commas or tabs")
        return [
            field(
                kind,
                _("Value"),
                _("{name} takes {spec}", name=self.name, spec=self.spec),
                placeholder=example,
            )
        ]

    def _random_fields(self, field: Callable[..., Any]) -> list[w.Widget]:
        if self.spec.shape is None:
            hint = _("such as 1, 28, 28")
            self.sizes = [field(w.Text, _("Shape"), _("Any"), placeholder=hint)]
        else:
            self.sizes = [
                field(
                    WholeNumber,
                    _("Size {axis}", axis=axis),
                    _("Of dimension {axis}, which may be any", axis=axis),
                    value=_usual_size(self.spec, axis),
                    placeholder=_("any size fits: write one"),
                )
                for axis in values.ask_sizes(self.spec)
            ]
        if bounds := values.usual_bounds(self.spec.dtype):
            tooltip = _("The least and the largest number, such as -1..1")
            usual = f"{bounds[0]:g}..{bounds[1]:g}"
            self.range = field(w.Text, _("Range"), tooltip, value=usual)
        return [*self.sizes, *filter(None, [self.range])]

    def _touched(self) -> None:
        self._changes += 1
        self._changed()


def examples_field(field: Callable[..., Any]) -> Any:
    """Make the field in which `tf.train.Example`s are written."""
    return field(
        w.Textarea,
        _("Examples"),
        _("A list of examples, each with its features"),
        placeholder=_('[{"height": 1.5, "name": "a"}]: numbers, texts, or lists of them'),
    )


def untouched(
    name: str, spec: TensorSpec, *, optional: bool = False, seed: int = 0
) -> NDArray | None:
    """Return what an editor gives that nobody has touched, without making one.

    Raises
    ------
    BadInput
        Where nothing can be given unasked, as for pictures, examples, and sizes that may be any.

    Examples
    --------
    >>> untouched("x", TensorSpec(np.dtype("float32"), (-1, 3))).shape
    (1, 3)
    """
    usual = _sources(name, spec, optional)[0]
    if usual == LEFT_OUT:
        return None
    if usual == UPLOADED:
        raise _no_file(name)
    if usual == RANDOM:
        if spec.shape is None:
            _shape(name, "")
        usual_sizes = [_usual_size(spec, axis) for axis in values.ask_sizes(spec)]
        sizes = _sizes(name, spec, [int(size) if size else None for size in usual_sizes])
        return values.at_random(spec, sizes, seed)
    return values.from_text(name, "", spec, texts=choices.EXAMPLES if usual == EXAMPLES else "")


def _sources(name: str, spec: TensorSpec, optional: bool) -> list[str]:
    """List where an input's value may come from, the usual one first."""
    if pictures.suggest(spec):
        sources = [UPLOADED, RANDOM, PASTED]
    elif spec.dtype.kind == "O":
        sources = [TYPED, PASTED, UPLOADED, RANDOM]
        if examples.can_be(spec):
            sources.insert(0 if "example" in name.lower() else 1, EXAMPLES)
    else:
        sources = [RANDOM, TYPED, PASTED, UPLOADED]
    return [LEFT_OUT, *sources] if optional else sources


def _labelled(sources: list[str]) -> list[tuple[str, str]]:
    """Put before each source how it is called in the reader's language."""
    labels = {
        TYPED: _("typed"),
        EXAMPLES: _("tf.Examples"),
        PASTED: _("pasted table"),
        UPLOADED: _("file"),
        RANDOM: _("random"),
        FROM_CELL: _("from a cell or an earlier call"),
        LEFT_OUT: _("left out"),
    }
    return [(labels[source], source) for source in sources]


def _are_examples(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(example, dict) for example in value)
    )


def _usual_size(spec: TensorSpec, axis: int) -> str:
    """Return 1 for a batch; for other axes nothing: which size is meant nobody has said yet."""
    return "1" if axis == 0 and is_batched(spec) else ""


def _sizes(name: str, spec: TensorSpec, sizes: Sequence[int | None]) -> list[int]:
    """Return the sizes that were written; BadInput when some are missing."""
    missing = [
        str(axis)
        for axis, size in zip(values.ask_sizes(spec), sizes, strict=True)
        if size is None or (size == 0 and not _usual_size(spec, axis))
    ]
    if missing:
        raise BadInput(
            plural(
                "Input {name!r} takes {spec}, of any size in one dimension. Write size {axes}.",
                "Input {name!r} takes {spec}, of any size in {count} dimensions. Write the sizes "
                "{axes}.",
                len(missing),
                name=name,
                spec=spec,
                axes=", ".join(missing),
            )
        )
    return [size for size in sizes if size is not None]


def _range(text: str, spec: TensorSpec) -> tuple[float, float]:
    number = int if kind(spec.dtype) == "i" else float
    try:
        low, high = map(number, text.split(".."))
    except ValueError as error:
        example = "0..255" if number is int else "-1..1"
        raise BadInput(
            _(
                "A range is two numbers, such as {example}, not {text!r}.",
                example=example,
                text=text,
            )
        ) from error
    return low, high


def _no_file(name: str) -> BadInput:
    return BadInput(_("Input {name!r} has no file yet. Choose one.", name=name))


def _shape(name: str, text: str) -> list[int]:
    if not text.strip():
        raise BadInput(
            _("Input {name!r} takes any shape. Write one, such as 1, 28, 28.", name=name)
        )
    sizes = text.replace("[", " ").replace("]", " ").replace(",", " ").split()
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise BadInput(_("A shape is whole numbers, such as 1, 28, 28, not {text!r}.", text=text))
    return [int(size) for size in sizes]
