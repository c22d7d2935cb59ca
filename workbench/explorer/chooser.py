"""Chooses what to call: from the endpoint, from names, or from a config file."""

import dataclasses
from collections.abc import Callable, Sequence
from html import escape

import ipywidgets as w

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError, explain
from helpers.tfserving.signatures import DEFAULT_SIGNATURE
from workbench.answers import listings
from workbench.explorer import catalog
from workbench.explorer.catalog import Entry
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, read_version, scrolling, status, version_text

_NEWEST = "the service's choice"


class Chooser(w.VBox):
    """What is served, and which of it is meant.

    Parameters
    ----------
    endpoint : callable
        Returns the endpoint as it is now.
    names : sequence of str
        Models to look for, besides those that the endpoint names.
    fields : Fields
    ask : callable
        Given a function, calls it off the kernel's main thread.
    chosen : callable
        Called without arguments when another one is meant; there, too.
    timeout : float
        Seconds for each question.
    """

    def __init__(
        self,
        endpoint: Callable[[], Endpoint],
        names: Sequence[str],
        fields: Fields,
        ask: Callable[[Callable[[], None]], None],
        chosen: Callable[[], None],
        timeout: float,
    ) -> None:
        self._endpoint, self._ask, self._chosen, self._timeout = endpoint, ask, chosen, timeout
        self._filling = False
        self._asked: Endpoint | None = None
        self.entries: dict[str, Entry] = {}
        self.names = fields(
            w.Text,
            "Models",
            "Names of models, with commas between them",
            value=", ".join(names),
            placeholder="names, with commas between them",
            continuous_update=False,
        )
        self.config = Upload("a model config file, as --model_config_file takes it", self._take)
        self.config.description = "Config file"
        self.config.layout = w.Layout(width="12em")
        self.look = w.Button(description="Look again", tooltip="Ask what is served now")
        self.told, self.card = w.HTML(), w.HTML()
        self._buttons = w.HBox([self.config, self.look], layout=fields.row)
        self._look_alone = w.HBox([self.look], layout=fields.row)
        self.entry = fields(w.Dropdown, "Model", "What is served there")
        self.version = fields(w.Dropdown, "Version", "A version or a label", options=[_NEWEST])
        self.signature = fields(w.Dropdown, "Signature", "One way to call the model")
        self.tree = w.HTML()
        super().__init__()
        self.names.observe(lambda _: self.refresh(), "value")
        self.look.on_click(lambda _: self.refresh())
        for field, do in (
            (self.entry, self._choose),
            (self.version, self._choose_version),
            (self.signature, chosen),
        ):
            field.observe(lambda _, do=do: None if self._filling else ask(do), "value")

    def refresh(self) -> None:
        """Ask anew what is served."""
        self._ask(self._find)

    @property
    def meant(self) -> Entry | None:
        """What is meant; None when nothing answers."""
        return self.entries.get(self.entry.value)

    def choose(self, name: str, signature: str = "") -> None:
        """Mean this one; BadInput when it is not there."""
        if name not in self.entries:
            self.names.value = ", ".join(filter(None, [self.names.value, name]))
            self._find()
        if name not in self.entries:
            raise BadInput(f"There is no {name!r} here; there are {list(self.entries)}.")
        self._filling = True
        self.entry.value = name
        self._filling = False
        self._choose()
        if error := self.entries[name].error:
            raise error
        if signature:
            if signature not in self.signature.options:
                raise BadInput(f"{name} has the signatures {list(self.signature.options)}.")
            self.signature.value = signature

    def _find(self) -> None:
        found, usual = list[Entry](), None
        self.told.value, self.card.value = status("grey", "asking ..."), ""
        # Until it is known what to ask for.
        self.children = [self._look_alone, self.told, self.card]
        try:
            endpoint = self._endpoint()
            self._rows(endpoint)
            found = catalog.entries(endpoint, self._names(), timeout=self._timeout)
            if self._asked == endpoint:
                found = [self._as_chosen(each) for each in found]
            self._asked = endpoint
            there = sum(each.error is None for each in found)
            some = f"{there} found" if found else "Name a model, or give the config file"
            where = endpoint.grpc or endpoint.rest
            self.told.value = status("green" if there else "grey", f"{where}: {some}.")
            usual = self._usual(found, endpoint)
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self._tell(error)
        self.entries = {each.name: each for each in found}
        wanted = self.entry.value or usual
        self._filling = True
        self.entry.options = list(self.entries)
        self.entry.value = wanted if wanted in self.entries else next(iter(self.entries), None)
        self._filling = False
        self._choose()

    def _as_chosen(self, entry: Entry) -> Entry:
        """Look at the version and the signature that were chosen, if this one was."""
        before = self.meant
        if before is None or before.name != entry.name or not before.states:
            return entry
        chosen = before.endpoint.replace(signature_name=self.signature.value or "")
        if chosen == entry.endpoint.replace(signature_name=chosen.signature_name):
            return dataclasses.replace(entry, endpoint=chosen)  # this version was asked for
        return catalog.entry(chosen, timeout=self._timeout)

    def _usual(self, found: list[Entry], endpoint: Endpoint) -> str | None:
        """Return what can be called: of the names first, then what the endpoint is set to."""
        there = [each.name for each in found if each.error is None]
        here = [each.name for each in found if each.endpoint == endpoint]
        return next((name for name in [*self._names(), *here, *there] if name in there), None)

    def _rows(self, endpoint: Endpoint) -> None:
        served = endpoint.kind == "tfserving"
        self.entry.description = "Model" if served else "Service"
        ask = [self.names, self._buttons] if served else [self._look_alone]
        which = [self.version, self.signature] if served else []
        self.children = [*ask, self.told, self.card, self.entry, *which, self.tree]

    def _choose(self) -> None:
        entry = self.meant
        if entry is not None:
            self._fill(entry)
        self._show()

    def _fill(self, entry: Entry) -> None:
        endpoint = entry.endpoint
        self._filling = True
        try:
            here = version_text(endpoint) or _NEWEST
            known = [_NEWEST, *map(str, entry.states)]
            self.version.options = known if here in known else [*known, here]
            self.version.value = here
            names = list(entry.signatures or {})
            self.signature.options = names
            usual = endpoint.signature_name or DEFAULT_SIGNATURE
            self.signature.value = usual if usual in names else next(iter(names), None)
        finally:
            self._filling = False

    def _choose_version(self) -> None:
        entry = self.meant
        if entry is None:
            return
        version = read_version(self.version.value, _NEWEST)
        endpoint = entry.endpoint.replace(**version, signature_name=self.signature.value or "")
        self.entries[entry.name] = catalog.entry(endpoint, timeout=self._timeout)
        self._choose()

    def _show(self) -> None:
        entry = self.meant
        self.card.value = self.card.value if entry is None else ""
        self.tree.value = ""
        if entry and entry.error:
            self._tell(entry.error)
        elif entry and entry.signatures is not None:
            tree = escape(listings.tree(entry.states, entry.signatures))
            self.tree.value = (
                f"<details><summary>{escape(entry.name)}: versions and signatures</summary>"
                f"{scrolling(tree)}</details>"
            )
        elif entry and entry.note:
            self.tree.value = escape(entry.note)
        self._chosen()

    def _tell(self, error: Exception) -> None:
        self.told.value = status("red", type(error).__name__)
        self.card.value = explain(error)._repr_html_()

    def _names(self) -> list[str]:
        return [name.strip() for name in self.names.value.split(",") if name.strip()]

    def _take(self) -> None:
        try:
            found = catalog.names_of_config(self.config.content)
        except CallError as error:
            self._tell(error)
            return
        self.names.value = ", ".join(dict.fromkeys([*self._names(), *found]))
