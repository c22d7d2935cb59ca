"""A server behind a path, as an ingress or Seldon publishes it."""

import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests

from helpers import ccai, tfserving
from helpers.endpoints import Endpoint
from otw.cli import main
from tests import ccai as shared
from tests.http_answers import http_answer, received
from workbench.code.previews import CURL
from workbench.explorer import Explorer, catalog

PREFIX = "/seldon/ns/my-model"
FLOWER = np.array([[5.1, 3.5, 1.4, 0.2]], "float32")

# The fixtures of this file.
service, here, there = shared.service, shared.here, shared.there


def gateway(address: str) -> Callable[[socket.socket], None]:
    """Return what passes requests below the prefix on to an address, and answers others 404."""

    def answer(connection: socket.socket) -> None:
        request = received(connection)
        head, _, body = request.partition(b"\r\n\r\n")
        method, target, _ = head.decode().partition("\r\n")[0].split(" ")
        if not target.startswith(f"{PREFIX}/"):
            connection.sendall(http_answer(b"", 404))
            return
        url = address + target.removeprefix(PREFIX)
        response = requests.request(method, url, data=body, timeout=20)
        connection.sendall(http_answer(response.content, response.status_code))

    return answer


@pytest.fixture
def prefixed(endpoint: Endpoint, tcp_server: Callable[[Any], str]) -> Endpoint:
    rest = f"http://{tcp_server(gateway(endpoint.rest))}{PREFIX}"
    return Endpoint("tfserving", rest=rest, model="iris")


def test_every_call_goes_below_the_path(prefixed: Endpoint, endpoint: Endpoint) -> None:
    inputs = {"features": FLOWER}
    answer = tfserving.predict(prefixed, inputs)["probabilities"]
    direct = tfserving.predict(endpoint.replace(model="iris"), inputs)["probabilities"]
    assert answer == pytest.approx(direct, abs=1e-6)
    assert "serving_default" in tfserving.signatures(prefixed)
    assert {one.state for one in tfserving.status(prefixed).values()} == {"AVAILABLE"}


def test_ccai_is_called_below_the_path(here: Endpoint, tcp_server: Callable[[Any], str]) -> None:
    rest = f"http://{tcp_server(gateway(here.rest))}{PREFIX}/"
    assert ccai.services(Endpoint("ccai", rest=rest)) == ccai.services(here)


def test_the_explorer_calls_below_the_path_and_shows_how(prefixed: Endpoint) -> None:
    assert [entry.error for entry in catalog.entries(prefixed)] == [None]
    explorer = Explorer(prefixed.rest, names=["iris"])
    try:
        explorer.fill(features=FLOWER)
        assert f"{PREFIX}/v1/models/iris" in explorer.form.requests()[0].preview().code[CURL]
    finally:
        explorer.close()


def test_otw_calls_below_the_path(prefixed: Endpoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", f"{prefixed.rest}/", "iris", "--input=features=5.1,3.5,1.4,0.2"]) == 0
    assert "probabilities" in capsys.readouterr().out
    bare = prefixed.rest.removeprefix("http://")
    assert main(["describe", bare, "iris", "--protocol=rest"]) == 0
    assert "serving_default" in capsys.readouterr().out
