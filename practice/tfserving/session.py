"""A TensorFlow session on a graph of its own. Importing this imports TensorFlow: it takes seconds.

The session is used below its Python surface, which refuses shapes that a placeholder does not
have, casts dtypes, adds its own words to error texts, and takes three times as long.
"""

import importlib
import importlib.util
import math
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from practice.tfserving import operations
from practice.tfserving.failures import Failure, invalid

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its notes would fill the log
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # or it takes all of a GPU's memory

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session as c_api
from tensorflow.python.framework import op_def_registry

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}
_REFUSALS = (tf.errors.OpError, ValueError, TypeError, RuntimeError)


class Session:
    """Runs parts of a graph, which are named as in a signature: `serving_default_images:0`.

    Parameters
    ----------
    graph_def : GraphDef
    stripped_op_list : OpList
        Its producer's operations, with the defaults that were left out of the graph.
    intra_op, inter_op : int
        Threads within and across operations; 0 leaves them to TensorFlow.
    """

    def __init__(
        self, graph_def: Any, stripped_op_list: Any, *, intra_op: int, inter_op: int
    ) -> None:
        self._graph = tf.Graph()
        self._tensors: dict[str, tuple[Any, np.dtype | None]] = {}
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=intra_op, inter_op_parallelism_threads=inter_op
        )
        missing = _missing_operations(graph_def)
        try:
            with self._graph.as_default():
                tf.graph_util.import_graph_def(
                    graph_def, name="", producer_op_list=stripped_op_list
                )
                nothing = tf.no_op()
            self._session = tf.compat.v1.Session(graph=self._graph, config=config)
            self._session.make_callable(nothing)  # hands the graph to the session
        except _REFUSALS as error:
            failure = _failure(error)
            if missing:
                raise Failure(failure.code, f"{failure.text} {_advice(missing[0])}") from error
            raise failure from error

    def run(
        self, feeds: Mapping[str, NDArray], fetches: Iterable[str], deadline: float
    ) -> list[NDArray]:
        """Return the values of tensors, given those of others, by a deadline."""
        fed = {}
        for name, array in feeds.items():
            tensor, quantized = self._tensor(name, "FeedInputs: unable to find feed output {}")
            fed[tensor] = array.view(quantized) if quantized else array
        fetched = [self._tensor(name, "FetchOutputs node {}: not found")[0] for name in fetches]
        options = _options(deadline)
        try:
            values = c_api.TF_SessionRun_wrapper(
                self._session._session, options, fed, fetched, [], None
            )
        except _REFUSALS as error:
            raise _failure(error) from error
        finally:
            if options:
                c_api.TF_DeleteBuffer(options)
        return [_as_array(value) for value in values]

    def run_once(self, operation: str, texts: Mapping[str, bytes]) -> None:
        """Run an operation that is needed only once, given the values of text tensors."""
        # Unlike a run, a callable leaves nothing behind: what it made on its way may be large.
        options = config_pb2.CallableOptions(feed=list(texts), target=[operation])
        try:
            run = self._session._make_callable_from_options(options)
            run(*(np.array(text, dtype=object) for text in texts.values()))
        except _REFUSALS as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Free the graph and its variables; no call may be under way."""
        self._session.close()
        self._tensors.clear()
        del self._session, self._graph

    def _tensor(self, name: str, missing: str) -> tuple[Any, np.dtype | None]:
        """Return TensorFlow's handle of a tensor, and its dtype if that is a quantized one."""
        if name not in self._tensors:
            try:
                tensor = self._graph.get_tensor_by_name(name)
            except (KeyError, ValueError) as error:
                raise Failure("NOT_FOUND", missing.format(name)) from error
            quantized = np.dtype(tensor.dtype.as_numpy_dtype) if tensor.dtype.is_quantized else None
            self._tensors[name] = tensor._as_tf_output(), quantized
        return self._tensors[name]


def _options(deadline: float) -> Any:
    """Return serialized RunOptions with the time that is left, or None where it is endless."""
    if deadline == math.inf:
        return None
    remaining = math.ceil(1000 * (deadline - time.monotonic()))
    if remaining <= 0:
        raise Failure("DEADLINE_EXCEEDED", "Timed out waiting for notification")
    options = config_pb2.RunOptions(timeout_in_ms=remaining)
    return c_api.TF_NewBufferFromString(options.SerializeToString())


def _as_array(value: Any) -> NDArray:
    if isinstance(value, bytes):  # a scalar; NumPy's own text drops NUL bytes at the end
        return np.array(value, dtype=object)
    array = np.asarray(value)
    return array.view(array.dtype[0]) if array.dtype.names else array  # a quantized one


def load_library(path: str) -> None:
    """Register the operations of a shared library; Failure when it cannot be loaded."""
    try:
        tf.load_op_library(path)
    except (tf.errors.OpError, RuntimeError) as error:
        raise invalid(f"--op_library {path} cannot be loaded: {error}") from error


def _missing_operations(graph_def: Any) -> list[str]:
    """Return the operations that nobody registers, not even an installed package of operations."""
    used = operations.used(graph_def)
    missing = [name for name in used if op_def_registry.get(name) is None]
    for package in {operations.package(name) for name in missing} - {""}:
        if importlib.util.find_spec(package):
            importlib.import_module(package)
    return [name for name in missing if op_def_registry.get(name) is None]


def _advice(operation: str) -> str:
    if package := operations.package(operation):
        name = f"{package.replace('_', '-')}, in the version for TensorFlow {tf.__version__}"
        return f"{operation} is an operation of a package. Install {name}."
    return f"Where a library of your own has {operation}, name its file: --op_library."


def _failure(error: Exception) -> Failure:
    if isinstance(error, tf.errors.OpError):
        return Failure(_CODES[error.error_code], error.message)
    if isinstance(error, UnicodeDecodeError):  # TensorFlow's text quotes bytes of the input
        return invalid(error.object.decode(errors="replace"))
    return invalid(str(error))
