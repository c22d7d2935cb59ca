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
from practice.tfserving.tensorproto import fill

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


# Three values of every type, each in its typed field.
THREE = {
    **{name: values_of(name, (3,)) for name in NUMBERS + EXTENSIONS},
    "object": np.array([b"a", b"", b"grosse"], object),
}
TEXTS = {
    "two": (b"\x02\x03hiyou", [2]),
    "a scalar": (b"\x02hi", []),
    "empty ones": (b"\0\0", [2, 1]),
    "a long one": (b"\x80\x01" + b"x" * 128, [1]),
    "a length longer than it need be": (b"\x82\0hi", [1]),
    "none, and a byte": (b"x", [0]),
    "no bytes": (b"", [2]),
    "fewer than the shape has": (b"\x02\x03hiyou", [3]),
    "more than the shape has": (b"\x02\x03hiyou", [1]),
    "a byte missing": (b"\x02\x03hiyo", [2]),
    "a byte too many": (b"\x02\x03hiyou!", [2]),
    "a length without its end": (b"\x80", [1]),
    "a length of ten bytes": (b"\x82" + b"\x80" * 8 + b"\0hi", [1]),
    "a length of 4 GiB": (b"\xff\xff\xff\xff\x0fhi", [1]),
}


def in_typed_field(values: np.ndarray, shape: Any) -> tensor_pb2.TensorProto:
    """Pack values into the typed field, whatever the shape says."""
    proto = tensor_pb2.TensorProto()
    fill(proto, values)
    proto.tensor_shape.ClearField("dim")
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def as_tensorflow_reads(tensorflow: Any, proto: tensor_pb2.TensorProto) -> Any:
    """Return TensorFlow's own reading, an array; None for what it refuses."""
    dtype = tensorflow.dtypes.as_dtype(proto.dtype)
    try:
        value = tensorflow.io.parse_tensor(proto.SerializeToString(), dtype).numpy()
        return np.asarray(value, object if isinstance(value, bytes) else None)
    except tensorflow.errors.InvalidArgumentError:
        return None


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2,), (2, 0), (1, 1, 2)])
@pytest.mark.parametrize("name", THREE)
def test_of_more_values_than_the_shape_has_the_first_count(name: str, shape: Any) -> None:
    values = THREE[name]
    array = to_ndarray(in_typed_field(values, shape))
    count = int(np.prod(shape))
    assert (array.dtype, array.shape) == (values.dtype, shape)
    assert array.ravel().tolist() == values[:count].tolist()
    assert array.flags.writeable


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2,), (2, 0), (3,), (5,)])
@pytest.mark.parametrize("name", sorted(set(THREE) - {"int2", "uint2"}))
def test_tensorflow_reads_the_same_number_of_values(tensorflow, name: str, shape: Any) -> None:
    proto = in_typed_field(THREE[name], shape)
    expected = as_tensorflow_reads(tensorflow, proto)
    array = to_ndarray(proto)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    assert array.tolist() == expected.tolist()


def test_half_a_complex_number_does_not_count() -> None:
    proto = in_typed_field(THREE["complex64"], [3])
    del proto.scomplex_val[-1]
    assert to_ndarray(proto).tolist() == [0j, 1 + 0j, 1 + 0j]


@pytest.mark.parametrize("kind", TEXTS)
def test_text_in_tensor_content_is_read_as_tensorflow_reads_it(tensorflow, kind: str) -> None:
    content, shape = TEXTS[kind]
    proto = broken(content, *shape, dtype=types_pb2.DT_STRING)
    expected = as_tensorflow_reads(tensorflow, proto)
    if expected is None:
        with pytest.raises(BadInput):
            to_ndarray(proto)
    else:
        assert to_ndarray(proto).tolist() == expected.tolist()


def test_text_in_tensor_content_is_lengths_and_then_bytes() -> None:
    proto = broken(b"\x02\x03hiyou", 2, dtype=types_pb2.DT_STRING)
    assert to_ndarray(proto).tolist() == [b"hi", b"you"]


@pytest.mark.parametrize(
    "texts", [b"one", [], [b"hi", b"you"], [[b"\0", b""], [b"x" * 300, b"gr\xc3\xbc"]]]
)
def test_text_comes_back_out_of_tensor_content(texts: Any) -> None:
    sent = np.array(texts, object)
    proto = tensor_pb2.TensorProto()
    fill(proto, sent, as_content=True)
    assert not proto.string_val
    assert to_ndarray(proto).shape == sent.shape
    assert to_ndarray(proto).tolist() == sent.tolist()


def test_tensorflow_reads_text_in_tensor_content(tensorflow) -> None:
    sent = np.array([[b"", b"x" * 300], [b"\0", b"hi"]], object)
    proto = tensor_pb2.TensorProto()
    fill(proto, sent, as_content=True)
    assert as_tensorflow_reads(tensorflow, proto).tolist() == sent.tolist()


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
        (broken(b"", 0, 2**62), "NumPy holds no array"),
        (broken(b"1234", 2**40, dtype=types_pb2.DT_STRING), "4 bytes, which are not"),
        (broken(b"\x021", dtype=types_pb2.DT_STRING), "2 bytes, which are not 1 texts"),
        (broken(b"\xff" * 9, dtype=types_pb2.DT_STRING), "length of a text"),
        (broken(b"", dtype=types_pb2.DT_RESOURCE), "TensorFlow's type 20"),
        (broken(b"", dtype=types_pb2.DT_INVALID), "for a name that a message does not have"),
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
