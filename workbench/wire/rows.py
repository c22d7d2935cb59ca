"""A message or an HTTP request taken apart: one row for each field, without secrets."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import numpy as np
from google.protobuf import message_factory

from helpers.errors import BadInput
from helpers.errors.explanations import cut
from helpers.tensors import to_dtype

_TYPES = ("VARINT", "I64", "LEN", "SGROUP", "EGROUP", "I32")  # protobuf's own names
_VARINT, _I64, _LEN, _GROUP, _END_OF_GROUP, _I32 = range(6)
# How a field type is written, if not as VARINT; the numbers are those of descriptor.proto.
_WRITTEN = {
    1: _I64,
    2: _I32,
    6: _I64,
    7: _I32,
    9: _LEN,
    10: _GROUP,
    11: _LEN,
    12: _LEN,
    15: _I32,
    16: _I64,
}
_TEXTS = (9, 12)  # string and bytes
MASK = "**"  # in place of a secret's bytes
_LONGEST_RUN = 6  # fields of one number, one after the other; a longer run is folded
_DEEPEST = 30  # levels; what is deeper is shown as bytes
_SECRET = re.compile(
    r"(?i)passw|secret|credential|cookie|authorization"
    r"|(^|[-_])(pass|pwd|sk)$|(token|appcode|signature|api[-_]?key)$"
)
_PART = re.compile(rb'(name="([^"]*)"[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)(.*?)(?=\r\n--)', re.DOTALL)


class Row(NamedTuple):
    """One field: its tag and length are at `begin`, its content at `content`, up to `end`.

    What has fields of its own has rows for them, and its own row ends at `content`.
    """

    depth: int
    name: str
    number: str
    type: str
    length: str
    value: str
    begin: int
    content: int
    end: int
    instead: str = ""  # of a content that is not shown


def of_message(
    data: bytes, descriptor: Any, at: int = 0, end: int | None = None, depth: int = 0
) -> Iterator[Row]:
    """Yield the rows of a serialized message; of many fields with one number only some."""
    place = at, len(data) if end is None else end
    for number, group in itertools.groupby(_scan(data, *place), lambda field: field.number):
        known = descriptor.fields_by_number.get(number) if descriptor else None
        run = list(group)
        folded = run[3:-1] if len(run) > _LONGEST_RUN else []
        for field in run[:3] if folded else run:
            yield from _of_field(data, descriptor, known, field, place, depth)
        if folded:
            name = f"... {len(folded):,} more {known.name if known else 'unknown'}"
            yield rest(name, folded[0].begin, folded[-1].end, depth)
            yield from _of_field(data, descriptor, known, run[-1], place, depth)


def rest(name: str, begin: int, end: int, depth: int = 0) -> Row:
    """Return a row for bytes that are not shown."""
    return Row(depth, name, "", "", "", f"{end - begin:,} bytes", begin, begin, end, "...")


def of_request(request: Any) -> tuple[bytes, list[Row]]:
    """Return a request as HTTP/1.1 sends it, but with *** for each secret, and its rows."""
    host = request.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    lines = [("request line", "", f"{request.method} {cut(request.path_url)} HTTP/1.1")]
    for name, value in {"Host": host, **request.headers}.items():
        lines.append((name, f"{name}: ", _header(name, value)))
    data, rows = b"", []
    for name, before, text in [*lines, ("end of headers", "", "")]:
        start, content = len(data), before.encode()
        data += content + text.encode() + b"\r\n"
        length = f"{len(text.encode()):,}"
        where = start, start + len(content), len(data)
        rows.append(Row(0, name, "", "", length, _short(text), *where))
    sent = request.body or b""
    if not isinstance(sent, str | bytes):
        stream = rest("body", len(data), len(data))
        return data, [*rows, stream._replace(value="a stream")]
    body = _without_secrets(sent.encode() if isinstance(sent, str) else sent)
    if body:
        value, instead = _text("body", body)
        where = len(data), len(data), len(data) + len(body)
        rows.append(Row(0, "body", "", "", f"{len(body):,}", value, *where, instead))
    return data + body, rows


class _Field(NamedTuple):
    number: int
    type: int
    begin: int
    content: int
    end: int


def _scan(data: bytes, at: int, end: int) -> Iterator[_Field]:
    """Yield the fields of a message that protobuf has written; a group is one of them."""
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        content, kind = at, tag & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _LEN:
            length, content = _varint(data, at)
            at = content + length
        elif kind == _GROUP:
            for inner in _scan(data, at, end):
                at = inner.end
                if inner.type == _END_OF_GROUP:
                    break
        elif kind != _END_OF_GROUP:
            at += 8 if kind == _I64 else 4
        yield _Field(tag >> 3, kind, begin, content, at)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return number, at


def _of_field(data, descriptor, known, field: _Field, place, depth: int) -> Iterator[Row]:
    """Yield the row of a field, and those of the fields in it."""
    number, kind, begin, content, end = field
    length = f"{end - content:,}" if kind == _LEN else ""
    name = "end of group" if kind == _END_OF_GROUP else known.name if known else "unknown"
    row = Row(depth, name, str(number), _TYPES[kind], length, "", begin, content, end)
    written = known and _WRITTEN.get(known.type, _VARINT)
    packed = known and known.is_repeated and kind == _LEN and written != _LEN
    inside = _inside(data, descriptor, known, place) if kind == written else None
    if depth < _DEEPEST and (inside or kind == _GROUP):
        yield row._replace(value=inside.name if inside else "", end=content)
        yield from of_message(data, inside, content, end, depth + 1)
    elif not inside and (kind == written or packed):
        value, instead = _value(data, descriptor, known, field, place)
        yield row._replace(value=value, instead=instead)
    elif kind == _VARINT:
        yield row._replace(value=str(_varint(data, content)[0]))
    elif kind == _END_OF_GROUP:
        yield row
    else:
        value, instead = _text(name, data[content:end])
        yield row._replace(value=value, instead=instead)


def _inside(data: bytes, descriptor: Any, known: Any, place: tuple[int, int]) -> Any:
    """Return the type of the message that a field is; an Any says it itself."""
    if descriptor.full_name == "google.protobuf.Any" and known.name == "value":
        name = _parsed(data, descriptor, *place).TypeName()
        try:
            return descriptor.file.pool.FindMessageTypeByName(name)
        except KeyError:
            return None  # a type that nobody imported
    return known.message_type


def _value(data, descriptor, known, field: _Field, place) -> tuple[str, str]:
    """Return what protobuf reads in a field, and what is shown in place of a secret."""
    if known.name == "tensor_content" and descriptor.full_name == "tensorflow.TensorProto":
        content = data[field.content : field.end]
        return _numbers(content, _parsed(data, descriptor, *place).dtype), ""
    value = getattr(_parsed(data, descriptor, field.begin, field.end), known.name)
    if known.is_repeated and field.type == _LEN and known.type not in _TEXTS:
        return _listed(value[:4], len(value)), ""
    if known.is_repeated:
        value = value[0]
    if known.type in _TEXTS:
        name = known.name
        if descriptor.GetOptions().map_entry and name == "value":
            name = str(_parsed(data, descriptor, *place).key)
        return _text(name, value)
    if known.enum_type and value in known.enum_type.values_by_number:
        return f"{known.enum_type.values_by_number[value].name} ({value})", ""
    return repr(value), ""


def _parsed(data: bytes, descriptor: Any, at: int, end: int) -> Any:
    return message_factory.GetMessageClass(descriptor).FromString(data[at:end])


def _numbers(content: bytes, data_type: int) -> str:
    try:
        dtype = to_dtype(data_type)
        first = np.frombuffer(content[: 4 * dtype.itemsize], dtype).tolist()
        return _listed(first, len(content) // dtype.itemsize)
    except (BadInput, ValueError):
        return _short(content)


def _listed(first: Any, count: int) -> str:
    numbers = ", ".join(f"{each:.6g}" if isinstance(each, float) else str(each) for each in first)
    return f"{numbers}, ... ({count:,} in all)" if count > len(first) else numbers


def _text(name: str, value: str | bytes) -> tuple[str, str]:
    """Return a text for its row, and what is shown in place of its bytes if it is secret."""
    text = value if isinstance(value, str) else value.decode(errors="replace")
    found = any(cut(each).count("***") > each.count("***") for each in (text[:400], text[-400:]))
    return ("***", MASK) if found or _is_secret(name) else (_short(value), "")


def _short(value: str | bytes) -> str:
    return f"{value[:40]!r} ..." if len(value) > 40 else repr(value)


def _header(name: str, value: str | bytes) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not _is_secret(name):
        return cut(text)
    scheme, space, _ = text.partition(" ")
    return f"{scheme} ***" if space else "***"


def _without_secrets(body: bytes) -> bytes:
    """Put *** for what has a secret's name in JSON, in a form or in a form's parts."""
    if body.startswith(b"--"):
        return _PART.sub(_without_secret, body)
    try:
        document = json.loads(body)
    except ValueError:
        fields = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
        if not any(_is_secret(name) for name, _ in fields):
            return body
        masked = [(name, "***" if _is_secret(name) else value) for name, value in fields]
        return urlencode(masked, safe="*").encode()
    masked_document = _masked(document)
    return body if masked_document == document else json.dumps(masked_document).encode()


def _without_secret(part: re.Match[bytes]) -> bytes:
    secret = _is_secret(part[2].decode(errors="replace"))
    return part[1] + b"***" if secret else part[0]


def _masked(value: Any, secret: bool = False) -> Any:
    """Mask what has a secret's name, and numbers and texts just below such a name."""
    if isinstance(value, dict):
        return {
            name: _masked(each, _is_secret(name) or (secret and not isinstance(each, dict)))
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_masked(each, secret) for each in value]
    return "***" if secret else value


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(name))
