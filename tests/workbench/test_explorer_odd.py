"""The Explorer's parts against a model that nobody would expect, served by `otw serve` itself."""

import ast
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.images import png
from helpers.tensors import to_dtype
from helpers.tfserving.signatures import Signature, Signatures, TensorSpec, check_inputs
from otw import features, modelfiles, serve
from tests import odd_models
from tests.explorer import SH, assert_all_the_same, curl, decoded, post_json, run_here, same_values
from tests.odd_models import DTYPES, EVERY, IN_A_SHELL, MANY, NAMES, ON_REST, SHAPES
from tests.otw.test_serve import CURL as CURL_CALL
from tests.otw.test_serve import PYTHON, Served, serving
from workbench import answers
from workbench.answers import listings
from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, TITLES, Preview
from workbench.code.tfserving import TfServingWriter, method
from workbench.explorer import Explorer, catalog
from workbench.explorer.editors import Editor
from workbench.values import reading as values

Arrays = dict[str, np.ndarray]
ECHOES = [name for name in EVERY if name not in ("no input", "to classify", "to regress")]
SIZES = (2, 3, 4, 2)  # of axes that may have any
UNKNOWN = (2, 1, 3)  # where the rank may be any
OTW = [sys.executable, "-P", "-c", "import sys; from otw.cli import main; sys.exit(main())"]


def short(name: str) -> str:
    return ascii(name)[:30]


@pytest.fixture(scope="module")
def model(needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_models.make(tmp_path_factory.mktemp("models") / "odd")


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Served]:
    with serving(model, model.parent) as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(served: Served) -> Endpoint:
    found = re.search(r"gRPC  (127\.0\.0\.1:\d+)\n", served.told)
    assert found, served.told
    return Endpoint("tfserving", grpc=found[1], rest=served.rest, model=served.name)


@pytest.fixture(scope="module")
def signatures(endpoint: Endpoint) -> Signatures:
    [entry] = catalog.entries(endpoint)
    assert entry.error is None
    assert [each.state for each in entry.states.values()] == ["AVAILABLE"]
    assert entry.signatures
    return entry.signatures


def random_inputs(signature: Signature) -> Arrays:
    made = {}
    for seed, (name, spec) in enumerate(signature.inputs.items()):
        sizes = SIZES[: len(values.ask_sizes(spec))]
        made[name] = values.at_random(spec, UNKNOWN if spec.shape is None else sizes, seed)
    return made


def as_answered(inputs: Arrays) -> Arrays:
    """Return what an echo gives back: text as bytes."""

    encode = np.vectorize(str.encode, otypes=[object])
    return {name: encode(v) if v.dtype == object else v for name, v in inputs.items()}


def test_every_signature_is_found_as_it_was_made(signatures: Signatures) -> None:
    assert set(signatures) == set(EVERY)
    assert set(signatures["odd names"].inputs) == set(NAMES)
    for dtype in DTYPES:
        wanted = to_dtype(DATA_TYPES[dtype])
        assert signatures[f"{dtype} scalar"].inputs == {"x": TensorSpec(wanted, ())}
        assert signatures[f"{dtype} rows"].inputs == {"x": TensorSpec(wanted, (-1, 2))}
        assert signatures[f"{dtype} any"].inputs == {"x": TensorSpec(wanted, None)}
    for name, shape in SHAPES.items():
        sizes = tuple(-1 if size is None else size for size in shape)
        assert signatures[f"of shape: {name}"].inputs["x"].shape == sizes
    assert signatures["optional"].optional == {"has default"}
    assert len(signatures["two hundred"].inputs) == MANY
    assert signatures["no input"].inputs == {}
    for call in ("classify", "regress"):
        assert method(signatures[f"to {call}"]) == call


DATA_TYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 5,
    "int8": 6,
    "string": 7,
    "complex64": 8,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "uint16": 17,
    "complex128": 18,
    "float16": 19,
    "uint32": 22,
    "uint64": 23,
}


def test_rest_tells_the_same_signatures(endpoint: Endpoint, signatures: Signatures) -> None:
    assert tfserving.signatures(endpoint.replace(grpc="")) == signatures


@pytest.mark.parametrize("name", ECHOES, ids=short)
def test_what_is_sent_comes_back_by_every_way_that_there_is(
    name: str, endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    inputs = random_inputs(signatures[name])
    checked = check_inputs(signatures, name, inputs)
    assert all(checked[each] is inputs[each] for each in inputs), "nothing had to be cast"
    expected = as_answered(inputs)
    assert_echoed(endpoint, name, signatures[name], inputs, expected, tmp_path)
    for part in answers.show(expected, inputs):
        assert "<b onclick" not in part.html
        part.html.encode()


def assert_echoed(
    endpoint: Endpoint,
    name: str,
    signature: Signature,
    inputs: Arrays,
    expected: Arrays,
    folder: Path,
) -> Preview:
    """Send inputs over gRPC and REST, and as every preview's code does."""
    found = TfServingWriter(endpoint, name, signature, inputs, shell="sh").preview()
    assert {*found.code, *found.reasons} == set(TITLES)
    assert GRPC in found.code
    for protocol in ("grpc", "rest") if REQUESTS in found.code else ("grpc",):
        outputs = tfserving.predict(endpoint, inputs, signature_name=name, protocol=protocol)
        assert outputs.keys() == expected.keys()
        assert [n for n in outputs if not same_values(outputs[n], expected[n])] == []
    assert_all_the_same(found, expected, folder)
    return found


def test_rest_is_refused_for_what_it_does_not_carry_and_for_nothing_else(
    endpoint: Endpoint, signatures: Signatures
) -> None:
    refused = {}
    for name, signature in signatures.items():
        found = TfServingWriter(
            endpoint, name, signature, random_inputs(signature), shell="sh"
        ).preview()
        if CURL in found.reasons:
            refused[name] = found.reasons[CURL]
    others = [dtype for dtype in DTYPES if dtype not in ON_REST]
    kinds = {f"{dtype} {kind}" for dtype in others for kind in ("scalar", "rows", "any")}
    assert refused.keys() == {*kinds, "every dtype", "of shape: none", "no input"}
    assert refused["of shape: none"] == "JSON cannot tell the shape [0, 2] of input 'x'. gRPC can."
    assert refused["no input"] == "REST refuses a signature that takes no input. gRPC does not."
    assert all("REST does not carry" in refused[name] for name in kinds)


def test_a_signature_without_inputs_is_called_over_grpc(
    endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    expected = {"y": np.array([1.5, 2.5], np.float32)}
    assert_echoed(endpoint, "no input", signatures["no input"], {}, expected, tmp_path)
    with pytest.raises(Exception, match="Failed to get input map for signature"):
        tfserving.predict(endpoint, {}, signature_name="no input", protocol="rest")


def test_an_optional_input_may_be_left_out_over_grpc_only(
    endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    inputs = {"needed": np.array([0.5], np.float32)}
    expected = inputs | {"has default": np.array(40, np.int32)}
    found = assert_echoed(endpoint, "optional", signatures["optional"], inputs, expected, tmp_path)
    told = "REST wants every input; 'has default' is left out. Over gRPC it may be."
    assert found.reasons == dict.fromkeys((REQUESTS, CURL, JSON), told)
    with pytest.raises(Exception, match="Missing named input: has default"):
        tfserving.predict(endpoint, inputs, signature_name="optional", protocol="rest")


NO_TEXT = b"\xff\xfe"
EXTREMES: dict[str, Any] = {
    "float32": [np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4028235e38, 0.1],
    "float64": [np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1],
    "int8": [-128, 127],
    "int16": [-32768, 32767],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1, 2**53 + 1],
    "uint8": [0, 255],
    "uint32": [0, 2**32 - 1],
    "uint64": [0, 2**64 - 1, 2**53 + 1],
    "bool": [True, False],
    "uint16": [0, 65535],
    "float16": [np.nan, np.inf, -0.0, 65504, 6e-8],
    "bfloat16": [np.nan, np.inf, -0.0, 3.39e38, 1e-40],
    "complex64": [complex(np.nan, np.inf), -0.0, 1e-45j, 0.1 + 0.2j],
    "complex128": [complex(np.nan, np.inf), -0.0, 5e-324j, 0.1 + 0.2j],
    "string": [
        b"",
        b"\0",
        NO_TEXT,
        "äö ☃".encode(),
        b"line\nends\r\n",
        b"'\"\\$HOME`id`%PATH%",
        b"b64",
        b'{"b64": "AAAA"}',
        b"EOF",
        b"NaN",
        b"\x1b[31m",
        "\u202e\U0001f600".encode(),
        b"x" * 9000,
    ],
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_most_extreme_values_come_back(
    dtype: str, endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    x = np.array(EXTREMES[dtype], to_dtype(DATA_TYPES[dtype]))
    name, inputs = f"{dtype} any", {"x": x}
    found = TfServingWriter(endpoint, name, signatures[name], inputs, shell="sh").preview()
    sent = tfserving.predict(endpoint, inputs, signature_name=name)["x"]
    assert bits(sent) == bits(x)
    assert bits(run_here(found, GRPC, tmp_path)["x"]) == bits(x)
    assert (REQUESTS in found.code) == (dtype in ON_REST)
    if dtype not in ON_REST:
        return
    over_rest = tfserving.predict(endpoint, inputs, signature_name=name, protocol="rest")["x"]
    assert bits(over_rest) == bits(x)
    if dtype == "string":  # of bytes that are no text, the service makes JSON that is none
        x = x[x != NO_TEXT]
        found = TfServingWriter(endpoint, name, signatures[name], {"x": x}, shell="sh").preview()
    read = [run_here(found, REQUESTS, tmp_path), post_json(found)["outputs"]]
    if SH:
        read.append(curl(found, tmp_path)["outputs"])
    for outputs in read:
        back = [decoded(each) for each in outputs] if dtype == "string" else outputs
        assert bits(np.array(back, x.dtype)) == bits(x)


def bits(array: np.ndarray) -> tuple:
    content = array.tolist() if array.dtype == object else array.tobytes()
    return array.dtype, array.shape, content


def test_long_values_of_odd_names_go_through_files(
    endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    inputs = {name: random.random(3_000, np.float32) for name in NAMES}
    found = assert_echoed(endpoint, "odd names", signatures["odd names"], inputs, inputs, tmp_path)
    assert len(found.files) == len(NAMES) + 1
    assert all(re.fullmatch(r"\w{1,53}\.(npy|json)", name) for name in found.files)
    assert len({name.lower() for name in found.files}) == len(found.files)
    assert JSON in found.reasons


@pytest.mark.parametrize("name", [name for name in SHAPES if "picture" in name])
def test_a_picture_of_any_size_becomes_the_input_and_is_shown(
    name: str, endpoint: Endpoint, signatures: Signatures
) -> None:
    signature = signatures[f"of shape: {name}"]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    image = values.from_file("x", "a.png", png(pixels), signature.inputs["x"])
    sides = [size for size in image.shape[1:] if size > 3]
    assert sides == [40, 60]
    outputs = tfserving.predict(endpoint, {"x": image}, signature_name=f"of shape: {name}")
    assert same_values(outputs["x"], image)
    assert [part.kind for part in answers.show(outputs, {"x": image})] == ["image"]


def test_bytes_of_a_picture_arrive_as_they_are(endpoint: Endpoint, signatures: Signatures) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    spec = signatures["bytes of shape: picture"].inputs["image"]
    image = values.from_file("image", "", png(pixels), spec)
    for protocol in ("grpc", "rest"):
        outputs = tfserving.predict(
            endpoint, {"image": image}, signature_name="bytes of shape: picture", protocol=protocol
        )
        np.testing.assert_array_equal(outputs["image"], pixels[np.newaxis])


@pytest.mark.parametrize("name", NAMES, ids=short)
def test_what_is_typed_for_an_odd_name_arrives(
    name: str, endpoint: Endpoint, signatures: Signatures
) -> None:
    specs = signatures["odd names"].inputs
    typed = {each: values.from_text(each, "1.5; 2.5", spec) for each, spec in specs.items()}
    typed[name] = values.from_text(name, "[7]", specs[name])
    outputs = tfserving.predict(endpoint, typed, signature_name="odd names")
    assert outputs[name].tolist() == [7]
    assert sum(each.tolist() == [1.5, 2.5] for each in outputs.values()) == len(NAMES) - 1


EXAMPLES: list[dict[str, Any]] = [
    {"a number": 1.5, "ein Wört": "<b> 'q' \"数\""},
    {"a number": [-2.0], "ein Wört": b"\xc3\xa4"},
]


@pytest.mark.parametrize("call", ["classify", "regress"])
def test_previews_of_examples_with_odd_features_give_the_same_answer(
    call: str, endpoint: Endpoint, signatures: Signatures, tmp_path: Path
) -> None:
    name = f"to {call}"
    infer = getattr(tfserving, call)
    expected = infer(endpoint, EXAMPLES, signature_name=name)
    words = [("<b> 'q' \"数\"", 1.5), ("ä", -2.0)]
    if call == "classify":
        assert expected == [[word] for word in words]
    else:
        assert expected.tolist() == [1.5, -2.0]
    plain = json.loads(json.dumps(np.asarray(expected, object).tolist()))
    again = infer(endpoint, EXAMPLES, signature_name=name, protocol="rest")
    assert json.loads(json.dumps(np.asarray(again, object).tolist())) == plain
    found = TfServingWriter(
        endpoint, name, signatures[name], {}, examples=EXAMPLES, shell="sh"
    ).preview()
    assert set(found.code) == set(TITLES)
    results = [run_here(found, title, tmp_path) for title in (GRPC, REQUESTS)]
    results.append(post_json(found)["results"])
    if SH:
        results.append(curl(found, tmp_path)["results"])
    for each in results:
        assert json.loads(json.dumps(each)) == plain


def test_the_stand_ins_of_otw_serve_are_answered_for_every_signature(
    endpoint: Endpoint, signatures: Signatures, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, covered = modelfiles.find(str(model)), set()
    assert set(features.read(found.loaded)) == {"a number", "ein Wört"}
    for name, signature in signatures.items():
        serve.show_call(endpoint, found, Signatures(endpoint.model, 1, {name: signature}))
        told = capsys.readouterr().out
        assert "stand-ins" not in told, told
        [code] = re.findall(PYTHON, told, re.DOTALL)
        exec(compile(code, "call", "exec"), {})
        assert capsys.readouterr().out.strip()
        covered.add("rest" if "import requests" in code else "grpc")
        if SH and (command := re.search(CURL_CALL, told)):
            done = subprocess.run(
                ["sh", "-c", command[1]], capture_output=True, check=True, timeout=30
            )
            assert json.loads(done.stdout).keys() <= {"outputs", "results"}, done.stdout
            covered.add("curl")
    assert covered == {"rest", "grpc"} | ({"curl"} if SH else set())


def test_what_otw_serve_printed_runs(served: Served) -> None:
    assert "stand-ins" not in served.told
    assert ast.literal_eval(served.run_python()) == [[0.0, 0.0]]
    assert "Traceback" not in served.errors


# The form


@pytest.fixture
def explorer(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Explorer]:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    made = Explorer(endpoint)
    made.wait()
    yield made
    made.close()


def write_sizes(explorer: Explorer) -> None:
    """Write the sizes that a form does not choose by itself."""
    for editor in explorer.form.editors.values():
        for field in editor.sizes:
            field.value = field.value or ("2, 1, 3" if editor.spec.shape is None else "2")
    explorer.wait()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("of shape: several", "of any size in 2 dimensions. Write the sizes 2, 3."),
        ("float32 any", "takes any shape. Write one, such as 1, 28, 28."),
    ],
)
def test_a_size_that_may_be_any_is_asked_for(explorer: Explorer, name: str, sentence: str) -> None:
    explorer.choose("odd", name)
    [editor] = explorer.form.editors.values()
    assert sentence in html.unescape(editor.status.value)
    assert explorer.send_button.disabled
    write_sizes(explorer)
    assert "○" in editor.status.value, "random numbers can be sent; nobody has said they are meant"
    assert not explorer.send_button.disabled


def test_every_signature_has_a_form_whose_values_come_back(
    explorer: Explorer, signatures: Signatures
) -> None:
    asked = {}
    for name, signature in signatures.items():
        explorer.choose("odd", name)
        write_sizes(explorer)
        try:
            outputs = explorer.send()
        except BadInput as error:
            asked[name] = str(error)
            continue
        assert outputs.keys() == signature.outputs.keys()
        sent = explorer.history.records[-1].request.payload
        assert [n for n in sent if not same_values(outputs[n], as_answered(sent)[n])] == []
    pictures = {name for name in EVERY if "of shape" in name and "picture" in name}
    assert asked.keys() == pictures | {"string rows", "to classify", "to regress"}
    assert all("no file yet" in asked[name] for name in pictures)


def test_of_two_hundred_inputs_twenty_are_shown_at_once_and_all_are_sent(
    explorer: Explorer,
) -> None:
    explorer.choose("odd", "two hundred")
    form = explorer.form
    names = list(form.signature.inputs)
    assert list(form.editors) == names[:20]
    shown = []
    for _, page in form.page.options:
        form.page.value = page
        explorer.wait()
        shown += [each.name for each in form.children if isinstance(each, Editor)]
    assert shown == names
    explorer.fill(**{names[-1]: np.full((1, 5), 7, "float32")})
    outputs = explorer.send()
    assert len(outputs) == MANY
    assert outputs[names[-1]].tolist() == [[7] * 5]


def test_what_is_wrong_on_a_page_that_is_not_shown_is_told(explorer: Explorer) -> None:
    explorer.choose("odd", "two hundred")
    last = list(explorer.form.signature.inputs)[-1]
    explorer.fill(**{last: [1, 2]})
    assert f"Input {last!r} has shape [2]" in html.unescape(explorer.form.status.value)
    assert explorer.send_button.disabled


# The terminal


def otw(*words: str) -> tuple[str, str, int]:
    done = subprocess.run([*OTW, *words], capture_output=True, timeout=60, check=False)
    told = [stream.decode().replace("\r\n", "\n") for stream in (done.stdout, done.stderr)]
    assert "Traceback" not in told[1], told[1]
    return told[0], told[1], done.returncode


def test_otw_describe_shows_every_name_and_obeys_none(
    endpoint: Endpoint, signatures: Signatures
) -> None:
    shown, errors, status = otw("describe", endpoint.grpc, endpoint.model)
    assert (errors, status) == ("", 0)
    assert not [letter for letter in shown if not letter.isprintable() and letter != "\n"]
    lines = [line.strip() for line in shown.splitlines()]
    for name in (*EVERY, *NAMES):
        known = listings.printable(name).strip()
        assert any(line.startswith(known) for line in lines)
    read = json.loads(otw("describe", endpoint.rest, endpoint.model, "--json")[0])
    assert set(read["signatures"]) == set(EVERY)
    assert set(read["signatures"]["odd names"]["inputs"]) == set(NAMES)
    assert read["signatures"]["optional"]["optional"] == ["has default"]


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_otw_predict_takes_every_name_and_saves_each_output(
    protocol: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    given = {name: [float(n), 0.5] for n, name in enumerate(IN_A_SHELL)}
    words = [f"--input={name}={json.dumps(typed)}" for name, typed in given.items()]
    where = endpoint.grpc if protocol == "grpc" else endpoint.rest
    shown, errors, status = otw(
        "predict",
        where,
        endpoint.model,
        "--signature=names in a shell",
        "--json",
        f"--save={tmp_path}",
        *words,
    )
    assert (errors, status) == ("", 0)
    outputs = json.loads(shown)["outputs"]
    assert {name: each["values"] for name, each in outputs.items()} == given
    files = list(tmp_path.iterdir())
    assert len({file.name.lower() for file in files}) == len(given), "some systems ignore case"
    assert sorted(np.load(file).tolist() for file in files) == sorted(given.values())


def test_otw_predict_shows_every_dtype(endpoint: Endpoint) -> None:
    typed = {"bool": "true false", "string": '["a", "b"]'}
    words = [f"--input={dtype}={typed.get(dtype, '1 2')}" for dtype in DTYPES]
    shown, errors, status = otw(
        "predict", endpoint.grpc, endpoint.model, "--signature=every dtype", *words
    )
    assert (errors, status) == ("", 0)
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()[1:]}
    assert {dtype: row[0] for dtype, row in rows.items()} == {dtype: dtype for dtype in DTYPES}
    assert rows["bool"][2:] == ["True", "False"]
    assert rows["string"][2:] == ["'a'", "'b'"]
    assert rows["bfloat16"][2:] == rows["uint8"][2:] == ["1", "2"]


def test_otw_predict_names_the_signature_that_was_meant(endpoint: Endpoint) -> None:
    _, errors, status = otw("predict", endpoint.grpc, endpoint.model, "--signature=two word")
    assert status == 4
    assert "Did you mean 'two words'?" in errors
    assert not [letter for letter in errors if not letter.isprintable() and letter != "\n"]
