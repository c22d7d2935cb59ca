"""TensorFlow Serving's own message classes and stubs, without importing TensorFlow.

`from helpers.serving_api import predict_pb2` gives the class that
`from tensorflow_serving.apis import predict_pb2` gives: the official package is
used, only the six seconds of `import tensorflow` are left out. The generated files
need nothing of TensorFlow but other generated files, so an empty package of that
name, with the right search path, is enough while they are imported.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

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

_lock = threading.RLock()


def __getattr__(name: str) -> Any:
    """Import one of the modules listed in `__all__` when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    module = _import(_MODULES[name])
    globals()[name] = module
    return module


def _import(path: str) -> ModuleType:
    with _lock:
        if path in sys.modules:
            return sys.modules[path]
        if "tensorflow" in sys.modules:
            return importlib.import_module(path)
        return _import_beside_an_empty_tensorflow(path)


@functools.cache
def _folders() -> list[str]:
    package = importlib.util.find_spec("tensorflow")
    return list(package.submodule_search_locations or ()) if package else []


def _import_beside_an_empty_tensorflow(path: str) -> ModuleType:
    folders = _folders()
    if not folders:
        return importlib.import_module(path)
    spec = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
    spec.submodule_search_locations = folders
    empty = importlib.util.module_from_spec(spec)
    sys.modules["tensorflow"] = empty
    try:
        return importlib.import_module(path)
    except ImportError:
        pass  # the package is laid out in another way than expected: import it as it asks
    finally:
        _take_away(empty)
    return importlib.import_module(path)


def _take_away(empty: ModuleType) -> None:
    """Remove the empty package and its folders; the generated modules below them stay.

    TensorFlow, imported later, makes its own folders and finds the generated modules
    already there: both sides share the same message classes.
    """
    if sys.modules.get("tensorflow") is not empty:
        return  # another thread imported the real one meanwhile: removing that aborts Python
    for name in [n for n in sys.modules if n.startswith("tensorflow.")]:
        if not name.endswith("_pb2"):
            del sys.modules[name]
    del sys.modules["tensorflow"]
