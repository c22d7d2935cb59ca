"""How the practice TensorFlow Serving is started and asked, on LiteRT and on TensorFlow itself."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers import serving_api
from practice import state
from practice.service import Service, answers_call, ask

if TYPE_CHECKING:
    import grpc


def _prepare_tfserving(folder: Path, models: Path) -> dict[str, Any]:
    """Configure the models that LiteRT can run: the service is to be light, and up at once."""
    light = [model for model in _models(models) if _is_light(model)]
    return _configure(folder / "tfserving.config", light)


def _prepare_tensorflow(folder: Path, models: Path) -> dict[str, Any]:
    return _configure(folder / "tfserving-tf.config", _models(models))


def _models(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise state.PracticeError(
            f"There are no models to serve: {folder} is not a folder. The practice services need "
            "the whole repository: clone it again, or restore data/models."
        )
    return sorted(p.absolute() for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")


def _is_light(model: Path) -> bool:
    return any(model.glob("*/model.tflite")) or not any(model.glob("*/saved_model.pb"))


def _configure(path: Path, models: list[Path]) -> dict[str, Any]:
    """Write a ModelServerConfig; returns what services.json tells about it."""
    text = f"model_config_list {{\n{''.join(map(_model_config, models))}}}\n"
    try:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise state.unwritable(path, error) from error
    return {"models": [model.name for model in models]}


def _model_config(model: Path) -> str:
    """Configure one model; of several versions the lowest is `stable`, the highest `canary`."""
    # Quoted as JSON does it, which text protos read too: Windows paths have backslashes.
    name, base_path = _quoted(model.name), _quoted(model)
    versions = sorted(int(p.name) for p in model.iterdir() if p.is_dir() and p.name.isdigit())
    more = ""
    if len(versions) > 1:
        labels = {"stable": versions[0], "canary": versions[-1]}
        more = " model_version_policy { all {} }" + "".join(
            f" version_labels {{ key: {_quoted(label)} value: {version} }}"
            for label, version in labels.items()
        )
    return (
        f'  config {{ name: {name} base_path: {base_path} model_platform: "tensorflow"{more} }}\n'
    )


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _tfserving_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return _serving_arguments(folder / "tfserving.config", ports, "--prefer_tflite_model=true")


def _tensorflow_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return _serving_arguments(folder / "tfserving-tf.config", ports)


def _serving_arguments(config: Path, ports: Mapping[str, int], *flags: str) -> list[str]:
    return [
        f"--port={ports['grpc']}",
        f"--rest_api_port={ports['rest']}",
        f"--model_config_file={config}",
        *flags,
        "--enable_grpc_healthcheck_service=true",
        "--allow_version_labels_for_unavailable_models=true",
        "--keep_serving_on_load_failure=true",
    ]


def _tfserving_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether both ports answer about the flowers; that the model is not there counts too."""
    status, _ = ask(entry.get("rest"), seconds, "GET", "/v1/models/iris")
    return status in (200, 404) and answers_call(
        entry, lambda channel: _iris_stub(channel).Predict(_iris_request(), timeout=seconds)
    )


def _iris_stub(channel: "grpc.Channel") -> Any:
    return serving_api.prediction_service_pb2_grpc.PredictionServiceStub(channel)


@functools.cache
def _iris_request() -> Any:
    request = serving_api.predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    # Without helpers.tensors, as `otw practice` does without NumPy.
    features = request.inputs["features"]
    features.dtype = serving_api.types_pb2.DT_FLOAT
    for size in (1, 4):
        features.tensor_shape.dim.add(size=size)
    features.float_val.extend([5.1, 3.5, 1.4, 0.2])
    return request


LIGHT = Service(
    name="tfserving",
    module="practice.tfserving",
    addresses={"grpc": (8500, "127.0.0.1:{}"), "rest": (8501, "http://127.0.0.1:{}")},
    prepare=_prepare_tfserving,
    arguments=_tfserving_arguments,
    answers=_tfserving_answers,
    told=("grpc", "rest"),
)


WHOLE = Service(
    name="tfserving-tf",
    module="practice.tfserving",
    addresses={"grpc": (8510, "127.0.0.1:{}"), "rest": (8511, "http://127.0.0.1:{}")},
    prepare=_prepare_tensorflow,
    arguments=_tensorflow_arguments,
    answers=_tfserving_answers,
    told=("grpc", "rest"),
    on_demand=True,
)
