"""How the practice TensorFlow Serving is started and asked, on LiteRT and on TensorFlow itself."""

import json
from collections.abc import Mapping
from pathlib import Path

from helpers.endpoints import Endpoint
from helpers.language import _
from practice import state
from practice.launch import MODELS, Service
from practice.ports import DEFAULT as PORTS
from protos import official


def _models(folder: Path) -> list[Path]:
    if not folder.is_dir():
        advice = _("Name a folder that holds a folder for each model.")
        if folder == MODELS:
            advice = _(
                "The practice services need the whole repository: clone it again, or restore "
                "data/models."
            )
        raise state.PracticeError(
            _(
                "There are no models to serve: {folder} is not a folder. {advice}",
                folder=folder,
                advice=advice,
            )
        )
    return sorted(p.absolute() for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")


def _is_light(model: Path) -> bool:
    """Whether LiteRT can run a model; one without a version is told of by the service."""
    return any(model.glob("*/model.tflite")) or not any(model.glob("*/saved_model.pb"))


def _model_config(model: Path) -> str:
    """Configure one model; of several versions the lowest is `stable`, the highest `canary`."""
    # Quoted as JSON does it, which text protos read too: Windows paths have backslashes.
    name = _quoted(model.name)
    base_path = _quoted(model)
    versions = sorted(int(p.name) for p in model.iterdir() if p.is_dir() and p.name.isdigit())
    more = ""
    if len(versions) > 1:
        more = (
            " model_version_policy { all {} }"
            f' version_labels {{ key: "stable" value: {versions[0]} }}'
            f' version_labels {{ key: "canary" value: {versions[-1]} }}'
        )
    return (
        f'  config {{ name: {name} base_path: {base_path} model_platform: "tensorflow"{more} }}\n'
    )


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _service(name: str, *, light: bool) -> Service:
    """Describe one of the two: the light one, up at once, has the models that LiteRT can run."""
    config_name = f"{name}.config"

    def served(models: Path) -> list[Path]:
        return [model for model in _models(models) if _is_light(model) or not light]

    def prepare(folder: Path, models: Path) -> None:
        if not light and not official.has_tensorflow():
            raise state.PracticeError(
                _("{name} runs on TensorFlow itself. {why}", name=name, why=_(official.ABSENT))
            )
        path = folder / config_name
        text = f"model_config_list {{\n{''.join(map(_model_config, served(models)))}}}\n"
        try:
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise state.unwritable(path, error) from error

    def endpoints(folder: Path, models: Path, addresses: Mapping[str, str]) -> dict[str, Endpoint]:
        names = tuple(model.name for model in served(models))
        endpoint = Endpoint(
            "tfserving", grpc=addresses["grpc"], rest=addresses["rest"], models=names
        )
        return {"practice" if light else "practice-tf": endpoint}

    def arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
        return [
            f"--port={ports['grpc']}",
            f"--rest_api_port={ports['rest']}",
            f"--model_config_file={folder / config_name}",
            f"--prefer_tflite_model={str(light).lower()}",
            "--enable_grpc_healthcheck_service=true",
            "--allow_version_labels_for_unavailable_models=true",
            "--keep_serving_on_load_failure=true",
        ]

    return Service(
        name=name,
        module="practice.tfserving",
        ports=PORTS[name],
        addresses={"grpc": "127.0.0.1:{}", "rest": "http://127.0.0.1:{}"},
        prepare=prepare,
        arguments=arguments,
        endpoints=endpoints,
        health="rest",
        on_demand=not light,
    )


LIGHT = _service("tfserving", light=True)
WHOLE = _service("tfserving-tf", light=False)
