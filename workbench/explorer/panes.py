"""What is below the form: the call as code, the answer, and the calls so far."""

import dataclasses
import datetime
import functools
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as w
import numpy as np

from helpers.errors import BadInput, explain
from helpers.language import _, plural
from workbench import answers
from workbench.answers import drawings, labels
from workbench.answers.detections import SURE
from workbench.code.previews import CURL, GRPC, JSON, PROTOCOLS, REQUESTS, TITLES, Preview
from workbench.explorer import export
from workbench.explorer.calls import Record, joined, status_word
from workbench.explorer.comparison import are_arrays, difference
from workbench.explorer.frame import style_with
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, button, scrolling, status
from workbench.watching import PARTS

KEPT = 256 * 1024 * 1024  # bytes of what was sent and answered; of older calls only their row
_NUMBER = 8  # bytes, about
_UNTITLED = ("boxes", "image", "sound", "series", "text")  # parts that do not say their name
_LISTED = 100  # calls to choose from; the CSV has all
_BUTTON = "lm-Widget jupyter-widgets jupyter-button widget-button"
# A page that came over plain HTTP from elsewhere has no clipboard: there the code is selected.
_COPY = (
    "const code = this.parentNode.querySelector('code');"
    "if (navigator.clipboard) {"
    " navigator.clipboard.writeText(code.textContent);"
    " this.textContent = this.dataset.copied }"
    "else getSelection().selectAllChildren(code)"
)

_NAME_SLIDER = """
const handle = this.closest('.otw-answers').querySelector('[role=slider]');
handle.setAttribute('aria-label', handle.closest('.widget-slider').textContent.split(/[0-9]/)[0]);
"""


class PreviewPane(w.VBox):
    """A call as code to copy; files beside it are written when asked for."""

    def __init__(self, fields: Fields) -> None:
        self._preview = Preview({}, {}, {})
        self._count = 1
        self._warned = False  # that a file would be replaced
        self.title = fields(
            w.Dropdown,
            _("The same call as"),
            _("How the call is written"),
            changed=self._show,
            options=[
                (_("Python with grpc"), GRPC),
                (_("Python with requests"), REQUESTS),
                (CURL, CURL),
                (JSON, JSON),
            ],
        )
        self.code = fields.html()
        self.save = button(_("Save files"), _("Write the files that it reads"), self._save)
        self.saved = fields.html()
        super().__init__([self.title, self.code])

    def show(self, preview: Preview, count: int = 1) -> None:
        """Show another call, the first one of so many."""
        self._preview = preview
        self._count = count
        self._warned = False
        self.saved.value = ""
        if preview.code and self.title.value not in preview.code:
            self.title.value = next(title for title in TITLES if title in preview.code)
        self._show()

    def text(self, title: str) -> str:
        """Return the code under a title; BadInput when there is none, with the reason."""
        if title not in TITLES:
            raise BadInput(
                _(
                    "There is no {title!r}; there are: {titles}.",
                    title=title,
                    titles=", ".join(TITLES),
                )
            )
        if title not in self._preview.code:
            raise BadInput(self._reason(title))
        return self._preview.code[title]

    def _reason(self, title: str) -> str:
        return self._preview.reasons.get(title, _("Fill in the form first."))

    def _show(self) -> None:
        title = self.title.value
        code = self._preview.code.get(title)
        if code is None:
            self.code.value = escape(self._reason(title))
        else:
            first = ""
            if self._count > 1:
                words = _("This is the first of {count} calls.", count=self._count)
                first = f"<p>{escape(words)}</p>"
            copy = escape(_("Copy"))
            copied = escape(_("Copied"))
            self.code.value = (
                f"{first}<div class='otw-code'><button class='{_BUTTON}' "
                f"data-copied='{copied}' onclick=\"{_COPY}\">{copy}</button>"
                f"{scrolling(f'<code>{escape(code)}</code>')}</div>"
            )
        names = ", ".join(self._files())
        self.save.description = _("Save {names}", names=names)[:60]
        self.children = [self.title, self.code, *([self.save, self.saved] if names else [])]

    def _save(self) -> None:
        contents = {name: content() for name, content in self._files().items()}
        try:
            others = [name for name, content in contents.items() if _is_other(name, content)]
            if others and not self._warned:
                self._warned = True
                words = plural(
                    "{names} would be replaced. Press again to replace it.",
                    "{names} would be replaced. Press again to replace them.",
                    len(others),
                    names=", ".join(others),
                )
                self.saved.value = status("red", words)
                return
            for name, content in contents.items():
                Path(name).write_bytes(content)
        except OSError as error:
            self.saved.value = status("red", _("Not saved: {why}.", why=error.strerror))
            return
        self.saved.value = status(
            "green", _("Saved in the folder {folder}.", folder=Path.cwd().name)
        )

    def _files(self) -> dict[str, Callable[[], bytes]]:
        """Return the files that the code reads which is shown, or that stand for it."""
        title = self.title.value
        text = self._preview.code.get(title) or self._reason(title)
        return {name: content for name, content in self._preview.files.items() if name in text}


def _is_other(name: str, content: bytes) -> bool:
    """Whether there is a file of this name, with other content."""
    if not Path(name).exists():
        return False
    with open(name, "rb") as file:
        return file.read(len(content) + 1) != content


class AnswerPane(w.VBox):
    """What was answered, by what it is; or why there is no answer.

    Parameters
    ----------
    fields : Fields
    later : callable
        Given a function, calls it off the kernel's main thread.
    """

    def __init__(self, fields: Fields, later: Callable[[Callable[[], None]], None]) -> None:
        self._records: Sequence[Record] = ()
        self._names: list[str] = []
        self._fields = fields
        self._later = later
        self.html = fields.html()
        super().__init__([self.html])

    # Made where an answer has use for them: few have.
    @functools.cached_property
    def sure(self) -> w.FloatSlider:
        """From which score on boxes are drawn."""
        return self._fields(
            w.FloatSlider,
            _("Score"),
            _("Boxes of a lower score are not drawn"),
            changed=lambda: self._later(self._draw),
            value=SURE,
            max=1.0,
            step=0.05,
            continuous_update=False,
        )

    @functools.cached_property
    def scores(self) -> w.HBox:
        """The slider, with the name that ipywidgets does not give it: a reader says a number."""
        return self._fields.beside(self.sure, self._fields.html(style_with(_NAME_SLIDER)))

    @functools.cached_property
    def labels(self) -> Upload:
        """The button for a label file."""
        made = Upload(_("the classes' names"), lambda: self._later(self._take_names))
        made.description = _("Label file")
        made.layout = w.Layout(width="10em")
        return made

    @functools.cached_property
    def named(self) -> w.HTML:
        """What came of the label file."""
        return self._fields.html()

    @functools.cached_property
    def names(self) -> w.HBox:
        """The button, and what came of it."""
        return self._fields.row(self.labels, self.named)

    def clear(self) -> None:
        """Show nothing, and forget the names of the classes: another model has others."""
        self._records = ()
        self._names = []
        if "named" in vars(self):
            self.named.value = ""
        self.html.value = ""
        self.children = [self.html]

    def fail(self, error: Exception) -> None:
        """Show why there was no call."""
        self.html.value = explain(error)._repr_html_()

    def show(self, records: Sequence[Record]) -> None:
        """Show what came of calls that belong together: parts of a batch, or both protocols."""
        self._records = records
        self._draw()

    def _draw(self) -> None:
        records = self._records
        by_protocol: dict[str, list[Record]] = {}
        for record in records:
            by_protocol.setdefault(record.protocol, []).append(record)
        targets = dict.fromkeys(record.request.target for record in records)
        both = _(" and ")  # between two targets
        parts = [f"<p>{escape(both.join(targets))}</p>"]
        parts += [explain(record.error)._repr_html_() for record in records if record.error]
        if any(record.status == "cancelled" for record in records):
            words = _("Cancelled: nobody waits for the answer.")
            parts.append(f"<p>{escape(words)}</p>")
        answered = [
            joined(calls)
            for calls in by_protocol.values()
            if all(call.status == "OK" for call in calls)
        ]
        if len(answered) == 2:
            parts.append(f"<p>{escape(difference(answered[0][1], answered[1][1]))}</p>")
        kinds = set()
        if answered:
            payload, answer = answered[0]
            sure = self.sure.value if "sure" in vars(self) else SURE
            shown = answers.show(answer, payload, self._names, sure)
            kinds = {part.kind for part in shown}
            parts += _written(shown, answer)
        # Faces and pieces of text have boxes without a score: those answers are lists.
        scored = ["boxes"] if answered and isinstance(answered[0][1], Mapping) else []
        fields: list[w.Widget] = [self.scores] if kinds.intersection(scored) else []
        fields += [self.names] if kinds.intersection(["scores", *scored]) else []
        self.children = [*fields, self.html]
        self.html.value = "".join([*parts, _times(by_protocol)])

    def _take_names(self) -> None:
        try:
            self._names = labels.read(self.labels.content)
        except BadInput as error:
            self.named.value = status("red", str(error))
            return
        words = plural("{count} name", "{count} names", len(self._names))
        self.named.value = status("green", words)
        self._draw()


def _written(shown: Sequence[answers.Part], answer: Any) -> list[str]:
    """Write an answer by what it is, then its arrays, then all of it as JSON."""
    parts = []
    for part in shown:
        if part.kind in _UNTITLED:
            parts.append(f"<h4 style='margin:0'>{escape(part.title)}</h4>")
        parts.append(part.html)
    if are_arrays(answer):
        opened = "" if parts else " open"
        summary = escape(_("Arrays"))
        table = answers.table(answer)
        parts.append(f"<details{opened}><summary>{summary}</summary>{table}</details>")
    try:
        json = answers.raw(answer)
    except Exception as error:  # a server may send anything
        json = _("This cannot be written as JSON: {error}", error=error)
    summary = escape(_("As JSON"))
    return [*parts, f"<details><summary>{summary}</summary>{scrolling(escape(json))}</details>"]


def _times(by_protocol: Mapping[str, Sequence[Record]]) -> str:
    """Write where the time went, as a table; of several calls, the sums."""
    sums: dict[str, Counter[str]] = {}
    for protocol, records in by_protocol.items():
        sums[protocol] = Counter()
        for record in records:
            sums[protocol].update(record.seconds)
    parts = [part for part in PARTS if any(part in seconds for seconds in sums.values())]
    rows = []
    for protocol, seconds in sums.items():
        cells = [f"{1000 * seconds[part]:.1f}" if part in seconds else "" for part in parts]
        total = f"{1000 * seconds.total():.1f}"
        rows.append([PROTOCOLS[protocol], str(len(by_protocol[protocol])), *cells, total])
    head = [_("protocol"), _("calls"), *map(_part, parts), _("total")]
    return drawings.grid(_("Where the time went, in milliseconds"), head, rows)


def _part(name: str) -> str:
    """Return how a part of a call is called in the reader's language."""
    names = {
        "encode": _("encode"),
        "connect": _("connect"),
        "send": _("send"),
        "wait": _("wait"),
        "receive": _("receive"),
        "decode": _("decode"),
    }
    return names[name]


class HistoryPane(w.VBox):
    """Every call so far: bring its inputs and answer back, send it again, export all as files.

    Parameters
    ----------
    fields : Fields
    later : callable
        Given a function, calls it off the kernel's main thread.
    look : callable
        Given a record, shows its inputs and its answer.
    send : callable
        Given a record, sends its request again.
    """

    def __init__(
        self,
        fields: Fields,
        later: Callable[[Callable[[], None]], None],
        look: Callable[[Record], None],
        send: Callable[[Record], None],
    ) -> None:
        self.records: list[Record] = []
        self._sizes: list[int] = []
        self._listed: deque[tuple[str, int]] = deque(maxlen=_LISTED)  # the last one first
        self.calls = fields(w.Dropdown, _("Calls"), _("The calls so far, the last one first"))
        self.show = button(
            _("Show"),
            _("Fill in what was sent, and show what came of it"),
            lambda: later(lambda: self._with_chosen(look)),
        )
        self.again = button(
            _("Send again"),
            _("The same inputs to the same place"),
            lambda: later(lambda: self._with_chosen(send)),
        )
        self.export = button(
            _("Export"),
            _("Write all inputs and outputs as files, and a table of the calls"),
            lambda: later(self._export),
        )
        self.status = fields.html()
        super().__init__([self.calls, fields.row(self.show, self.again, self.export), self.status])

    def add(self, records: Sequence[Record]) -> None:
        """Remember calls; the arrays of old ones are dropped before memory is full."""
        self.records += records
        for record in records:
            self._sizes.append(size_of(record.request.payload) + size_of(record.answer))
            number = len(self._sizes)
            self._listed.appendleft((_line(number, record), number))
        last = len(self.records)
        kept = self._sizes[-1]
        for place in range(last - 2, -1, -1):
            kept += self._sizes[place]
            if kept > KEPT:
                self.records[place] = self.records[place].without_arrays()
                self._sizes[place] = 0
        self.calls.options = list(self._listed)
        self.calls.value = last

    def _with_chosen(self, do: Callable[[Record], None]) -> None:
        record = self.records[self.calls.value - 1] if self.records else None
        if record is None:
            self.status.value = status("grey", _("No call has been made yet."))
        elif record.request.payload is None:
            self.status.value = status("grey", _("Its arrays were dropped, to save memory."))
        else:
            self.status.value = ""
            do(record)

    def _export(self) -> None:
        if not self.records:
            self.status.value = status("grey", _("No call has been made yet."))
            return
        folder = Path(f"calls-{datetime.datetime.now():%Y%m%d-%H%M%S}")
        try:
            count = export.write(folder, self.records)
        except OSError as error:
            words = _("The calls are not written: {why}.", why=error.strerror)
            self.status.value = status("red", words)
            return
        words = _("{count} files are in the folder {folder}.", count=count, folder=folder.resolve())
        self.status.value = status("green", words)


def _line(number: int, record: Record) -> str:
    began = record.began.strftime("%H:%M:%S")
    call = f"{record.request.target}, {PROTOCOLS[record.protocol]}"
    milliseconds = 1000 * sum(record.seconds.values())
    return f"{number}. {began} {call}: {status_word(record)}, {milliseconds:.0f} ms"


def size_of(values: Any) -> int:
    """Return about how many bytes arrays, files or JSON have."""
    if isinstance(values, bytes | str):
        return len(values)
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values.nbytes
    if isinstance(values, Mapping):
        return sum(map(size_of, values.values()))
    if isinstance(values, np.ndarray | list | tuple):
        return sum(map(size_of, values.flat if isinstance(values, np.ndarray) else values))
    return size_of(vars(values)) if dataclasses.is_dataclass(values) else _NUMBER
