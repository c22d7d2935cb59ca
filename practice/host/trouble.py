"""Faults on demand, for a private service: slow, failing, or cut off in the middle of an answer."""

import asyncio
import contextlib
import dataclasses
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import psutil

from helpers.language import _
from practice import state
from practice.host.statuses import STATUSES

_REASON = "This failure was asked for."
_SEED = 20261121


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What is wrong with a service.

    Parameters
    ----------
    delay : float
        Seconds that a call waits first.
    fail : str
        The gRPC code that it fails with; over REST the HTTP status that goes with it.
    cut : bool
        Cut the connection in place of an answer, over REST in the middle of it.
    rate : float
        The share of calls that this happens to, from 0 to 1.
    calls : int, optional
        Only so many of the next calls; then all is well again.
    """

    delay: float = 0.0
    fail: str = ""
    cut: bool = False
    rate: float = 1.0
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.fail and self.fail not in STATUSES:
            raise state.PracticeError(
                _(
                    "fail is one of {statuses}, not {given!r}.",
                    statuses=", ".join(STATUSES),
                    given=self.fail,
                )
            )
        if not (0 <= self.delay < float("inf") and 0 <= self.rate <= 1):
            raise state.PracticeError(
                _("delay is seconds from 0 on, and rate a share from 0 to 1.")
            )
        if self.calls is not None and self.calls < 0:
            raise state.PracticeError(_("calls is a number from 0 on."))


class Source(grpc.ServerInterceptor):
    """Tells for each call what is wrong with it, as a file says that can change at any time.

    Parameters
    ----------
    path : Path
        `write` writes it. Without the file nothing is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = 0
        self._lock = threading.Lock()
        self._set(Trouble(rate=0.0))

    def next(self) -> Trouble | None:
        """Return what is wrong with the call that has just come; None when nothing is."""
        with self._lock:
            self._read()
            if self._calls <= 0 or self._chance.random() >= self._trouble.rate:
                return None
            self._calls -= 1
            return self._trouble

    def _read(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._changed:
            self._changed = changed
            self._set(Trouble(**json.loads(self._path.read_text(encoding="utf-8"))))

    def _set(self, trouble: Trouble) -> None:
        self._trouble = trouble
        self._calls = float("inf") if trouble.calls is None else trouble.calls
        self._chance = random.Random(_SEED)  # noqa: S311

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        trouble = self.next()
        if handler is None or trouble is None or handler.unary_unary is None:
            return handler

        def troubled(request: Any, context: grpc.ServicerContext) -> Any:
            deadline = time.monotonic() + trouble.delay
            while time.monotonic() < deadline and context.is_active():
                # The delay itself; in steps, to notice who leaves.
                time.sleep(min(max(deadline - time.monotonic(), 0), 0.05))
            if trouble.cut:
                _cut(context.peer())
            if trouble.cut or trouble.fail:
                code = grpc.StatusCode[trouble.fail or "UNAVAILABLE"]
                context.abort(code, _REASON)
            return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            troubled, handler.request_deserializer, handler.response_serializer
        )

    def application(self, app: Callable) -> Callable:
        """Put the trouble into an ASGI application."""
        from starlette.responses import PlainTextResponse  # notebooks write trouble without it

        async def troubled(scope: Any, receive: Any, send: Any) -> None:
            async def half(message: Any) -> None:
                body = message.get("body", b"")
                if message["type"] == "http.response.body":
                    message = {**message, "body": body[: len(body) // 2], "more_body": True}
                await send(message)

            trouble = self.next()
            if trouble is None:
                await app(scope, receive, send)
                return
            await asyncio.sleep(trouble.delay)
            if trouble.cut:
                # An answer that ends before its length is reached: the web server hangs up.
                await app(scope, receive, half)
            elif trouble.fail:
                while (await receive()).get("more_body"):
                    pass  # who is still sending would not hear the answer
                await PlainTextResponse(_REASON, STATUSES[trouble.fail])(scope, receive, send)
            else:
                await app(scope, receive, send)

        return troubled


def write(path: Path, trouble: Trouble) -> None:
    """Say what is wrong from now on."""
    state.write_json(path, dataclasses.asdict(trouble))


def _cut(peer: str) -> None:
    """Cut the connection to a client of this process: gRPC itself has no way to."""
    port = peer.rpartition(":")[2]
    for row in psutil.Process().net_connections(kind="tcp"):
        if row.raddr and str(row.raddr.port) == port and row.fd >= 0:  # Windows tells no number
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(row.fd)) as connection:
                connection.shutdown(socket.SHUT_RDWR)
