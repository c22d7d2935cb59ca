"""A call of ModelArts as code to paste: a token or another proof first, then JSON or a file."""

import dataclasses
import inspect
import json
from typing import Any

from helpers import modelarts
from helpers.language import _
from helpers.modelarts import signing
from workbench.code import curl, literals
from workbench.code.previews import BODY, MODULE, ON_INPUT, NoCode, Writer, either, unnamed

_IDENTITY = ("user", "password", "domain", "project")  # of an endpoint, for a token
_SIGNING = f"signing{MODULE}"
_SIGN = either(
    ["from helpers.modelarts import sign"],
    ["from signing import sign"],
    "without Over the Wire: Save files in the Explorer writes signing.py",
)
_FETCHED = 'response.headers["X-Subject-Token"]'
_REDIRECTS = "allow_redirects=False"  # the proof would go along


@dataclasses.dataclass
class ModelArtsWriter(Writer):
    """Writes a call of a ModelArts service.

    Parameters
    ----------
    endpoint : Endpoint
        Its `auth` says how callers prove who they are.
    body : dict
        What is posted as JSON.
    content : bytes
        In place of it, a file's.
    name : str
        Of the form's field that has the file.

    Raises
    ------
    BadInput
        For what cannot be written as JSON.

    Examples
    --------
    >>> from helpers.endpoints import Endpoint
    >>> here = Endpoint("modelarts", rest="https://host/v1/infers/a", auth="appcode")
    >>> print(ModelArtsWriter(here, {"data": 1}, shell="sh").preview().code["curl"])
    curl -H "X-Apig-AppCode: ${OTW_MODELARTS_APPCODE}" -H 'Content-Type: application/json' \
-d '{"data": 1}' https://host/v1/infers/a
    """

    body: Any = None
    __: dataclasses.KW_ONLY
    content: bytes = b""
    name: str = "images"
    timeout: float = 45.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.text = modelarts.to_json(self.body)

    def grpc(self) -> str:
        raise NoCode(_("ModelArts is called over HTTPS only, not over gRPC."))

    def requests(self) -> str:
        self._check_https()
        signature = self.endpoint.auth == "signature"
        argument, sent = self._sent()
        headers = ["headers"] if self._headers() else []
        if argument == "data=body":
            headers.append("kind")
        arguments = ["url", argument]
        if headers:
            arguments.append(f"headers={' | '.join(headers)}")
        if signature:
            user, password = map(self.environment, ("user", "password"))
            self.files[_SIGNING] = _signing
            call = [
                f'request = requests.Request("POST", {", ".join(arguments)}).prepare()',
                f"sign(request, {user}, {password})",
                *self.requests_call(["request", _REDIRECTS], "requests.Session().send"),
            ]
        else:
            call = self.requests_call([*arguments, _REDIRECTS])
        return self.script(
            [f"url = {literals.python(self.endpoint.rest)}", *sent],
            self._headers(),
            call,
            ["answer = response.json()", "print(answer)"],
            imports=_SIGN if signature else [],
        )

    def curl(self) -> str:
        self._check_https()
        if self.endpoint.auth == "signature":
            raise NoCode(
                _(
                    "curl cannot sign as ModelArts asks. "
                    "Use Python, or an endpoint with a token or an AppCode."
                )
            )
        before, header = self._curl_header()
        header = " ".join(filter(None, [header, self.curl_caller()]))
        options = self.curl_options()
        if self.content:
            if not self.name or "=" in self.name:
                raise unnamed()
            file = self.add_file(self.content, self.name)
            words = [*options, "-F", f"{self.name}=@{file}", self.endpoint.rest]
            return before + curl.command(words, self.shell, header)
        text = self.text
        if len(text) > ON_INPUT:
            self.files[BODY] = text.encode
            text = f"@{BODY}"
        options = ["-H", "Content-Type: application/json", *options]
        return before + curl.post(self.endpoint.rest, text, self.shell, options, header)

    def json(self) -> str:
        if self.content:
            raise NoCode(_("This call sends a file, not JSON."))
        return self.text

    def _check_https(self) -> None:
        if not self.endpoint.rest.startswith("https:"):
            raise NoCode(_("ModelArts speaks HTTPS only, and this endpoint has no such address."))

    def _sent(self) -> tuple[str, list[str]]:
        """Return the argument that has what is sent, and the lines that make it."""
        if self.content:
            code = self.file_bytes(self.content, self.name)
            return "files=files", [f'files = {{{literals.python(self.name)}: ("image", {code})}}']
        if self.body is None:
            return "data=body", [
                'body = "null"  # json=None would send nothing',
                'kind = {"Content-Type": "application/json"}',
            ]
        return "json=body", [f"body = {literals.python(self.body)}"]

    def _headers(self) -> list[str]:
        """Write what makes the headers that prove who calls."""
        headers = self.headers()
        if self.endpoint.auth == "signature":
            return [f"headers = {literals.mapping(headers)}"] if headers else []
        proof = self._proof()
        if proof:
            name, field = proof
            return [f"headers = {literals.mapping({name: self.environment(field)} | headers)}"]
        user, password, domain, project = map(self.environment, _IDENTITY)
        caller = {"name": user, "password": password, "domain": "domain"}
        return [
            f'domain = {{"name": {domain}}}',
            f"user = {literals.mapping(caller)}",
            'identity = {"methods": ["password"], "password": {"user": user}}',
            f'scope = {{"project": {{"name": {project}}}}}',
            'who = {"auth": {"identity": identity, "scope": scope}}',
            *self.requests_call([literals.python(self._token_url()), "json=who", _REDIRECTS]),
            f"headers = {literals.mapping({'X-Auth-Token': _FETCHED} | headers)}",
        ]

    def _proof(self) -> tuple[str, str] | None:
        """Return the header and the field that prove who calls, without another call before."""
        if self.endpoint.auth == "appcode":
            return "X-Apig-AppCode", "password"
        return ("X-Auth-Token", "token") if self.endpoint.token else None

    def _curl_header(self) -> tuple[str, str]:
        """Return a command that has to come first, and the option that proves who calls."""
        if proof := self._proof():
            name, field = proof
            return "", f'-H "{name}: {self.shell_variable(field)}"'
        nowhere = "NUL" if self.shell == "powershell" else "/dev/null"
        words = [*self.curl_options(), "--silent", "--show-error", "--dump-header", "-"]
        words += ["--output", nowhere, "-H", "Content-Type: application/json", "-d", "@-"]
        command = curl.command([*words, self._token_url()], self.shell)
        identity = self._identity()
        if self.shell == "powershell":
            read = "Select-String '^x-subject-token: *(\\S+)'"
            token = f'$token = @"\n{identity}\n"@ | {command} | {read} |\n'
            token += "    ForEach-Object { $_.Matches[0].Groups[1].Value }\n"
        else:
            read = "tr -d '\\r' | awk 'tolower($1) == \"x-subject-token:\" { print $2 }'"
            token = f"token=$({command} <<EOF | {read}\n{identity}\nEOF\n)\n"
        note = "# The variables stand in JSON: a quote or a backslash in them needs a backslash.\n"
        return note + token, '-H "X-Auth-Token: $token"'

    def _token_url(self) -> str:
        return f"{self.endpoint.iam}/v3/auth/tokens?nocatalog=true"

    def _identity(self) -> str:
        """Write the JSON that IAM is asked with."""
        user, password, domain, project = map(self.shell_variable, _IDENTITY)
        caller = {"name": user, "password": password, "domain": {"name": domain}}
        identity = {"methods": ["password"], "password": {"user": caller}}
        scope = {"project": {"name": project}}
        return json.dumps({"auth": {"identity": identity, "scope": scope}})


def _signing() -> bytes:
    """Return the module that signs, to run where nothing else of this project is."""
    source = inspect.getsource(signing)
    return source.replace("from helpers.errors import BadInput", "BadInput = ValueError").encode()
