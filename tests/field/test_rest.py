"""Reports about calls over REST, and what stands between a client and a server."""

import gzip
import http.server
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest
import requests

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving.signatures import TensorSpec
from tests.tfserving import Running

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
PREDICT = "/v1/models/iris:predict"
BODY = json.dumps({"instances": FLOWER})
Answer = Callable[[str, str, bytes], bytes]  # of method, path and body


@pytest.fixture
def server() -> Iterator[Callable[[Answer], str]]:
    """Return a function that serves what another answers; it returns the address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(answer: Answer) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                content = answer(self.command, self.path, body)
                self.send_response(200 if content else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for running in servers:
        running.shutdown()
        running.server_close()


def post(service: Running, body: str | bytes, **headers: str) -> tuple[int, dict]:
    response = requests.post(service.rest + PREDICT, body, headers=headers, timeout=30)
    return response.status_code, response.json()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"instances": [{"b64": "aGVsbG8="}]}, " is not of expected type: float"),
        ({"signature_name": 5, "instances": [1.0, 2.0]}, " key must be a string value."),
    ],
)
def test_05_a_wrong_type_in_json_is_a_bad_request(light: Running, document, text) -> None:
    """serving 1570, 1133, 994, 2104: a picture for a float input, a number for a name."""
    status, answer = post(light, json.dumps(document))
    assert (status, text in answer["error"]) == (400, True), answer


def test_06_what_is_nearly_json_is_a_bad_request(light: Running) -> None:
    """text-detection-ctpn 355: base64 with line breaks, and bodies written by hand."""
    choose = random.Random(6)
    bodies = ['{"instances": [{"b64": "aGVs\nbG8="}]}']
    for _ in range(300):
        place = choose.randrange(len(BODY))
        bodies.append(BODY[:place] + choose.choice(["", "'", ",", "[", "}", "\\"]) + BODY[place:])
        bodies.append(BODY[:place] + BODY[place + 1 :])
    with requests.Session() as session:
        answers = [session.post(light.rest + PREDICT, body, timeout=30) for body in bodies]
    assert answers[0].status_code == 400
    assert {answer.status_code for answer in answers} == {200, 400}
    assert all("error" in answer.json() for answer in answers if answer.status_code == 400)


LEFT_ALONE = pytest.mark.xfail(strict=True, reason="left alone: the engines' own metrics")


@pytest.mark.parametrize(
    "metric",
    [
        "serving:request_count",
        "serving:request_latency_sum",
        "serving:runtime_latency_sum",
        pytest.param("serving:batching_session:queuing_latency_sum", marks=LEFT_ALONE),
        pytest.param("core:graph_runs", marks=LEFT_ALONE),
        pytest.param("core:graph_run_time_usecs", marks=LEFT_ALONE),
        pytest.param("core:graph_build_calls", marks=LEFT_ALONE),
        pytest.param("core:graph_build_time_usecs", marks=LEFT_ALONE),
        pytest.param("cc:saved_model:load_latency", marks=LEFT_ALONE),
    ],
)
def test_07_the_panels_of_the_dashboard_are_filled(light: Running, metric: str) -> None:
    """serving 462, tensorflow-mixin of grafana/jsonnet-libs: what its panels ask for."""
    assert post(light, BODY)[0] == 200
    page = requests.get(f"{light.rest}/monitoring/prometheus/metrics", timeout=30).text
    assert f"\n:tensorflow:{metric}{{" in page


def test_11_a_server_behind_a_path_prefix_is_called(light: Running, server) -> None:
    """seldon-core 3767, ingress-nginx 5940: `http://host/prefix/v1/models/...`."""

    def gateway(method: str, path: str, body: bytes) -> bytes:
        prefix, slash, rest = path.partition("/v1/")
        if prefix != "/seldon/flowers":
            return b""
        return requests.request(method, light.rest + slash + rest, data=body, timeout=30).content

    rest = f"{server(gateway)}/seldon/flowers"
    endpoint = Endpoint("tfserving", rest=rest, model="iris")
    outputs = tfserving.predict(endpoint, {"features": FLOWER}, protocol="rest")
    assert outputs["probabilities"].argmax() == 0


def test_12_the_metadata_of_openvino_model_server_is_read(server) -> None:
    """OpenVINO Model Server's REST documentation: names as protobuf writes them in JSON."""

    def tensor(name: str, *sizes: int) -> dict:
        dims = [{"size": str(size), "name": ""} for size in sizes]
        shape = {"dim": dims, "unknownRank": False}
        return {name: {"dtype": "DT_FLOAT", "tensorShape": shape, "name": f"{name}:0"}}

    signature = {
        "inputs": tensor("data", 1, 3, 32, 32),
        "outputs": tensor("prob", 1, 10),
        "methodName": "",
        "defaults": {},
    }
    document = {
        "modelSpec": {"name": "resnet", "signatureName": "", "version": "1"},
        "metadata": {
            "signature_def": {
                "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
                "signatureDef": {"serving_default": signature},
            }
        },
    }
    rest = server(lambda *_: json.dumps(document).encode())
    endpoint = Endpoint("tfserving", rest=rest, model="resnet")
    signatures = tfserving.signatures(endpoint)
    assert (signatures.model, signatures.version) == ("resnet", 1)
    spec = TensorSpec(np.dtype("float32"), (1, 3, 32, 32))
    assert signatures["serving_default"].inputs == {"data": spec}


def test_21_bodies_come_as_clients_send_them(light: Running) -> None:
    """ab, curl, raw sockets: gzip, pieces, Expect, HTTP/1.0, one request behind the other."""
    right = post(light, BODY)
    assert right[0] == 200
    assert post(light, gzip.compress(BODY.encode()), **{"content-encoding": "gzip"}) == right
    pieces = requests.post(light.rest + PREDICT, iter([BODY[:9].encode(), BODY[9:].encode()]))
    assert (pieces.status_code, pieces.json()) == right

    def raw(*texts: str) -> str:
        with socket.create_connection(("127.0.0.1", light.ports[1]), timeout=30) as connection:
            connection.sendall("".join(texts).encode())
            with closing(connection.makefile("rb")) as file:
                return file.read().decode()

    line, length = f"POST {PREDICT} HTTP/", f"Host: x\r\nContent-Length: {len(BODY)}\r\n"
    last = f"{length}Connection: close\r\n"
    assert '"predictions"' in raw(line, "1.0\r\n", length, "\r\n", BODY)
    assert '"predictions"' in raw(line, "1.1\r\n", last, "Expect: 100-continue\r\n\r\n", BODY)
    two = raw(line, "1.1\r\n", length, "\r\n", BODY, line, "1.1\r\n", last, "\r\n", BODY)
    assert two.count('"predictions"') == 2


@pytest.mark.xfail(strict=True, reason="left alone: JSON of a thousand levels is refused")
def test_22_json_may_be_nested_deeply(light: Running) -> None:
    """CVE-2025-0649, json_tensor_test.cc: 3,000 levels bring nothing down."""
    nested = "[" * 3000 + "]" * 3000
    assert post(light, f'{{"ignored": {nested}, "instances": {FLOWER}}}')[0] == 200


def test_22_json_that_is_nested_too_deeply_brings_nothing_down(light: Running) -> None:
    """The same, and what it does here."""
    nested = "[" * 3000 + "]" * 3000
    assert post(light, f'{{"instances": {nested}}}')[0] == 400
    assert post(light, BODY)[0] == 200
