"""The configuration of models: what it may say, and which version folders it wants."""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from helpers.serving_api import model_server_config_pb2
from practice.tfserving import textproto
from practice.tfserving.failures import Failure

log = logging.getLogger("practice.tfserving")

PLATFORM = "tensorflow"  # the only one there is, for model.tflite too
_NUMBER = re.compile(r"[0-9]+")
_LARGEST = 2**63 - 1


def read(path: str) -> Any:
    """Read a `--model_config_file`; an empty one has no models."""
    config = textproto.read(path, model_server_config_pb2.ModelServerConfig())
    if config.WhichOneof("config") == "custom_model_config":
        raise Failure("INVALID_ARGUMENT", "custom_model_config is not supported here.")
    return config


def one_model(name: str, base_path: str) -> Any:
    """Return the configuration that `--model_name` and `--model_base_path` stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=os.path.abspath(base_path), model_platform=PLATFORM
    )
    return config


def by_name(config: Any, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's models by name; Failure for what the product refuses.

    Parameters
    ----------
    config : ModelServerConfig
    before : mapping of str to ModelConfig
        The configuration until now.
    """
    found: dict[str, Any] = {}
    for each in config.model_config_list.config:
        if each.name in found:
            raise _refused(f"Illegal to list model {each.name} multiple times in config list")
        found[each.name] = each
    for each in found.values():
        _check(each, before.get(each.name))
    return found


def _check(model: Any, before: Any) -> None:
    name, platform = model.name, model.model_platform
    if not os.path.isabs(model.base_path):
        raise _refused(
            f"Expected model {name} to have an absolute path or URI; "
            f"got base_path()={model.base_path}"
        )
    if not platform and model.model_type == model_server_config_pb2.TENSORFLOW:
        platform = model.model_platform = PLATFORM
    if not platform:
        raise _refused(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {name}"
        )
    if before is not None and before.model_platform != platform:
        raise _refused(
            f"Illegal to change a model's platform. For model {name} platform was "
            f"{before.model_platform} and new platform requested is {platform}"
        )
    if platform != PLATFORM:
        raise _refused(f"Model {name} requests unsupported platform {platform}")


def _refused(text: str) -> Failure:
    return Failure("INVALID_ARGUMENT", text)


def wanted(model: Any) -> dict[int, str]:
    """Return the version folders that a model's policy wants, highest version first.

    Raises
    ------
    OSError
        When the base path cannot be listed.
    """
    numbered: dict[int, str] = {}
    with os.scandir(model.base_path) as entries:
        folders = sorted(each.path for each in entries if each.is_dir())
    for folder in folders:
        name = os.path.basename(folder)
        if not _NUMBER.fullmatch(name) or int(name) > _LARGEST:
            continue
        if int(name) in numbered:
            log.warning("Duplicate version number: %s and %s", numbered[int(name)], folder)
        numbered[int(name)] = folder
    return {number: numbered[number] for number in _chosen(model, sorted(numbered, reverse=True))}


def _chosen(model: Any, newest_first: list[int]) -> Iterable[int]:
    policy = model.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            return newest_first
        case "specific":
            return [number for number in newest_first if number in policy.specific.versions]
        case _:
            return newest_first[: policy.latest.num_versions or 1]
