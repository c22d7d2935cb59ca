"""A predict call as a contender's documentation does it; runs in the contenders' Python.

python -m tests.benchmarks.contenders.round_trip ovmsclient 127.0.0.1:8500 1
"""

import sys
from collections.abc import Callable

import numpy as np

from tests.benchmarks import contenders

IMAGE = (224, 224, 3)


def main(contender: str, address: str, images: str) -> None:
    """Check that an answer comes, then answer with times."""
    connect = {"tensorflow": _tensorflow, "ovmsclient": _ovmsclient}[contender]
    predict = connect(address, contenders.array((int(images), *IMAGE)))
    assert predict().shape == (int(images), 1000)
    contenders.answer({"predict": predict})


def _tensorflow(address: str, array: np.ndarray) -> Callable[[], np.ndarray]:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(address))

    def predict() -> np.ndarray:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "ready"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto(array))
        return tf.make_ndarray(stub.Predict(request, 60).outputs["y"])

    return predict


def _ovmsclient(address: str, array: np.ndarray) -> Callable[[], np.ndarray]:
    from ovmsclient import make_grpc_client

    client = make_grpc_client(address)
    return lambda: client.predict({"x": array}, "ready")


if __name__ == "__main__":
    main(*sys.argv[1:])
