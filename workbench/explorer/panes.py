"""What is below the form: the call as code, the answer, and the calls so far."""

import base64
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as w
import numpy as np

from helpers.errors import BadInput, explain
from workbench import answers
from workbench.answers import drawings
from workbench.code.previews import TITLES, Preview
from workbench.explorer.calls import PARTS, WAYS, Record, Sending, to_csv
from workbench.explorer.merging import are_arrays, difference, joined
from workbench.fields import Fields, scrolling, status

_KEPT = 256 * 1024 * 1024  # bytes of what was sent and answered; of older calls only their row
_NUMBER = 8  # bytes, about
_UNTITLED = ("boxes", "image", "sound", "series", "text")  # parts that do not say their name
_LISTED = 100  # calls to choose from; the CSV has all
_BUTTON = "lm-Widget jupyter-widgets jupyter-button widget-button"
# A page that came over plain HTTP from elsewhere has no clipboard: there the code is selected.
_COPY = (
    "const code = this.parentNode.querySelector('code');"
    "if (navigator.clipboard) {"
    " navigator.clipboard.writeText(code.textContent); this.textContent = 'Copied' }"
    "else getSelection().selectAllChildren(code)"
)


class PreviewPane(w.VBox):
    """A call as code to copy; files beside it are written when asked for."""

    def __init__(self, fields: Fields) -> None:
        self._shown, self._count, self._asked = Preview({}, {}, {}), 1, False
        self.way = fields(w.Dropdown, "The same call as", "How the call is written", options=TITLES)
        self.code, self.saved = w.HTML(), w.HTML()
        self.save = w.Button(description="Save files", tooltip="Write the files that it reads")
        super().__init__([self.way, self.code])
        self.way.observe(lambda _: self._show(), "value")
        self.save.on_click(lambda _: self._save())

    def show(self, preview: Preview, count: int = 1) -> None:
        """Show another call, the first one of so many."""
        self._shown, self._count, self.saved.value = preview, count, ""
        self._asked = False
        if preview.code and self.way.value not in preview.code:
            self.way.value = next(title for title in TITLES if title in preview.code)
        self._show()

    def text(self, title: str) -> str:
        """Return the code under a title; BadInput when there is none, with the reason."""
        if title in self._shown.code:
            return self._shown.code[title]
        reasons = dict.fromkeys(TITLES, "Fill in the form first.") | self._shown.reasons
        known = f"There is no {title!r}; there are: {', '.join(TITLES)}."
        raise BadInput(reasons.get(title, known))

    def _show(self) -> None:
        title = self.way.value
        code, used = self._shown.code.get(title), self._used()
        if code is None:
            self.code.value = escape(self._shown.reasons.get(title, "Fill in the form first."))
        else:
            first = f"<p>This is the first of {self._count} calls.</p>" if self._count > 1 else ""
            self.code.value = (
                f"{first}<div class='otw-code'>"
                f"<button class='{_BUTTON}' onclick=\"{_COPY}\">Copy</button>"
                f"{scrolling(f'<code>{escape(code)}</code>')}</div>"
            )
        self.save.description = f"Save {', '.join(used)}"[:60]
        self.children = [self.way, self.code, *([self.save, self.saved] if used else [])]

    def _save(self) -> None:
        contents = {name: content() for name, content in self._used().items()}
        try:
            others = [name for name, content in contents.items() if _is_other(name, content)]
            if others and not self._asked:
                self._asked = True
                told = f"{', '.join(others)} would be replaced. Press again to replace it."
                self.saved.value = status("red", told)
                return
            for name, content in contents.items():
                with open(name, "wb") as file:
                    file.write(content)
        except OSError as error:
            self.saved.value = status("red", f"Not saved: {error.strerror}.")
            return
        self.saved.value = status("green", f"Saved in the folder {os.path.basename(os.getcwd())}.")

    def _used(self) -> dict[str, Callable[[], bytes]]:
        """Return the files that the code reads which is shown, or that stand for it."""
        way = self.way.value
        code = self._shown.code.get(way) or self._shown.reasons.get(way, "")
        return {name: content for name, content in self._shown.files.items() if name in code}


def _is_other(name: str, content: bytes) -> bool:
    """Whether there is a file of this name, with other content."""
    if not os.path.exists(name):
        return False
    with open(name, "rb") as file:
        return file.read(len(content) + 1) != content


class AnswerPane(w.VBox):
    """What was answered, by what it is; or why there is no answer."""

    def __init__(self) -> None:
        self.html = w.HTML()
        super().__init__([self.html])

    def clear(self) -> None:
        """Show nothing."""
        self.html.value = ""

    def fail(self, error: Exception) -> None:
        """Show why there was no call."""
        self.html.value = explain(error)._repr_html_()

    def show(self, records: Sequence[Record]) -> None:
        """Show what came of calls that belong together: the parts of a batch, and both ways."""
        by_way: dict[str, list[Record]] = {}
        for each in records:
            by_way.setdefault(each.over, []).append(each)
        found = [explain(each.error)._repr_html_() for each in records if each.error]
        if "cancelled" in {each.status for each in records}:
            found.append("<p>Cancelled: nobody waits for the answer.</p>")
        well = [joined(each) for each in by_way.values() if {r.status for r in each} == {"OK"}]
        if len(well) == 2:
            found.append(f"<p>{escape(difference(well[0][1], well[1][1]))}</p>")
        if well:
            found += _shown(*well[0])
        what = escape(" and ".join(dict.fromkeys(each.request.target for each in records)))
        self.html.value = "".join([f"<p>{what}</p>", *found, _times(by_way)])


def _shown(given: Any, answer: Any) -> list[str]:
    """Write an answer by what it is, then its arrays, then all of it as JSON."""
    found = [
        f"<h4 style='margin:0'>{escape(part.title)}</h4>{part.html}"
        if part.kind in _UNTITLED
        else part.html
        for part in answers.show(answer, given)
    ]
    if are_arrays(answer):
        found.append(answers.table(answer))
    try:
        json = answers.raw(answer)
    except Exception as error:  # a server may send anything
        json = f"This cannot be written as JSON: {error}"
    found.append(f"<details><summary>As JSON</summary>{scrolling(escape(json))}</details>")
    return found


class HistoryPane(w.VBox):
    """Every call so far: look at its answer, send it again, export all as CSV.

    Parameters
    ----------
    fields : Fields
    look : callable
        Given a record, shows its answer.
    send : callable
        Given a record, sends its request again.
    """

    def __init__(
        self, fields: Fields, look: Callable[[Record], None], send: Callable[[Record], None]
    ) -> None:
        self.records: list[Record] = []
        self._sizes: list[int] = []
        self._look, self._send = look, send
        self.calls = fields(w.Dropdown, "Calls", "The calls so far, the last one first")
        self.show = w.Button(description="Show answer", tooltip="Show what came of this call")
        self.again = w.Button(description="Send again", tooltip="The same inputs to the same place")
        self.export = w.Button(description="Export CSV", tooltip="All calls, without their arrays")
        self.told = w.HTML()
        buttons = w.HBox([self.show, self.again, self.export], layout=fields.row)
        super().__init__([self.calls, buttons, self.told])
        self.show.on_click(lambda _: self._with_chosen(self._look))
        self.again.on_click(lambda _: self._with_chosen(self._send))
        self.export.on_click(lambda _: self._export())

    def add(self, records: Sequence[Record]) -> None:
        """Remember calls."""
        self.records += records
        self._sizes += [_size(each.request.given) + _size(each.answer) for each in records]
        last, kept = len(self.records), 0
        for place in range(last - 1, -1, -1):
            kept += self._sizes[place]
            if kept > _KEPT and place < last - 1:
                self.records[place], self._sizes[place] = self.records[place].without_arrays(), 0
        listed = range(last, max(last - _LISTED, 0), -1)
        self.calls.options = [(_line(n, self.records[n - 1]), n) for n in listed]
        self.calls.value = last

    def _with_chosen(self, do: Callable[[Record], None]) -> None:
        if not self.records:
            self.told.value = status("grey", "No call has been made yet.")
            return
        record = self.records[self.calls.value - 1]
        if record.request.given is None:
            self.told.value = status("grey", "Its arrays were dropped, to save memory.")
            return
        self.told.value = ""
        do(record)

    def _export(self) -> None:
        content = base64.b64encode(to_csv(self.records).encode("utf-8-sig")).decode()
        self.told.value = (
            f"<a download='calls.csv' href='data:text/csv;base64,{content}'>"
            f"Download calls.csv, {len(self.records)} calls</a>"
        )


def outcome(sending: Sending) -> str:
    """Say how many calls were made, with a bar until all are, and whether they went well."""
    done = len(sending.records)
    if not sending.over:
        return (
            f"<progress aria-label='calls made' max='{sending.total}' value='{done}'>"
            f"</progress> {done} of {sending.total} calls"
        )
    statuses = [each.status for each in sending.records]
    if statuses[-1] == "cancelled":
        return status("grey", f"cancelled after {len(statuses) - 1} of {sending.total} calls")
    made, failed = f"{len(statuses)} of {sending.total} calls made", len(statuses)
    failed -= statuses.count("OK")
    return status("red", f"{made}, {failed} failed") if failed else status("green", made)


def _line(number: int, record: Record) -> str:
    seconds = sum(record.seconds.values())
    when = record.began.strftime("%H:%M:%S")
    what = f"{record.request.target}, {WAYS[record.over]}"
    return f"{number}. {when} {what}: {record.status}, {1000 * seconds:.0f} ms"


def _times(by_way: Mapping[str, Sequence[Record]]) -> str:
    """Write where the time went, as a table; of several calls, the sums."""
    known = {part for each in by_way.values() for record in each for part in record.seconds}
    parts = [part for part in PARTS if part in known]
    rows = []
    for way, records in by_way.items():
        sums = {p: sum(r.seconds.get(p, 0.0) for r in records) for p in parts}
        there = {part for record in records for part in record.seconds}
        cells = [f"{1000 * sums[part]:.1f}" if part in there else "" for part in parts]
        rows.append([WAYS[way], str(len(records)), *cells, f"{1000 * sum(sums.values()):.1f}"])
    head = ["over", "calls", *parts, "total"]
    return drawings.grid("Where the time went, in milliseconds", head, rows)


def _size(values: Any) -> int:
    """Return about how many bytes arrays, files or JSON have."""
    if isinstance(values, bytes | str):
        return len(values)
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values.nbytes
    if isinstance(values, Mapping):
        return sum(map(_size, values.values()))
    if isinstance(values, np.ndarray | list | tuple):
        return sum(map(_size, values.flat if isinstance(values, np.ndarray) else values))
    return _size(vars(values)) if dataclasses.is_dataclass(values) else _NUMBER
