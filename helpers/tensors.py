"""NumPy arrays to TensorProto and back; what travels is TensorFlow's own message."""

import functools
import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.serving_api import tensor_pb2, types_pb2

# TensorFlow's names that are not NumPy's; the others are the same but for the case, and for
# the Q of quantized numbers, which travel as the integers they are stored in (types.proto).
_NUMPY_NAMES = {"HALF": "float16", "FLOAT": "float32", "DOUBLE": "float64", "STRING": "object"}
_TENSORFLOW_NAMES = {numpy: tensorflow for tensorflow, numpy in _NUMPY_NAMES.items()}
# Types that NumPy does not have itself: ml_dtypes adds them.
_FROM_ML_DTYPES = ("bfloat16", "float8_", "float4_", "int4", "uint4", "int2", "uint2")
# The typed field of each type, where it is not `int_val` (tensor.proto).
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "complex64": "scomplex_val",
    "complex128": "dcomplex_val",
    "float16": "half_val",
    "bfloat16": "half_val",
    "object": "string_val",
}
_LITTLE_ENDIAN: Final = "<"
_MOST_DIMENSIONS = 64  # NumPy's own limit
MOST_REPEATED = 2**28  # bytes of tensors that did not all come: the last value is repeated


def to_tensor_proto(array: ArrayLike, dtype: DTypeLike | None = None) -> Any:
    """Pack an array into a TensorProto.

    Parameters
    ----------
    array : array-like, any shape
        Numbers, booleans, text or bytes.
    dtype : numpy dtype, optional
        Cast to this first, the way the model's signature asks.

    Returns
    -------
    TensorProto
        Little-endian `tensor_content`; `string_val` for text (as UTF-8) and bytes.

    Raises
    ------
    BadInput
        For ragged lists, for values that `dtype` cannot hold, and for objects and
        dates, which TensorFlow has no type for.

    See https://github.com/tensorflow/tensorflow, core/framework/tensor.proto.

    Examples
    --------
    >>> proto = to_tensor_proto([[1, 2, 3]], dtype="float32")
    >>> proto.dtype, len(proto.tensor_content)
    (1, 12)
    """
    proto = tensor_pb2.TensorProto()
    fill(proto, as_array(array, dtype))
    return proto


def fill(proto: Any, values: NDArray) -> None:
    """Fill an empty TensorProto, which may be a part of another message; see `to_tensor_proto`."""
    proto.dtype = to_data_type(values.dtype)
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    if values.dtype.kind in "OSU":
        proto.string_val.extend(_all_bytes(values.ravel().tolist()))
    else:
        if values.dtype.byteorder == ">":
            values = values.astype(values.dtype.newbyteorder(_LITTLE_ENDIAN))
        proto.tensor_content = values.tobytes()


def to_ndarray(proto: Any, most_repeated: int = MOST_REPEATED) -> NDArray:
    """Unpack a TensorProto into an array of its own memory.

    Parameters
    ----------
    proto : TensorProto
        Filled by `tensor_content` or by typed fields (`float_val`, ...). As in TensorFlow, typed
        fields may hold fewer values than the shape has: the last one is repeated; or more: the
        first ones count.
    most_repeated : int
        Bytes that an array with repeated values may have.

    Returns
    -------
    ndarray
        Writable, of the proto's dtype and shape. Text comes as an array of `bytes` objects.

    Raises
    ------
    BadInput
        When the values do not fit the shape, or the type is one without values.

    Examples
    --------
    >>> to_ndarray(to_tensor_proto([1.5, 2.5])).tolist()
    [1.5, 2.5]
    """
    if not proto.dtype:
        raise BadInput(
            _(
                "This tensor is empty, without a type. Protobuf gives such a one for a name that a "
                "message does not have. A response's names: sorted(response.outputs)."
            )
        )
    dtype = to_dtype(proto.dtype)
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise BadInput(_("A tensor with values has a complete shape; this one has unknown sizes."))
    if len(shape) > _MOST_DIMENSIONS:
        raise BadInput(
            _(
                "A tensor has {count} dimensions; NumPy holds {most}.",
                count=len(shape),
                most=_MOST_DIMENSIONS,
            )
        )
    count = math.prod(shape)
    if not count:
        values = np.empty(0, dtype)  # whatever came
    elif not proto.tensor_content:
        values = _from_typed_field(getattr(proto, typed_field(dtype)), dtype)
        values = _of_count(count, values, shape, most_repeated)
    elif dtype.kind == "O":
        values = _texts(proto.tensor_content, count)
    else:
        values = _from_content(proto.tensor_content, dtype)
    if values.size != count:
        raise BadInput(
            _(
                "A tensor of shape {shape} has {count} values; {size} came.",
                shape=list(shape),
                count=count,
                size=values.size,
            )
        )
    try:
        return values.reshape(shape)
    except ValueError as error:  # [0, 2**62]
        raise BadInput(_("NumPy holds no array of shape {shape}.", shape=list(shape))) from error


def varint(number: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, the highest bit says that more follow.

    Examples
    --------
    >>> varint(300)
    b'\\xac\\x02'
    """
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def to_data_type(dtype: DTypeLike) -> int:
    """Return TensorFlow's number (`DT_FLOAT` is 1) for a NumPy dtype.

    Examples
    --------
    >>> to_data_type("float32")
    1
    """
    return _data_type(np.dtype(_named(dtype)))


@functools.cache
def _data_type(wanted: np.dtype) -> int:
    name = "object" if wanted.kind in "SU" else wanted.name
    try:
        return types_pb2.DataType.Value(f"DT_{_TENSORFLOW_NAMES.get(name, name.upper())}")
    except ValueError as error:
        raise BadInput(
            _(
                "TensorFlow has no type for {dtype}. Use numbers, booleans, text or bytes.",
                dtype=wanted,
            )
        ) from error


@functools.cache
def to_dtype(data_type: int) -> np.dtype:
    """Return the NumPy dtype for TensorFlow's number; text is `object`.

    Examples
    --------
    >>> to_dtype(1)
    dtype('float32')
    """
    try:
        name = types_pb2.DataType.Name(data_type).removeprefix("DT_")
        return np.dtype(_named(_NUMPY_NAMES.get(name, name.lower().removeprefix("q"))))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            _("NumPy cannot hold values of TensorFlow's type {type}.", type=data_type)
        ) from error


@functools.cache
def typed_field(dtype: np.dtype) -> str:
    """Return the name of the TensorProto field that holds values of this dtype.

    Examples
    --------
    >>> typed_field(np.dtype("int16"))
    'int_val'
    """
    if dtype.name.startswith("float8_"):
        return "float8_val"
    return _FIELDS.get(dtype.name, "int_val")


def as_array(array: ArrayLike, dtype: DTypeLike | None = None) -> NDArray:
    """Make an array of anything that can be one, or raise BadInput with the reason."""
    try:
        values = np.asarray(array, dtype=object if _is_of_texts(array) else None)
    except ValueError as error:
        raise BadInput(_("The rows of a tensor must all have the same length.")) from error
    except TypeError as error:
        raise BadInput(_("This cannot be made an array: {error}.", error=error)) from error
    if values.dtype.kind in "SUO" and not isinstance(array, np.ndarray):
        values = np.asarray(array, dtype=object)  # NumPy's own "S" drops NUL bytes at the end
    if dtype is None:
        return values
    try:
        if isinstance(array, np.ndarray):
            return values.astype(_named(dtype), copy=False)
        return np.asarray(array, dtype=_named(dtype))  # unlike astype, refuses 300 for uint8
    except (ValueError, TypeError, OverflowError) as error:
        raise BadInput(
            _(
                "{given} cannot be cast to {wanted}.",
                given=values.dtype,
                wanted=np.dtype(_named(dtype)),
            )
        ) from error


def _is_of_texts(array: ArrayLike) -> bool:
    """Whether it is a plain list of texts, of which NumPy would first find the longest."""
    return (
        isinstance(array, list)
        and bool(array)
        and isinstance(array[0], str | bytes)
        and {str, bytes}.issuperset(map(type, array))
    )


def _named(dtype: DTypeLike) -> DTypeLike:
    if isinstance(dtype, str) and dtype.startswith(_FROM_ML_DTYPES):
        import ml_dtypes  # optional: most models need none of its types

        return getattr(ml_dtypes, dtype)
    return dtype


def of_ml_dtypes(dtype: np.dtype) -> bool:
    """Whether NumPy has a type from ml_dtypes only, such as bfloat16."""
    return dtype.type.__module__ == "ml_dtypes"


def as_bytes(value: Any) -> bytes:
    """Return bytes as they are, and text as UTF-8; BadInput for anything else."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise BadInput(
        _(
            "TensorFlow has no type for {type} objects. Use numbers, booleans, text or bytes.",
            type=type(value).__name__,
        )
    )


def _all_bytes(values: list[Any]) -> list[bytes]:
    """Return `as_bytes` of all, which is asked for each only where they are not of one kind."""
    kinds = set(map(type, values))
    if kinds == {bytes}:
        return values
    if kinds == {str}:
        return list(map(str.encode, values))
    return list(map(as_bytes, values))


def _from_content(content: bytes, dtype: np.dtype) -> NDArray:
    if len(content) % dtype.itemsize:
        raise BadInput(
            _(
                "tensor_content has {size} bytes, not a multiple of {item}.",
                size=len(content),
                item=dtype.itemsize,
            )
        )
    if dtype.kind == "b":
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, _stored(dtype)).astype(dtype)


def _texts(content: bytes, count: int) -> NDArray:
    """Read texts as TensorFlow writes them into `tensor_content`: their lengths, then the bytes."""
    lengths = []
    at = 0
    if count <= len(content):  # a shape is only a claim
        for _number in range(count):
            length, at = _read_varint(content, at)
            lengths.append(length)
    if len(lengths) != count or at + sum(lengths) != len(content):
        raise BadInput(
            _(
                "tensor_content has {size} bytes, which are not {count} texts.",
                size=len(content),
                count=count,
            )
        )
    texts = np.empty(count, object)
    for index, length in enumerate(lengths):
        texts[index] = content[at : at + length]
        at += length
    return texts


def _read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number as `varint` writes it, and where it ends."""
    number = 0
    for shift in range(0, 35, 7):
        byte = content[at : at + 1]
        if not byte:
            break
        at += 1
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number, at
    raise BadInput(_("The length of a text in tensor_content cannot be read."))


@functools.cache
def _stored(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder(_LITTLE_ENDIAN) if dtype.itemsize > 1 else dtype


def _from_typed_field(field: Any, dtype: np.dtype) -> NDArray:
    if dtype.kind == "O":
        return np.array(field, dtype=object)
    if isinstance(field, bytes):  # float8_val
        return np.frombuffer(field, dtype).copy()
    numbers = np.array(field)
    if dtype.name in ("float16", "bfloat16"):
        return numbers.astype(np.uint16).view(dtype)
    if dtype.kind == "c":
        return numbers[: len(numbers) // 2 * 2].view(dtype)  # real and imaginary parts take turns
    return numbers.astype(dtype, copy=False)


def _of_count(count: int, values: NDArray, shape: tuple[int, ...], most: int) -> NDArray:
    """Leave out what is too much, and repeat the last value where there are too few."""
    if values.size > count:
        return values[:count].copy()
    if values.size == count:
        return values
    if count * values.itemsize > most:  # a shape is only a claim
        raise BadInput(
            _("A tensor of shape {shape} came with far fewer values.", shape=list(shape))
        )
    nothing = b"" if values.dtype.kind == "O" else 0
    repeated = np.full(count, values[-1] if values.size else nothing, values.dtype)
    repeated[: values.size] = values
    return repeated
