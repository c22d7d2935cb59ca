"""How many bytes one tensor takes in each of the forms that a predict request can have."""

import base64
import io
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import ArrayLike, NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.serving_api import predict_pb2
from helpers.tensors import as_array, to_data_type, typed_field
from helpers.tfserving.codec import encode_predict
from helpers.tfserving.rest import to_json

_SHORTEST = 8  # pixels of a side: JPEG's blocks
_LONGEST = 65_500  # what its encoder takes


def sizes(array: ArrayLike, *, model: str = "m", name: str = "x") -> dict[str, int]:
    """Count the bytes of a predict request, in each form that the same tensor can travel in.

    Parameters
    ----------
    array : array-like, shape (examples, ...)
        Numbers or booleans. NaN and infinity are counted as TensorFlow Serving's JSON has them.
    model, name : str
        Of the model and of the input. Over REST the model is in the URL, and the row form
        needs no name for a single input.

    Returns
    -------
    dict of str to int
        Whole messages, and whole bodies without HTTP's headers. What is not the same tensor
        any more when it arrives says so in its name. Rounded to 4 decimals are floats only. A
        JPEG is made of images: (height, width), (height, width, 1 or 3), or one of these with
        a batch axis of 1; uint8, or floats from 0 to 1; 8 to 65,500 pixels each way.

    Raises
    ------
    BadInput
        For text, objects, a single number, and what one of the protocols does not carry.

    Examples
    --------
    >>> sizes(np.full((100, 4), 1 / 3, "float32"))  # doctest: +NORMALIZE_WHITESPACE
    {'gRPC, tensor_content': 1629, 'gRPC, float_val': 1629, 'JSON rows': 4615,
     'JSON rows, 4 decimals (loses digits)': 3015}
    """
    values = as_array(array)
    if values.dtype.kind not in "biuf" or not values.ndim:
        raise BadInput(
            _(
                "Sizes are counted of an array of numbers or booleans with an axis for the "
                "examples; this is {dtype} of shape {shape}.",
                dtype=values.dtype,
                shape=values.shape,
            )
        )
    counts = {
        "gRPC, tensor_content": len(encode_predict(model, {name: values})),
        f"gRPC, {typed_field(values.dtype)}": len(_typed(model, name, values)),
        "JSON rows": len(_body(to_json(values))),
    }
    if values.dtype.kind == "f":
        # NumPy's half would overflow while it is rounded.
        wide = values.astype(np.promote_types(values.dtype, np.float32), copy=False)
        rounded = _body(to_json(wide.round(4)))
        counts["JSON rows, 4 decimals (loses digits)"] = len(rounded)
    pixels = _pixels(values)
    if pixels is not None:
        text = base64.b64encode(_jpeg(pixels))
        counts["JSON, JPEG in base64 (loses detail)"] = len(_body(b'[{"b64":"%b"}]' % text))
    return counts


def _typed(model: str, name: str, values: NDArray) -> bytes:
    """Write the message with the field of the tensor's type, value by value."""
    request = predict_pb2.PredictRequest.FromString(encode_predict(model, {}))
    tensor: Any = request.inputs[name]
    tensor.dtype = to_data_type(values.dtype)
    for size in values.shape:
        tensor.tensor_shape.dim.add(size=size)
    field = getattr(tensor, typed_field(values.dtype))
    if values.dtype.name == "float16":
        values = np.ascontiguousarray(values, np.float16).view(np.uint16)  # half_val has the bits
    field.extend(values.ravel().tolist())
    return request.SerializeToString()


def _body(rows: bytes) -> bytes:
    return b'{"instances":%b}' % rows


def _pixels(values: NDArray) -> NDArray[np.uint8] | None:
    """Return the pixels of an array that can be an image."""
    if values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim not in (2, 3) or values.shape[2:] not in ((), (3,)):
        return None
    if not all(_SHORTEST <= side <= _LONGEST for side in values.shape[:2]):
        return None
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "f" and ((values >= 0) & (values <= 1)).all():  # NaN is neither
        return (values * 255.0).round().astype(np.uint8)
    return None


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, format="JPEG")
    return file.getvalue()
