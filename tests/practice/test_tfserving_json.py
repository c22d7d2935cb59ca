"""JSON in and out of the practice TensorFlow Serving: the product's rules, for any values."""

import contextlib
import functools
import json
import math
import tracemalloc
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers import json_numbers
from helpers.serving_api import example_pb2, types_pb2
from helpers.tensors import to_data_type
from practice.tfserving import json_input, json_output
from practice.tfserving.failures import Failure
from practice.tfserving.inference import Class
from tests.fuzzing import examples

NUMBERS = (
    "float32",
    "float64",
    "int8",
    "uint8",
    "int16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "bool",
)
SOME, MANY = examples(60), examples(300)

leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)
# Nearly JSON: what is at hand where texts go wrong.
pieces = st.lists(
    st.sampled_from(
        (
            "[ ] [[ ]] { } , : - 1 2.5 1e 1e999 NaN Inf -Infinity true null [1,2] \\ \\u00e9 é \n "
            '" "a" "b64" "a": ' + "9" * 20
        ).split(" ")
    ),
    min_size=1,
    max_size=14,
).map("".join)


def parsed(body: bytes) -> dict[str, Any]:
    """Read a body as a predict request is read, with lists in place of `Numbers`."""
    document = json_numbers.read(body) or {}
    with contextlib.suppress(ValueError):
        for fields in (document, *document.values()):
            for key, value in fields.items() if isinstance(fields, dict) else ():
                if isinstance(value, json_numbers.Numbers):
                    fields[key] = nested(value)
        return document or json_input.parse(body)
    return json_input.parse(body)


def nested(numbers: json_numbers.Numbers) -> list[Any]:
    """Read numbers as lists; ValueError for what is no JSON."""
    return numbers.array(object, lambda values: np.array(values, object)).tolist()


def outcome(read: Any, given: Any) -> Any:
    """Return what something is read as, or the text it is refused with."""
    try:
        return read(given)
    except Failure as failure:
        return str(failure)


def same(one: Any, other: Any) -> bool:
    """Compare JSON values: a NaN equals itself, 1 is not 1.0, and the order of keys counts."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other


def tensor(body: str, data_type: int, name: str = "x") -> np.ndarray:
    """Read the one tensor of a predict request."""
    document = json_numbers.read(body.encode())
    if document is not None:
        with contextlib.suppress(Failure, ValueError):
            return json_input.predict_inputs(document, {name: data_type}).arrays[name]
    document = json_input.parse(body.encode())
    return json_input.predict_inputs(document, {name: data_type}).arrays[name]


def features(body: str) -> dict[str, list[Any]]:
    """Read the features of the one example of a request: kind and values by name."""
    (serialized,) = json_input.examples(json_input.parse(body.encode()))
    read: dict[str, list[Any]] = {}
    for name, each in example_pb2.Example.FromString(serialized).features.feature.items():
        kind = each.WhichOneof("kind")
        read[name] = [kind, *getattr(each, kind).value] if kind else [None]
    return read


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"a": [NaN, Infinity, Inf]}', {"a": [math.nan, math.inf, math.inf]}),
        ('{"a": [-Infinity, -Inf]}', {"a": [-math.inf, -math.inf]}),
        ('{"a": "[1]", "b": ":"}', {"a": "[1]", "b": ":"}),
        ('{"a": "Caf\\u00e9 \\ud83d\\ude00"}', {"a": "Café 😀"}),
        ('{"a": [18446744073709551615, -9223372036854775808]}', {"a": [2**64 - 1, -(2**63)]}),
        ('{"a": [1, -0, 1e2, -0.0]}', {"a": [1, 0, 100.0, -0.0]}),
    ],
)
def test_json_with_nan_and_infinity_is_taken(body: str, value: Any) -> None:
    assert same(parsed(body.encode()), value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"nope",
        b'{"a": [1, }',
        b'{"a": [1 2]}',
        b'{"a" 1}',
        b"{1: 2}",
        b'{"a": "b',
        b'{"a": "\\x"}',
        b'{"a": 1.}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b'{"a": 1} and more',
        b'{"instances": [[1, ] 2]}',
        b'{"instances": [1, 2] 3]}',
        b'{"instances": ' + b"[" * 5000,
        b'{"a":' * 200_000,
    ],
)
def test_bad_json_is_refused(body: bytes) -> None:
    assert outcome(parsed, body).startswith("INVALID_ARGUMENT: JSON Parse error: ")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "The document is empty"),
        (b" ", "The document is empty. at offset: 1"),
        (b'{"a": }', "Invalid value. at offset: 6"),
        (b'{"a":[1 2]}', "Missing a comma or ']' after an array element. at offset: 8"),
        (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
    ],
)
def test_the_reason_comes_before_the_place(body: bytes, reason: str) -> None:
    assert outcome(parsed, body) == f"INVALID_ARGUMENT: JSON Parse error: {reason}"


@pytest.mark.parametrize("body", [b"[1, 2]", b"null", b'"a"', b"1.5", b"NaN"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    text = outcome(parsed, body)
    assert text.startswith("INVALID_ARGUMENT: JSON Value: ")
    assert text.endswith(" Is not object")


@MANY
@given(st.dictionaries(st.text(max_size=3), values, max_size=3), st.sampled_from([None, 1]))
@example({"instances": [[1, 2], [3, 4]], "a": "]"}, None)
@example({"inputs": {"a": [[1.5], [2.0]]}}, 1)
def test_any_document_is_read_as_it_was_written(
    document: dict[str, Any], indent: int | None
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=indent is None).encode()
    assert same(parsed(body), document)


@MANY
@given(pieces)
@example('{"a":[[1,]2]}')
@example('{"a":[1[,2]]}')
@example('{"a":[[1],2]}')
@example('{"a":[[],[]]}')
@example('{"a":[[1,2],[3]]}')
def test_numbers_read_at_once_are_those_that_any_reader_finds(text: str) -> None:
    body = text.encode()
    if json_numbers.read(body) is not None:
        assert same(parsed(body), json_input.parse(body))


def test_a_shape_that_only_seems_to_be_there_fills_no_memory() -> None:
    levels = json_numbers.MOST_DIMENSIONS
    body = b'{"a":' + b"[" * levels + (b"1" + b",1" * 999 + b"]") * levels + b"}"
    assert json_numbers.read(body) is None


@MANY
@given(st.binary(max_size=60) | pieces.map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for data_type in (types_pb2.DT_FLOAT, types_pb2.DT_STRING, types_pb2.DT_HALF):
        with contextlib.suppress(Failure):
            document = json_input.parse(body)
            json_input.signature_name(document)
            json_input.predict_inputs(document, {"a": data_type})


@MANY
@given(values, st.sampled_from(["instances", "inputs", "examples", "context"]))
def test_any_value_is_taken_or_refused_with_a_reason(value: Any, key: str) -> None:
    document = {key: value} | ({"examples": [{}]} if key == "context" else {})
    if key in ("examples", "context"):
        assert isinstance(outcome(json_input.examples, document), list | str)
        return
    for data_type in (types_pb2.DT_FLOAT, types_pb2.DT_INT8, types_pb2.DT_STRING):
        for names in (["a"], ["a", "b"]):
            inputs = dict.fromkeys(names, data_type)
            read = functools.partial(json_input.predict_inputs, data_types=inputs)
            found = outcome(read, document)
            assert isinstance(found, json_input.Inputs) or found.startswith("INVALID_ARGUMENT: ")


@MANY
@given(st.text(alphabet="[],1 -.e\n", max_size=16).map(lambda text: f"[{text}]"))
def test_numbers_are_read_at_once_only_where_json_has_them(text: str) -> None:
    document = json_numbers.read(f'{{"a": {text}}}'.encode())
    with contextlib.suppress(ValueError):
        if document is not None:
            assert nested(document["a"]) == json.loads(text)


@SOME
@given(st.data(), shapes, st.sampled_from([None, 2]))
def test_a_regular_list_of_numbers_is_read_at_once(
    data: st.DataObject, shape: tuple[int, ...], indent: int | None
) -> None:
    dtype = data.draw(st.sampled_from(["float64", "int64"]))
    finite = {"allow_nan": False, "allow_infinity": False} if dtype == "float64" else {}
    array = data.draw(hnp.arrays(dtype, shape, elements=finite))
    document = json_numbers.read(json.dumps({"a": array.tolist()}, indent=indent).encode())
    assert document is not None
    numbers = document["a"]
    assert numbers.shape == shape
    assert nested(numbers) == array.tolist()


@MANY
@given(pieces, st.integers(0, 4))
def test_numbers_that_are_read_piece_by_piece_are_the_same(text: str, size: int) -> None:
    with mock.patch.object(json_numbers, "_PIECE", size):
        assert same(outcome(parsed, text.encode()), outcome(json_input.parse, text.encode()))


def test_a_list_beside_texts_and_other_lists_is_read_at_once() -> None:
    body = b'{"a": "[1, \\"2]", "b": [true, [1]], "inputs": {"x": [[1, 2]], "y": [3.5]}}'
    document = json_numbers.read(body)
    assert document is not None
    assert [nested(document["inputs"].pop(name)) for name in "xy"] == [[[1, 2]], [3.5]]
    assert document == {"a": '[1, "2]', "b": [True, [1]], "inputs": {}}


def test_no_object_is_kept_for_each_number_that_is_read_or_written() -> None:
    array = np.random.default_rng(8).random((1000, 500), np.float32)
    body = json_output.columns({"x": array})
    tracemalloc.start()
    try:
        document = json_numbers.read(body)
        assert document is not None
        read = document["outputs"].array(np.float32, np.array)
        _, peak_of_reading = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert json_output.columns({"x": array}) == body
        _, peak_of_writing = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(read, array)
    assert peak_of_reading < 3 * array.nbytes
    assert peak_of_writing < 3 * array.nbytes + 2 * len(body)


@SOME
@given(
    hnp.arrays(st.sampled_from(["float32", "int64", "bool"]), hnp.array_shapes(max_side=5)),
    st.integers(8, 40),
)
def test_an_array_that_is_written_piece_by_piece_is_the_same(array: np.ndarray, size: int) -> None:
    for write in (json_output.predictions, json_output.columns):
        with mock.patch.object(json_output, "_PIECE", size):
            written = json.loads(write({"x": array}))
        assert same(written, json.loads(write({"x": array})))


@MANY
@given(hnp.arrays("float32", st.integers(1, 20)))
def test_a_float_is_written_as_short_as_it_can_be_read_back(array: np.ndarray) -> None:
    body = json_output.predictions({"y": array}).decode()
    written = body.partition("[")[2].partition("]")[0].split(",")
    for value, text in zip(array.tolist(), written, strict=True):
        if not np.isfinite(value):
            assert text.strip() in ("NaN", "Infinity", "-Infinity")
        else:
            assert np.float32(text) == value
            assert len(text.strip(" -0.")) <= len("1.17549435e-38")


@SOME
@given(st.data(), st.sampled_from(NUMBERS), shapes)
def test_what_is_written_is_read_back_equal(
    data: st.DataObject, dtype: str, shape: tuple[int, ...]
) -> None:
    array = data.draw(hnp.arrays(dtype, shape))
    for write, read_key, written_key in (
        (json_output.predictions, "instances", "predictions"),
        (json_output.columns, "inputs", "outputs"),
    ):
        body = write({"x": array}).decode().replace(written_key, read_key, 1)
        read = tensor(body, to_data_type(array.dtype))
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@SOME
@given(hnp.arrays(object, shapes, elements=st.binary(max_size=6), fill=st.nothing()))
def test_bytes_are_written_and_read_back_equal(array: np.ndarray) -> None:
    for write, keys in (
        (json_output.predictions, ("predictions", "instances")),
        (json_output.columns, ("outputs", "inputs")),
    ):
        body = write({"image_bytes": array}).decode().replace(*keys, 1)
        np.testing.assert_array_equal(tensor(body, types_pb2.DT_STRING), array)


@SOME
@given(hnp.arrays(object, shapes, elements=st.text(max_size=6), fill=st.nothing()))
def test_text_is_written_and_read_back_equal(array: np.ndarray) -> None:
    encoded = np.vectorize(str.encode, otypes=[object])(array)
    body = json_output.columns({"words": encoded}).decode().replace("outputs", "inputs", 1)
    np.testing.assert_array_equal(tensor(body, types_pb2.DT_STRING), encoded)


@SOME
@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 5), min_size=2), st.integers(0, 4))
def test_several_outputs_are_read_back_equal(sizes: dict[str, int], count: int) -> None:
    outputs = {name: np.arange(count * size).reshape(count, size) for name, size in sizes.items()}
    rows = json.loads(json_output.predictions(outputs))["predictions"]
    assert rows == [
        {name: outputs[name][row].tolist() for name in sorted(sizes)} for row in range(count)
    ]
    written = json.loads(json_output.columns(outputs))["outputs"]
    assert written == {name: array.tolist() for name, array in outputs.items()}


@pytest.mark.parametrize(
    ("data_type", "body", "wanted"),
    [
        (types_pb2.DT_FLOAT, "[2, 2.5, NaN, 1e39]", [2, 2.5, math.nan, math.inf]),
        (types_pb2.DT_DOUBLE, "[18446744073709551616, 0.1]", [2.0**64, 0.1]),
        (types_pb2.DT_UINT8, "[255, 256, -1]", [255, 0, 255]),
        (types_pb2.DT_INT8, "[127, 128, 300]", [127, -128, 44]),
        (types_pb2.DT_INT16, "[32768, -32769]", [-32768, 32767]),
        (types_pb2.DT_UINT64, "[18446744073709551615]", [2**64 - 1]),
        (types_pb2.DT_BOOL, "[true, false]", [True, False]),
        (types_pb2.DT_STRING, '["é", {"b64": "aGk"}, ""]', ["é".encode(), b"hi", b""]),
        (types_pb2.DT_FLOAT, "[]", []),
        (types_pb2.DT_HALF, "[]", []),
        (types_pb2.DT_FLOAT, "[[], []]", [[], []]),
    ],
)
def test_numbers_become_the_type_of_the_signature(
    data_type: int, body: str, wanted: list[Any]
) -> None:
    read = tensor(f'{{"inputs": {body}}}', data_type)
    np.testing.assert_array_equal(read, np.array(wanted, read.dtype))
    assert to_data_type(read.dtype) == data_type


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVsbG8", b"hello"),
        ("aGVs bG8=\n", b"hello"),
        ("", b""),
        ("aA==", b"h"),
        ("aA", b"h"),
        ("aA..", b"h"),
        ("/+8=", b"\xff\xef"),
        ("aA=", None),
        ("a", None),
        ("aGVsbG8==", None),
        ("a_8=", None),
        ("aA==aA==", None),
        ("é", None),
        ("=", None),
    ],
)
def test_base64_is_as_lenient_as_in_the_product(text: str, wanted: bytes | None) -> None:
    body = json.dumps({"inputs": {"b64": text}})
    if wanted is None:
        with pytest.raises(Failure, match="Unable to base64 decode"):
            tensor(body, types_pb2.DT_STRING)
    else:
        assert tensor(body, types_pb2.DT_STRING) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("2", ["int64_list", 2]),
        ("2.0", ["float_list", 2.0]),
        ("2e0", ["float_list", 2.0]),
        ("[true, false, 3]", ["int64_list", 1, 0, 3]),
        ("[NaN, Infinity]", ["float_list", pytest.approx(math.nan, nan_ok=True), math.inf]),
        ('["a", {"b64": "aGk="}]', ["bytes_list", b"a", b"hi"]),
        ("-9223372036854775808", ["int64_list", -(2**63)]),
        ("18446744073709551616", ["float_list", 2.0**64]),
        ("[]", [None]),
    ],
)
def test_features_have_the_kind_that_the_token_tells(content: str, wanted: list[Any]) -> None:
    assert features(f'{{"examples": [{{"f": {content}}}]}}') == {"f": wanted}


def test_an_example_wins_over_its_context() -> None:
    body = '{"context": {"a": 1, "b": 2}, "examples": [{"b": 3, "c": 4}]}'
    assert features(body) == {
        "a": ["int64_list", 1],
        "b": ["int64_list", 3],
        "c": ["int64_list", 4],
    }


ANSWERS = [
    (json_output.predictions({"y": np.array([3.0, 3.5, 4.0])}), {"predictions": [3.0, 3.5, 4.0]}),
    (json_output.predictions({"y": np.array([[1, 2], [3, 4]])}), {"predictions": [[1, 2], [3, 4]]}),
    (json_output.predictions({"y": np.zeros((0, 3))}), {"predictions": []}),
    (
        json_output.predictions(
            {"b": np.array([True, False]), "a_bytes": np.array([[b"h"], [b"i"]], object)}
        ),
        {
            "predictions": [
                {"a_bytes": [{"b64": "aA=="}], "b": True},
                {"a_bytes": [{"b64": "aQ=="}], "b": False},
            ]
        },
    ),
    (
        json_output.predictions({"y": np.array([0.5, math.inf]), "z": np.array([[1], [2]])}),
        {"predictions": [{"y": 0.5, "z": [1]}, {"y": math.inf, "z": [2]}]},
    ),
    (json_output.columns({"y": np.array(1.5)}), {"outputs": 1.5}),
    (json_output.columns({"y": np.array([0.1, -math.inf], "f4")}), {"outputs": [0.1, -math.inf]}),
    (
        json_output.columns({"y": np.array([[1], [2]]), "z": np.zeros((2, 0))}),
        {"outputs": {"y": [[1], [2]], "z": [[], []]}},
    ),
    (
        json_output.classifications([[Class(b"car", 0.2), Class(b"", 1)], [Class(b'"', 0.1)]]),
        {"results": [[["car", 0.2], ["", 1.0]], [['"', 0.1]]]},
    ),
    (json_output.regressions([0.25, 1]), {"results": [0.25, 1.0]}),
    (json_output.error('a "b"\n\x01/é'), {"error": 'a "b"\n\x01/é'}),
]


@pytest.mark.parametrize(("written", "wanted"), ANSWERS)
def test_answers_have_the_form_of_the_product(written: bytes, wanted: dict[str, Any]) -> None:
    assert same(json.loads(written), wanted)


def test_strings_that_are_no_utf8_are_written_as_they_are() -> None:
    assert b'"\xff\\\\"' in json_output.columns({"y": np.array(b"\xff\\", object)})


def test_what_an_error_quotes_is_cut() -> None:
    text = outcome(parsed, json.dumps(["é" * 500, list(range(10_000))]).encode())
    assert len(text) < 320


@pytest.mark.parametrize(
    ("row", "misfit"), [(1, "x"), (1, [1]), ([1, 2], [1]), ({"x": 1}, {"x": "x"}), ({"x": 1}, 1)]
)
def test_the_last_of_many_rows_is_named_without_reading_each(
    row: Any, misfit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensor = mock.Mock(wraps=json_input._tensor)
    monkeypatch.setattr(json_input, "_tensor", tensor)
    document = {"instances": [row] * 20_000 + [misfit]}
    with pytest.raises(Failure, match=r"(element: |at item )20000\b"):
        json_input.predict_inputs(document, {"x": types_pb2.DT_FLOAT})
    assert tensor.call_count < 50


def test_a_misfit_behind_many_numbers_of_a_feature_is_named() -> None:
    for values in ([1] * 1000 + ["x"], [1.5] * 1000 + [1], [1] * 1000 + [2**63], [True, None]):
        with pytest.raises(Failure, match="(?i)feature"):
            json_input.examples({"examples": [{"x": values}]})
