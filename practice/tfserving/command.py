"""The command line: tensorflow_model_server's own flags, its start and its end."""

import argparse
import logging
import threading

import grpc

from helpers.serving_api import model_service_pb2_grpc, prediction_service_pb2_grpc
from practice import flags as shared
from practice import server
from practice.tfserving import extras
from practice.tfserving.failures import Failure
from practice.tfserving.models import Models, one_model, read_config
from practice.tfserving.service import ModelService, PredictionService

FAILED = 255  # the product's exit status when it cannot start
log = logging.getLogger("practice.tfserving")


def main(arguments: list[str] | None = None) -> int:
    """Load the models, open the port, serve until told to end."""
    flags = _parse(arguments)
    server.start_log()
    activity, stop = server.Activity(), server.stop_on_signals()
    try:
        models = _load(flags, stop)
        grpc_server = _open(flags, models, activity)
    except (Failure, ValueError) as failure:
        print(f"Failed to start server. Error: {failure}", flush=True)
        return FAILED
    if stop.is_set():
        return 0
    log.info("Running gRPC ModelServer at %s:%d ...", server.LOOPBACK, flags.port)
    server.run([server.GrpcDoor(grpc_server)], activity, stop, flags)
    return 0


def _load(flags: argparse.Namespace, stop: threading.Event) -> Models:
    if not flags.port:
        raise Failure(
            "INVALID_ARGUMENT",
            "At least one of server_options.grpc_port or server_options.grpc_socket_path "
            "must be set.",
        )
    if flags.model_config_file:
        config = read_config(flags.model_config_file)
    elif flags.model_base_path:
        config = one_model(flags.model_name, flags.model_base_path)
    else:
        raise Failure(
            "INVALID_ARGUMENT",
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
        )
    models = Models(config, prefer_tflite_model=flags.prefer_tflite_model)
    models.load(
        stop,
        retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
        poll_seconds=flags.file_system_poll_wait_seconds,
        keep_serving=flags.keep_serving_on_load_failure,
    )
    return models


def _open(flags: argparse.Namespace, models: Models, activity: server.Activity) -> grpc.Server:
    """Bind the port, now that the models are ready; nothing is answered before `run`."""
    grpc_server = server.grpc_server(activity, server.trouble_source(flags))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(models), grpc_server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), grpc_server)
    names = ["tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"]
    if flags.enable_grpc_healthcheck_service:
        extras.add_health(grpc_server)
        names.append(extras.HEALTH)
    extras.add_reflection(grpc_server, names)
    try:
        grpc_server.add_insecure_port(f"{server.LOOPBACK}:{flags.port}")
    except RuntimeError as error:
        raise Failure("UNKNOWN", f"Error starting gRPC server: {error}") from error
    return grpc_server


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="python -m practice.tfserving",
        description="A local TensorFlow Serving: the product's gRPC, flags and error texts.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--port", type=_port, default=8500, help="gRPC port (0 is off)")
    add("--model_name", default="default", help="name of the one model")
    add("--model_base_path", default="", help="its folder, holding a folder for each version")
    add("--model_config_file", default="", help="ModelServerConfig in text form, for more models")
    _add_switch(parser, "--prefer_tflite_model", "run model.tflite where there is one")
    _add_switch(parser, "--enable_grpc_healthcheck_service", "serve grpc.health.v1 too")
    add("--max_num_load_retries", type=int, default=5, help="tries more when a load fails")
    add("--load_retry_interval_micros", type=int, default=60_000_000, help="time between them")
    add("--file_system_poll_wait_seconds", type=float, default=1, help="wait for a first version")
    ours = parser.add_argument_group("not in the product")
    _add_switch(
        ours,
        "--keep_serving_on_load_failure",
        "a model that fails to load does not keep the others from being served",
    )
    shared.add_lifetime(ours)
    shared.add_trouble(ours)
    flags, unknown = parser.parse_known_args(arguments)
    for argument in unknown:  # the product says so and goes on
        print(f"unknown argument: {argument}\n{parser.format_usage()}", flush=True)
    return flags


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"{message}\n{self.format_usage()}", flush=True)
        raise SystemExit(FAILED)


def _add_switch(group: argparse._ActionsContainer, name: str, help_text: str) -> None:
    group.add_argument(
        name, type=_switch, nargs="?", const=True, default=False, metavar="BOOL", help=help_text
    )


def _switch(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65536:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return port
