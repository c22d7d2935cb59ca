"""The ports of the service: gRPC's, a UNIX socket beside it, and REST's."""

import argparse
import contextlib
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from helpers.serving_api import model_service_pb2_grpc, prediction_service_pb2_grpc
from practice.host import server
from practice.tfserving import extras, textproto
from practice.tfserving.failures import Failure
from practice.tfserving.models import Models
from practice.tfserving.service import ModelService, PredictionService
from protos.server_files_pb2 import SSLConfig


def open_all(
    flags: argparse.Namespace, models: Models, activity: server.Activity
) -> list[server.Door]:
    """Bind the ports, now that the models are ready; nothing is answered before they start."""
    source, monitoring = server.trouble_source(flags), _monitoring(flags)
    doors: list[server.Door] = []
    if flags.port or flags.grpc_socket_path:
        grpc_server = server.grpc_server(
            activity,
            source,
            _Decoding(),
            threads=flags.grpc_max_threads,
            options=_channel_arguments(flags.grpc_channel_arguments),
        )
        _add_services(grpc_server, flags, models, monitoring)
        _bind(grpc_server, flags)
        doors.append(server.GrpcDoor(grpc_server))
    if flags.rest_api_port and flags.rest_api_port == flags.port:
        server.log.info("rest_api_port is same as port; REST is not served.")
    elif flags.rest_api_port:
        doors.append(_rest(flags, models, activity, source, monitoring))
    return doors


def _add_services(
    grpc_server: grpc.Server, flags: argparse.Namespace, models: Models, monitoring: Any
) -> None:
    prediction = PredictionService(
        models,
        as_content=flags.enable_serialization_as_tensor_content,
        monitoring=monitoring and monitoring[0],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, grpc_server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), grpc_server)
    names = ["tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"]
    if flags.enable_grpc_healthcheck_service:
        extras.add_health(grpc_server)
        names.append(extras.HEALTH)
    extras.add_reflection(grpc_server, names)


def _bind(grpc_server: grpc.Server, flags: argparse.Namespace) -> None:
    credentials = _credentials(flags.ssl_config_file)
    addresses = [f"{server.LOOPBACK}:{flags.port}"] if flags.port else []
    if flags.grpc_socket_path:
        _remove_stale_socket(flags.grpc_socket_path)
        addresses.append(f"unix:{flags.grpc_socket_path}")
    for address in addresses:
        try:
            if credentials:
                grpc_server.add_secure_port(address, credentials)
            else:
                grpc_server.add_insecure_port(address)
        except RuntimeError as error:
            raise Failure("UNKNOWN", f"Error starting gRPC server: {error}") from error


class _Decoding(grpc.ServerInterceptor):
    """Answers what is no message as the product does: INTERNAL without a text.

    gRPC for Python would log a traceback each time, and keep 17 KB of memory for good.
    """

    def __init__(self) -> None:
        self._tolerant: dict[str, Any] = {}

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        if method not in self._tolerant:
            handler = continuation(handler_call_details)
            if handler is None or not (handler.unary_unary and handler.request_deserializer):
                return handler
            self._tolerant[method] = _tolerant(handler)
        return self._tolerant[method]


def _tolerant(handler: Any) -> Any:
    def read(content: bytes) -> Any:
        try:
            return handler.request_deserializer(content)
        except DecodeError as error:
            return error

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        if isinstance(request, DecodeError):
            context.abort(grpc.StatusCode.INTERNAL, "")
        return handler.unary_unary(request, context)

    return grpc.unary_unary_rpc_method_handler(answer, read, handler.response_serializer)


def _rest(
    flags: argparse.Namespace,
    models: Models,
    activity: server.Activity,
    source: Any,
    monitored: Any,
) -> server.Door:
    # 70 ms, and the port may be 0.
    from practice.host import web
    from practice.tfserving import rest

    monitoring, path = monitored or (None, "")
    app = rest.app(
        models,
        timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
        cors=flags.rest_api_enable_cors_support,
        monitoring=monitoring,
        prometheus_path=path,
        threads=flags.rest_api_num_threads,
    )
    try:
        return web.WebServer(server.troubled(app, source), flags.rest_api_port, activity)
    except OSError as error:
        raise Failure("UNKNOWN", f"Error starting HTTP server: bind: {error}") from error


def _monitoring(flags: argparse.Namespace) -> Any:
    """Return the metrics and the path of their page; None when they are not asked for."""
    if not flags.monitoring_config_file:
        return None
    from practice.tfserving import monitoring  # 30 ms

    path = monitoring.read_monitoring_config(flags.monitoring_config_file)
    return (monitoring.Monitoring(), path) if path else None


def _credentials(path: str) -> grpc.ServerCredentials | None:
    if not path:
        return None
    ssl = textproto.read(path, SSLConfig())
    try:
        return grpc.ssl_server_credentials(
            [(ssl.server_key.encode(), ssl.server_cert.encode())],
            root_certificates=ssl.custom_ca.encode() or None,
            require_client_auth=ssl.client_verify,
        )
    except ValueError as error:
        raise Failure("INVALID_ARGUMENT", f"Invalid SSL configuration: {error}") from error


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Read key=value,key=value: what reads as a 32-bit number is one, the rest is text."""
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        key, _, value = pair.partition("=")
        number: int | None = None
        with contextlib.suppress(ValueError):
            number = int(value)
        fits = number is not None and -(2**31) <= number < 2**31
        arguments.append((key, number if fits and number is not None else value))
    return arguments


def _remove_stale_socket(path: str) -> None:
    """Remove a socket file that nobody listens at; one in use, and any other file, stays."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise Failure("UNKNOWN", f"{path} is there, and is not a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
                return
        raise Failure("UNKNOWN", f"Another server listens at {path}")
