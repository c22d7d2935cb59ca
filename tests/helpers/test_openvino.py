"""OpenVINO Model Server over REST: TensorFlow Serving's calls, in protobuf's own spelling."""

import json
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers import tfserving
from helpers.endpoints import Endpoint
from helpers.errors import NotThisProtocol
from tests.http_answers import http_answer, received
from workbench.explorer import catalog

# An Any says its type in it.
OPENVINO = {
    "modelSpec": {"name": "m", "signatureName": "", "version": "3"},
    "metadata": {
        "signature_def": {
            "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
            "signatureDef": {
                "serving_default": {
                    "inputs": {
                        "0": {
                            "dtype": "DT_FLOAT",
                            "tensorShape": {
                                "dim": [{"size": "1", "name": ""}, {"size": "-1", "name": ""}],
                                "unknownRank": False,
                            },
                            "name": "0",
                        }
                    },
                    "outputs": {
                        "prob": {
                            "dtype": "DT_INT64",
                            "tensorShape": {"dim": [], "unknownRank": True},
                            "name": "prob",
                        }
                    },
                    "methodName": "",
                    "defaults": {},
                }
            },
        }
    },
}
STATUS = {
    "model_version_status": [
        {
            "version": "3",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": "OK"},
        }
    ]
}


def openvino(connection: socket.socket) -> None:
    target = received(connection).decode().split(" ")[1]
    answers = {"/v1/models/m/metadata": OPENVINO, "/v1/models/m": STATUS}
    answer = answers.get(target, {"outputs": [7, 8]})
    connection.sendall(http_answer(json.dumps(answer).encode()))


def test_openvinos_metadata_is_read(tcp_server: Callable[[Any], str]) -> None:
    endpoint = Endpoint("tfserving", rest=f"http://{tcp_server(openvino)}", model="m")
    signatures = tfserving.signatures(endpoint)
    assert signatures.version == 3
    signature = signatures["serving_default"]
    assert signature.inputs["0"].shape == (1, -1)
    assert signature.outputs["prob"].shape is None
    outputs = tfserving.predict(endpoint, {"0": np.ones((1, 2), "float32")})
    assert (outputs["prob"].dtype, outputs["prob"].tolist()) == (np.dtype("int64"), [7, 8])
    assert [entry.error for entry in catalog.entries(endpoint)] == [None]


@pytest.mark.parametrize("missing", ["modelSpec", "metadata"])
def test_metadata_without_its_parts_is_no_tensorflow_serving(
    tcp_server: Callable[[Any], str], missing: str
) -> None:
    answer = {name: value for name, value in OPENVINO.items() if name != missing}
    rest = f"http://{tcp_server(http_answer(json.dumps(answer).encode()))}"
    with pytest.raises(NotThisProtocol):
        tfserving.signatures(Endpoint("tfserving", rest=rest, model="m"))
