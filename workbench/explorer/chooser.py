"""Chooses what to call: from the endpoint, from names, or from a config file."""

import dataclasses
import functools
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, wait
from html import escape
from typing import TypeVar

import ipywidgets as w

from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError, UnknownModel, explain
from helpers.language import _, plural
from helpers.tfserving.signatures import DEFAULT_SIGNATURE
from workbench.answers import listings
from workbench.explorer import catalog
from workbench.explorer.catalog import Entry
from workbench.explorer.uploads import Upload
from workbench.fields import Fields, button, read_version, scrolling, status, version_text

_PACE = 0.1  # seconds between two looks at whether an answer is still wanted
_Answer = TypeVar("_Answer")


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
        self._endpoint = endpoint
        self._newest = _("the service's choice")
        self._ask = ask
        self._chosen = chosen
        self._timeout = timeout
        self._fields = fields
        self._asked: Endpoint | None = None
        self._looks = 0  # how often was asked what is served
        self.entries: dict[str, Entry] = {}
        self.names = fields(
            w.Text,
            _("Models"),
            _("Names of models, with commas between them"),
            changed=self.refresh,
            value=", ".join(names),
            placeholder=_("names, with commas between them"),
            continuous_update=False,
        )
        self.config = Upload(_("a model config file, as --model_config_file takes it"), self._take)
        self.config.description = _("Config file")
        self.config.layout = w.Layout(width="10em")
        self.look = button(_("Look again"), _("Ask what is served now"), self.refresh)
        self.title = fields.html()
        self.status = fields.html()
        self.head = w.HBox([self.title, self.status, self.look], layout={"flex_flow": "row wrap"})
        self.head.add_class("otw-head")
        self.card = fields.html()
        self._named = fields.beside(self.names, self.config)
        self.entry = self._dropdown(_("Model"), _("What is served there"), self._choose)
        self.version = self._dropdown(_("Version"), _("A version or a label"), self._choose_version)
        self.signature = self._dropdown(_("Signature"), _("One way to call the model"), chosen)
        self.tree = fields.html()
        super().__init__()

    def _dropdown(self, label: str, tooltip: str, chosen: Callable[[], None]) -> w.Dropdown:
        return self._fields(w.Dropdown, label, tooltip, changed=lambda: self._ask(chosen))

    def refresh(self) -> None:
        """Ask anew what is served; what was asked before and is not answered is given up."""
        self._looks += 1
        self._ask(functools.partial(self._find, self._looks))

    def give_up(self) -> None:
        """Wait for no answer any more."""
        self._looks += 1

    @property
    def meant(self) -> Entry | None:
        """What is meant; None when nothing answers."""
        return self.entries.get(self.entry.value)

    def choose(self, name: str, signature: str = "") -> None:
        """Mean this one; BadInput when it is not there."""
        if name not in self.entries:
            self.names.value = ", ".join(filter(None, [self.names.value, name]))
            self._find(self._looks)
        if name not in self.entries:
            raise BadInput(
                _(
                    "There is no {name!r} here; there are {names}.",
                    name=name,
                    names=list(self.entries),
                )
            )
        self._offer(name)
        self._choose()
        if error := self.entries[name].error:
            raise error
        if signature:
            if signature not in self.signature.options:
                raise BadInput(
                    _(
                        "{name} has the signatures {names}.",
                        name=name,
                        names=list(self.signature.options),
                    )
                )
            self.signature.value = signature

    def choose_again(self, endpoint: Endpoint, target: str) -> bool:
        """Mean what an earlier call went to, its version and signature too, if it is there."""
        name = endpoint.model if endpoint.kind == "tfserving" else target
        entry = self.entries.get(name)
        if entry is None or _of_any_version(entry.endpoint) != _of_any_version(endpoint):
            return False
        if version_text(entry.endpoint) == version_text(endpoint):
            self.entries[name] = dataclasses.replace(entry, endpoint=endpoint)
        else:
            self.entries[name] = catalog.entry(endpoint, timeout=self._timeout)
        self._offer(name)
        self._choose()
        return self.entries[name].error is None

    def _find(self, look: int) -> None:
        if look != self._looks:  # another look comes after this one
            return
        entries: list[Entry] = []
        usual = None
        self.status.value = status("grey", _("asking ..."))
        self.card.value = ""
        self.children = [self.card]  # until it is known what to ask for
        try:
            endpoint = self._endpoint()
            self._show_fields(endpoint)
            entries = self._answer(look, lambda: self._entries(endpoint))
            self._asked = endpoint
            self._count(entries)
            usual = self._usual(entries, endpoint)
        except _GivenUp:
            return
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self._explain(error)
        self.entries = {entry.name: entry for entry in entries}
        self._offer(self.entry.value or usual)
        self._choose()

    def _entries(self, endpoint: Endpoint) -> list[Entry]:
        entries = catalog.entries(endpoint, self._names(), timeout=self._timeout)
        if self._asked == endpoint:
            return [self._as_chosen(entry) for entry in entries]
        return entries

    def _answer(self, look: int, question: Callable[[], _Answer]) -> _Answer:
        """Ask in another thread: an address that does not answer holds up no later look."""
        answer: Future[_Answer] = Future()

        def ask() -> None:
            try:
                answer.set_result(question())
            except Exception as error:  # raised where it is waited for
                answer.set_exception(error)

        threading.Thread(target=ask, name="asking", daemon=True).start()
        while look == self._looks:
            if wait([answer], _PACE).done:
                return answer.result()
        raise _GivenUp

    def _as_chosen(self, entry: Entry) -> Entry:
        """Look at the version and the signature that were chosen, if this one was."""
        before = self.meant
        if before is None or before.name != entry.name or not before.states:
            return entry
        chosen = before.endpoint.replace(signature_name=self.signature.value or "")
        if chosen == entry.endpoint.replace(signature_name=chosen.signature_name):
            return dataclasses.replace(entry, endpoint=chosen)  # this version was asked for
        return catalog.entry(chosen, timeout=self._timeout)

    def _usual(self, entries: list[Entry], endpoint: Endpoint) -> str | None:
        """Return what can be called: of the names first, then what the endpoint is set to."""
        working = [entry.name for entry in entries if entry.error is None]
        preferred = [entry.name for entry in entries if entry.endpoint == endpoint]
        names = [*self._names(), *preferred, *working]
        return next((name for name in names if name in working), None)

    def _show_fields(self, endpoint: Endpoint) -> None:
        if endpoint.kind == "tfserving":
            self.entry.description = _("Model")
            first = [self._named]
            last = [self.version, self.signature, self.tree]
        else:
            self.entry.description = _("Service")
            first = []
            last = [self.tree]
        address = escape(endpoint.grpc or endpoint.rest)
        self.title.value = f"<h2>{escape(endpoint.service)} · {address}</h2>"
        self.children = [*first, self.card, self.entry, *last]

    def _offer(self, wanted: str | None) -> None:
        """Offer what was found, and say of what cannot be called why it stands there."""
        labels = {
            name: _("{name} (not served)", name=name)
            if isinstance(entry.error, UnknownModel)
            else _("{name} (cannot be called)", name=name)
            for name, entry in self.entries.items()
            if entry.error
        }
        self._fields.offer(self.entry, list(self.entries), wanted, labels)

    def _choose(self) -> None:
        entry = self.meant
        if entry is not None:
            version = version_text(entry.endpoint) or self._newest
            versions = dict.fromkeys([self._newest, *map(str, entry.states), version])
            self._fields.offer(self.version, list(versions), version)
            usual = entry.endpoint.signature_name or DEFAULT_SIGNATURE
            self._fields.offer(self.signature, list(entry.signatures or {}), usual)
        self._show()

    def _choose_version(self) -> None:
        entry = self.meant
        if entry is None:
            return
        version = read_version(self.version.value, self._newest)
        endpoint = entry.endpoint.replace(**version, signature_name=self.signature.value or "")
        try:
            self.entries[entry.name] = self._answer(
                self._looks, lambda: catalog.entry(endpoint, timeout=self._timeout)
            )
        except _GivenUp:
            return
        self._choose()

    def _show(self) -> None:
        entry = self.meant
        self.card.value = self.card.value if entry is None else ""
        self.tree.value = ""
        if entry and entry.error:
            self._explain(entry.error)
        elif entry:
            self._count(self.entries.values())  # the one before it may have had an error
            self.tree.value = self._tree(entry)
        self._chosen()

    def _tree(self, entry: Entry) -> str:
        if entry.signatures is None:
            return escape(entry.note)
        tree = escape(listings.tree(entry.states, entry.signatures))
        summary = escape(_("{name}: versions and signatures", name=entry.name))
        return f"<details><summary>{summary}</summary>{scrolling(tree)}</details>"

    def _count(self, entries: Collection[Entry]) -> None:
        count = sum(entry.error is None for entry in entries)
        unnamed = _("Name a model, or give the config file.")
        words = plural("{count} found", "{count} found", count) if entries else unnamed
        self.status.value = status("green" if count else "grey", words)

    def _explain(self, error: Exception) -> None:
        self.status.value = status("red", type(error).__name__)
        self.card.value = explain(error)._repr_html_()

    def _names(self) -> list[str]:
        return [name.strip() for name in self.names.value.split(",") if name.strip()]

    def _take(self) -> None:
        try:
            names = catalog.names_of_config(self.config.content)
        except CallError as error:
            self._explain(error)
            return
        self.names.value = ", ".join(dict.fromkeys([*self._names(), *names]))


def _of_any_version(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(version=None, version_label="", signature_name="")


class _GivenUp(Exception):
    """Raised when something else is to be looked for than what was asked."""
