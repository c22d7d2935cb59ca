"""TensorFlow Serving's own servicer functions, for `grpc_servicer_functions`.

Whoever imports them from here has imported `practice` first, and so needs no TensorFlow.
"""

from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import (
    add_PredictionServiceServicer_to_server,
)

__all__ = ["add_ModelServiceServicer_to_server", "add_PredictionServiceServicer_to_server"]
