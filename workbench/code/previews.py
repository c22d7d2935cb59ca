"""How code to paste reaches an endpoint: TLS, proxies, and who calls, without any secret."""

import os
import sys
import urllib.request
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from helpers import endpoints
from helpers.endpoints import Endpoint
from helpers.proxies import is_loopback
from workbench.code import literals

TITLES = GRPC, REQUESTS, CURL, JSON = "Python with grpc", "Python with requests", "curl", "JSON"

UNNAMED = "curl sends no field whose name is empty, and none of a file with = in it. Use Python."
STOP = ["if not response.ok:", "    raise SystemExit(response.text)"]


class Preview(NamedTuple):
    """A call as code by title, why there is none where there is none, and files beside it.

    Each file that the code reads is there by name, with what gives its content.
    """

    code: dict[str, str]
    reasons: dict[str, str]
    files: dict[str, Callable[[], bytes]]


class Channel(NamedTuple):
    """Lines that prepare a gRPC channel, what opens it, and what each call is given besides."""

    before: list[str]
    opened: str
    arguments: str


def channel(endpoint: Endpoint) -> Channel:
    """Write how a gRPC channel is opened."""
    options = '[("grpc.max_receive_message_length", -1)]'  # gRPC's own limit is 4 MB
    if past_proxies(endpoint):
        options = '[("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]'
    address = literals.python(endpoint.grpc)
    before = [f"options = {options}"]
    if not endpoint.tls:
        return Channel(before, f"grpc.insecure_channel({address}, options)", "")
    authority = f"Path({_file(endpoint.ca_file)}).read_bytes()" if endpoint.ca_file else ""
    before.append(f"credentials = grpc.ssl_channel_credentials({authority})")
    opened = f"grpc.secure_channel({address}, credentials, options)"
    if not endpoint.user:
        return Channel(before, opened, "")
    before += [
        f'user_password = {from_environment(endpoint, "user")} + ":" + '
        f"{from_environment(endpoint, 'password')}",
        'basic = "Basic " + base64.b64encode(user_password.encode()).decode()',
    ]
    return Channel(before, opened, ', metadata=[("authorization", basic)]')


def request_arguments(endpoint: Endpoint) -> list[str]:
    """Write what `requests.post` is given besides the content: user, authority, proxies."""
    more = []
    if endpoint.user and endpoint.kind != "modelarts":
        who = (f"{from_environment(endpoint, field)}.encode()" for field in ("user", "password"))
        more.append(f"auth=({', '.join(who)})")
    if not endpoint.verify:
        more.append("verify=False")
    elif endpoint.ca_file and endpoint.rest.startswith("https:"):
        more.append(f"verify={_file(endpoint.ca_file)}")
    if past_proxies(endpoint):
        more.append('proxies={"http": "", "https": ""}')
    return more


def curl_options(endpoint: Endpoint) -> list[str]:
    """Return curl's options for the same."""
    options = []
    if not endpoint.verify:
        options.append("--insecure")
    elif endpoint.ca_file and endpoint.rest.startswith("https:"):
        options += ["--cacert", _path(endpoint.ca_file)]
    if past_proxies(endpoint):
        options += ["--noproxy", urlsplit(endpoint.rest).hostname or ""]
    return options


def curl_user(endpoint: Endpoint, shell: str) -> str:
    """Return curl's option for the user, with the shell's variables."""
    if not endpoint.user or endpoint.kind == "modelarts":
        return ""
    return f'--user "{in_shell(endpoint, "user", shell)}:{in_shell(endpoint, "password", shell)}"'


def past_proxies(endpoint: Endpoint) -> bool:
    """Whether code has to say that it goes past the proxies which the environment names."""
    host = urlsplit(endpoint.rest or f"//{endpoint.grpc}").hostname or ""
    if not (endpoint.no_proxy or is_loopback(host)):
        return False
    if os.environ.get("grpc_proxy"):
        return True
    return bool(urllib.request.getproxies()) and not urllib.request.proxy_bypass(host)


def refusal(endpoint: Endpoint, way: str) -> str:
    """Say why an endpoint cannot be called by `grpc` or `rest`, if it cannot."""
    address, name = getattr(endpoint, way), {"grpc": "gRPC", "rest": "REST"}[way]
    if not address:
        return f"This endpoint has no {name} address."
    secure = endpoint.tls if way == "grpc" else address.startswith("https:")
    if endpoint.user and not secure:
        return "User and password are sent over TLS only, and this address is without."
    return ""


def variable(endpoint: Endpoint, field: str) -> str:
    """Return the environment variable for a field, as `otw practice env` calls it."""
    profiles = endpoints.PROFILES[endpoint.kind]
    like = f"practice-{endpoint.auth or ('secure' if endpoint.kind == 'ccai' else '')}"
    return endpoints.variable(endpoint.kind, profiles.get(like, profiles["practice"])[field])


def from_environment(endpoint: Endpoint, field: str) -> str:
    """Write Python that reads a field from the environment."""
    return f'os.environ["{variable(endpoint, field)}"]'


def in_shell(endpoint: Endpoint, field: str, shell: str) -> str:
    """Write a field as a variable within a shell's double quotes."""
    name = variable(endpoint, field)
    return f"${{env:{name}}}" if shell == "powershell" else f"${{{name}}}"


def this_shell() -> str:
    """Return the shell of this machine: `sh` or `powershell`."""
    return "powershell" if sys.platform == "win32" else "sh"


def script(*parts: list[str], files: literals.Files | None = None) -> str:
    """Join parts of a Python program, each a list of lines, under the imports that they need.

    The first part is imports of this project's own.
    """
    code = "\n\n".join("\n".join(part) for part in parts[1:] if part)
    groups = (*literals.imports(code), parts[0])
    head = "\n\n".join("\n".join(group) for group in groups if group)
    notes = "".join(f"# {beside(name)}\n" for name in files or ())
    return f"{notes}{head}\n\n{code}\n"


def call_lines(function: str, arguments: list[str]) -> list[str]:
    """Write a call on one line if it fits, else with an argument on each."""
    line = f"{function}({', '.join(arguments)})"
    if len(line) <= 100 and "\n" not in line:
        return [line]
    return [f"{function}(", *(f"    {each}," for each in arguments), ")"]


def beside(name: str) -> str:
    """Say of a file that it has to be there."""
    return f"Save {name} from the Explorer first, in the folder in which this runs."


def _file(name: str) -> str:
    return literals.python(_path(name))


def _path(name: str) -> str:
    return os.path.abspath(os.path.expanduser(name))
