"""gRPC calls that are half sent, packed small, or whose answer nobody reads: others are served."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from practice import processes
from practice.host import calls, limits, server

PATIENCE = 1.0
METHOD = "/practice.Test/Size"


class _Handlers(grpc.GenericRpcHandler):
    """One method: how many bytes came."""

    def service(self, handler_call_details: Any) -> Any:
        message = wrappers_pb2.BytesValue
        return grpc.unary_unary_rpc_method_handler(
            self._answer, message.FromString, message.SerializeToString
        )

    def _answer(self, request: Any, context: grpc.ServicerContext) -> Any:
        return wrappers_pb2.BytesValue(value=str(len(request.value)).encode())


class Running:
    """A gRPC server in this process, with one thread to work."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.port = processes.choose_port()
        self.server = server.GrpcServer(server.Activity(), None, self.port, threads=1)
        self.server.grpc.add_generic_rpc_handlers([_Handlers()])
        self.server.grpc.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

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


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(limits, "PATIENCE", PATIENCE)
    running = Running()
    yield running
    running.ended.set()
    running.channel.close()
    running.server.stop()


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
