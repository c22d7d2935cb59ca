"""The ports of the service: gRPC's, a UNIX socket beside it, and REST's."""

import argparse
import contextlib
import functools
import os
import socket
import stat
from typing import Any

import grpc

from helpers import serving_api
from helpers.serving_api import model_service_pb2_grpc, prediction_service_pb2_grpc
from practice.host import server
from practice.host.reflection import OnDemand, reflection
from practice.tfserving import messages, monitoring, textproto
from practice.tfserving.failures import Failure, invalid
from practice.tfserving.models import Models
from practice.tfserving.service import ModelService, PredictionService
from protos.server_files_pb2 import SSLConfig

_HEALTH = "grpc.health.v1.Health"


def open_all(
    flags: argparse.Namespace, models: Models, activity: server.Activity
) -> list[server.Server]:
    """Bind the ports, now that the models are ready; nothing is answered before they start."""
    trouble = server.trouble_source(flags)
    metrics = monitoring.Unmonitored()
    page = None
    if flags.monitoring_config_file:
        page = monitoring.read_monitoring_config(flags.monitoring_config_file)
        metrics = monitoring.Monitoring() if page else metrics
    ports: list[server.Server] = []
    if flags.port or flags.grpc_socket_path:
        as_content = flags.enable_serialization_as_tensor_content
        prediction = PredictionService(models, metrics, as_content=as_content)
        opened = server.GrpcServer(
            activity,
            trouble,
            flags.port,
            messages.Predicting(prediction.Predict),
            threads=flags.grpc_max_threads,
            options=_channel_arguments(flags.grpc_channel_arguments),
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, opened.grpc)
        _add_services(opened.grpc, flags, models)
        _bind(opened.grpc, flags)
        ports.append(opened)
    if flags.rest_api_port and flags.rest_api_port == flags.port:
        server.log.info("rest_api_port is same as port; REST is not served.")
    elif flags.rest_api_port:
        # 70 ms, and the port may be 0.
        from practice.host import web
        from practice.tfserving import rest

        app = rest.app(
            models,
            metrics,
            timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
            cors=flags.rest_api_enable_cors_support,
            prometheus_path=page or "",
            threads=flags.rest_api_num_threads,
        )
        try:
            port = web.WebServer(server.troubled(app, trouble), flags.rest_api_port, activity)
        except OSError as error:
            raise Failure("UNKNOWN", f"Error starting HTTP server: bind: {error}") from error
        ports.append(port)
    return ports


def _add_services(grpc_server: grpc.Server, flags: argparse.Namespace, models: Models) -> None:
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(models), grpc_server)
    health = flags.enable_grpc_healthcheck_service
    on_demand = [reflection(functools.partial(_modules, health=health))]
    if health:
        on_demand.append(OnDemand(_HEALTH, _add_health))
    grpc_server.add_generic_rpc_handlers(on_demand)


def _modules(*, health: bool) -> list[Any]:
    modules = [serving_api.prediction_service_pb2, serving_api.model_service_pb2]
    if health:
        from grpc_health.v1 import health_pb2

        modules.append(health_pb2)
    return modules


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


def _add_health(to: Any) -> None:
    """Serve `grpc.health.v1`, under the product's bare names."""
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    servicer = health.HealthServicer()
    for name in ("", "ModelService", "PredictionService"):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, to)


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
        raise invalid(f"Invalid SSL configuration: {error}") from error


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Read key=value,key=value: what reads as a 32-bit number is one, the rest is text."""
    arguments: list[tuple[str, int | str]] = []
    for pair in filter(None, text.split(",")):
        key, _, value = pair.partition("=")
        argument: int | str = value
        with contextlib.suppress(ValueError):
            argument = int(value) if -(2**31) <= int(value) < 2**31 else value
        arguments.append((key, argument))
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
