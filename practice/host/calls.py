"""gRPC calls on their way in and out: how long a message may take, and how large it may be."""

import functools
import queue
import threading
import time
import zlib
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.message import DecodeError, EncodeError

from practice.host import limits, waiting

# Calls that may wait for their message at once: each has a thread, which sleeps. Of more than
# these, the oldest is cut off.
HALF_SENT = 128
_MOMENT = 0.02  # seconds in which a message comes whose client is not slow
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

    It stands before all other interceptors.

    Parameters
    ----------
    working : int
        Calls that are worked on at once.
    activity : Activity
        Told when one is begun and ended.

    Attributes
    ----------
    workers : Workers
        The threads of its server.
    """

    def __init__(self, working: int, activity: Any) -> None:
        self.workers = Workers(working)
        self._activity = activity
        self._slots = threading.BoundedSemaphore(working)
        self._half_sent = _Waiting(HALF_SENT)
        self._unread = _Waiting(UNREAD)
        self._handler = functools.lru_cache(self._make_handler)  # a call does not wait for it

    def watch(self, ended: threading.Event) -> None:
        """See to the calls that take too long, until the event is set."""
        while not ended.is_set():
            if self.workers.crowded.wait(1.0):
                ended.wait(_MOMENT)
                self.workers.crowded.clear()
                self.workers.add(self._half_sent.count(_MOMENT / 2))
            self._half_sent.cut_off()
            self._unread.cut_off()

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        return handler and self._handler(handler, handler_call_details.method)

    def _make_handler(self, handler: Any, method: str) -> Any:
        # To gRPC the messages of all are streams of bytes: so it does not wait for them itself.
        write = handler.response_serializer
        if handler.unary_unary:
            answer = functools.partial(self._answer, handler, method)
            return grpc.stream_unary_rpc_method_handler(answer)
        if handler.stream_stream:
            converse = functools.partial(self._converse, handler)
            return grpc.stream_stream_rpc_method_handler(converse, None, write)
        watch: Any = functools.partial(self._watch, handler, method)
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
            del request
            answer = _written(response, handler, context)
        except BaseException:
            limits.messages.give_back(taken)
            raise
        if taken or len(answer) > _SOON_READ:
            self._wait_for_reader(context, len(answer), taken)
        return answer

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


class Workers(futures.Executor):
    """The threads of a gRPC server: as many as work at once, and one more for each slow client.

    A call has a thread from its beginning on, and its message mostly comes in a moment. So only
    those are replaced that wait for longer: where each call has a thread until it is answered,
    100 callers get two thirds of what they get here.

    Parameters
    ----------
    working : int
        Threads, while no client is slow.

    Attributes
    ----------
    crowded : Event
        Set when a call finds no thread.
    """

    def __init__(self, working: int) -> None:
        self.crowded = threading.Event()
        self._working = self._most = working
        self._threads = 0
        self._free = 0  # threads without a call; less than 0 are calls without a thread
        self._calls = queue.SimpleQueue[Any]()
        self._lock = threading.Lock()

    def submit(self, function: Callable, /, *arguments: Any, **named: Any) -> futures.Future:
        """Run a call; see `concurrent.futures`."""
        future: futures.Future = futures.Future()
        with self._lock:
            self._free -= 1
            crowded = self._free < 0
            if crowded and self._threads < self._most:
                self._start()
                crowded = False
        self._calls.put((future, functools.partial(function, *arguments, **named)))
        if crowded:
            self.crowded.set()
        return future

    def add(self, slow: int) -> None:
        """Let threads take the place of those whose clients are slow."""
        with self._lock:
            self._most = self._working + 2 * slow  # who waits for a thread may be slow as well
            for _ in range(min(self._most - self._threads, -self._free)):
                self._start()
            if self._free < 0:
                self.crowded.set()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads that have nothing to do; see `concurrent.futures`."""
        with self._lock:
            for _ in range(self._threads):
                self._calls.put(None)

    def _start(self) -> None:
        self._threads += 1
        self._free += 1
        threading.Thread(target=self._work, name="call", daemon=True).start()

    def _work(self) -> None:
        while call := self._calls.get():
            future, run = call
            run()  # whatever goes wrong in there, gRPC has dealt with
            future.set_result(None)
            del call, future, run  # or the last message would stay in memory
            with self._lock:
                if self._threads > self._most:
                    self._threads -= 1
                    return
                self._free += 1


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

    def count(self, seconds: float) -> int:
        """Return how many have waited for longer than that."""
        return len(self._since(time.monotonic() - seconds))

    def cut_off(self) -> None:
        """Cut off who has taken too long."""
        for context in self._since(time.monotonic() - limits.PATIENCE):
            context.cancel()

    def _since(self, latest: float) -> list[grpc.ServicerContext]:
        with self._lock:
            return [context for context, (since, _) in self._waiting.items() if since < latest]

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


def _written(response: Any, handler: Any, context: grpc.ServicerContext) -> bytes:
    if not handler.response_serializer:
        return response
    try:
        return handler.response_serializer(response)
    except EncodeError:  # more than protobuf has room for
        return context.abort(grpc.StatusCode.INTERNAL, "Failed to serialize response!")
