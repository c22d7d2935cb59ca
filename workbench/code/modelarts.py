"""A call of ModelArts as code to paste: a token or another proof first, then JSON or a file."""

import json
from typing import Any

from helpers import modelarts
from helpers.endpoints import Endpoint
from workbench.code import connections, literals
from workbench.code import curl as snippets
from workbench.code.ccai import add_file, file_code
from workbench.code.connections import CURL, GRPC, JSON, REQUESTS, Preview, from_environment
from workbench.code.tfserving import BODY, ON_INPUT

_NULL = [
    'body = "null"  # json=None would send nothing',
    'kind = {"Content-Type": "application/json"}',
]
_SIGNED = (
    "curl cannot sign as ModelArts asks. Use Python, or an endpoint with a token or an AppCode."
)


def preview(
    endpoint: Endpoint,
    body: Any = None,
    *,
    content: bytes = b"",
    name: str = "images",
    timeout: float = 45.0,
    shell: str = "",
) -> Preview:
    """Write a call of a ModelArts service.

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
    timeout : float
        Seconds.
    shell : str
        As for `workbench.code.tfserving.preview`.

    Returns
    -------
    Preview

    Raises
    ------
    BadInput
        For what cannot be written as JSON.

    Examples
    --------
    >>> here = Endpoint("modelarts", rest="https://host/v1/infers/a", auth="appcode")
    >>> print(preview(here, {"data": 1}, shell="sh").code["curl"])
    curl -H "X-Apig-AppCode: ${OTW_MODELARTS_APPCODE}" -H 'Content-Type: application/json' \
-d '{"data": 1}' https://host/v1/infers/a
    """
    text = modelarts.to_json(body)
    found = Preview({}, {GRPC: "ModelArts is called over HTTPS only, not over gRPC."}, {})
    if content:
        found.reasons[JSON] = "This call sends a file, not JSON."
    else:
        found.code[JSON] = text
    if not endpoint.rest.startswith("https:"):
        reason = "ModelArts speaks HTTPS only, and this endpoint has no such address."
        found.reasons.update(dict.fromkeys((REQUESTS, CURL), reason))
        return found
    found.code[REQUESTS] = _requests(endpoint, body, content, name, timeout, found.files)
    shell = shell or connections.this_shell()
    if endpoint.auth == "signature":
        found.reasons[CURL] = _SIGNED
    elif content and (not name or "=" in name):
        found.reasons[CURL] = connections.UNNAMED
    elif content:
        found.code[CURL] = _curl_file(endpoint, content, name, shell, found.files)
    else:
        found.code[CURL] = _curl_json(endpoint, text, shell, found.files)
    return found


def _requests(
    endpoint: Endpoint,
    body: Any,
    content: bytes,
    name: str,
    timeout: float,
    files: literals.Files,
) -> str:
    own: literals.Files = {}
    what, sent = _sent(body, content, name, own)
    files.update(own)
    headers = [] if endpoint.auth == "signature" else ["headers"]
    headers += ["kind"] if sent == _NULL else []
    arguments = ["url", what, *([f"headers={' | '.join(headers)}"] if headers else [])]
    # No redirect is followed: the proof would go along.
    more = ["allow_redirects=False", *connections.request_arguments(endpoint)]
    more.append(f"timeout={timeout:g}")
    if endpoint.auth == "signature":
        helper = ["from helpers import modelarts"]
        call = [
            f'request = requests.Request("POST", {", ".join(arguments)}).prepare()',
            f"modelarts.sign(request, {from_environment(endpoint, 'user')}, "
            f"{from_environment(endpoint, 'password')})",
            *connections.call_lines("response = requests.Session().send", ["request", *more]),
        ]
    else:
        helper = []
        call = connections.call_lines("response = requests.post", [*arguments, *more])
    return connections.script(
        helper,
        [f"url = {literals.python(endpoint.rest)}", *sent],
        _proof(endpoint, more),
        call + connections.STOP,
        ["answer = response.json()", "print(answer)"],
        files=own,
    )


def _sent(body: Any, content: bytes, name: str, files: literals.Files) -> tuple[str, list[str]]:
    """Return the argument that has what is sent, and the lines that make it."""
    if content:
        code = file_code(content, name, files)
        return "files=files", [f'files = {{{literals.python(name)}: ("image", {code})}}']
    if body is None:
        return "data=body", _NULL
    return "json=body", [f"body = {literals.python(body)}"]


def _proof(endpoint: Endpoint, more: list[str]) -> list[str]:
    """Write what makes the headers that prove who calls."""
    if endpoint.auth == "signature":
        return []
    if endpoint.auth == "appcode":
        return [f'headers = {{"X-Apig-AppCode": {from_environment(endpoint, "password")}}}']
    user, password, domain, project = (
        from_environment(endpoint, field) for field in ("user", "password", "domain", "project")
    )
    iam = literals.python(f"{endpoint.iam}/v3/auth/tokens?nocatalog=true")
    who = literals.block([f'"name": {user}', f'"password": {password}', '"domain": domain'])
    return [
        f'domain = {{"name": {domain}}}',
        f"user = {who}",
        'identity = {"methods": ["password"], "password": {"user": user}}',
        f'scope = {{"project": {{"name": {project}}}}}',
        'who = {"auth": {"identity": identity, "scope": scope}}',
        *connections.call_lines("response = requests.post", [iam, "json=who", *more]),
        *connections.STOP,
        'headers = {"X-Auth-Token": response.headers["X-Subject-Token"]}',
    ]


def _curl_json(endpoint: Endpoint, text: str, shell: str, files: literals.Files) -> str:
    before, header = _curl_proof(endpoint, shell)
    options = ["-H", "Content-Type: application/json", *connections.curl_options(endpoint)]
    if len(text) > ON_INPUT:
        files[BODY] = text.encode
        before = f"# {connections.beside(BODY)}\n{before}"
        text = f"@{BODY}"
    return before + snippets.curl(endpoint.rest, text, shell, options, header)


def _curl_file(
    endpoint: Endpoint, content: bytes, name: str, shell: str, files: literals.Files
) -> str:
    before, header = _curl_proof(endpoint, shell)
    file = add_file(content, name, files)
    words = [*connections.curl_options(endpoint), "-F", f"{name}=@{file}", endpoint.rest]
    return f"# {connections.beside(file)}\n{before}{snippets.command(words, shell, header)}"


def _curl_proof(endpoint: Endpoint, shell: str) -> tuple[str, str]:
    """Return a command that has to come first, and the option that proves who calls."""
    if endpoint.auth == "appcode":
        code = connections.in_shell(endpoint, "password", shell)
        return "", f'-H "X-Apig-AppCode: {code}"'
    options = [*connections.curl_options(endpoint), "--silent", "--show-error", "--dump-header"]
    url = f"{endpoint.iam}/v3/auth/tokens?nocatalog=true"
    nowhere = "NUL" if shell == "powershell" else "/dev/null"
    words = [*options, "-", "--output", nowhere, "-H", "Content-Type: application/json"]
    asked = snippets.command([*words, "-d", "@-", url], shell)
    who = _identity(endpoint, shell)
    note = "# The variables stand in JSON: a quote or a backslash in them needs a backslash.\n"
    if shell == "powershell":
        read = "Select-String '^x-subject-token: *(\\S+)'"
        token = f'$token = @"\n{who}\n"@ | {asked} | {read} |\n    ForEach-Object '
        return note + token + "{ $_.Matches[0].Groups[1].Value }\n", '-H "X-Auth-Token: $token"'
    read = "tr -d '\\r' | awk 'tolower($1) == \"x-subject-token:\" { print $2 }'"
    token = f"token=$({asked} <<EOF | {read}\n{who}\nEOF\n)\n"
    return note + token, '-H "X-Auth-Token: $token"'


def _identity(endpoint: Endpoint, shell: str) -> str:
    user, password, domain, project = (
        connections.in_shell(endpoint, field, shell)
        for field in ("user", "password", "domain", "project")
    )
    caller = {"name": user, "password": password, "domain": {"name": domain}}
    identity = {"methods": ["password"], "password": {"user": caller}}
    return json.dumps({"auth": {"identity": identity, "scope": {"project": {"name": project}}}})
