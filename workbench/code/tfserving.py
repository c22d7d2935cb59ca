"""A call of TensorFlow Serving as code to paste: Python with grpc or requests, curl, JSON."""

import base64
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from helpers import serving_api
from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.features import features_of
from helpers.tfserving.rest import model_url
from helpers.tfserving.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec
from workbench.code import curl, literals
from workbench.code.previews import BODY, ON_INPUT, NoCode, Writer, beside, either

_SHOWN = 200_000  # characters of JSON; more are only saved
_INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"}
_IN_JSON = {"bool", "float32", "float64", "object", *_INTEGERS}
_KINDS = {int: "int64_list", float: "float_list", bytes: "bytes_list"}
_FEW = 8_000  # characters of examples; of more, their bytes are written
_EXAMPLE = "from tensorflow.core.example import example_pb2"
_OWN_EXAMPLE = "from helpers.serving_api import example_pb2"
_WITHOUT_TENSORFLOW = "in Over the Wire without TensorFlow"
_IMAGE = re.compile(r"image|img|jpe?g|png", re.IGNORECASE)
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
)  # the smallest PNG


@dataclasses.dataclass
class TfServingWriter(Writer):
    """Writes a call as the service's documentation makes it.

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

    Raises
    ------
    BadInput
        When no model is named. `preview` raises it for objects that are neither text nor bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from helpers.tfserving.signatures import TensorSpec
    >>> from helpers.endpoints import Endpoint
    >>> here = Endpoint("tfserving", rest="http://127.0.0.1:8501", model="m")
    >>> spec = Signature({"x": TensorSpec(np.dtype("float32"), (-1,))}, {})
    >>> shown = TfServingWriter(here, "", spec, {"x": np.array([0.5], "float32")}).preview()
    >>> shown.code["JSON"], shown.reasons
    ('{"inputs": {"x": [0.5]}}', {'Python with grpc': 'This endpoint has no gRPC address.'})
    """

    signature_name: str
    signature: Signature
    inputs: Mapping[str, NDArray]
    __: dataclasses.KW_ONLY
    examples: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.endpoint.model:
            raise BadInput(_("No model was named. Name one: endpoint.replace(model=...)."))
        name = self.signature_name or self.endpoint.signature_name
        self.signature_name = "" if name == DEFAULT_SIGNATURE else name
        self.call = method(self.signature) if self.examples else "predict"

    def grpc(self) -> str:
        self.check("grpc")
        if self.call == "predict":
            return self._predict()
        return self._infer()

    def requests(self) -> str:
        url = self._url()
        if self.call == "predict":
            answer = "outputs"
            values = self._literal_inputs(literals.python_for_json, "{}")
        else:
            answer = "results"
            values = literals.python(self._json_values())
        named = {"signature_name": literals.python(self.signature_name)}
        body = {**(named if self.signature_name else {}), self._key: self._key}
        encoded = '{"b64": base64.b64encode(example.SerializeToString()).decode()}'
        imports = either([_EXAMPLE], [_OWN_EXAMPLE], _WITHOUT_TENSORFLOW)
        return self.script(
            self._serializing(encoded),
            [f"url = {literals.python(url)}", f"{self._key} = {values}"],
            [f"body = {literals.mapping(body)}"],
            # Not json=body: requests refuses NaN and Infinity, which TensorFlow Serving reads.
            self.requests_call(["url", "data=json.dumps(body)"]),
            [f'outputs = response.json()["{answer}"]', "print(outputs)"],
            imports=imports if self._composed else [],
        )

    def curl(self) -> str:
        url = self._url()
        text = self._shown_json
        if not 0 < len(text) <= ON_INPUT:
            self.files[BODY] = lambda: self._body().encode()
            text = f"@{BODY}"
        return curl.post(url, text, self.shell, self.curl_options(), self.curl_caller())

    def json(self) -> str:
        self._url()
        if not self._shown_json:
            raise NoCode(_("The JSON is too long to show. {advice}", advice=beside(BODY)))
        return self._shown_json

    def _url(self) -> str:
        """Return what is posted to; NoCode where REST does not carry the call."""
        self.check("rest")
        if reason := not_in_json(self.signature):
            raise NoCode(reason)
        for name, array in self.inputs.items():
            if 0 in array.shape[:-1]:
                raise NoCode(
                    _(
                        "JSON cannot tell the shape {shape} of input {name!r}. gRPC can.",
                        shape=list(array.shape),
                        name=name,
                    )
                )
        missing = [name for name in self.signature.inputs if name not in self.inputs]
        if missing and not self.examples:
            raise NoCode(
                _(
                    "REST wants every input; {name!r} is left out. Over gRPC it may be.",
                    name=missing[0],
                )
            )
        return f"{model_url(self.endpoint)}:{self.call}"

    @property
    def _key(self) -> str:
        return "inputs" if self.call == "predict" else "examples"

    @functools.cached_property
    def _composed(self) -> dict[str, str]:
        """Code for the serialized examples of those inputs that have few of them."""
        return {name: code for name, array in self.inputs.items() if (code := _composed(array))}

    def _serializing(self, returned: str) -> list[str]:
        """Write the function that the examples' code calls, if there are any."""
        if not self._composed:
            return []
        return [
            "def serialized(features):",
            "    example = example_pb2.Example()  # tf.train.Example, which the model parses",
            "    for name, (kind, values) in features.items():",
            "        getattr(example.features.feature[name], kind).value.extend(values)",
            f"    return {returned}",
        ]

    def _literal_inputs(
        self, write: Callable[[NDArray, str, literals.Files], str], listing: str
    ) -> str:
        """Write the inputs by name; lists of examples go into the braces of `listing`."""
        arrays = self.inputs.items()
        written = {name: listing.format(code) for name, code in self._composed.items()}
        return literals.mapping(
            {name: written.get(name) or write(array, name, self.files) for name, array in arrays}
        )

    def _json_values(self) -> Any:
        if self.call == "predict":
            return {name: literals.listed(array) for name, array in self.inputs.items()}
        return [
            {name: list(map(literals.in_json, values)) for name, values in features_of(e).items()}
            for e in self.examples
        ]

    def _body(self) -> str:
        body = {"signature_name": self.signature_name} if self.signature_name else {}
        return json.dumps({**body, self._key: self._json_values()})

    @functools.cached_property
    def _shown_json(self) -> str:
        """The JSON, or nothing where it is too long to be shown."""
        if self.call == "predict" and sum(map(least_json_size, self.inputs.values())) > _SHOWN:
            return ""
        text = self._body()
        return text if len(text) <= _SHOWN else ""

    def _predict(self) -> str:
        return self.script(
            self._serializing("example.SerializeToString()"),
            [f"inputs = {self._literal_inputs(literals.python, 'np.array({}, object)')}"],
            [
                "request = predict_pb2.PredictRequest()",
                *self._model_spec(),
                "for name, value in inputs.items():",
                "    request.inputs[name].CopyFrom(make_tensor_proto(value))",
            ],
            self._grpc_call("Predict"),
            [
                "outputs = {",
                "    name: make_ndarray(tensor) for name, tensor in response.outputs.items()",
                "}",
                "print(outputs)",
            ],
            imports=either(
                [
                    "from tensorflow import make_ndarray, make_tensor_proto",
                    *([_EXAMPLE] if self._composed else []),
                    "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
                ],
                [
                    *([_OWN_EXAMPLE] if self._composed else []),
                    "from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc",
                    "from helpers.tensors import to_ndarray as make_ndarray",
                    "from helpers.tensors import to_tensor_proto as make_tensor_proto",
                ],
                _WITHOUT_TENSORFLOW,
            ),
        )

    def _infer(self) -> str:
        if self.call == "classify":
            module = "classification_pb2"
            request = "ClassificationRequest"
            outputs = [
                "outputs = [",
                "    [(one.label, one.score) for one in each.classes]",
                "    for each in response.result.classifications",
                "]",
            ]
        else:
            module = "regression_pb2"
            request = "RegressionRequest"
            outputs = ["outputs = [each.value for each in response.result.regressions]"]
        return self.script(
            [f"examples = {literals.python([_typed(example) for example in self.examples])}"],
            [
                f"request = {module}.{request}()",
                *self._model_spec(),
                "for example in examples:",
                "    features = request.input.example_list.examples.add().features",
                "    for name, (kind, values) in example.items():",
                "        getattr(features.feature[name], kind).value.extend(values)",
            ],
            self._grpc_call(self.call.title()),
            [*outputs, "print(outputs)"],
            imports=either(
                [
                    f"from tensorflow_serving.apis import {module}",
                    "from tensorflow_serving.apis import prediction_service_pb2_grpc",
                ],
                [f"from helpers.serving_api import {module}, prediction_service_pb2_grpc"],
                _WITHOUT_TENSORFLOW,
            ),
        )

    def _grpc_call(self, method: str) -> list[str]:
        return self.grpc_call("prediction_service_pb2_grpc.PredictionServiceStub", method)

    def _model_spec(self) -> list[str]:
        endpoint = self.endpoint
        fields: dict[str, Any] = {"name": endpoint.model, "signature_name": self.signature_name}
        if endpoint.version is not None:
            fields["version.value"] = endpoint.version
        else:
            fields["version_label"] = endpoint.version_label
        return [
            f"request.model_spec.{field} = {literals.python(value)}"
            for field, value in fields.items()
            if value != ""
        ]


def _composed(array: NDArray) -> str:
    """Write a list of examples that are serialized; nothing of strings that are something else."""
    if array.dtype.kind != "O" or array.ndim != 1:
        return ""
    calls = []
    length = 0
    for value in array:
        features = length < _FEW and isinstance(value, bytes) and _features(value)
        if not features:
            return ""
        calls.append(f"serialized({literals.python(features)})")
        length += len(calls[-1])
    return "" if length > _FEW or not calls else literals.block(calls, "[]", alone=True)


def _features(serialized: bytes) -> dict[str, list]:
    """Return an example's features, as `_typed` does; none of bytes that are something else."""
    example = serving_api.example_pb2.Example()
    try:
        example.ParseFromString(serialized)
    except DecodeError:
        return {}
    features = {}
    example.DiscardUnknownFields()
    if example.ByteSize() == len(serialized):  # else there was more than an example has
        for name, feature in sorted(example.features.feature.items()):
            kind = feature.WhichOneof("kind")
            if kind:
                features[name] = [kind, _shortest(getattr(feature, kind).value)]
    return features


def _shortest(values: Sequence[Any]) -> list:
    """Return a feature's values, floats with as few digits as tell them from others."""
    if values and isinstance(values[0], float):
        return np.array(values, np.float32).astype(str).astype(float).tolist()
    return list(values)


def _typed(example: Mapping[str, Any]) -> dict[str, list]:
    """Return the features with the field of `tf.train.Feature` that each of them has."""
    features = {name: values for name, values in features_of(example).items() if values}
    return {name: [_KINDS[type(values[0])], values] for name, values in features.items()}


def least_json_size(array: NDArray) -> int:
    """Return how many characters of JSON an array has, or fewer."""
    if array.dtype.kind not in "OSU":
        return array.size * 2
    return array.size * 4 + sum(map(len, array.ravel().tolist()))  # with quotes and a comma


def method(signature: Signature) -> str:
    """Return the call that a signature is made for: `predict`, `classify` or `regress`."""
    kind = signature.method_name.rpartition("/")[2]
    texts = [name for name, spec in signature.inputs.items() if spec.dtype.kind == "O"]
    fits = kind in ("classify", "regress") and list(signature.inputs) == texts == ["inputs"]
    return kind if fits else "predict"


def stand_ins(
    signature: Signature, features: Mapping[str, TensorSpec] | None = None
) -> tuple[dict[str, NDArray], list[dict[str, Any]]]:
    """Return values that a signature takes: zeros, the word text, or a picture of one pixel.

    Parameters
    ----------
    signature : Signature
        Of sizes that may be any, one is taken.
    features : mapping of str to TensorSpec, optional
        What an example has, which a signature does not tell.

    Returns
    -------
    dict of str to ndarray, list of dict
        Inputs for `predict`, else one example; the other is empty.

    Examples
    --------
    >>> import numpy as np
    >>> stand_ins(Signature({"x": TensorSpec(np.dtype("float32"), (-1, 2))}, {}))
    ({'x': array([[0., 0.]], dtype=float32)}, [])
    """
    if method(signature) == "predict":
        return {name: _stand_in(name, spec) for name, spec in signature.inputs.items()}, []
    features = features or {"feature": TensorSpec(np.dtype(np.float32), ())}
    return {}, [{name: _stand_in(name, spec).ravel().tolist() for name, spec in features.items()}]


def _stand_in(name: str, spec: TensorSpec) -> NDArray:
    shape = (1,) if spec.shape is None else tuple(1 if n < 0 else n for n in spec.shape)
    if spec.dtype.kind != "O":
        return np.zeros(shape, spec.dtype)
    return np.full(shape, _PIXEL if _IMAGE.search(name) else "text", object)


def not_in_json(signature: Signature) -> str:
    """Say why a signature cannot be called over REST, if it cannot.

    Examples
    --------
    >>> not_in_json(Signature({"x": TensorSpec(np.dtype("float16"), ())}, {}))
    "REST does not carry float16, which input 'x' is. gRPC does."
    """
    if not signature.inputs:
        return "REST refuses a signature that takes no input. gRPC does not."
    for side, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for name, spec in specs.items():
            if spec.dtype.name not in _IN_JSON:
                return f"REST does not carry {spec.dtype}, which {side} {name!r} is. gRPC does."
    return ""
