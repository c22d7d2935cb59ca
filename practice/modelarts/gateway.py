"""The gateway: who is calling, how much and how often, and on to the service."""

import asyncio
import time
import uuid
from collections import deque
from typing import Any

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from practice.host import web
from practice.modelarts import answers, iam, management, models, published
from practice.modelarts.account import Account
from practice.modelarts.answers import Refusal
from practice.modelarts.callers import Callers, NotKnown

BODY_LIMIT = 12 * 1024 * 1024  # bytes
URI_LIMIT = HEADER_LIMIT = 32 * 1024  # bytes
HEADERS_LIMIT = 128 * 1024  # bytes, all of them
PATIENCE = 40.0  # seconds an answer may take
RATE = 200  # requests a second to one API


class Gateway:
    """The ASGI application: IAM, inference and management on one port.

    Parameters
    ----------
    account : Account
    deployments : dict of str to Deployment
        The services by their names in `published`.
    patience : float
        Seconds after which an inference is given up.
    rate : int
        Requests a second to one API; 0 is any number.
    lock_limit : int
        Wrong signatures in a row that an AK may have; 0 is any number.
    """

    def __init__(
        self,
        account: Account,
        deployments: dict[str, models.Deployment],
        *,
        patience: float = PATIENCE,
        rate: int = RATE,
        lock_limit: int = 5,
    ) -> None:
        self._account = account
        self._deployments = deployments
        self._patience = patience
        self._rate = rate
        self._callers = Callers(account, lock_limit)
        # For each API when it was called in the last second.
        self._calls: dict[str, deque[float]] = {api: deque() for api in _APIS}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        began = time.perf_counter()
        request.state.id = uuid.uuid4().hex
        request.state.debug = {}
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            if refusal.body.get("error_code", "").startswith("APIG."):
                refusal.body["request_id"] = request.state.id
            response = refusal.response
        response.headers["X-Request-Id"] = request.state.id
        if request.headers.get("x-apig-mode") == "debug":
            response.headers.update({"X-Apig-Latency": _ms_since(began), **request.state.debug})
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            # Before anything is refused: who is still sending would not hear the answer.
            body = await web.read_body(request, BODY_LIMIT)
        except web.TooLarge as error:
            raise answers.gateway(413, "0201", "Request entity too large") from error
        self._check_size(request)
        path = request.scope["path"]
        if path == iam.PATH:
            return await run_in_threadpool(iam.tokens, self._account, request, body)
        if path in (published.PREFIX, f"{published.PREFIX}/"):
            await run_in_threadpool(self._check, False, request, body)
            raise answers.dispatcher(400, "4201", "The URL has no service ID.")
        if path.startswith(f"{published.PREFIX}/"):
            return await self._infer(request, body, path)
        if management.is_path(path):
            await run_in_threadpool(management.check, self._account, self._callers, request, body)
            return management.answer(self._account, self._deployments, request, body)
        raise answers.no_such_api()

    def _check_size(self, request: Request) -> None:
        target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
        if len(target) > URI_LIMIT:
            raise answers.gateway(414, "0201", "Request URI too large")
        sizes = [len(name) + len(value) for name, value in request.scope["headers"]]
        if max(sizes, default=0) > HEADER_LIMIT or sum(sizes) > HEADERS_LIMIT:
            raise answers.gateway(494, "0201", "Request headers too large")

    async def _infer(self, request: Request, body: bytes, path: str) -> Response:
        api, _, rest = path.removeprefix(f"{published.PREFIX}/").partition("/")
        name, takes_app = _APIS.get(api, ("", False))
        if not name or request.method != "POST":
            raise answers.no_such_api()
        # In a thread, like the inference: a large body takes a while to hash.
        await run_in_threadpool(self._check, takes_app, request, body)
        self._throttle(api, request)
        if rest:
            raise answers.dispatcher(404, "4204", f"API /{rest} does not exist")
        deployment = self._deployments[name]
        model = deployment.model()
        content = await models.read(request.headers, body)
        began = time.perf_counter()
        try:
            call = anyio.to_thread.run_sync(
                deployment.infer, model, content, abandon_on_cancel=True
            )
            response = await asyncio.wait_for(call, self._patience)
        except TimeoutError as error:
            raise answers.dispatcher(
                504,
                "4503",
                "Failed to respond because response timed out, please confirm your "
                "service is able to process the request without timeout. ",
            ) from error
        request.state.debug["X-Apig-Upstream-Latency"] = _ms_since(began)
        return response

    def _throttle(self, api: str, request: Request) -> None:
        if not self._rate:
            return
        now = time.monotonic()
        calls = self._calls[api]
        while calls and now - calls[0] >= 1:
            calls.popleft()
        if len(calls) >= self._rate:
            raise answers.gateway(
                429,
                "0308",
                "The throttling threshold has been reached: policy api over "
                f"ratelimit,limit:{self._rate},time:1 second",
            )
        calls.append(now)
        request.state.debug["X-Apig-RateLimit-api"] = (
            f"remain:{self._rate - len(calls)},limit:{self._rate},time:1 second"
        )

    def _check(self, takes_app: bool, request: Request, body: bytes) -> None:
        if takes_app:
            try:
                self._callers.app(request, body)
            except NotKnown as error:
                raise answers.app_authentication(str(error)) from error
            return
        try:
            token = self._callers.user(request, body)
        except NotKnown as error:
            raise answers.iam_authentication(str(error)) from error
        if token is not None and not token.project_id:
            raise answers.dispatcher(403, "4102", "The token is not for a project.")


# For each id in an address the service, and whether it is the address for apps.
_APIS = {service.id: (name, False) for name, service in published.SERVICES.items()}
_APIS |= {service.app_id: (name, True) for name, service in published.SERVICES.items()}


def _ms_since(began: float) -> str:
    return f"{1000 * (time.perf_counter() - began):.0f}"
