"""How large a tensor is in each form: counted against messages and bodies made here."""

import base64
import io
import json
from typing import Any

import numpy as np
import PIL.Image
import pytest

from helpers.errors import BadInput
from helpers.serving_api import predict_pb2, tensor_pb2
from helpers.tensors import to_tensor_proto
from workbench.wire import sizes

CONTENT, ROWS = "gRPC, tensor_content", "JSON rows"
ROUNDED = "JSON rows, 4 decimals (loses digits)"
JPEG = "JSON, JPEG in base64 (loses detail)"
RANDOM = np.random.default_rng(9)


def request_of(proto: Any, model: str = "m", name: str = "x") -> int:
    """Return how long protobuf's own message is."""
    request = predict_pb2.PredictRequest(model_spec={"name": model}, inputs={name: proto})
    return len(request.SerializeToString())


def body_of(instances: Any) -> int:
    return len(json.dumps({"instances": instances}, separators=(",", ":")))


def tensor(array: np.ndarray, **values: Any) -> Any:
    shape = {"dim": [{"size": size} for size in array.shape]}
    return tensor_pb2.TensorProto(
        dtype=to_tensor_proto(array).dtype, tensor_shape=shape, **{**values}
    )


@pytest.mark.parametrize("shape", [(1,), (3, 5), (1, 224, 224, 3), (0, 4)])
def test_messages_are_as_long_as_protobufs_own(shape: tuple[int, ...]) -> None:
    array = RANDOM.random(shape, np.float32)
    found = sizes(array)
    assert found[CONTENT] == request_of(to_tensor_proto(array))
    values = array.ravel().tolist()
    assert found["gRPC, float_val"] == request_of(tensor(array, float_val=values))


@pytest.mark.parametrize(
    ("dtype", "field"),
    [
        ("float64", "double_val"),
        ("uint8", "int_val"),
        ("int16", "int_val"),
        ("int64", "int64_val"),
        ("uint64", "uint64_val"),
        ("bool", "bool_val"),
        ("int8", "int_val"),
    ],
)
def test_each_type_has_its_field(dtype: str, field: str) -> None:
    array = np.array([0, 1, 100, -1]).astype(dtype)
    expected = request_of(tensor(array, **{field: array.tolist()}))
    assert sizes(array)[f"gRPC, {field}"] == expected


@pytest.mark.parametrize("dtype", ["<f2", ">f2"])
def test_halves_travel_as_their_bits(dtype: str) -> None:
    array = np.array([1, 2**-24, 60_000], dtype)  # 60,000 times 10,000 is no half
    found = sizes(array)
    assert found["gRPC, half_val"] == request_of(tensor(array, half_val=[0x3C00, 1, 0x7B53]))
    assert found[ROUNDED] == body_of([1.0, 0.0, 60000.0])


def test_names_are_counted_where_they_are_sent() -> None:
    array = np.ones((2, 4), np.float32)
    short, long = sizes(array), sizes(array, model="digits", name="images")
    assert long[CONTENT] == request_of(to_tensor_proto(array), "digits", "images")
    assert (
        long[CONTENT] - short[CONTENT] == long["gRPC, float_val"] - short["gRPC, float_val"] == 10
    )
    assert long[ROWS] == short[ROWS]


def test_rows_have_the_shortest_text_of_each_number() -> None:
    array = np.array([[0.1, 1 / 3]], np.float32)
    found = sizes(array)
    assert found[ROWS] == body_of([[0.1, 0.33333334]])
    assert found[ROUNDED] == body_of([[0.1, 0.3333]])


def test_what_is_lossy_says_so() -> None:
    assert set(sizes(np.ones((8, 8), np.float32))) == {
        CONTENT,
        "gRPC, float_val",
        ROWS,
        ROUNDED,
        JPEG,
    }
    assert [name for name in sizes(np.ones((8, 4), np.int32)) if "loses" in name] == []


def test_nan_and_infinity_are_counted_as_they_are_sent() -> None:
    array = np.array([[np.nan, np.inf]], np.float32)
    assert sizes(array)[ROWS] == len('{"instances":[[NaN, Infinity]]}')


def jpeg_body(pixels: np.ndarray) -> int:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG")
    return body_of([{"b64": base64.b64encode(file.getvalue()).decode()}])


@pytest.mark.parametrize("batch", [(), (1,)])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_image_is_a_jpeg_too(dtype: str, channels: tuple, batch: tuple) -> None:
    pixels = RANDOM.integers(0, 256, (*batch, 24, 16, *channels), np.uint8)
    image = pixels if dtype == "uint8" else (pixels / 255).astype(dtype)
    plain = pixels.reshape((24, 16, 3) if channels == (3,) else (24, 16))
    assert sizes(image)[JPEG] == jpeg_body(plain)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(64),
        np.zeros((2, 16, 16, 3)),
        np.zeros((16, 16, 4)),
        np.zeros((150, 4)),
        np.full((16, 16), 1.5),
        np.full((16, 16), -0.1),
        np.full((16, 16), np.nan),
        np.zeros((16, 16), np.int64),
        np.zeros((16, 16), bool),
        np.zeros((0, 16, 3)),
        np.zeros((8, 65_501), np.uint8),
        np.zeros((1, 1, 16, 16, 3)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_what_is_no_image_has_no_jpeg(array: np.ndarray) -> None:
    assert JPEG not in sizes(array)
    assert CONTENT in sizes(array)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "numbers or booleans"),
        (["a"], "numbers or booleans"),
        ([b"a"], "object"),
        ([object()], "object"),
        (np.array(["a"]), "<U1"),
        (5.0, r"shape \(\)"),
        (np.array([1j]), "complex128"),
        ([[1], [1, 2]], "same length"),
        (None, "object"),
        (np.array(["2026-01-01"], "datetime64[D]"), "datetime64"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value: Any, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        sizes(value)
