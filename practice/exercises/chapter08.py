"""Chapter 08: the bytes of a message, and many calls at once."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from helpers.language import _
from helpers.serving_api import predict_pb2
from helpers.tensors import to_ndarray
from helpers.tfserving.codec import encode_predict
from practice.exercises import Wrong, expect, run, whole_number

_FLOWERS = np.array([[5.1, 3.5, 1.4, 0.2], [5.9, 3.0, 5.1, 1.8]], np.float32)
_ROOM = 8  # calls that may be under way
_SHORT = 16  # bytes of a message that is shown in a comment
_PAUSE = 0.02  # seconds that a call takes, so that others can be under way


def _first(answer: Any) -> None:
    try:
        number, kind = answer
        kind = {"VARINT": 0, "LEN": 2}.get(kind, kind)
        given = (int(number), int(kind))
    except (TypeError, ValueError) as error:
        raise Wrong(_("the answer is two whole numbers in parentheses.")) from error
    expect(given != (2, 10), _("the field's number comes first, then the type."))
    expect(given[0] == 10, _("the field has another number."))
    expect(given[1] == 2, _("the field's number is right; the type is another one."))


def _beside(answer: Any) -> None:
    pixels = np.zeros((1, 96, 96, 1), np.float32)
    size = len(encode_predict("digits_detector", {"images": pixels}))
    given = whole_number(answer)
    expect(given != size, _("that is the whole request. How much of it is the picture?"))
    expect(given != pixels.nbytes, _("that is the picture itself."))
    expect(given == size - pixels.nbytes, _("there is another number of bytes beside the picture."))


def _two(answer: Any) -> None:
    expect(
        isinstance(answer, bytes | bytearray | memoryview),
        _("the answer is the request as bytes, not {type}.", type=type(answer).__name__),
    )
    try:
        request = predict_pb2.PredictRequest.FromString(bytes(answer))
    except DecodeError as error:
        raise Wrong(_("this is no message: a length or a tag does not fit.")) from error
    expect(request.model_spec.name == "iris", _("the model's name is not in its place."))
    expect(
        list(request.inputs) == ["features"], _("there is no input of the name that the model has.")
    )
    tensor = request.inputs["features"]
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    expect(sizes == [2, 4], _("the tensor's shape in it is {sizes}.", sizes=sizes))
    try:
        given = to_ndarray(tensor)
    except Exception as error:
        raise Wrong(_("the tensor cannot be read: {error}", error=error)) from error
    expect(given.dtype == np.float32, _("the tensor's dtype is not float32."))
    expect(np.allclose(given, _FLOWERS), _("the shape is right; the numbers are others."))


def _ask_all(answer: Any) -> None:
    contents = [str(number).encode() for number in range(40)]
    with _counting_server() as (method, counts):
        asked = _Method(method)
        answers = run(answer, asked, contents)
    expect(
        asked.threads <= {threading.get_ident()},
        _("it makes calls in threads of its own. `future` sends a request without one."),
    )
    expect(
        isinstance(answers, list),
        _("what it returns is no list, but {type}.", type=type(answers).__name__),
    )
    expect(
        sorted(map(bytes, answers)) == sorted(b"answer to " + content for content in contents),
        _("the answers that it returns are not all of the answers, each once."),
    )
    expect(
        answers == [b"answer to " + content for content in contents],
        _("the answers are complete, and in another order than the requests."),
    )
    most = max(counts)
    expect(most > 1, _("only one call was under way at a time."))
    expect(most <= _ROOM, _("up to {most} calls were under way at a time.", most=most))


class _Method:
    """A method of a channel that notes which threads wait in a call to it."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self.threads: set[int] = set()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.threads.add(threading.get_ident())
        return self._method(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._method, name)


@contextmanager
def _counting_server() -> Iterator[tuple[Any, list[int]]]:
    """Serve a method that answers after a while, and count the calls that are under way."""
    lock = threading.Lock()
    counts = [0]
    under_way = 0

    def reply(request: bytes, context: Any) -> bytes:
        nonlocal under_way
        with lock:
            under_way += 1
            counts.append(under_way)
        # The first of each row takes the longest: who takes answers as they come loses the order.
        time.sleep(_PAUSE * (2 if int(request) % _ROOM == 0 else 1))
        with lock:
            under_way -= 1
        return b"answer to " + request

    handler = grpc.method_handlers_generic_handler(
        "Practice", {"Ask": grpc.unary_unary_rpc_method_handler(reply)}
    )
    server = grpc.server(ThreadPoolExecutor(64), [handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            yield channel.unary_unary("/Practice/Ask"), counts
    finally:
        server.stop(None).wait()


def _fields(answer: Any) -> None:
    short = encode_predict("iris", {"features": _FLOWERS[:1]})
    long = encode_predict("iris", {"features": np.repeat(_FLOWERS, 40, axis=0)})
    for data, case in (
        (b"", _("an empty message")),
        (b"\x08\x05\x10\x00", _("two small numbers")),
        (short, _("the request for one flower")),
        (b"\x08\xac\x02", _("a number over 127")),
        (b"\x92\x01\x01a", _("a field number over 15")),
        (long, _("a length over 127")),
        (b"\x08" + b"\xff" * 9 + b"\x01", _("the largest number")),
    ):
        if 0 < len(data) <= _SHORT:
            case = f"{case} (`{data.hex(' ')}`)"
        try:
            given = run(answer, data)
        except Wrong as error:
            raise Wrong(_("for {case}: {comment}", case=case, comment=error)) from error
        try:
            rows = [(int(row[0]), int(row[1]), _value(row[2])) for row in given]
        except (TypeError, ValueError, IndexError) as error:
            raise Wrong(
                _("for {case} it does not return a list of tuples of three.", case=case)
            ) from error
        expect(rows == list(_parsed(data)), _("for {case} the fields are others.", case=case))


def _value(value: Any) -> int | bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else int(value)


def _parsed(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, at = _varint(data, at)
        if tag & 7:
            yield tag >> 3, 2, data[at : at + number]
            at += number
        else:
            yield tag >> 3, 0, number


def _varint(data: bytes, at: int) -> tuple[int, int]:
    end = at
    while data[end] & 0x80:
        end += 1
    number = 0
    for byte in reversed(data[at : end + 1]):
        number = number << 7 | byte & 0x7F
    return number, end + 1


CHECKS = {1: _first, 2: _beside, 3: _two, 4: _ask_all, 5: _fields}
