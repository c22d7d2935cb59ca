"""The command line: four doors, two of them as the original has them."""

import argparse
from pathlib import Path

import grpc

from practice import credentials
from practice.ccai.grpc_service import Authentication, InferenceService
from practice.ccai.rest import User, application
from practice.ccai.room import Room
from practice.host import flags as shared
from practice.host import server, signals, web
from protos import inference_service_pb2_grpc


def main(arguments: list[str] | None = None) -> int:
    """Open the doors and serve until told to end."""
    flags = _parse(arguments)
    server.start_log()
    activity = server.Activity()
    stop = signals.Stop()
    try:
        doors = _open(flags, activity)
    except (OSError, RuntimeError, ValueError) as error:
        server.log.error("The service cannot start: %s", error)
        return 1
    if not doors:
        server.log.error("Every port is 0: there is nothing to serve.")
        return 1
    for flag in ("rest_port", "grpc_port", "secure_rest_port", "secure_grpc_port"):
        server.log.info("%s: %s:%d", flag, server.LOOPBACK, getattr(flags, flag))
    server.run(doors, activity, stop, flags)
    return 0


def _open(flags: argparse.Namespace, activity: server.Activity) -> list[server.Door]:
    """Bind the ports; nothing is answered before `server.run`."""
    room, doors, source = Room(), list[server.Door](), server.trouble_source(flags)
    service = InferenceService(room)
    # As the original without key and users.
    if flags.rest_port:
        app = server.troubled(application(room), source)
        doors.append(web.WebServer(app, flags.rest_port, activity))
    if flags.grpc_port:
        plain = server.grpc_server(activity, source)
        plain.add_insecure_port(f"{server.LOOPBACK}:{flags.grpc_port}")
        doors.append(_grpc_door(plain, service))
    # As the original behaves on those two ports with key and users. Here both are open at once.
    if flags.secure_rest_port or flags.secure_grpc_port:
        certificate, user = _secrets(flags.folder)
    if flags.secure_rest_port:
        app = server.troubled(application(room, user), source)
        doors.append(web.WebServer(app, flags.secure_rest_port, activity, certificate))
    if flags.secure_grpc_port:
        secure = server.grpc_server(activity, source, Authentication(user))
        pair = (certificate.key.read_bytes(), certificate.chain.read_bytes())
        secure.add_secure_port(
            f"{server.LOOPBACK}:{flags.secure_grpc_port}", grpc.ssl_server_credentials([pair])
        )
        doors.append(_grpc_door(secure, service))
    return doors


def _grpc_door(grpc_server: grpc.Server, service: InferenceService) -> server.Door:
    inference_service_pb2_grpc.add_InferenceServicer_to_server(service, grpc_server)
    return server.GrpcDoor(grpc_server)


def _secrets(folder: Path | None) -> tuple[credentials.Certificate, User]:
    with credentials.home(folder) as home:
        return credentials.certificate(home), User(*credentials.user(home, "ccai"))


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m practice.ccai",
        description="A local CCAI: REST and gRPC, each without and with TLS and user.",
        allow_abbrev=False,
    )
    doors = {
        "--rest-port": (8080, "REST, plain"),
        "--grpc-port": (8081, "gRPC, plain"),
        "--secure-rest-port": (8443, "REST over TLS, with user and password"),
        "--secure-grpc-port": (8444, "gRPC over TLS, with user and password"),
    }
    for flag, (port, what) in doors.items():
        help_text = f"{what} (default: {port}; 0 is off)"
        parser.add_argument(flag, type=_port, default=port, metavar="PORT", help=help_text)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where certificate, key and user lie or are made; default: the state folder",
    )
    shared.add_lifetime(parser)
    shared.add_trouble(parser)
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return int(text)
