"""The wire codec against protobuf's own classes: same bytes, same arrays, same refusals."""

import time
import tracemalloc
from collections.abc import Iterator
from concurrent import futures
from typing import Any, NoReturn

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers import tensor_bytes, tfserving
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, ServiceFailed, TooLarge, explain
from helpers.serving_api import predict_pb2, tensor_pb2, types_pb2
from helpers.tensors import to_ndarray, to_tensor_proto, varint
from helpers.tfserving import codec
from practice.tfserving.tensorproto import fill
from tests.fuzzing import examples
from tests.helpers.test_tensors import EXTENSIONS, NUMBERS, SHAPES, values_of

# What a view can be made of.
DENSE = {
    "tensor_content": [*NUMBERS, *EXTENSIONS],
    "typed fields": ["float32", "float64"],
}
VIEWED = [(form, name) for form, names in DENSE.items() for name in names]
SPEC = {"name": "m", "signature_name": "s", "version": {"value": 7}}

arrays_of_numbers = arrays.arrays(
    st.sampled_from(NUMBERS).map(np.dtype), arrays.array_shapes(min_dims=0, min_side=0, max_side=4)
)
texts = arrays.arrays(
    object, arrays.array_shapes(min_dims=0, min_side=0, max_side=3), elements=st.binary(max_size=9)
)
outputs_by_name = st.dictionaries(st.text(max_size=150), arrays_of_numbers | texts, max_size=4)


def request_of(inputs: dict[str, Any], **of_spec: Any) -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": "m", **of_spec})
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value))
    return request


def response_of(outputs: dict[str, np.ndarray], *, as_content: bool) -> Any:
    response = predict_pb2.PredictResponse(model_spec=SPEC)
    for name, array in outputs.items():
        fill(response.outputs[name], array, as_content=as_content)
    return response


def read_by_protobuf(data: bytes) -> dict[str, np.ndarray]:
    response = predict_pb2.PredictResponse.FromString(data)
    return {name: to_ndarray(proto) for name, proto in response.outputs.items()}


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        if array.dtype.kind == "O":
            assert found[name].tolist() == array.tolist()
        else:
            assert found[name].tobytes() == array.tobytes()


# Writing.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NUMBERS + EXTENSIONS)
def test_one_input_is_byte_for_byte_what_protobuf_writes(name: str, shape: tuple) -> None:
    array = values_of(name, shape)
    expected = request_of({"x": array}).SerializeToString()
    assert codec.encode_predict("m", {"x": array}) == expected


@given(st.text(max_size=300), arrays_of_numbers | texts)
def test_any_input_is_byte_for_byte_what_protobuf_writes(name: str, array: np.ndarray) -> None:
    expected = request_of({name: array}).SerializeToString()
    assert codec.encode_predict("m", {name: array}) == expected


@given(outputs_by_name)
def test_several_inputs_are_read_as_they_were(inputs: dict[str, np.ndarray]) -> None:
    request = predict_pb2.PredictRequest.FromString(codec.encode_predict("m", inputs))
    assert request == request_of(inputs)
    assert_same({name: to_ndarray(proto) for name, proto in request.inputs.items()}, inputs)


@pytest.mark.parametrize(
    "options",
    [
        {"signature_name": "s"},
        {"version": 0},
        {"version": 2**63 - 1},
        {"version": -1},
        {"version_label": "stable"},
        {"signature_name": "s", "version": 300},
        {"version_label": "ü"},
    ],
)
def test_the_rest_of_a_request_is_what_protobuf_writes(options: dict[str, Any]) -> None:
    of_spec = dict(options)
    if "version" in of_spec:
        of_spec["version"] = {"value": of_spec["version"]}
    request = request_of({"x": np.ones(3)}, **of_spec)
    written = codec.encode_predict("m", {"x": np.ones(3)}, **options)
    assert written == request.SerializeToString()


def test_a_request_without_a_model_has_an_empty_model_spec() -> None:
    request = predict_pb2.PredictRequest(model_spec={})
    assert codec.encode_predict("", {}) == request.SerializeToString()


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3, 4]],
        1.5,
        True,
        "text",
        [b"\0", "ü"],
        np.float32(1),
        np.array(["a", "b"]),
        np.arange(6, dtype="int32").reshape(2, 3).T,
        np.arange(9.0)[::-2],
        np.broadcast_to(np.float32(3), (2, 2)),
        np.asfortranarray(np.eye(3)),
        np.array([1, 2], ">i4"),
        np.array(3, ">f8"),
        np.ones((2, 0, 3)).T,
        np.frombuffer(b"\0" * 9, "<f4", 2, 1),
    ],
)
def test_anything_array_like_is_what_protobuf_writes(value: Any) -> None:
    expected = request_of({"x": value}).SerializeToString()
    assert codec.encode_predict("m", {"x": value}) == expected


@pytest.mark.parametrize("value", [[[1], [2, 3]], [object()], np.array(["2026"], "M8[D]"), [None]])
def test_what_a_tensor_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(BadInput):
        codec.encode_predict("m", {"x": value})


def test_a_tensor_of_2_gib_is_refused_before_it_is_copied() -> None:
    with pytest.raises(TooLarge, match="2,147,483,648 bytes"):
        codec.encode_predict("m", {"x": np.broadcast_to(np.float32(0), 2**29)})


def test_an_array_is_copied_once_to_be_sent() -> None:
    array = np.zeros(1_000_000, np.float32)
    codec.encode_predict("m", {"x": array})
    tracemalloc.start()
    codec.encode_predict("m", {"x": array})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < array.nbytes + 10_000


# Reading.


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("as_content", [True, False])
@pytest.mark.parametrize("name", NUMBERS + EXTENSIONS)
def test_every_dtype_is_read(name: str, as_content: bool, shape: tuple, copy: bool) -> None:
    sent = values_of(name, shape)
    data = response_of({"y": sent}, as_content=as_content).SerializeToString()
    assert_same(codec.decode_predict(data, copy), {"y": sent})


@pytest.mark.parametrize("copy", [True, False])
@given(outputs=outputs_by_name, as_content=st.booleans())
def test_every_response_is_read(copy: bool, outputs, as_content: bool) -> None:
    data = response_of(outputs, as_content=as_content).SerializeToString()
    version, decoded = codec.decode_answer(data, copy)
    assert version == 7
    assert_same(decoded, outputs)
    for array in decoded.values():
        assert array.flags.writeable == copy
        assert type(array) is np.ndarray


@pytest.mark.parametrize(("form", "name"), VIEWED)
def test_a_view_is_of_the_bytes_that_came(form: str, name: str) -> None:
    response = response_of({"y": values_of(name, (2, 3))}, as_content=form == "tensor_content")
    data = response.SerializeToString()
    assert np.shares_memory(codec.decode_predict(data, copy=False)["y"], np.frombuffer(data, "u1"))


@pytest.mark.parametrize(("form", "name"), VIEWED)
def test_a_copy_is_of_its_own(form: str, name: str) -> None:
    response = response_of({"y": values_of(name, (2, 3))}, as_content=form == "tensor_content")
    data = response.SerializeToString()
    found = codec.decode_predict(data)["y"]
    assert not np.shares_memory(found, np.frombuffer(data, "u1"))
    assert found.flags.writeable
    assert found.flags.owndata
    assert found.flags.aligned


@pytest.fixture
def without_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("read by protobuf's classes")

    monkeypatch.setattr(codec, "to_ndarray", refuse)


@pytest.mark.usefixtures("without_protobuf")
@pytest.mark.parametrize(
    ("dtype", "most"), [("u1", 255), ("i4", 2**14 - 1), ("i8", 127), ("i8", 2**14 - 1), ("?", 1)]
)
def test_small_whole_numbers_are_read_past_protobuf(dtype: str, most: int) -> None:
    sent = np.random.default_rng(1).integers(0, most, 1000, endpoint=True).astype(dtype)
    data = response_of({"y": sent}, as_content=False).SerializeToString()
    for copy in (True, False):
        read = codec.decode_predict(data, copy=copy)["y"]
        assert read.dtype == sent.dtype
        assert read.tolist() == sent.tolist()
        assert read.flags.writeable == copy


@pytest.mark.usefixtures("without_protobuf")
def test_many_tensors_cost_no_more_than_few() -> None:
    tensors = {f"t{number}": np.full((1, 2), number, "f4") for number in range(500)}
    data = response_of(tensors, as_content=False).SerializeToString()
    for _ in range(2):
        before = tensor_bytes.tensor_header.cache_info().misses
        codec.encode_predict("m", tensors)
        assert codec.decode_predict(data)["t499"].tolist() == [[499, 499]]
    assert tensor_bytes.tensor_header.cache_info().misses == before


@pytest.mark.parametrize("as_content", [True, False])
def test_nothing_large_is_allocated_for_a_view_and_one_copy_for_a_copy(as_content: bool) -> None:
    sent = np.zeros((1000, 1000), np.float32)
    data = response_of({"y": sent}, as_content=as_content).SerializeToString()
    for copy, most in ((False, 20_000), (True, sent.nbytes + 20_000)):
        tracemalloc.start()
        codec.decode_predict(data, copy)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most


# What protobuf's own classes have to read: the same bytes mean the same, however they are put.


def tensor(*values: float, shape: tuple[int, ...], **fields: Any) -> bytes:
    """Return a float32 TensorProto with packed values."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto.SerializeToString()


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | tensor_bytes.LEN) + varint(len(content)) + content


def entry(name: bytes, proto: bytes) -> bytes:
    return field(1, field(1, name) + field(2, proto))


SHAPE_OF_2 = b"\x12\x04\x12\x02\x08\x02"
ONE, TWO = np.float32(1).tobytes(), np.float32(2).tobytes()
UNUSUAL = {
    "one value for many": entry(b"y", tensor(5, shape=(3, 2))),
    "no value for many": entry(b"y", tensor(shape=(2,))),
    "packed in two chunks": entry(b"y", b"\x08\x01" + SHAPE_OF_2 + field(5, ONE) + field(5, TWO)),
    "not packed": entry(b"y", b"\x08\x01" + SHAPE_OF_2 + b"\x2d" + ONE + b"\x2d" + TWO),
    "packed and not": entry(b"y", b"\x08\x01" + SHAPE_OF_2 + field(5, ONE) + b"\x2d" + TWO),
    "the payload first": entry(b"y", field(4, ONE + TWO) + b"\x08\x01" + SHAPE_OF_2),
    "dtype twice": entry(b"y", b"\x08\x02" + SHAPE_OF_2 + field(4, ONE + TWO) + b"\x08\x01"),
    "shape twice": entry(b"y", b"\x08\x01" + 2 * SHAPE_OF_2 + field(5, 2 * (ONE + TWO))),
    "content twice": entry(b"y", tensor(shape=(1,)) + field(4, TWO) + field(4, ONE)),
    "content and values": entry(b"y", tensor(3, shape=(1,), tensor_content=ONE)),
    "values of another type": entry(b"y", tensor(3, shape=(2,), double_val=[3])),
    "doubles for floats": entry(b"y", b"\x08\x01" + SHAPE_OF_2 + field(6, 2 * ONE + 2 * TWO)),
    "floats for a double": entry(b"y", b"\x08\x02" + field(5, ONE + TWO)),
    "floats for integers": entry(b"y", b"\x08\x03" + SHAPE_OF_2 + field(5, ONE + TWO)),
    "a version number": entry(b"y", tensor(3, 4, shape=(2,), version_number=1)),
    "unknown field of a tensor": entry(b"y", tensor(3, 4, shape=(2,)) + field(1000, b"new")),
    "unknown group": entry(b"y", tensor(3, shape=(1,)) + b"\xfb\x01\x08\x01\xfc\x01"),
    "unknown field of an entry": field(1, field(1, b"y") + field(2, tensor(shape=())) + b"\x18\1"),
    "unknown field of the answer": entry(b"y", tensor(1, shape=())) + b"\x18\x01",
    "value before key": field(1, field(2, tensor(1, shape=(1,))) + field(1, b"y")),
    "no key": field(1, field(2, tensor(1, shape=(1,)))),
    "key twice": field(1, field(1, b"x") + field(1, b"y") + field(2, tensor(1, shape=()))),
    "value twice": field(
        1, field(1, b"y") + field(2, tensor(1, shape=(1,))) + field(2, tensor(2, shape=(2,)))
    ),
    "a name twice": entry(b"y", tensor(1, shape=())) + entry(b"y", tensor(2, shape=())),
    "model_spec twice": field(2, b"\x12\x02\x08\x07") + field(2, field(1, b"m")),
    "model_spec with a value of the wrong type": b"\x10\x05" + entry(b"y", tensor(1, shape=())),
    "varints longer than they need be": b"\x8a\x00"
    + varint(11)
    + b"\x0a\x81\x00y"
    + b"\x12\x84\x00"
    + b"\x88\x00\x81\x00",
    "bool content of 2 and 0": entry(b"y", b"\x08\x0a" + SHAPE_OF_2 + field(4, b"\2\0")),
    "200 outputs": b"".join(entry(b"%d" % n, tensor(n, shape=())) for n in range(200)),
    "nothing": b"",
}


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("case", UNUSUAL)
def test_unusual_bytes_are_read_as_protobuf_reads_them(case: str, copy: bool) -> None:
    data = UNUSUAL[case]
    expected = read_by_protobuf(data)
    version, decoded = codec.decode_answer(data, copy)
    assert_same(decoded, expected)
    response = predict_pb2.PredictResponse.FromString(data)
    assert version == (response.model_spec.version.value or None)


# What nobody should send.


def verdict(read: Any, data: bytes) -> dict[str, np.ndarray] | None:
    try:
        return read(data)
    except (DecodeError, BadInput, ServiceFailed, ValueError):
        return None


def assert_same_verdict(data: bytes) -> None:
    """Fail, too, when decode_predict raises anything but ServiceFailed."""
    expected = verdict(read_by_protobuf, data)
    for copy in (True, False):
        try:
            found = codec.decode_predict(data, copy)
        except ServiceFailed:
            assert expected is None
        else:
            assert expected is not None
            assert_same(found, expected)


VALID = [
    response_of(
        {"y": np.arange(6.0).reshape(2, 3), "z": np.ones(2, "f4")}, as_content=False
    ).SerializeToString(),
    response_of(
        {"b": np.array([True, False]), "h": np.ones(3, "f2")}, as_content=True
    ).SerializeToString(),
    response_of(
        {"t": np.array([b"a", b"bc"], object), "i": np.arange(3)}, as_content=False
    ).SerializeToString(),
]


@pytest.mark.parametrize("number", range(len(VALID)))
def test_a_truncated_answer_is_refused_as_protobuf_refuses_it(number: int) -> None:
    for end in range(len(VALID[number])):
        assert_same_verdict(VALID[number][:end])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_protobuf_does(data: bytes) -> None:
    assert_same_verdict(data)


@st.composite
def damaged(draw: Any) -> bytes:
    """Take a valid answer and change, repeat or lose some of its bytes."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        lost = draw(st.integers(0, 2))
        data[at : at + lost] = draw(st.binary(max_size=3) | st.just(bytes(data[at : at + 20])))
    return bytes(data)


@examples(500)
@given(damaged())
def test_a_damaged_answer_is_read_or_refused_as_protobuf_does(data: bytes) -> None:
    assert_same_verdict(data)


def dims(*sizes: int) -> bytes:
    shape = b"".join(field(2, b"\x08" + varint(size)) for size in sizes)
    return b"\x08\x01" + field(2, shape)


# Each made the reader, or protobuf's message read on, work or take memory without an end.
HOSTILE = {
    "100,000 huge dimensions": entry(b"y", dims(*[2**62] * 100_000)),
    "65 dimensions": entry(b"y", dims(*[1] * 65) + field(5, ONE)),
    "65 dimensions, content": entry(b"y", dims(*[1] * 65) + field(4, ONE)),
    "a shape that is only claimed": entry(b"y", dims(2**29 - 1)),
    "texts that are only claimed": entry(b"y", b"\x08\x07" + dims(2**27)[2:]),
    "sizes that multiply to 0": entry(b"y", dims(0, 2**62, 2**62) + field(4, ONE)),
    "negative sizes": entry(b"y", dims(2**64 - 1, 2**64 - 2) + field(5, ONE + TWO)),
    "a length of 2 GiB": b"\x0a\xff\xff\xff\xff\x07\x0a\x01y",
    "a length of 34 bits": b"\x0a\xff\xff\xff\xff\x7f\x0a\x01y",
    "a length past the tensor": field(1, field(1, b"y") + b"\x12\x04\x22\x7f" + ONE) + ONE * 99,
    "an endless varint": b"\x0a" + b"\xff" * 1_000_000,
    "a tag without a length": entry(b"y", tensor(1, shape=())) + b"\x0a",
    "no text in a name": entry(b"\xff", tensor(1, shape=())),
    "groups in groups": b"\x1b" * 1_000_000,
}
MANY = {
    "a million empty outputs": b"\x0a\x00" * 1_000_000,
    "a million empty model_specs": b"\x12\x00" * 1_000_000,
    "a million dtypes": entry(b"y", b"\x08\x01" * 1_000_000),
    "a million values, unpacked": entry(b"y", dims(10**6) + (b"\x2d" + ONE) * 1_000_000),
    "a million values, each packed alone": entry(b"y", dims(10**6) + field(5, ONE) * 1_000_000),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_answer_is_refused_at_once_and_without_its_memory(case: str) -> None:
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ServiceFailed):
        codec.decode_predict(HOSTILE[case], copy=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # protobuf's own messages included
    assert time.process_time() - started < 5


@pytest.mark.parametrize("unusual", [b"", b"\x18\x01"])  # a field that nobody knows
def test_repeated_values_of_an_answer_are_limited_together(
    unusual: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "MOST_REPEATED", 3000)

    def answer(count: int) -> bytes:
        claimed = dims(250) + field(5, ONE)  # 1000 bytes of one that came
        return b"".join(entry(b"%d" % number, claimed) for number in range(count)) + unusual

    outputs = codec.decode_predict(answer(3))
    assert all(outputs[str(number)].tolist() == [1.0] * 250 for number in range(3))
    with pytest.raises(ServiceFailed, match="far fewer values"):
        codec.decode_predict(answer(4))


def test_values_that_came_are_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MOST_REPEATED", 1000)
    numbers = np.arange(250, dtype="f4")
    sent = {str(number): numbers for number in range(9)}
    answer = response_of(sent, as_content=True).SerializeToString()
    assert_same(
        codec.decode_predict(answer + entry(b"one", dims(250) + field(5, ONE))),
        {**sent, "one": np.ones(250, "f4")},
    )


@pytest.mark.parametrize("case", MANY)
def test_a_million_fields_are_read_at_once(case: str) -> None:
    started = time.process_time()
    assert_same_verdict(MANY[case])
    assert time.process_time() - started < 15


# In a call.


class Recorder(grpc.GenericRpcHandler):
    """Answers every method with bytes made before, and keeps the bytes that it was sent."""

    def __init__(self) -> None:
        self.address = ""
        self.answer = b""
        self.request = b""

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._handle)

    def _handle(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.request = request
        return self.answer


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a gRPC server that speaks bytes; `address` says where."""
    made = Recorder()
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[made])
    made.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield made
    server.stop(None).wait()


def test_predict_sends_protobufs_bytes_and_reads_them(recorder: Recorder) -> None:
    sent, answered = np.arange(6, dtype="f4").reshape(2, 3), np.ones((2, 1), "f4")
    recorder.answer = response_of({"y": answered}, as_content=False).SerializeToString()
    here = Endpoint("tfserving", grpc=recorder.address, model="m", version=3)
    found = tfserving.predict(here, {"x": sent}, signature_name="s", check=False)
    expected = request_of({"x": sent}, signature_name="s", version={"value": 3})
    assert recorder.request == expected.SerializeToString()
    assert_same(found, {"y": answered})
    assert found["y"].flags.writeable


@pytest.mark.parametrize("answer", [VALID[0][:-1], entry(b"y", dims(3) + field(4, ONE))])
def test_an_answer_that_cannot_be_read_says_whose(recorder: Recorder, answer: bytes) -> None:
    recorder.answer = answer
    here = Endpoint("tfserving", grpc=recorder.address, model="m")
    with pytest.raises(ServiceFailed, match="answer cannot be read") as caught:
        tfserving.predict(here, {"x": np.ones(2)}, check=False)
    error = caught.value
    found = error.service, error.endpoint, error.code
    assert found == ("TensorFlow Serving", recorder.address, "INTERNAL")
    assert explain(error).means.startswith("The bytes that came are no answer of this kind")
