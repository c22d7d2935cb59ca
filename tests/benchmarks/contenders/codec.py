"""Encoding and decoding as a contender's documentation does it; runs in the contenders' Python.

python -m tests.benchmarks.contenders.codec tensorflow
"""

import functools
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import contenders

SHAPES = {"(1, 4)": (1, 4), "0.6 MB": (1, 224, 224, 3), "4.8 MB": (8, 224, 224, 3)}


class Library(NamedTuple):
    """An array to a request's bytes, and what else is needed to read an answer's."""

    encode: Callable[[np.ndarray], bytes]
    predict_pb2: Any = None
    make_ndarray: Any = None


def main(contender: str) -> None:
    """Check that it does the work, then answer with times."""
    library = CONTENDERS[contender]()
    cases: dict[str, Any] = {}
    for size, shape in SHAPES.items():
        array = contenders.array(shape)
        cases[f"encode {size}"] = functools.partial(library.encode, array)
        for form in ("tensor_content", "float_val") if library.make_ndarray else ():
            data = _response(library.predict_pb2, array, form)
            decode = functools.partial(_decode, library, data)
            np.testing.assert_array_equal(decode()["y"], array)
            cases[f"decode {size} {form}"] = decode
    contenders.answer(cases)


def _tensorflow() -> Library:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    def encode(array: np.ndarray) -> bytes:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "iris"
        request.inputs["features"].CopyFrom(tf.make_tensor_proto(array))
        return request.SerializeToString()

    return Library(encode, predict_pb2, tf.make_ndarray)


def _ovmsclient() -> Library:
    from ovmsclient.tfs_compat.grpc.requests import make_predict_request
    from ovmsclient.tfs_compat.grpc.tensors import make_ndarray
    from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import predict_pb2

    def encode(array: np.ndarray) -> bytes:
        request = make_predict_request({"features": array}, "iris")
        return request.raw_request.SerializeToString()

    return Library(encode, predict_pb2, make_ndarray)


def _tritonclient() -> Library:
    """Of another protocol, KServe's, but the same work; its `infer` makes the request so."""
    from tritonclient import grpc
    from tritonclient.grpc._utils import _get_inference_request

    nothing = {
        "model_version": "",
        "request_id": "",
        "outputs": None,
        "sequence_id": 0,
        "sequence_start": False,
        "sequence_end": False,
        "priority": 0,
        "timeout": None,
        "parameters": None,
    }

    def encode(array: np.ndarray) -> bytes:
        features = grpc.InferInput("features", array.shape, "FP32").set_data_from_numpy(array)
        request = _get_inference_request(model_name="iris", inputs=[features], **nothing)
        return request.SerializeToString()

    return Library(encode)


CONTENDERS = {
    "tensorflow": _tensorflow,
    "ovmsclient": _ovmsclient,
    "tritonclient": _tritonclient,
}


def _response(classes: Any, array: np.ndarray, form: str) -> bytes:
    response = classes.PredictResponse()
    proto = response.outputs["y"]
    proto.dtype = 1
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if form == "tensor_content":
        proto.tensor_content = array.tobytes()
    else:
        proto.float_val.extend(array.ravel().tolist())
    return response.SerializeToString()


def _decode(library: Library, data: bytes) -> dict[str, np.ndarray]:
    response = library.predict_pb2.PredictResponse.FromString(data)
    return {name: library.make_ndarray(proto) for name, proto in response.outputs.items()}


if __name__ == "__main__":
    main(sys.argv[1])
