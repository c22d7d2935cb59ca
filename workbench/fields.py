"""Form fields that look alike, and the sign beside them that says how it is."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets as w

from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.language import _

LAMPS = {"grey": "○", "green": "●", "red": "✕"}  # beside the colour, for who sees none
_COLOURS = {"grey": "#595959", "green": "#1a7f37", "red": "#b3261e"}
_COLOUR = "color-mix(in srgb, {} 65%, var(--jp-ui-font-color0, black))"  # for dark themes, too


class Fields:
    """Makes fields; they share one layout and one style of each kind, so that many are cheap."""

    def __init__(self) -> None:
        self.box = w.Layout(margin="0 0 0.5em 0")
        self._row = w.Layout(flex_flow="row wrap", align_items="center", margin="0 0 0 9.3em")
        self._plain = w.Layout()
        self._plain_style: Any = None
        self._layout = w.Layout(width="auto", max_width="36em")
        self._styles: dict[type, Any] = {}
        self._quiet: set[w.Widget] = set()

    def __call__(
        self,
        kind: type,
        label: str,
        tooltip: str,
        *,
        changed: Callable[[], object] | None = None,
        **options: Any,
    ) -> Any:
        """Make a widget with its label before it.

        Parameters
        ----------
        kind : type
            Such as `ipywidgets.Text`.
        label, tooltip : str
        changed : callable, optional
            Called without arguments after each change of its value.
        **options
            Of that widget.
        """
        style = self._styles.get(kind, {"description_width": "9em"})
        options = {"style": style, "layout": self._layout, **options}
        field = kind(description=label, tooltip=tooltip, **options)
        self._styles.setdefault(kind, field.style)
        if changed:
            field.observe(lambda _: None if field in self._quiet else changed(), "value")
        return field

    @contextlib.contextmanager
    def quiet(self, *fields: w.Widget) -> Iterator[None]:
        """Let fields be filled in without their `changed` being called."""
        self._quiet.update(fields)
        try:
            yield
        finally:
            self._quiet.difference_update(fields)

    def offer(
        self,
        field: w.Dropdown,
        options: Sequence[str],
        wanted: str | None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Give a field other options, without `changed`; the first one where the wanted is none.

        Of those that have a label, the reader sees that.
        """
        with self.quiet(field):
            labelled = [(labels.get(option, option), option) for option in options if labels]
            field.options = labelled or options
            field.value = wanted if wanted in options else next(iter(options), None)

    def timeout(self, seconds: float, changed: Callable[[], object]) -> w.BoundedFloatText:
        """Make the field for the seconds until a call is given up."""
        tooltip = _("Seconds until a call is given up")
        limits = {"min": 0.001, "max": 86_400}
        kind = w.BoundedFloatText
        return self(kind, _("Timeout (s)"), tooltip, changed=changed, value=seconds, **limits)

    def status(self) -> w.HTML:
        """Make the place below fields for what `status` writes."""
        return self(w.HTML, " ", "")

    def html(self, content: str = "") -> w.HTML:
        """Make a place for HTML without a label."""
        style = {"style": self._plain_style} if self._plain_style else {}
        made = w.HTML(content, layout=self._plain, **style)
        self._plain_style = made.style
        return made

    def beside(self, field: w.Widget, widget: w.Widget) -> w.HBox:
        """Put something beside a field, which has the room that is left."""
        return w.HBox([field, widget], layout=self._plain, _dom_classes=["otw-beside"])

    def row(self, *widgets: w.Widget) -> w.HBox:
        """Put widgets side by side below fields."""
        return w.HBox(widgets, layout=self._row)


class WholeNumber(w.Text):
    """A field for a whole number, or for none: one of numbers alone always has one."""

    most = 1_000_000

    @property
    def number(self) -> int | None:
        """What is written; BadInput when it is no such number."""
        text = self.value.strip()
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and int(text[:20]) <= self.most):
            raise BadInput(
                _(
                    "{label} is a whole number up to {most:,}, not {text!r}.",
                    label=self.description,
                    most=self.most,
                    text=text[:20],
                )
            )
        return int(text)


def button(label: str, tooltip: str, pressed: Callable[[], object], **options: Any) -> w.Button:
    """Make a button; `pressed` is called without arguments."""
    made = w.Button(description=label, tooltip=tooltip, **options)
    made.on_click(lambda _: pressed())
    return made


def read_version(text: str, newest: str) -> dict[str, Any]:
    """Return what an endpoint has of a version or a label; `newest` is neither of them."""
    number = text.isascii() and text.isdigit()
    return {
        "version": int(text) if number else None,
        "version_label": "" if number or text == newest else text,
    }


def version_text(endpoint: Endpoint) -> str:
    """Return the version or the label that an endpoint has; empty for the service's choice."""
    return endpoint.version_label if endpoint.version is None else str(endpoint.version)


def scrolling(content: str) -> str:
    """Write HTML with its line ends, in a part of the page that scrolls, by keyboard too."""
    style = "max-height:24em;overflow:auto;line-height:1.4"
    return f"<pre tabindex='0' style='{style}'>{content}</pre>"


def close(widget: w.Widget) -> None:
    """Remove a form and all that is in it; what it held is not stored with the notebook."""
    close_parts(widget)
    widget.close()


def close_parts(widget: w.Widget) -> None:
    """Remove what a box shows, and what it keeps in its attributes to show it later."""
    for part in _widgets([*getattr(widget, "children", ()), vars(widget)]):
        if part.comm is not None:  # not closed yet
            close(part)


def _widgets(kept: Any) -> Iterator[w.Widget]:
    if isinstance(kept, w.DOMWidget):
        yield kept
    elif isinstance(kept, list | dict):
        for item in kept.values() if isinstance(kept, dict) else kept:
            yield from _widgets(item)


def status(colour: str, words: str) -> str:
    """Write a lamp and what it means, as HTML that a screen reader tells by itself.

    Parameters
    ----------
    colour : str
        `grey`, `green` or `red`.
    words : str
        Plain text.
    """
    sign = f"<span style='color:{_COLOUR.format(_COLOURS[colour])}'>{LAMPS[colour]}</span>"
    return f"<span role='status'>{sign} {escape(words)}</span>"
