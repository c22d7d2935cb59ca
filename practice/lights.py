"""Which practice services are up, with a button each to start, stop and read the log."""

import concurrent.futures
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from helpers import endpoints
from helpers.language import _
from practice import manager, state

# A sign beside the colour, for everyone who does not see it.
_LIGHTS = {True: ("#1a7f37", "●"), False: ("#595959", "○")}
_LOG_LINES = 20


class Lights(w.VBox):
    """A row for each practice service. What takes long runs off the kernel's main thread."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="lights")
        self.rows = {name: _Row(name, self._do) for name in manager.status()}
        self.text = w.HTML()
        super().__init__([*(row.box for row in self.rows.values()), self.text])
        self.refresh()

    def refresh(self) -> None:
        """Ask each service how it does."""
        for name, status in manager.status().items():
            self.rows[name].show(status)

    def wait(self, timeout: float = 90.0) -> None:
        """Wait until what was clicked is done."""
        self._pool.submit(lambda: None).result(timeout)

    def __repr__(self) -> str:
        return "Lights()"

    def _do(self, name: str, what: str) -> None:
        self._pool.submit(self._done, name, what)

    def _done(self, name: str, what: str) -> None:
        row = self.rows[name]
        self.text.value = ""
        try:
            if what == "log":
                lines = state.last_lines(state.log_file(name), _LOG_LINES) or [_("No log yet.")]
                self.text.value = f"<pre>{escape(chr(10).join(lines))}</pre>"
                return
            row.busy(_("start ...") if what == "start" else _("stop ..."))
            (manager.up if what == "start" else manager.down)(name)
        except Exception as error:  # the reader should see it here, not in a log
            self.text.value = f"<pre>{escape(str(error))}</pre>"
        self.refresh()


class _Row:
    def __init__(self, name: str, do: Callable[[str, str], None]) -> None:
        self.name = name
        self.light = w.HTML(layout=w.Layout(min_width="18em"))
        words = {
            "start": (_("Start {name}", name=name),) * 2,
            "stop": (_("Stop {name}", name=name),) * 2,
            "log": (_("Log {name}", name=name), _("Last lines of {name}", name=name)),
        }
        self.buttons = {
            what: w.Button(description=description, tooltip=tooltip)
            for what, (description, tooltip) in words.items()
        }
        for what, button in self.buttons.items():
            button.on_click(lambda _button, what=what: do(name, what))
        wrap = w.Layout(flex_flow="row wrap", align_items="center")
        self.box = w.HBox([self.light, *self.buttons.values()], layout=wrap)

    def show(self, status: dict[str, Any]) -> None:
        if endpoints.named(self.name):  # whoever has that server, starts and stops it
            sentence = escape(manager.place(self.name))
            self.light.value = f"<span role='status'>○ {sentence}</span>"
            for button in self.buttons.values():
                button.disabled = True
            return
        on = bool(status["healthy"])
        addresses = (status.get(key) for key in ("rest", "grpc", "iam", "http"))
        listed = ", ".join(filter(None, addresses)) if on else ""
        colour, sign = _LIGHTS[on]
        sentence = _("{name} is on", name=self.name) if on else _("{name} is off", name=self.name)
        if not on and status["pid"]:
            sentence += f": {status['problem']}"
        self.light.value = (
            f"<span role='status'><span style='color:{colour}'>{sign}</span> "
            f"{escape(sentence)} {escape(listed)}</span>"
        )
        self.buttons["start"].disabled = on
        self.buttons["stop"].disabled = not on

    def busy(self, words: str) -> None:
        self.light.value = f"<span role='status'>○ {escape(f'{self.name}: {words}')}</span>"
        self.buttons["start"].disabled = self.buttons["stop"].disabled = True
