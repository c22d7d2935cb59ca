"""A call of CCAI as code to paste: a form over REST, a file over gRPC."""

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from workbench.code import connections, literals
from workbench.code import curl as snippets
from workbench.code.connections import CURL, GRPC, JSON, REQUESTS, Preview

_CARRIED = 2_000  # bytes of a file that code carries along
# Paths, by their last word, that answer with a sentence or a page.
_NO_JSON = {"apiinfo", "cpuinfo", "gpuinfo", "meminfo", "policy"}


def preview(
    endpoint: Endpoint,
    path: str,
    form: Mapping[str, Any],
    *,
    method: str = "",
    content: bytes = b"",
    timeout: float = 30.0,
    shell: str = "",
) -> Preview:
    """Write a call of a CCAI service.

    Parameters
    ----------
    endpoint : Endpoint
    path : str
        Such as `fcgi_py_ocr`; empty for a service that there is over gRPC only.
    form : mapping of str to str, number or bytes
        Bytes, of one field at most, are those of a file; they are sent as base64.
    method : str
        The gRPC method that does the same, such as `OCR`, if there is one.
    content : bytes
        What that takes.
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
        When several fields are files.

    Examples
    --------
    >>> here = Endpoint("ccai", rest="http://127.0.0.1:8080")
    >>> preview(here, "fcgi_py_tts", {"text": "Hello"}, shell="sh").code["curl"]
    'curl --data-urlencode text=Hello http://127.0.0.1:8080/cgi-bin/fcgi_py_tts'
    """
    if sum(isinstance(value, bytes) for value in form.values()) > 1:
        raise BadInput("One field of a form can be a file, not several.")
    found = Preview({}, {JSON: "CCAI takes a form, not JSON."}, {})
    reason = connections.refusal(endpoint, "grpc")
    if not method:
        reason = f"CCAI has no gRPC method that does what {path} does."
    if reason:
        found.reasons[GRPC] = reason
    else:
        found.code[GRPC] = _grpc(endpoint, method, content, timeout, found.files)
    reason = connections.refusal(endpoint, "rest")
    if not path:
        reason = f"CCAI has no path that does what {method} does."
    if reason:
        found.reasons.update(dict.fromkeys((REQUESTS, CURL), reason))
        return found
    url = f"{endpoint.rest}/cgi-bin/{path}"
    found.code[REQUESTS] = _requests(endpoint, url, form, timeout, found.files)
    if "" in form:
        found.reasons[CURL] = connections.UNNAMED
        return found
    found.code[CURL] = _curl(endpoint, url, form, shell or connections.this_shell(), found.files)
    return found


def file_code(content: bytes, name: str, files: literals.Files) -> str:
    """Write the bytes of a file in Python: carried along, or read from beside the code."""
    if len(content) <= _CARRIED:
        return literals.python(content)
    return f"Path({literals.python(add_file(content, name, files))}).read_bytes()"


def add_file(content: bytes, name: str, files: dict[str, Callable[[], bytes]]) -> str:
    """Put a file beside the code; returns its name, with the ending of its kind."""
    kinds = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".wav"}
    ending = next((kinds[start] for start in kinds if content.startswith(start)), ".bin")
    file = f"{literals.file_stem(name)}{ending}"
    files[file] = lambda: content
    return file


def _grpc(
    endpoint: Endpoint, method: str, content: bytes, timeout: float, files: literals.Files
) -> str:
    own: literals.Files = {}
    written = file_code(content, "content", own)
    files.update(own)
    channel = connections.channel(endpoint)
    return connections.script(
        [
            "# Without this project: what grpcio-tools makes of CCAI's inference_service.proto.",
            "from protos import inference_service_pb2, inference_service_pb2_grpc",
        ],
        [f"content = {written}"],
        ["request = inference_service_pb2.Input(buffer=content)"],
        [
            *channel.before,
            f"with {channel.opened} as channel:",
            "    stub = inference_service_pb2_grpc.InferenceStub(channel)",
            f"    response = stub.{method}(request, timeout={timeout:g}{channel.arguments})",
        ],
        ["answer = response.json", "print(answer)"],
        files=own,
    )


def _requests(
    endpoint: Endpoint, url: str, form: Mapping[str, Any], timeout: float, files: literals.Files
) -> str:
    own: literals.Files = {}
    items = [f"{literals.python(n)}: {_field(n, value, own)}" for n, value in form.items()]
    files.update(own)
    arguments = ["url", "form", *connections.request_arguments(endpoint), f"timeout={timeout:g}"]
    return connections.script(
        [],
        [f"url = {literals.python(url)}", f"form = {literals.block(items)}"],
        connections.call_lines("response = requests.post", arguments) + connections.STOP,
        [*_read(url.rpartition("/")[2]), "print(answer)"],
        files=own,
    )


def _read(path: str) -> list[str]:
    """Write how an answer is read."""
    if path.rpartition("_")[2] in _NO_JSON:
        return ["answer = response.content.decode()"]
    if path.startswith("fcgi_py_"):
        return ["answer = json.loads(response.content)"]
    note = "# CCAI's C++ services break lines within texts, which is not quite JSON."
    return [note, "answer = json.loads(response.content, strict=False)"]


def _field(name: str, value: Any, files: literals.Files) -> str:
    if not isinstance(value, bytes):
        return literals.python(value)
    return f"base64.b64encode({file_code(value, name, files)})"


def _curl(
    endpoint: Endpoint, url: str, form: Mapping[str, Any], shell: str, files: literals.Files
) -> str:
    words, start = connections.curl_options(endpoint), ""
    if not form:
        words += ["--request", "POST"]
    for name, value in form.items():
        field = quote_plus(name)  # which curl does for the value only
        if not isinstance(value, bytes):
            words += ["--data-urlencode", f"{field}={value}"]
        elif len(value) <= snippets.LONGEST:
            words += ["--data-urlencode", f"{field}={base64.b64encode(value).decode()}"]
        else:
            words += ["--data-urlencode", f"{field}@-"]
            start = _encoded(add_file(value, name, files), shell)
    user = connections.curl_user(endpoint, shell)
    return f"{start}{snippets.command([*words, url], shell, user)}"


def _encoded(file: str, shell: str) -> str:
    """Write what gives a file as base64 to the command that follows."""
    name = snippets.quoted([file], shell)
    note = f"# {connections.beside(file)}\n"
    if shell == "powershell":
        return f"{note}[Convert]::ToBase64String([IO.File]::ReadAllBytes((Resolve-Path {name}))) | "
    return f"{note}base64 < {name} | tr -d '\\n' | "
