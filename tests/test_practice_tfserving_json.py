"""JSON in and out of the practice TensorFlow Serving: the product's rules, for any values."""

import json
import math
import re
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers.serving_api import example_pb2, types_pb2
from helpers.tensors import to_data_type
from practice.tfserving import (
    json_document,
    json_examples,
    json_input,
    json_numbers,
    json_output,
)
from practice.tfserving.failures import Failure
from practice.tfserving.inference import Class
from practice.tfserving.json_numbers import Numbers

FLOAT, INT, TEXT, BOOL = (
    types_pb2.DT_FLOAT, types_pb2.DT_INT32, types_pb2.DT_STRING, types_pb2.DT_BOOL,
)  # fmt: skip
DTYPES = (
    "float32", "float64", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "bool",
    "object",
)  # fmt: skip
SMALL = settings(deadline=None, max_examples=150)
FEW = settings(deadline=None, max_examples=30)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def read(body: str | bytes) -> Any:
    """Read a body; lists of numbers become plain lists."""
    body = body.encode() if isinstance(body, str) else body
    return json_numbers.plain(json_document.parse(body))


def refusal(body: str | bytes) -> str:
    """Return the text with which a body is refused."""
    with pytest.raises(Failure) as error:
        read(body)
    assert error.value.code == "INVALID_ARGUMENT"
    return error.value.text


def tensors(body: str, **data_types: int) -> json_input.Inputs:
    """Read a predict request for a signature with these inputs."""
    return json_input.predict_inputs(json_document.parse(body.encode()), data_types)


def fault(body: str, **data_types: int) -> str:
    """Return how a predict request is refused: its code and text."""
    with pytest.raises(Failure) as error:
        tensors(body, **data_types)
    return str(error.value)


def example(body: str) -> list[Any]:
    """Read the examples of a classify request."""
    serialized = json_examples.examples(json_document.parse(body.encode()))
    return [example_pb2.Example.FromString(each) for each in serialized]


def same(one: Any, other: Any) -> bool:
    """Compare JSON values; a NaN equals itself, and 1 is not 1.0."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("[NaN, Infinity, -Infinity, Inf, -Inf]", [math.nan, math.inf, -math.inf, math.inf, -math.inf]),
        ('{"a": 1, "a": 2}', {"a": 1}),
        ('{"b": 1, "a": 2, "b": 3}', {"b": 1, "a": 2}),
        ("[1, 2.5] and more", [1, 2.5]),
        ("[1] [2]", [1]),
        ("[1]\0", [1]),
        ('"Caf\\u00e9 \\ud83d\\ude00 :"', "Café 😀 :"),
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[18446744073709551615]", [18446744073709551615]),
    ],
)  # fmt: skip
def test_what_the_parser_of_the_product_takes_is_taken(body: str, value: Any) -> None:
    assert same(read(f'{{"k": {body}').get("k") if body[0] == "?" else read_value(body), value)


def read_value(body: str) -> Any:
    """Read a value that stands in an object, as all of them do."""
    if body.startswith("{"):
        return read(body)
    inner = re.match(r'(\[.*?\]\]?|".*")', body)
    assert inner is not None
    text = inner[0]
    return read(f'{{"k": {text}}}{body[len(text):]}')["k"]
