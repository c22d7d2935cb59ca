"""A call of CCAI as code to paste: a form over REST, a file over gRPC."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

from helpers.errors import BadInput
from helpers.language import _
from workbench.code import curl, literals
from workbench.code.previews import NoCode, Writer, either, unnamed

# What grpcio-tools makes of a .proto are modules at the top; here they are in a package.
_IMPORTS = either(
    ["import inference_service_pb2, inference_service_pb2_grpc"],
    ["from protos import inference_service_pb2, inference_service_pb2_grpc"],
    "in Over the Wire",
)
_MADE = (
    "# python -m grpc_tools.protoc -I. --python_out=. --grpc_python_out=. inference_service.proto"
)
# Paths, by their last word, that answer with a sentence or a page.
_NO_JSON = {"apiinfo", "cpuinfo", "gpuinfo", "meminfo", "policy"}


@dataclasses.dataclass
class CcaiWriter(Writer):
    """Writes a call of a CCAI service.

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

    Raises
    ------
    BadInput
        When several fields are files.

    Examples
    --------
    >>> from helpers.endpoints import Endpoint
    >>> here = Endpoint("ccai", rest="http://127.0.0.1:8080")
    >>> CcaiWriter(here, "fcgi_py_tts", {"text": "Hello"}, shell="sh").preview().code["curl"]
    'curl --data-urlencode text=Hello http://127.0.0.1:8080/cgi-bin/fcgi_py_tts'
    """

    path: str
    form: Mapping[str, Any]
    __: dataclasses.KW_ONLY
    method: str = ""
    content: bytes = b""
    timeout: float = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum(isinstance(value, bytes) for value in self.form.values()) > 1:
            raise BadInput(_("One field of a form can be a file, not several."))

    def grpc(self) -> str:
        if not self.method:
            raise NoCode(_("CCAI has no gRPC method that does what {path} does.", path=self.path))
        self.check("grpc")
        return self.script(
            [f"content = {self.file_bytes(self.content, 'content')}"],
            ["request = inference_service_pb2.Input(buffer=content)"],
            self.grpc_call("inference_service_pb2_grpc.InferenceStub", self.method),
            ["answer = response.json", "print(answer)"],
            imports=[_MADE, *_IMPORTS],
        )

    def requests(self) -> str:
        url = self._url()
        form = literals.mapping({name: self._value(name, v) for name, v in self.form.items()})
        return self.script(
            [f"url = {literals.python(url)}", f"form = {form}"],
            self.requests_call(["url", "form"]),
            [*_reading(self.path), "print(answer)"],
        )

    def curl(self) -> str:
        url = self._url()
        if "" in self.form:
            raise unnamed()
        words = self.curl_options()
        if not self.form:
            words += ["--request", "POST"]
        before = ""
        for name, value in self.form.items():
            text = value
            if isinstance(value, bytes):
                text = base64.b64encode(value).decode()
            field = quote_plus(name)  # which curl does for the value only
            if isinstance(value, bytes) and len(value) > curl.LONGEST:
                words += ["--data-urlencode", f"{field}@-"]
                before = self._encoded(self.add_file(value, name))
            else:
                words += ["--data-urlencode", f"{field}={text}"]
        return before + curl.command([*words, url], self.shell, self.curl_caller())

    def json(self) -> str:
        raise NoCode(_("CCAI takes a form, not JSON."))

    def _url(self) -> str:
        if not self.path:
            raise NoCode(_("CCAI has no path that does what {method} does.", method=self.method))
        self.check("rest")
        return f"{self.endpoint.rest}/cgi-bin/{self.path}"

    def _value(self, name: str, value: Any) -> str:
        if not isinstance(value, bytes):
            return literals.python(value)
        return f"base64.b64encode({self.file_bytes(value, name)})"

    def _encoded(self, file: str) -> str:
        """Write what gives a file as base64 to the command that follows."""
        name = curl.quoted([file], self.shell)
        if self.shell == "powershell":
            return f"[Convert]::ToBase64String([IO.File]::ReadAllBytes((Resolve-Path {name}))) | "
        return f"base64 < {name} | tr -d '\\n' | "


def _reading(path: str) -> list[str]:
    """Write how an answer is read."""
    if path.rpartition("_")[2] in _NO_JSON:
        return ["answer = response.content.decode()"]
    if path.startswith("fcgi_py_"):
        return ["answer = json.loads(response.content)"]
    return [
        "# CCAI's C++ services break lines within texts, which is not quite JSON.",
        "answer = json.loads(response.content, strict=False)",
    ]
