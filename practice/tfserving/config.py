"""The configuration of models: what it may say, and which version folders it wants."""

import logging
import os
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from helpers.serving_api import model_server_config_pb2
from practice.tfserving import textproto
from practice.tfserving.failures import invalid

log = logging.getLogger("practice.tfserving")

PLATFORM = "tensorflow"  # the only one there is, for model.tflite too
_NUMBER = re.compile(r"[0-9]+")
_LARGEST = 2**63 - 1


def read(path: str) -> Any:
    """Read a `--model_config_file`; an empty one has no models."""
    config = textproto.read(path, model_server_config_pb2.ModelServerConfig())
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported here.")
    for model in config.model_config_list.config:
        model.base_path = local(model.base_path)
    return config


def one_model(name: str, base_path: str) -> Any:
    """Return the configuration that `--model_name` and `--model_base_path` stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=local(base_path), model_platform=PLATFORM
    )
    return config


def local(base_path: str) -> str:
    """Return the path of a `file:` URI, and anything else as it is."""
    uri = urllib.parse.urlsplit(base_path)
    if uri.scheme != "file" or uri.netloc not in ("", "localhost"):
        return base_path
    from urllib.request import url2pathname  # 15 ms, for few

    return url2pathname(uri.path)


def by_name(config: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's models by name; Failure for what the product refuses.

    Parameters
    ----------
    config : ModelServerConfig
    before : mapping of str to ModelConfig
        The configuration until now.
    """
    models: dict[str, Any] = {}
    for model in config.model_config_list.config:
        if model.name in models:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        model.base_path = local(model.base_path)
        models[model.name] = model
    for name, model in models.items():
        _check(model, before.get(name))
    return models


def _check(model: Any, before: Any) -> None:
    name = model.name
    platform = model.model_platform
    if not os.path.isabs(model.base_path):
        raise invalid(
            f"Expected model {name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )
    if not platform and model.model_type == model_server_config_pb2.TENSORFLOW:
        platform = model.model_platform = PLATFORM
    if not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {name}"
        )
    if before is not None and before.model_platform != platform:
        raise invalid(
            f"Illegal to change a model's platform. For model {name} platform was "
            f"{before.model_platform} and new platform requested is {platform}"
        )
    if platform != PLATFORM:
        raise invalid(f"Model {name} requests unsupported platform {platform}")


def wanted(model: Any) -> dict[int, str]:
    """Return the version folders that a model's policy wants, highest version first.

    Raises
    ------
    OSError
        When the base path cannot be listed.
    """
    numbered: dict[int, str] = {}
    with os.scandir(model.base_path) as entries:
        folders = sorted(entry.path for entry in entries if entry.is_dir())
    for folder in folders:
        name = os.path.basename(folder)
        if not _NUMBER.fullmatch(name) or int(name) > _LARGEST:
            continue
        if int(name) in numbered:
            log.warning("Duplicate version number: %s and %s", numbered[int(name)], folder)
        numbered[int(name)] = folder
    newest_first = sorted(numbered, reverse=True)
    policy = model.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            chosen = newest_first
        case "specific":
            chosen = [number for number in newest_first if number in policy.specific.versions]
        case _:
            chosen = newest_first[: policy.latest.num_versions or 1]
    return {number: numbered[number] for number in chosen}
