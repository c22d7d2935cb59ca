"""What an endpoint is: where a service is, who you are there, and which model is meant."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.errors import BadInput
from helpers.language import _

if TYPE_CHECKING:
    from helpers.endpoints.headers import Headers

SECRETS = ("password", "token")  # fields that are never shown and never written to a file
KINDS = {"tfserving": "TensorFlow Serving", "ccai": "CCAI", "modelarts": "ModelArts"}
_OWN_PATHS = {"tfserving": "/v1/models", "ccai": "/cgi-bin"}  # which the calls add themselves
_OF_MODELARTS = {"x-auth-token", "x-apig-appcode", "x-sdk-date"}  # headers, set by its calls
_TYPES: dict[type, tuple[type, ...]] = {  # of values, by that of a field's default
    bool: (bool,),
    int: (int,),
    type(None): (int, type(None)),
    tuple: (tuple,),
}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One service, and optionally one model of it.

    Parameters
    ----------
    kind : str
        Which protocol it speaks: `tfserving`, `ccai` or `modelarts`.
    rest : str
        Where its REST port is: `http://127.0.0.1:8080`. `https` encrypts. Behind a gateway there
        is a path: `https://host/prefix`. For ModelArts the service's whole address:
        `https://host/v1/infers/eb3e0c54-...`.
    grpc : str
        `host:port` of its gRPC port.
    tls : bool
        Whether the gRPC connection is encrypted.
    ca_file : str
        PEM file of the authority that signed the server's certificate; empty for the
        well-known ones. Setting it sets `tls`.
    cert_file, key_file : str
        PEM files of your own certificate and its key, for a server that asks callers for one
        (mutual TLS); the key may stand in the certificate's file. Setting it sets `tls`.
    verify : bool
        Whether a certificate has to be one to trust. False is for a look at what a server
        answers over REST, never for a password that counts.
    model, signature_name : str
        The model to call, and its signature; an empty signature name means the default.
    version : int, optional
        A version of the model; without one the service takes the newest.
    version_label : str
        A label such as `stable` in place of a version.
    user, password : str
        Who you are there. The password is never shown and never written to a file.
    auth : str
        Of ModelArts, how you prove it: empty for a token, `signature` (user is the AK, password
        the SK) or `appcode` (password is the AppCode).
    iam, domain, project : str
        Of ModelArts, where tokens come from and for which account and project.
    token : str
        Of ModelArts, a token that you have already: none is fetched. A secret as the password is.
    headers : mapping of str to str
        Sent with every call: as headers over REST, as metadata (in small letters) over gRPC. Their
        values are secrets, and go over TLS or to this machine only. `Bearer ${OTW_TOKEN}` is
        filled in from the environment when a call is made. Kept as pairs.
    no_proxy : bool
        Whether calls go past the proxies that the environment names. To this machine they
        always do.
    retries : int
        How often a call is tried again when the connection fails or the service is not
        available, with growing pauses. For calls that may be repeated, as inferences may.
    models : tuple of str
        Names known to be served there, for suggestions: TensorFlow Serving cannot list them.

    Examples
    --------
    >>> here = Endpoint("tfserving", grpc="127.0.0.1:8500", model="digits")
    >>> here.replace(version=2)
    Endpoint(kind='tfserving', grpc='127.0.0.1:8500', model='digits', version=2)
    >>> Endpoint("tfserving", headers={"X-Api-Key": "s3cr3t"})
    Endpoint(kind='tfserving', headers={'X-Api-Key': '${OTW_HEADER_X_API_KEY}'})
    """

    kind: str
    rest: str = ""
    grpc: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    verify: bool = True
    model: str = ""
    version: int | None = None
    version_label: str = ""
    signature_name: str = ""
    user: str = ""
    password: str = ""
    auth: str = ""
    iam: str = ""
    domain: str = ""
    project: str = ""
    token: str = ""
    headers: "Mapping[str, str] | Headers" = ()
    no_proxy: bool = False
    retries: int = 0
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_types(vars(self))
        check_kind(self.kind)
        if not 0 <= self.retries <= 4:
            raise BadInput(_("retries is from 0 to 4: gRPC tries a call five times at most."))
        if self.rest:
            own_path = _OWN_PATHS.get(self.kind, "")
            _check_url(self.rest, own_path=own_path)
            if own_path:  # else the address is the service's own, to the letter
                object.__setattr__(self, "rest", self.rest.rstrip("/"))
        if self.iam:
            _check_url(self.iam, path=False)
        if self.grpc:
            _check_address(self.grpc)
        if self.version is not None and self.version_label:
            raise BadInput(_("Give a version or a version label, not both."))
        if self.ca_file or self.cert_file:
            object.__setattr__(self, "tls", True)
        self._check_caller()

    def _check_caller(self) -> None:
        if self.auth not in ("", "signature", "appcode"):
            raise BadInput(_("auth is signature, appcode or empty, not {auth!r}.", auth=self.auth))
        if self.headers == () and not (self.key_file or self.token):
            return
        from helpers.endpoints import headers  # optional: most endpoints have none of these

        if self.key_file and not self.cert_file:
            raise BadInput(
                _(
                    "A client key is for a certificate. Give its file, too: "
                    "endpoint.replace(cert_file=...)."
                )
            )
        if self.token and self.kind != "modelarts":
            raise BadInput(
                _(
                    "A token is for ModelArts. Give another one as a header: "
                    "endpoint.replace(headers={'Authorization': 'Bearer ...'})."
                )
            )
        if self.token and self.auth:
            raise BadInput(
                _("Give a token, or auth={auth}: one proves who calls.", auth=repr(self.auth))
            )
        pairs = headers.check(self.headers)
        object.__setattr__(self, "headers", pairs)
        names = {name.lower() for name, _value in pairs}
        if "authorization" in names and (self.auth == "signature" or self.sends_user):
            raise BadInput(
                _("The header Authorization is made of user and password. Leave one out.")
            )
        if self.kind == "modelarts" and (own := names & _OF_MODELARTS):
            raise BadInput(
                _(
                    "The header {name} is sent by itself. Give what is in it: "
                    "endpoint.replace(token=...).",
                    name=own.pop(),
                )
            )

    @property
    def service(self) -> str:
        """The service's full name, for sentences."""
        return KINDS[self.kind]

    @property
    def sends_user(self) -> bool:
        """Whether user and password go along with a call, as HTTP's Basic authentication."""
        return bool(self.user) and self.kind != "modelarts"

    def at(self, url: str) -> "Endpoint":
        """Return a copy for another REST address; the headers stay within one server."""
        from urllib.parse import urlsplit  # as in _check_url

        moved = self.replace(rest=url, headers=())
        same = urlsplit(moved.rest)[:2] == urlsplit(self.rest)[:2]
        return moved.replace(headers=self.headers) if same else moved

    def replace(self, **changes: Any) -> "Endpoint":
        """Return a copy with some fields changed."""
        return from_mapping(dataclasses.asdict(self) | changes)

    def public(self) -> dict[str, Any]:
        """Return the fields that are not as a new endpoint has them, without a secret."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in SECRETS and getattr(self, field.name) != field.default
        }
        if self.headers:
            from helpers.endpoints import headers  # as in _check_caller

            fields["headers"] = headers.without_secrets(headers.check(self.headers))
        return fields

    def __repr__(self) -> str:
        return (
            f"Endpoint({', '.join(f'{name}={value!r}' for name, value in self.public().items())})"
        )


def check_kind(kind: str) -> None:
    """Raise BadInput for a kind of service that there is none of."""
    if kind not in KINDS:
        raise BadInput(
            _("Unknown kind {kind!r}. Known: {kinds}.", kind=kind, kinds=", ".join(KINDS))
        )


def from_mapping(values: Mapping[str, Any], what: str = "") -> Endpoint:
    """Make an endpoint of fields by name, or raise BadInput that says what is wrong in `what`."""
    if isinstance(values.get("models"), list):
        values = {**values, "models": tuple(values["models"])}
    names = [field.name for field in dataclasses.fields(Endpoint)]
    for name in values:
        if name not in names:
            raise BadInput(
                _(
                    "{what} has no field {name!r}. Fields: {names}.",
                    what=what or _("This endpoint"),
                    name=name,
                    names=", ".join(names),
                )
            )
    return Endpoint(**values)


def _check_types(values: Mapping[str, Any]) -> None:
    for field in dataclasses.fields(Endpoint):
        value = values[field.name]
        types = _TYPES.get(type(field.default), (str,))
        if field.name == "headers":
            types = (dict, tuple)
        if type(value) not in types:  # isinstance would take True for a number
            raise _of_another_type(field.name, types[0], type(value).__name__)


def _of_another_type(field: str, wanted: type, given: str) -> BadInput:
    words = {
        bool: _("true or false"),
        int: _("a whole number"),
        tuple: _("a list of names"),
        dict: _("a value for each name"),
        str: _("text"),
    }
    return BadInput(
        _("{field!r} is {wanted}, not {given}.", field=field, wanted=words[wanted], given=given)
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by what it is called: no proxy reaches its inside."""
    is_number = host.replace(".", "").isdecimal()  # else 127.example.com would be one
    return host in ("localhost", "[::1]", "::1") or (is_number and host.startswith("127."))


def host_of_url(url: str) -> str:
    """Return the host in a URL."""
    from urllib.parse import urlsplit  # optional: gRPC needs none of it

    return urlsplit(url).hostname or ""


def _check_address(address: str) -> None:
    host, colon, port = address.rpartition(":")
    valid = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    plain_ipv6 = address.count(":") > 1 and not host.startswith("[")
    if "/" in address or plain_ipv6 or not (colon and host and valid):
        raise BadInput(
            _(
                "{address!r} is not a gRPC address. Write host:port, such as 127.0.0.1:8500, "
                "without http:// and with a port from 1 to 65535. IPv6 goes in brackets: "
                "[::1]:8500.",
                address=address,
            )
        )


def _check_url(url: str, *, path: bool = True, own_path: str = "") -> None:
    from urllib.parse import urlsplit  # optional: many endpoints have no REST port

    try:
        parts = urlsplit(url)
        bare = url == f"{parts.scheme}://{parts.netloc}{parts.path if path else ''}"
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and bare
    except ValueError:  # a port that is no number, or brackets that do not close
        valid = False
    else:
        valid = valid and not (own_path and f"{own_path}/" in f"{parts.path}/")
    if not valid or "@" in url or " " in url:
        problem = _("{address!r} is not a REST address.", address=url)
        if "@" in url:  # there may be a password in it
            problem = _("This is not a REST address.")
        advice = _(
            "Write http://host:port or https://host:port, without a path, a user or a password."
        )
        if own_path:
            advice = _(
                "Write http://host:port or https://host:port, with the path of a gateway if there "
                "is one, such as http://host/prefix, without {path}, a user or a password.",
                path=own_path,
            )
        elif path:
            advice = _(
                "Write http://host:port or https://host:port, as the service's page gives it, "
                "without a user or a password."
            )
        raise BadInput(f"{problem} {advice}")
