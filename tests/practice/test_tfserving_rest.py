"""The practice TensorFlow Serving's REST port, row by row as the product behaves."""

import contextlib
import gzip
import http.client
import json
import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from helpers.serving_api import (
    example_pb2,
    meta_graph_pb2,
    model_pb2,
    model_server_config_pb2,
    types_pb2,
)
from practice import processes
from practice.host import server, web
from practice.tfserving import litert, monitoring, rest
from practice.tfserving.engine import CLASSIFY_METHOD, PREDICT_METHOD, REGRESS_METHOD, Task
from practice.tfserving.failures import Failure
from practice.tfserving.litert import LiteRTModel
from practice.tfserving.models import Models, Policy

MODELS = Path(__file__).parents[2] / "data" / "models"
FLOWER = [5.1, 3.5, 1.4, 0.2]
PREDICT, CLASSIFY, REGRESS = (
    f"/v1/models/echo:{verb}" for verb in ("predict", "classify", "regress")
)
DTYPES = {
    "float": types_pb2.DT_FLOAT,
    "double": types_pb2.DT_DOUBLE,
    "int": types_pb2.DT_INT32,
    "uint8": types_pb2.DT_UINT8,
    "int64": types_pb2.DT_INT64,
    "uint64": types_pb2.DT_UINT64,
    "bool": types_pb2.DT_BOOL,
    "string": types_pb2.DT_STRING,
    "half": types_pb2.DT_HALF,
    "complex": types_pb2.DT_COMPLEX64,
}

CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}


class Echo:
    """An engine whose signatures answer with what they are given, or as their names tell."""

    is_quick = False

    def __init__(self, ends: threading.Event) -> None:
        self._ends = ends
        self.signatures = {
            "serving_default": signature({"x": "float"}, {"x": "float"}),
            "two": signature({"a": "float", "b": "int"}, {"a": "float", "b": "int"}),
            "image": signature({"image_bytes": "string"}, {"image_bytes": "string"}),
            "nothing": signature({}, {"y": "float"}),
            "scalar": signature({"x": "float"}, {"y": "float"}),
            "uneven": signature({"x": "float"}, {"a": "float", "b": "float"}),
            "to_half": signature({"x": "float"}, {"y": "half"}),
            "slow": signature({"x": "float"}, {"y": "float"}),
            "broken": signature({"x": "float"}, {"y": "float"}),
            "label": signature(
                {"inputs": "string"}, {"classes": "string", "scores": "float"}, CLASSIFY_METHOD
            ),
            "value": signature({"inputs": "string"}, {"outputs": "float"}, REGRESS_METHOD),
        }
        for name in DTYPES:
            self.signatures[f"of_{name}"] = signature({"x": name}, {"x": name})
        for code in CODES:
            self.signatures[f"fails_with_{code}"] = signature({"x": "float"}, {"y": "float"})

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, np.ndarray], ends: float
    ) -> list[dict[str, np.ndarray]]:
        return [self._run(task.signature_name, inputs, ends) for task in tasks]

    def _run(
        self, name: str, inputs: Mapping[str, np.ndarray], ends: float
    ) -> dict[str, np.ndarray]:
        match name:
            case "scalar":
                return {"y": np.array(1, np.float32)}
            case "uneven":
                return {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)}
            case "to_half":
                return {"y": inputs["x"].astype(np.float16)}
            case "slow":
                self._ends.wait(ends - time.monotonic())
                raise Failure("DEADLINE_EXCEEDED", "Timed out.")
            case "broken":
                raise RuntimeError("what it says\nTraceback")
            case _ if name.startswith("fails_with_"):
                code = name.removeprefix("fails_with_")
                raise Failure(code, f"It is {code}.")
            case "label" | "value":
                return described(name, inputs["inputs"])
        return dict(inputs)

    def close(self) -> None:
        """Nothing is held."""


def described(name: str, serialized: np.ndarray) -> dict[str, np.ndarray]:
    """Answer with the features of examples."""
    features = [example_pb2.Example.FromString(each).features.feature for each in serialized]
    if name == "value":
        return {"outputs": np.array([each["v"].float_list.value[0] for each in features], "f4")}
    labels = np.array([list(each["label"].bytes_list.value) for each in features], object)
    scores = np.array([list(each["score"].float_list.value) for each in features], "f4")
    return {"classes": labels, "scores": scores}


def signature(inputs: dict[str, str], outputs: dict[str, str], method: str = PREDICT_METHOD) -> Any:
    """Make a SignatureDef of names and types; the shapes are unknown."""
    made = meta_graph_pb2.SignatureDef(method_name=method)
    for infos, wanted in ((made.inputs, inputs), (made.outputs, outputs)):
        for alias, dtype in wanted.items():
            infos[alias].name = f"{alias}:0"
            infos[alias].dtype = DTYPES[dtype]
            infos[alias].tensor_shape.unknown_rank = True
    return made


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """Return the text of an error, which must be written as the product writes it."""
        text = json.loads(self.body, strict=False)["error"]
        assert self.headers["content-type"] == "application/json"
        return text


class Running:
    """The REST API on a port of its own, over the real list of models."""

    def __init__(self, models: Models, **options: Any) -> None:
        self.port = processes.choose_port()
        options = {"timeout_seconds": 30, "cors": False} | options
        metrics = options.pop("metrics", monitoring.Unmonitored())
        app = rest.app(models, metrics, **options)
        self._server = web.WebServer(app, self.port, server.Activity())
        self._server.start()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | dict[str, Any] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if isinstance(body, dict):
            body = json.dumps(body)
        body = body.encode() if isinstance(body, str) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())

    def post(self, body: bytes | str | dict[str, Any], path: str = PREDICT) -> Answer:
        return self.ask("POST", path, body)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Return iris on LiteRT, and versions 1 and 2 of echo: stable and canary."""
    stop = threading.Event()
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        (folder / "echo" / version).mkdir(parents=True)
    config = model_server_config_pb2.ModelServerConfig()
    add = config.model_config_list.config.add
    for name, base in (("echo", folder / "echo"), ("iris", MODELS / "iris")):
        each = add(name=name, base_path=str(base), model_platform="tensorflow")
        each.model_version_policy.all.SetInParent()
    config.model_config_list.config[0].version_labels["stable"] = 1
    config.model_config_list.config[0].version_labels["ca/nary"] = 2

    def load(folder: str) -> Any:
        path = Path(folder) / "model.tflite"
        return LiteRTModel(str(path)) if path.exists() else Echo(stop)

    made = Models(load, Policy(labels_for_unavailable=True))
    made.start(config, stop)
    yield made
    stop.set()
    made.close()


@pytest.fixture(scope="module")
def service(models: Models) -> Iterator[Running]:
    """Return the service as it is without flags."""
    running = Running(models)
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", PREDICT),
        ("DELETE", PREDICT),
        ("PATCH", PREDICT),
        ("TRACE", PREDICT),
        ("BREW", "/v1/models/echo"),
        ("GET", PREDICT),
        ("POST", "/v1/models/echo/metadata"),
        ("POST", "/v1/models/echo"),
        ("POST", "/v1/models/echo:explain"),
        ("POST", "/v1/models/echo:PREDICT"),
        ("POST", f"{PREDICT}?x=1"),
        ("POST", f"{PREDICT}/"),
        ("POST", "/v1/models/echo/versions/x:predict"),
        ("POST", "/v1/models/:predict"),
        ("POST", "/v1/models/echo/versions/1/labels/stable:predict"),
        ("GET", "/v1/models/"),
        ("GET", "/v1/models/echo/metadata?x=1"),
        ("GET", "/v1/models/echo/versions/1?x=1"),
        ("GET", "/v1/"),
        ("GET", "/V1/nothing"),
        ("GET", "/v1/models/echo/labels/"),
    ],
)
def test_a_url_or_method_that_does_not_fit_is_malformed(
    service: Running, method: str, path: str
) -> None:
    answer = service.ask(method, path, {"instances": [1]} if method == "POST" else b"")
    assert (answer.status, answer.error) == (400, f"Malformed request: {method} {path}")


def test_an_answer_to_head_has_no_body(service: Running) -> None:
    answer = service.ask("HEAD", "/v1/models/echo")
    assert (answer.status, answer.body) == (400, b"")
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/versions/1", 400, "Missing model name in request."),
        ("GET", "/v1/models/metadata", 404, "Could not find any versions of model metadata"),
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", "/v1/models/a%2Fb%20c", 404, "Could not find any versions of model a/b c"),
        ("GET", "/v1/models/echo?x=1", 404, "Could not find any versions of model echo?x=1"),
        ("GET", "/v1/models/echo/versions/7", 404, "Could not find version 7 of model echo"),
        ("GET", "/v1/models/none/metadata", 404, "Servable not found for request: Latest(none)"),
        (
            "GET",
            "/v1/models/echo/versions/7/metadata",
            404,
            "Servable not found for request: Specific(echo, 7)",
        ),
        ("POST", "/v1/models/none:predict", 404, "Servable not found for request: Latest(none)"),
        (
            "POST",
            "/v1/models/echo/versions/7:predict",
            404,
            "Servable not found for request: Specific(echo, 7)",
        ),
        (
            "POST",
            "/v1/models/echo/labels/n%2Fone:predict",
            400,
            "Unrecognized servable version label: n/one",
        ),
        (
            "POST",
            "/v1/models/none/labels/stable:predict",
            400,
            "Unrecognized servable version label: stable",
        ),
    ],
)
def test_models_versions_and_labels_that_are_not_there(
    service: Running, method: str, path: str, status: int, text: str
) -> None:
    answer = service.ask(method, path, {"instances": [1]} if method == "POST" else b"")
    assert (answer.status, answer.error) == (status, text)


@pytest.mark.parametrize("digits", ["9223372036854775808", "9" * 5000])
@pytest.mark.parametrize(
    ("method", "after"), [("GET", ""), ("GET", "/metadata"), ("POST", ":predict")]
)
def test_a_version_that_is_too_large_has_an_empty_answer(
    service: Running, method: str, after: str, digits: str
) -> None:
    answer = service.ask(method, f"/v1/models/echo/versions/{digits}{after}", b"{}")
    assert (answer.status, answer.body) == (400, b"")
    assert answer.headers["content-type"] == "application/json"


DOCUMENT = '{"instances":[1],"inputs":2}'
ROW = "Failed to process element: "
PREDICT_ROWS = [
    ("[1, 2]", 400, "JSON Value: [1,2] Is not object"),
    (
        '{"signature_name": 5}',
        400,
        'JSON Value: {"signature_name":5} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    (
        '{"signature_name": "none", "instances": 1}',
        400,
        'Serving signature name: "none" not found in signature def',
    ),
    (
        '{"signature_name": "nothing", "instances": [1]}',
        400,
        "Failed to get input map for signature: nothing",
    ),
    (
        '{"instances": [1], "inputs": 2}',
        400,
        f"JSON Value: {DOCUMENT} Not formatted correctly expecting only one of "
        "'inputs' or 'instances' keys to exist ",
    ),
    ("{}", 400, "Missing 'inputs' or 'instances' key"),
    (
        '{"instances": 1}',
        400,
        "JSON Value: {\"instances\":1} Expecting 'instances' to be an list/array",
    ),
    (
        '{"instances": []}',
        400,
        "JSON Value: {\"instances\":[]} No values in 'instances' array",
    ),
    (
        '{"signature_name": "two", "instances": [1, 2]}',
        400,
        "instances is a plain list, but expecting list of objects as multiple "
        "input tensors required as per tensorinfo_map",
    ),
    ('{"instances": [{"x": 1}, 2]}', 400, "Expecting object but got list at item 1 of input list"),
    (
        '{"instances": [1, {"x": 1}]}',
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        '{"signature_name": "two", "instances": [{"a": 1}]}',
        400,
        ROW + "0 of 'instances' list. JSON object: {\"a\":1} keys must be equal to: a,b",
    ),
    (
        '{"instances": [{"x": 1}, {"x": 1, "z": 2}]}',
        400,
        ROW + "1 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: z",
    ),
    (
        '{"instances": [{"x": "1"}]}',
        400,
        ROW + "0 key: x of 'instances' list. Error: INVALID_ARGUMENT: "
        'JSON Value: "1" Type: String is not of expected type: float',
    ),
    (
        '{"instances": [1, null]}',
        400,
        ROW + "1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON Value: null Type: Null is not of expected type: float",
    ),
    (
        '{"instances": [[1, 2], [3]]}',
        400,
        ROW + "1 of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2 but got: 1",
    ),
    (
        '{"instances": [[[1, 2, 3], [4, 5, 6]], [[1, 2], [3, 4], [5, 6]]]}',
        400,
        ROW + "1 of 'instances' list. Error: INVALID_ARGUMENT: "
        "Expecting shape [2,3] but got: [3,2]",
    ),
    (
        '{"signature_name": "of_half", "instances": [1]}',
        400,
        ROW + "0 of 'instances' list. Error: UNIMPLEMENTED: "
        "Conversion of JSON Value: 1 to type: half",
    ),
    (
        '{"signature_name": "of_half", "inputs": [1]}',
        501,
        "Conversion of JSON Value: 1 to type: half",
    ),
    (
        '{"signature_name": "of_complex", "inputs": 1.0}',
        501,
        "Conversion of JSON Value: 1.0 to type: complex64",
    ),
    (
        '{"signature_name": "two", "inputs": [1]}',
        400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors "
        "required as per tensorinfo_map",
    ),
    (
        '{"signature_name": "two", "inputs": {"a": 1, "c": 3}}',
        400,
        "Missing named input: b in 'inputs' object.",
    ),
    ('{"signature_name": "image", "inputs": {"b64": "a"}}', 400, "Unable to base64 decode"),
    (
        '{"signature_name": "image", "inputs": [{"b64": 5}]}',
        400,
        'JSON Value: {"b64":5} not formatted correctly for base64 data',
    ),
    (
        '{"inputs": [[1, 2], [3]]}',
        400,
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    (
        '{"inputs": [[1], 2]}',
        400,
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    ('{"inputs": [1, [2]]}', 400, "Encountered list at unexpected level: 1 expected < 1"),
    ('{"inputs": [[1, [2]]]}', 400, "Encountered list at unexpected level: 2 expected < 2"),
    ('{"inputs": ' + "[" * 100 + "]" * 100 + "}", 400, "A tensor here has 60 dimensions at most."),
    (
        '{"instances": ' + "[" * 61 + "1" + "]" * 61 + "}",
        400,
        "A tensor here has 60 dimensions at most.",
    ),
    (
        '{"signature_name": "scalar", "instances": [1]}',
        400,
        "Tensor name: y has no shape information ",
    ),
    (
        '{"signature_name": "uneven", "instances": [1]}',
        400,
        "Tensor name: b has inconsistent batch size: 3 expecting: 2",
    ),
    (
        '{"signature_name": "to_half", "instances": [1]}',
        400,
        "Failed to write JSON value for tensor type: half",
    ),
    (
        '{"signature_name": "broken", "instances": [1]}',
        500,
        "RuntimeError: what it says\nTraceback",
    ),
]


@pytest.mark.parametrize("body", ["", "{", '{"instances": nope}', '{"instances": [1]} and'])
def test_what_is_no_json_is_refused(service: Running, body: str) -> None:
    answer = service.post(body)
    assert answer.status == 400
    assert answer.error.startswith("JSON Parse error: ")


@pytest.mark.parametrize(("body", "status", "text"), PREDICT_ROWS)
def test_predict_refuses_as_the_product_does(
    service: Running, body: str, status: int, text: str
) -> None:
    answer = service.post(body)
    assert (answer.status, answer.error) == (status, text)
    assert answer.body.startswith(b'{\n    "error": "')
    assert answer.body.endswith(b'"\n}')


@pytest.mark.parametrize(
    ("dtype", "value", "type_name"),
    [
        ("float", "true", "True"),
        ("float", '"1"', "String"),
        ("float", "null", "Null"),
        ("float", '{"b64": "aA=="}', "Object"),
        ("double", "false", "False"),
        ("int", "1.0", "Number"),
        ("int", "2147483648", "Number"),
        ("int", "true", "True"),
        ("int64", "9223372036854775808", "Number"),
        ("int64", '"1"', "String"),
        ("uint8", "2147483648", "Number"),
        ("uint64", "-1", "Number"),
        ("float", "1" + "0" * 400, "Number"),
        ("double", "NaN, -1" + "0" * 400, "Number"),
        ("bool", "1", "Number"),
        ("bool", '"true"', "String"),
        ("string", "1", "Number"),
        ("half", '{"a": 1}', "Object"),
    ],
)
def test_nothing_is_converted_to_the_type_that_is_expected(
    service: Running, dtype: str, value: str, type_name: str
) -> None:
    answer = service.post(f'{{"signature_name": "of_{dtype}", "inputs": [{value}]}}')
    expected = {"int": "int32"}.get(dtype, dtype)
    assert answer.status == 400
    assert answer.error.startswith("JSON Value: ")
    assert answer.error.endswith(f" Type: {type_name} is not of expected type: {expected}")


def test_the_order_of_checks_is_that_of_the_product(service: Running) -> None:
    unknown = "/v1/models/none:predict"
    assert service.post("nonsense", unknown).status == 400
    assert "'signature_name' key" in service.post('{"signature_name": 1}', unknown).error
    assert service.post('{"signature_name": "none"}', unknown).status == 404
    assert "not found in signature def" in service.post('{"signature_name": "none"}').error
    assert service.post('{"examples": 1}', "/v1/models/none:classify").status == 400
    assert service.post('{"examples": [{}]}', "/v1/models/none:classify").status == 404


def test_a_quoted_value_is_cut(service: Running) -> None:
    answer = service.post({"instances": [1.5] * 10_000, "inputs": 1})
    quoted = answer.error.removeprefix("JSON Value: ").partition(" Not formatted")[0]
    assert len(quoted) == 256


EXAMPLES_ROWS = [
    ("{}", "JSON Value: {} When method is classify, key 'examples' is expected and was not found"),
    (
        '{"examples": 1}',
        "JSON Value: {\"examples\":1} Expecting 'examples' value to be an list/array",
    ),
    (
        '{"examples": []}',
        "JSON Value: {\"examples\":[]} 'examples' value is an empty array",
    ),
    ('{"examples": [[1]]}', "Example must be JSON object but got JSON Array"),
    ('{"examples": [true]}', "Example must be JSON object but got JSON True"),
    ('{"context": 1.5, "examples": [{}]}', "Example must be JSON object but got JSON Number"),
    ('{"examples": [{"f": null}]}', "Feature: f has element with unexpected JSON type: Null"),
    ('{"examples": [{"f": [[1]]}]}', "Feature: f has element with unexpected JSON type: Array"),
    ('{"examples": [{"f": {"a": 1}}]}', "Feature: f has element with unexpected JSON type: Object"),
    (
        '{"examples": [{"f": [1, 1.0]}]}',
        "Unexpected element type in feature: f expecting type: int64",
    ),
    (
        '{"examples": [{"f": [1.0, true]}]}',
        "Unexpected element type in feature: f expecting type: float",
    ),
    (
        '{"examples": [{"f": ["a", 1]}]}',
        "Unexpected element type in feature: f expecting type: bytes",
    ),
    (
        '{"examples": [{"f": 9223372036854775808}]}',
        "Feature: f has uint64_t element. Only int64_t is supported.",
    ),
    ('{"examples": [{"f": {"b64": "a"}}]}', "Unable to base64 decode"),
    (
        '{"signature_name": ["label"]}',
        'JSON Value: {"signature_name":["label"]} '
        "not formatted correctly. 'signature_name' key must be a string value.",
    ),
    ('{"signature_name": "none", "examples": [{}]}', "No signature was found with the name: none"),
]


@pytest.mark.parametrize("path", [CLASSIFY, REGRESS])
@pytest.mark.parametrize(("body", "text"), EXAMPLES_ROWS)
def test_classify_and_regress_refuse_as_the_product_does(
    service: Running, path: str, body: str, text: str
) -> None:
    answer = service.post(body, path)
    assert (answer.status, answer.error) == (400, text)


def test_rows_are_answered_with_predictions(service: Running) -> None:
    answer = service.post({"instances": [2.0, 3, 4.0]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.body == b'{\n    "predictions": [2.0,3.0,4.0]\n}'


def test_one_output_loses_its_name_even_when_the_input_was_named(service: Running) -> None:
    assert json.loads(service.post({"instances": [{"x": 1}]}).body) == {"predictions": [1]}
    assert json.loads(service.post({"inputs": {"x": [1], "y": 2}}).body) == {"outputs": [1]}


def test_columns_are_answered_with_outputs_of_any_shape(service: Running) -> None:
    body = {"signature_name": "two", "inputs": {"a": [[1.5]], "b": [1, 2, 3]}}
    assert json.loads(service.post(body).body) == {"outputs": {"a": [[1.5]], "b": [1, 2, 3]}}
    assert service.post({"inputs": 0.2}).body == b'{\n    "outputs": 0.2\n}'


def test_several_outputs_are_an_object_for_each_row(service: Running) -> None:
    rows = [{"b": 1, "a": [0.5, 1]}, {"a": [2, 3], "b": 4}]
    answer = service.post({"signature_name": "two", "instances": rows})
    assert json.loads(answer.body) == {"predictions": rows}


def test_bytes_go_and_come_as_b64_by_the_name_of_the_output(service: Running) -> None:
    image = {"b64": "/+8="}
    answer = service.post({"signature_name": "image", "instances": [image, {"image_bytes": image}]})
    assert answer.status == 400
    answer = service.post({"signature_name": "image", "instances": [image, "é"]})
    assert json.loads(answer.body) == {"predictions": [image, {"b64": "w6k="}]}
    answer = service.post({"signature_name": "of_string", "inputs": {"x": {"b64": "w6k="}}})
    assert answer.body.decode() == '{\n    "outputs": "é"\n}'


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_numbers_that_json_does_not_have_go_and_come(service: Running, key: str) -> None:
    answer = service.post(f'{{"{key}": [NaN, Inf, -Infinity, 1e6, 0.1]}}')
    values = answer.body.decode().partition("[")[2].partition("]")[0].split(", ")
    assert values == ["NaN", "Infinity", "-Infinity", "1000000.0", "0.1"]


def test_integers_of_64_bits_are_numbers(service: Running) -> None:
    answer = service.post('{"signature_name": "of_int64", "inputs": 9223372036854775807}')
    assert answer.body == b'{\n    "outputs": 9223372036854775807\n}'


def test_small_integers_are_cut_without_a_look_at_their_range(service: Running) -> None:
    answer = service.post({"signature_name": "of_uint8", "inputs": [255, 256, -1]})
    assert json.loads(answer.body) == {"outputs": [255, 0, 255]}


def test_classify_gives_pairs_and_regress_gives_values(service: Running) -> None:
    examples = [{"label": ["car", "bus"], "score": [0.2, 0.7]}, {"label": ["a", "b"]}]
    body = {"signature_name": "label", "context": {"score": [0.5, 1.0]}, "examples": examples}
    assert json.loads(service.post(body, CLASSIFY).body) == {
        "results": [[["car", 0.2], ["bus", 0.7]], [["a", 0.5], ["b", 1.0]]]
    }
    body = {"signature_name": "value", "examples": [{"v": 0.25}, {"v": [1e6]}]}
    assert json.loads(service.post(body, REGRESS).body) == {"results": [0.25, 1e6]}


@pytest.mark.parametrize("where", ["", "/versions/2", "/labels/ca%2Fnary", "/labels/stable"])
def test_every_form_of_the_url_answers(service: Running, where: str) -> None:
    base = f"/v1/models/echo{where}"
    assert service.post({"instances": [1]}, f"{base}:predict").status == 200
    assert service.ask("GET", base).status == 200
    version = json.loads(service.ask("GET", f"{base}/metadata").body)["model_spec"]["version"]
    assert version == ("1" if "stable" in where else "2")


def test_case_does_not_count_in_the_path(service: Running) -> None:
    assert service.post({"instances": [1]}, "/V1/Models/echo/VERSIONS/1:predict").status == 200
    assert "model_version_status" in service.ask("GET", "/v1/models/echo/METADATA").body.decode()


def test_a_name_may_be_written_with_percent_signs(service: Running) -> None:
    assert service.post({"instances": [1]}, "/v1/models/e%63ho:predict").status == 200


def test_status_is_as_protobuf_prints_it(service: Running) -> None:
    answer = service.ask("GET", "/v1/models/echo/versions/1")
    assert answer.headers["content-type"] == "application/json"
    version = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert json.loads(answer.body) == {"model_version_status": [version]}
    both = json.loads(service.ask("GET", "/v1/models/echo/labels/stable").body)
    assert [each["version"] for each in both["model_version_status"]] == ["2", "1"]


def test_metadata_is_as_the_product_prints_it(service: Running) -> None:
    document = json.loads(service.ask("GET", "/v1/models/iris/metadata").body)
    assert document["model_spec"] == {"name": "iris", "signature_name": "", "version": "1"}
    signatures = document["metadata"]["signature_def"]["signature_def"]
    default = signatures["serving_default"]
    assert set(default) == {"inputs", "outputs", "method_name", "defaults"}
    assert default["defaults"] == {}
    (info,) = default["inputs"].values()
    assert set(info) == {"dtype", "tensor_shape", "name"}
    assert info["dtype"] == "DT_FLOAT"
    assert info["tensor_shape"]["dim"][0] == {"size": "-1", "name": ""}
    assert info["tensor_shape"]["unknown_rank"] is False


def test_metadata_tells_an_unknown_rank(service: Running) -> None:
    document = json.loads(service.ask("GET", "/v1/models/echo/metadata").body)
    signatures = document["metadata"]["signature_def"]["signature_def"]
    shape = signatures["serving_default"]["inputs"]["x"]["tensor_shape"]
    assert shape == {"dim": [], "unknown_rank": True}
    assert list(signatures) == sorted(signatures)


def test_a_real_model_answers_with_float_numbers(service: Running) -> None:
    answer = service.post({"instances": [FLOWER, FLOWER]}, "/v1/models/iris:predict")
    assert answer.status == 200
    first, second = json.loads(answer.body)["predictions"]
    assert first == second


@pytest.mark.parametrize("path", ["/", "/v2/models/echo", "/v1", "/monitoring/prometheus/metrics"])
def test_elsewhere_there_is_the_page_of_libevent(service: Running, path: str) -> None:
    answer = service.ask("GET", path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body.decode() == (
        "<HTML><HEAD>\n<TITLE>404 Not Found</TITLE>\n</HEAD><BODY>\n"
        "<H1>Not Found</H1>\n</BODY></HTML>\n"
    )


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://here", 200), ("http://here", 200), ("file://here", 400), (None, 400)],
)
def test_options_is_answered_by_origin_and_without_a_body(
    service: Running, origin: str | None, status: int
) -> None:
    headers = {} if origin is None else {"Origin": origin}
    answer = service.ask("OPTIONS", "/v1/anything", headers=headers)
    assert (answer.status, answer.body) == (status, b"")
    assert "content-type" not in answer.headers
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_with_the_flag_all_answers_let_pages_of_elsewhere_in(models: Models) -> None:
    running = Running(models, cors=True)
    try:
        for method, path, status in (
            ("OPTIONS", "/v1/x", 400),
            ("GET", "/v1/models/echo", 200),
            ("PUT", "/v1/x", 400),
        ):
            answer = running.ask(method, path)
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["access-control-allow-methods"] == "POST, GET"
            assert answer.headers["access-control-allow-headers"] == "Content-Type"
        assert "access-control-allow-origin" not in running.ask("GET", "/").headers
    finally:
        running.stop()


PACKED = gzip.compress(b'{"instances": [1]}')


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (PACKED, "gzip", 200),
        (PACKED, "x-gzip", 200),
        (b'{"instances": [1]}', "identity", 200),
        (b'{"instances": [1]}', "gzip", 400),
        (PACKED[:-9], "gzip", 400),
        (gzip.compress(b" " * (101 * 1024 * 1024)), "gzip", 400),
        (b"", "gzip", 400),
    ],
    ids=["gzip", "x-gzip", "identity", "not packed", "cut", "too much", "empty"],
)
def test_a_packed_request_is_unpacked_or_counts_as_empty(
    service: Running, body: bytes, encoding: str, status: int
) -> None:
    answer = service.ask("POST", PREDICT, body, {"Content-Encoding": encoding})
    assert answer.status == status
    if status == 400:
        assert answer.error.startswith("JSON Parse error: ")
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_document_of_too_many_values_is_refused(service: Running, encoding: str) -> None:
    body = b'{"instances": [' + b"0," * 2**23 + b"0]}"
    body = gzip.compress(body, 1) if encoding == "gzip" else body
    answer = service.ask("POST", PREDICT, body, {"Content-Encoding": encoding})
    assert answer.status == 429
    assert "8388608 values" in answer.error


def test_the_content_type_of_a_request_does_not_count(service: Running) -> None:
    answer = service.ask("POST", PREDICT, b'{"instances": [1]}', {"Content-Type": "text/html"})
    assert answer.status == 200


def test_a_large_request_has_no_limit(service: Running) -> None:
    body = b'{"x": "' + b"a" * web.BODY_LIMIT + b'", "instances": [1]}'
    assert service.post(body).status == 200


def test_the_timeout_ends_the_run_with_504(models: Models) -> None:
    running = Running(models, timeout_seconds=0.2)
    try:
        answer = running.post({"signature_name": "slow", "instances": [1]})
    finally:
        running.stop()
    assert (answer.status, answer.error) == (504, "Timed out.")


def test_callers_do_not_wait_for_each_other(models: Models) -> None:
    running = Running(models, timeout_seconds=1, threads=4)
    try:
        with futures.ThreadPoolExecutor(8) as pool:
            slow = [
                pool.submit(running.post, {"signature_name": "slow", "instances": [1]})
                for _ in range(3)
            ]
            assert running.post({"instances": [1]}).status == 200
            assert not any(each.done() for each in slow)
            assert {each.result().status for each in slow} == {504}
    finally:
        running.stop()


@pytest.mark.parametrize(("quick", "thread"), [(math.inf, "port"), (0, "rest")])
def test_only_a_quick_model_is_run_in_the_thread_that_all_callers_share(
    service: Running, monkeypatch: pytest.MonkeyPatch, quick: float, thread: str
) -> None:
    threads = []
    run = LiteRTModel.run

    def noted(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return run(*arguments)

    monkeypatch.setattr(LiteRTModel, "run", noted)
    monkeypatch.setattr(litert, "_QUICK", quick)
    for row in ([[5, 3, 1, 0]], [[5, 3, 1, 0]] * 5000):  # a large body is read in another thread
        assert service.post({"instances": row}, "/v1/models/iris:predict").status == 200
    small, large = threads
    assert small.startswith(thread)
    assert large.startswith("rest")


def test_a_model_whose_interpreters_are_taken_is_not_quick(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "_QUICK", math.inf)
    model = models.find(model_pb2.ModelSpec(name="iris")).model
    assert model.is_quick
    monkeypatch.setattr(model, "_idle", [])
    assert not model.is_quick


def test_many_callers_get_their_own_answers(service: Running) -> None:
    def ask(number: int) -> bool:
        answer = service.post({"instances": [[number, 0.5]]})
        return json.loads(answer.body) == {"predictions": [[number, 0.5]]}

    with futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize(("code", "status"), CODES.items())
def test_each_code_has_the_status_of_the_product(service: Running, code: str, status: int) -> None:
    answer = service.post({"signature_name": f"fails_with_{code}", "instances": [1]})
    assert (answer.status, answer.error) == (status, f"It is {code}.")


@pytest.fixture
def monitored(models: Models) -> Iterator[Running]:
    """Return a service that counts, with its page at a path of its own."""
    counts = monitoring.Monitoring()
    running = Running(models, metrics=counts, prometheus_path="/v1/metrics")
    yield running
    running.stop()


def metrics(running: Running) -> list[str]:
    """Return the lines of the page."""
    answer = running.ask("GET", "/v1/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain")
    return answer.body.decode().splitlines()


def test_requests_are_counted_and_only_good_ones_timed(monitored: Running) -> None:
    monitored.post({"instances": [1]})
    monitored.post({"instances": [1]})
    monitored.post({"instances": ["a"]})
    monitored.post({}, "/v1/models/none:predict")
    monitored.ask("GET", "/v1/models/echo")
    monitored.ask("PUT", "/v1/models/echo")
    lines = metrics(monitored)
    prefix = ":tensorflow:serving:"
    for line in (
        f'{prefix}request_count{{model_name="echo",status="OK"}} 3',
        f'{prefix}request_count{{model_name="echo",status="INVALID_ARGUMENT"}} 1',
        f'{prefix}request_count{{model_name="none",status="NOT_FOUND"}} 1',
        f'{prefix}request_count{{model_name="",status="INVALID_ARGUMENT"}} 1',
        f'{prefix}request_latency_count{{model_name="echo",API="predict",entrypoint="REST"}} 2',
        f'{prefix}request_latency_count{{model_name="echo",API="",entrypoint="REST"}} 1',
        f'{prefix}runtime_latency_count{{model_name="echo",API="Predict",runtime="TF1"}} 2',
    ):
        assert line in lines


def test_examples_are_counted(monitored: Running) -> None:
    monitored.post({"signature_name": "value", "examples": [{"v": 0.5}] * 3}, REGRESS)
    lines = metrics(monitored)
    assert ':tensorflow:serving:request_example_count_total{model="echo"} 3' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="echo",le="2"} 0' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="echo",le="4"} 1' in lines


def test_the_page_is_in_the_form_of_the_product() -> None:
    counts = monitoring.Monitoring()
    assert [line.split()[2:] for line in counts.page().splitlines()] == [
        [":tensorflow:serving:request_count", "counter"],
        [":tensorflow:serving:request_example_count_total", "counter"],
        [":tensorflow:serving:request_example_counts", "histogram"],
        [":tensorflow:serving:request_latency", "histogram"],
        [":tensorflow:serving:runtime_latency", "histogram"],
    ]
    counts.latency("m", "Predict", "GRPC", 18e-6)
    lines = counts.page().splitlines()
    first = lines.index("# TYPE :tensorflow:serving:request_latency histogram") + 1
    label = 'model_name="m",API="Predict",entrypoint="GRPC"'
    assert lines[first : first + 3] == [
        f':tensorflow:serving:request_latency_bucket{{{label},le="10"}} 0',
        f':tensorflow:serving:request_latency_bucket{{{label},le="18"}} 0',
        f':tensorflow:serving:request_latency_bucket{{{label},le="32.4"}} 1',
    ]
    assert lines[first + 33 : first + 36] == [
        f':tensorflow:serving:request_latency_bucket{{{label},le="+Inf"}} 1',
        f":tensorflow:serving:request_latency_sum{{{label}}} 18",
        f":tensorflow:serving:request_latency_count{{{label}}} 1",
    ]
    assert not any("_created" in line or "# HELP" in line for line in lines)


def test_a_label_is_escaped() -> None:
    counts = monitoring.Monitoring()
    counts.request('a"\\b', "OK")
    assert 'model_name="a\\"\\\\b"' in counts.page()


def test_with_a_query_the_page_tells_its_path(monitored: Running) -> None:
    answer = monitored.ask("GET", "/v1/metrics?x=1")
    assert (answer.status, answer.headers["content-type"]) == (400, "text/plain")
    assert answer.body == b"Unexpected path: /v1/metrics?x=1. Should be /v1/metrics"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config: { enable: true, path: "/m" }', "/m"),
        ('prometheus_config { path: "/m" }', None),
        ("", None),
    ],
)
def test_the_monitoring_config_tells_the_path(tmp_path: Path, text: str, path: str | None) -> None:
    (tmp_path / "config").write_text(text)
    assert monitoring.read_monitoring_config(str(tmp_path / "config")) == path


def test_a_bad_monitoring_config_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "config"
    file.write_text("prometheus_config { on: true }")
    with pytest.raises(Failure, match="INVALID_ARGUMENT: Invalid protobuf file: '.*config'"):
        monitoring.read_monitoring_config(str(file))
    assert "Error parsing text-format tensorflow.serving.MonitoringConfig: 1:21" in caplog.text
