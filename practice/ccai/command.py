"""The command line: four ports, two of them as the original has them."""

import argparse
import os

import grpc

from practice import credentials
from practice.ccai.backend import Backend
from practice.ccai.grpc_service import Authentication, InferenceService
from practice.ccai.rest import User, application
from practice.credentials import Certificate
from practice.host import flags as shared
from practice.host import server, web
from practice.host.reflection import reflection
from practice.ports import DEFAULT as PORTS
from protos import inference_service_pb2, inference_service_pb2_grpc

_PORTS = {
    "rest": "REST, plain",
    "grpc": "gRPC, plain",
    "secure_rest": "REST over TLS, with user and password",
    "secure_grpc": "gRPC over TLS, with user and password",
}


def main(arguments: list[str] | None = None) -> int:
    """Bind the ports and serve until told to end."""
    flags = _parse(arguments)
    return server.main(flags, lambda activity: _open(flags, activity))


def _open(flags: argparse.Namespace, activity: server.Activity) -> list[server.Server]:
    """Bind the ports; nothing is answered before `server.run`."""
    # Else the last of thirty who ask at once would wait longer than the chapters do.
    at_once = (os.cpu_count() or 1) if activity.students else 1
    backend = Backend(at_once)
    activity.problem = backend.policy.problem
    activity.loaded = backend.loaded
    if activity.students:
        backend.warm()
    service = InferenceService(backend, at_once)
    source = server.trouble_source(flags)
    servers: list[server.Server] = []

    def add(rest_port: int, grpc_port: int, user: User | None, files: Certificate | None) -> None:
        if rest_port:
            app = server.troubled(application(backend, user), source)
            servers.append(web.WebServer(app, rest_port, activity, files))
        if grpc_port:
            guards = [Authentication(user)] if user else []
            opened = server.GrpcServer(activity, source, grpc_port, *guards)
            inference_service_pb2_grpc.add_InferenceServicer_to_server(service, opened.grpc)
            # An addition: who calls with grpcurl or Postman needs no .proto file.
            opened.grpc.add_generic_rpc_handlers([reflection(lambda: [inference_service_pb2])])
            address = f"{server.LOOPBACK}:{grpc_port}"
            if files:
                opened.tls = True
                pair = (files.key.read_bytes(), files.chain.read_bytes())
                opened.grpc.add_secure_port(address, grpc.ssl_server_credentials([pair]))
            else:
                opened.grpc.add_insecure_port(address)
            servers.append(opened)

    # As the original without key and users.
    add(flags.rest_port, flags.grpc_port, None, None)
    # As the original behaves on those two ports with key and users. Here both are open at once.
    if flags.secure_rest_port or flags.secure_grpc_port:
        with credentials.home(flags.folder) as folder:
            files = credentials.certificate(folder)
            user = User(*credentials.user(folder, "ccai"), activity.students)
        add(flags.secure_rest_port, flags.secure_grpc_port, user, files)
    return servers


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = shared.parser(
        "practice.ccai",
        "A local CCAI: REST and gRPC, each without and with TLS and user.",
        "certificate, key and user",
    )
    for key, what in _PORTS.items():
        port = PORTS["ccai"][key]
        parser.add_argument(
            f"--{key.replace('_', '-')}-port",
            type=shared.port_or_none,
            default=port,
            metavar="PORT",
            help=f"{what} (default: {port}; 0 is off)",
        )
    shared.add_lifetime(parser)
    shared.add_trouble(parser)
    return parser.parse_args(arguments)
