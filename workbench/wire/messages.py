"""A protobuf message taken apart: one row for each field, without secrets."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import message_factory

from helpers.errors import BadInput
from helpers.tensors import to_dtype
from workbench.wire.rows import Row, rest, short

_TYPES = ("VARINT", "I64", "LEN", "SGROUP", "EGROUP", "I32")  # protobuf's own names
_VARINT, _I64, _LEN, _GROUP, _END_OF_GROUP, _I32 = range(6)
# How a field type is written, if not as VARINT; the numbers are those of descriptor.proto.
_WRITTEN = {
    **dict.fromkeys((1, 6, 16), _I64),
    **dict.fromkeys((2, 7, 15), _I32),
    **dict.fromkeys((9, 11, 12), _LEN),
    10: _GROUP,
}
_TEXTS = (9, 12)  # string and bytes
_LONGEST_RUN = 6  # fields of one number, one after the other; a longer run is folded
_DEEPEST = 30  # levels; what is deeper is shown as bytes


def rows(data: bytes, descriptor: Any) -> Iterator[Row]:
    """Yield the rows of a serialized message; of many fields with one number only some."""
    return _Message(data, descriptor, 0, len(data), 0).rows()


class _Field(NamedTuple):
    number: int
    type: int
    begin: int
    content: int
    end: int


class _Message(NamedTuple):
    """A message, or one within another, at its place in the bytes."""

    data: bytes
    descriptor: Any  # None where nothing tells what the fields are
    begin: int
    end: int
    depth: int

    def rows(self) -> Iterator[Row]:
        fields = _scan(self.data, self.begin, self.end)
        for number, group in itertools.groupby(fields, lambda field: field.number):
            declared = self.descriptor and self.descriptor.fields_by_number.get(number)
            run = list(group)
            folded = run[3:-1] if len(run) > _LONGEST_RUN else []
            for field in run[:3] if folded else run:
                yield from self._of_field(field, declared)
            if folded:
                name = f"... {len(folded):,} more {declared.name if declared else 'unknown'}"
                yield rest(name, folded[0].begin, folded[-1].end, self.depth)
                yield from self._of_field(run[-1], declared)

    def _of_field(self, field: _Field, declared: Any) -> Iterator[Row]:
        """Yield the row of a field, and those of the fields in it."""
        number, kind, begin, content, end = field
        name = "end of group" if kind == _END_OF_GROUP else declared.name if declared else "unknown"
        length = f"{end - content:,}" if kind == _LEN else ""
        row = Row(self.depth, name, str(number), _TYPES[kind], length, "", begin, content, end)
        written = declared and _WRITTEN.get(declared.type, _VARINT)
        packed = declared and declared.is_repeated and kind == _LEN and written != _LEN
        inside = self._inside(declared) if kind == written else None
        if self.depth < _DEEPEST and (inside or kind == _GROUP):
            yield row._replace(value=inside.name if inside else "", end=content)
            yield from _Message(self.data, inside, content, end, self.depth + 1).rows()
        elif not inside and (kind == written or packed):
            yield self._with_value(row, field, declared)
        elif kind == _VARINT:
            yield row._replace(value=str(_varint(self.data, content)[0]))
        elif kind == _END_OF_GROUP:
            yield row
        else:
            yield row.with_text(self.data[content:end])

    def _inside(self, declared: Any) -> Any:
        """Return the type of the message that a field is; an Any says it itself."""
        if self.descriptor.full_name == "google.protobuf.Any" and declared.name == "value":
            name = self._parsed(self.begin, self.end).TypeName()
            try:
                return self.descriptor.file.pool.FindMessageTypeByName(name)
            except KeyError:
                return None  # a type that nobody imported
        return declared.message_type

    def _with_value(self, row: Row, field: _Field, declared: Any) -> Row:
        """Return the row with what protobuf reads in the field."""
        of_type = self.descriptor.full_name
        is_text = declared.type in _TEXTS
        if declared.name == "tensor_content" and of_type == "tensorflow.TensorProto":
            data_type = self._parsed(self.begin, self.end).dtype
            return row._replace(value=_numbers(self.data[field.content : field.end], data_type))
        value = getattr(self._parsed(field.begin, field.end), declared.name)
        if declared.is_repeated and field.type == _LEN and not is_text:
            return row._replace(value=_listed(value[:4], len(value)))
        if declared.is_repeated:
            value = value[0]
        if is_text:
            of_map = self.descriptor.GetOptions().map_entry and declared.name == "value"
            return row.with_text(
                value, str(self._parsed(self.begin, self.end).key) if of_map else ""
            )
        if declared.enum_type and value in declared.enum_type.values_by_number:
            return row._replace(
                value=f"{declared.enum_type.values_by_number[value].name} ({value})"
            )
        return row._replace(value=repr(value))

    def _parsed(self, begin: int, end: int) -> Any:
        return message_factory.GetMessageClass(self.descriptor).FromString(self.data[begin:end])


def _scan(data: bytes, at: int, end: int) -> Iterator[_Field]:
    """Yield the fields of a message that protobuf has written; a group is one of them."""
    while at < end:
        begin = at
        tag, at = _varint(data, at)
        content = at
        kind = tag & 7
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
    """Return a number, and where it ends."""
    number = shift = 0
    while data[at] & 0x80:
        number |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return number | data[at] << shift, at + 1


def _numbers(content: bytes, data_type: int) -> str:
    try:
        dtype = to_dtype(data_type)
        first = np.frombuffer(content[: 4 * dtype.itemsize], dtype).tolist()
        return _listed(first, len(content) // dtype.itemsize)
    except (BadInput, ValueError):
        return short(content)


def _listed(first: Any, count: int) -> str:
    numbers = ", ".join(f"{n:.6g}" if isinstance(n, float) else str(n) for n in first)
    return f"{numbers}, ... ({count:,} in all)" if count > len(first) else numbers
