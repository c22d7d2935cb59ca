"""gRPC calls that are half sent, packed small, or whose answer nobody reads: others are served."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from practice import processes
from practice.host import calls, limits, server, waiting

PATIENCE = 1.0
OPTIONS = [("grpc.max_receive_message_length", -1)]
METHOD = "/practice.Test/Size"
ECHO = "/practice.Test/Echo"
WORK = "/practice.Test/Work"


class _Handlers(grpc.GenericRpcHandler):
    """How many bytes came; the same bytes again; and work that has no end of its own."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.given_up = threading.Event()

    def service(self, handler_call_details: Any) -> Any:
        message = wrappers_pb2.BytesValue
        answers = {ECHO: self._echo, METHOD: self._answer, WORK: self._work}
        answer = answers[handler_call_details.method]
        return grpc.unary_unary_rpc_method_handler(
            answer, message.FromString, message.SerializeToString
        )

    def _work(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.begun.set()
        while not waiting.is_over():
            self.given_up.wait(0.02)
        self.given_up.set()
        return request

    def _echo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return request

    def _answer(self, request: Any, context: grpc.ServicerContext) -> Any:
        return wrappers_pb2.BytesValue(value=str(len(request.value)).encode())


class Running:
    """A gRPC server in this process, with one thread to work."""

    def __init__(self, options: Sequence[tuple[str, int]] = ()) -> None:
        self.ended = threading.Event()
        self.port = processes.choose_port()
        activity = server.Activity()
        self.server = server.GrpcServer(activity, None, self.port, threads=1, options=options)
        self.handlers = _Handlers()
        self.server.grpc.add_generic_rpc_handlers([self.handlers])
        self.server.grpc.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", OPTIONS)

    def ask(self, value: bytes = b"", **more: Any) -> bytes:
        content = wrappers_pb2.BytesValue(value=value).SerializeToString()
        answer = self.channel.unary_unary(METHOD)(content, timeout=20, **more)
        return wrappers_pb2.BytesValue.FromString(answer).value

    def begin(self) -> grpc.Future:
        """Send the headers of a call, and no message."""

        def nothing() -> Iterator[bytes]:
            self.ended.wait(60)
            yield b""

        return self.channel.stream_unary(METHOD).future(nothing())

    def leave_unread(self, size: int) -> grpc.Call:
        """Ask for so many bytes, wait until they are sent, and read none of them."""
        content = wrappers_pb2.BytesValue(value=bytes(size)).SerializeToString()
        unread = self.channel.unary_stream(ECHO)(content, timeout=60)
        unread.initial_metadata()
        return unread

    def end(self) -> None:
        self.ended.set()
        self.channel.close()
        self.server.stop()


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(limits, "PATIENCE", PATIENCE)
    running = Running()
    yield running
    running.end()


def code(call: Callable | grpc.Future, *arguments: Any, **more: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **more) if callable(call) else call.result(20)
    return caught.value.code().name


def test_others_are_served_while_calls_are_half_sent(here: Running) -> None:
    half_sent = [here.begin() for _ in range(4)]
    assert here.ask(b"12345") == b"5"
    assert not any(call.done() for call in half_sent)


def test_a_half_sent_call_is_ended(here: Running) -> None:
    assert code(here.begin()) == "CANCELLED"


def test_of_too_many_half_sent_calls_the_oldest_is_ended_at_once(
    here: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 60.0)
    oldest = here.begin()
    rest = [here.begin() for _ in range(calls.HALF_SENT + 20)]
    assert code(oldest) == "CANCELLED"
    assert here.ask(b"12345") == b"5"
    assert not rest[-1].done()


def test_a_call_without_a_message_is_no_call_here(here: Running) -> None:
    assert code(here.channel.stream_unary(METHOD), iter(()), timeout=20) == "UNIMPLEMENTED"


def test_what_is_no_message_is_internal_and_not_in_the_log(
    here: Running, caplog: pytest.LogCaptureFixture
) -> None:
    assert code(here.channel.unary_unary(METHOD), b"\xff", timeout=20) == "INTERNAL"
    assert not caplog.records


@pytest.mark.parametrize("compression", grpc.Compression)
def test_compressed_messages_are_read(here: Running, compression: grpc.Compression) -> None:
    for size in (0, 1, 100_000, 3_000_000):
        assert here.ask(b"x" * size, compression=compression) == str(size).encode()


def test_a_message_that_only_begins_like_a_compressed_one_is_read(here: Running) -> None:
    content = b"\x78\x01" + wrappers_pb2.BytesValue(value=b"ab").SerializeToString()
    assert here.channel.unary_unary(METHOD)(content, timeout=20) == b"\x0a\x012"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_message_is_not_inflated_beyond_the_limit(
    here: Running, monkeypatch: pytest.MonkeyPatch, compression: grpc.Compression
) -> None:
    monkeypatch.setattr(limits, "INFLATED", 2_000_000)
    assert here.ask(b"x" * 1_900_000, compression=compression) == b"1900000"
    assert code(here.ask, b"x" * 2_000_000, compression=compression) == "RESOURCE_EXHAUSTED"
    with limits.messages.holding(10**12, seconds=20):
        pass  # so nothing was kept


def test_a_large_message_waits_for_room_and_a_small_one_does_not(here: Running) -> None:
    taken = limits.messages.take(10**12)
    try:
        assert here.ask(b"12345") == b"5"
        assert code(here.ask, bytes(2 * limits.SMALL)) == "RESOURCE_EXHAUSTED"
    finally:
        limits.messages.give_back(taken)
    assert here.ask(bytes(2 * limits.SMALL)) == str(2 * limits.SMALL).encode()


def test_a_call_whose_answer_is_not_read_is_ended(here: Running) -> None:
    unread = here.leave_unread(8 * limits.SMALL)
    with limits.messages.holding(10**12, seconds=20):
        assert code(next, unread) == "CANCELLED"


@pytest.mark.parametrize("timeout", [0.5, 60])
def test_work_can_hear_that_its_caller_has_gone(here: Running, timeout: float) -> None:
    call = here.channel.unary_unary(WORK).future(b"", timeout=timeout)
    assert here.handlers.begun.wait(20)
    if timeout == 60:
        call.cancel()
    assert here.handlers.given_up.wait(20)


def test_of_too_many_unread_bytes_the_oldest_are_given_up_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "UNREAD", 20 * limits.SMALL)
    here = Running()
    first, second, third = (here.leave_unread(8 * limits.SMALL) for _ in range(3))
    assert code(next, first) == "CANCELLED"
    assert len(next(second)) == len(next(third)) > 8 * limits.SMALL
    here.end()


def test_who_reads_nothing_at_all_is_gone_after_the_time_that_a_message_may_take(
    tcp_server: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    keepalive = {name: ms for name, ms in calls.options() if name.startswith("grpc.keepalive")}
    assert sum(keepalive.values()) == 1000 * limits.PATIENCE
    here = Running([(name, ms // 30) for name, ms in keepalive.items()])

    def stuck(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", here.port)) as service:
            forward = threading.Thread(target=_forward, args=(client, service), daemon=True)
            forward.start()
            for _ in range(100):  # enough for the handshake
                client.sendall(service.recv(300))
            forward.join()

    with grpc.insecure_channel(tcp_server(stuck), OPTIONS) as channel:
        content = wrappers_pb2.BytesValue(value=bytes(16 * limits.SMALL)).SerializeToString()
        unread = channel.unary_unary(ECHO).future(content, timeout=60)
        with limits.messages.holding(10**12, seconds=60):
            assert not unread.done()
    here.end()


def _forward(client: socket.socket, service: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := client.recv(65536):
            service.sendall(part)
