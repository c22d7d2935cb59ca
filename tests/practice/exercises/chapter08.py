"""Answers to the exercises of chapter 08."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np

from helpers.serving_api import predict_pb2
from helpers.tfserving.codec import encode_predict

SERVICES = ("tfserving",)
FLOWERS = [[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]]


def value_by_value(rows: int = 2) -> bytes:
    """Another encoding of the same request: numbers in float_val, entries in another order."""
    request = predict_pb2.PredictRequest()
    request.inputs["features"].dtype = 1
    for size in (rows, 4):
        request.inputs["features"].tensor_shape.dim.add(size=size)
    request.inputs["features"].float_val.extend(np.ravel(FLOWERS[:rows]))
    request.model_spec.name = "iris"
    return request.SerializeToString()


def in_rows_of_eight(method: Any, contents: list[bytes]) -> list[bytes]:
    answers = []
    for start in range(0, len(contents), 8):
        calls = [method.future(content) for content in contents[start : start + 8]]
        answers += [call.result() for call in calls]
    return answers


def all_at_once(method: Any, contents: list[bytes]) -> list[bytes]:
    return [call.result() for call in [method.future(content) for content in contents]]


def as_they_come(method: Any, contents: list[bytes]) -> list[bytes]:
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(method, content) for content in contents]
        return [call.result() for call in as_completed(calls)]


def in_a_pool(method: Any, contents: list[bytes]) -> list[bytes]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(method, contents))


def generated(data: bytes) -> Iterator[list[Any]]:
    rest = memoryview(data)

    def number() -> int:
        nonlocal rest
        value, place = 0, 1
        while True:
            byte, rest = rest[0], rest[1:]
            value += (byte % 128) * place
            place *= 128
            if byte < 128:
                return value

    while rest:
        field, kind = divmod(number(), 8)
        value: Any = number()
        if kind == 2:
            value, rest = rest[:value], rest[value:]
        yield [field, kind, value]


def one_byte_numbers(data: bytes) -> list[Any]:
    rows: list[Any] = []
    while data:
        tag, number, data = data[0], data[1], data[2:]
        if tag & 7 == 2:
            rows.append((tag >> 3, 2, data[:number]))
            data = data[number:]
        else:
            rows.append((tag >> 3, 0, number))
    return rows


RIGHT = {
    1: lambda: [10, "LEN"],
    2: lambda: np.int64(59),
    3: value_by_value,
    4: lambda: in_rows_of_eight,
    5: lambda: generated,
}
WRONG = {
    1: [lambda: (2, 10), lambda: (5, 2), lambda: (10, 0), lambda: 0x52],
    2: [lambda: 36_923, lambda: 36_864, lambda: 0, lambda: "few"],
    3: [
        lambda: encode_predict("iris", {"features": np.array(FLOWERS[:1], np.float32)}),
        lambda: encode_predict("iris", {"features": np.array(FLOWERS[::-1], np.float32)}),
        lambda: encode_predict("iris", {"features": np.array(FLOWERS)}),
        lambda: value_by_value()[:-1],
        lambda: value_by_value().hex(),
    ],
    4: [
        lambda: all_at_once,
        lambda: as_they_come,
        lambda: in_a_pool,
        lambda: lambda method, contents: [method(content) for content in contents],
        lambda: lambda method, contents: in_rows_of_eight(method, contents[:-1]),
    ],
    5: [
        lambda: one_byte_numbers,
        lambda: lambda data: [],
        lambda: lambda data: list(generated(data))[:1],
        lambda: lambda data: data,
    ],
}
