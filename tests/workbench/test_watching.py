"""A call's parts, and its early end, on the real service."""

import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest

import practice
from helpers import ccai, modelarts, tfserving, transport
from helpers.endpoints import Endpoint, load
from helpers.errors import BadInput, ConnectionFailed, DeadlineExceeded, UnknownModel
from practice.instance import PrivateEndpoint
from tests.http_answers import http_answer, moved, received
from workbench import timing
from workbench.watching import Watch

FLOWER = {"features": np.ones((1, 4), "float32")}
WHOLE = ["encode", "connect", "send", "wait", "receive", "decode"]


@pytest.fixture
def iris(private: PrivateEndpoint) -> Iterator[Endpoint]:
    yield private.replace(model="iris")
    private.trouble()


def test_nobody_watches_unless_asked(iris: Endpoint) -> None:
    assert transport.WATCH.get() is None
    with Watch() as watch:
        assert transport.WATCH.get() is watch
    assert transport.WATCH.get() is None


def test_a_call_over_rest_is_told_in_parts_and_answers_as_ever(iris: Endpoint) -> None:
    with Watch() as watch:
        outputs = tfserving.predict(iris, FLOWER, protocol="rest")
    assert list(watch.seconds) == WHOLE
    assert all(seconds >= 0 for seconds in watch.seconds.values())
    plain = tfserving.predict(iris, FLOWER, protocol="rest")
    assert np.array_equal(outputs["probabilities"], plain["probabilities"])


def test_a_call_over_grpc_is_told_in_parts(iris: Endpoint) -> None:
    with Watch() as watch:
        tfserving.predict(iris, FLOWER, protocol="grpc")
    assert list(watch.seconds) == ["encode", "connect", "wait", "receive", "decode"]


def test_a_timeline_tells_the_watch_its_own_parts(iris: Endpoint) -> None:
    with Watch() as watch:
        found = timing.timeline(iris, FLOWER)
    parts = {name: getattr(found, name) for name in timing.Timeline._fields[:-1]}
    assert list(parts) == ["connect", *(part for part in WHOLE if part != "connect")]
    for name in ("send", "wait", "receive"):
        assert watch.seconds[name] == pytest.approx(parts[name])


def test_the_parts_are_the_whole_call(iris: Endpoint) -> None:
    with Watch() as watch:
        tfserving.predict(iris, FLOWER, protocol="rest")
    assert sum(watch.seconds.values()) == pytest.approx(watch.moments["decode"] - watch.began)


def test_forms_and_files_are_sent_as_ever() -> None:
    practice.ready("ccai", "modelarts")
    with Watch() as watch:
        speech = ccai.text_to_speech(load("ccai"), "hello")
    assert speech.seconds > 0.2
    assert list(watch.seconds) == WHOLE
    with Watch() as watch:
        digit = modelarts.infer_image(load("modelarts", "practice-digits"), "data/images/digit.png")
    assert digit["predicted_label"] == "4"
    assert list(watch.seconds) == WHOLE


def test_what_is_sent_goes_along_when_a_gateway_redirects(
    tcp_server: Callable[[Callable[[socket.socket], None]], str],
) -> None:
    bodies = []

    def gateway(connection: socket.socket) -> None:
        request = received(connection)
        bodies.append(request[-4:])
        connection.sendall(http_answer(b"there") if b" /there " in request else moved("/there"))

    endpoint = Endpoint("tfserving", rest=f"http://{tcp_server(gateway)}")
    with Watch() as watch:
        response = transport.request(endpoint, "POST", f"{endpoint.rest}/any", 20, data=b"body")
    assert (response.content, response.url) == (b"there", f"{endpoint.rest}/there")
    assert bodies == [b"body"] * 2
    assert list(watch.seconds) == WHOLE


def test_an_error_stays_an_error_of_the_tree(iris: Endpoint) -> None:
    for protocol in ("grpc", "rest"):
        with pytest.raises(UnknownModel, match="irsi"), Watch() as watch:
            tfserving.predict(iris.replace(model="irsi"), FLOWER, protocol=protocol, check=False)
        assert "wait" in watch.seconds


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (partial(tfserving.predict, protocol="rest"), "wait"),
        (partial(tfserving.predict, protocol="grpc"), "wait"),
        (timing.timeline, "wait"),
    ],
)
def test_the_time_of_a_call_that_waits_in_vain_is_in_the_wait(
    private: PrivateEndpoint, iris: Endpoint, call: Callable[..., Any], part: str
) -> None:
    tfserving.predict(iris, FLOWER)
    private.trouble(delay=60)
    with pytest.raises(DeadlineExceeded), Watch() as watch:
        call(iris, FLOWER, timeout=0.5)
    assert max(watch.seconds, key=watch.seconds.__getitem__) == part
    assert "decode" not in watch.seconds


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_call_that_reaches_nobody_fails_in_the_connection(protocol: str) -> None:
    nobody = Endpoint(
        "tfserving", rest="http://127.0.0.1:1", grpc="127.0.0.1:1", model="m", retries=0
    )
    with pytest.raises(ConnectionFailed), Watch() as watch:
        tfserving.predict(nobody, FLOWER, protocol=protocol, check=False, timeout=20)
    if protocol == "rest":
        assert list(watch.seconds) == ["encode", "connect"]
    else:
        assert list(watch.seconds)[:2] == ["encode", "connect"]
    assert "decode" not in watch.seconds


def test_what_fails_before_it_is_sent_fails_in_the_encoding(iris: Endpoint) -> None:
    for call in (partial(tfserving.predict, check=False), timing.timeline):
        with pytest.raises(BadInput), Watch() as watch:
            call(iris, {"features": np.array([object()])})
        assert "encode" in watch.seconds
        assert not {"send", "wait", "receive", "decode"} & set(watch.seconds)


@pytest.mark.parametrize("call", [tfserving.predict, timing.timeline])
def test_a_call_over_grpc_ends_when_it_is_cancelled(
    private: PrivateEndpoint, iris: Endpoint, call
) -> None:
    tfserving.predict(iris, FLOWER)
    private.trouble(delay=60)
    watch, found = Watch(), list[BaseException]()

    def make() -> None:
        try:
            with watch:
                call(iris, FLOWER, timeout=60)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    watch.cancel()  # before, during or after the call begins: all are the same
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(found[0], grpc.FutureCancelledError | Exception)
    assert watch.cancelled
