"""How a call gets to CCAI and back: forms over REST, files over gRPC."""

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote_plus

from helpers import channels, errors, transport
from helpers.ccai import answers
from helpers.endpoints import Endpoint
from helpers.errors import libraries
from helpers.images import file_bytes
from helpers.language import _

Protocol = Literal["rest", "grpc"]
_METHODS = {  # over gRPC, of the services that REST has too
    "ocr": "OCR",
    "face_detection": "FaceDetection",
    "facial_landmark": "FacialLandmark",
    "classification": "Classification",
}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")
_EMPTY_WITHOUT_FACES = ("FaceDetection", "FacialLandmark")


def infer(
    endpoint: Endpoint, service: str, image: Any, protocol: Protocol, dialect: str, timeout: float
) -> Any:
    """Send an image to a service over REST, or to the method that does the same over gRPC."""
    content = file_bytes(image)
    if is_grpc(protocol):
        return call(endpoint, _METHODS[service], content, timeout)
    paths = {"py": f"fcgi_py_{service}", "cpp": f"fcgi_{service}"}
    if dialect not in paths:
        raise errors.BadInput(
            _("CCAI has no dialect {dialect!r}. There are 'py' and 'cpp'.", dialect=dialect)
        )
    return post(endpoint, paths[dialect], {"image": answers.base64_text(content)}, timeout)


def is_grpc(protocol: str) -> bool:
    """Whether a protocol is gRPC and not REST; BadInput for any other."""
    if protocol not in ("rest", "grpc"):
        raise errors.BadInput(
            _("CCAI has no protocol {protocol!r}. There are 'rest' and 'grpc'.", protocol=protocol)
        )
    return protocol == "grpc"


def post(endpoint: Endpoint, path: str, form: Mapping[str, Any], timeout: float) -> Any:
    """Post a form and return the answer's data; CallError when there are none."""
    text = send(endpoint, path, form, timeout)
    try:
        return answers.data_of(text)
    except errors.CallError as error:
        error.service = endpoint.service
        error.endpoint = endpoint.rest
        raise


def send(endpoint: Endpoint, path: str, form: Mapping[str, Any], timeout: float) -> str:
    """Post a form and return the answer's text; CallError for every status from 400 on."""
    url = f"{endpoint.rest}/cgi-bin/{path}"
    body = "&".join(f"{name}={_quoted(str(value))}" for name, value in form.items())
    headers = _FORM if form else None
    response = transport.request(endpoint, "POST", url, timeout, data=body, headers=headers)
    if response.status_code == 500:
        # CCAI's services check nothing: whatever they do not understand ends here.
        raise errors.BadInput(
            _(
                "{address} does not understand the form sent to {path}: a field is missing, or is "
                "not what it takes, such as bytes that are no image. The service's log has more.",
                address=endpoint.rest,
                path=path,
            ),
            service=endpoint.service,
            endpoint=endpoint.rest,
            code=500,
            details=response.reason,
        )
    if response.status_code >= 400:
        raise libraries.from_http(response, endpoint)
    return response.content.decode("utf-8", errors="replace")  # no charset is in the header


def _quoted(text: str) -> str:
    """Do as `quote_plus`, which looks at each character of an image by itself."""
    if _BASE64.fullmatch(text):
        return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return quote_plus(text)


def call(endpoint: Endpoint, method: str, content: bytes, timeout: float) -> Any:
    """Send a file to a gRPC method and return what its text says."""
    from protos import inference_service_pb2 as messages  # optional: REST needs none of it

    text = unary(endpoint, method, messages.Input(buffer=content), timeout).json
    if not text and method not in _EMPTY_WITHOUT_FACES:
        unread = errors.BadInput(
            _(
                "{address} gave an empty answer to {method}: it could not read the file, or has "
                "no engine for it. Images are JPEG or PNG files; sound is a WAV file.",
                address=endpoint.grpc,
                method=method,
            ),
            service=endpoint.service,
            endpoint=endpoint.grpc,
        )
        unread.sentence = "gave an empty answer"
        raise unread
    return answers.parse(text)


def unary(endpoint: Endpoint, method: str, request: Any, timeout: float) -> Any:
    """Make a gRPC call; returns the message, or raises CallError."""
    from protos import inference_service_pb2_grpc  # optional, as above

    stub = channels.stub(endpoint, inference_service_pb2_grpc.InferenceStub)
    return transport.unary(endpoint, getattr(stub, method), request, timeout)
