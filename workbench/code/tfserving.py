"""A call of TensorFlow Serving as code to paste: Python with grpc or requests, curl, JSON."""

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from numpy.typing import NDArray

from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.tfserving.features import features_of
from helpers.tfserving.signatures import DEFAULT_SIGNATURE, Signature
from workbench.code import connections, literals
from workbench.code import curl as snippets
from workbench.code.connections import CURL, GRPC, JSON, REQUESTS, Preview

BODY = "body.json"
_SHOWN = 200_000  # characters of JSON; more are only saved
ON_INPUT = 16_000  # characters of JSON that a command carries along
_ANSWERS = {
    "classify": (
        "classification_pb2",
        "ClassificationRequest",
        "[\n    [(one.label, one.score) for one in each.classes]\n"
        "    for each in response.result.classifications\n]",
    ),
    "regress": (
        "regression_pb2",
        "RegressionRequest",
        "[each.value for each in response.result.regressions]",
    ),
}
_KINDS = {int: "int64_list", float: "float_list", bytes: "bytes_list"}


def preview(
    endpoint: Endpoint,
    signature_name: str,
    signature: Signature,
    inputs: Mapping[str, NDArray],
    *,
    examples: Sequence[Mapping[str, Any]] = (),
    timeout: float = 10.0,
    shell: str = "",
) -> Preview:
    """Write a call in the ways that the service's documentation makes it.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name. User and password become environment variables.
    signature_name : str
        Empty for the endpoint's, or the service's default.
    signature : Signature
    inputs : mapping of str to ndarray
        Of the signature's dtypes. What is too long for code is loaded from files.
    examples : list of mapping of str to number, str, bytes or a list of them
        In place of inputs, for a signature that is made for Classify or Regress.
    timeout : float
        Seconds.
    shell : str
        `sh` or `powershell`; without it the one of this machine.

    Returns
    -------
    Preview
        Its `reasons` has the titles that its `code` lacks.

    Raises
    ------
    BadInput
        When no model is named, and for objects that are neither text nor bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from helpers.tfserving.signatures import TensorSpec
    >>> here = Endpoint("tfserving", rest="http://127.0.0.1:8501", model="m")
    >>> spec = Signature({"x": TensorSpec(np.dtype("float32"), (-1,))}, {})
    >>> shown = preview(here, "", spec, {"x": np.array([0.5], "float32")})
    >>> shown.code["JSON"], shown.reasons
    ('{"inputs": {"x": [0.5]}}', {'Python with grpc': 'This endpoint has no gRPC address.'})
    """
    if not endpoint.model:
        raise BadInput("No model was named. Name one: endpoint.replace(model=...).")
    signature_name = signature_name or endpoint.signature_name
    found = Preview({}, {}, {})
    call = snippets.method(signature) if examples else "predict"
    if reason := connections.refusal(endpoint, "grpc"):
        found.reasons[GRPC] = reason
    elif call == "predict":
        found.code[GRPC] = _predict(endpoint, signature_name, inputs, timeout, found.files)
    else:
        found.code[GRPC] = _infer(endpoint, signature_name, call, examples, timeout)
    reason = connections.refusal(endpoint, "rest") or _not_in_json(signature, inputs, examples)
    if reason:
        found.reasons.update(dict.fromkeys((REQUESTS, CURL, JSON), reason))
        return found
    url = f"{_url(endpoint)}:{call}"
    values = _Values(signature_name, call, inputs, examples)
    found.code[REQUESTS] = _requests(endpoint, url, values, timeout, found.files)
    _add_json(found, endpoint, url, values, shell or connections.this_shell())
    return found


class _Values:
    """What is posted: as Python, and as JSON."""

    def __init__(self, signature_name: str, call: str, inputs: Any, examples: Any) -> None:
        self.signature_name, self.call, self.inputs = signature_name, call, inputs
        self.examples = [
            {name: list(map(literals.in_json, values)) for name, values in features_of(e).items()}
            for e in examples
        ]

    def python(self, files: literals.Files) -> str:
        if self.call != "predict":
            return literals.python(self.examples)
        return literals.block(
            [
                f"{literals.python(name)}: {literals.python_for_json(array, name, files)}"
                for name, array in self.inputs.items()
            ]
        )

    def json(self) -> str:
        values: Any = self.examples
        if self.call == "predict":
            values = {name: literals.listed(array) for name, array in self.inputs.items()}
        return json.dumps(snippets.json_body(self.signature_name, self.call, values))

    @property
    def is_long(self) -> bool:
        return self.call == "predict" and sum(map(_size, self.inputs.values())) > _SHOWN


def _size(array: NDArray) -> int:
    """Return how many characters of JSON an array has, or fewer."""
    if array.dtype.kind not in "OSU":
        return array.size * 2
    return array.size * 4 + sum(map(len, array.ravel().tolist()))  # with quotes and a comma


def _predict(
    endpoint: Endpoint,
    signature_name: str,
    inputs: Mapping[str, NDArray],
    timeout: float,
    files: literals.Files,
) -> str:
    own: literals.Files = {}
    items = [f"{literals.python(n)}: {literals.python(v, n, own)}" for n, v in inputs.items()]
    files.update(own)
    request = [
        "request = predict_pb2.PredictRequest()",
        *_model_spec(endpoint, signature_name),
        "for name, value in inputs.items():",
        "    request.inputs[name].CopyFrom(to_tensor_proto(value))",
    ]
    outputs = "{name: to_ndarray(tensor) for name, tensor in response.outputs.items()}"
    return connections.script(
        [
            "# Without this project: import the modules from tensorflow_serving.apis, and use",
            "# TensorFlow's tf.make_tensor_proto(value) and tf.make_ndarray(tensor).",
            "from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc",
            "from helpers.tensors import to_ndarray, to_tensor_proto",
        ],
        [f"inputs = {literals.block(items)}"],
        request,
        _call(endpoint, "Predict", timeout),
        [f"outputs = {outputs}", "print(outputs)"],
        files=own,
    )


def _infer(
    endpoint: Endpoint,
    signature_name: str,
    call: str,
    examples: Sequence[Mapping[str, Any]],
    timeout: float,
) -> str:
    module, kind, outputs = _ANSWERS[call]
    written = literals.python([_example(each) for each in examples])
    return connections.script(
        [
            "# Without this project: import the modules from tensorflow_serving.apis.",
            f"from helpers.serving_api import {module}, prediction_service_pb2_grpc",
        ],
        [f"examples = {written}"],
        [
            f"request = {module}.{kind}()",
            *_model_spec(endpoint, signature_name),
            "for example in examples:",
            "    features = request.input.example_list.examples.add().features",
            "    for name, (kind, values) in example.items():",
            "        getattr(features.feature[name], kind).value.extend(values)",
        ],
        _call(endpoint, call.title(), timeout),
        [f"outputs = {outputs}", "print(outputs)"],
    )


def _example(example: Mapping[str, Any]) -> dict[str, list]:
    features = {name: values for name, values in features_of(example).items() if values}
    return {name: [_KINDS[type(values[0])], values] for name, values in features.items()}


def _model_spec(endpoint: Endpoint, signature_name: str) -> list[str]:
    lines = [f"request.model_spec.name = {literals.python(endpoint.model)}"]
    if signature_name not in ("", DEFAULT_SIGNATURE):
        lines.append(f"request.model_spec.signature_name = {literals.python(signature_name)}")
    if endpoint.version is not None:
        lines.append(f"request.model_spec.version.value = {endpoint.version}")
    elif endpoint.version_label:
        label = literals.python(endpoint.version_label)
        lines.append(f"request.model_spec.version_label = {label}")
    return lines


def _call(endpoint: Endpoint, method: str, timeout: float) -> list[str]:
    channel = connections.channel(endpoint)
    return [
        *channel.before,
        f"with {channel.opened} as channel:",
        "    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)",
        f"    response = stub.{method}(request, timeout={timeout:g}{channel.arguments})",
    ]


def _requests(
    endpoint: Endpoint, url: str, values: _Values, timeout: float, files: literals.Files
) -> str:
    own: literals.Files = {}
    written = values.python(own)
    files.update(own)
    key, answer = ("inputs", "outputs") if values.call == "predict" else ("examples", "results")
    named = snippets.json_body(values.signature_name, values.call, None)
    body = [f"{literals.python(name)}: {literals.python(v)}" for name, v in named.items() if v]
    arguments = connections.request_arguments(endpoint)
    # Not json=body: requests refuses NaN and Infinity, which TensorFlow Serving reads.
    arguments = ["url", "data=json.dumps(body)", *arguments, f"timeout={timeout:g}"]
    return connections.script(
        [],
        [f"url = {literals.python(url)}", f"{key} = {written}"],
        [f"body = {literals.block([*body, f'{literals.python(key)}: {key}'])}"],
        connections.call_lines("response = requests.post", arguments) + connections.STOP,
        [f'outputs = response.json()["{answer}"]', "print(outputs)"],
        files=own,
    )


def _add_json(found: Preview, endpoint: Endpoint, url: str, values: _Values, shell: str) -> None:
    text = "" if values.is_long else values.json()
    curl = functools.partial(
        snippets.curl,
        url,
        shell=shell,
        options=connections.curl_options(endpoint),
        words=connections.curl_user(endpoint, shell),
    )
    if 0 < len(text) <= _SHOWN:
        found.code[JSON] = text
    else:
        found.reasons[JSON] = f"The JSON is too long to show. {connections.beside(BODY)}"
    if 0 < len(text) <= ON_INPUT:
        found.code[CURL] = curl(text)
    else:
        found.code[CURL] = f"# {connections.beside(BODY)}\n{curl(f'@{BODY}')}"
        found.files[BODY] = lambda: values.json().encode()


def _url(endpoint: Endpoint) -> str:
    url = f"{endpoint.rest}/v1/models/{quote(endpoint.model, safe='')}"
    if endpoint.version is not None:
        return f"{url}/versions/{endpoint.version}"
    if endpoint.version_label:
        return f"{url}/labels/{quote(endpoint.version_label, safe='')}"
    return url


def _not_in_json(
    signature: Signature, inputs: Mapping[str, NDArray], examples: Sequence[Any]
) -> str:
    if reason := snippets.not_in_json(signature):
        return reason
    for name, array in inputs.items():
        if 0 in array.shape[:-1]:
            return f"JSON cannot tell the shape {list(array.shape)} of input {name!r}. gRPC can."
    missing = [name for name in signature.inputs if name not in inputs]
    if missing and not examples:
        return f"REST wants every input; {missing[0]!r} is left out. Over gRPC it may be."
    return ""
