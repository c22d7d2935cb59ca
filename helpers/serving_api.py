"""TensorFlow Serving's own message classes and stubs, without importing TensorFlow.

`from helpers.serving_api import predict_pb2` gives the class that
`from tensorflow_serving.apis import predict_pb2` gives: the official package is
used, only the six seconds of `import tensorflow` are left out: see `protos.official`.
"""

from typing import Any

from protos import official

_PACKAGES = {
    "tensorflow.core.example": "example_pb2",
    "tensorflow.core.framework": "tensor_pb2 tensor_shape_pb2 types_pb2",
    "tensorflow.core.protobuf": "meta_graph_pb2 saved_model_pb2",
    "tensorflow_serving.apis": (
        "classification_pb2 get_model_metadata_pb2 get_model_status_pb2 inference_pb2 "
        "model_management_pb2 model_pb2 model_service_pb2 model_service_pb2_grpc predict_pb2 "
        "prediction_service_pb2 prediction_service_pb2_grpc regression_pb2 status_pb2"
    ),
    "tensorflow_serving.config": "model_server_config_pb2",
}
_MODULES = {
    name: f"{package}.{name}" for package, names in _PACKAGES.items() for name in names.split()
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import one of the modules listed in `__all__` when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    module = official.load(_MODULES[name])
    globals()[name] = module
    return module
