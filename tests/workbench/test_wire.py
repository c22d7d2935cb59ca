"""What is shown of a message and of a request: every byte, in its field, and no secret."""

import itertools
import json
import re
import socket
import threading
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import requests
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    struct_pb2,
    timestamp_pb2,
)
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import BadInput
from helpers.serving_api import meta_graph_pb2, predict_pb2, tensor_pb2
from helpers.tensors import to_tensor_proto
from tests.fuzzing import examples
from workbench import wire
from workbench.wire import show

SECRET = "s3cr3tk1w1"
LABELS = {"optional": 1, "repeated": 3}
Field = descriptor_pb2.FieldDescriptorProto


def make_class(kind: str, label: str, packed: bool, number: int = 1) -> Any:
    """Return the class of a message with one field `f`, of any type that protobuf has."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"tests/{kind}-{label}-{packed}.proto",
        package=f"tests.{kind}_{label}_{packed}",
        syntax="proto2",
    )
    message = file.message_type.add(name="One")
    field = message.field.add(
        name="f", number=number, type=getattr(Field, f"TYPE_{kind.upper()}"), label=LABELS[label]
    )
    if packed:
        field.options.packed = True
    if kind == "enum":
        colour = message.enum_type.add(name="Colour")
        colour.value.add(name="RED", number=0)
        colour.value.add(name="BLUE", number=5)
        field.type_name = "Colour"
    if kind == "group":
        message.nested_type.add(name="F").field.add(
            name="inner", number=2, type=Field.TYPE_INT32, label=1
        )
        field.type_name = "F"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.One"))


def a_struct(content: dict[str, Any]) -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update(content)
    return message


def of_a_graph() -> Message:
    """Return something large that nests deeply: TensorFlow's own description of its messages."""
    described = descriptor_pb2.FileDescriptorProto()
    meta_graph_pb2.DESCRIPTOR.CopyToProto(described)
    return described


def in_an_any() -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(timestamp_pb2.Timestamp(seconds=-1))
    return packed


MESSAGES: dict[str, Message] = {
    "request": predict_pb2.PredictRequest.FromString(
        wire.encode_predict("m", {"x": np.ones((2, 3), "f4"), "t": [b"a", b"\xff"]}, version=300)
    ),
    "response": predict_pb2.PredictResponse(
        outputs={"y": tensor_pb2.TensorProto(dtype=2, double_val=[1.5] * 10, half_val=[1, 300])}
    ),
    "struct": a_struct({"a": 1.0, "b": [], "c": None}),
    "any": in_an_any(),
    "description": of_a_graph(),
    "empty": predict_pb2.PredictRequest(),
}


def assert_complete(message: Message) -> None:
    """Fail unless the rows, one after the other, are the message's bytes."""
    view = show(message)
    ends = [0, *(row.end for row in view.rows)]
    assert [row.begin for row in view.rows] == ends[:-1]
    assert ends[-1] == len(view.data)
    assert type(message).FromString(view.data) == message


@pytest.mark.parametrize("name", MESSAGES)
def test_the_rows_leave_no_byte_out(name: str) -> None:
    assert_complete(MESSAGES[name])


values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@examples(50)
@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_no_message_loses_a_byte(content: dict[str, Any]) -> None:
    assert_complete(a_struct(content))


SHOWN = """\
tensorflow.serving.PredictRequest, 38 bytes
at    field               number  type    length  value             bytes: tag and length | content
0000  model_spec          1       LEN     7       ModelSpec         0a 07
0002    name              1       LEN     1       'm'               0a 01 | 6d
0005    version           2       LEN     2       Int64Value        12 02
0007      value           1       VARINT          3                 08 | 03
0009  inputs              2       LEN     27      InputsEntry       12 1b
000b    key               1       LEN     1       'x'               0a 01 | 78
000e    value             2       LEN     22      TensorProto       12 16
0010      dtype           1       VARINT          DT_FLOAT (1)      08 | 01
0012      tensor_shape    2       LEN     8       TensorShapeProto  12 08
0014        dim           2       LEN     2       Dim               12 02
0016          size        1       VARINT          1                 08 | 01
0018        dim           2       LEN     2       Dim               12 02
001a          size        1       VARINT          2                 08 | 02
001c      tensor_content  4       LEN     8       5.1, 3.5          22 08 | 33 33 a3 40 00 00 60 40
"""


def test_a_request_is_shown_field_by_field() -> None:
    array = np.array([[5.1, 3.5]], "f4")
    data = wire.encode_predict("m", {"x": array}, version=3)
    assert repr(show(predict_pb2.PredictRequest.FromString(data))) == SHOWN.rstrip()


@pytest.mark.parametrize(
    ("kind", "value", "wire_type", "shown"),
    [
        ("double", -1.5, "I64", "-1.5"),
        ("float", 0.25, "I32", "0.25"),
        ("int64", -2, "VARINT", "-2"),
        ("int32", -(2**31), "VARINT", "-2147483648"),
        ("uint64", 2**64 - 1, "VARINT", "18446744073709551615"),
        ("uint32", 0, "VARINT", "0"),
        ("sint32", -3, "VARINT", "-3"),
        ("sint64", 2**40, "VARINT", "1099511627776"),
        ("fixed64", 7, "I64", "7"),
        ("fixed32", 7, "I32", "7"),
        ("sfixed32", -7, "I32", "-7"),
        ("sfixed64", -7, "I64", "-7"),
        ("bool", True, "VARINT", "True"),
        ("enum", 5, "VARINT", "BLUE (5)"),
        ("string", "grüße", "LEN", "'grüße'"),
        ("bytes", b"\0\xff", "LEN", r"b'\x00\xff'"),
    ],
)
def test_every_type_has_its_value(kind: str, value: Any, wire_type: str, shown: str) -> None:
    (row,) = show(make_class(kind, "optional", False)(f=value)).rows
    assert (row.name, row.type, row.value) == ("f", wire_type, shown)
    rows = show(make_class(kind, "repeated", False)(f=[value, value])).rows
    assert [(row.type, row.value) for row in rows] == [(wire_type, shown)] * 2


@pytest.mark.parametrize(
    ("kind", "values", "shown"),
    [
        ("sint32", [-1, 2], "-1, 2"),
        ("double", [0.5], "0.5"),
        ("bool", [True], "True"),
        ("fixed64", list(range(9)), "0, 1, 2, 3, ... (9 in all)"),
        ("enum", [5, 0], "5, 0"),
    ],
)
def test_packed_values_are_listed(kind: str, values: list, shown: str) -> None:
    (row,) = show(make_class(kind, "repeated", True)(f=values)).rows
    assert (row.type, row.value) == ("LEN", shown)


def test_a_group_has_an_end() -> None:
    rows = show(make_class("group", "optional", False)(f={"inner": 5})).rows
    shown = [(row.depth, row.name, row.type, row.value) for row in rows]
    assert shown == [
        (0, "f", "SGROUP", "F"),
        (1, "inner", "VARINT", "5"),
        (1, "end of group", "EGROUP", ""),
    ]


def test_unknown_fields_are_shown_by_their_wire_type() -> None:
    data = b"".join(
        (
            b"\x50\xac\x02",
            b"\x59" + b"12345678",
            b"\x62\x02hi",
            b"\x6d" + b"1234",
            b"\x73\x08\x01\x7b\x18\x07\x7c\x74",
        )
    )
    rows = show(predict_pb2.PredictRequest.FromString(data)).rows
    assert [(row.depth, row.number, row.type, row.value) for row in rows] == [
        (0, "10", "VARINT", "300"),
        (0, "11", "I64", "b'12345678'"),
        (0, "12", "LEN", "b'hi'"),
        (0, "13", "I32", "b'1234'"),
        (0, "14", "SGROUP", ""),
        (1, "1", "VARINT", "1"),
        (1, "15", "SGROUP", ""),
        (2, "3", "VARINT", "7"),
        (2, "15", "EGROUP", ""),
        (1, "14", "EGROUP", ""),
    ]


def test_a_known_number_of_another_wire_type_is_no_known_field() -> None:
    (row,) = show(predict_pb2.PredictRequest.FromString(b"\x08\x05")).rows
    assert (row.type, row.value) == ("VARINT", "5")


def test_an_any_is_opened() -> None:
    assert [(row.name, row.value) for row in show(in_an_any()).rows] == [
        ("type_url", "'type.googleapis.com/google.protobuf.Time' ..."),
        ("value", "Timestamp"),
        ("seconds", "-1"),
    ]


def test_an_any_of_a_type_that_nobody_knows_stays_closed() -> None:
    rows = show(any_pb2.Any(type_url="a/no.Such", value=b"\x08\x01")).rows
    assert [row.value for row in rows] == ["'a/no.Such'", r"b'\x08\x01'"]


def test_a_map_shows_the_same_however_it_was_filled() -> None:
    names = ["b", "a", "c"]
    views = {
        repr(show(a_struct(dict.fromkeys(order, True)))) for order in itertools.permutations(names)
    }
    assert len(views) == 1


# Folded.


def test_a_long_payload_is_folded() -> None:
    image = np.zeros((1, 224, 224, 3), np.float32)
    image[0, 0, 0] = image[0, -1, -1] = 1
    view = show(to_tensor_proto(image))
    assert "1, 1, 1, 0, ... (150,528 in all)" in repr(view)
    assert re.search(r"\| 00 00 80 3f .* \.\.\. 602,088 bytes \.\.\. 00 00 80 3f 00", repr(view))
    assert len(repr(view)) < 3_000
    assert len(view._repr_html_()) < 10_000


def test_many_fields_of_one_number_are_folded() -> None:
    view = show(to_tensor_proto([f"{number:05}" for number in range(10_000)]))
    shown = [row.value for row in view.rows if row.name == "string_val"]
    assert shown == ["b'00000'", "b'00001'", "b'00002'", "b'09999'"]
    assert [row.name for row in view.rows if "more" in row.name] == ["... 9,996 more string_val"]


def test_a_wide_message_ends_somewhere() -> None:
    message = struct_pb2.ListValue()
    nested: Any = [[[[[1.0] * 5] * 5] * 5] * 5] * 5
    message.extend(nested)
    view = show(message)
    assert len(view.rows) < 310
    assert (view.rows[-1].name, view.rows[-1].instead) == ("...", "...")
    assert_complete(message)


def test_a_deep_message_ends_somewhere() -> None:
    message = inner = struct_pb2.ListValue()
    for _ in range(45):  # protobuf itself stops at 100
        inner = inner.values.add().list_value
    assert max(row.depth for row in show(message).rows) == 30
    assert_complete(message)


# An HTTP request.


def prepared(**content: Any) -> requests.PreparedRequest:
    url = content.pop("url", "http://127.0.0.1:8501/v1/models/iris:predict")
    return requests.Session().prepare_request(requests.Request("POST", url, **content))


def test_a_request_is_shown_as_it_is_sent() -> None:
    received = b""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            nonlocal received
            connection, _ = server.accept()
            with connection:
                while not received.endswith(b"}"):
                    received += connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{server.getsockname()[1]}/v1/models/iris:predict"
            response = session.post(url, json={"inputs": [[1.5, 2]]}, timeout=10)
        thread.join()
    view = show(response)
    assert view.data == received
    assert b"".join(view.data[row.begin : row.end] for row in view.rows) == received
    assert [row.name for row in view.rows][:2] == ["request line", "Host"]
    assert [row.name for row in view.rows][-2:] == ["end of headers", "body"]


def test_a_long_body_is_folded() -> None:
    view = show(prepared(json={"instances": [0.5] * 100_000}))
    assert len(view._repr_html_()) < 10_000
    assert "... 499,991 bytes ..." in repr(view)


def test_a_stream_is_left_alone() -> None:
    pieces = iter([b"a", b"b"])
    assert show(prepared(data=pieces)).rows[-1].value == "a stream"
    assert list(pieces) == [b"a", b"b"]


# Secrets.


HEADERS = [
    {"Authorization": f"Basic {SECRET}"},
    {"Authorization": f"Bearer {SECRET}"},
    {"Authorization": SECRET},
    {"X-Auth-Token": f"ab;{SECRET}"},
    {"Cookie": f"a=b; c={SECRET}"},
    {"Proxy-Authorization": f"Basic {SECRET}"},
    {"X-Apig-AppCode": SECRET},
    {"apikey": SECRET},
    {"X-Api-Key": SECRET},
    {"X-Note": f"password={SECRET}"},
    {"Authorization": f"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature={SECRET}"},
]
BODIES: list[dict[str, Any]] = [
    {"json": {"password": f"my {SECRET}, yes"}},
    {
        "json": {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {"name": "ada", "password": SECRET, "domain": {"name": "d"}}
                    },
                }
            }
        }
    },
    {
        "json": {
            "auth": {"identity": {"hw_ak_sk": {"access": {"key": "AK"}, "secret": {"key": SECRET}}}}
        }
    },
    {"json": {"auth": {"identity": {"methods": ["token"], "token": {"id": SECRET}}}}},
    {"json": [{"accessToken": [SECRET]}]},
    {"data": {"user": "ada", "password": f"my {SECRET}&"}},
    {"data": "x" * 5000 + f" password={SECRET}"},
    {"files": {"password": (None, SECRET), "image": b"PNG"}},
    {"url": f"http://ada:{SECRET}@127.0.0.1:1/x"},
    {"url": f"http://127.0.0.1:1/x?token={SECRET}&a=1"},
]
IN_MESSAGES: list[Message] = [
    a_struct({"password": f"password={SECRET}"}),
    any_pb2.Any(type_url="a/b", value=f"x-auth-token: {SECRET}".encode()),
    predict_pb2.PredictRequest(model_spec={"name": f"http://ada:{SECRET}@host/"}),
    predict_pb2.PredictRequest.FromString(b"\x62\x13password=" + SECRET.encode()),
    to_tensor_proto(["gAAAA" + SECRET * 9]),
]


def assert_no_secret(shown: Any) -> None:
    view = show(shown)
    assert "*** stands for a secret" in repr(view)
    for text in (repr(view), view._repr_html_()):
        assert SECRET not in text
        for part in (SECRET[:4], SECRET[-4:]):
            assert part.encode().hex(" ") not in text


@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_no_secret_of_a_header_is_shown(headers: dict[str, str]) -> None:
    assert_no_secret(prepared(headers=headers))


@pytest.mark.parametrize("content", BODIES, ids=lambda content: str(content)[:50])
def test_no_secret_of_a_body_or_an_address_is_shown(content: dict[str, Any]) -> None:
    assert_no_secret(prepared(**content))


@pytest.mark.parametrize("number", range(len(IN_MESSAGES)))
def test_no_secret_of_a_message_is_shown(number: int) -> None:
    assert_no_secret(IN_MESSAGES[number])


def test_a_secret_field_and_a_secret_of_a_map_are_not_shown() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="tests/secret.proto", syntax="proto3")
    message = file.message_type.add(name="Login")
    message.field.add(name="password", number=1, type=Field.TYPE_BYTES, label=1)
    entry = message.nested_type.add(name="MoreEntry", options={"map_entry": True})
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=Field.TYPE_STRING, label=1)
    message.field.add(
        name="more", number=2, type=Field.TYPE_MESSAGE, label=3, type_name="Login.MoreEntry"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    login = message_factory.GetMessageClass(pool.FindMessageTypeByName("Login"))
    assert_no_secret(login(password=SECRET.encode()))
    assert_no_secret(login(more={"user": "ada", "x-auth-token": SECRET}))


def test_what_only_sounds_like_a_secret_is_shown() -> None:
    body = {"signature_name": "serving_default", "inputs": {"tokens": [[101, 2023]]}}
    view = show(prepared(json=body))
    assert json.loads(view.data[view.rows[-1].begin :]) == body
    assert "***" not in repr(view)


# In a notebook.


class Reader(HTMLParser):
    """Collects the cells of a table, and fails when a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def test_the_table_says_what_the_text_says() -> None:
    view = show(predict_pb2.PredictRequest(model_spec={"name": "<script>&'"}))
    reader = Reader()
    reader.feed(view._repr_html_())
    assert not reader.open
    assert "<script>" not in view._repr_html_()
    assert view.title in reader.cells[0]
    assert reader.cells[8:] == [
        "0000",
        "model_spec",
        "1",
        "LEN",
        "12",
        "ModelSpec",
        "0a 0c ",
        "0002",
        "name",
        "1",
        "LEN",
        "10",
        repr("<script>&'"),
        "0a 0a 3c 73 63 72 69 70 74 3e 26 27",
    ]


def luminance(colour: str) -> float:
    """Return it as WCAG defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("colour", wire._COLOURS)
def test_black_is_easy_to_read_on_each_colour(colour: str) -> None:
    assert (luminance(colour) + 0.05) / 0.05 > 7  # WCAG's AAA


@pytest.mark.parametrize("value", [b"bytes", {"a": 1}, None, "http://127.0.0.1"])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(BadInput, match=f"not {type(value).__name__}"):
        show(value)
