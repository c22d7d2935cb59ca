"""The practice TensorFlow Serving's command line: what a flag file for the product says, works."""

import contextlib
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
import trustme
from google.protobuf import text_format

from helpers.serving_api import predict_pb2, prediction_service_pb2_grpc
from helpers.tensors import to_ndarray, to_tensor_proto
from practice import processes
from practice.tfserving import flags as command_line
from protos import official
from protos.server_files_pb2 import BatchingParameters, MonitoringConfig, SSLConfig
from tests.tfserving import MODELS, Running, ended, eventually, refusal, running

CPUS = os.cpu_count() or 1
IRIS = (f"--model_base_path={MODELS / 'iris'}", "--model_name=iris", "--prefer_tflite_model")
# The reference's table: each flag, its default, and another value.
FLAGS: dict[str, tuple[Any, Any]] = {
    "port": (8500, 8600),
    "rest_api_port": (0, 8601),
    "grpc_socket_path": ("", "/a/b"),
    "rest_api_timeout_in_ms": (30000, 5000),
    "model_name": ("default", "m"),
    "model_base_path": ("", "/m"),
    "model_config_file": ("", "/c"),
    "model_config_file_poll_wait_seconds": (0, 2),
    "file_system_poll_wait_seconds": (1, -1),
    "allow_version_labels_for_unavailable_models": (False, True),
    "max_num_load_retries": (5, 0),
    "load_retry_interval_micros": (60000000, 1),
    "num_load_threads": (0, 2),
    "num_unload_threads": (0, 2),
    "flush_filesystem_caches": (True, False),
    "enable_batching": (False, True),
    "enable_per_model_batching_parameters": (False, True),
    "enable_model_warmup": (True, False),
    "num_request_iterations_for_warmup": (0, 3),
    "saved_model_tags": ("serve", "serve,gpu"),
    "prefer_tflite_model": (False, True),
    "num_tflite_pools": (CPUS, 3),
    "num_tflite_interpreters_per_pool": (1, 2),
    "enable_signature_method_name_check": (False, True),
    "enable_profiler": (True, False),
    "enable_grpc_healthcheck_service": (False, True),
    "enable_serialization_as_tensor_content": (False, True),
    "rest_api_enable_cors_support": (False, True),
    "rest_api_num_threads": (4 * CPUS, 3),
    "grpc_max_threads": (4 * CPUS, 3),
    "use_alts_credentials": (False, True),
    "ssl_config_file": ("", "/s"),
    "platform_config_file": ("", "/p"),
    "monitoring_config_file": ("", "/o"),
    "batching_parameters_file": ("", "/b"),
    "tensorflow_session_parallelism": (0, 1),
    "tensorflow_intra_op_parallelism": (0, 1),
    "tensorflow_inter_op_parallelism": (0, 1),
    "per_process_gpu_memory_fraction": (0, 0.5),
    "xla_cpu_compilation_enabled": (False, True),
    "xla_gpu_compilation_enabled": (False, True),
    "remove_unused_fields_from_bundle_metagraph": (True, False),
    "mixed_precision": ("", "bfloat16"),
    "thread_pool_factory_config_file": ("", "/t"),
    "tensorflow_session_config_file": ("", "/s"),
    "grpc_channel_arguments": ("", "a=1,b=x"),
    "version": (False, True),
    "skip_initialize_tpu": (False, True),
}
SWITCHES = [name for name, (default, _) in FLAGS.items() if isinstance(default, bool)]
# What can have no effect here: no GPU, no TPU, no profiler, no warm-up.
IDLE = {
    "num_load_threads": 2,
    "num_unload_threads": 2,
    "flush_filesystem_caches": "false",
    "enable_model_warmup": "false",
    "num_request_iterations_for_warmup": 3,
    "enable_profiler": "false",
    "use_alts_credentials": "true",
    "platform_config_file": "/p",
    "per_process_gpu_memory_fraction": 0.5,
    "xla_cpu_compilation_enabled": "true",
    "xla_gpu_compilation_enabled": "true",
    "mixed_precision": "bfloat16",
    "remove_unused_fields_from_bundle_metagraph": "false",
    "thread_pool_factory_config_file": "/t",
    "tensorflow_session_config_file": "/s",
    "skip_initialize_tpu": "true",
}


def words(values: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def iris_request(rows: int = 1) -> Any:
    made = predict_pb2.PredictRequest(model_spec={"name": "iris"})
    made.inputs["features"].CopyFrom(to_tensor_proto(np.ones((rows, 4), "float32")))
    return made


def answers(channel: grpc.Channel) -> bool:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return to_ndarray(stub.Predict(iris_request(), timeout=30).outputs["probabilities"]).size == 3


# Names, defaults, values.


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_of_the_product_has_its_default_and_is_read(name: str, capsys) -> None:
    default, other = FLAGS[name]
    assert getattr(command_line.parse([]), name) == default
    word = str(other).lower() if isinstance(other, bool) else other
    given = ["--version"] if name == "version" else [f"--{name}={word}"]
    assert getattr(command_line.parse(given), name) == other
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", [name for name in SWITCHES if name != "version"])
@pytest.mark.parametrize(
    ("word", "value"),
    [("", True), ("=true", True), ("=false", False), ("=1", True), ("=0", False), ("=True", True)],
)
def test_a_switch_may_stand_alone(name: str, word: str, value: bool) -> None:
    assert getattr(command_line.parse([f"--{name}{word}"]), name) is value


@pytest.mark.parametrize(
    "word",
    [
        "--port=many",
        "--port=-1",
        "--port=65536",
        "--rest_api_port=8501.5",
        "--port=",
        "--prefer_tflite_model=maybe",
        "--enable_batching=2",
        "--rest_api_timeout_in_ms=soon",
        "--max_num_load_retries=1.5",
        "--file_system_poll_wait_seconds=often",
        "--per_process_gpu_memory_fraction=half",
        "--num_tflite_pools=",
    ],
)
def test_a_bad_value_shows_the_usage_and_ends_with_255(word: str, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        command_line.parse([word])
    shown = capsys.readouterr().out
    assert (caught.value.code, "usage: " in shown) == (255, True)
    assert word.partition("=")[0] in shown.splitlines()[-1]  # where a log is looked at


@pytest.mark.parametrize("word", ["--no_such_flag", "--no_such_flag=1", "--mode=x", "stray"])
def test_an_unknown_flag_is_said_and_the_others_count(word: str, capsys) -> None:
    assert command_line.parse(["--port=1", word, "--model_name=m"]).model_name == "m"
    shown = capsys.readouterr().out
    assert shown.startswith(f"unknown argument: {word}\n")
    assert "usage: " in shown


def test_flags_without_effect_are_said_once(tmp_path: Path) -> None:
    with running(tmp_path, *IRIS, *words(IDLE)) as service:
        assert answers(service.channel)
        (line,) = (each for each in service.log().splitlines() if "have no effect" in each)
        assert set(re.findall(r"--(\w+)", line)) == set(IDLE)
        assert "unknown argument" not in service.log()


def test_without_them_nothing_is_said(tmp_path: Path) -> None:
    with running(tmp_path, *IRIS) as service:
        assert answers(service.channel)
        assert "no effect" not in service.log()


def test_everything_a_command_line_has_may_come_together(tmp_path: Path) -> None:
    batching = tmp_path / "batching"
    batching.write_text("max_batch_size { value: 8 }")
    values = {name: other for name, (_, other) in FLAGS.items() if name != "version"}
    for name in (
        "port",
        "rest_api_port",
        "grpc_socket_path",
        "model_config_file",
        "model_name",
        "model_base_path",
        "ssl_config_file",
        "monitoring_config_file",
    ):
        del values[name]
    values["batching_parameters_file"] = batching
    with running(tmp_path, *IRIS, *words(values)) as service:
        assert answers(service.channel)
        assert "unknown argument" not in service.log()


def test_version_is_told_and_that_is_all() -> None:
    done = ended("--version", "--port=0")
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"TensorFlow ModelServer: \d+\.\d+\.\d+\S*", first)
    library = r"\d+\.\d+\.\d+\S*" if official.has_tensorflow() else "not installed"
    assert re.fullmatch(f"TensorFlow Library: {library}", second)
    assert done.stderr == ""


# Ports and sockets.


def test_both_ports_answer_and_the_log_tells_where(tmp_path: Path) -> None:
    with running(tmp_path, *IRIS) as service:
        assert answers(service.channel)
        status = requests.get(f"{service.rest}/v1/models/iris", timeout=30)
        assert status.json()["model_version_status"][0]["state"] == "AVAILABLE"
        eventually(
            lambda: f"Exporting HTTP/REST API at:127.0.0.1:{service.ports[1]}" in service.log()
        )
        assert f"Running gRPC ModelServer at {service.grpc}" in service.log()


def test_a_rest_port_that_is_grpcs_is_left_out(tmp_path: Path) -> None:
    service = Running(tmp_path, *IRIS)
    service.stop()
    same = Running(
        tmp_path, *IRIS, f"--port={service.ports[0]}", f"--rest_api_port={service.ports[0]}"
    )
    try:
        eventually(lambda: processes.accepts(service.ports[0]) or same.ended())
        with grpc.insecure_channel(service.grpc) as channel:
            assert answers(channel)
        assert "rest_api_port is same as port" in same.log()
    finally:
        same.stop()


@pytest.mark.parametrize("which", [0, 1], ids=["gRPC", "REST"])
def test_a_port_that_is_taken_ends_it(tmp_path: Path, which: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        flags = [f"--port={processes.choose_port()}", f"--rest_api_port={processes.choose_port()}"]
        flags[which] = f"{flags[which].partition('=')[0]}={taken.getsockname()[1]}"
        done = ended(*IRIS, *flags)
    server = ("gRPC", "HTTP")[which]
    text = f"Failed to start server. Error: UNKNOWN: Error starting {server} server"
    assert (done.returncode, text in done.stdout) == (255, True), done.stdout


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder for sockets, whose paths may have a hundred letters."""
    if sys.platform == "win32":
        pytest.skip("gRPC has no UNIX sockets on Windows")
    with tempfile.TemporaryDirectory(prefix="otw") as folder:
        yield Path(folder)


@contextlib.contextmanager
def at_a_socket(folder: Path, path: Path, *flags: str) -> Iterator[Running]:
    service = Running(folder, *IRIS, f"--grpc_socket_path={path}", *flags)
    try:
        eventually(lambda: "Running gRPC ModelServer" in service.log() or service.ended())
        yield service
    finally:
        service.stop()


def listening(path: Path) -> bool:
    with grpc.insecure_channel(f"unix:{path}") as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        return answers(channel)


def test_a_socket_answers_beside_the_port(short: Path) -> None:
    with at_a_socket(short, short / "s") as service:
        assert listening(short / "s")
        assert answers(service.channel)


def test_a_socket_alone_is_enough(short: Path) -> None:
    with at_a_socket(short, short / "s", "--port=0", "--rest_api_port=0") as service:
        assert listening(short / "s")
        assert not processes.accepts(service.ports[0])


def test_a_stale_socket_file_is_replaced(short: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as old:
        old.bind(str(short / "s"))
    assert (short / "s").is_socket()  # nobody listens there
    with at_a_socket(short, short / "s"):
        assert listening(short / "s")


def test_a_socket_somebody_listens_at_stays_his(short: Path) -> None:
    with at_a_socket(short, short / "s"):
        done = ended(
            *IRIS, f"--port={processes.choose_port()}", f"--grpc_socket_path={short / 's'}"
        )
        text = f"Failed to start server. Error: UNKNOWN: Another server listens at {short / 's'}"
        assert (done.returncode, text in done.stdout) == (255, True), done.stdout
        assert listening(short / "s")


def test_a_file_that_is_no_socket_stays(short: Path) -> None:
    (short / "s").write_text("mine")
    done = ended(*IRIS, "--port=0", f"--grpc_socket_path={short / 's'}")
    assert (done.returncode, "is not a socket" in done.stdout) == (255, True), done.stdout
    assert (short / "s").read_text() == "mine"


# gRPC: TLS and channel arguments.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def ssl_config(folder: Path, authority: trustme.CA, **more: Any) -> str:
    """Write an SSLConfig for 127.0.0.1; returns the flag that names it."""
    own = authority.issue_cert("127.0.0.1")
    config = SSLConfig(
        server_key=own.private_key_pem.bytes().decode(),
        server_cert=b"".join(blob.bytes() for blob in own.cert_chain_pems).decode(),
        **more,
    )
    file = folder / "ssl.config"
    file.write_text(text_format.MessageToString(config), encoding="utf-8")
    return f"--ssl_config_file={file}"


def credentials(authority: trustme.CA, client: Any = None) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        client and client.private_key_pem.bytes(),
        client and client.cert_chain_pems[0].bytes(),
    )


def test_with_an_ssl_config_grpc_speaks_tls(tmp_path: Path, authority: trustme.CA) -> None:
    with running(tmp_path, *IRIS, ssl_config(tmp_path, authority)) as service:
        with grpc.secure_channel(service.grpc, credentials(authority)) as channel:
            assert answers(channel)
        assert refusal(service.prediction.Predict, iris_request(), 10)[0] == "UNAVAILABLE"
        with grpc.secure_channel(service.grpc, credentials(trustme.CA())) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert refusal(stub.Predict, iris_request(), 10)[0] == "UNAVAILABLE"
        assert requests.get(f"{service.rest}/v1/models/iris", timeout=30).ok  # REST has no TLS


def test_a_client_may_have_to_show_a_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    ours = authority.cert_pem.bytes().decode()
    flag = ssl_config(tmp_path, authority, custom_ca=ours, client_verify=True)
    with running(tmp_path, *IRIS, flag) as service:
        client = authority.issue_cert("client@example.org")
        with grpc.secure_channel(service.grpc, credentials(authority, client)) as channel:
            assert answers(channel)
        with grpc.secure_channel(service.grpc, credentials(authority)) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert refusal(stub.Predict, iris_request(), 10)[0] == "UNAVAILABLE"


@pytest.mark.parametrize(
    "config",
    [
        'server_key: "x" server_cert: "y"',
        "",
        'server_key: "x" server_cert: "y" client_verify: true',
    ],
)
def test_an_ssl_config_that_is_none_ends_it(tmp_path: Path, config: str) -> None:
    file = tmp_path / "ssl.config"
    file.write_text(config)
    done = ended(*IRIS, f"--port={processes.choose_port()}", f"--ssl_config_file={file}")
    assert (done.returncode, "Failed to start server. Error: " in done.stdout) == (255, True)
    assert "Traceback" not in done.stdout + done.stderr


def test_channel_arguments_reach_grpc(tmp_path: Path) -> None:
    arguments = (
        "grpc.so_reuseaddr=1,no.such=text,big=3000000000,"
        "grpc.max_metadata_size=1000,grpc.absolute_max_metadata_size=1000"
    )
    with running(tmp_path, *IRIS, f"--grpc_channel_arguments={arguments}") as service:
        assert answers(service.channel)
        with pytest.raises(grpc.RpcError) as caught:
            service.prediction.Predict(iris_request(), timeout=30, metadata=[("word", "x" * 2000)])
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "arguments", [",", "alone", "=1", "a=b=c", "grpc.max_receive_message_length="]
)
def test_strange_channel_arguments_are_harmless(tmp_path: Path, arguments: str) -> None:
    with running(tmp_path, *IRIS, f"--grpc_channel_arguments={arguments}") as service:
        assert answers(service.channel)


# What else a flag turns on.


def test_pages_of_elsewhere_may_call_only_with_the_flag(tmp_path: Path) -> None:
    for flag, allowed in (([], None), (["--rest_api_enable_cors_support"], "*")):
        with running(tmp_path, *IRIS, *flag) as service:
            answer = requests.get(f"{service.rest}/v1/models/iris", timeout=30)
            assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.mark.parametrize("path", ["", "/metrics"])
def test_a_monitoring_config_turns_the_page_on(tmp_path: Path, path: str) -> None:
    file = tmp_path / "monitoring.config"
    config = MonitoringConfig(prometheus_config={"enable": True, "path": path})
    file.write_text(text_format.MessageToString(config))
    with running(tmp_path, *IRIS, f"--monitoring_config_file={file}") as service:
        assert answers(service.channel)
        row = {"instances": [[1, 2, 3, 4]]}
        assert requests.post(f"{service.rest}/v1/models/iris:predict", json=row, timeout=30).ok
        place = path or "/monitoring/prometheus/metrics"
        page = requests.get(service.rest + place, timeout=30)
        assert page.headers["content-type"].startswith("text/plain")
        assert ':tensorflow:serving:request_count{model_name="iris",status="OK"} 2\n' in page.text
        for entry in ("GRPC", "REST"):
            assert re.search(rf'request_latency_count{{.*entrypoint="{entry}".*}} 1\n', page.text)


def test_without_one_there_is_no_page(tmp_path: Path) -> None:
    with running(tmp_path, *IRIS) as service:
        page = requests.get(f"{service.rest}/monitoring/prometheus/metrics", timeout=30)
        assert page.status_code == 404


def test_other_tags_than_a_model_has_keep_it_from_loading() -> None:
    done = ended(
        *IRIS[:2],
        f"--port={processes.choose_port()}",
        "--saved_model_tags=serve,tpu",
        "--max_num_load_retries=0",
    )
    text = "Could not find meta graph def matching supplied tags: { serve tpu }"
    assert (done.returncode, text in done.stdout) == (255, True), done.stdout


def test_one_thread_answers_everybody_in_turn(tmp_path: Path) -> None:
    flags = ["--grpc_max_threads=1", "--rest_api_num_threads=1", "--num_tflite_pools=1"]
    with running(tmp_path, *IRIS, *flags) as service:
        calls = [service.prediction.Predict.future(iris_request(), timeout=30) for _ in range(50)]
        assert all(len(call.result().outputs) == 1 for call in calls)


@pytest.mark.parametrize(
    "flag",
    ["--file_system_poll_wait_seconds=1e300", "--load_retry_interval_micros=9000000000000000000"],
)
def test_a_wait_longer_than_any_clock_is_just_long(tmp_path: Path, flag: str) -> None:
    folder = Path(shutil.copytree(MODELS / "iris", tmp_path / "iris"))
    (folder / "2").mkdir()
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "iris" base_path: "{folder.as_posix()}" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    files = f"--model_config_file={config}"
    with running(tmp_path, files, "--prefer_tflite_model", flag) as service:
        eventually(lambda: "version: 2} failed" in service.log())
        assert answers(service.channel)
        service.reload({"name": "other", "base_path": MODELS / "iris"})
        assert "Traceback" not in service.log()


# Files in text form.

FILES = {
    "model_config_file": "tensorflow.serving.ModelServerConfig",
    "ssl_config_file": SSLConfig.DESCRIPTOR.full_name,
    "monitoring_config_file": MonitoringConfig.DESCRIPTOR.full_name,
    "batching_parameters_file": BatchingParameters.DESCRIPTOR.full_name,
}


@pytest.mark.parametrize("flag", FILES)
def test_a_file_that_cannot_be_read_ends_it(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "file"
    base = [*IRIS, f"--port={processes.choose_port()}", "--enable_batching", f"--{flag}={file}"]
    done = ended(*base)
    assert (done.returncode, f"NOT_FOUND: {file}; " in done.stdout) == (255, True), done.stdout
    file.write_text("no_such_field: 1")
    done = ended(*base)
    text = f"Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: '{file}'"
    assert (done.returncode, text in done.stdout) == (255, True), done.stdout
    assert f"Error parsing text-format {FILES[flag]}: 1:1" in done.stderr
    file.write_bytes(b"\xff\xfe\x00")
    done = ended(*base)
    assert (done.returncode, "Traceback" in done.stdout + done.stderr) == (255, False)


def test_a_batching_file_wants_its_switch(tmp_path: Path) -> None:
    file = tmp_path / "batching"
    file.write_text("max_batch_size { value: 8 }")
    done = ended(*IRIS, f"--batching_parameters_file={file}")
    text = (
        "Failed to start server. Error: INVALID_ARGUMENT: server_options.batching_parameters_file "
        "is set without setting server_options.enable_batching to true."
    )
    assert (done.returncode, text in done.stdout) == (255, True), done.stdout


@pytest.mark.parametrize(
    "config",
    [
        'model_config_list: {{ config: {{ name: "iris", base_path: "{}", '
        'model_platform: "tensorflow", }}, }}',
        "# a remark\nmodel_config_list {{\n  config {{\n    name: 'iris'\n    base_path: '{}'\n"
        "    model_type: TENSORFLOW\n    logging_config {{ }}\n  }}\n}}\n",
        'model_config_list < config < name: "iris"; base_path: "{}"; '
        'model_platform: "tensor" "flow" > >',
        'model_config_list {{ config: [ {{ name: "iris" base_path: "{}" '
        'model_platform: "tensorflow" model_version_policy: {{ specific: {{ versions: [1] }} }} '
        "}} ] }}",
    ],
    ids=["commas", "remarks", "angles", "lists"],
)
def test_a_config_file_may_be_written_in_many_ways(tmp_path: Path, config: str) -> None:
    file = tmp_path / "models.config"
    file.write_text(config.format((MODELS / "iris").as_posix()))
    with running(tmp_path, f"--model_config_file={file}", "--prefer_tflite_model") as service:
        assert answers(service.channel)
