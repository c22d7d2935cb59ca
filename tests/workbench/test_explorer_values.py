"""What a reader types, pastes or uploads: as an array that fits, or refused in a sentence."""

import contextlib
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.endpoints import Endpoint
from helpers.errors import BadInput
from helpers.tensors import to_data_type, to_dtype, to_ndarray, to_tensor_proto
from helpers.tfserving.features import features_of
from helpers.tfserving.signatures import Signature, Signatures, TensorSpec, check_inputs
from workbench.answers import listings
from workbench.explorer.catalog import Entry
from workbench.explorer.forms.tfserving import ExamplesForm
from workbench.fields import Fields
from workbench.values import reading as values
from workbench.values import tables
from workbench.values.arrays import fit
from workbench.values.pictures import Preprocessing

DTYPES = [
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "float8_e5m2",
    "float8_e4m3fn",
    "int4",
    "uint4",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "object",
    "complex64",
    "complex128",
]


def takes(dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(to_dtype(to_data_type(dtype)), shape)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_that_says(header: dict[str, Any], content: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def check(array: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """Return what the client itself makes of it, and what the wire does."""
    known = Signatures("any", 1, {"serving_default": Signature({"x": spec}, {})})
    checked = check_inputs(known, "", {"x": array})["x"]
    assert isinstance(array, np.ndarray)
    assert checked.dtype == spec.dtype or checked.dtype.kind in "SU"
    return to_ndarray(to_tensor_proto(checked))


@pytest.mark.parametrize(
    ("text", "spec", "expected"),
    [
        ("5", takes("float32"), 5),
        ("-1.5e3", takes("float64"), -1500),
        (" 5\n", takes("int32", -1), [5]),
        ("5", takes("int32", -1, 1), [[5]]),
        ("5", TensorSpec(np.dtype("int8"), None), 5),
        ("nan inf", takes("float32", 2), [np.nan, np.inf]),
        ("[[1, 2], [3, 4]]", takes("float32", -1, 2), [[1, 2], [3, 4]]),
        ("[1, 2]", takes("float32", -1, 2), [[1, 2]]),
        ("[]", takes("int32", -1), []),
        ("1 2\t\n", takes("int32", 2), [1, 2]),
        ("1\n2\r\n\n3", takes("uint8", -1), [1, 2, 3]),
        ("1, 2,3", takes("int32", -1), [1, 2, 3]),
        ("1;2\n3;4", takes("int64", -1, 2), [[1, 2], [3, 4]]),
        ("1\t2\n3\t4", takes("int64", -1, 2, 2), [[[1, 2], [3, 4]]]),
        ("\ufeffwidth;height\n1.5;2", takes("float32", -1, 2), [[1.5, 2]]),
        ('"a;b","c"\n"1","2"', takes("float32", -1, 2), [[1, 2]]),
        ("3,5", takes("float32", -1, 2), [[3, 5]]),
        ("3,5", takes("int32", -1), [3, 5]),
        ("true", takes("bool"), True),
        ("True FALSE", takes("bool", -1), [True, False]),
        ("[true, false]", takes("bool", -1), [True, False]),
        ("1+2j", takes("complex64"), 1 + 2j),
        ("18446744073709551615", takes("uint64", -1), [2**64 - 1]),
        ("1 18446744073709551615", takes("uint64", -1), [1, 2**64 - 1]),
        ("[1, 18446744073709551615]", takes("uint64", -1), [1, 2**64 - 1]),
        ("[[0, 9223372036854775809]]", takes("uint64", -1, 2), [[0, 2**63 + 1]]),
        ("1180591620717411303424", takes("float32", -1), [2**70]),
        ("[1180591620717411303424]", takes("float32", -1), [2**70]),
        ("[1.5, 1180591620717411303424]", takes("float64", -1), [1.5, 2**70]),
        ("[1180591620717411303424]", takes("complex64", -1), [2**70]),
        ("inf -Infinity", takes("float32", -1), [np.inf, -np.inf]),
        ("[Infinity, -Infinity, NaN]", takes("float32", -1), [np.inf, -np.inf, np.nan]),
        ("inf+1j", takes("complex64", -1), [complex(np.inf, 1)]),
        ('"a\nb";c\n3.5;4', takes("float32", -1, 2), [[3.5, 4]]),
        ("-8 7", takes("int4", -1), [-8, 7]),
        ("1.5", takes("bfloat16", -1), [1.5]),
    ],
)
def test_text_becomes_numbers(text: str, spec: TensorSpec, expected: Any) -> None:
    array = check(values.from_text("x", text, spec), spec)
    np.testing.assert_array_equal(array, np.array(expected, spec.dtype))


@pytest.mark.parametrize(
    ("text", "spec", "expected"),
    [
        ("grüße, all", takes("object"), "grüße, all"),
        (" two\nlines ", takes("object", -1), [" two\nlines "]),
        ("a", takes("object", -1, 1), [["a"]]),
        ("", takes("object", -1), [""]),
        ("a", TensorSpec(np.dtype(object), None), "a"),
        ('["a", "bc"]', takes("object", -1), ["a", "bc"]),
        ('[["a", "b"]]', takes("object", -1, 2), [["a", "b"]]),
        ('["a", "b"]', takes("object"), '["a", "b"]'),
        ('"[1]"', takes("object", -1), ["[1]"]),
        ("[1, 2]", takes("object", -1), ["[1, 2]"]),
        ("[not JSON", takes("object", -1), ["[not JSON"]),
        ('{"a": 1}', takes("object", -1), ['{"a": 1}']),
        ("[" * 100_000, takes("object", -1), ["[" * 100_000]),
    ],
)
def test_text_is_itself_or_a_list_of_texts(text: str, spec: TensorSpec, expected: Any) -> None:
    array = check(values.from_text("x", text, spec), spec)
    assert np.array_equal(array, np.char.encode(np.array(expected, str), "utf-8").astype(object))


@pytest.mark.parametrize(
    ("text", "spec", "sentence"),
    [
        ("", takes("float32"), "'x' is empty; expected float32 "),
        ("many", takes("float32", -1), "row 1, column 1: 'many' is no number. The input takes"),
        ("1.5", takes("int32"), "'1.5' is no whole number"),
        ("[1.5]", takes("int32", -1), r"float64; expected int32 \[-1\]. Write whole numbers"),
        ("1", takes("bool"), "'1' is no true or false"),
        ("[1]", takes("bool", -1), "Write true or false"),
        ("[true]", takes("float32", -1), "'x' is bool; expected float32"),
        ("1_000", takes("int32"), "'1_000' is no whole number"),
        ("300", takes("uint8"), "300 does not fit in uint8"),
        ("-1", takes("uint64"), "-1 does not fit in uint64"),
        ("[100, 1]", takes("int4", -1), "100 does not fit in int4"),
        ("[1.5]", takes("int4", -1), "float64; expected int4"),
        ("1e39", takes("float32"), "1e.39 does not fit in float32"),
        ("1e9", takes("float8_e4m3fn"), "does not fit in float8_e4m3fn"),
        ("1" * 30, takes("int64"), "over 64 bits; expected int64"),
        ("-1 9223372036854775808", takes("uint64", -1), "'x': -1 does not fit in uint64; expected"),
        ("[-1, 9223372036854775808]", takes("int64", -1), "9223372036854775808 does not fit"),
        ("[1, 18446744073709551615]", takes("int64", -1), "18446744073709551615 does not fit"),
        ("[1, 18446744073709551615]", takes("int4", -1), "18446744073709551615 does not fit"),
        ("[1.5, 1180591620717411303424]", takes("int64", -1), "of type float; .*whole numbers"),
        ("1e309", takes("float32", -1), "row 1, column 1: 1e309 does not fit in float32; expected"),
        ("1\n-1e309", takes("float64", -1), "row 2, column 1: -1e309 does not fit in float64"),
        ("1e309\n1", takes("float64", -1), "row 1, column 1: 1e309 does not fit"),
        ("1+1e309j", takes("complex128", -1), r"1\+1e309j does not fit in complex128"),
        ("9" * 4000, takes("float64", -1), "column 1: 9{40} ... does not fit in float64"),
        ("[1, 1e309]", takes("float32", -1), "Input 'x': 1e309 does not fit in float32; expected"),
        ("[-1e309]", takes("float64", -1), "Input 'x': -1e309 does not fit in float64"),
        (f"[{'9' * 4000}]", takes("float64", -1), "too large for float64; expected float64"),
        ('"1\n2",3', takes("float32", -1, 2), r"row 1, column 1: '1\\n2' is no number"),
        ('3;4\n"1\n2";5', takes("int32", -1, 2), r"row 2, column 1: '1\\n2' is no whole number"),
        ('"a\nb",c\n3,5', takes("float32", -1), "'3,5' can be one number or two"),
        (f"[{'1' * 5000}]", takes("int64", -1), "is no JSON: Exceeds the limit"),
        ("1 2 3", takes("float32", -1, 4), r"has shape \[1, 3\]; expected float32 \[-1, 4\]"),
        ("1 2", takes("float32"), r"has shape \[1, 2\]; expected float32 \[\]"),
        ("1 2\n3", takes("float32", -1, 2), "row 2 has 1 values, and row 1 has 2"),
        ("1,,3", takes("float32", -1), "column 2: '' is no number"),
        ("3,5", takes("float32", -1), "'3,5' can be one number or two. Write '3.5' .*'3, 5'"),
        ("3,5\n4,5", takes("float32", -1, -1), "can be one number or two"),
        ("3,5\n4,5", takes("float32", -1), "can be one number or two"),
        ("5,1;3,5", takes("float32", -1, 2), "'5,1' is no number. Write decimals with a point"),
        ("5,1\t3,5", takes("float32", -1, 2), "Write decimals with a point"),
        ("5,1 3,5", takes("float32", -1, 2), "'1 3' is no number. Write decimals with a point"),
        ("[[1, 2], [3]]", takes("float32", -1, 2), "same length. Expected float32"),
        ("[1, 2", takes("float32", -1), "is no JSON: .*Write lists as"),
        ("[None]", takes("float32", -1), "is no JSON"),
        ("[null]", takes("float32", -1), r"value at \[0\] is null \(None\); expected float32"),
        ("[[1.5, null]]", takes("float32", -1, 2), r"at \[0, 1\] is null .*-1, 2\]. Write .*NaN"),
        ("[1, null]", takes("int32", -1), r"at \[1\] is null .*int32 \[-1\]. Write whole numbers"),
        ("[true, null]", takes("bool", -1), r"at \[1\] is null .*bool \[-1\]. Write true or false"),
        ('[1.5, "a"]', takes("float32", -1), r"at \[1\] is of type str; .*or NaN"),
        ('[{"a": 1}]', takes("float32", -1), r"at \[0\] is of type dict; expected float32"),
        ('["a"]', takes("float32", -1), "is text; expected float32"),
        ('{"x": [1]}', takes("float32", -1), "is a JSON object; expected .* of its values alone"),
        ("[" * 100_000, takes("float32", -1), "too many brackets|is no JSON"),
        ("[" * 90 + "]" * 90, takes("float32", -1), "'x'"),
        ('1,"' + "2" * 200_000, takes("float32", -1), "is no table: field larger"),
        ("half \ud800", takes("object"), "half a character"),
        ('["half \\ud800"]', takes("object", -1), "half a character"),
        ('["a", "b"]', takes("object", 3), r"has shape \[2\]; expected string \[3\]"),
        ("a", takes("object", 3), r"has shape \[\]; expected string \[3\]"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(
    text: str, spec: TensorSpec, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence) as caught:
        values.from_text("x", text, spec)
    assert len(str(caught.value)) < 400


@given(
    st.text(alphabet='0123456789.,;+-eEjntrufals[]{}": \t\n"\\_', max_size=30),
    st.sampled_from(DTYPES),
    st.none() | st.lists(st.sampled_from([-1, 1, 2]), max_size=3),
)
def test_any_text_is_an_array_or_a_sentence(text: str, dtype: str, shape: list[int] | None) -> None:
    spec = takes(dtype)._replace(shape=None if shape is None else tuple(shape))
    with contextlib.suppress(BadInput):  # any other error fails the test
        check(values.from_text("x", text, spec), spec)


@pytest.mark.parametrize(
    ("filename", "content", "spec", "expected"),
    [
        ("a.npy", npy(np.ones((2, 3), "float32")), takes("float32", -1, 3), np.ones((2, 3))),
        ("a.npy", npy(np.ones(3)), takes("float32", -1, 3), np.ones((1, 3))),
        ("a.npy", npy(np.asfortranarray([[1, 2], [3, 4]])), takes("int8", 2, 2), [[1, 2], [3, 4]]),
        ("a.npy", npy(np.array([1, 2], ">i4")), takes("float64", -1), [1, 2]),
        ("a.npy", npy(np.zeros((5, 0), "float32")), takes("float32", -1, 0), np.zeros((5, 0))),
        ("a.npy", npy(np.float32(3)), takes("float32"), 3),
        ("", npy(np.array([1, 2], "int32")), takes("int32", -1), [1, 2]),
        ("a.dat", npy(np.array([1, 2], "int32")), takes("int32", -1), [1, 2]),
        ("A.CSV", b"\xef\xbb\xbfa;b\r\n1.5;2\r\n", takes("float32", -1, 2), [[1.5, 2]]),
        ("a.tsv", b"1\t2\n", takes("int32", 2), [1, 2]),
        ("a.json", b"[1, 2]", takes("int32", 2), [1, 2]),
        ("", b"1 2", takes("int32", 2), [1, 2]),
        ("numbers", b"1 2", takes("int32", 2), [1, 2]),
    ],
)
def test_a_file_is_read_as_what_it_is(
    filename: str, content: bytes, spec: TensorSpec, expected: Any
) -> None:
    array = values.from_file("x", filename, content, spec)
    np.testing.assert_array_equal(check(array, spec), np.array(expected, spec.dtype))
    array[...] = 0  # it is the reader's own


@pytest.mark.parametrize("filename", ["a.png", "a.bin", "", "a.npz"])
def test_for_a_string_input_a_file_is_its_bytes(filename: str) -> None:
    content = b"\x89PNG\r\n\x1a\n\0 and not a picture\0"
    array = values.from_file("x", filename, content, takes("object", -1))
    assert check(array, takes("object", -1)).tolist() == [content]


def test_for_a_string_input_json_and_npy_are_read() -> None:
    spec = takes("object", -1)
    assert values.from_file("x", "a.json", b'["a", "b"]', spec).tolist() == ["a", "b"]
    array = values.from_file("x", "a.npy", npy(np.array(["ä", "b"])), spec)
    assert check(array, spec).tolist() == ["ä".encode(), b"b"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
def test_npy_files_keep_dtypes_that_numpy_does_not_know(dtype: str, tmp_path: Path) -> None:
    spec = takes(dtype, 3)
    array = np.array([0, 1, 2]).astype(spec.dtype)
    listings.save(str(tmp_path), "", {"x": array})  # as otw predict --save writes them
    content = (tmp_path / "x.npy").read_bytes()
    np.testing.assert_array_equal(values.from_file("x", "a.npy", content, spec), array)


@pytest.mark.parametrize(
    ("filename", "content", "sentence"),
    [
        ("a.npy", b"", "no .npy file"),
        ("a.npy", b"PK\3\4", "no .npy file with numbers. Write one with numpy.save"),
        ("a.npy", npy(np.ones(4, "f4"))[:-1], r"damaged. .*shape \[4\], but 15 bytes follow"),
        ("a.npy", npy(np.ones(4, "f4")) + b"0", "but 17 bytes follow"),
        ("a.npy", npy(np.array([{}, None])), "Objects are not read"),
        ("a.npy", npy(np.array(["a"])), "is text; expected float32"),
        ("a.npy", npy(np.ones(4, bool)), r"is bool; expected float32 \[-1, 4\]"),
        ("a.npy", npy(np.ones(4, "complex64")), "is complex64; expected float32"),
        ("a.npy", npy(np.full(4, 1e300)), "does not fit in float32"),
        ("a.npy", npy(np.ones(4, "M8[s]")), "datetime64"),
        ("a.npy", npy(np.ones(4, [("a", "f4")])), r"'x' is a table with the columns \['a'\]; exp"),
        ("a.npy", npy(np.ones(5, "f4")), r"has shape \[5\]; expected float32 \[-1, 4\]"),
        ("a.npz", b"PK\3\4\xff", "a.npz is no array, no picture, and no text in UTF-8. Give .npy"),
        ("", b"\xff\xfe1\0", "this is no array"),
        ("a.csv", "1\u00e4".encode("latin-1"), "no text in UTF-8"),
        ("a.csv", b"", "is empty"),
        ("a.json", b"[1,", "is no JSON"),
        ("a.png", b"1 2 3 4", "does not look like a picture"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_a_sentence(filename, content, sentence) -> None:
    with pytest.raises(BadInput, match=sentence):
        values.from_file("x", filename, content, takes("float32", -1, 4))


def test_a_table_of_two_bytes_a_row_is_no_bfloat16() -> None:
    table = np.zeros(3, [("a", "u1"), ("b", "u1")])
    for spec in (takes("bfloat16", -1), takes("object", -1)):
        with pytest.raises(BadInput, match=r"columns \['a', 'b'\]; expected .*column by column"):
            values.from_file("x", "a.npy", npy(table), spec)
        with pytest.raises(BadInput, match=r"columns \['a', 'b'\]; expected"):
            fit("x", table, spec)
    pairs = {"descr": ("|u1", (2,)), "fortran_order": False, "shape": (3,)}
    with pytest.raises(BadInput, match="'x'"):
        values.from_file("x", "a.npy", npy_that_says(pairs, bytes(6)), takes("bfloat16", -1))


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        ([1, 2**64 - 1], takes("uint64", -1), [1, 2**64 - 1]),
        ((np.uint64(2**64 - 1), np.int8(1)), takes("uint64", -1), [2**64 - 1, 1]),
        (np.array([1, 2], object), takes("int32", -1), [1, 2]),
        (np.array([1.5, 2], object), takes("float32", -1), [1.5, 2]),
        (np.array([True, False], object), takes("bool", -1), [True, False]),
    ],
)
def test_numbers_from_a_cell_are_taken_exactly(value: Any, spec: TensorSpec, expected: Any) -> None:
    array = check(fit("x", value, spec), spec)
    np.testing.assert_array_equal(array, np.array(expected, spec.dtype))


@pytest.mark.parametrize(
    ("value", "spec", "sentence"),
    [
        (None, takes("float32"), r"'x': the value is null \(None\); expected float32 \[\]"),
        ([10**5000], takes("float32", -1), "too large for float32"),
        ([10**5000], takes("int32", -1), "over 64 bits"),
        ([-1, 2**64 - 1], takes("uint8", -1), "does not fit in uint8"),
        ([None], takes("object", -1), r"at \[0\] is null \(None\); expected string \[-1\]. Write"),
        ([["a", 10**5000]], takes("object", -1, 2), r"at \[0, 1\] is of type int; expected string"),
        (["a", 1], takes("object", -1), r"at \[1\] is of type int; expected string"),
        (["a", "\ud800"], takes("object", -1), "'x' holds half a character"),
        (np.array(["\ud800"]), takes("object", -1), "'x' holds half a character"),
    ],
)
def test_what_cannot_be_sent_from_a_cell_is_told_before(
    value: Any, spec: TensorSpec, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        fit("x", value, spec)


@pytest.mark.parametrize("code", [0xD800, 0x110000, 2**32 - 1])
@pytest.mark.parametrize("dtype", ["object", "float32"])
def test_a_npy_file_whose_text_is_no_unicode_is_told_in_a_sentence(code: int, dtype: str) -> None:
    content = npy(np.array(["a"])).replace(b"a\0\0\0", code.to_bytes(4, "little"))
    with pytest.raises(BadInput, match="'x' holds half a character|'x' is text; expected float32"):
        values.from_file("x", "a.npy", content, takes(dtype, -1))


@pytest.mark.parametrize(
    "header",
    [
        {"descr": "<f4", "fortran_order": False, "shape": (10**15,)},
        {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9, 10**9)},
        {"descr": "<f4", "fortran_order": False, "shape": (-1, -4)},
        {"descr": "<f4", "fortran_order": True, "shape": (0, 10**30)},
        {"descr": "<f4", "fortran_order": False, "shape": (1,) * 100},
        {"descr": "|S0", "fortran_order": False, "shape": (10**12,)},
        {"descr": "<U1000000000", "fortran_order": False, "shape": (10**6,)},
        {"descr": "|O", "fortran_order": False, "shape": (1,)},
    ],
)
def test_a_header_is_not_believed(header: dict[str, Any]) -> None:
    content = npy_that_says(header, b"abcd")
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match="'x'"):
            values.from_file("x", "a.npy", content, takes("float32", -1))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.data())
def test_a_damaged_npy_file_is_an_array_or_a_sentence(data: st.DataObject) -> None:
    content = bytearray(npy(np.arange(6, dtype="float32").reshape(2, 3)))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    spec = TensorSpec(np.dtype("float32"), None)
    with contextlib.suppress(BadInput):  # any other error fails the test
        check(values.from_file("x", "a.npy", bytes(content), spec), spec)


def test_too_large_a_file_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "MAX_MESSAGE", 10)
    with pytest.raises(BadInput, match="has 11 bytes; at most 10 fit"):
        values.from_file("x", "a.txt", b"1" * 11, takes("object"))


def test_a_picture_is_preprocessed_as_suggested_or_as_asked() -> None:
    file = io.BytesIO()
    PIL.Image.new("RGB", (20, 10), "white").save(file, "PNG")
    spec = takes("float32", -1, 16, 16, 3)
    for filename in ("a.png", "", "a.PNG", "upload"):
        array = values.from_file("x", filename, file.getvalue(), spec)
        assert (check(array, spec) == np.ones((1, 16, 16, 3))).all()
    asked = Preprocessing(16, 16, resize="fit", scale="-1..1")
    array = values.from_file("x", "a.png", file.getvalue(), spec, asked)
    assert (array[0, 0] == -1).all(), "padded with black"
    with pytest.raises(BadInput, match="Input 'x': The picture becomes shape"):
        values.from_file("x", "a.png", file.getvalue(), spec, Preprocessing(8, 8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "sizes"), [((), []), ((-1, 3), [5]), ((2, -1, -1), [3, 0]), (None, [4, 2])]
)
def test_random_values_fit_and_come_again(dtype: str, shape: Any, sizes: list[int]) -> None:
    spec = takes(dtype)._replace(shape=shape)
    array = values.at_random(spec, sizes, seed=3)
    check(array, spec)
    assert values.at_random(spec, sizes, seed=3).tolist() == array.tolist()


def test_random_values_are_spread_over_their_range() -> None:
    spec = takes("float32", -1)
    floats = values.at_random(spec, [1000])
    assert 0 <= floats.min() < 0.1 < 0.9 < floats.max() <= 1
    assert (floats != values.at_random(spec, [1000], seed=1)).any()
    for dtype, expected in [("int32", range(10)), ("int4", range(8)), ("uint8", range(10))]:
        found = values.at_random(takes(dtype, -1), [1000]).astype(int)
        assert set(found.tolist()) == set(expected)
    assert set(values.at_random(takes("bool", -1), [100]).tolist()) == {True, False}
    words = values.at_random(takes("object", -1), [100])
    assert all(isinstance(word, str) and word.isalpha() for word in words)
    assert len(set(words)) > 5


@pytest.mark.parametrize(
    ("spec", "sizes", "seed", "sentence"),
    [
        (takes("float32", -1, 2), [], 0, r"float32 \[-1, 2\] has 1 sizes to choose, but 0"),
        (takes("float32", 2), [1], 0, "has 0 sizes to choose, but 1"),
        (takes("float32", -1), [-1], 0, "from 0 on"),
        (takes("float32", -1), [1], -1, "from 0 on"),
        (takes("float32", -1), [10**12], 0, "too large"),
        (takes("object", -1, -1), [10**5, 10**5], 0, "too large"),
        (takes("float32", 10**6, 10**6), [], 0, "too large"),
        (takes("float32", -1, -1), [0, 10**30], 0, "too large"),
        (TensorSpec(np.dtype("int8"), None), [1] * 70, 0, "too large"),
    ],
)
def test_sizes_are_checked_before_anything_is_made(spec, sizes, seed, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        values.at_random(spec, sizes, seed)


def png_of(width: int, height: int) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("filename", ["photo", "photo.png", ""])
def test_too_large_a_picture_is_not_called_none(filename: str) -> None:
    spec = takes("float32", -1, -1, -1, 3)
    with pytest.raises(BadInput, match="'x': .*10000 x 7000 has more than 67,108,864 pixels"):
        values.from_file("x", filename, png_of(10_000, 7_000), spec)


def examples_form() -> ExamplesForm:
    endpoint = Endpoint("tfserving", grpc="127.0.0.1:1", model="m")
    inputs = {"inputs": takes("object", -1)}
    signature = Signature(inputs, {}, method_name="tensorflow/serving/classify")
    entry = Entry("m", endpoint, signatures=Signatures("m", 1, {"s": signature}))
    return ExamplesForm(entry, "s", Fields(), lambda: None)


def test_examples_from_a_cell_are_what_a_call_takes() -> None:
    form = examples_form()
    given = {
        "bytes": b"abc",
        "one": np.float32(1.5),
        "many": np.array([[1, 2], [3, 4]], "int64"),
        "texts": [np.str_("a"), np.bytes_("\u00e4".encode()), "b"],
        "picture": b"\x89PNG\xff",
        "pictures": [b"a", np.bytes_(b"\xff")],
        "plain": [1, 2],
    }
    form.fill([given])
    assert form.check()
    assert [features_of(each) for each in form.requests()[0].payload] == [features_of(given)]


@pytest.mark.parametrize(
    ("example", "sentence"),
    [
        ({"a": {1, 2}}, "has a set; .*ints, floats and text or bytes"),
        ({"a": np.longdouble(1)}, "has a longdouble"),
        ({b"a": 1}, "cannot be written as JSON: keys must be"),
    ],
)
def test_examples_that_json_cannot_hold_are_told_in_a_sentence(example: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        examples_form().fill([example])


def test_an_example_with_half_a_character_is_told_in_a_sentence() -> None:
    form = examples_form()
    form.fill([{"a": "\ud800"}])
    assert not form.check()
    assert "half a character" in form.status.value
    with pytest.raises(BadInput, match="half a character"):
        form.requests()


def test_json_written_by_python_reads_back() -> None:
    array = np.random.default_rng(1).normal(size=(3, 2)).astype("float32")
    spec = takes("float32", -1, 2)
    assert (values.from_text("x", json.dumps(array.tolist()), spec) == array).all()


@pytest.mark.parametrize(
    "text",
    [
        '"width,height\n1,2\n3,4',
        '1,2\n"3,4',
        '"width,height\n1,2\n"3,4',
        '"width,height\n1,2\n3,4"\n5,6',
        '"width\n1\n2"\n3',
        'width,"height\n1,2\n3,4\n',
        '"1" 2\n3,4',
    ],
)
def test_an_open_quote_loses_no_line(text: str) -> None:
    with pytest.raises(BadInput, match="quote|is no number"):
        values.from_file("x", "table.csv", text.encode(), TensorSpec(np.dtype("float32"), None))


def test_a_quoted_heading_may_have_two_lines() -> None:
    table = '"width\n(cm)","height, in ""cm"""\n"1",2\n3,4'
    array = values.from_file(
        "x", "table.csv", table.encode(), TensorSpec(np.dtype("float32"), (-1, 2))
    )
    assert array.tolist() == [[1, 2], [3, 4]]


CELLS = [
    "1",
    "-2.5e3",
    "nan",
    "-inf",
    "1e400",
    "1_000",
    "0x10",
    "1d5",
    "٣",
    "",
    "a",
    '"1"',
    '"1',
    "#",
]


@given(
    st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3), min_size=1, max_size=3),
    st.sampled_from([",", ", ", ";", "\t", " "]),
)
def test_a_table_of_numbers_is_read_as_cell_by_cell(rows: list[list[str]], mark: str) -> None:
    text = "\n".join(mark.join(row) for row in rows)
    if not text.strip():
        return
    outcomes = []
    readers: list[Any] = [tables._numbers, lambda *_: []]
    for quickly in readers:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tables, "_numbers", quickly)
            try:
                outcomes.append(repr(tables.parse("x", text, takes("float64", -1, -1))))
            except BadInput as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
