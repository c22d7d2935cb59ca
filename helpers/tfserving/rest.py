"""TensorFlow Serving's REST: requests to JSON, and answers back to arrays.

See tensorflow.org/tfx/serving/api_rest.
"""

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson
from google.protobuf import json_format
from numpy.typing import ArrayLike, NDArray

from helpers import channels, serving_api, transport
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, NotThisProtocol, UnknownModel, libraries
from helpers.tensors import as_array, as_bytes
from helpers.tfserving.signatures import (
    DEFAULT_SIGNATURE,
    Signatures,
    TensorSpec,
    from_signature_defs,
)

connection = channels.session  # what is kept for one of these is forgotten with it


def predict(
    endpoint: Endpoint,
    inputs: Mapping[str, ArrayLike],
    signature_name: str,
    signatures: Mapping[str, Any],
    ends: float,
) -> tuple[int | None, dict[str, NDArray]]:
    """Return None, because REST does not tell the version that answered, and the outputs.

    The columnar form is used: it keeps shapes as they are. The signature says what JSON does
    not: the names of single outputs, and all dtypes.
    """
    columns = b",".join(json.dumps(n).encode() + b":" + to_json(v) for n, v in inputs.items())
    name = json.dumps(signature_name or DEFAULT_SIGNATURE).encode()
    body = b'{"signature_name":%b,"inputs":{%b}}' % (name, columns)
    answer = _call(endpoint, "POST", ":predict", ends, body)
    known = signatures[signature_name or DEFAULT_SIGNATURE].outputs
    with _understood(endpoint):
        outputs = answer["outputs"]
        if len(known) == 1:
            outputs = {next(iter(known)): outputs}
        return None, {each: _to_array(outputs[each], spec) for each, spec in known.items()}


def infer(
    endpoint: Endpoint,
    method: str,
    examples: Sequence[Mapping[str, list]],
    context: Mapping[str, list],
    signature_name: str,
    ends: float,
) -> list:
    """Classify or regress; returns pairs of label and score for each example, or values."""
    content: dict[str, Any] = {"examples": [_plain(example) for example in examples]}
    if signature_name:
        content["signature_name"] = signature_name
    if context:
        content["context"] = _plain(context)
    answer = _call(endpoint, "POST", f":{method}", ends, json.dumps(content).encode())
    with _understood(endpoint):
        if method == "regress":
            return [float(value) for value in answer["results"]]
        return [[(str(label), float(score)) for label, score in row] for row in answer["results"]]


def signatures(endpoint: Endpoint, ends: float) -> Signatures:
    """Ask what a model takes and gives."""
    answer = _call(endpoint, "GET", "/metadata", ends)
    unpacked = serving_api.get_model_metadata_pb2.SignatureDefMap()
    with _understood(endpoint):
        json_format.ParseDict(answer["metadata"]["signature_def"], unpacked)
        version = int(answer["model_spec"]["version"])
    return from_signature_defs(endpoint.model, version, unpacked.signature_def)


def status(endpoint: Endpoint, ends: float) -> Any:
    """Ask for the states; returns a GetModelStatusResponse."""
    answer = _call(endpoint, "GET", "", ends)
    with _understood(endpoint):
        versions = {"model_version_status": answer["model_version_status"]}
        return json_format.ParseDict(
            versions, serving_api.get_model_status_pb2.GetModelStatusResponse()
        )


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
        return json.dumps(_map(_encoded, array.tolist())).encode()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return json.dumps(array.tolist()).encode()  # NaN and Infinity, which are not quite JSON
    try:
        native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        text = orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)
        return text if array.ndim else text[1:-1]  # a scalar was made a list of one
    except orjson.JSONEncodeError as error:
        raise BadInput(f"REST does not carry {array.dtype}; gRPC does.") from error


def _call(endpoint: Endpoint, method: str, what: str, ends: float, body: bytes = b"") -> Any:
    if not endpoint.model:
        raise UnknownModel("No model was named.")
    url = f"{endpoint.rest}/v1/models/{quote(endpoint.model, safe='')}"
    if endpoint.version is not None:
        url += f"/versions/{endpoint.version}"
    elif endpoint.version_label:
        url += f"/labels/{quote(endpoint.version_label, safe='')}"
    left = ends - time.monotonic()
    response = transport.request(endpoint, method, url + what, left, data=body or None)
    if response.status_code != 200:
        where = {"service": endpoint.service, "endpoint": endpoint.rest}
        raise libraries.from_rest(response, **where)
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        pass  # NaN, Infinity, or bytes that are no text: TensorFlow Serving writes all of them
    with _understood(endpoint):
        return json.loads(response.content.decode(errors="surrogateescape"))


@contextlib.contextmanager
def _understood(endpoint: Endpoint) -> Iterator[None]:
    """Say that another server answers, when an answer does not read as TensorFlow Serving's."""
    try:
        yield
    except Exception as error:  # no JSON, other keys, other types: all the same to the caller
        text = f"Something answers at {endpoint.rest}, but it is no {endpoint.service}."
        where = {"service": endpoint.service, "endpoint": endpoint.rest}
        raise NotThisProtocol(text, **where) from error


def _to_array(value: Any, spec: TensorSpec) -> NDArray:
    if spec.dtype.kind != "O":
        array = np.array(value, spec.dtype)
    else:
        shape = np.shape(np.array(value, object))
        array = np.array(_map(_decoded, value), object).reshape(shape)
    if array.size == 0 and spec.shape and not spec.takes(array.shape):
        return array.reshape([max(size, 0) for size in spec.shape])
    return array


def _plain(features: Mapping[str, list]) -> dict[str, list]:
    return {
        name: [_encoded(value) if isinstance(value, bytes) else value for value in values]
        for name, values in features.items()
    }


def _map(function: Any, value: Any) -> Any:
    return [_map(function, each) for each in value] if isinstance(value, list) else function(value)


def _encoded(value: Any) -> dict[str, str]:
    return {"b64": base64.b64encode(as_bytes(value)).decode()}


def _decoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode(errors="surrogateescape")  # as it was decoded
