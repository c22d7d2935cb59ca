"""The REST port: TensorFlow Serving's URLs, status codes and headers.

See tensorflow_serving/model_servers: http_server.cc, http_rest_api_handler.cc and
http_rest_api_util.cc.
"""

import asyncio
import contextlib
import logging
import os
import re
import time
import zlib
from collections.abc import Callable
from concurrent import futures
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response

from helpers import json_numbers
from helpers.serving_api import model_pb2
from practice.host import limits, web
from practice.host.statuses import STATUSES
from practice.tfserving import inference, json_input, json_output, service
from practice.tfserving.engine import DEFAULT_SIGNATURE, Servable
from practice.tfserving.failures import Failure, as_failure, invalid
from practice.tfserving.models import Models
from practice.tfserving.monitoring import Monitoring, Unmonitored

log = logging.getLogger("practice.tfserving")

_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_JSON = {"content-type": "application/json"}
# libevent's own page, which the product leaves to it
_NOT_FOUND = """\
<HTML><HEAD>
<TITLE>404 Not Found</TITLE>
</HEAD><BODY>
<H1>Not Found</H1>
</BODY></HTML>
"""
_MODEL = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_URLS = {
    "POST": rf"/v1/models/(?P<name>[^/:]+){_MODEL}:(?P<verb>classify|regress|predict)",
    "GET": rf"/v1/models(?:/(?P<name>[^/:]+))?{_MODEL}(?:/(?P<verb>metadata))?",
}
_PATTERNS = {method: re.compile(url, re.IGNORECASE | re.ASCII) for method, url in _URLS.items()}
_SMALL = 16 * 1024  # bytes
_MOST_VALUES = 2**23  # of a JSON document
_VALUE_SIZE = 64  # bytes that a value may come to, once it is read
_LARGEST_INFLATED = 100 * 1024 * 1024


def app(
    models: Models,
    metrics: Unmonitored,
    *,
    timeout_seconds: float,
    cors: bool,
    prometheus_path: str = "",
    threads: int = 0,
) -> Callable:
    """Make the ASGI application.

    Parameters
    ----------
    models : Models
    metrics : Monitoring or Unmonitored
        Told of each request.
    timeout_seconds : float
        How long the engine may take; 0 is forever.
    cors : bool
        Whether pages from elsewhere may call.
    prometheus_path : str
        Of the page of metrics.
    threads : int
        How many requests may be under way at once; 0 is four for each processor.
    """
    pool = futures.ThreadPoolExecutor(threads or 4 * (os.cpu_count() or 1), "rest")
    timeout = timeout_seconds if timeout_seconds > 0 else inference.NEVER
    handler = _Handler(models, timeout, metrics)

    def respond(call: _Call) -> Response:
        if isinstance(metrics, Monitoring) and call.path == prometheus_path:
            return _page(metrics, call.target, call.path)
        if not call.target.lower().startswith("/v1/"):
            headers = {"content-type": "text/html; charset=ISO-8859-1", "connection": "close"}
            return Response(_NOT_FOUND, 404, headers)
        response = handler.respond(call)
        if cors:
            response.headers.update(_CORS)
        return response

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            call = _Call(scope, await web.read_body(Request(scope, receive), limits.LARGEST))
        except web.TooLarge:
            response = Response(status_code=413)
        else:
            if handler.is_quick(call):
                response = respond(call)
            else:
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(pool, respond, call)
        await response(scope, receive, send)

    return application


class _Call:
    """A request: what it asks for, its headers, and its body until that has been read."""

    def __init__(self, scope: Any, body: bytes) -> None:
        self.body = body
        self._headers = scope["headers"]
        self.method = scope["method"]
        self.path = scope["raw_path"].decode()
        query = scope["query_string"].decode()
        self.target = f"{self.path}?{query}" if query else self.path
        pattern = _PATTERNS.get(self.method)
        match = pattern and pattern.fullmatch(self.target)
        self.is_malformed = match is None
        groups = match.groupdict("") if match else {}
        self.name = unquote(groups.get("name", ""))
        self.version = groups.get("version", "")
        self.label = unquote(groups.get("label", ""))
        self.verb = groups.get("verb", "")

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self._headers if key == name), b"")


class _Unsaid(Failure):
    """A failure whose text is for the log: the client gets an empty body."""


class _Handler:
    """Answers requests, of several threads at once."""

    def __init__(self, models: Models, timeout_seconds: float, metrics: Unmonitored) -> None:
        self._models = models
        self._timeout = timeout_seconds
        self._metrics = metrics

    def is_quick(self, call: _Call) -> bool:
        """Whether a request is answered sooner than it is handed to a thread and back."""
        if len(call.body) > _SMALL:
            return False
        # What tells about models may wait for the disk; the first call of all, for them to load.
        if call.method != "POST" or call.verb != "predict" or not self._models.started:
            return False
        try:
            return self._models.find(_spec(call)).model.is_quick
        except Failure:
            return True  # to say so takes no time

    def respond(self, call: _Call) -> Response:
        started = time.monotonic()
        if call.method == "OPTIONS":
            allowed = re.match(b"https?://", call.header(b"origin"))
            code = "OK" if allowed else "FAILED_PRECONDITION"
            response = Response(b"", STATUSES.get(code, 200))
        else:
            code, content = self._outcome(call)
            response = Response(content, STATUSES.get(code, 200), _JSON)
        self._metrics.request(call.name, code)
        if code == "OK":
            verb = call.verb if call.method == "POST" else ""
            self._metrics.latency(call.name, verb, "REST", time.monotonic() - started)
        return response

    def _outcome(self, call: _Call) -> tuple[str, bytes]:
        gzipped = b"gzip" in call.header(b"content-encoding")
        try:
            if len(call.body) <= limits.SMALL and not gzipped:
                return "OK", self._content(call)
            with contextlib.ExitStack() as stack:
                call.body = _opened(call.body, gzipped, stack)
                return "OK", self._content(call)
        except limits.Full as error:
            return "RESOURCE_EXHAUSTED", json_output.error(str(error))
        except _Unsaid as unsaid:
            log.info("%s %s: %s", call.method, call.target, unsaid)
            return unsaid.code, b""
        except Exception as error:
            failure = as_failure(error, f"{call.method} {call.target}")
            return failure.code, json_output.error(failure.text)

    def _content(self, call: _Call) -> bytes:
        spec = _spec(call)
        match call.method, call.verb:
            case "POST", "predict":
                return self._predict(spec, call)
            case "POST", "classify":
                classes = self._on_examples(spec, call.body, "Classify", inference.classify)
                return json_output.classifications(classes)
            case "POST", "regress":
                values = self._on_examples(spec, call.body, "Regress", inference.regress)
                return json_output.regressions(values)
            case "GET", verb if not call.is_malformed:
                return self._about(spec, verb)
        raise invalid(f"Malformed request: {call.method} {call.target}")

    def _predict(self, spec: Any, call: _Call) -> bytes:
        servable, name, inputs = self._asked(spec, call.body)
        call.body = b""
        names = servable.tensors[name].all_outputs
        write = json_output.predictions if inputs.by_row else json_output.columns
        with self._metrics.runtime(servable.name, "Predict"):
            outputs = inference.predict(servable, name, inputs.arrays, names, self._deadline())
        del inputs  # of a large answer, the text takes three times as much again
        return write(outputs)

    def _asked(self, spec: Any, body: bytes) -> tuple[Servable, str, json_input.Inputs]:
        if len(body) > json_numbers.LONG and (document := json_numbers.read(body)):
            # What is wrong, and where, the lists tell.
            with contextlib.suppress(Failure, ValueError):
                return self._inputs(spec, document)
        return self._inputs(spec, json_input.parse(body))

    def _inputs(self, spec: Any, document: Any) -> tuple[Servable, str, json_input.Inputs]:
        asked = json_input.signature_name(document)
        servable = self._models.find(spec)
        name = asked or DEFAULT_SIGNATURE
        signature = servable.model.signatures.get(name)
        if signature is None:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {asked or 'DEFAULT'}")
        tensors = servable.tensors[name]
        inputs = json_input.predict_inputs(document, tensors.data_types)
        inference.check_method(servable, signature)
        if inputs.arrays.keys() != tensors.inputs.keys():
            inference.check_names(signature, inputs.arrays)
        return servable, name, inputs

    def _on_examples(self, spec: Any, body: bytes, api: str, infer: Callable) -> Any:
        document = json_input.parse(body)
        name = json_input.signature_name(document) or DEFAULT_SIGNATURE
        examples = json_input.examples(document)
        servable = self._models.find(spec)
        with self._metrics.runtime(servable.name, api):
            result = infer(servable, name, examples, self._deadline())
        self._metrics.examples(servable.name, len(examples))
        return result

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _about(self, spec: Any, verb: str) -> bytes:
        if not spec.name:
            raise invalid("Missing model name in request.")
        if verb == "metadata":
            return json_output.metadata(service.metadata(self._models, spec))
        return json_output.status(service.status(self._models, spec))


def _spec(call: _Call) -> Any:
    spec = model_pb2.ModelSpec(name=call.name)
    if call.version:
        number = int(call.version.lstrip("0")[:20] or "0")
        if number >= 2**63:
            text = f"Failed to convert version: {call.version} to numeric."
            raise _Unsaid("INVALID_ARGUMENT", text)
        spec.version.value = number
    if call.label:
        spec.version_label = call.label
    return spec


def _page(monitoring: Monitoring, target: str, path: str) -> Response:
    headers = {"content-type": "text/plain"}
    if target != path:
        return Response(f"Unexpected path: {target}. Should be {path}", 400, headers)
    return Response(monitoring.page(), 200, headers)


def _opened(body: bytes, gzipped: bool, stack: contextlib.ExitStack) -> bytes:
    """Return a document, inflated if it was compressed, once there is room for its values.

    What cannot be inflated, or is too much, becomes nothing, as in the product.
    """
    if not gzipped:
        stack.enter_context(limits.unpacked.holding(_VALUE_SIZE * _values(body)))
        return body
    try:
        content = limits.inflated(body, limits.SMALL)
        if content is None:
            stack.enter_context(limits.unpacked.holding(_VALUE_SIZE * _MOST_VALUES))
            content = limits.inflated(body, _LARGEST_INFLATED)
    except zlib.error:
        return b""
    _values(content or b"")
    return content or b""


def _values(document: bytes) -> int:
    """Count the values of a large document; Failure for too many."""
    values = limits.json_values(document)
    if values > _MOST_VALUES:
        text = f"A request may have {_MOST_VALUES} values; this one has {values}."
        raise Failure("RESOURCE_EXHAUSTED", text)
    return values
