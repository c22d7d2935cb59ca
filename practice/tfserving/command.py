"""The service's start and its end, as tensorflow_model_server has them."""

import argparse
import logging
import sys
import threading

from helpers.interrupts import Stop
from practice.host import server
from practice.tfserving import config, ports
from practice.tfserving.failures import Failure, invalid
from practice.tfserving.flags import FAILED, WITHOUT_EFFECT, parse
from practice.tfserving.folders import Folders
from practice.tfserving.loader import Loader
from practice.tfserving.models import Models, Policy

log = logging.getLogger("practice.tfserving")


def main(arguments: list[str] | None = None) -> int:
    """Load the models, open the ports, serve until told to end."""
    flags = parse(arguments)
    if flags.version:
        from importlib import metadata  # 12 ms, and a start needs none of it

        print(f"TensorFlow ModelServer: {metadata.version('tensorflow-serving-api')}")
        builds = ("tensorflow", "tensorflow-cpu")
        library = [
            found.version for build in builds for found in metadata.distributions(name=build)
        ]
        print(f"TensorFlow Library: {library[0] if library else 'not installed'}")
        return 0
    server.start_log()
    _log_idle_flags(flags)
    activity = server.Activity.of(flags)
    stop = Stop()
    try:
        models = _load(flags, stop)
        activity.problem = models.problem
        activity.loaded = lambda: models.started and "tensorflow.python" in sys.modules
        activity.unloaded = ["--load_at_first_call"]
        opened = server.with_door(ports.open_all(flags, models, activity), activity, flags)
    except (Failure, OSError, ValueError) as failure:
        print(f"Failed to start server. Error: {failure}", flush=True)
        return FAILED
    if stop.is_set():
        return 0
    log.info("Running gRPC ModelServer at %s:%d ...", server.LOOPBACK, flags.port)
    if flags.rest_api_port:
        log.info("Exporting HTTP/REST API at:%s:%d ...", server.LOOPBACK, flags.rest_api_port)
    _poll_config_file(flags, models, stop)
    server.run(opened, activity, stop, flags)
    models.close()
    return 0


def _load(flags: argparse.Namespace, stop: threading.Event) -> Models:
    if not (flags.port or flags.grpc_socket_path):
        raise invalid(
            "At least one of server_options.grpc_port or server_options.grpc_socket_path "
            "must be set."
        )
    if flags.model_config_file:
        models_config = config.read(flags.model_config_file)
    elif flags.model_base_path:
        models_config = config.one_model(flags.model_name, flags.model_base_path)
    else:
        raise invalid(
            "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    policy = Policy(
        poll_seconds=flags.file_system_poll_wait_seconds,
        retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        checks_methods=flags.enable_signature_method_name_check,
        keep_serving=flags.keep_serving_on_load_failure,
    )
    folders = Folders(models_config) if flags.this_user_only else None
    models = Models(Loader(flags), policy, folders)
    if flags.load_at_first_call:
        models.start_late(models_config)
    else:
        models.start(models_config, stop)
    return models


def _poll_config_file(flags: argparse.Namespace, models: Models, stop: threading.Event) -> None:
    """Read the file again and again; one that is bad is logged, and what was there stays."""
    if not flags.model_config_file or flags.model_config_file_poll_wait_seconds <= 0:
        return

    def poll() -> None:
        while not stop.wait(flags.model_config_file_poll_wait_seconds):
            try:
                models.take(config.read(flags.model_config_file))
            except Failure as failure:
                log.error("Failed to read ModelServerConfig file: %s", failure)

    threading.Thread(target=poll, name="config file", daemon=True).start()


def _log_idle_flags(flags: argparse.Namespace) -> None:
    idle = [name for name, default in WITHOUT_EFFECT.items() if getattr(flags, name) != default]
    if idle:
        log.warning("These flags are accepted and have no effect here: --%s", ", --".join(idle))
