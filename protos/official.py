"""The official message classes, imported without TensorFlow.

The generated files need nothing of TensorFlow but other generated files, so an empty package of
that name, with the right search path, is enough while they are imported: TensorFlow's own folder
or, where TensorFlow is not installed, the folder `tensorflow` beside this file.
"""

import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from types import ModuleType

_lock = threading.RLock()


def load(path: str) -> ModuleType:
    """Import a generated module, such as `tensorflow_serving.apis.predict_pb2`."""
    with _lock:
        if path in sys.modules:
            return sys.modules[path]
        if "tensorflow" in sys.modules:
            return importlib.import_module(path)
        return _beside_an_empty_tensorflow(path)


@functools.cache
def _folders() -> list[str]:
    package = importlib.util.find_spec("tensorflow")
    if package is None:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorflow")]
    return list(package.submodule_search_locations or ())


def _beside_an_empty_tensorflow(path: str) -> ModuleType:
    spec = importlib.machinery.ModuleSpec("tensorflow", None, is_package=True)
    spec.submodule_search_locations = _folders()
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
