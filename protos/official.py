"""The official message classes, imported without TensorFlow; and what to do without it.

The generated files need nothing of TensorFlow but other generated files, so an empty package of
that name, with the right search path, is enough while they are imported: TensorFlow's own folder
or, where TensorFlow is not installed, the folder `tensorflow` beside this file.
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

ABSENT = (
    "TensorFlow is not installed. Add it with `make tensorflow`, or without make: "
    "python -m pip install --no-deps --require-hashes -r requirements/tensorflow.txt"
)


def has_tensorflow() -> bool:
    """Whether TensorFlow itself is installed; it is not imported."""
    return PathFinder.find_spec("tensorflow") is not None


def load(path: str) -> ModuleType:
    """Import a generated module, such as `tensorflow_serving.apis.predict_pb2`."""
    try:
        with _empty_tensorflow():
            return importlib.import_module(path)
    except ImportError:  # the package is laid out in another way than expected
        return importlib.import_module(path)


def install() -> None:
    """Let `from tensorflow_serving.apis import predict_pb2` do without TensorFlow, from now on.

    TensorFlow itself is no more there than before: `importlib.util.find_spec("tensorflow")` is
    None where it is not installed, and the error of `import tensorflow` says how it is added.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
        sys.meta_path.append(_Absent())  # behind all others: nobody has found it


class _Finder:
    """Finds the modules of tensorflow_serving; others are left to Python."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if not name.startswith("tensorflow_serving.") or not name.endswith(("_pb2", "_pb2_grpc")):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = cast(Any, _Loader(spec.loader))
        return spec


class _Absent:
    """Lets the error of `import tensorflow` say how it is added."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        # Who only asks whether it is there, with importlib.util.find_spec, is answered, not failed.
        if name == "tensorflow" and sys._getframe(2).f_code.co_name != "find_spec":
            raise ModuleNotFoundError(f"No module named 'tensorflow'. {ABSENT}", name=name)


class _Loader:
    """Runs a generated module beside an empty TensorFlow."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the module's own loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _empty_tensorflow():
            self._loader.exec_module(module)


_guard = threading.Lock()  # never held during an import
_users = 0  # imports under way that need the empty package
_empty: ModuleType | None = None


@contextlib.contextmanager
def _empty_tensorflow() -> Iterator[None]:
    """Put the empty package where TensorFlow would be, unless that is there itself."""
    global _users, _empty
    with _guard:
        if "tensorflow" not in sys.modules:
            spec = ModuleSpec("tensorflow", None, is_package=True)
            spec.submodule_search_locations = _folders()
            _empty = sys.modules["tensorflow"] = importlib.util.module_from_spec(spec)
        _users += 1
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            # Another thread may have imported the real one meanwhile: removing that aborts Python.
            if not _users and sys.modules.get("tensorflow") is _empty is not None:
                _take_away()


@functools.cache
def _folders() -> list[str]:
    package = PathFinder.find_spec("tensorflow")
    if package is None:
        return [os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensorflow")]
    return list(package.submodule_search_locations or ())


def _take_away() -> None:
    """Remove the empty package and its folders; the generated modules below them stay.

    TensorFlow, imported later, makes its own folders and finds the generated modules
    already there: both sides share the same message classes.
    """
    for name in [n for n in sys.modules if n.startswith("tensorflow.")]:
        if not name.endswith("_pb2"):
            del sys.modules[name]
    del sys.modules["tensorflow"]
