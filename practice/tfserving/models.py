"""Which models and versions are served, and the state of each."""

import dataclasses
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from helpers.serving_api import model_server_config_pb2
from practice.tfserving.failures import Failure
from practice.tfserving.litert import LiteRTModel

log = logging.getLogger("practice.tfserving")

START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50
_INT64 = re.compile(r"[0-9]+")


@dataclasses.dataclass
class Version:
    """One version of a model: its state, the reason when it failed, and what runs it."""

    state: int = START
    failure: Failure | None = None
    runner: LiteRTModel | None = None


class Models:
    """All models of the configuration, loaded once at start.

    Parameters
    ----------
    config : ModelServerConfig
        One entry a model, as `--model_config_file` gives it.
    prefer_tflite_model : bool
        The product's flag of that name.
    """

    def __init__(self, config: Any, *, prefer_tflite_model: bool) -> None:
        self._prefer_tflite_model = prefer_tflite_model
        self._configs: dict[str, Any] = {}
        for each in config.model_config_list.config:
            _check_config(each, self._configs)
            self._configs[each.name] = each
        self._versions: dict[str, dict[int, Version]] = {name: {} for name in self._configs}

    def load(
        self,
        stop: threading.Event,
        *,
        retries: int,
        retry_seconds: float,
        poll_seconds: float,
        keep_serving: bool,
    ) -> None:
        """Load every version that the configuration wants.

        A missing folder is waited for, and a model that fails to load is tried again, as
        the product does; then Failure is raised. With `keep_serving` (ours, not the
        product's) the failure stays with that version, and the others are served.
        """
        for name, config in self._configs.items():
            folders = _wanted(config)
            while not folders and not keep_serving and not stop.is_set():
                log.warning("No versions of servable %s found under %s", name, config.base_path)
                stop.wait(poll_seconds)
                folders = _wanted(config)
            for number, folder in folders.items():
                version = self._versions[name][number] = Version()
                self._load_one(name, number, version, folder)
                for _ in range(0 if keep_serving else retries):
                    if version.failure is None or stop.wait(retry_seconds):
                        break
                    self._load_one(name, number, version, folder)
        failed = list(self._failed())
        if failed and not keep_serving:
            causes = "".join(f"{{{each}}}, " for each in failed)
            text = f"{len(failed)} servable(s) did not become available: {{{causes}}}"
            raise Failure("UNKNOWN", text)

    def find(self, spec: Any) -> tuple[int, LiteRTModel]:
        """Return the version number and the runner that a ModelSpec means, or raise Failure."""
        if not spec.name:
            raise Failure("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        versions = self._versions.get(spec.name, {})
        asked = spec.WhichOneof("version_choice")
        number = spec.version.value
        if asked == "version_label":
            labels = self._configs[spec.name].version_labels if spec.name in self._configs else {}
            if spec.version_label not in labels:
                raise Failure(
                    "INVALID_ARGUMENT",
                    f"Unrecognized servable version label: {spec.version_label}",
                )
            number = labels[spec.version_label]
        if asked is None:
            number = max((n for n, v in versions.items() if v.state == AVAILABLE), default=-1)
        version = versions.get(number)
        if version is None or version.runner is None:
            wanted = f"Latest({spec.name})" if asked is None else f"Specific({spec.name}, {number})"
            raise Failure("NOT_FOUND", f"Servable not found for request: {wanted}")
        return number, version.runner

    def status(self, spec: Any) -> dict[int, Version]:
        """Return the versions that a ModelSpec means, highest first; a label is ignored."""
        versions = self._versions.get(spec.name)
        if not versions:
            raise Failure("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        if spec.HasField("version"):
            number = spec.version.value
            if number not in versions:
                raise Failure("NOT_FOUND", f"Could not find version {number} of model {spec.name}")
            return {number: versions[number]}
        return dict(sorted(versions.items(), reverse=True))

    def _load_one(self, name: str, number: int, version: Version, folder: str) -> None:
        version.state, version.failure = LOADING, None
        started = time.monotonic()
        try:
            version.runner = _load_folder(folder, self._prefer_tflite_model)
        except Failure as failure:
            version.state, version.failure = END, failure
            log.error("Loading servable: {name: %s version: %d} failed: %s", name, number, failure)
            return
        version.state = AVAILABLE
        took = 1000 * (time.monotonic() - started)
        log.info("Loaded servable {name: %s version: %d} in %.0f ms", name, number, took)

    def _failed(self) -> Iterator[str]:
        for name, versions in self._versions.items():
            for number, version in versions.items():
                if version.failure:
                    yield f"{{name: {name} version: {number}}} due to error: {version.failure}"


def read_config(path: str) -> Any:
    """Read a `--model_config_file`, or raise Failure as the product words it."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as error:
        kind = model_server_config_pb2.ModelServerConfig.DESCRIPTOR.full_name
        log.error("Error parsing text-format %s: %s", kind, error)
        raise Failure("INVALID_ARGUMENT", f"Invalid protobuf file: '{path}'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Failure("NOT_FOUND", f"{path}; {getattr(error, 'strerror', error)}") from error


def one_model(name: str, base_path: str) -> Any:
    """Return the configuration that `--model_name` and `--model_base_path` stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=name, base_path=os.path.abspath(base_path), model_platform="tensorflow"
    )
    return config


def _check_config(config: Any, before: dict[str, Any]) -> None:
    name = config.name
    if name in before:
        text = f"Illegal to list model {name} multiple times in config list"
    elif not os.path.isabs(config.base_path):
        text = (
            f"Expected model {name} to have an absolute path or URI; "
            f"got base_path()={config.base_path}"
        )
    elif not config.model_platform:
        text = (
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {name}"
        )
    elif config.model_platform != "tensorflow":
        text = f"Model {name} requests unsupported platform {config.model_platform}"
    else:
        return
    raise Failure("INVALID_ARGUMENT", text)


def _wanted(config: Any) -> dict[int, str]:
    """List the version folders that the policy wants, highest version first."""
    try:
        folders = sorted(each.path for each in os.scandir(config.base_path) if each.is_dir())
    except OSError:
        return {}
    numbered = {
        int(name): folder
        for folder in folders
        if _INT64.fullmatch(name := os.path.basename(folder))
    }
    newest_first = sorted(numbered, reverse=True)
    policy = config.model_version_policy
    match policy.WhichOneof("policy_choice"):
        case "all":
            wanted = newest_first
        case "specific":
            wanted = [number for number in newest_first if number in policy.specific.versions]
        case _:
            wanted = newest_first[: policy.latest.num_versions or 1]
    return {number: numbered[number] for number in wanted}


def _load_folder(folder: str, prefer_tflite_model: bool) -> LiteRTModel:
    model = os.path.join(folder, "model.tflite")
    if prefer_tflite_model and os.path.exists(model):
        try:
            return LiteRTModel(model)
        except (ValueError, RuntimeError, OSError) as error:
            raise Failure("INVALID_ARGUMENT", f"{model} cannot be loaded: {error}") from error
    _check_saved_model(folder)
    raise Failure(
        "UNIMPLEMENTED",
        f"{folder} has a SavedModel only, and this service runs model.tflite: "
        "put one beside it and start with --prefer_tflite_model",
    )


def _check_saved_model(folder: str) -> None:
    from helpers.serving_api import saved_model_pb2  # only here: model.tflite needs none

    path = os.path.join(folder, "saved_model.pb")
    if not os.path.exists(path):
        text = (
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}"
        )
        raise Failure("NOT_FOUND", text)
    try:
        with open(path, "rb") as file:
            saved_model_pb2.SavedModel.FromString(file.read())
    except (DecodeError, OSError) as error:
        raise Failure("DATA_LOSS", f"Can't parse {path} as binary proto") from error
