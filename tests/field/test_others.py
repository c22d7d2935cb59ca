"""Reports about CCAI and ModelArts, and about chapters that are run by a program."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import nbformat
import pytest
from nbclient import NotebookClient

from tests import ccai, modelarts

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def test_13_a_chapter_is_run_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """papermill 316: files beside a notebook are not there; the chapters' data are."""
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(NOTEBOOKS / "00-start-here.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = code[1:2]
    assert "DATA /" in notebook.cells[0].source
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=60, resources=resources).execute()
    assert notebook.cells[0].outputs


@pytest.fixture(scope="module")
def gateway() -> Iterator[modelarts.Running]:
    with modelarts.running() as service:
        yield service


FLOWER = modelarts.flowers(modelarts.SETOSA)


def test_23_every_kind_of_credentials_is_taken(gateway: modelarts.Running) -> None:
    """A ModelArts tutorial: a token, AK and SK, an AppCode; rows as JSON, a picture in a form."""
    app = {**modelarts.JSON, "X-Apig-AppCode": gateway.account["appcode"]}
    answers = [
        gateway.ask(modelarts.IRIS, FLOWER, gateway.with_token),
        gateway.ask(modelarts.APP_IRIS, FLOWER, app),
        modelarts.sign(gateway, modelarts.IRIS, FLOWER).send(gateway),
    ]
    assert [answer.status for answer in answers] == [200] * 3
    body = modelarts.form(modelarts.Part(modelarts.digit("7")))
    signed = modelarts.sign(gateway, modelarts.DIGITS, body, modelarts.form_headers())
    assert signed.send(gateway).json["predicted_label"] == "7"


def test_23_unsigned_payload_without_a_body_is_refused(gateway: modelarts.Running) -> None:
    """A public signer signs that word for a GET, too. Not documented: left alone."""
    target = f"/v1/{gateway.account['project_id']}/services"
    word = "UNSIGNED-PAYLOAD"
    right = modelarts.sign(gateway, target, method="GET", headers={"X-Sdk-Content-Sha256": word})
    assert right.send(gateway).status == 200
    date, names = right.headers["X-Sdk-Date"], right.authorization["SignedHeaders"]
    canonical = modelarts.canonical_request("GET", target, right.headers, names, b"any")
    assert canonical.endswith(word)
    value = modelarts.signature(canonical, date, gateway.account["sk"])
    right.headers["Authorization"] = modelarts.authorization(gateway.account["ak"], names, value)
    assert right.send(gateway).code == (403, "ModelArts.0206")


def test_24_classification_takes_what_its_source_reads() -> None:
    """CCAI's fcgi_classification: a form, in one piece or several, and nothing else."""
    path = "/cgi-bin/fcgi_py_classification"
    picture = {"image": ccai.text64(ccai.written("7", 200))}
    body = urlencode(picture)
    with ccai.running() as service:
        right = ccai.ask(service.plain, path, body)
        assert json.loads(right.body)["ret"] == 0
        chunked = ccai.FORM | {"Transfer-Encoding": "chunked"}
        in_pieces = ccai.ask(service.plain, path, f"{len(body):x}\r\n{body}\r\n0\r\n\r\n", chunked)
        assert ccai.without_time(in_pieces.body) == ccai.without_time(right.body)
        kind = "multipart/form-data; boundary=b0undary"
        part = f'Content-Disposition: form-data; name="image"\r\n\r\n{picture["image"]}\r\n'
        form = f"--b0undary\r\n{part}--b0undary--\r\n"
        for content, headers in ((form, kind), (json.dumps(picture), "application/json")):
            answer = ccai.ask(service.plain, path, content, {"Content-Type": headers})
            assert answer.status == 500
        assert ccai.ask(service.plain, f"{path}?{body}", None, {}, "GET").status == 500
