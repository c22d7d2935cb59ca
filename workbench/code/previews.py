"""A call as code to paste: Python with grpc or requests, curl, JSON; none of it has a secret."""

import dataclasses
import os
import sys
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from helpers import endpoints
from helpers.endpoints import Endpoint
from helpers.endpoints.endpoint import is_loopback
from helpers.language import _
from workbench.code import literals

GRPC = "Python with grpc"
REQUESTS = "Python with requests"
CURL = "curl"
JSON = "JSON"
TITLES = (GRPC, REQUESTS, CURL, JSON)
PROTOCOLS = {"grpc": "gRPC", "rest": "REST"}
BODY = "body.json"  # the file that has JSON which is too long
MODULE = ".py"  # the ending of files that are read only where this project is not installed
ON_INPUT = 16_000  # characters of JSON that a command carries along
_CARRIED = 2_000  # bytes of a file that code carries along
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".wav"}


class Preview(NamedTuple):
    """A call as code by title, why there is none where there is none, and files beside it.

    Each file that the code reads is there by name, with what gives its content.
    """

    code: dict[str, str]
    reasons: dict[str, str]
    files: literals.Files


class NoCode(Exception):
    """There is no code under a title; the text says why."""


@dataclasses.dataclass
class Writer:
    """Writes one call; the writer of a service says how, in a method for each title.

    Parameters
    ----------
    endpoint : Endpoint
        User, password, token and the headers' values become environment variables.
    timeout : float, by keyword
        Seconds.
    shell : str, by keyword
        `sh` or `powershell`; empty for the one of this machine.
    """

    endpoint: Endpoint
    __: dataclasses.KW_ONLY
    timeout: float = 10.0
    shell: str = ""

    def __post_init__(self) -> None:
        self.files: literals.Files = {}  # what the code reads that is being written
        self.shell = self.shell or ("powershell" if sys.platform == "win32" else "sh")

    def grpc(self) -> str:
        """Write Python with grpc. This and the next three raise NoCode where there is none."""
        raise NotImplementedError

    def requests(self) -> str:
        """Write Python with requests."""
        raise NotImplementedError

    def curl(self) -> str:
        """Write a command."""
        raise NotImplementedError

    def json(self) -> str:
        """Write what is posted."""
        raise NotImplementedError

    def preview(self) -> Preview:
        """Write all that there is; `reasons` has the titles that `code` lacks."""
        preview = Preview({}, {}, {})
        writers = (self.grpc, self.requests, self.curl, self.json)
        for title, write in zip(TITLES, writers, strict=True):
            self.files = {}
            try:
                code = write()
            except NoCode as reason:
                preview.reasons[title] = str(reason)
                continue
            read = [name for name in self.files if not name.endswith(MODULE)]
            preview.code[title] = "".join(f"# {beside(name)}\n" for name in read) + code
            preview.files.update(self.files)
        return preview

    def check(self, protocol: str) -> None:
        """Raise NoCode where the endpoint cannot be called by `grpc` or `rest`."""
        address = getattr(self.endpoint, protocol)
        if not address:
            raise NoCode(
                _("This endpoint has no {protocol} address.", protocol=PROTOCOLS[protocol])
            )
        secure = self.endpoint.tls if protocol == "grpc" else address.startswith("https:")
        if self.endpoint.user and not secure:
            raise NoCode(
                _("User and password are sent over TLS only, and this address is without.")
            )
        host = urlsplit(address if protocol == "rest" else f"//{address}").hostname or ""
        if self.endpoint.headers and not (secure or is_loopback(host)):
            raise NoCode(
                _("Headers go to another machine over TLS only, and this address is without.")
            )

    def script(self, *parts: list[str], imports: Sequence[str] = ()) -> str:
        """Join parts of a program, each a list of lines, under the imports that they need.

        What is given as imports comes below those.
        """
        code = "\n\n".join("\n".join(part) for part in parts if part)
        groups = (*literals.imports(code), imports)
        head = "\n\n".join("\n".join(group) for group in groups if group)
        return f"{head}\n\n{code}\n"

    def grpc_call(self, stub: str, method: str) -> list[str]:
        """Write how a channel is opened and the request sent."""
        endpoint = self.endpoint
        limits = ['("grpc.max_receive_message_length", -1)']  # gRPC's own limit is 4 MB
        if self._past_proxies(grpc=True):
            limits.append('("grpc.enable_http_proxy", 0)')
        lines = [f"options = [{', '.join(limits)}]"]
        opened = f"grpc.insecure_channel({literals.python(endpoint.grpc)}, options)"
        arguments = f"request, timeout={self.timeout:g}"
        if endpoint.tls:
            opened = f"grpc.secure_channel({literals.python(endpoint.grpc)}, credentials, options)"
            lines += self._credentials()
        metadata = {name.lower(): value for name, value in self.headers().items()}
        if endpoint.tls and endpoint.user:
            user, password = map(self.environment, ("user", "password"))
            lines += [
                f'user_password = {user} + ":" + {password}',
                'basic = "Basic " + base64.b64encode(user_password.encode()).decode()',
            ]
            metadata["authorization"] = "basic"
        if metadata:
            pairs = [f"    ({literals.python(name)}, {value})," for name, value in metadata.items()]
            lines += ["metadata = [", *pairs, "]"]
            arguments += ", metadata=metadata"
        return [
            *lines,
            f"with {opened} as channel:",
            f"    stub = {stub}(channel)",
            f"    response = stub.{method}({arguments})",
        ]

    def requests_call(self, arguments: list[str], function: str = "requests.post") -> list[str]:
        """Write a call with these arguments, and those for the user, the authority and proxies."""
        endpoint = self.endpoint
        before = []
        more = []
        if endpoint.user and endpoint.kind != "modelarts":  # which has headers for it
            pair = (f"{self.environment(field)}.encode()" for field in ("user", "password"))
            more.append(f"auth=({', '.join(pair)})")
        if endpoint.headers and endpoint.kind != "modelarts":  # which has more of them
            before.append(f"headers = {literals.mapping(self.headers())}")
            more.append("headers=headers")
        if endpoint.cert_file and endpoint.rest.startswith("https:"):
            more.append(f"cert=({', '.join(map(literals.python, self._client_files()))})")
        if not endpoint.verify:
            more.append("verify=False")
        elif endpoint.ca_file and endpoint.rest.startswith("https:"):
            more.append(f"verify={self._ca_file()}")
        if self._past_proxies():
            more.append('proxies={"http": "", "https": ""}')
        arguments = [*arguments, *more, f"timeout={self.timeout:g}"]
        call = [f"response = {function}({', '.join(arguments)})"]
        if len(call[0]) > 100 or "\n" in call[0]:
            call = [f"response = {function}(", *(f"    {word}," for word in arguments), ")"]
        return [*before, *call, "if not response.ok:", "    raise SystemExit(response.text)"]

    def curl_options(self) -> list[str]:
        """Return curl's options for the authority and proxies."""
        endpoint = self.endpoint
        options = []
        if not endpoint.verify:
            options.append("--insecure")
        elif endpoint.ca_file and endpoint.rest.startswith("https:"):
            options += ["--cacert", _absolute(endpoint.ca_file)]
        if endpoint.cert_file and endpoint.rest.startswith("https:"):
            certificate, key = self._client_files()
            options += ["--cert", certificate, "--key", key]
        if self._past_proxies():
            options += ["--noproxy", urlsplit(endpoint.rest).hostname or ""]
        return options

    def curl_caller(self) -> str:
        """Return curl's options for user and headers, with the shell's variables."""
        words = []
        if self.endpoint.sends_user:
            user, password = map(self.shell_variable, ("user", "password"))
            words.append(f'--user "{user}:{password}"')
        before = "env:" if self.shell == "powershell" else ""
        for name, value in self._headers_without_secrets().items():
            words.append(f'-H "{name}: {value.replace("${", f"${{{before}")}"')
        return " ".join(words)

    def headers(self) -> dict[str, str]:
        """Return Python that reads each header's value from the environment, by its name."""
        written = {}
        for name, value in self._headers_without_secrets().items():
            scheme, _brace, variable = value.partition("${")
            read = f'os.environ["{variable.rstrip("}")}"]'
            written[name] = f"{literals.python(scheme)} + {read}" if scheme else read
        return written

    def _headers_without_secrets(self) -> dict[str, str]:
        return self.endpoint.public().get("headers", {})

    def environment(self, field: str) -> str:
        """Write Python that reads an endpoint's field from the environment."""
        return f'os.environ["{endpoints.variable(self.endpoint, field)}"]'

    def shell_variable(self, field: str) -> str:
        """Write the same within a shell's double quotes."""
        name = endpoints.variable(self.endpoint, field)
        return f"${{env:{name}}}" if self.shell == "powershell" else f"${{{name}}}"

    def file_bytes(self, content: bytes, name: str) -> str:
        """Write the bytes of a file in Python: carried along, or read from beside the code."""
        if len(content) <= _CARRIED:
            return literals.python(content)
        return f"Path({literals.python(self.add_file(content, name))}).read_bytes()"

    def add_file(self, content: bytes, name: str) -> str:
        """Put a file beside the code; returns its name, with the ending of its kind."""
        ending = next((_ENDINGS[start] for start in _ENDINGS if content.startswith(start)), ".bin")
        file = f"{literals.file_stem(name)}{ending}"
        self.files[file] = lambda: content
        return file

    def _past_proxies(self, *, grpc: bool = False) -> bool:
        """Whether code has to say that it goes past the proxies which the environment names."""
        endpoint = self.endpoint
        host = urlsplit(endpoint.rest or f"//{endpoint.grpc}").hostname or ""
        if not (endpoint.no_proxy or is_loopback(host)):
            return False
        if grpc and os.environ.get("grpc_proxy"):
            return True
        return bool(urllib.request.getproxies()) and not urllib.request.proxy_bypass(host)

    def _credentials(self) -> list[str]:
        endpoint = self.endpoint
        authority = f"Path({self._ca_file()}).read_bytes()" if endpoint.ca_file else ""
        if not endpoint.cert_file:
            return [f"credentials = grpc.ssl_channel_credentials({authority})"]
        certificate, key = map(literals.python, self._client_files())
        return [
            "credentials = grpc.ssl_channel_credentials(",
            f"    {authority or None},",
            f"    Path({key}).read_bytes(),",
            f"    Path({certificate}).read_bytes(),",
            ")",
        ]

    def _client_files(self) -> tuple[str, str]:
        certificate = self.endpoint.cert_file
        return _absolute(certificate), _absolute(self.endpoint.key_file or certificate)

    def _ca_file(self) -> str:
        return literals.python(_absolute(self.endpoint.ca_file))


def either(official: Sequence[str], own: Sequence[str], reason: str) -> list[str]:
    """Write imports of what anybody can install, and of what there is here in place of it."""
    return [
        "try:",
        *(f"    {line}" for line in official),
        f"except ImportError:  # {reason}",
        *(f"    {line}" for line in own),
    ]


def unnamed() -> NoCode:
    """Say of a form that curl cannot send a field of it."""
    return NoCode(
        _("curl sends no field whose name is empty, and none of a file with = in it. Use Python.")
    )


def beside(name: str) -> str:
    """Say of a file that it has to be there."""
    return _("Save {name} from the Explorer first, in the folder in which this runs.", name=name)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
