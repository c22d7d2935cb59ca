"""TensorFlow Serving's REST: requests to JSON, and answers back to arrays.

See tensorflow.org/tfx/serving/api_rest.
"""

import base64
import contextlib
import functools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import orjson
from google.protobuf import json_format
from numpy.typing import ArrayLike, NDArray

from helpers import channels, json_numbers, serving_api, transport
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, NotThisProtocol, UnknownModel, libraries
from helpers.tensors import as_array, as_bytes
from helpers.tfserving.features import Examples, Features
from helpers.tfserving.signatures import (
    DEFAULT_SIGNATURE,
    Signature,
    Signatures,
    TensorSpec,
    from_signature_defs,
)

if TYPE_CHECKING:
    from helpers.tfserving import Call, Inputs


_LARGE = 4 * 1024 * 1024  # bytes; a smaller answer is read faster as lists, which take 28x as much


class Rest:
    """The protocol REST: what a `Call` asks of it."""

    name = "rest"

    def connection(self, endpoint: Endpoint) -> Any:
        """Return the shared session; what is kept for it is forgotten with it."""
        return channels.session(endpoint)

    def predict(self, call: "Call", inputs: "Inputs") -> tuple[None, dict[str, NDArray]]:
        """Return None, because REST does not tell the version that answered, and the outputs.

        The columnar form is used: it keeps shapes as they are. The signature says what JSON does
        not: the names of single outputs, and all dtypes.
        """
        name = call.signature_name or DEFAULT_SIGNATURE
        kept = call.kept_signatures()
        content = _content(call, "POST", ":predict", _columns(name, inputs))
        try:
            return None, _outputs(content, call.endpoint, kept[name])
        except (KeyError, TypeError, ValueError):  # perhaps another version answers by now
            signatures = call.signatures()
        with _understood(call.endpoint):
            return None, _outputs(content, call.endpoint, signatures[name])

    def classify(self, call: "Call", examples: Examples, context: Features) -> list:
        """Return pairs of label and score for each example."""
        results = _infer(call, "classify", examples, context)
        with _understood(call.endpoint):
            return [[(str(label), float(score)) for label, score in row] for row in results]

    def regress(self, call: "Call", examples: Examples, context: Features) -> list:
        """Return a number for each example."""
        results = _infer(call, "regress", examples, context)
        with _understood(call.endpoint):
            return [float(value) for value in results]

    def signatures(self, call: "Call") -> Signatures:
        """Ask what a model takes and gives."""
        answer = _request(call, "GET", "/metadata")
        unpacked = serving_api.get_model_metadata_pb2.SignatureDefMap()
        with _understood(call.endpoint):
            _parse(answer["metadata"]["signature_def"], unpacked)
            # OpenVINO Model Server has protobuf's own spelling, here and below the signatures.
            spec = answer["modelSpec"] if "modelSpec" in answer else answer["model_spec"]
            version = int(spec["version"])
        return from_signature_defs(call.endpoint.model, version, unpacked.signature_def)

    def status(self, call: "Call") -> Any:
        """Ask for the states; returns a GetModelStatusResponse."""
        answer = _request(call, "GET", "")
        response = serving_api.get_model_status_pb2.GetModelStatusResponse()
        with _understood(call.endpoint):
            versions = {"model_version_status": answer["model_version_status"]}
            return _parse(versions, response)


REST = Rest()


def _parse(fields: Any, message: Any) -> Any:
    """Read JSON into a message; what a newer service has besides is left out."""
    return json_format.ParseDict(fields, message, ignore_unknown_fields=True)


def model_url(endpoint: Endpoint) -> str:
    """Return a model's URL, with the version or its label where the endpoint has one."""
    url = f"{endpoint.rest}/v1/models/{quote(endpoint.model, safe='')}"
    if endpoint.version is not None:
        return f"{url}/versions/{endpoint.version}"
    if endpoint.version_label:
        return f"{url}/labels/{quote(endpoint.version_label, safe='')}"
    return url


def to_json(value: ArrayLike) -> bytes:
    """Write an array as JSON: the shortest text that reads back equal; bytes as `b64`.

    Raises
    ------
    BadInput
        For a dtype that REST does not carry, such as bfloat16.

    Examples
    --------
    >>> to_json(np.array([[0.1, 2]], "float32"))
    b'[[0.1,2.0]]'
    """
    array = as_array(value)
    if array.dtype.kind in "OSU":
        return json.dumps(_map(b64, array.tolist())).encode()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return json.dumps(array.tolist()).encode()  # NaN and Infinity, which are not quite JSON
    try:
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        text = orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)
        return text if array.ndim else text[1:-1]  # a scalar was made a list of one
    except orjson.JSONEncodeError as error:
        raise BadInput(f"REST does not carry {array.dtype}; gRPC does.") from error


def _columns(signature_name: str, inputs: "Inputs") -> bytes:
    columns = b",".join(
        b"%b:%b" % (json.dumps(key).encode(), to_json(value)) for key, value in inputs.items()
    )
    return b'{"signature_name":%b,"inputs":{%b}}' % (json.dumps(signature_name).encode(), columns)


def _infer(call: "Call", method: str, examples: Examples, context: Features) -> Any:
    content: dict[str, Any] = {"examples": [_plain(example) for example in examples]}
    if call.signature_name:
        content["signature_name"] = call.signature_name
    if context:
        content["context"] = _plain(context)
    answer = _request(call, "POST", f":{method}", json.dumps(content).encode())
    with _understood(call.endpoint):
        return answer["results"]


def _request(call: "Call", method: str, path: str, body: bytes = b"") -> Any:
    return _parsed(_content(call, method, path, body), call.endpoint)


def _content(call: "Call", method: str, path: str, body: bytes) -> bytes:
    endpoint = call.endpoint
    if not endpoint.model:
        raise UnknownModel("No model was named.")
    url = model_url(endpoint) + path
    response = transport.request(endpoint, method, url, call.remaining, data=body or None)
    if response.status_code != 200:
        raise libraries.from_rest(response, endpoint)
    return response.content


def _parsed(content: bytes, endpoint: Endpoint) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass  # NaN, Infinity, or bytes that are no text: TensorFlow Serving writes all of them
    with _understood(endpoint):
        return json.loads(content.decode(errors="surrogateescape"))


@contextlib.contextmanager
def _understood(endpoint: Endpoint) -> Iterator[None]:
    """Say that another server answers, when an answer does not read as TensorFlow Serving's."""
    try:
        yield
    except Exception as error:  # no JSON, other keys, other types: all the same to the caller
        raise NotThisProtocol(
            f"Something answers at {endpoint.rest}, but it is no {endpoint.service}.",
            service=endpoint.service,
            endpoint=endpoint.rest,
        ) from error


def _outputs(content: bytes, endpoint: Endpoint, signature: Signature) -> dict[str, NDArray]:
    if len(content) > _LARGE and (document := json_numbers.read(content)):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return _arrays(document, signature)
    return _arrays(_parsed(content, endpoint), signature)


def _arrays(answer: Any, signature: Signature) -> dict[str, NDArray]:
    outputs = answer["outputs"]
    specs = signature.outputs
    if len(specs) == 1:
        outputs = {next(iter(specs)): outputs}
    return {name: _to_array(outputs[name], spec) for name, spec in specs.items()}


def _to_array(value: Any, spec: TensorSpec) -> NDArray:
    if isinstance(value, json_numbers.Numbers):
        array = value.array(spec.dtype, functools.partial(np.array, dtype=spec.dtype))
    elif spec.dtype.kind != "O":
        array = np.array(value, spec.dtype)
    else:
        shape = np.shape(np.array(value, object))
        array = np.array(_map(_decoded, value), object).reshape(shape)
    if array.size == 0 and spec.shape and not spec.takes(array.shape):
        return array.reshape([max(size, 0) for size in spec.shape])
    return array


def _plain(features: Features) -> dict[str, list]:
    return {
        name: [b64(value) if isinstance(value, bytes) else value for value in values]
        for name, values in features.items()
    }


def _map(function: Any, value: Any) -> Any:
    return [_map(function, item) for item in value] if isinstance(value, list) else function(value)


def b64(value: str | bytes) -> dict[str, str]:
    """Write bytes, or text as UTF-8, as REST's JSON carries them.

    Examples
    --------
    >>> b64(b"hi")
    {'b64': 'aGk='}
    """
    return {"b64": base64.b64encode(as_bytes(value)).decode()}


def _decoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode(errors="surrogateescape")  # as it was decoded
