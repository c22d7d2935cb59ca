"""Status and metadata as the product's REST door writes them: messages in protobuf's JSON form."""

import json
from typing import Any

from google.protobuf import json_format

from helpers.serving_api import get_model_metadata_pb2


def status(response: Any) -> bytes:
    """Write a GetModelStatusResponse."""
    return _printed(response).encode()


def metadata(response: Any) -> bytes:
    """Write a GetModelMetadataResponse."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    # The product puts the two together by hand, which shows in the line breaks.
    text = (
        f'{{\n"model_spec":{_printed(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_printed(signatures)}}}\n}}\n'
    )
    return text.encode()


def _printed(message: Any) -> str:
    """Print as protobuf's C++ library does: defaults too, with an indent of one space."""
    values = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    text = json.dumps(_ordered(values, message.DESCRIPTOR), indent=1, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e") + "\n"


def _ordered(values: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    """Order fields by number, those of a oneof last; maps by key."""
    fields = sorted(descriptor.fields, key=lambda each: (bool(each.containing_oneof), each.number))
    return {each.name: _value(values[each.name], each) for each in fields if each.name in values}


def _value(value: Any, field: Any) -> Any:
    kind = field.message_type
    if kind is None:
        return value
    if kind.GetOptions().map_entry:
        return {key: _value(value[key], kind.fields_by_name["value"]) for key in sorted(value)}
    if isinstance(value, list):
        return [_ordered(each, kind) for each in value]
    return _ordered(value, kind) if isinstance(value, dict) else value
