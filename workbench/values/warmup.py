"""Example inputs that a model's maker left beside it: TensorFlow Serving's warm-up requests."""

import dataclasses
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from helpers.channels import MAX_MESSAGE
from helpers.errors import BadInput
from helpers.language import _
from helpers.serving_api import classification_pb2, predict_pb2, regression_pb2
from helpers.tensors import to_dtype, to_ndarray
from helpers.tfserving.signatures import DEFAULT_SIGNATURE, TensorSpec
from protos import warmup_pb2

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MOST = 1000  # records; TensorFlow Serving reads no more
_LARGEST = 2**28  # bytes of the file; thousands of requests are smaller
_REQUESTS = {
    "classify_log": classification_pb2.ClassificationRequest,
    "predict_log": predict_pb2.PredictRequest,
    "regress_log": regression_pb2.RegressionRequest,
}


@dataclasses.dataclass(frozen=True)
class Example:
    """One request, whose tensors are unpacked when they are asked for.

    Parameters
    ----------
    title : str
        What tells it from the others, for a list to choose from.
    method : str
        `predict`, `classify` or `regress`.
    request : PredictRequest, ClassificationRequest or RegressionRequest
    """

    title: str
    method: str
    request: Any

    @property
    def signature_name(self) -> str:
        """The signature that it calls."""
        return self.request.model_spec.signature_name or DEFAULT_SIGNATURE

    @property
    def inputs(self) -> dict[str, NDArray]:
        """The inputs of a predict request by name; BadInput when one of them cannot be read."""
        arrays: dict[str, NDArray] = {}
        remaining = MAX_MESSAGE  # what shapes claim is more than what the file holds
        for name, tensor in sorted(self.request.inputs.items()):
            arrays[name] = to_ndarray(tensor, remaining)
            remaining = max(remaining - arrays[name].nbytes, 0)
        return arrays

    @property
    def features(self) -> list[dict[str, list]]:
        """The features of each example of another request; the context's are those of all."""
        given = self.request.input
        kind = given.WhichOneof("kind")
        if kind is None:
            return []
        examples = getattr(given, kind)
        shared = _by_name(examples.context) if kind == "example_list_with_context" else {}
        return [shared | _by_name(example) for example in examples.examples]


def read(folder: str | os.PathLike[str]) -> list[Example]:
    """Read the requests that a SavedModel has in its `assets.extra`.

    Parameters
    ----------
    folder : path
        The SavedModel's, which holds `saved_model.pb`.

    Returns
    -------
    list of Example
        In the file's order, without those that a form cannot hold (MultiInference and sessions);
        empty where there is no such file.

    Raises
    ------
    BadInput
        When the file cannot be read, or is none of TensorFlow Serving's.

    See tensorflow_serving/servables/tensorflow/saved_model_warmup.cc.
    """
    path = Path(folder, FILE)
    try:
        if not path.is_file():
            return []
        size = path.stat().st_size
        if size > _LARGEST:
            raise BadInput(
                _(
                    "{path} has {size:,} bytes; example inputs of up to {limit:,} are read.",
                    path=path,
                    size=size,
                    limit=_LARGEST,
                )
            )
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            _("{path} cannot be read: {why}.", path=path, why=error.strerror or error)
        ) from error
    try:
        records = itertools.islice(_records(content), _MOST)
        examples = [
            _example(number, warmup_pb2.WarmupRecord.FromString(record))
            for number, record in enumerate(records, start=1)
        ]
    except (DecodeError, BadInput, ValueError) as error:
        raise BadInput(
            _(
                "{path} is no file of warm-up requests as TensorFlow Serving reads it, a TFRecord "
                "of PredictionLog: {why}",
                path=path,
                why=error,
            )
        ) from error
    return [example for example in examples if example]


def _records(content: bytes) -> Iterator[bytes]:
    """Yield a TFRecord's records; see tensorflow/core/lib/io/record_writer.h.

    The checksums are not compared: what is damaged is rarely a message with tensors in it.
    """
    position = 0
    while position < len(content):
        size = int.from_bytes(content[position : position + 8], "little")
        start = position + 12  # behind the size and its checksum
        position = start + size + 4
        if position > len(content):
            raise ValueError(_("a record is longer than the file."))
        yield content[start : start + size]


def _example(number: int, record: Any) -> Example | None:
    kind = record.WhichOneof("log_type")
    if kind is None:
        return None
    request = _REQUESTS[kind].FromString(getattr(record, kind).request)
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if kind == "predict_log":
        specs = _specs(request.inputs)
        words = ", ".join(f"{name} {spec}" for name, spec in specs.items())
    else:
        given = request.input
        words = (
            f"{len(getattr(given, given.WhichOneof('kind') or 'example_list').examples)} tf.Example"
        )
    return Example(f"{number}. {signature_name}: {words}", kind.removesuffix("_log"), request)


def _specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: TensorSpec(to_dtype(tensor.dtype), tuple(dim.size for dim in tensor.tensor_shape.dim))
        for name, tensor in sorted(tensors.items())
    }


def _by_name(example: Any) -> dict[str, list]:
    features = sorted(example.features.feature.items())
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        for name, feature in features
        if feature.WhichOneof("kind")
    }
