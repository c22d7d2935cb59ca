"""Encoding and decoding as a contender's documentation does it; runs in the contenders' Python.

python -m tests.benchmarks.contenders.codec tensorflow
"""

import functools
import sys
from typing import Any

import numpy as np

from tests.benchmarks.contenders import answer

SHAPES = {"(1, 4)": (1, 4), "0.6 MB": (1, 224, 224, 3), "4.8 MB": (8, 224, 224, 3)}


def main(contender: str) -> None:
    """Check that it does the work, then answer with times."""
    encode, classes, make_ndarray = {"tensorflow": _tensorflow, "ovmsclient": _ovmsclient}[
        contender
    ]()
    cases: dict[str, Any] = {}
    for size, shape in SHAPES.items():
        array = np.random.default_rng(9).random(shape, np.float32)
        cases[f"encode {size}"] = functools.partial(encode, array)
        for form in ("tensor_content", "float_val"):
            data = _response(classes, array, form)
            decode = functools.partial(_decode, classes, make_ndarray, data)
            np.testing.assert_array_equal(decode()["y"], array)
            cases[f"decode {size} {form}"] = decode
    answer(cases)


def _tensorflow() -> tuple[Any, Any, Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    def encode(array: np.ndarray) -> bytes:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "iris"
        request.inputs["features"].CopyFrom(tf.make_tensor_proto(array))
        return request.SerializeToString()

    return encode, predict_pb2, tf.make_ndarray


def _ovmsclient() -> tuple[Any, Any, Any]:
    from ovmsclient.tfs_compat.grpc.requests import make_predict_request
    from ovmsclient.tfs_compat.grpc.tensors import make_ndarray
    from ovmsclient.tfs_compat.protos.tensorflow_serving.apis import predict_pb2

    def encode(array: np.ndarray) -> bytes:
        request = make_predict_request({"features": array}, "iris")
        return request.raw_request.SerializeToString()

    return encode, predict_pb2, make_ndarray


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


def _decode(classes: Any, make_ndarray: Any, data: bytes) -> dict[str, np.ndarray]:
    response = classes.PredictResponse.FromString(data)
    return {name: make_ndarray(proto) for name, proto in response.outputs.items()}


if __name__ == "__main__":
    main(sys.argv[1])
