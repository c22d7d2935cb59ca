"""A classify or regress request's JSON made into tf.Examples; see json_tensor.cc."""

from typing import Any

from helpers.serving_api import example_pb2
from practice.tfserving import json_numbers
from practice.tfserving.failures import Failure
from practice.tfserving.json_document import dump, type_name
from practice.tfserving.json_values import decode_base64, is_base64

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def examples(document: dict[str, Any]) -> list[bytes]:
    """Read the examples of a request, each serialized and after its context.

    Parameters
    ----------
    document : dict
        As `json_document.parse` gives it.

    Raises
    ------
    Failure
        As the product words it.
    """
    document = json_numbers.plain(document)
    context = _serialized(document["context"]) if "context" in document else b""
    found = document.get("examples")
    if "examples" not in document:
        what = "When method is classify, key 'examples' is expected and was not found"
    elif type(found) is not list:
        what = "Expecting 'examples' value to be an list/array"
    elif not found:
        what = "'examples' value is an empty array"
    else:
        return [context + _serialized(each) for each in found]
    raise _invalid(f"JSON Value: {dump(document)} {what}")


def _serialized(fields: Any) -> bytes:
    if type(fields) is not dict:
        raise _invalid(f"Example must be JSON object but got JSON {type_name(fields)}")
    example = example_pb2.Example()
    for name, content in fields.items():
        feature = example.features.feature[name]
        for value in content if type(content) is list else [content]:
            _add(value, name, feature)
    return example.SerializeToString()


def _add(value: Any, name: str, feature: Any) -> None:
    kind = _kind(value, name)
    before = feature.WhichOneof("kind")
    if before not in (None, kind):
        raise _invalid(
            f"Unexpected element type in feature: {name} expecting type: {_KINDS[before]}"
        )
    if kind == "int64_list" and value >= 2**63:
        raise _invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    if kind == "bytes_list":
        value = value.encode() if type(value) is str else decode_base64(value)
    getattr(feature, kind).value.append(int(value) if kind == "int64_list" else value)


def _kind(value: Any, name: str) -> str:
    if type(value) in (bool, int):
        return "int64_list"
    if type(value) is float:
        return "float_list"
    if type(value) is str or is_base64(value):
        return "bytes_list"
    raise _invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _invalid(text: str) -> Failure:
    return Failure("INVALID_ARGUMENT", text)
