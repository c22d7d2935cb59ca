"""gRPC calls on their way in and out: how long a message may take, and how large it may be."""

import functools
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from practice.host import limits, waiting

# Calls that may wait for their message at once: each has a thread, which sleeps. Of more than
# these, the oldest is cut off.
HALF_SENT = 128
_COMPRESSED = (b"\x1f\x8b", b"\x78")  # gzip and deflate; no message here begins with these
UNREAD = 4 * limits.LARGEST  # bytes of answers that nobody has read yet; of more, as above
_WEIGHT = 4  # times its bytes: a message is parsed, unpacked, and its answer packed
_SOON_READ = 64 * 1024  # bytes; the system takes that much off our hands at once
_PATIENCE_MS = int(1000 * limits.PATIENCE)


def options() -> list[tuple[str, int]]:
    """Return gRPC's own limits."""
    return [
        ("grpc.max_receive_message_length", limits.LARGEST),
        ("grpc.max_send_message_length", -1),
        ("grpc.per_message_decompression", 0),  # gRPC's has no limit; `limits.inflated` has
        ("grpc.max_allowed_incoming_connections", limits.connections()),
        ("grpc.max_connection_idle_ms", _PATIENCE_MS),  # the client opens another one by itself
        ("grpc.server_handshake_timeout_ms", _PATIENCE_MS // 3),
        # Who has gone without a word, or takes in nothing at all, is gone after both. Nothing else
        # ends the call of whoever does not even read from the connection: a `cancel` waits behind
        # what is being written.
        ("grpc.keepalive_time_ms", _PATIENCE_MS // 3),
        ("grpc.keepalive_timeout_ms", _PATIENCE_MS - _PATIENCE_MS // 3),
    ]


class Calls(grpc.ServerInterceptor):
    """Gives a call to its handler once its message is there, and ends those that take too long.

    It stands before all other interceptors. Its server needs `HALF_SENT` threads more than work
    at once.

    Parameters
    ----------
    working : int
        Calls that are worked on at once.
    activity : Activity
        Told when one is begun and ended.
    """

    def __init__(self, working: int, activity: Any) -> None:
        self._activity = activity
        self._slots = threading.BoundedSemaphore(working)
        self._half_sent = _Waiting(HALF_SENT)
        self._unread = _Waiting(UNREAD)

    def cut_off(self) -> None:
        """End the calls whose message does not come, and those whose answer nobody takes."""
        self._half_sent.cut_off()
        self._unread.cut_off()

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        # To gRPC the messages of all are streams of bytes: so it does not wait for them itself.
        write = handler.response_serializer
        if handler.unary_unary:
            answer = functools.partial(self._answer, handler, handler_call_details.method)
            return grpc.stream_unary_rpc_method_handler(answer, None, write)
        if handler.stream_stream:
            converse = functools.partial(self._converse, handler)
            return grpc.stream_stream_rpc_method_handler(converse, None, write)
        watch: Any = functools.partial(self._watch, handler, handler_call_details.method)
        # Health's has no thread while nothing changes.
        watch.experimental_non_blocking = handler.unary_stream.experimental_non_blocking
        return grpc.stream_stream_rpc_method_handler(watch, None, write)

    def _answer(self, handler: Any, method: str, contents: Any, context: Any) -> Any:
        content, taken = _opened(self._first(contents, context, method), context)
        try:
            request = _parsed(content, handler, context)
            del content
            with self._slots:
                if not context.is_active():  # nobody waits for it any more
                    context.abort(grpc.StatusCode.CANCELLED, "")
                self._activity.begin()
                try:
                    with waiting.caller(context.is_active):
                        response = handler.unary_unary(request, context)
                finally:
                    self._activity.end()
        except BaseException:
            limits.messages.give_back(taken)
            raise

        size = response.ByteSize()
        if taken or size > _SOON_READ:
            self._wait_for_reader(context, size, taken)
        return response

    def _wait_for_reader(self, context: grpc.ServicerContext, size: int, taken: int) -> None:
        def sent() -> None:
            self._unread.remove(context)
            limits.messages.give_back(taken)

        self._unread.add(context, size)
        if not context.add_callback(sent):  # it has ended already
            sent()

    def _watch(self, handler: Any, method: str, contents: Any, context: Any, send: Any) -> Any:
        request = _read(self._first(contents, context, method), handler, context)
        return handler.unary_stream(request, context, send)

    def _converse(self, handler: Any, contents: Any, context: Any) -> Any:
        received = iter(functools.partial(self._next, contents, context), None)
        requests = (_read(content, handler, context) for content in received)
        return handler.stream_stream(requests, context)

    def _first(self, contents: Any, context: grpc.ServicerContext, method: str) -> bytes:
        content = self._next(contents, context)
        if content is not None:
            return content
        text = f'"{method}" requires exactly one request message.'
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    def _next(self, contents: Any, context: grpc.ServicerContext) -> bytes | None:
        self._half_sent.add(context)
        try:
            return next(contents, None)
        finally:
            self._half_sent.remove(context)


class _Waiting:
    """The calls that wait for their client, the oldest first.

    Parameters
    ----------
    most : int
        What they may come to together. Of more, the oldest are cut off.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._waiting: dict[grpc.ServicerContext, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def add(self, context: grpc.ServicerContext, size: int = 1) -> None:
        """Begin to wait."""
        with self._lock:
            self._waiting[context] = time.monotonic(), size
            self._total += size
            ended = self._too_many() if self._total > self._most else []
        for oldest in ended:
            oldest.cancel()

    def remove(self, context: grpc.ServicerContext) -> None:
        """Wait no longer."""
        with self._lock:
            _, size = self._waiting.pop(context, (0.0, 0))
            self._total -= size

    def _too_many(self) -> list[grpc.ServicerContext]:
        *older, _ = self._waiting.items()
        excess = self._total - self._most
        ended = []
        for context, (_, size) in older:
            if excess <= 0:
                break
            ended.append(context)
            excess -= size
        return ended

    def cut_off(self) -> None:
        """Cut off who has taken too long."""
        latest = time.monotonic() - limits.PATIENCE
        with self._lock:
            late = [context for context, (since, _) in self._waiting.items() if since < latest]
        for context in late:
            context.cancel()


def _opened(content: bytes, context: grpc.ServicerContext) -> tuple[bytes, int]:
    """Return a message, inflated if it was compressed, and what to give back of the room for it."""
    inflated = None
    if content.startswith(_COMPRESSED):
        try:
            inflated = limits.inflated(content, limits.SMALL)
        except zlib.error:
            return content, _taken(len(content), context)  # it was not compressed
        if inflated is None:
            return _inflated(content, context)
    content = inflated or content
    return content, _taken(len(content), context)


def _inflated(content: bytes, context: grpc.ServicerContext) -> tuple[bytes, int]:
    taken = _taken(limits.LARGEST, context)  # first: how large it becomes is not known
    inflated = limits.inflated(content, limits.INFLATED)
    if inflated is not None:
        return inflated, taken
    limits.messages.give_back(taken)
    text = f"SERVER: Received message larger than max (over {limits.INFLATED} when inflated)"
    return context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, text)


def _taken(size: int, context: grpc.ServicerContext) -> int:
    if size <= limits.SMALL:
        return 0
    try:
        seconds = min(context.time_remaining(), limits.PATIENCE)
        return limits.messages.take(_WEIGHT * size, seconds)
    except limits.Full as error:
        return context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))


def _read(content: bytes, handler: Any, context: grpc.ServicerContext) -> Any:
    content, taken = _opened(content, context)
    try:
        return _parsed(content, handler, context)
    finally:
        limits.messages.give_back(taken)


def _parsed(content: bytes, handler: Any, context: grpc.ServicerContext) -> Any:
    """Read a message; what is none is answered as the products do: INTERNAL without a text."""
    if not handler.request_deserializer:
        return content
    try:
        return handler.request_deserializer(content)
    except DecodeError:
        return context.abort(grpc.StatusCode.INTERNAL, "")
