"""`otw serve`: models of one's own, served by the real command, called as it says."""

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import psutil
import pytest

from helpers import endpoints
from helpers.endpoints import Endpoint, profiles
from helpers.errors import BadInput
from helpers.serving_api import saved_model_pb2
from helpers.tfserving import VersionStatus
from helpers.tfserving.signatures import (
    DEFAULT_SIGNATURE,
    Signature,
    Signatures,
    TensorSpec,
    check_inputs,
)
from otw import cli, features, modelfiles, serve
from otw.modelfiles import ModelFiles
from practice import processes, state
from practice.launch import MODELS
from practice.state import PracticeError
from tests.explorer import before
from tests.tfserving import make_odd_models, on_tensorflow
from tests.warmup import predict_record, write_records
from workbench.code.tfserving import TfServingWriter, method, stand_ins
from workbench.explorer import Explorer, addresses, catalog

HERE = Endpoint("tfserving", grpc="127.0.0.1:8500", rest="http://127.0.0.1:8501", model="m")
READY = "Ctrl-C stops it."
ENDED = "is no longer served."
PYTHON = r"from Python:\n\n(.*?\nprint\(outputs\)\n)"
CURL = r"from a terminal:\n\n([^\n]*)\n"
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


class Served:
    """A running `otw serve`, and what it has printed."""

    kind = ""

    def __init__(self, path: Path, folder: Path, *options: str, **variables: str) -> None:
        self.endpoints = folder / "endpoints.toml"
        self.variables = os.environ | {"OTW_ENDPOINTS": str(self.endpoints)} | variables
        self._out, self._errors = folder / "out.txt", folder / "errors.txt"
        code = "import sys; from otw.cli import main; sys.exit(main())"
        with self._out.open("wb") as out, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, "serve", str(path), *options],
                stdout=out,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=self.variables,
            )

    @property
    def told(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        return self._first(r"started as ([\w-]+)\.")

    @property
    def python(self) -> str:
        return self._first(PYTHON)

    @property
    def curl(self) -> str:
        return self._first(CURL)

    @property
    def rest(self) -> str:
        return self._first(r"REST  (http://127\.0\.0\.1:\d+)\n")

    @property
    def service(self) -> psutil.Process:
        """The process that serves the model."""
        command = psutil.Process(self.process.pid)
        return next(each for each in command.children(recursive=True) if serves(each, self.name))

    def wait_for(self, text: str, seconds: float = 60) -> None:
        limit = time.monotonic() + seconds
        while text not in self.told:
            assert self.process.poll() is None, self.told + self.errors
            assert time.monotonic() < limit, self.told + self.errors
            time.sleep(0.02)

    def run_python(self) -> str:
        called = subprocess.run(
            [sys.executable, "-P", "-c", self.python],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self.variables,
        )
        assert called.returncode == 0, self.python + called.stderr
        return called.stdout

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=120)

    def _first(self, pattern: str) -> str:
        found = re.search(pattern, self.told, re.DOTALL)
        assert found, self.told + self.errors
        return found[1]


def serves(process: psutil.Process, name: str) -> bool:
    with contextlib.suppress(psutil.Error):
        return f"--model_name={name}" in process.cmdline()
    return False


def processes_of(name: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter() if serves(each, name)]


def folders_of(name: str) -> list[Path]:
    return list((state.folder() / "private").glob(f"{name}-*"))


@contextlib.contextmanager
def serving(path: Path, folder: Path, *options: str, **variables: str) -> Iterator[Served]:
    served = Served(path, folder, *options, **variables)
    try:
        served.wait_for(READY)
        yield served
    finally:
        served.process.terminate()
        served.process.wait(timeout=120)


@pytest.fixture
def light(tmp_path: Path) -> Path:
    """Return a lone TFLite file, away from the model that it came from."""
    path = tmp_path / "my flowers.tflite"
    shutil.copy(MODELS / "iris" / "1" / "model.tflite", path)
    return path


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """Return a folder with one version, which LiteRT runs."""
    folder = tmp_path / "models" / "counted"
    copy_version(folder / "1")
    return folder


def copy_version(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(MODELS / "iris" / "1" / "model.tflite", folder)


KINDS: dict[str, Callable[[Path], Path]] = {
    "SavedModel": lambda _: MODELS / "digits_encoded" / "1",
    "versions": lambda _: MODELS / "iris_examples",
    "TFLite": lambda folder: Path(
        shutil.copy(MODELS / "iris" / "1" / "model.tflite", folder / "flowers.tflite")
    ),
    "odd": lambda folder: (
        make_odd_models(folder / "models").joinpath("strange").rename(folder / "odd")
    ),
}


KINDS_HERE = [kind if kind == "TFLite" else on_tensorflow(kind) for kind in KINDS]


@pytest.fixture(scope="module", params=KINDS_HERE)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Return each kind of model, served."""
    folder = tmp_path_factory.mktemp("served")
    with serving(KINDS[request.param](folder), folder) as running:
        running.kind = request.param
        yield running


def test_the_engine_the_addresses_and_the_signatures_are_told(served: Served) -> None:
    name, engine, signature, tensor = {
        "SavedModel": ("digits_encoded", "TensorFlow", "serving_default", "string [-1]"),
        "versions": ("iris_examples", "TensorFlow", "classify", "string [-1, 3]"),
        "TFLite": ("flowers", "LiteRT", "serving_default", "float32 [-1, 4]"),
        "odd": ("odd", "TensorFlow", "strange", "int32 of any shape"),
    }[served.kind]
    assert f"started as {name}. It runs on {engine}.\n" in served.told
    assert re.search(r"gRPC  127\.0\.0\.1:\d+\n  REST  http://127\.0\.0\.1:\d+\n", served.told)
    assert re.search(rf"^{signature} .* {re.escape(tensor)}$", served.told, re.MULTILINE)
    assert "stand-ins" not in served.told, "the call that is shown was answered"
    assert ("A new version in" in served.told) == (served.kind == "versions")


def test_the_python_that_is_shown_runs(served: Served) -> None:
    assert "helpers" not in served.python, "it runs without this project"
    answer = ast.literal_eval(served.run_python())
    if served.kind == "versions":
        assert {label for label, _ in answer[0]} == {"setosa", "versicolor", "virginica"}
    elif served.kind == "odd":
        assert answer["same_word"] == "texttext"
    else:
        [row] = answer["probabilities"] if served.kind == "SavedModel" else answer
        assert sum(row) == pytest.approx(1)


@unix
@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_curl_command_that_is_shown_runs(served: Served) -> None:
    called = subprocess.run(
        ["sh", "-c", f"{served.curl} --silent --fail-with-body"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert called.returncode == 0, called.stdout + called.stderr
    assert json.loads(called.stdout).keys() <= {"outputs", "results"}


@pytest.mark.tensorflow
def test_a_model_that_parses_examples_in_predict_is_shown_one(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "iris_examples" / "1", tmp_path / "tfx")
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signature = saved_model.meta_graphs[0].signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"  # as TFX exports it
    signature.inputs["examples"].CopyFrom(signature.inputs.pop("inputs"))
    path.write_bytes(saved_model.SerializeToString())
    with serving(folder, tmp_path) as running:
        assert "stand-ins" not in running.told, "the call that is shown was answered"
        assert "virginica" in running.run_python()
        explorer = Explorer(running.rest, names=["tfx"])
        explorer.wait()
        assert explorer.form.editors["examples"].source.value == "tf.Examples"
        explorer.fill_at_random()
        with pytest.raises(BadInput, match=r"Feature: \w+ \(data type: float\) is required"):
            explorer.send()
        features = ("sepal_length", "sepal_width", "petal_length", "petal_width")
        explorer.fill(examples=[dict(zip(features, [5.1, 3.5, 1.4, 0.2], strict=True))])
        assert explorer.send()["scores"].argmax() == 0
        explorer.close()


def test_the_profile_leads_there(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"Saved as profile {served.name} in {served.endpoints}." in served.told
    text = served.endpoints.read_text(encoding="utf-8")
    assert f"[{served.name}]\n" in text
    assert f'rest = "{served.rest}"\n' in text
    assert f'model = "{served.name}"\n' in text
    monkeypatch.setenv("OTW_ENDPOINTS", str(served.endpoints))
    assert f'\nendpoints.load("tfserving", "{served.name}") finds it' in served.told
    assert endpoints.load("tfserving", served.name).rest == served.rest


def test_the_explorer_finds_the_model_with_or_without_the_profile(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = re.search(r"^otw explore (\S+) --model=(\S+) opens a form", served.told, re.MULTILINE)
    assert told, served.told
    for path in (served.endpoints, served.endpoints.with_name("none.toml")):
        monkeypatch.setenv("OTW_ENDPOINTS", str(path))
        [entry] = catalog.entries(addresses.endpoint_at(told[1]), [told[2]])
        assert (entry.name, entry.error) == (served.name, None)
        assert entry.signatures


@unix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process_and_no_folder(
    number: signal.Signals, light: Path, tmp_path: Path
) -> None:
    name = f"ends-{number}"
    with serving(light, tmp_path, "--name", name) as served:
        port = int(served.rest.rpartition(":")[2])
        assert len(folders_of(name)) == 1
        assert served.end(number) == 0
    assert f"{name} {ENDED}" in served.told
    assert served.errors.count("Traceback") == 0
    assert (processes_of(name), folders_of(name)) == ([], [])
    assert not processes.accepts(port)
    assert light.exists()


@unix
@pytest.mark.tensorflow
def test_a_signal_during_the_start_leaves_nothing_either(tmp_path: Path) -> None:
    served = Served(MODELS / "iris", tmp_path, "--name", "hurried")
    served.wait_for("started as")
    limit = time.monotonic() + 120
    while not processes_of("hurried"):
        assert time.monotonic() < limit, served.errors
    assert served.end() == 0
    assert "hurried is served" not in served.told
    assert (processes_of("hurried"), folders_of("hurried")) == ([], [])


def test_a_killed_command_takes_its_service_along(light: Path, tmp_path: Path) -> None:
    with serving(light, tmp_path, "--name", "orphan") as served:
        service = served.service
        served.process.kill()
        assert not psutil.wait_procs([service], timeout=15)[1]


def test_a_service_that_dies_is_told_with_its_log(light: Path, tmp_path: Path) -> None:
    with serving(light, tmp_path, "--name", "dying") as served:
        served.service.kill()
        assert served.process.wait(timeout=120) == 1
    assert "otw: dying ended by itself, with status" in served.errors
    assert "Running gRPC ModelServer at" in served.errors
    assert "Traceback" not in served.errors
    assert folders_of("dying") == []


def test_a_second_run_is_as_the_first(light: Path, tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with serving(light, tmp_path) as served:
            told.append(re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", served.told))
    assert told[0] == told[1]
    assert served.name == "my-flowers"
    assert served.endpoints.read_text(encoding="utf-8").count("[my-flowers]") == 1


def test_two_at_once_take_different_ports(light: Path, versions: Path, tmp_path: Path) -> None:
    with (
        serving(light, tmp_path) as one,
        serving(versions, versions.parent, OTW_ENDPOINTS=str(one.endpoints)) as two,
    ):
        assert one.rest != two.rest
        assert "[my-flowers]" in one.endpoints.read_text(encoding="utf-8")
        assert_probabilities(one)
        assert_probabilities(two)


def test_example_inputs_that_came_along_are_named(versions: Path, tmp_path: Path) -> None:
    write_records(versions / "1", predict_record({"features": [[5.1, 3.5, 1.4, 0.2]]}))
    with serving(versions, tmp_path) as served:
        words = re.search(r"^otw explore (.+) opens a form for it, with", served.told, re.MULTILINE)
        assert words, served.told
        assert f"--examples {versions / '1'}" in words[1]


def test_a_new_version_is_picked_up_while_it_runs(versions: Path, tmp_path: Path) -> None:
    with serving(versions, tmp_path) as served:
        assert f"A new version in {versions} is picked up" in served.told
        (versions / "2").mkdir()  # a copy takes time: the folder is seen before its file is there
        served_at = served.service
        log = next(folders_of("counted")[0].glob("*.log"))
        limit = time.monotonic() + 120
        while "version: 2} failed" not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert_probabilities(served)
        copy_version(versions / "2")
        served.wait_for("Version 2 is served now.")
        served.wait_for("Version 1 is no longer served.")
        assert served.service == served_at


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({1: "AVAILABLE"}, {1: "AVAILABLE"}, []),
        ({1: "AVAILABLE"}, {2: "LOADING", 1: "AVAILABLE"}, []),
        ({1: "AVAILABLE"}, {2: "END", 1: "AVAILABLE"}, ["Version 2 cannot be loaded: why"]),
        ({1: "AVAILABLE"}, {1: "UNLOADING"}, []),
        ({1: "UNLOADING"}, {1: "END"}, ["Version 1 is no longer served."]),
    ],
)
def test_news_are_versions_that_changed(
    before: dict[int, str], now: dict[int, str], told: list[str]
) -> None:
    def statuses(states: dict[int, str]) -> dict[int, VersionStatus]:
        reason = ("INVALID_ARGUMENT", "why")
        return {n: VersionStatus(s, *(reason if n == 2 else ())) for n, s in states.items()}

    assert list(serve.news(statuses(before), statuses(now))) == told


def test_a_broken_profile_file_is_left_and_the_model_served(light: Path, tmp_path: Path) -> None:
    (tmp_path / "endpoints.toml").write_text("[broken\n", encoding="utf-8")
    with serving(light, tmp_path) as served:
        assert "No profile was saved: endpoints.toml was left as it is" in served.told
        assert "endpoints.load(" not in served.told
        assert_probabilities(served)
        assert served.endpoints.read_text(encoding="utf-8") == "[broken\n"


def test_a_profile_of_something_else_is_not_replaced(light: Path, tmp_path: Path) -> None:
    text = '[my-flowers]\nkind = "tfserving"\ngrpc = "models.example:8500"\n'
    (tmp_path / "endpoints.toml").write_text(text, encoding="utf-8")
    with serving(light, tmp_path) as served:
        assert "No profile was saved" in served.told
        assert "--name" in served.told
        assert "endpoints.load(" not in served.told
        assert_probabilities(served)
        assert served.endpoints.read_text(encoding="utf-8") == text


def test_an_address_in_the_environment_does_not_mislead_the_call(
    light: Path, tmp_path: Path
) -> None:
    with serving(light, tmp_path, OTW_TFSERVING_GRPC="127.0.0.1:1") as served:
        assert "endpoints.load(" not in served.told
        assert_probabilities(served)


def test_a_proxy_in_the_environment_is_gone_past(light: Path, tmp_path: Path) -> None:
    proxies = {"http_proxy": "http://127.0.0.1:1", "no_proxy": "", "NO_PROXY": ""}
    with serving(light, tmp_path, **proxies) as served:
        assert "--noproxy" in served.curl
        assert_probabilities(served)


@pytest.mark.tensorflow
def test_a_call_that_wants_other_values_is_said_to(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    shutil.copytree(MODELS / "digits_encoded" / "1", folder)
    saved = folder / "saved_model.pb"
    # The same length, so that the message stays whole: the name no longer tells of a picture.
    saved.write_bytes(saved.read_bytes().replace(b"\x0bimage_bytes\x12", b"\x0bsome_string\x12"))
    with serving(folder, tmp_path) as served:
        assert '"some_string": ["text"]' in served.python
        assert "The values are stand-ins. To them, the model answers:" in served.told
        assert "Unknown image file format" in served.told


def assert_probabilities(served: Served) -> None:
    """Run the Python that is shown, of the model that has flowers for its classes."""
    [row] = ast.literal_eval(served.run_python())
    assert (len(row), sum(row)) == (3, pytest.approx(1))


@pytest.mark.tensorflow
def test_a_model_without_signatures_is_served_and_said_to_have_none(tmp_path: Path) -> None:
    folder = tmp_path / "mute"
    folder.mkdir()
    with_tags(folder, "serve")
    with serving(folder, tmp_path) as served:
        assert "It has no signatures, so no call reaches it. Export it with one" in served.told
        log = next(folders_of("mute")[0].glob("*.log")).read_text(encoding="utf-8")
    phases = [serve.phase(log[:end]) for end in range(len(log))]
    assert list(dict.fromkeys(phases)) == [
        "",
        "importing TensorFlow",
        "building the graph",
        "restoring variables",
    ]


def test_missing_variables_are_told_before_a_call_fails(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "iris" / "1", tmp_path / "1")
    (tmp_path / "1" / "model.tflite").unlink()
    assert modelfiles.find(str(tmp_path)).problem() == ""
    shutil.rmtree(tmp_path / "1" / "variables")
    assert "has no variables/variables.index: calls" in modelfiles.find(str(tmp_path)).problem()


def empty(folder: Path) -> Path:
    return folder


def with_tags(folder: Path, *sets: str) -> ModelFiles:
    saved_model = saved_model_pb2.SavedModel()
    for tags in sets:
        saved_model.meta_graphs.add().meta_info_def.tags.extend(tags.split(","))
    (folder / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return modelfiles.find(str(folder))


@pytest.mark.parametrize(
    ("sets", "wanted", "chosen"),
    [
        (["serve"], "", "serve"),
        (["serve", "serve,gpu"], "", "serve"),
        (["serve", "serve,gpu"], "serve,gpu", "gpu,serve"),
        (["train"], "", "train"),
        (["serve,gpu"], "", "gpu,serve"),
    ],
)
def test_the_graph_for_serving_is_taken_or_the_only_one_or_the_one_named(
    sets: list[str], wanted: str, chosen: str, tmp_path: Path
) -> None:
    assert with_tags(tmp_path, *sets).tags(wanted) == chosen


@pytest.mark.parametrize(("sets", "wanted"), [(["a", "b,c"], ""), (["serve"], "serve,tpu")])
def test_tags_that_are_not_there_are_told_with_those_that_are(
    sets: list[str], wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(PracticeError, match=f"There are: {'; '.join(sets)}. Choose with --tags"):
        with_tags(tmp_path, *sets).tags(wanted)


def with_file(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"nothing of the kind")
        return folder

    return make


def two_light(folder: Path) -> Path:
    with_file("b.tflite")(folder)
    return with_file("a.tflite")(folder)


def newest_empty(folder: Path) -> Path:
    (folder / "2").mkdir()
    return with_file("1/model.tflite")(folder)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda folder: folder / "gone", [], ["There is no", "gone", "Expected"]),
        (empty, [], ["Found there: nothing", "saved_model.pb", "1, 2", ".tflite"]),
        (with_file("notes.txt"), [], ["Found there: notes.txt"]),
        (with_file("1/notes.txt"), [], ["Found there: 1."]),
        (with_file("net.keras"), [], ["net.keras is a Keras model", ".export("]),
        (with_file("net.h5"), [], ["net.h5 is a Keras model", ".export("]),
        (with_file("net.pt"), [], ["net.pt is a PyTorch model"]),
        (with_file("net.onnx"), [], ["net.onnx is an ONNX model"]),
        (lambda folder: with_file("a.onnx")(folder) / "a.onnx", [], ["is no folder", "ONNX"]),
        (with_file("1/model.onnx"), [], ["model.onnx is an ONNX model"]),
        (with_file("v1/saved_model.pb"), [], ["in v1, which is no number", "rename v1 to 1"]),
        (with_file("latest/model.tflite"), [], ["in latest, which is no number"]),
        (with_file("net.zip"), [], ["net.zip is an archive. Unpack it"]),
        (lambda folder: with_file("a.tar.gz")(folder) / "a.tar.gz", [], ["is an archive"]),
        (two_light, [], ["several TFLite files: a.tflite, b.tflite"]),
        on_tensorflow(
            with_file("saved_model.pb"),
            [],
            ["cannot be loaded", "Can't parse", "given/saved_model.pb", "Copy the model again"],
        ),
        (with_file("a.tflite"), [], ["cannot be loaded", "given/a.tflite cannot be loaded"]),
        (newest_empty, [], ["2 is the newest version, and holds no model; 1 does"]),
        (lambda _: MODELS / "iris", ["--name", "a b"], ["'a b' cannot name a model", "letters"]),
        (lambda _: MODELS / "iris", ["--name", "practice"], ["'practice' cannot name", "taken"]),
        (lambda _: MODELS / "iris", ["--name", "../up"], ["'../up' cannot name a model"]),
    ],
)
def test_what_cannot_be_served_is_said_in_sentences(
    make: Callable[[Path], Path],
    options: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    folder = tmp_path / "given"
    folder.mkdir()
    handler = signal.getsignal(signal.SIGINT)
    assert cli.main(["serve", str(make(folder)), *options]) == 1
    told = capsys.readouterr()
    assert all(word in told.err for word in words), told.err
    assert "Traceback" not in told.err
    assert not (tmp_path / "endpoints.toml").exists()
    assert signal.getsignal(signal.SIGINT) == handler
    assert folders_of("given") + folders_of("a") == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("digits/1", "digits"),
        ("digits/1/saved_model.pb", "digits"),
        ("digits/1/model.tflite", "digits"),
        ("digits", "digits"),
        ("digits/../iris", "iris"),
    ],
)
def test_the_name_is_the_folders_and_not_the_versions(path: str, name: str) -> None:
    assert modelfiles.find(f"{MODELS}/{path}").name == name


@pytest.mark.parametrize(
    ("stem", "name"),
    [("my model, v2", "my-model-v2"), ("Größe", "Gr-e"), ("数字", "model"), ("x" * 200, "x" * 100)],
)
def test_a_name_is_made_fit(stem: str, name: str) -> None:
    path = Path("/somewhere", f"{stem}.tflite")
    assert modelfiles.ModelFiles(path, None, light=True).name == name


def test_a_folder_without_versions_is_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    base = modelfiles.find(str(MODELS / "iris" / "1")).lay_out(tmp_path / "a")
    assert (base / "1" / "variables" / "variables.index").is_file()
    base = modelfiles.find(str(MODELS / "iris" / "1" / "model.tflite")).lay_out(tmp_path / "b")
    assert (base / "1" / "model.tflite").stat().st_size > 1000


def test_features_are_those_that_the_graph_parses() -> None:
    found = features.read(MODELS / "iris_examples" / "1")
    names = {"sepal_length", "sepal_width", "petal_length", "petal_width"}
    assert found == dict.fromkeys(names, TensorSpec(np.dtype("float32"), ()))
    assert features.read(MODELS / "iris" / "1") == {}
    assert features.read(MODELS / "gone") == {}


DTYPES = [
    *map(np.dtype, ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint64"]),
    *map(np.dtype, ["bool", "complex64", "object"]),
    np.dtype(ml_dtypes.bfloat16),
]
SHAPES = [(), (-1,), (-1, 3), (-1, 224, 224, 3), (0, 2), None]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_inputs_that_are_shown_are_ones_the_signature_takes(
    dtype: np.dtype, shape: tuple[int, ...] | None
) -> None:
    signature = Signature({"x": TensorSpec(dtype, shape), 'a "b"': TensorSpec(dtype, shape)}, {})
    code = shown(PYTHON, signature)
    assert max(map(len, code.splitlines())) <= 100
    assert "# Save" not in code, "there is no file beside it"
    inputs = before(code, "\nresponse = " if "import requests" in code else "\noptions = ")[
        "inputs"
    ]
    sent = check_inputs(Signatures("m", 1, {DEFAULT_SIGNATURE: signature}), "", inputs)
    wanted = (1,) if shape is None else tuple(1 if size < 0 else size for size in shape)
    assert {each.shape for each in sent.values()} == {wanted}


def shown(pattern: str, signature: Signature) -> str:
    """Return what is shown of a call that nothing answers; empty if there is none."""
    inputs, examples = stand_ins(signature)
    told = serve.to_paste(
        TfServingWriter(HERE, "s", signature, inputs, examples=examples).preview()
    )
    found = re.search(pattern, told, re.DOTALL)
    return found[1] if found else ""


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("float16", (-1,)), ("complex64", (-1,)), ("uint16", (-1,)), ("float32", (-1, 224, 224, 3))],
)
def test_there_is_no_curl_for_what_json_does_not_carry_or_a_line_not_hold(
    dtype: str, shape: tuple[int, ...]
) -> None:
    signature = Signature({"x": TensorSpec(np.dtype(dtype), shape)}, {})
    assert shown(PYTHON, signature)
    assert shown(CURL, signature) == ""


def test_a_classify_signature_of_another_form_is_shown_as_predict() -> None:
    text = TensorSpec(np.dtype(object), (-1,))
    name = "tensorflow/serving/classify"
    assert method(Signature({"inputs": text}, {}, method_name=name)) == "classify"
    assert method(Signature({"examples": text}, {}, method_name=name)) == "predict"
    assert method(Signature({"inputs": text}, {})) == "predict"


def test_a_profile_of_this_machine_counts_as_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))
    old = Endpoint("tfserving", grpc="127.0.0.1:8999", rest="http://127.0.0.1:8998", model="mine")
    assert serve.save_profile(old).startswith("Saved")
    assert serve.save_profile(old.replace(grpc="127.0.0.1:8520")).startswith("Saved")
    assert "127.0.0.1:8520" in (tmp_path / "endpoints.toml").read_text(encoding="utf-8")


def test_a_second_model_at_a_port_replaces_the_first_ones_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTW_ENDPOINTS", str(tmp_path / "endpoints.toml"))

    def of(name: str, port: int = 8520, rest: int = 8521, signature: str = "") -> Endpoint:
        return Endpoint(
            "tfserving",
            grpc=f"127.0.0.1:{port}",
            rest=f"http://127.0.0.1:{rest}",
            model=name,
            models=(name,),
            signature_name=signature,
        )

    serve.save_profile(of("elsewhere", 8530, 8531))
    serve.save_profile(of("alpha"))
    profiles.save("mine", of("alpha", signature="mine"))
    serve.save_profile(of("beta", rest=8541))
    assert list(profiles.read()[0]) == ["elsewhere", "mine", "beta"]
    profiles.save("alpha", of("alpha"))  # as an earlier version left it
    there = addresses.endpoint_at("127.0.0.1:8520")
    assert there.models == ("alpha", "beta")
