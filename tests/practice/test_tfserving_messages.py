"""Predict's messages around NumPy's memory, against protobuf's own classes."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from helpers.serving_api import predict_pb2, types_pb2
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving import messages, tensorproto

LARGE = 100_000  # values, each of a byte at least


def request_of(**inputs: Any) -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": "m"}, output_filter=["y"])
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(array))
    return request


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8", "?", "f2", "c8"])
def test_a_large_tensor_is_seen_where_it_came(dtype: str) -> None:
    sent = np.arange(LARGE).reshape(2, -1).astype(dtype)
    request = messages.read(request_of(x=sent, small=[1.0]).SerializeToString())
    assert request.arrays.keys() == {"x"}
    assert np.array_equal(request.arrays["x"], sent)
    assert not request.arrays["x"].flags.owndata
    assert not request.message.inputs["x"].tensor_content
    assert request.message.inputs["x"].dtype == to_tensor_proto(sent).dtype
    assert to_ndarray(request.message.inputs["small"]) == [1.0]
    assert request.model_spec.name == "m"
    assert list(request.message.output_filter) == ["y"]


def test_quantized_numbers_keep_their_type() -> None:
    sent = request_of(x=np.zeros(LARGE, "i1"))
    sent.inputs["x"].dtype = types_pb2.DT_QINT8
    request = messages.read(sent.SerializeToString())
    assert request.message.inputs["x"].dtype == types_pb2.DT_QINT8


@pytest.mark.parametrize(
    "more", [b"\x12\x00", b"\xa2\x06\x03abc"], ids=["no name", "no such field"]
)
def test_what_is_laid_out_otherwise_is_read_by_protobuf(more: bytes) -> None:
    data = request_of(x=np.zeros(LARGE, "f4")).SerializeToString() + more
    request = messages.read(data)
    assert request.message == predict_pb2.PredictRequest.FromString(data) or request.arrays


def test_an_input_that_came_twice_counts_as_protobuf_counts_it() -> None:
    data = b"".join(
        request_of(x=np.full(LARGE, value, "f4")).SerializeToString() for value in (1, 2)
    )
    request = messages.read(data)
    assert not request.arrays
    assert to_ndarray(request.message.inputs["x"])[0] == 2


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(DecodeError):
        messages.read(request_of(x=np.zeros(LARGE, "f4")).SerializeToString()[:-1])


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8", "?", "f2", "c8", "O"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_an_answer_is_what_protobuf_writes(as_content: bool, dtype: str, shape: tuple) -> None:
    array = np.ones(shape, dtype)
    if dtype == "O":
        array = np.full(shape, b"text", object)
    response = predict_pb2.PredictResponse()
    response.model_spec.name = "m"
    response.model_spec.version.value = 3
    response.model_spec.signature_name = "s"
    tensorproto.fill(response.outputs["y"], array, as_content=as_content)
    written = messages.write("m", 3, "s", {"y": array}, as_content=as_content)
    assert predict_pb2.PredictResponse.FromString(written) == response
