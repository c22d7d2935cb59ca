"""What a reader's client really sends: an address of its own, behind which the service answers."""

import contextlib
import json
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc

from helpers import channels
from helpers.endpoints import Endpoint
from helpers.serving_api import predict_pb2
from practice import processes
from practice.exercises import Wrong
from practice.host.peers import of_this_user

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_MOST = 50  # calls that are kept
_LARGEST = 16 * 1024 * 1024  # bytes of a message or body
_PATIENCE = 60.0  # seconds, for a call without a deadline
_SHOWN = ("content-type", "user-agent")  # of the headers; others may be secrets
_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class Call:
    """A call that came to a recorder.

    Parameters
    ----------
    method : str
        `gRPC`, or that of HTTP.
    path : str
        As it was sent.
    headers : mapping of str to str
        Those that are no secret.
    body : bytes
        The message or body. It is not shown; the names of its fields are.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def __str__(self) -> str:
        headers = ", ".join(f"{name}: {value[:100]}" for name, value in self.headers.items())
        fields = ", ".join(self._fields()) or "no fields"
        return f"{self.method} {self.path[:200]} ({headers}), {len(self.body):,} bytes: {fields}"

    @property
    def predict_request(self) -> Any:
        """The message of a Predict over gRPC; an empty one of another call."""
        with contextlib.suppress(Exception):  # protobuf's own, of what is no message
            if self.path == PREDICT:
                return predict_pb2.PredictRequest.FromString(self.body)
        return predict_pb2.PredictRequest()

    @property
    def json(self) -> dict[str, Any]:
        """The object of a body of JSON; an empty one of another body."""
        with contextlib.suppress(ValueError):
            content = json.loads(self.body)
            return content if isinstance(content, dict) else {}
        return {}

    def _fields(self) -> list[str]:
        """Return the names of what was sent, with the values that name a model or a signature."""
        if self.path == PREDICT:
            request = self.predict_request
            inputs = [
                f"inputs.{name} {[dim.size for dim in tensor.tensor_shape.dim]}"
                for name, tensor in sorted(request.inputs.items())
            ]
            spec = request.model_spec
            return [
                f"model_spec.name {spec.name}",
                f"model_spec.signature_name {spec.signature_name}",
                *inputs,
            ]
        if self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return list(urllib.parse.parse_qs(self.body.decode(errors="replace"), True))
        name = self.json.get("signature_name")
        return [f"{key} {name}" if key == "signature_name" else key for key in self.json]


@contextlib.contextmanager
def recorded(endpoint: Endpoint, protocol: str) -> Iterator[tuple[str, deque[Call]]]:
    """Open an address where a service answers, and record the calls that come there.

    It is for this user's programs, and ends with the block. What the service is sent and what it
    answers is not changed.

    Parameters
    ----------
    endpoint : Endpoint
        The service.
    protocol : str
        `grpc`, with unary calls, or `rest`.

    Yields
    ------
    address : str
        As a client takes it: `host:port` for gRPC, a URL for REST.
    calls : deque of Call
        The last fifty, oldest first. `Wrong` takes them along, for whoever grades.
    """
    calls: deque[Call] = deque(maxlen=_MOST)
    port = processes.choose_port()
    serve = _grpc if protocol == "grpc" else _rest
    try:
        with serve(endpoint, port, calls.append) as address:
            yield address, calls
    except Wrong as error:
        error.calls = tuple(calls)
        raise


@contextlib.contextmanager
def _grpc(endpoint: Endpoint, port: int, note: Callable[[Call], None]) -> Iterator[str]:
    address = f"127.0.0.1:{port}"
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        handlers=[_Forwarder(channels.channel(endpoint), note)],
        interceptors=[of_this_user().guard(("127.0.0.1", port))],
        options=[("grpc.max_receive_message_length", _LARGEST), ("grpc.so_reuseport", 0)],
    )
    server.add_insecure_port(address)
    server.start()
    try:
        yield address
    finally:
        server.stop(grace=None).wait()


class _Forwarder(grpc.GenericRpcHandler):
    """Hands every unary call on as it came, in bytes."""

    def __init__(self, channel: grpc.Channel, note: Callable[[Call], None]) -> None:
        self._channel = channel
        self._note = note

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method

        def forward(message: bytes, context: grpc.ServicerContext) -> bytes:
            sent = context.invocation_metadata()
            shown = {key: value for key, value in sent if key in _SHOWN}
            self._note(Call("gRPC", method, shown, message))
            metadata = [(key, value) for key, value in sent if key not in _SHOWN]
            call = self._channel.unary_unary(method)
            seconds = min(context.time_remaining() or _PATIENCE, _PATIENCE)
            try:
                return call(message, timeout=seconds, metadata=metadata)
            except grpc.RpcError as error:
                return context.abort(error.code(), error.details())

        return grpc.unary_unary_rpc_method_handler(forward)


@contextlib.contextmanager
def _rest(endpoint: Endpoint, port: int, note: Callable[[Call], None]) -> Iterator[str]:
    # A second, and the checks of other protocols need none of it.
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import Response

    from practice.host import server, web

    session = channels.session(endpoint)

    def forward(call: Call, headers: Mapping[str, str]) -> Response:
        answer = session.request(
            call.method,
            f"{endpoint.rest}{call.path}",
            data=call.body,
            headers={key: value for key, value in headers.items() if key not in _HOP_BY_HOP},
            verify=session.verify,
            timeout=_PATIENCE,
            allow_redirects=False,
        )
        # requests has inflated the body.
        left_out = {*_HOP_BY_HOP, "content-encoding", "date", "server"}
        kept = {key: value for key, value in answer.headers.items() if key.lower() not in left_out}
        return Response(answer.content, answer.status_code, kept)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        try:
            body = await web.read_body(request, _LARGEST)
        except web.TooLarge:
            await Response("The body is too large.", 413)(scope, receive, send)
            return
        shown = {key: value for key, value in request.headers.items() if key in _SHOWN}
        call = Call(request.method, path, shown, body)
        note(call)
        response = await run_in_threadpool(forward, call, request.headers)
        await response(scope, receive, send)

    own = web.WebServer(app, port, server.Activity(of_this_user()))
    own.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        own.stop()
