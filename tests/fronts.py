"""What stands before a model server in a company: a token, a path, certificates on both sides.

Each passes calls on to a practice TensorFlow Serving, and refuses those that lack something.
"""

import concurrent.futures
import contextlib
import dataclasses
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import requests
import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from helpers.endpoints import Endpoint

PREFIX = "/models/team"
TOKEN = "eyJhbGciOi.s3cr3t-of-the-front.x"
METHODS = ["GET", "POST"]


@dataclasses.dataclass
class Front:
    """Where it is, and what a caller needs.

    `seen` has the headers, or the metadata, of each call.
    """

    address: str
    ca_file: str
    cert_file: str
    key_file: str
    seen: list[dict[str, str]]

    def endpoint(self, protocol: str, **fields: Any) -> Endpoint:
        """Return it as an endpoint that has all that is asked for, but for what is given."""
        complete: dict[str, Any] = {
            protocol: self.address,
            "ca_file": self.ca_file,
            "cert_file": self.cert_file,
            "key_file": self.key_file,
            "headers": {"Authorization": f"Bearer {TOKEN}"},
        }
        return Endpoint("tfserving", **complete | {"model": "iris"} | fields)


class _Files:
    """A server's certificate, its authority, and a client's certificate, as files."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = authority.cert_pem
        self.server = authority.issue_cert("127.0.0.1")
        client = authority.issue_cert("client@example.org")
        self.ca_file, self.server_file, self.cert_file, self.key_file = (
            str(folder / f"{name}.pem") for name in ("ca", "server", "client", "client-key")
        )
        self.ca.write_to_path(self.ca_file)
        self.server.private_key_and_cert_chain_pem.write_to_path(self.server_file)
        client.cert_chain_pems[0].write_to_path(self.cert_file)
        client.private_key_pem.write_to_path(self.key_file)

    def front(self, address: str) -> Front:
        return Front(address, self.ca_file, self.cert_file, self.key_file, [])


@contextlib.contextmanager
def rest_front(behind: str, folder: Path, *, client_certificate: bool = False) -> Iterator[Front]:
    """Stand before a REST address, over TLS, below `PREFIX`, for who has the bearer `TOKEN`."""
    files = _Files(folder)
    listener = socket.create_server(("127.0.0.1", 0))
    front = files.front(f"https://127.0.0.1:{listener.getsockname()[1]}{PREFIX}")

    async def body(request: Request) -> Response:
        return await pass_on(request, await request.body())

    async def pass_on(request: Request, content: bytes) -> Response:
        front.seen.append(dict(request.headers))
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": "RBAC: access denied"}, 401)
        url = behind + request.url.path.removeprefix(PREFIX)
        answer = await _in_thread(requests.request, request.method, url, data=content, timeout=30)
        return Response(answer.content, answer.status_code, media_type="application/json")

    server = uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Route(f"{PREFIX}/{{rest:path}}", body, methods=METHODS)]),
            log_level="error",
            lifespan="off",
            ssl_certfile=files.server_file,
            ssl_ca_certs=files.ca_file,
            ssl_cert_reqs=ssl.CERT_REQUIRED if client_certificate else ssl.CERT_NONE,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()  # the listener takes connections already
    try:
        yield front
    finally:
        server.should_exit = server.force_exit = True  # a client may keep its connection open
        thread.join()


async def _in_thread(function: Any, *arguments: Any, **named: Any) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *arguments, **named)


class _PassOn(grpc.GenericRpcHandler):
    def __init__(self, behind: grpc.Channel, front: Front) -> None:
        self._behind = behind
        self._front = front

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        metadata: dict[str, Any] = dict(details.invocation_metadata)
        self._front.seen.append(metadata)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            if metadata.get("authorization") != f"Bearer {TOKEN}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Jwt is missing")
            call = self._behind.unary_unary(details.method).future(request, timeout=30)
            if call.exception():
                context.abort(call.code(), call.details())
            return call.result()

        return grpc.unary_unary_rpc_method_handler(answer)


@contextlib.contextmanager
def grpc_front(behind: str, folder: Path, *, tls: bool = True) -> Iterator[Front]:
    """Stand before a gRPC address, for who has the bearer `TOKEN` and, over TLS, a certificate."""
    files = _Files(folder)
    with (
        grpc.insecure_channel(behind, [("grpc.enable_http_proxy", 0)]) as channel,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        server = grpc.server(pool)
        if tls:
            pair = (files.server.private_key_pem.bytes(), files.server.cert_chain_pems[0].bytes())
            credentials = grpc.ssl_server_credentials([pair], files.ca.bytes(), True)
            port = server.add_secure_port("127.0.0.1:0", credentials)
        else:
            port = server.add_insecure_port("127.0.0.1:0")
        front = files.front(f"127.0.0.1:{port}")
        server.add_generic_rpc_handlers([_PassOn(channel, front)])
        server.start()
        try:
            yield front
        finally:
            server.stop(None).wait()
