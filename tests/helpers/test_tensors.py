"""Arrays to TensorProto and back: every dtype, both forms, and what cannot be packed."""

import datetime
import tracemalloc
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from helpers.errors import BadInput
from helpers.serving_api import tensor_pb2, types_pb2
from helpers.tensors import to_dtype, to_ndarray, to_tensor_proto, typed_field

NUMBERS = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bool",
]
EXTENSIONS = ["bfloat16", "int2", "uint2", "float8_e5m2", "float8_e4m3fn", "int4", "uint4"]
SHAPES = [(), (0,), (1,), (3, 0, 2), (2, 3)]


def values_of(name: str, shape: tuple[int, ...]) -> np.ndarray:
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NUMBERS + EXTENSIONS)
def test_an_array_comes_back_as_it_was(name: str, shape: tuple[int, ...]) -> None:
    sent = values_of(name, shape)
    received = to_ndarray(to_tensor_proto(sent))
    assert received.dtype == sent.dtype
    assert received.shape == sent.shape
    assert received.tobytes() == sent.tobytes()


@pytest.mark.parametrize("name", NUMBERS + EXTENSIONS)
def test_typed_fields_are_read_like_tensor_content(name: str) -> None:
    sent = values_of(name, (2, 3))
    proto = to_tensor_proto(sent)
    proto.ClearField("tensor_content")
    field = typed_field(sent.dtype)
    if field == "float8_val":
        proto.float8_val = sent.tobytes()
    elif field == "half_val":
        proto.half_val.extend(sent.view(np.uint16).ravel().tolist())
    elif sent.dtype.kind == "c":
        getattr(proto, field).extend(sent.ravel().view(sent.real.dtype).tolist())
    else:
        getattr(proto, field).extend(sent.ravel().astype(object).tolist())
    assert to_ndarray(proto).tobytes() == sent.tobytes()
    assert to_ndarray(proto).dtype == sent.dtype


@pytest.mark.parametrize("sent", ["text", b"by\0tes\0", ["a", "grüße"], [[b"\0"], [b""]], []])
def test_text_and_bytes_come_back_as_bytes(sent: Any) -> None:
    received = to_ndarray(to_tensor_proto(sent, dtype="object"))
    expected = np.vectorize(lambda v: v.encode() if isinstance(v, str) else v, otypes=[object])
    wanted = np.asarray(sent, dtype=object)
    assert received.dtype == object
    assert received.tolist() == (expected(wanted).tolist() if wanted.size else [])


def test_numpy_text_is_packed_as_utf_8() -> None:
    assert list(to_tensor_proto(np.array(["grüße"])).string_val) == ["grüße".encode()]


def test_a_big_endian_array_travels_as_little_endian() -> None:
    assert to_tensor_proto(np.array([1], ">i4")).tensor_content == b"\1\0\0\0"


def test_an_array_that_is_not_contiguous_keeps_its_order() -> None:
    sent = np.arange(6, dtype="int32").reshape(2, 3).T
    assert (to_ndarray(to_tensor_proto(sent)) == sent).all()


def test_one_value_fills_a_bigger_shape() -> None:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1, 2])
    proto.tensor_shape.dim.add(size=4)
    assert to_ndarray(proto).tolist() == [1, 2, 2, 2]


def test_no_value_at_all_fills_the_shape_with_zeros() -> None:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=2)
    assert to_ndarray(proto).tolist() == [b"", b""]


def test_an_answer_is_writable_and_its_own_memory() -> None:
    proto = to_tensor_proto([1.0, 2.0])
    array = to_ndarray(proto)
    array[0] = 5
    assert to_ndarray(proto)[0] == 1


def test_nan_and_infinity_are_allowed() -> None:
    received = to_ndarray(to_tensor_proto([np.nan, np.inf, -np.inf], dtype="float32"))
    assert np.isnan(received[0])
    assert received[1:].tolist() == [np.inf, -np.inf]


@pytest.mark.parametrize(
    ("array", "dtype", "reason"),
    [
        ([[1, 2], [3]], None, "same length"),
        ([object()], None, "no type for object"),
        ([None], None, "no type for NoneType"),
        ([datetime.date(2026, 1, 1)], None, "no type for date"),
        (np.array(["2026-01-01"], "datetime64[D]"), None, "no type for datetime64"),
        (["seven"], "float32", "cannot be cast to float32"),
        ([300], "uint8", "cannot be cast to uint8"),
        (np.zeros(1, [("a", "i4")]), None, "no type for"),
    ],
)
def test_what_has_no_type_is_refused_with_the_reason(array: Any, dtype, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        to_tensor_proto(array, dtype)


def broken(content: bytes, *sizes: int, dtype: int = types_pb2.DT_FLOAT) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, tensor_content=content)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize(
    ("proto", "reason"),
    [
        (broken(b"123", 1), "3 bytes, not a multiple of 4"),
        (broken(b"1234", 2), "has 2 values; 1 came"),
        (broken(b"12345678", 1), "has 1 values; 2 came"),
        (broken(b"", -1), "complete shape"),
        (broken(b"", 2**40), "came with far fewer values"),
        (broken(b"", 2**62, 2**62), "came with far fewer values"),
        (broken(b"1234", dtype=types_pb2.DT_STRING), "Text travels in string_val"),
        (broken(b"", dtype=types_pb2.DT_RESOURCE), "TensorFlow's type 20"),
        (broken(b"", dtype=types_pb2.DT_INVALID), "TensorFlow's type 0"),
        (broken(b"", dtype=999), "TensorFlow's type 999"),
    ],
)
def test_a_tensor_that_contradicts_itself_is_refused(proto, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        to_ndarray(proto)


@pytest.mark.parametrize("form", ["tensor_content", "float_val"])
def test_no_python_object_is_made_for_a_number(form: str) -> None:
    sent = np.zeros(1_000_000, np.float32)
    proto = to_tensor_proto(sent)
    if form == "float_val":
        proto.ClearField("tensor_content")
        proto.float_val.extend(sent.tolist())
    tracemalloc.start()
    to_tensor_proto(to_ndarray(proto))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A few copies of 4 bytes a number; a Python float alone has 24.
    assert peak < 16 * sent.size


def test_every_type_of_types_proto_is_read_or_refused() -> None:
    refused = set()
    for name, number in types_pb2.DataType.items():
        try:
            to_dtype(number)
        except BadInput:
            refused.add(name.removeprefix("DT_"))
    assert {name for name in refused if not name.endswith("_REF")} == {
        "INVALID",
        "RESOURCE",
        "VARIANT",
    }
    assert {name for name, _ in types_pb2.DataType.items() if name.endswith("_REF")} == {
        f"DT_{name}" for name in refused if name.endswith("_REF")
    }
