"""`otw describe FOLDER`: what a model's files hold, without TensorFlow and without a service."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.endpoints import Endpoint, profiles
from helpers.serving_api import meta_graph_pb2, saved_model_pb2, types_pb2
from otw import cli
from practice.launch import MODELS
from tests.tfserving import make_models
from tests.warmup import predict_record, write_records

Capture = pytest.CaptureFixture[str]


def described(capsys: Capture, *words: str | Path) -> str:
    assert cli.main(["describe", *map(str, words)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def write(folder: Path, *graphs: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    saved_model = saved_model_pb2.SavedModel(meta_graphs=graphs)
    (folder / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return folder


def graph(*operations: str, tags: str = "serve") -> Any:
    """Return a graph with one signature, which takes and gives a number."""
    made = meta_graph_pb2.MetaGraphDef()
    made.meta_info_def.tags.extend(tags.split(","))
    for number, operation in enumerate(operations):
        made.graph_def.node.add(name=f"n{number}", op=operation)
    signature = made.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for infos in (signature.inputs, signature.outputs):
        infos["x"].name = "x:0"
        infos["x"].dtype = types_pb2.DT_FLOAT
    return made


def test_a_folder_of_versions_is_told_as_text(capsys: Capture) -> None:
    lines = described(capsys, MODELS / "iris_examples").splitlines()
    assert lines[0] == str(MODELS / "iris_examples")
    assert "version  1 of 1" in lines
    assert lines[lines.index("signatures with the tags serve") :][1:6] == [
        "  classify  (classify)",
        "    inputs",
        "      inputs  string [-1]",
        "    outputs",
        "      classes  string [-1, 3]",
    ]


def test_json_has_all_that_the_text_has(capsys: Capture, tmp_path: Path) -> None:
    shutil.copytree(MODELS / "iris" / "1", tmp_path / "7")
    (tmp_path / "README.md").write_text("about flowers", encoding="utf-8")
    told = json.loads(described(capsys, tmp_path, "--json"))
    assert (told["kind"], told["version"], told["versions"]) == ("SavedModel", 7, [7])
    assert told["documents"] == ["README.md"]
    variables = sum(path.stat().st_size for path in (tmp_path / "7" / "variables").iterdir())
    assert told["bytes"]["variables"] == variables
    [only] = told["graphs"]
    assert only["tags"] == ["serve"]
    signature = only["signatures"]["serving_default"]
    assert signature["inputs"] == {"features": {"dtype": "float32", "shape": [-1, 4]}}
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_a_tflite_file_has_the_signatures_of_its_savedmodel(capsys: Capture) -> None:
    light, whole = (
        json.loads(described(capsys, MODELS / "digits" / "2" / name, "--json"))
        for name in ("model.tflite", "saved_model.pb")
    )
    assert (light["kind"], whole["kind"]) == ("TFLite", "SavedModel")
    assert light["graphs"][0]["signatures"] == whole["graphs"][0]["signatures"]


def test_an_older_version_is_told_when_it_is_named(capsys: Capture) -> None:
    assert "version  1 of 2, 1\n" in described(capsys, MODELS / "digits", "--version=1")
    assert cli.main(["describe", str(MODELS / "digits"), "--version=9"]) == 1
    assert "has no version 9. Versions there: 2, 1." in capsys.readouterr().err


def test_every_tag_set_is_told_with_its_signatures(capsys: Capture, tmp_path: Path) -> None:
    told = described(capsys, write(tmp_path, graph(tags="serve"), graph(tags="serve,gpu")))
    assert told.count("serving_default") == 2
    assert "signatures with the tags gpu,serve\n" in told


def test_a_signature_that_cannot_be_called_is_told_with_the_reason(
    capsys: Capture, tmp_path: Path
) -> None:
    ragged = graph()
    output = ragged.signature_def["serving_default"].outputs["x"]
    output.composite_tensor.type_spec.type_spec_class_name = "RaggedTensorSpec"
    told = described(capsys, write(tmp_path, ragged))
    assert "'x' is several tensors in one (RaggedTensorSpec)" in told


def test_operations_of_a_package_are_told_with_it(capsys: Capture, tmp_path: Path) -> None:
    folder = write(tmp_path, graph("Add", "TFText>Tokenize", "SimpleMLInference", "Mine>Op"))
    told = described(capsys, folder)
    assert "TFText>Tokenize: install tensorflow-text\n" in told
    assert "SimpleMLInference: install tensorflow-decision-forests\n" in told
    assert "Mine>Op: name its library" in told
    assert "Add:" not in told


def test_a_tflite_file_that_cannot_run_is_told_with_the_reason(
    needs_tensorflow: None, capsys: Capture, tmp_path: Path
) -> None:
    file = make_models("tests.field.models", tmp_path) / "determinant" / "1" / "model.tflite"
    told = described(capsys, file)
    assert "It cannot be served: it has operations of TensorFlow itself" in told
    assert "(Select TensorFlow ops: Identity, MatrixDeterminant)" in told
    file.write_bytes(file.read_bytes().replace(b"Flex", b"Mine"))
    told = described(capsys, file)
    assert "it has the custom operations MineIdentity, MineMatrixDeterminant, which" in told


def test_warm_up_requests_are_listed(capsys: Capture, tmp_path: Path) -> None:
    write(tmp_path, graph())
    write_records(tmp_path, predict_record({"x": [1.0, 2.0]}), predict_record({"x": [3.0]}))
    told = described(capsys, tmp_path)
    assert told.endswith(
        "2 example inputs\n"
        "  1. serving_default: x float32 [2]\n"
        "  2. serving_default: x float32 [1]\n"
    )


def test_warm_up_requests_that_cannot_be_read_hide_nothing_else(
    capsys: Capture, tmp_path: Path
) -> None:
    write(tmp_path, graph())
    write_records(tmp_path)
    (tmp_path / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"\xff" * 40)
    told = described(capsys, tmp_path)
    assert "serving_default" in told
    assert "is no file of warm-up requests" in told


def with_file(content: bytes, name: str = "saved_model.pb") -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


GRAPH = (MODELS / "iris" / "1" / "saved_model.pb").read_bytes()
LITE = (MODELS / "iris" / "1" / "model.tflite").read_bytes()


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "saved_model.pb").mkdir()


def too_large(folder: Path) -> None:
    (folder / "saved_model.pb").touch()
    os.truncate(folder / "saved_model.pb", 2**40)  # of holes


def nested(folder: Path) -> None:
    text = "meta_graphs { object_graph_def { nodes { " + "x { " * 20_000
    (folder / "saved_model.pbtxt").write_text(text, encoding="utf-8")


DAMAGED = ". Its files are damaged, or were not copied whole. Copy the model again."
BROKEN = [
    (lambda folder: None, "holds no model to serve. Found there: nothing"),
    (a_folder_for_a_file, "holds no model to serve. Found there: saved_model.pb"),
    (with_file(b""), "has no graph in its saved_model.pb. Copy the model again."),
    (with_file(b"", "saved_model.pbtxt"), "has no graph in its saved_model.pb"),
    (with_file(GRAPH[:-100]), f"as binary proto{DAMAGED}"),
    (with_file(GRAPH[: len(GRAPH) // 2]), f"as binary proto{DAMAGED}"),
    (with_file(b"version https://git-lfs.github.com/spec/v1\n"), f"as binary proto{DAMAGED}"),
    (with_file(b"<!DOCTYPE html>"), f"as binary proto{DAMAGED}"),
    (with_file(b"PK\x03\x04" + bytes(500)), f"as binary proto{DAMAGED}"),
    (with_file(b"\xff\xfe", "saved_model.pbtxt"), f"as text proto{DAMAGED}"),
    (nested, f"as text proto{DAMAGED}"),
    (with_file(b"", "model.tflite"), "model.tflite is empty. Copy the model again."),
]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        *BROKEN,
        (too_large, "has 1,099,511,627,776 bytes; up to 1,073,741,824 are read here"),
        (
            with_file(bytes(100), "model.tflite"),
            "is no TFLite model that LiteRT reads",
        ),
        (
            with_file(LITE[:-500], "model.tflite"),
            "is no TFLite model that LiteRT reads",
        ),
    ],
)
def test_a_broken_folder_is_a_sentence(
    make: Any, words: str, tmp_path: Path, capsys: Capture
) -> None:
    make(tmp_path)
    assert cli.main(["describe", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


@pytest.mark.parametrize(("make", "words"), BROKEN)
def test_a_broken_folder_is_refused_before_anything_is_started(
    make: Any, words: str, tmp_path: Path, capsys: Capture
) -> None:
    make(tmp_path)
    assert cli.main(["explore", str(tmp_path), "--no-browser"]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_missing_variables_are_told_with_what_can_be_read(tmp_path: Path, capsys: Capture) -> None:
    with_file(GRAPH)(tmp_path)
    (tmp_path / "variables").write_bytes(b"a file, not a folder")
    assert cli.main(["describe", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "probabilities  float32 [-1, 3]" in told
    assert "has no variables/variables.index: calls that need the model's variables fail" in told


def test_a_missing_model_is_asked_for_with_the_names_that_profiles_have(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    profiles.save("mine", Endpoint("tfserving", grpc="127.0.0.1:8599", model="ours"))
    assert cli.main(["describe", "127.0.0.1:8599"]) == 2
    assert "Profiles at this address name ours." in capsys.readouterr().err


def test_address_and_folder_are_not_mixed_up(capsys: Capture) -> None:
    assert cli.main(["describe", "127.0.0.1:8500"]) == 2
    assert "MODEL is missing: otw describe 127.0.0.1:8500 MODEL" in capsys.readouterr().err
    assert cli.main(["describe", str(MODELS / "iris"), "iris"]) == 2
    assert "takes no MODEL" in capsys.readouterr().err
    assert cli.main(["describe", str(MODELS / "iris"), "--label=stable"]) == 1
    assert "--version" in capsys.readouterr().err


def test_tensorflow_is_not_imported() -> None:
    code = (
        "import sys; from otw import cli; cli.main(sys.argv[1:]); "
        "sys.exit(any(name.startswith('tensorflow.python') for name in sys.modules))"
    )
    command = [sys.executable, "-c", code, "describe", str(MODELS / "iris")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "serving_default" in done.stdout
