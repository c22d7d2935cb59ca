"""The endpoint panel: where the service is, filled in by hand, and tried at once."""

import concurrent.futures
import time
from html import escape
from typing import Any

import ipywidgets as w

from helpers import ccai, endpoints, modelarts, proxies, tfserving
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput, CallError, explain
from workbench.fields import LAMPS, Fields, read_version, status, version_text

_NEWEST = "newest"
_WAYS = [
    ("user and password, for a token", ""),
    ("AK and SK, as a signature", "signature"),
    ("AppCode, as the password", "appcode"),
]
_KEPT = ("models", "verify", "no_proxy", "retries")  # of a profile, without a field here
_TIMEOUT = 5.0  # seconds for a test of the connection
_PAUSE = 0.4  # seconds without a key after which what was typed is tried


class EndpointPanel(w.VBox):
    """A form for one endpoint; cells read `panel.endpoint`.

    Parameters
    ----------
    kind : str
        `tfserving`, `ccai` or `modelarts`.
    profile : str
        Where to begin: a name in `endpoints.PROFILES`, such as `practice`, or in
        `endpoints.toml`.
    model, signature_name : str
        Chosen at the beginning; of kind `tfserving` only.

    The password is neither in the notebook, nor in its widgets' state, nor in a profile.

    Examples
    --------
    >>> panel = EndpointPanel("tfserving", model="digits")
    >>> panel.endpoint.model
    'digits'
    """

    def __init__(
        self, kind: str, *, profile: str = "practice", model: str = "", signature_name: str = ""
    ) -> None:
        Endpoint(kind)  # or BadInput says which kinds there are
        self._kind, self._password, self._filling = kind, "", False
        self._kept: dict[str, Any] = {}
        # One thread: answers arrive in the order of the questions, and never block the kernel.
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._make_fields()
        self._fill_profiles(profile)
        super().__init__(self._rows())
        self._load_profile(model, signature_name)
        self._watch()

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint as the fields say it now; BadInput when they cannot be one."""
        plain = {name: field.value for name, field in self._plain.items()}
        values = {
            **{name: v.strip() if isinstance(v, str) else v for name, v in plain.items()},
            "kind": self._kind,
            "password": self._password,
            "model": self.model.value.strip(),
            **read_version(self.version.value.strip(), _NEWEST),
            "signature_name": self.signature.value or "",
            **self._kept,
        }
        return endpoints.from_mapping(values, "The panel")

    def wait(self, timeout: float = 10.0) -> None:
        """Wait until what was asked of the service has been answered."""
        self._pool.submit(lambda: None).result(timeout)

    def __repr__(self) -> str:
        return f"EndpointPanel({self._kind!r})"

    def _make_fields(self) -> None:
        field = Fields()
        self.profile = field(w.Dropdown, "Profile", "Where the fields below come from")
        self.rest = field(w.Text, "REST address", "http://host:port or https://host:port")
        self.address = field(w.Text, "gRPC address", "host:port, such as 127.0.0.1:8500")
        self.tls = field(w.Checkbox, "TLS", "Whether the connection is encrypted", indent=True)
        self.ca_file = field(w.Text, "CA file", "PEM file of your own authority, if it has one")
        self.user = field(w.Text, "User", "Who you are there; empty if nobody asks")
        self.password = field(
            w.Password, "Password", "Kept in this kernel's memory only", continuous_update=False
        )
        self.auth = field(w.Dropdown, "Way in", "How you prove who you are", options=_WAYS)
        self.iam = field(w.Text, "IAM address", "https://host: where tokens come from")
        self.domain = field(w.Text, "Domain", "The name of the account that the user belongs to")
        self.project = field(w.Text, "Project", "The name of the project, often the region's")
        self._plain = {  # what an endpoint's field of that name has
            "rest": self.rest,
            "grpc": self.address,
            "tls": self.tls,
            "ca_file": self.ca_file,
            "user": self.user,
            "auth": self.auth,
            "iam": self.iam,
            "domain": self.domain,
            "project": self.project,
        }
        self.model = field(w.Combobox, "Model", "The model's name; choose one or type it")
        self.version = field(
            w.Combobox,
            "Version or label",
            "A version from the server's list, or a label",
            options=[_NEWEST],
            value=_NEWEST,
        )
        self.signature = field(w.Dropdown, "Signature", "Filled from the server", options=[""])
        self.hint = w.HTML(layout=w.Layout(margin="0 0 0 9em"))
        self.proxy = w.HTML(description="Proxy", style={"description_width": "9em"})
        self.test = w.Button(description="Test connection", tooltip="Ask whether it answers")
        self.lamp, self.why = w.HTML(), w.HTML()
        self.name = field(w.Text, "Save as", "A name for this profile", placeholder="mine")
        self.save = w.Button(description="Save profile", tooltip="All fields but the password")
        self.saved = w.HTML()
        self._show("grey", "not tested")

    def _rows(self) -> list[w.Widget]:
        who, names = [self.ca_file, self.user, self.password], [self.domain, self.project]
        own = {
            "tfserving": [self.rest, self.address, self.hint, self.tls, *who],
            "ccai": [self.rest, self.address, self.hint, self.tls, *who],
            "modelarts": [self.rest, self.hint, self.auth, self.iam, *who, *names],
        }[self._kind]
        models = [self.model, self.version, self.signature] if self._kind == "tfserving" else []
        wrap = w.Layout(flex_flow="row wrap")
        return [
            self.profile,
            *own,
            self.proxy,
            *models,
            w.HBox([self.test, self.lamp], layout=wrap),
            self.why,
            w.HBox([self.name, self.save, self.saved], layout=wrap),
        ]

    def _watch(self) -> None:
        self.profile.observe(lambda _: self._load_profile(), "value")
        for field in (*self._plain.values(), self.model, self.version):
            field.observe(lambda _: self._changed(), "value")
        self.password.observe(self._take_password, "value")
        self.test.on_click(lambda _: self._ask())
        self.save.on_click(lambda _: self._save())

    def _fill_profiles(self, chosen: str) -> None:
        found, problems = profiles.read()
        ours = endpoints.PROFILES[self._kind]
        names = [*ours, *(k for k, e in found.items() if e.kind == self._kind)]
        if endpoints.environment(self._kind):
            names.append("environment")
        self.profile.options = names
        if chosen not in names:
            raise BadInput(" ".join([f"No profile {chosen!r}; there are {names}.", *problems]))
        self.profile.value = chosen
        self.saved.value = escape(" ".join(problems))

    def _load_profile(self, model: str = "", signature_name: str = "") -> None:
        name = self.profile.value
        try:
            found = endpoints.load(self._kind, "practice" if name == "environment" else name)
        except CallError as error:
            found = Endpoint(self._kind)
            self._show("red", str(error))
        self._filling = True
        try:
            self._kept = {name: getattr(found, name) for name in _KEPT}
            self._password = found.password
            for field, widget in self._plain.items():
                widget.value = getattr(found, field)
            self.model.options = found.models
            self.model.value = model or found.model or next(iter(found.models), "")
            self.version.value = version_text(found) or _NEWEST
            signature = signature_name or found.signature_name
            self._offer_signatures([signature], signature)
        finally:
            self._filling = False
        if found.grpc or found.rest:
            self._changed(typing=False)

    def _take_password(self, change: dict[str, Any]) -> None:
        if change["new"]:
            self._password = change["new"]
            self.password.value = ""  # what a widget shows is stored with the notebook
            self.password.placeholder = "kept in memory"
            self._changed()

    def _changed(self, typing: bool = True) -> None:
        if self._filling:
            return
        try:
            endpoint = self.endpoint
            self.hint.value = ""
            way = proxies.proxy(endpoint)
            words = f"The call goes through {way}." if way else "No proxy on the way."
            self.proxy.value = escape(words)
            if (
                endpoint.user or endpoint.password
            ) and typing:  # no password goes to a half-typed address
                self._show("grey", "press Test connection")
            else:
                self._ask(_PAUSE if typing else 0.0)
        except BadInput as error:
            self.hint.value = escape(f"{LAMPS['red']} {error}")
            self._show("grey", "not tested")

    def _ask(self, pause: float = 0.0) -> None:
        try:
            asked = self.endpoint
        except BadInput as error:
            self._show("red", str(error))
            return
        self._show("grey", "asking ...")
        self._asked = asked
        self._pool.submit(self._answer, asked, pause)

    def _answer(self, asked: Endpoint, pause: float) -> None:
        time.sleep(pause)
        if asked is not self._asked:
            return  # the fields have changed since: a later question is on its way
        try:
            words = _ASK[self._kind](self, asked)
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self._show("red", str(error) or type(error).__name__)
            self.why.value = explain(error)._repr_html_()
            return
        self._show("green", words)

    def _ask_tfserving(self, asked: Endpoint) -> str:
        started = time.perf_counter()
        signatures = tfserving.signatures(asked.replace(signature_name=""), timeout=_TIMEOUT)
        words = _answered(started)
        every = asked.replace(version=None, version_label="")
        versions = tfserving.status(every, timeout=_TIMEOUT)
        self._filling = True
        try:
            self.version.options = [_NEWEST, *map(str, versions)]
            self._offer_signatures(list(signatures), self.signature.value)
        finally:
            self._filling = False
        return words

    def _ask_ccai(self, asked: Endpoint) -> str:
        started = time.perf_counter()
        ccai.check(asked, timeout=_TIMEOUT)
        return _answered(started)

    def _ask_modelarts(self, asked: Endpoint) -> str:
        started = time.perf_counter()
        modelarts.check(asked, timeout=_TIMEOUT)
        words = _answered(started)
        if not asked.auth:
            minutes = int(modelarts.get_token(asked, timeout=_TIMEOUT).remaining / 60)
            words += f"; the token lives another {minutes // 60} h {minutes % 60} min"
        return words

    def _offer_signatures(self, names: list[str], wanted: str) -> None:
        self.signature.options = names
        self.signature.value = wanted if wanted in names else names[0] if names else None

    def _save(self) -> None:
        try:
            profiles.save(self.name.value.strip(), self.endpoint)
        except BadInput as error:
            self.saved.value = escape(f"{LAMPS['red']} {error}")
            return
        self.saved.value = "Saved in endpoints.toml, without the password."
        self._filling = True
        self.profile.options = list(dict.fromkeys([*self.profile.options, self.name.value.strip()]))
        self._filling = False

    def _show(self, colour: str, words: str) -> None:
        self.why.value = ""
        state = {"green": "Ready", "red": "Failed", "grey": "Unknown"}[colour]
        self.lamp.value = status(colour, f"{state}: {words}")


_ASK = {
    "tfserving": EndpointPanel._ask_tfserving,
    "ccai": EndpointPanel._ask_ccai,
    "modelarts": EndpointPanel._ask_modelarts,
}


def _answered(started: float) -> str:
    return f"answered in {1000 * (time.perf_counter() - started):.0f} ms"
