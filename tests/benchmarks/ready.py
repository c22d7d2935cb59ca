"""A gRPC server, in a process of its own, that answers each call with bytes made once.

It reads no request, so that what a call takes is the client's, gRPC's and the wire's.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any

import grpc
import numpy as np

from helpers.endpoints import Endpoint
from helpers.serving_api import get_model_metadata_pb2, predict_pb2, types_pb2
from practice.tfserving.tensorproto import fill


@contextlib.contextmanager
def served(taken: Sequence[int], given: Sequence[int]) -> Iterator[Endpoint]:
    """Serve a model until the block ends.

    Its input `x` has a batch of float32 tensors of the shape `taken`, its output `y` always the
    shape `given`, as `float_val`, which is how TensorFlow Serving answers.
    """
    shapes = json.dumps([list(taken), list(given)])
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, shapes], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline())  # type: ignore[union-attr]
        yield Endpoint("tfserving", grpc=f"127.0.0.1:{port}", model="ready")
    finally:
        process.kill()
        process.wait()


def main(taken: Sequence[int], given: Sequence[int]) -> None:
    """Serve, and print the port."""
    response = predict_pb2.PredictResponse(model_spec={"name": "ready", "version": {"value": 1}})
    fill(response.outputs["y"], np.full(given, 0.5, np.float32), as_content=False)
    answers = {"Predict": response, "GetModelMetadata": _metadata([-1, *taken], given)}
    handlers = {name: _handler(answer.SerializeToString()) for name, answer in answers.items()}
    service = "tensorflow.serving.PredictionService"
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        [grpc.method_handlers_generic_handler(service, handlers)],
        options=[("grpc.max_receive_message_length", -1)],
    )
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


def _handler(answer: bytes) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)


def _metadata(taken: Sequence[int], given: Sequence[int]) -> Any:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for tensors, name, shape in ((signature.inputs, "x", taken), (signature.outputs, "y", given)):
        tensors[name].dtype = types_pb2.DT_FLOAT
        for size in shape:
            tensors[name].tensor_shape.dim.add(size=size)
    metadata = get_model_metadata_pb2.GetModelMetadataResponse(
        model_spec={"name": "ready", "version": {"value": 1}}
    )
    metadata.metadata["signature_def"].Pack(signatures)
    return metadata


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
