"""The code that the Explorer shows before it sends: every line of it runs, and says the same."""

import base64
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from grpc_tools import protoc
from hypothesis import given
from hypothesis import strategies as st

from helpers import ccai, endpoints, images, modelarts, tfserving
from helpers.ccai import calls as ccai_wire
from helpers.ccai.speech import Speech
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError
from helpers.serving_api import example_pb2
from helpers.tensors import to_ndarray
from helpers.tfserving import features
from helpers.tfserving.signatures import DEFAULT_SIGNATURE, Signature, Signatures, TensorSpec
from practice import manager
from practice.launch import MODELS
from practice.modelarts import published as modelarts_services
from tests import ccai as shared
from tests.explorer import (
    SH,
    assert_all_the_same,
    assert_json,
    before,
    curl,
    decoded,
    json_of,
    posted_to,
    put_files,
    run,
    run_here,
    same_values,
)
from tests.tfserving import make_odd_models, on_tensorflow, running
from workbench.code import curl as curl_code
from workbench.code import literals
from workbench.code.ccai import CcaiWriter
from workbench.code.modelarts import ModelArtsWriter
from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, TITLES, Preview
from workbench.code.tfserving import TfServingWriter, least_json_size
from workbench.explorer import catalog

DATA = MODELS.parent
PROTO = DATA.parent / "protos" / "inference_service.proto"
HERE = Endpoint("tfserving", grpc="127.0.0.1:8500", rest="http://127.0.0.1:8501", model="m")
SECURE = HERE.replace(
    rest="https://127.0.0.1:8501", ca_file="ca.pem", user="lovelace", password="hush"
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
NUMBERS = [
    *map(np.dtype, ["float16", "float32", "float64", "int8", "int16", "int32", "int64"]),
    *map(np.dtype, ["uint8", "uint16", "uint32", "uint64", "bool", "complex64", "complex128"]),
    BFLOAT16,
    np.dtype(ml_dtypes.float8_e4m3fn),
    np.dtype(ml_dtypes.int4),
]
SHAPES = {
    "scalar": (),
    "listed": (2, 3),
    "rows": (12, 5),
    "carried": (1, 20, 20),
    "in a file": (300_000,),
    "empty": (0, 3),
}
ON_REST = ["float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool"]
NAMES = ["plain", "it's", 'a "b"', "two\nlines", "数字 ☃", "\\", "../up", "$HOME `id`", "np.x", ""]


def signature_of(inputs: Mapping[str, np.ndarray], method_name: str = "") -> Signature:
    specs = {name: TensorSpec(array.dtype, array.shape) for name, array in inputs.items()}
    return Signature(specs, {}, method_name=method_name)


def shown(
    inputs: Mapping[str, np.ndarray], endpoint: Endpoint = HERE, name: str = "", **more: Any
) -> Preview:
    return TfServingWriter(endpoint, name, signature_of(inputs), inputs, **more).preview()


def random_array(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(0)
    if dtype.kind in "fc":
        return random.normal(size=shape).astype(dtype) if shape else np.array(0.1, dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return np.asarray(random.integers(0, 2, shape)).astype(dtype)


def sent_by_grpc(found: Preview) -> dict[str, np.ndarray]:
    request = before(found.code[GRPC], "\noptions = ")["request"]
    return {name: to_ndarray(tensor) for name, tensor in request.inputs.items()}


def sent_by_requests(found: Preview) -> Any:
    return before(found.code[REQUESTS], "\nresponse = ")["body"]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("dtype", NUMBERS, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_numbers_of_every_dtype_and_length_arrive_bit_for_bit(
    dtype: np.dtype, shape: tuple[int, ...], folder: Path
) -> None:
    array = random_array(dtype, shape)
    found = shown({"x": array})
    put_files(found, folder)
    assert same(sent_by_grpc(found)["x"], array)
    assert max(map(len, found.code[GRPC].splitlines())) <= 110
    assert ("np.load" in found.code[GRPC]) == ("x.npy" in found.files) == (array.size > 10_000)


@pytest.mark.parametrize("dtype", ON_REST)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_requests_and_curl_post_what_the_json_shows(
    dtype: str, shape: tuple[int, ...], folder: Path
) -> None:
    array = random_array(np.dtype(dtype), shape)
    found = shown({"x": array}, shell="sh")
    if shape[:1] == (0,):
        assert set(found.reasons) == {REQUESTS, CURL, JSON}
        assert "JSON cannot tell the shape [0, 3]" in found.reasons[JSON]
        return
    put_files(found, folder)
    posted = np.array(json.loads(json.dumps(sent_by_requests(found)))["inputs"]["x"], dtype)
    assert same(posted, array)
    text = found.code.get(JSON) or (folder / "body.json").read_text()
    assert same(np.array(json.loads(text)["inputs"]["x"], dtype), array)
    words = shlex.split(found.code[CURL].partition("\n")[0] if JSON in found.code else "")
    assert ("body.json" in found.files) == ("@body.json" in found.code[CURL])
    assert not words or words[0] in ("curl", "#")
    assert (JSON in found.reasons) == (shape == SHAPES["in a file"])


@pytest.mark.parametrize(
    "values",
    [["flower", "数字", 'it\'s "so"', ""], [b"\xff\x00", b"\x89PNG" + bytes(90)], ["\x00"]],
)
@pytest.mark.parametrize("times", [1, 40, 20_000])
def test_text_and_bytes_arrive_over_both(values: list, times: int, folder: Path) -> None:
    array = np.array(values * times, object)
    as_sent = [each.encode() if isinstance(each, str) else each for each in array.tolist()]
    found = shown({"x": array})
    put_files(found, folder)
    assert sent_by_grpc(found)["x"].tolist() == as_sent
    for body in (sent_by_requests(found), json.loads(json_of(found))):
        posted = body["inputs"]["x"]
        assert [decoded(each) for each in posted] == as_sent
    if times == 1:
        assert found.files == {}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", BFLOAT16], ids=str)
@pytest.mark.parametrize("times", [1, 200])
def test_what_is_no_number_arrives_too(dtype: Any, times: int) -> None:
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 0.1] * times, dtype)
    found = shown({"x": array})
    assert same(sent_by_grpc(found)["x"], array)
    if np.dtype(dtype).name in ON_REST:
        assert same(np.array(sent_by_requests(found)["inputs"]["x"], dtype), array)
        assert "[NaN, Infinity, -Infinity, -0.0, 0.1" in found.code[JSON]


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_the_signs_of_zeros_arrive(dtype: str) -> None:
    parts = [0.0, -0.0, 1.5, -1.5]
    array = np.array([complex(real, imag) for real in parts for imag in parts], dtype)
    assert same(sent_by_grpc(shown({"x": array}))["x"], array)


@pytest.mark.parametrize("value", [0, 1, np.nan, np.inf])
def test_a_constant_is_constructed(value: float) -> None:
    array = np.full((1, 224, 224, 3), value, "float32")
    found = shown({"x": array})
    assert same(sent_by_grpc(found)["x"], array)
    assert ("np.full((1, 224, 224, 3)" in found.code[GRPC]) == (value != 0)
    assert set(found.files) == {"body.json"}


@pytest.mark.parametrize("size", [65, 65_536, 65_537])
@pytest.mark.parametrize("value", [0.5, "x", b"\xff", ""])
def test_one_other_value_is_no_constant_wherever_it_is(value: Any, size: int, folder: Path) -> None:
    for place in (None, 0, 1, size - 1):
        array = np.full(size, value, object if isinstance(value, str | bytes) else "float32")
        if place is not None:
            array[place] = array[place] * 2 or "y"
        found = shown({"x": array})
        assert ("np.full(" in found.code[GRPC]) == (place is None)
        assert max(map(len, found.code.values())) < 210_000
        put_files(found, folder)
        wanted = array if value == 0.5 else np.vectorize(literals.as_bytes, [object])(array)
        assert sent_by_grpc(found)["x"].tolist() == wanted.tolist()


def test_pixels_that_are_no_constant_are_not_copied_to_find_that_out() -> None:
    pixels = np.random.default_rng(0).random((1, 4000, 6000, 3), "float32")
    tracemalloc.start()
    found = shown({"x": pixels})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.files.keys() == {"x.npy", "body.json"}
    assert peak < pixels.nbytes / 10


def test_odd_names_of_inputs_and_signatures_are_kept(folder: Path) -> None:
    arrays = {name: random_array(np.dtype("int64"), (40, 40)) for name in NAMES}
    for values in (arrays, {name: array[0, :2] for name, array in arrays.items()}):
        found = shown(values, name='sig\'s "name"\n☃', shell="sh")
        put_files(found, folder)
        assert {n: a.tolist() for n, a in sent_by_grpc(found).items()} == {
            n: a.tolist() for n, a in values.items()
        }
        body = sent_by_requests(found)
        assert body == json.loads(json_of(found))
        assert body["signature_name"] == 'sig\'s "name"\n☃'
    assert len(found.files) == 0
    assert shlex.split(shown({"it's": np.array([1])}, shell="sh").code[CURL])[2] == (
        '{"inputs": {"it\'s": [1]}}'
    )


def test_each_long_input_has_a_file_of_its_own_within_the_folder() -> None:
    arrays = {name: random_array(np.dtype("float64"), (9_000,)) for name in ("a b", "a/b", "../b")}
    found = shown(arrays)
    assert set(found.files) == {"a_b.npy", "a_b_2.npy", "_b.npy", "body.json"}
    for name in found.files:
        told = f"# Save {name} from the Explorer first"
        assert any(told in code for code in found.code.values())


@pytest.mark.parametrize(
    ("name", "taken", "file"),
    [
        ("a", [], "a.npy"),
        ("a", ["A.npy", "a_2.npy"], "a_3.npy"),  # some systems ignore case
        ("aux", [], "aux_.npy"),
        ("Con", ["con_.npy"], "Con__2.npy"),
        ("", [], "_.npy"),
    ],
)
def test_a_files_name_is_one_on_every_system(name: str, taken: list[str], file: str) -> None:
    assert literals.file_name(name, ".npy", taken) == file


@pytest.mark.parametrize(
    ("endpoint", "request_says", "url"),
    [
        (HERE.replace(version=3), "model_spec.version.value = 3\n", "/m/versions/3:predict"),
        (HERE.replace(version=0), "model_spec.version.value = 0\n", "/m/versions/0:predict"),
        (HERE.replace(version_label="be\"ta's"), "version_label = 'be\"ta", "/labels/be%22ta%27s:"),
        (HERE.replace(model="a/b c"), 'model_spec.name = "a/b c"\n', "/models/a%2Fb%20c:predict"),
    ],
)
def test_model_version_and_label_are_named(endpoint: Endpoint, request_says: str, url: str) -> None:
    found = shown({"x": np.zeros(1)}, endpoint)
    sent_by_grpc(found)
    assert request_says in found.code[GRPC]
    assert url in found.code[REQUESTS]
    assert url in found.code[CURL]


@pytest.mark.parametrize("dtype", ["float16", "complex64", "uint16", BFLOAT16], ids=str)
@pytest.mark.parametrize("way", ["input", "output"])
def test_why_there_is_no_rest_is_said(dtype: Any, way: str) -> None:
    odd, plain = TensorSpec(np.dtype(dtype), (1,)), TensorSpec(np.dtype("float32"), (1,))
    inputs, outputs = ({"x": odd if way == each else plain} for each in ("input", "output"))
    signature = Signature(inputs, outputs)
    array = np.zeros(1, signature.inputs["x"].dtype)
    found = TfServingWriter(HERE, "", signature, {"x": array}).preview()
    assert list(found.code) == [GRPC]
    told = f"REST does not carry {np.dtype(dtype)}, which {way} 'x' is. gRPC does."
    assert found.reasons == dict.fromkeys((REQUESTS, CURL, JSON), told)


def test_what_an_endpoint_lacks_is_said() -> None:
    x = {"x": np.zeros(1)}
    assert "no gRPC address" in shown(x, HERE.replace(grpc="")).reasons[GRPC]
    assert "no REST address" in shown(x, HERE.replace(rest="")).reasons[CURL]
    open_door = HERE.replace(user="lovelace", password="hush")
    assert set(shown(x, open_door).reasons) == set(TITLES)
    assert "TLS only" in shown(x, open_door).reasons[GRPC]
    with pytest.raises(BadInput, match="No model was named"):
        shown(x, HERE.replace(model=""))
    with pytest.raises(BadInput, match="no type for int objects"):
        shown({"x": np.array([1], object)})


@pytest.mark.parametrize("shell", ["sh", "powershell"])
def test_secrets_are_environment_variables(shell: str) -> None:
    found = shown({"x": np.zeros(1)}, SECURE, shell=shell)
    assert set(found.code) == set(TITLES)
    for title in (GRPC, REQUESTS, CURL):
        assert "OTW_TFSERVING_PASSWORD" in found.code[title]
    assert os.path.abspath("ca.pem") in shlex.split(found.code[CURL].replace("| ", ""))
    assert f"verify={os.path.abspath('ca.pem')!r}".replace("'", '"') in found.code[REQUESTS]
    assert not any("hush" in code or "lovelace" in code for code in found.code.values())
    compile(found.code[GRPC], GRPC, "exec")
    compile(found.code[REQUESTS], REQUESTS, "exec")


def test_proxies_are_gone_past_as_the_helper_does(monkeypatch: pytest.MonkeyPatch) -> None:
    x = {"x": np.zeros(1)}
    assert "proxies" not in shown(x).code[REQUESTS]
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://user:hush@127.0.0.1:1")
    found = shown(x)
    assert 'proxies={"http": "", "https": ""}' in found.code[REQUESTS]
    assert "--noproxy 127.0.0.1" in found.code[CURL]
    assert '("grpc.enable_http_proxy", 0)' in found.code[GRPC]
    there = shown(x, HERE.replace(grpc="models.example:8500", rest="http://models.example"))
    assert not any("prox" in code for code in there.code.values())


def test_powershell_gets_its_json_past_the_quotes_and_in_ascii() -> None:
    found = shown({"it's ☃": np.zeros(1)}, shell="powershell")
    assert found.code[CURL] == (
        """'{"inputs": {"it''s \\u2603": [0.0]}}' """
        "| curl.exe '-d' '@-' 'http://127.0.0.1:8501/v1/models/m:predict'"
    )
    long = shown({"x": random_array(np.dtype("float64"), (9_000,))}, shell="powershell")
    assert "curl.exe '-d' '@body.json' " in long.code[CURL]


@pytest.mark.parametrize("apostrophe", "'\u2018\u2019\u201a\u201b")
def test_powershell_takes_any_apostrophe_for_the_end_of_a_text(apostrophe: str) -> None:
    words = curl_code.quoted([f"a{apostrophe}; Remove-Item b", "c"], "powershell")
    assert words == f"'a{apostrophe}{apostrophe}; Remove-Item b' 'c'"


def test_an_unchecked_certificate_is_left_unchecked() -> None:
    found = shown({"x": np.zeros(1)}, SECURE.replace(ca_file="", verify=False), shell="sh")
    assert "verify=False" in found.code[REQUESTS]
    assert "--insecure" in shlex.split(found.code[CURL])


VALUES = st.recursive(
    st.text()
    | st.binary(max_size=400)
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@given(VALUES)
def test_any_value_reads_back_as_it_was(value: Any) -> None:
    code = literals.python(value)
    assert eval(code, {"base64": base64, "np": np}) == value


def test_powershell_reads_secrets_and_files_its_own_way() -> None:
    where: dict[str, Any] = {"rest": "https://a/b", "ca_file": "ca.pem"}
    app = Endpoint("modelarts", auth="appcode", password="hush", **where)
    code = ModelArtsWriter(app, {"x": "it's"}, shell="powershell").preview().code[CURL]
    assert code.startswith("""'{"x": "it''s"}' | curl.exe -H "X-Apig-AppCode: ${env:OTW_""")
    iam = Endpoint("modelarts", user="lovelace", password="hush", iam="https://c", **where)
    code = ModelArtsWriter(iam, content=b"x", shell="powershell").preview().code[CURL]
    assert '"password": "${env:OTW_MODELARTS_PASSWORD}"' in code
    assert """-H "X-Auth-Token: $token" '--cacert' """ in code
    assert "'-F' 'images=@images.bin' 'https://a/b'" in code
    ccai_here = Endpoint("ccai", user="lovelace", password="hush", rest="https://a")
    code = (
        CcaiWriter(ccai_here, "fcgi_py_ocr", {"image": b"RIFF" * 99}, shell="powershell")
        .preview()
        .code[CURL]
    )
    assert "ReadAllBytes((Resolve-Path 'image.wav'))) | curl.exe --user \"${env:OTW_CCAI_" in code
    assert "'--data-urlencode' 'image@-' 'https://a/cgi-bin/fcgi_py_ocr'" in code


def test_a_ccai_form_has_at_most_one_file() -> None:
    with pytest.raises(BadInput, match="One field"):
        CcaiWriter(Endpoint("ccai"), "a", {"x": b"1", "y": b"2"}).preview()
    nowhere = CcaiWriter(Endpoint("ccai"), "a", {"x": b"1"}, method="A").preview()
    assert set(nowhere.reasons) == set(TITLES)


def test_modelarts_says_what_cannot_be_posted() -> None:
    with pytest.raises(BadInput, match="cannot be written as JSON"):
        ModelArtsWriter(Endpoint("modelarts"), {"x": np.nan}).preview()
    plain = ModelArtsWriter(Endpoint("modelarts", rest="http://a/b"), {"x": 1}).preview()
    assert "HTTPS only" in plain.reasons[REQUESTS]
    signing = Endpoint("modelarts", rest="https://a/b", auth="signature", user="AK", password="SK")
    assert "cannot sign" in ModelArtsWriter(signing, {"x": 1}).preview().reasons[CURL]


@pytest.mark.parametrize(
    "array",
    [
        np.array([""] * 60_000, object),
        np.array([b"\xff", "ü☃😀\n", b"x"], object),
        np.zeros((50_000, 3), "uint8"),
        np.full(70_000, np.nan),
        np.array(1.5),
    ],
)
def test_how_long_json_will_be_is_never_taken_for_more(array: np.ndarray) -> None:
    written = json.dumps(literals.listed(array))
    assert least_json_size(array) <= len(written) + 2
    assert least_json_size(array) * 20 > len(written)


@pytest.mark.parametrize("size", [100, 2_000, 200_000])
@pytest.mark.parametrize("text", [False, True])
def test_a_reason_names_the_file_as_it_is_saved(size: int, text: bool) -> None:
    numbers = np.arange(size, dtype="float64") / 7
    found = shown({"x": numbers.astype(str).astype(object) if text else numbers})
    assert (JSON in found.reasons) == (size == 200_000)
    assert ("body.json" in found.reasons.get(JSON, "")) == (size == 200_000)
    assert ("body.json" in found.files) == ("body.json" in found.code[CURL]) == (size > 100)


APP = Endpoint("modelarts", rest="https://a/b", auth="appcode", password="hush")


@pytest.mark.parametrize("name", ["a=b", "=", "", "a=@b"])
def test_curl_has_no_way_to_name_some_fields_and_that_is_said(name: str) -> None:
    found = ModelArtsWriter(APP, content=b"x", name=name).preview()
    assert "Use Python" in found.reasons[CURL]
    assert CURL not in found.code
    [files] = [line for line in found.code[REQUESTS].splitlines() if line.startswith("files = ")]
    assert eval(files.removeprefix("files = ")) == {name: ("image", b"x")}
    if not name:
        form = CcaiWriter(Endpoint("ccai", rest="http://a"), "b", {"x": "1", name: "2"}).preview()
        assert "Use Python" in form.reasons[CURL]
        assert set(form.code) == {REQUESTS}


FIELDS = ["a", "a b", 'a"b', "a\\b", "a\nb", "数", "@a", "<a", "a;b", "(a", "$a", "a%22b", "'"]


@pytest.mark.skipif(not SH, reason="there is no curl, or no sh")
@pytest.mark.parametrize("kind", ["modelarts", "ccai"])
def test_curl_names_a_field_as_requests_does(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_MODELARTS_APPCODE", "hush")
    with posted_to() as (where, bodies):
        for name in FIELDS:
            bodies.clear()
            if kind == "modelarts":
                found = ModelArtsWriter(APP, content=b"x", name=name, shell="sh").preview()
            else:
                there = Endpoint("ccai", rest="https://a")
                found = CcaiWriter(there, "b", {name: "1", "more": "2"}, shell="sh").preview()
            here = {t: code.replace("https://a", where) for t, code in found.code.items()}
            run_here(found._replace(code=here), REQUESTS, folder)
            run(found._replace(code=here), CURL, folder)
            sent = [re.findall(rb'form-data; (name="[^"]*")', body) or body for body in bodies]
            assert len(sent) == 2, name
            assert sent[0] == sent[1], name
            assert len(sent[0]) > 0, name


@pytest.mark.parametrize("auth", ["", "signature", "appcode"])
def test_json_that_is_null_is_posted_as_the_helper_does(
    auth: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.up("modelarts")
    endpoint = endpoints.load("modelarts", f"practice-{auth}" if auth else "practice")
    if auth == "appcode":
        host = endpoint.rest.partition("/v1/")[0]
        endpoint = endpoint.replace(rest=f"{host}{modelarts_services.SERVICES['iris'].app_path}")
    with pytest.raises(CallError) as told:
        modelarts.infer_json(endpoint, None)
    found = ModelArtsWriter(endpoint, None, shell="sh").preview()
    assert found.code[JSON] == "null"
    for name, value in user_of(endpoint, found).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        run_here(found, REQUESTS, tmp_path)
    assert refused(json.loads(str(ended.value))) == told.value.details
    if SH and CURL in found.code:
        assert refused(curl(found, tmp_path)) == told.value.details


def refused(answer: Mapping[str, Any]) -> str:
    return (
        f"{answer.get('error_code') or answer['erno']} {answer.get('error_msg') or answer['msg']}"
    )


PICTURE = np.asarray(np.random.default_rng(1).integers(0, 256, (8, 8)), np.uint8)
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def value_of(name: str, spec: TensorSpec, signature: Signature) -> np.ndarray:
    shape = tuple(2 if size < 0 else size for size in spec.shape or ())
    if spec.dtype.kind != "O":
        return random_array(spec.dtype, shape)
    content = images.png(PICTURE) if "image" in name else example().SerializeToString()
    return np.full(shape, content, object)


def example() -> Any:
    made = example_pb2.Example()
    for name, value in FLOWER.items():
        made.features.feature[name].float_list.value.append(value)
    return made


PROFILES = {"tfserving": "practice", "tfserving-tf": "practice-tf"}
SHIPPED = [
    ("tfserving", "digits", 1),
    ("tfserving", "digits", None),
    ("tfserving", "digits_detector", None),
    ("tfserving", "iris", None),
    ("tfserving-tf", "digits", 1),
    ("tfserving-tf", "digits", None),
    ("tfserving-tf", "digits_detector", None),
    ("tfserving-tf", "digits_encoded", None),
    ("tfserving-tf", "iris", None),
    ("tfserving-tf", "iris_examples", None),
]


@pytest.mark.parametrize("service", ["tfserving", on_tensorflow("tfserving-tf")])
def test_all_shipped_models_are_looked_at(service: str) -> None:
    manager.up(service)
    endpoint = endpoints.load("tfserving", PROFILES[service])
    served = {
        (service, each.name, version)
        for each in catalog.entries(endpoint)
        for version in [*list(each.states)[1:], None]  # the newest one without its number
    }
    assert served == {each for each in SHIPPED if each[0] == service}


@pytest.mark.parametrize(
    ("service", "model", "version"),
    [on_tensorflow(*row) if row[0] == "tfserving-tf" else row for row in SHIPPED],
    ids=str,
)
def test_every_preview_of_a_shipped_model_gives_the_same_answer(
    service: str, model: str, version: int | None, folder: Path
) -> None:
    manager.up(service)
    endpoint = endpoints.load("tfserving", PROFILES[service]).replace(model=model, version=version)
    for name, signature in tfserving.signatures(endpoint).items():
        inputs = {n: value_of(n, spec, signature) for n, spec in signature.inputs.items()}
        expected = tfserving.predict(endpoint, inputs, signature_name=name)
        found = TfServingWriter(endpoint, name, signature, inputs, shell="sh").preview()
        assert set(found.reasons) <= {JSON}, "only a long body is not shown"
        # A fresh process takes long: once for each model is enough.
        fresh = service == "tfserving" or name == "predict"
        assert_all_the_same(found, expected, folder, fresh=fresh, rtol=1e-6)


@pytest.mark.tensorflow
def test_every_dtype_is_echoed_to_its_previews(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = make_odd_models(folder)
    flags = ["--model_name=dtypes", f"--model_base_path={models / 'dtypes'}"]
    with running(folder, *flags) as service:
        endpoint = service.endpoint.replace(model="dtypes")
        for name, signature in tfserving.signatures(endpoint).items():
            spec = signature.inputs["x"]
            text = np.array(["数字", b"it's", b"\xff\x00"], object)
            for shape in ((), (2, 3), (100,)):
                x = random_array(spec.dtype, shape) if spec.dtype.kind != "O" else text
                found = TfServingWriter(endpoint, name, signature, {"x": x}).preview()
                (folder / "call.py").write_text(found.code[GRPC], encoding="utf-8")
                wanted = tfserving.predict(endpoint, {"x": x}, signature_name=name)["y"]
                assert same_values(runpy.run_path("call.py")["outputs"]["y"], wanted)
                if REQUESTS in found.code and spec.dtype.kind != "O":
                    (folder / "call.py").write_text(found.code[REQUESTS], encoding="utf-8")
                    assert_json(runpy.run_path("call.py")["outputs"], {"y": wanted})
        assert capsys.readouterr().out


@pytest.mark.tensorflow
@pytest.mark.parametrize("call", ["classify", "regress"])
def test_the_previews_of_examples_give_the_same_answer(call: str, tmp_path: Path) -> None:
    manager.up("tfserving-tf")
    endpoint = endpoints.load("tfserving", "practice-tf").replace(model="iris_examples")
    name, signature = named(tfserving.signatures(endpoint), call)
    flowers: list[dict[str, Any]] = [FLOWER, {**FLOWER, "petal_length": [6.0]}]
    expected = getattr(tfserving, call)(endpoint, flowers, signature_name=name)
    found = TfServingWriter(endpoint, name, signature, {}, examples=flowers, shell="sh").preview()
    wanted = np.array([score_of(each) for each in expected])
    for title in (GRPC, REQUESTS):
        outputs = run(found, title, tmp_path)
        np.testing.assert_allclose([score_of(each) for each in outputs], wanted, rtol=1e-6)
    if SH:
        outputs = curl(found, tmp_path)["results"]
        np.testing.assert_allclose([score_of(each) for each in outputs], wanted, rtol=1e-6)


def score_of(result: Any) -> Any:
    return [score for _, score in result] if isinstance(result, list) else result


def named(signatures: Signatures, call: str) -> tuple[str, Signature]:
    return next(item for item in signatures.items() if item[1].method_name.endswith(f"/{call}"))


def test_examples_of_text_and_ints_compile() -> None:
    text = {"inputs": np.array(["x"], object)}
    signature = signature_of(text, "tensorflow/serving/classify")
    mixed = [{"a": "数", "b": [1, 2], "c": b"\xff", "d": 0.5, "e": [], "f": b"x"}]
    found = TfServingWriter(HERE, DEFAULT_SIGNATURE, signature, {}, examples=mixed).preview()
    request = before(found.code[GRPC], "\noptions = ")["request"]
    feature = request.input.example_list.examples[0].features.feature
    assert [feature[n].bytes_list.value[0] for n in "acf"] == ["数".encode(), b"\xff", b"x"]
    assert (list(feature["b"].int64_list.value), feature["d"].float_list.value) == ([1, 2], [0.5])
    assert sent_by_requests(found)["examples"][0]["c"] == [{"b64": "/w=="}]


TAXIS = [
    {"miles": [5.1], "company": "Blue Cab", "hour": 9},
    {"miles": [0.3, 1e-9, float("nan")], "company": ["数", b"\xff\x00"], "hour": [1, 2], "e": []},
]


def serialized(*examples: Mapping[str, Any]) -> np.ndarray:
    strings = np.empty(len(examples), object)
    strings[:] = [features.serialized(example) for example in examples]
    return strings


def parsed(serialized: bytes) -> dict[str, Any]:
    feature = example_pb2.Example.FromString(serialized).features.feature
    return {name: str(value) for name, value in feature.items() if value.WhichOneof("kind")}


def test_examples_that_are_an_input_are_composed_where_a_reader_sees_them() -> None:
    examples = serialized(*TAXIS)
    found = shown({"examples": examples, "text": np.array(["x"], object)})
    wanted = [parsed(example) for example in examples]
    for title in (GRPC, REQUESTS):
        assert '"company": ["bytes_list", [b"Blue Cab"]]' in found.code[title]
        assert '"miles": ["float_list", [5.1]]' in found.code[title]
    assert [parsed(one) for one in sent_by_grpc(found)["examples"]] == wanted
    posted = sent_by_requests(found)["inputs"]
    assert [parsed(base64.b64decode(one["b64"])) for one in posted["examples"]] == wanted
    assert posted["text"] == ["x"]


def test_code_with_examples_runs_where_nothing_of_this_project_is(tmp_path: Path) -> None:
    examples = serialized(*TAXIS)
    code, _, _ = shown({"examples": examples}).code[REQUESTS].partition("\nresponse = ")
    without = "import sys\n\nsys.modules['helpers'] = None\n"
    (tmp_path / "call.py").write_text(f"{without}{code}\nprint(json.dumps(body))", "utf-8")
    official = os.environ | {"PYTHONPATH": str(PROTO.parent)}  # TensorFlow's messages are there
    ran = subprocess.run(
        [sys.executable, "call.py"], cwd=tmp_path, env=official, capture_output=True, check=True
    )
    posted = json.loads(ran.stdout)["inputs"]["examples"]
    assert [parsed(decoded(example)) for example in posted] == list(map(parsed, examples))


@pytest.mark.parametrize(
    "strings",
    [
        ["text", "words"],
        [b""],
        [features.serialized({"x": 1}) + b"\x12\x00"],  # more than an example has
        [features.serialized({"x": 1}), b"text"],
        [features.serialized({"x": [b"\xff" * 9_000]})],  # too long to be read
    ],
)
def test_strings_that_are_no_short_examples_are_written_as_they_are(strings: list) -> None:
    array = np.array(strings, object)
    found = shown({"examples": array})
    assert "example_pb2" not in found.code[GRPC] + found.code[REQUESTS]


@pytest.mark.skipif(not SH, reason="there is no curl, or no sh")
def test_a_preview_runs_with_a_proxy_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.up("tfserving")
    endpoint = endpoints.load("tfserving").replace(model="iris")
    for name, value in {"http_proxy": "http://127.0.0.1:1", "no_proxy": "", "NO_PROXY": ""}.items():
        monkeypatch.setenv(name, value)
    signature = tfserving.signatures(endpoint)[DEFAULT_SIGNATURE]
    found = TfServingWriter(
        endpoint, "", signature, {"features": np.ones((1, 4), "float32")}, shell="sh"
    ).preview()
    wanted = tfserving.predict(endpoint, {"features": [[1.0] * 4]})["probabilities"].tolist()
    np.testing.assert_allclose(run(found, GRPC, tmp_path)["probabilities"], wanted)
    np.testing.assert_allclose(curl(found, tmp_path)["outputs"], wanted, rtol=1e-6)
    np.testing.assert_allclose(run(found, REQUESTS, tmp_path), wanted, rtol=1e-6)


FACE = (DATA / "photos" / "astronaut.png").read_bytes()
PAGE = shared.written("Meeting\nat ten")
SOUND = Speech.read(DATA / "audio" / "go-forward.wav")
HEARD = {
    "realtime": "OFFLINE",
    "language": "ENGLISH",
    "rate": 16000,
    "samplewidth": 2,
    "speech": SOUND.pcm(),
}
NO_JSON = ("cpuinfo", "gpuinfo", "meminfo", "apiinfo", "policy")
FORMS: dict[str, dict[str, Any]] = {
    **{name: {} for name in NO_JSON},
    "asr": HEARD,
    "tts": {"text": 'it\'s & "so" ü'},
    "policy": {"device": "CPU", "local": 1},
}
FORMS |= {name: {"image": PAGE} for name in ("ocr", "ppocr", "digitalnote", "handwritten")}
PATHS = [path for path in shared.PATHS if path != "/cgi-bin/streaming"]
METHODS = {
    "OCR": PAGE,
    "FaceDetection": FACE,
    "FacialLandmark": FACE,
    "Classification": FACE,
    "ASR": SOUND.wav(),
}


@pytest.fixture(scope="module")
def own_ccai() -> Iterator[shared.Running]:
    with shared.running() as service:
        yield service


def test_every_path_and_method_of_ccai_is_looked_at(own_ccai: shared.Running) -> None:
    named = {f"/cgi-bin/{each.name}" for each in catalog.entries(own_ccai.plain)}
    assert named - {"/cgi-bin/streaming", "/cgi-bin/smartphoto"} == set(PATHS), "those take JSON"
    methods = {each.name for each in catalog.entries(own_ccai.plain.replace(rest=""))}
    assert methods == set(METHODS)


@pytest.mark.parametrize("path", PATHS)
def test_both_previews_of_a_path_of_ccai_give_the_same_answer(
    path: str, own_ccai: shared.Running, tmp_path: Path
) -> None:
    endpoint, name = own_ccai.plain, path.rpartition("/")[2]
    form = FORMS.get(name.removeprefix("fcgi_").removeprefix("py_"), {"image": FACE})
    found = CcaiWriter(endpoint, name, form, shell="sh").preview()
    posted = {n: shared.text64(v) if isinstance(v, bytes) else v for n, v in form.items()}
    expected = comparable(ccai_wire.send(endpoint, name, posted, 60))
    assert expected
    answer = run_here(found, REQUESTS, tmp_path)
    assert isinstance(answer, dict) == (name.rpartition("_")[2] not in NO_JSON)
    assert comparable(answer) == expected
    if SH:
        assert comparable(run(found, CURL, tmp_path)) == expected


def comparable(answer: Any) -> Any:
    """Return an answer without what differs from call to call: times and frequencies."""
    if isinstance(answer, dict):
        return {name: value for name, value in answer.items() if name != "time"}
    try:
        read = json.loads(answer, strict=False)
    except ValueError:
        return re.sub(r"\d+", "N", answer).strip()
    return comparable(read) if isinstance(read, dict) else read


@pytest.mark.parametrize("door", ["plain", "secure"])
@pytest.mark.parametrize("method", METHODS)
def test_the_preview_of_a_method_of_ccai_gives_the_same_answer(
    method: str, door: str, own_ccai: shared.Running, tmp_path: Path
) -> None:
    endpoint = getattr(own_ccai, door)
    content = METHODS[method]
    found = CcaiWriter(endpoint, "", {}, method=method, content=content).preview()
    assert set(found.reasons) == {REQUESTS, CURL, JSON}
    expected = ccai_wire.call(endpoint, method, content, 60)
    make_stubs(tmp_path)
    answer = run(found, GRPC, tmp_path, **user_of(endpoint, found))
    assert ccai.answers.parse(answer) == expected != []


@pytest.mark.parametrize("name", ["fcgi_py_face_detection", "fcgi_ocr"])
def test_the_previews_go_through_ccais_secure_doors(
    name: str, own_ccai: shared.Running, tmp_path: Path
) -> None:
    endpoint = own_ccai.secure
    found = CcaiWriter(
        endpoint, name, {"image": FACE}, method="FaceDetection", content=FACE, shell="sh"
    ).preview()
    assert set(found.files) == {"image.png", "content.png"}
    variables = user_of(endpoint, found)
    expected = comparable(ccai_wire.send(endpoint, name, form(FACE), 60))
    assert comparable(run(found, REQUESTS, tmp_path, **variables)) == expected
    if SH:
        assert comparable(run(found, CURL, tmp_path, **variables)) == expected
    make_stubs(tmp_path)
    assert run(found, GRPC, tmp_path, **variables)


def make_stubs(folder: Path) -> None:
    """Make the modules of CCAI's messages as the code's comment says."""
    shutil.copy(PROTO, folder)
    out = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", f"-I{folder}", *out, PROTO.name]) == 0


def user_of(endpoint: Endpoint, found: Preview) -> dict[str, str]:
    """Return the variables that code reads, after a look that it holds no secret itself."""
    assert_no_secret(found, endpoint)
    fields = ("user", "password", "domain", "project")
    known = {field: getattr(endpoint, field) for field in fields if getattr(endpoint, field)}
    return {endpoints.variable(endpoint, field): value for field, value in known.items()}


def form(content: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(content).decode()}


def test_ccai_takes_text_with_quotes_and_a_short_file(tmp_path: Path) -> None:
    manager.up("ccai")
    endpoint = endpoints.load("ccai")
    said = CcaiWriter(endpoint, "fcgi_py_tts", {"text": 'it\'s & "so"'}, shell="sh").preview()
    assert "no gRPC method" in said.reasons[GRPC]
    wav = ccai_wire.post(endpoint, "fcgi_py_tts", {"text": 'it\'s & "so"'}, 30)["speech"]
    assert run(said, REQUESTS, tmp_path)["data"]["speech"] == wav
    picture = images.png(PICTURE)
    small = CcaiWriter(endpoint, "fcgi_py_classification", {"image": picture}, shell="sh").preview()
    assert small.files == {}
    expected = json.loads(ccai_wire.send(endpoint, "fcgi_py_classification", form(picture), 30))
    assert run(small, REQUESTS, tmp_path)["data"] == expected["data"]
    if SH:
        assert curl(said, tmp_path)["data"]["speech"] == wav
        assert curl(small, tmp_path)["data"] == expected["data"]
    sound = Speech.read(DATA / "audio" / "go-forward.wav").wav()
    heard = CcaiWriter(endpoint, "", {}, method="ASR", content=sound).preview()
    assert set(heard.files) == {"content.wav"}
    make_stubs(tmp_path)
    assert "go forward" in run(heard, GRPC, tmp_path).lower()


SERVICES: dict[str, Any] = {
    "iris": {"data": {"req_data": [FLOWER]}},
    "digits": (DATA / "images" / "digit.png").read_bytes(),
    "digits_detector": (DATA / "images" / "digits-02.png").read_bytes(),
}


def test_every_service_of_modelarts_is_looked_at() -> None:
    manager.up("modelarts")
    entries = catalog.entries(endpoints.load("modelarts"))
    assert {each.name for each in entries} == set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "auth", ["", "signature", "appcode"], ids=["token", "signature", "appcode"]
)
def test_every_preview_of_modelarts_gives_the_same_answer(
    auth: str, service: str, tmp_path: Path
) -> None:
    manager.up("modelarts")
    published, sent = modelarts_services.SERVICES[service], SERVICES[service]
    endpoint = endpoints.load("modelarts", f"practice-{auth}" if auth else "practice")
    host = endpoint.rest.partition("/v1/")[0]
    path = published.app_path if auth == "appcode" else published.path
    endpoint = endpoint.replace(rest=f"{host}{path}")
    if isinstance(sent, bytes):
        found = ModelArtsWriter(endpoint, content=sent, shell="sh").preview()
        expected = modelarts.infer_image(endpoint, sent)
        assert set(found.reasons) - {CURL} == {GRPC, JSON}
    else:
        found = ModelArtsWriter(endpoint, sent, shell="sh").preview()
        expected = modelarts.infer_json(endpoint, sent)
        assert json.loads(found.code[JSON]) == sent
    variables = user_of(endpoint, found)
    assert run(found, REQUESTS, tmp_path, **variables) == expected
    assert (CURL in found.reasons) == (auth == "signature")
    if SH and CURL in found.code:
        assert curl(found, tmp_path, **variables) == expected


def assert_no_secret(found: Preview, endpoint: Endpoint) -> None:
    told = "".join([*found.code.values(), *found.reasons.values()])
    assert endpoint.password not in told or not endpoint.password
