"""Warm-up requests as TensorFlow Serving has them beside a model, written without TensorFlow."""

from pathlib import Path

from numpy.typing import ArrayLike

from helpers.serving_api import predict_pb2
from helpers.tensors import to_tensor_proto
from protos import warmup_pb2


def predict_record(inputs: dict[str, ArrayLike], signature_name: str = "") -> bytes:
    """Return a record with a request for predict; its numbers are float32."""
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature_name
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(to_tensor_proto(value, "float32"))
    record = warmup_pb2.WarmupRecord()
    record.predict_log.request = request.SerializeToString()
    return record.SerializeToString()


def write_records(folder: Path, *records: bytes) -> None:
    """Write them beside a SavedModel, with checksums that nobody reads."""
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    file.parent.mkdir(parents=True, exist_ok=True)
    blank = bytes(4)
    with file.open("wb") as out:
        for record in records:
            out.write(len(record).to_bytes(8, "little") + blank + record + blank)
