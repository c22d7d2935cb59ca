"""The endpoint panel: where the service is, filled in by hand, and tried at once."""

import concurrent.futures
import time
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w

from helpers import ccai, endpoints, modelarts, tfserving
from helpers.endpoints import Endpoint, headers, profiles
from helpers.endpoints.endpoint import SECRETS
from helpers.errors import BadInput, CallError, explain, places
from helpers.language import _
from workbench import proxies
from workbench.fields import LAMPS, Fields, button, read_version, status, version_text

# Of an endpoint: what a field here has, under the same name, and what of a profile has none.
_FILES = ("ca_file", "cert_file", "key_file")
_FIELDS = ("rest", "grpc", "tls", *_FILES, "user", "auth", "iam", "domain", "project")
_KEPT = ("models", "verify", "no_proxy", "retries")
TIMEOUT = 5.0  # seconds for a test of the connection
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

    Password, token and the headers' values are neither in the notebook, nor in its widgets'
    state, nor in a profile.

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
        self._kind = kind
        self._newest = _("newest")
        self._secrets = dict.fromkeys(SECRETS, "")
        self._headers: dict[str, str] = {}
        self._fields = Fields()
        self._kept: dict[str, Any] = {}
        # One thread: answers arrive in the order of the questions, and never block the kernel.
        self._pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="panel")
        self._make_fields()
        if profile == "practice" and endpoints.environment(kind):
            profile = "environment"  # its addresses are the ones that `load` gives
        self._fill_profiles(profile)
        super().__init__(self._rows())
        self._load_profile(model, signature_name)

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint as the fields say it now; BadInput when they cannot be one."""
        values = {name: getattr(self, name).value for name in (*_FIELDS, "model")}
        values = {n: v.strip() if isinstance(v, str) else v for n, v in values.items()}
        values |= {
            "kind": self._kind,
            **self._secrets,
            "headers": self._headers,
            "signature_name": self.signature.value or "",
            **read_version(self.version.value.strip(), self._newest),
            **self._kept,
        }
        return endpoints.from_mapping(values, _("The panel"))

    def wait(self, timeout: float = 10.0) -> None:
        """Wait until what was asked of the service has been answered."""
        self._pool.submit(lambda: None).result(timeout)

    def __repr__(self) -> str:
        return f"EndpointPanel({self._kind!r})"

    def _make_fields(self) -> None:
        def field(kind: type, label: str, tooltip: str, **options: Any) -> Any:
            return self._fields(kind, label, tooltip, **{"changed": self._changed, **options})

        self.profile = field(
            w.Dropdown,
            _("Profile"),
            _("Where the fields below come from"),
            changed=self._load_profile,
        )
        self.rest = field(w.Text, _("REST address"), _("http://host:port or https://host:port"))
        self.grpc = field(w.Text, _("gRPC address"), _("host:port, such as 127.0.0.1:8500"))
        self.tls = field(
            w.Checkbox, _("TLS"), _("Whether the connection is encrypted"), indent=True
        )
        self.ca_file = field(
            w.Text, _("CA file"), _("PEM file of your own authority, if it has one")
        )
        self.user = field(w.Text, _("User"), _("Who you are there; empty if nobody asks"))
        kept = _("Kept in this kernel's memory only")

        def secret(label: str, tooltip: str, taken: Callable[[], None]) -> w.Password:
            options = {"changed": taken, "continuous_update": False}
            return field(w.Password, label, tooltip, **options)

        self.password = secret(_("Password"), kept, lambda: self._take("password"))
        self.token = secret(
            _("Token"),
            _("One that you have already: none is fetched. Kept in this kernel's memory only"),
            lambda: self._take("token"),
        )
        self.header = self._fields(
            w.Combobox,
            _("Header"),
            _("Its name, such as Authorization; over gRPC it is metadata"),
            continuous_update=False,
        )
        self.header_value = secret(
            _("Header's value"),
            _("Such as Bearer ..., kept in this kernel's memory only; ${NAME} is a variable"),
            self._take_header,
        )
        self.forget_header = button(
            _("Remove header"), _("Send it no more"), self._forget_header, disabled=True
        )
        self.headers = self._fields(w.HTML, " ", "")
        self.cert_file = field(
            w.Text, _("Client certificate"), _("PEM file of your own, if the server asks for one")
        )
        self.key_file = field(w.Text, _("Client key"), _("PEM file of its key"))
        callers = [
            (_("user and password, for a token"), ""),
            (_("AK and SK, as a signature"), "signature"),
            (_("AppCode, as the password"), "appcode"),
        ]
        self.auth = field(w.Dropdown, _("Way in"), _("How you prove who you are"), options=callers)
        self.iam = field(w.Text, _("IAM address"), _("https://host: where tokens come from"))
        self.domain = field(
            w.Text, _("Domain"), _("The name of the account that the user belongs to")
        )
        self.project = field(w.Text, _("Project"), _("The name of the project, often the region's"))
        self.model = field(w.Combobox, _("Model"), _("The model's name; choose one or type it"))
        tooltip = _("A version from the server's list, or a label")
        self.version = field(w.Combobox, _("Version or label"), tooltip, options=[self._newest])
        self.signature = self._fields(
            w.Dropdown, _("Signature"), _("Filled from the server"), options=[""]
        )
        self.hint = w.HTML(layout=w.Layout(margin="0 0 0 9em"))
        self.proxy = w.HTML(description=_("Proxy"), style={"description_width": "9em"})
        self.test = button(_("Test connection"), _("Ask whether it answers"), self._ask)
        self.lamp = w.HTML()
        self.why = w.HTML()
        self.name = self._fields(
            w.Text, _("Save as"), _("A name for this profile"), placeholder="mine"
        )
        self.save = button(_("Save profile"), _("All fields but secrets"), self._save)
        self.saved = w.HTML()
        self._show("grey", _("not tested"))

    def _rows(self) -> list[w.Widget]:
        caller = [self.ca_file, self.user, self.password]
        value = self._fields.row(self.forget_header)
        gateway = [self.header, self.header_value, value, self.cert_file, self.key_file]
        folded = w.Accordion([w.VBox(gateway)], titles=[_("Headers and client certificate")])
        more = [folded, self.headers, self.proxy]
        if self._kind == "modelarts":
            names = [self.domain, self.project]
            own = [self.rest, self.hint, self.auth, self.token, self.iam, *caller, *names, *more]
        else:
            own = [self.rest, self.grpc, self.hint, self.tls, *caller, *more]
        if self._kind == "tfserving":
            own += [self.model, self.version, self.signature]
        wrap = w.Layout(flex_flow="row wrap")
        return [
            self.profile,
            *own,
            w.HBox([self.test, self.lamp], layout=wrap),
            self.why,
            w.HBox([self.name, self.save, self.saved], layout=wrap),
        ]

    def _fill_profiles(self, chosen: str) -> None:
        saved, problems = profiles.read()
        names = list(endpoints.PROFILES[self._kind])
        names += [name for name, endpoint in saved.items() if endpoint.kind == self._kind]
        if endpoints.environment(self._kind):
            names.append("environment")
        if chosen not in names:
            raise BadInput(
                " ".join(
                    [
                        _("No profile {name!r}; there are {names}.", name=chosen, names=names),
                        *problems,
                    ]
                )
            )
        self._fields.offer(self.profile, names, chosen)
        self.saved.value = escape(" ".join(problems))

    def _load_profile(self, model: str = "", signature_name: str = "") -> None:
        name = self.profile.value
        try:
            endpoint = endpoints.load(self._kind, "practice" if name == "environment" else name)
        except CallError as error:
            endpoint = Endpoint(self._kind)
            self._show("red", str(error))
        self._kept = {field: getattr(endpoint, field) for field in _KEPT}
        self._secrets = {name: getattr(endpoint, name) for name in SECRETS}
        self._headers = dict(endpoint.headers)
        self._show_headers()
        fields = {name: getattr(self, name) for name in _FIELDS}
        with self._fields.quiet(*fields.values(), self.model, self.version):
            for name, field in fields.items():
                field.value = getattr(endpoint, name)
            self.model.options = endpoint.models
            self.model.value = model or endpoint.model or next(iter(endpoint.models), "")
            self.version.value = version_text(endpoint) or self._newest
        signature = signature_name or endpoint.signature_name
        self._fields.offer(self.signature, [signature], signature)
        if endpoint.grpc or endpoint.rest:
            self._changed(typing=False)

    def _take(self, name: str) -> None:
        field = getattr(self, name)
        if field.value:
            self._secrets[name] = _emptied(field)
            self._changed()

    def _take_header(self) -> None:
        if not self.header_value.value:
            return
        value = _emptied(self.header_value)
        name = self.header.value.strip()
        headers = {**self._without(name), name: value.strip()}
        try:
            endpoints.from_mapping({"kind": self._kind, "headers": headers}, _("The panel"))
        except BadInput as error:
            self._show_headers(_worded(error))
            return
        self._headers = headers
        self.header.value = ""
        self._show_headers()
        self._changed()

    def _forget_header(self) -> None:
        self._headers = self._without(self.header.value.strip())
        self.header.value = ""
        self._show_headers()
        self._changed()

    def _without(self, name: str) -> dict[str, str]:
        low = name.lower()
        return {other: value for other, value in self._headers.items() if other.lower() != low}

    def _show_headers(self, problem: str = "") -> None:
        """Show the names, and which variable to set where a value is not there yet."""
        unset = headers.missing(tuple(self._headers.items()))
        lines = [
            _("{name}: set {variable} before the kernel starts, or type its value", **one)
            for one in ({"name": name, "variable": variable} for name, variable in unset.items())
        ]
        if problem:
            lines.append(problem)
        kept = [name for name in self._headers if name not in unset]
        if kept:
            lines.insert(0, _("Sent with each call: {names}", names=", ".join(kept)))
        self.headers.value = "<br>".join(map(escape, lines))
        self.header.options = tuple(self._headers)
        self.forget_header.disabled = not self._headers

    def _changed(self, typing: bool = True) -> None:
        try:
            endpoint = self.endpoint
            self.hint.value = ""
            proxy = proxies.proxy(endpoint)
            words = (
                _("The call goes through {proxy}.", proxy=proxy)
                if proxy
                else _("No proxy on the way.")
            )
            self.proxy.value = escape(words)
            if typing and (endpoint.user or any(self._secrets.values()) or self._headers):
                # No secret goes to a half-typed address.
                self._show("grey", _("press Test connection"))
            else:
                self._ask(_PAUSE if typing else 0.0)
        except BadInput as error:
            self.hint.value = escape(f"{LAMPS['red']} {_worded(error)}")
            self._show("grey", _("not tested"))

    def _ask(self, pause: float = 0.0) -> None:
        try:
            endpoint = self.endpoint
        except BadInput as error:
            self._show("red", _worded(error))
            return
        self._show("grey", _("asking ..."))
        self._asked = endpoint
        self._pool.submit(self._answer, endpoint, pause)

    def _answer(self, endpoint: Endpoint, pause: float) -> None:
        time.sleep(pause)
        if endpoint is not self._asked:
            return  # the fields have changed since: a later question is on its way
        try:
            words = self._ask_service(endpoint)
        except Exception as error:  # whatever it is, the reader should see it, not the log
            self._show("red", _worded(error) or type(error).__name__)
            self.why.value = explain(error, places.FORM)._repr_html_()
            return
        self._show("green", words)

    def _ask_service(self, endpoint: Endpoint) -> str:
        """Say in which time it answered, and what else it told."""
        started = time.perf_counter()
        if self._kind == "ccai":
            ccai.check(endpoint, timeout=TIMEOUT)
        elif self._kind == "modelarts":
            modelarts.check(endpoint, timeout=TIMEOUT)
        else:
            every = endpoint.replace(signature_name="")
            signatures = tfserving.signatures(every, timeout=TIMEOUT)
            if endpoint.grpc and endpoint.rest:
                self._ask_over_rest(every)
        words = _(
            "answered in {milliseconds:.0f} ms", milliseconds=1000 * (time.perf_counter() - started)
        )
        if self._kind == "tfserving":
            every = endpoint.replace(version=None, version_label="")
            versions = tfserving.status(every, timeout=TIMEOUT)
            self.version.options = [self._newest, *map(str, versions)]
            self._fields.offer(self.signature, list(signatures), self.signature.value)
        if self._kind == "modelarts" and not (endpoint.auth or endpoint.token):
            minutes = int(modelarts.get_token(endpoint, timeout=TIMEOUT).remaining / 60)
            hours, minutes = divmod(minutes, 60)
            words = _(
                "{answered}; the token lives another {hours} h {minutes} min",
                answered=words,
                hours=hours,
                minutes=minutes,
            )
        return words

    def _ask_over_rest(self, endpoint: Endpoint) -> None:
        try:
            tfserving.status(endpoint, timeout=TIMEOUT, protocol="rest")
        except CallError as error:
            words = _(
                "Over gRPC it answers, over REST it does not. {reason} Leave the REST address "
                "empty if you do not use it.",
                reason=_worded(error),
            )
            raise type(error)(words, code=error.code, details=error.details) from error

    def _save(self) -> None:
        name = self.name.value.strip()
        try:
            profiles.save(name, self.endpoint)
        except BadInput as error:
            self.saved.value = escape(f"{LAMPS['red']} {error}")
            return
        self.saved.value = escape(_saved(self.endpoint))
        names = list(dict.fromkeys([*self.profile.options, name]))
        self._fields.offer(self.profile, names, self.profile.value)

    def _show(self, colour: str, words: str) -> None:
        self.why.value = ""
        state = {"green": _("Ready"), "red": _("Failed"), "grey": _("Unknown")}[colour]
        self.lamp.value = status(colour, f"{state}: {words}")


def _emptied(field: w.Password) -> str:
    """Return what was typed, and empty the box: what a widget shows is stored with the notebook."""
    value = field.value
    field.value = ""
    field.placeholder = _("kept in memory")
    return value


def _worded(error: Exception) -> str:
    return places.worded(str(error), places.FORM)


def _saved(endpoint: Endpoint) -> str:
    """Say which variables have to be set for a profile, in place of the secrets it lacks."""
    variables = [
        endpoints.variable(endpoint, field) for field in SECRETS if getattr(endpoint, field)
    ]
    written = endpoint.public().get("headers", {}).values()
    variables += [name for value in written for name in headers.VARIABLE.findall(value)]
    if not variables:
        return _("Saved in endpoints.toml.")
    return _(
        "Saved in endpoints.toml, without secrets. The next session reads them from {variables}.",
        variables=", ".join(variables),
    )
