"""Answers and errors of the REST port as JSON, with NaN and Infinity as the product writes them."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from google.protobuf import json_format
from numpy.typing import NDArray

from helpers.serving_api import get_model_metadata_pb2
from helpers.tensors import to_data_type
from practice.tfserving.failures import invalid
from practice.tfserving.inference import Classes, type_name

_PIECE = 1024 * 1024  # bytes of an array that are written at once
_NAMES = "float32 float64 bool int8 int16 int32 int64 uint8 uint16 uint32 uint64"
_WRITTEN = set(map(np.dtype, _NAMES.split()))


def predictions(outputs: Mapping[str, NDArray]) -> bytes:
    """Write the answer to `instances`: an element for each row, of all outputs.

    Raises
    ------
    Failure
        For outputs that are not of one batch, or of a type that JSON does not carry.
    """
    names = sorted(outputs)
    _check_batch(outputs)
    if len(names) == 1:
        return _answer("predictions", _pieces(names[0], outputs[names[0]]))
    rows = zip(*(_rows(name, outputs[name]) for name in names), strict=True)
    return _answer("predictions", [_text([dict(zip(names, row, strict=True)) for row in rows])])


def columns(outputs: Mapping[str, NDArray]) -> bytes:
    """Write the answer to `inputs`: each output as it is.

    Raises
    ------
    Failure
        For an output of a type that JSON does not carry.
    """
    _check(outputs)
    names = sorted(outputs)
    if len(names) == 1:
        return _answer("outputs", _pieces(names[0], outputs[names[0]]))
    pieces: list[bytes] = []
    for name in names:
        pieces += b"," if pieces else b"{", orjson.dumps(name), b":", *_pieces(name, outputs[name])
    return _answer("outputs", [*pieces, b"}"])


def classifications(results: Classes) -> bytes:
    """Write the answer to classify: for each example its pairs of a label and a score."""
    flat = [entry.score for row in results for entry in row]
    scores = iter(_shortest(np.array(flat, np.float32)))
    rows = [[[entry.label, next(scores)] for entry in row] for row in results]
    return _answer("results", [_text(_fragment(rows, _decoded))])


def regressions(values: Sequence[float]) -> bytes:
    """Write the answer to regress: for each example its value."""
    return _answer("results", _pieces("", np.array(values, np.float32)))


def status(response: Any) -> bytes:
    """Write a GetModelStatusResponse."""
    return _printed(_fields(response))


def metadata(response: Any) -> bytes:
    """Write a GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    document = {
        "model_spec": _fields(response.model_spec),
        "metadata": {"signature_def": _fields(signatures)},
    }
    return _printed(document, sort_keys=True)  # a map has no order of its own


def error(text: str) -> bytes:
    """Write an error."""
    document = json.dumps({"error": text}, indent=4, ensure_ascii=False)
    return document.encode(errors="surrogateescape")


def _answer(key: str, pieces: Iterable[bytes]) -> bytes:
    return b"".join([b'{\n    "%b": ' % key.encode(), *pieces, b"\n}"])


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _pieces(name: str, array: NDArray) -> Iterator[bytes]:
    """Write an array, a large one by so many rows that their text takes little memory."""
    if array.nbytes <= _PIECE or array.dtype.kind == "O":
        yield _text(_value(name, array))
        return
    rows = _PIECE * len(array) // array.nbytes
    separator = b"["
    for start in range(0, len(array), max(rows, 1)):
        yield separator
        if rows:
            yield _text(_value(name, array[start : start + rows]))[1:-1]
        else:
            yield from _pieces(name, array[start])
        separator = b","
    yield b"]"


def _check(outputs: Mapping[str, NDArray]) -> None:
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")


def _check_batch(outputs: Mapping[str, NDArray]) -> None:
    _check(outputs)
    size = None
    for name in sorted(outputs):
        array = outputs[name]
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (None, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)


def _rows(name: str, array: NDArray) -> list[Any]:
    whole = _value(name, array)
    if isinstance(whole, np.ndarray):
        return list(whole)
    return [_value(name, array[i, ...]) for i in range(len(array))]


def _value(name: str, array: NDArray) -> Any:
    """Return what orjson writes as this array."""
    if array.dtype.kind == "O":
        return _fragment(array.tolist(), _base64 if name.endswith("_bytes") else _decoded)
    if not array.size:
        return _fragment(array.tolist())
    if array.dtype not in _WRITTEN:
        name = type_name(to_data_type(array.dtype))
        raise invalid(f"Failed to write JSON value for tensor type: {name}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return _fragment(_shortest(array))  # orjson would write null
    return np.ascontiguousarray(array) if array.ndim else array[()]


def _fragment(value: Any, default: Callable[[bytes], Any] | None = None) -> orjson.Fragment:
    """Write what orjson does not: NaN and Infinity, and bytes that are no UTF-8, as they are."""
    text = json.dumps(value, default=default, ensure_ascii=False)
    return orjson.Fragment(text.encode(errors="surrogateescape"))


def _shortest(array: NDArray) -> Any:
    """Return floats whose text is as short as float32 can be read back from."""
    return array.astype(str).astype(np.float64).tolist()


def _decoded(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": b64encode(value).decode()}


def _printed(document: dict[str, Any], *, sort_keys: bool = False) -> bytes:
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=sort_keys)
    return f"{text}\n".encode()


def _fields(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
