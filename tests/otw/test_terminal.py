"""`otw describe` and `otw predict`, as a shell runs them, against real services."""

import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from helpers import errors, tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving.signatures import DEFAULT_SIGNATURE
from otw import statuses
from practice.launch import MODELS
from tests.http_answers import http_answer
from tests.practice.test_tfserving_flags import IRIS as IRIS_FLAGS
from tests.practice.test_tfserving_flags import ssl_config
from tests.tfserving import Running, make_odd_models, running, write_config
from workbench.values import pictures
from workbench.values.pictures import Preprocessing

DATA = MODELS.parent
DIGIT, PAGE = DATA / "images" / "digit.png", DATA / "images" / "digits-01.png"
IRIS = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)
FLOWER = "features=5.1, 3.5, 1.4, 0.2"
PASSWORD = "correct horse"
# What it must do without: the practice services, and what only a notebook needs.
COMMAND = [
    sys.executable,
    "-P",
    "-c",
    "import sys; sys.modules.update(dict.fromkeys(['practice', 'ipywidgets', 'IPython']));"
    "from otw.cli import main; sys.exit(main())",
]
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


def otw(
    *words: str | Path, given: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    environment = os.environ | variables
    done = subprocess.run(
        command, input=given, capture_output=True, timeout=60, env=environment, check=False
    )
    told = [stream.decode().replace("\r\n", "\n") for stream in (done.stdout, done.stderr)]
    assert "Traceback" not in told[1], told[1]
    assert PASSWORD not in "".join(told)
    return subprocess.CompletedProcess(command, done.returncode, *told)


def outputs_of(line: str) -> dict[str, np.ndarray]:
    outputs = json.loads(line)["outputs"]
    return {
        name: np.array(each["values"], each["dtype"]).reshape(each["shape"])
        for name, each in outputs.items()
    }


@pytest.fixture
def service(private: Any) -> Iterator[Any]:
    """Return a service that may be given trouble."""
    yield private
    private.trouble()


@pytest.fixture(scope="module")
def odd(needs_tensorflow: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a service of `odd`, and of `dtypes`, which gives back what it gets."""
    folder = make_odd_models(tmp_path_factory.mktemp("models"))
    config = folder / "models.config"
    models = [{"name": name, "base_path": folder / name} for name in ("odd", "dtypes")]
    with running(folder, write_config(config, *models)) as service:
        yield service


@pytest.fixture
def dtypes(odd: Running) -> Running:
    return odd


def test_describe_shows_states_and_signatures_as_a_tree(service: Endpoint) -> None:
    told = otw("describe", service.grpc, "digits")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines() == [
        f"digits at {service.grpc}",
        "  version 2  AVAILABLE",
        "  version 1  AVAILABLE",
        "signatures of version 2",
        "  serving_default",
        "    inputs",
        "      images  float32 [-1, 8, 8, 1]",
        "    outputs",
        "      classes        int64 [-1]",
        "      probabilities  float32 [-1, 10]",
    ]
    assert (
        "signatures of version 1" in otw("describe", service.grpc, "digits", "--version=1").stdout
    )


def test_describe_tells_a_program_the_same_over_grpc_and_rest(service: Endpoint) -> None:
    told = [
        otw("describe", *where, "digits", "--json")
        for where in [
            (service.grpc,),
            (service.rest,),
            (service.rest.removeprefix("http://"), "--protocol=rest"),
        ]
    ]
    first = json.loads(told[0].stdout)
    assert all(json.loads(each.stdout) == first for each in told)
    assert [each["version"] for each in first["versions"]] == [2, 1]
    signature = first["signatures"]["serving_default"]
    assert signature["inputs"] == {"images": {"dtype": "float32", "shape": [-1, 8, 8, 1]}}


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_predict_gives_what_the_helper_gives(service: Endpoint, protocol: str) -> None:
    where = service.grpc if protocol == "grpc" else service.rest
    told = otw("predict", where, "iris", "--input", FLOWER, "--json")
    assert (told.returncode, told.stderr) == (0, "")
    expected = tfserving.predict(
        service.replace(model="iris"), {"features": IRIS}, protocol=protocol
    )
    assert (outputs_of(told.stdout)["probabilities"] == expected["probabilities"]).all()


@pytest.mark.parametrize(
    "words",
    [
        ["ADDRESS", "iris", FLOWER, "--json"],
        ["ADDRESS", "iris", "--json", FLOWER],
        ["--json", "ADDRESS", "iris", f"--input={FLOWER}"],
    ],
)
def test_inputs_stand_anywhere_behind_the_model(service: Endpoint, words: list[str]) -> None:
    told = otw("predict", *(service.grpc if word == "ADDRESS" else word for word in words))
    assert outputs_of(told.stdout)["probabilities"].argmax() == 0, told.stderr


def test_a_picture_is_made_as_asked_and_the_terminal_says_how(service: Endpoint) -> None:
    digits = service.replace(model="digits")
    words = ("predict", service.grpc, "digits", f"images=@{DIGIT}", "--json")
    asked = {"--scale": "-1..1", "--resize": "crop", "--layout": "HWC", "--size": "8x8"}
    told = otw(*words, *(word for option in asked.items() for word in option))
    done = "96 x 96 pixels, cut to fill 8 x 8, grey, HWC, -1..1 (no signature tells the scale)\n"
    assert told.stderr == f"images=@{DIGIT}"[:67] + f": {done}"
    preprocessing = Preprocessing(8, 8, 1, "HWC", "-1..1", "crop")
    spec = tfserving.signatures(digits)[DEFAULT_SIGNATURE].inputs["images"]
    expected = tfserving.predict(
        digits, {"images": pictures.apply(DIGIT.read_bytes(), spec, preprocessing)}
    )
    assert (outputs_of(told.stdout)["probabilities"] == expected["probabilities"]).all()
    assert "stretched to 8 x 8, grey, HWC, 0..1" in otw(*words).stderr


def test_of_several_calls_the_first_says_what_was_made(service: Endpoint) -> None:
    told = otw("predict", service.grpc, "digits", *[f"images=@{DIGIT}"] * 3, "--json")
    assert told.stdout.count("\n") == 3
    assert told.stderr.count("96 x 96 pixels") == 1
    assert ", the first of 3: 96 x 96 pixels" in told.stderr


@pytest.mark.parametrize(
    ("options", "status", "sentence"),
    [
        (["--size=9"], 2, "a size is WIDTHxHEIGHT in pixels, such as 224x224, not '9'"),
        (["--size=0x9"], 2, "a size is WIDTHxHEIGHT"),
        (["--scale", "-1..2"], 2, "invalid choice: '-1..2'"),
        (["--layout=CHW"], 3, "takes float32 [-1, 8, 8, 1], which is no picture in the layout CHW"),
    ],
)
def test_a_choice_that_is_none_is_told(
    service: Endpoint, options: list[str], status: int, sentence: str
) -> None:
    told = otw("predict", service.grpc, "digits", f"images=@{DIGIT}", *options)
    assert (told.returncode, told.stdout) == (status, "")
    assert sentence in told.stderr


@pytest.mark.tensorflow
def test_texts_are_one_a_line_or_as_asked(dtypes: Running, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\ngood\nbad\n", encoding="utf-8")

    def sent(*words: str) -> tuple[Any, str]:
        told = otw("predict", dtypes.grpc, "dtypes", "--signature=string", "--json", *words)
        return json.loads(told.stdout)["outputs"]["y"]["values"], told.stderr

    file = f"x=@{tmp_path / 'a.txt'}"
    assert sent(file)[0] == ["text", "good", "bad"]
    assert "3 texts, one a line: 'text' to 'bad'" in sent(file)[1]
    assert sent(file, "--text=heading")[0] == ["good", "bad"]
    assert sent(file, "--text=whole")[0] == "text\ngood\nbad\n"
    assert "one text of 3 lines" in sent("x=one\ntwo\nthree")[1]
    assert sent("x=one\ntwo", "--text=lines")[0] == ["one", "two"]
    assert sent('x={"b64": "/wA="}')[0] == {"b64": "/wA="}


@pytest.mark.tensorflow
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_examples_are_written_as_json(odd: Running, tmp_path: Path, protocol: str) -> None:
    (tmp_path / "a.json").write_text('[{"v": 2.5}, {}]', encoding="utf-8")
    address = odd.grpc if protocol == "grpc" else odd.rest
    words = ("predict", address, "odd", "--signature=predict_value", "--json")
    told = otw(*words, f"inputs=@{tmp_path / 'a.json'}")
    assert json.loads(told.stdout)["outputs"]["outputs"]["values"] == [[2.5], [-1.0]]
    assert "2 tf.Examples: v float" in told.stderr
    told = otw(*words, "inputs=no example")
    assert told.returncode == statuses.status_of(errors.BadInput(""))
    assert "Could not parse example input, value: 'no example'" in told.stderr


@pytest.mark.tensorflow
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_strict_json_is_what_any_parser_takes(dtypes: Running, protocol: str) -> None:
    address = dtypes.grpc if protocol == "grpc" else dtypes.rest
    words = ("predict", address, "dtypes", "x=[NaN, Infinity, -Infinity, 0.1]")
    written = [
        otw(*words, "--signature=float32", option).stdout for option in ("--json", "--strict-json")
    ]
    assert '"values": [NaN, Infinity, -Infinity, 0.1' in written[0]

    def refuse(token: str) -> None:
        pytest.fail(token)

    strict = json.loads(written[1], parse_constant=refuse)["outputs"]["y"]["values"]
    assert strict[:3] == ["NaN", "Infinity", "-Infinity"]
    assert np.isnan(np.array(strict, "float32")[0])


def test_predict_shows_a_person_a_table(service: Endpoint) -> None:
    told = otw(
        "predict",
        service.grpc,
        "digits_detector",
        "--signature=detected_model",
        "--input",
        f"images=@{PAGE}",
    )
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["output", "dtype", "shape", "values"]
    assert [line.split()[0] for line in lines[1:]] == [
        "detection_boxes",
        "detection_classes",
        "detection_scores",
    ]
    assert "[1, 10, 4]" in lines[1]
    assert lines[1].endswith("... 34 more")
    assert max(map(len, lines)) < 120


def test_a_picture_is_told_for_what_it_shows(service: Endpoint) -> None:
    told = otw("predict", service.grpc, "digits", "--input", f"images=@{DIGIT}", "--json")
    assert outputs_of(told.stdout)["classes"].tolist() == [4]


@pytest.mark.parametrize("how", ["text", "npy", "csv"])
def test_standard_input_is_read_as_what_it_is(service: Endpoint, how: str) -> None:
    file = io.BytesIO()
    np.save(file, IRIS)
    given = {"npy": file.getvalue(), "csv": b"a;b;c;d\r\n5.1;3.5;1.4;0.2\r\n"}
    content = given.get(how, b"[[5.1, 3.5, 1.4, 0.2]]")
    told = otw("predict", service.grpc, "iris", "--input", "features=@-", "--json", given=content)
    assert outputs_of(told.stdout)["probabilities"].argmax() == 0, told.stderr


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_input_given_several_times_makes_a_call_for_each(
    service: Endpoint, protocol: str, tmp_path: Path
) -> None:
    flowers = np.random.default_rng(5).uniform(0, 8, (11, 1, 4)).astype(np.float32)
    words = [word for each in flowers for word in ("--input", f"features={each.tolist()}")]
    where = service.grpc if protocol == "grpc" else service.rest
    folder = tmp_path / "new" / "folder"
    told = otw("predict", where, "iris", *words, "--json", "--save", folder)
    lines = told.stdout.splitlines()
    assert [json.loads(line)["call"] for line in lines] == list(range(1, 12))
    for number, (line, flower) in enumerate(zip(lines, flowers, strict=True), start=1):
        inputs = {"features": flower}
        one = tfserving.predict(service.replace(model="iris"), inputs, protocol=protocol)[
            "probabilities"
        ]
        assert (outputs_of(line)["probabilities"] == one).all()
        assert (np.load(folder / f"{number:02}-probabilities.npy") == one).all()
    assert len(list(folder.iterdir())) == 11


def test_one_call_saves_files_named_after_the_outputs(service: Endpoint, tmp_path: Path) -> None:
    told = otw("predict", service.grpc, "digits", "--input", f"images=@{DIGIT}", "--save", tmp_path)
    assert told.returncode == 0
    assert {file.name for file in tmp_path.iterdir()} == {"classes.npy", "probabilities.npy"}
    assert np.load(tmp_path / "classes.npy").tolist() == [4]


def test_a_log_gets_no_bar(service: Any) -> None:
    service.trouble(delay=1.2)
    told = otw("predict", service.grpc, "iris", *["--input", FLOWER] * 40, "--json")
    assert told.stderr == ""
    assert told.stdout.count("\n") == 40


@pytest.mark.parametrize(
    ("dtype", "text", "expected"),
    [
        ("string", "gr\u00fc\u00dfe", "gr\u00fc\u00dfe"),
        ("string", "", ""),
        ("bool", "[true, false]", [True, False]),
        ("bfloat16", "1.5 2.5", [1.5, 2.5]),
        ("float16", "0.1", 0.0999755859375),
        ("float32", "0.1", 0.1),
        ("int64", "9007199254740993", 9007199254740993),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("complex64", "1+2j", [1.0, 2.0]),
    ],
)
def test_every_dtype_is_written_as_json(
    dtypes: Running, dtype: str, text: str, expected: Any
) -> None:
    told = otw(
        "predict", dtypes.grpc, "dtypes", f"--signature={dtype}", f"--input=x={text}", "--json"
    )
    output = json.loads(told.stdout)["outputs"]["y"]
    assert output["dtype"] == dtype
    values = output["values"]
    assert values == (pytest.approx(expected, rel=1e-3) if dtype == "float16" else expected)


def test_bytes_and_what_a_terminal_obeys_are_written_safely(
    dtypes: Running, tmp_path: Path
) -> None:
    call = "predict", dtypes.grpc, "dtypes", "--signature=string", "--input=x=@-"
    told = otw(*call, "--json", given=b"\xff\0")
    assert json.loads(told.stdout)["outputs"]["y"]["values"] == {"b64": "/wA="}
    told = otw(*call, "--save", tmp_path, given=b"\x1b[2Jhello")
    assert "\x1b" not in told.stdout
    assert r"'\x1b[2Jhello'" in told.stdout
    assert np.load(tmp_path / "y.npy").tolist() == b"\x1b[2Jhello"
    told = otw(*call, "--save", tmp_path, given=b"ends with NUL\0")
    assert (told.returncode, told.stdout) == (1, "")
    assert "'y' has bytes that .npy cannot keep. Take --json" in told.stderr


def test_nan_is_written_as_tensorflow_serving_does(dtypes: Running) -> None:
    told = otw(
        "predict", dtypes.grpc, "dtypes", "--signature=float32", "--input=x=nan inf 1", "--json"
    )
    assert '"values": [NaN, Infinity, 1.0]' in told.stdout


def all_errors(kind: type[errors.CallError] = errors.CallError) -> Iterator[type]:
    yield kind
    for each in kind.__subclasses__():
        yield from all_errors(each)


def test_every_error_has_a_status_that_the_help_explains() -> None:
    told = otw("predict", "--help")
    assert told.returncode == 0
    assert (
        otw("describe", "--help").stdout.partition("exit status:")[2]
        == (told.stdout.partition("exit status:")[2])
    )
    numbers = [number for number, _, _ in statuses.STATUSES]
    assert numbers == sorted(set(numbers))
    for number, words, _ in statuses.STATUSES:
        assert f"{number}  {words}" in told.stdout
    ours = [each for each in all_errors() if each.__module__ == "helpers.errors"]
    listed = [kind for _, _, kinds in statuses.STATUSES for kind in kinds]
    assert sorted(map(str, ours)) == sorted(map(str, listed))
    assert all(statuses.status_of(kind("text")) in numbers for kind in ours)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["iris", "--input=features=1 2 3"], 3, r"shape [1, 3]; expected float32 [-1, 4]"),
        (["iris", "--input=feature=1"], 3, "no input 'feature'. It takes: features. Did you mean"),
        (["iris"], 3, "Input 'features' is missing"),
        (["iris", "--input=features=@no/such.csv"], 3, "no/such.csv cannot be read: No such file"),
        (["iris", f"--input=features=@{DIGIT}"], 3, "does not look like a picture"),
        (["digits", "--input=images=@-"], 3, "'images' is empty"),
        (["iriss"], 4, "Model 'iriss' is not served"),
        (["iris", "--version=9"], 4, "Version 9 of model 'iris' is not available"),
        (["iris", "--label=stable"], 4, "stable"),
        (["iris", "--signature=serve", FLOWER], 4, "no signature 'serve'. It has: serving_default"),
        (["digits_detector"], 4, f"no signature '{DEFAULT_SIGNATURE}', the one taken"),
    ],
)
def test_a_mistake_is_a_sentence_and_a_status(
    service: Endpoint, words: list[str], status: int, sentence: str
) -> None:
    words = [f"--input={word}" if word == FLOWER else word for word in words]
    told = otw("predict", service.grpc, *words)
    assert (told.returncode, told.stdout) == (status, "")
    assert sentence in told.stderr
    assert told.stderr.startswith("otw: ")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("UNAVAILABLE", 5),
        ("DEADLINE_EXCEEDED", 7),
        ("UNAUTHENTICATED", 8),
        ("PERMISSION_DENIED", 8),
        ("RESOURCE_EXHAUSTED", 10),
        ("INTERNAL", 12),
        ("UNKNOWN", 12),
    ],
)
def test_what_the_service_says_has_a_status(service: Any, code: str, status: int) -> None:
    service.trouble(fail=code)
    told = otw("predict", service.grpc, "iris", "--input", FLOWER)
    assert (told.returncode, told.stdout) == (status, ""), told.stderr


def test_no_answer_in_time(service: Any) -> None:
    service.trouble(delay=20)
    told = otw("describe", service.grpc, "iris", "--timeout=0.5")
    assert (told.returncode, told.stdout) == (7, "")


@pytest.mark.parametrize("command", ["describe", "predict"])
def test_no_time_at_all_is_no_answer_in_time(service: Endpoint, command: str) -> None:
    told = otw(command, service.rest, "iris", "--timeout=0.000001")
    assert (told.returncode, told.stdout) == (7, "")
    assert "(--timeout SECONDS)" in told.stderr


def test_a_profile_of_the_address_knows_the_models(service: Endpoint, tmp_path: Path) -> None:
    file = str(tmp_path / "endpoints.toml")
    Path(file).write_text(
        f'[mine]\nkind = "tfserving"\ngrpc = "{service.grpc}"\nmodels = ["iris"]\n',
        encoding="utf-8",
    )
    told = otw("describe", service.grpc, "irsi", OTW_ENDPOINTS=file)
    assert told.returncode == 4
    assert "Served there: iris. Did you mean 'iris'?" in told.stderr


def test_an_address_may_be_copied_with_what_stands_around_it(service: Endpoint) -> None:
    assert otw("describe", f" {service.rest}/ ", "iris").returncode == 0


@unix
@pytest.mark.parametrize(
    ("closed", "sentence"),
    [(">&-", "Standard output is closed"), ("<&-", "Standard input is closed, so @-")],
)
def test_a_closed_stream_is_a_sentence(service: Endpoint, closed: str, sentence: str) -> None:
    words = shlex.join([*COMMAND, "predict", service.grpc, "iris", "--input", "features=@-"])
    told = subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, check=False)
    assert told.returncode == 2
    assert sentence in told.stderr.decode()
    assert b"Traceback" not in told.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_nobody_there(address: str) -> None:
    told = otw("describe", address, "iris")
    assert (told.returncode, told.stdout) == (5, "")
    assert f"Nothing answers at {address}" in told.stderr


def test_the_other_port_is_told_how_to_be_written(service: Endpoint) -> None:
    rest, grpc = service.rest.removeprefix("http://"), f"http://{service.grpc}"
    told = otw("describe", rest, "iris")
    assert (told.returncode, told.stdout) == (11, "")
    assert f"If this is its REST port, write {service.rest}." in told.stderr
    told = otw("describe", grpc, "iris")
    assert (told.returncode, told.stdout) == (11, "")
    assert f"If this is its gRPC port, write {service.grpc}." in told.stderr


def test_over_tls_with_a_user_and_only_with_the_right_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    authority.cert_pem.write_to_path(str(ours))
    trustme.CA().cert_pem.write_to_path(str(theirs))
    with running(tmp_path, *IRIS_FLAGS, ssl_config(tmp_path, authority)) as service:
        call = "predict", service.grpc, "iris", "--input", FLOWER
        assert otw(*call, "--ca-file", ours, "--user=ada", OTW_PASSWORD=PASSWORD).returncode == 0
        for words in (["--ca-file", str(theirs)], ["--tls"]):
            told = otw(*call, *words, "--user=ada", OTW_PASSWORD=PASSWORD)
            assert (told.returncode, told.stdout) == (6, ""), told.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "HOST:PORT"),
        (["127.0.0.1:1"], "MODEL"),
        (["nohost", "m"], "is not a gRPC address"),
        (["http://127.0.0.1:1/v1/models/m", "m"], "is not a REST address"),
        (["ftp://127.0.0.1:1", "m"], "is not a REST address"),
        (["http://127.0.0.1:1", "m", "--protocol=grpc"], "gRPC takes HOST:PORT"),
        (["grpc://127.0.0.1:1", "m"], "gRPC takes HOST:PORT, without http:// or grpc://"),
        (["http://127.0.0.1:1", "m", "--tls"], "http:// is not encrypted. Write https://"),
        (["127.0.0.1:1", "m", "--protocol=http"], "invalid choice"),
        (
            ["127.0.0.1:1", "m", "--version=x"],
            "a version is a whole number from 0 to 9223372036854775807, not 'x'",
        ),
        (["127.0.0.1:1", "m", "--version=-1"], "a version is a whole number"),
        (["127.0.0.1:1", "m", "--version=1", "--label=a"], "not allowed with"),
        (["127.0.0.1:1", "m", "--timeout=0"], "seconds are a number above 0"),
        (["127.0.0.1:1", "m", "--timeout=nan"], "seconds are a number above 0"),
        (["127.0.0.1:1", "m", "--ca-file=no/such.pem"], "no/such.pem cannot be read"),
        (["127.0.0.1:1", "m", "--user=ada"], "User and password are sent over TLS only"),
        (["127.0.0.1:1", "m", "--vers=1"], "unknown argument: --vers=1. `otw predict --help`"),
        (["127.0.0.1:1", ""], "a model has a name"),
    ],
)
def test_a_wrong_command_line_exits_with_2(words: list[str], sentence: str) -> None:
    told = otw("predict", *words, OTW_PASSWORD=PASSWORD)
    assert (told.returncode, told.stdout) == (2, "")
    assert sentence in told.stderr


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("features", "An input is NAME=VALUE or NAME=@FILE, not 'features'"),
        ("features=@", "--input features=@ has no file behind the @"),
    ],
)
def test_an_input_without_a_value_is_no_empty_one(
    service: Endpoint, word: str, sentence: str
) -> None:
    told = otw("predict", service.grpc, "iris", "--input", word)
    assert (told.returncode, told.stdout) == (2, "")
    assert sentence in told.stderr


def test_a_user_needs_a_password_from_the_environment() -> None:
    told = otw("describe", "127.0.0.1:1", "m", "--user=ada", "--tls")
    assert told.returncode == 2
    assert "environment variable OTW_PASSWORD" in told.stderr


@pytest.mark.parametrize(
    ("model", "words", "sentence"),
    [
        ("iris", ["--input=features=@-", "--input=features=@-"], "can be read once only"),
        ("iris", ["--save={file}"], "cannot be made"),
    ],
)
def test_what_cannot_be_done_is_told_before_a_call(
    service: Endpoint, model: str, words: list[str], sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    words = [word.format(file=tmp_path / "file") for word in words]
    told = otw("predict", service.grpc, model, *words)
    assert (told.returncode, told.stdout) == (2, "")
    assert sentence in told.stderr


def test_inputs_are_given_once_or_as_often_as_the_others(odd: Running) -> None:
    call = "predict", odd.grpc, "odd", "--signature=add", "--json"
    told = otw(*call, "--input=a=1", "--input=a=2", "--input=b=40")
    values = [json.loads(line)["outputs"]["y"]["values"] for line in told.stdout.splitlines()]
    assert values == [41, 42]
    told = otw(*call, "--input=a=1", "--input=a=2", "--input=a=3", "--input=b=1", "--input=b=2")
    assert (told.returncode, told.stdout) == (2, "")
    assert "'b' is given 2 times and another one 3 times" in told.stderr


def test_an_input_may_be_left_out_where_the_signature_has_a_default(odd: Running) -> None:
    told = otw("predict", odd.grpc, "odd", "--signature=add_optional", "--input=a=2", "--json")
    assert json.loads(told.stdout)["outputs"]["y"]["values"] == 42, told.stderr
    assert "b  int32 of any shape  (optional)" in otw("describe", odd.grpc, "odd").stdout


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_answers_before_the_first_error_are_kept(service: Endpoint, protocol: str) -> None:
    where = service.grpc if protocol == "grpc" else service.rest
    for wrong, sentence in [("@no/such.csv", "no/such.csv cannot be read"), ("1 2", "has shape")]:
        told = otw(
            "predict",
            where,
            "iris",
            "--input",
            FLOWER,
            "--input",
            FLOWER,
            f"--input=features={wrong}",
            "--input",
            FLOWER,
            "--json",
        )
        assert told.returncode == 3
        assert [json.loads(line)["call"] for line in told.stdout.splitlines()] == [1, 2]
        assert told.stderr.startswith("otw: After 2 of 4 calls: ")
        assert sentence in told.stderr


@unix
def test_ctrl_c_exits_with_130() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        command = [*COMMAND, "predict", address, "iris", "--input", FLOWER, "--timeout=50"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            listener.settimeout(50)
            connection, _ = listener.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                out, told = process.communicate(timeout=120)
    assert (process.returncode, out, told) == (130, b"", b"otw: interrupted.\n")


@unix
def test_a_reader_that_goes_away_is_no_error(service: Endpoint) -> None:
    words = ["--input", FLOWER] * 300
    command = [*COMMAND, "predict", service.grpc, "iris", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"call 1 of 300\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=120) == 141


def test_an_output_that_cannot_be_written_is_a_sentence(service: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "probabilities.npy").mkdir()
    told = otw("predict", service.grpc, "iris", "--input", FLOWER, "--save", tmp_path)
    assert (told.returncode, told.stdout) == (1, "")
    assert "probabilities.npy" in told.stderr


def test_something_that_answers_wrongly_over_rest(tcp_server: Callable[[bytes], str]) -> None:
    told = otw("describe", f"http://{tcp_server(http_answer(b'{}'))}", "iris")
    assert (told.returncode, told.stdout) == (11, "")
