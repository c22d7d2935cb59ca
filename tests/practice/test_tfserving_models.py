"""Models of the practice TensorFlow Serving come, go and fail as they do in the product."""

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from ai_edge_litert.interpreter import Interpreter

from helpers.serving_api import model_management_pb2, model_pb2, predict_pb2
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving.failures import Failure
from practice.tfserving.litert import LiteRTModel
from practice.tfserving.models import Models, Policy
from tests.tfserving import (
    AVAILABLE,
    END,
    MODELS,
    Running,
    config_of,
    ended,
    eventually,
    refusal,
    running,
    write_config,
)

LOADING, UNLOADING = 20, 40
QUICK = (
    "--prefer_tflite_model",
    "--file_system_poll_wait_seconds=0.05",
    "--max_num_load_retries=0",
)
NOT_THERE = "Servable not found for request: Latest(iris)"


@pytest.fixture
def iris(tmp_path: Path) -> Path:
    """Return the folder of a model with the version 1."""
    return Path(shutil.copytree(MODELS / "iris", tmp_path / "models" / "iris"))


@pytest.fixture
def service(tmp_path: Path, iris: Path) -> Iterator[Running]:
    with running(tmp_path, write_config(tmp_path / "c", entry(iris)), *QUICK) as one:
        yield one


def entry(folder: Path, name: str = "iris", **more: Any) -> dict[str, Any]:
    return {"name": name, "base_path": folder, **more}


def put(model: Path, version: int) -> None:
    """Put a version into a model's folder, at once."""
    draft = model.parent / f"draft-{model.name}-{version}"
    shutil.copytree(MODELS / "iris" / "1", draft)
    draft.rename(model / str(version))


def take_away(model: Path, version: int) -> None:
    (model / str(version)).rename(model.parent / f"gone-{model.name}-{version}-{time.time_ns()}")


def spoil(model: Path, version: int) -> None:
    """Put a version into a model's folder that cannot be loaded."""
    draft = model.parent / f"bad-{version}"
    draft.mkdir()
    (draft / "model.tflite").write_bytes(b"no model")
    draft.rename(model / str(version))


def request(name: str = "iris", **spec: Any) -> Any:
    made = predict_pb2.PredictRequest(model_spec={"name": name, **spec})
    made.inputs["features"].CopyFrom(to_tensor_proto([[5.1, 3.5, 1.4, 0.2]], "float32"))
    return made


def version(service: Running, name: str = "iris", **spec: Any) -> int:
    """Return the version that answers."""
    response = service.prediction.Predict(request(name, **spec), timeout=30)
    assert to_ndarray(response.outputs["probabilities"]).argmax() == 0
    return response.model_spec.version.value


def has(service: Running, states: dict[int, int], name: str = "iris") -> Callable[[], bool]:
    return lambda: service.states(name) == states


def is_in(service: Running, number: int, state: int) -> Callable[[], bool]:
    return lambda: service.states("iris").get(number) == state


# Versions of one model.


def test_no_call_fails_while_versions_change(service: Running, iris: Path) -> None:
    stop, begun = threading.Event(), threading.Barrier(5)

    def call() -> list[int]:
        found = [version(service)]
        begun.wait(60)
        while not stop.is_set():
            found.append(version(service))
        return [*found, version(service)]

    with futures.ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call) for _ in range(4)]
        try:
            begun.wait(60)
            for number in (2, 3, 4):
                put(iris, number)
                eventually(is_in(service, number - 1, END))
        finally:
            stop.set()
    for each in calls:
        answered = each.result()
        assert set(answered) >= {1, 4}
        assert answered == sorted(answered)
    assert service.states("iris") == {4: AVAILABLE, 3: END, 2: END, 1: END}
    code, text = refusal(service.prediction.Predict, request(version={"value": 1}))
    assert (code, text) == ("NOT_FOUND", "Servable not found for request: Specific(iris, 1)")


def test_a_new_version_that_fails_leaves_the_old_one_serving(service: Running, iris: Path) -> None:
    spoil(iris, 2)
    eventually(has(service, {2: END, 1: AVAILABLE}))
    assert version(service) == 1
    put(iris, 3)
    eventually(has(service, {3: AVAILABLE, 2: END, 1: END}))
    assert version(service) == 3


def test_the_newest_one_gone_the_one_before_comes_back(service: Running, iris: Path) -> None:
    put(iris, 2)
    eventually(has(service, {2: AVAILABLE, 1: END}))
    take_away(iris, 2)
    eventually(has(service, {2: END, 1: AVAILABLE}))
    assert version(service) == 1


def test_an_emptied_folder_ends_the_model_and_a_filled_one_brings_it_back(
    service: Running, iris: Path
) -> None:
    take_away(iris, 1)
    eventually(has(service, {1: END}))
    assert refusal(service.prediction.Predict, request()) == ("NOT_FOUND", NOT_THERE)
    assert f"No versions of servable iris found under base path {iris}" in service.log()
    put(iris, 1)
    eventually(has(service, {1: AVAILABLE}))
    assert version(service) == 1


def test_a_missing_folder_keeps_every_model_as_it_is(tmp_path: Path, iris: Path) -> None:
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    config = write_config(tmp_path / "c", entry(iris), entry(other, "other"))
    with running(tmp_path, config, *QUICK) as service:
        away = iris.rename(iris.parent / "away")
        told = f"Could not find base path {iris} for servable iris"
        eventually(lambda: told in service.log())
        put(other, 2)
        looks = service.log().count(told)
        eventually(lambda: service.log().count(told) > looks + 3)
        assert service.states("other") == {1: AVAILABLE}
        assert version(service) == version(service, "other") == 1
        away.rename(iris)
        eventually(has(service, {2: AVAILABLE, 1: END}, "other"))
        assert service.states("iris") == {1: AVAILABLE}


def test_a_folder_without_versions_is_waited_for_with_closed_ports(
    tmp_path: Path, iris: Path
) -> None:
    empty = iris.parent / "empty"
    empty.mkdir()
    (empty / "notes").mkdir()
    service = Running(tmp_path, f"--model_base_path={empty}", *QUICK)
    try:
        eventually(lambda: "No versions of servable default found" in service.log())
        for port in service.ports:
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.1", port), 5)
        put(empty, 7)
        service.wait()
        assert version(service, "default") == 7
    finally:
        service.stop()


def test_looked_at_once_a_folder_is_not_looked_at_again(tmp_path: Path, iris: Path) -> None:
    flags = ["--prefer_tflite_model", "--file_system_poll_wait_seconds=0"]
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    with running(tmp_path, write_config(tmp_path / "c", entry(iris)), *flags) as service:
        put(iris, 2)
        pause = time.monotonic() + 1
        eventually(lambda: time.monotonic() > pause)  # what is measured, not what is waited for
        assert service.states("iris") == {1: AVAILABLE}
        service.reload(entry(iris), entry(other, "other"))  # which is a reason to look
        eventually(has(service, {2: AVAILABLE, 1: END}))


@pytest.mark.parametrize(
    ("policy", "states"),
    [
        ({"latest": {"num_versions": 2}}, {4: AVAILABLE, 3: AVAILABLE, 2: END, 1: END}),
        ({"latest": {}}, {4: AVAILABLE, 3: END, 2: END, 1: END}),
        ({"specific": {"versions": [1, 3, 9]}}, {4: END, 3: AVAILABLE, 2: END, 1: AVAILABLE}),
    ],
)
def test_a_reload_changes_the_policy(tmp_path: Path, iris: Path, policy, states) -> None:
    for number in (2, 3, 4):
        put(iris, number)
    every = entry(iris, model_version_policy={"all": {}})
    with running(tmp_path, write_config(tmp_path / "c", every), *QUICK) as service:
        assert service.states("iris")[4] == AVAILABLE  # the others may come a moment later
        eventually(has(service, dict.fromkeys((4, 3, 2, 1), AVAILABLE)))
        service.reload(entry(iris, model_version_policy=policy))
        eventually(has(service, states))
        service.reload(every)
        eventually(has(service, dict.fromkeys((4, 3, 2, 1), AVAILABLE)))


def test_a_failed_load_is_tried_again_as_often_as_the_flags_say(tmp_path: Path, iris: Path) -> None:
    flags = [*QUICK[:2], "--max_num_load_retries=2", "--load_retry_interval_micros=100000"]
    with running(tmp_path, write_config(tmp_path / "c", entry(iris)), *flags) as service:
        began = time.monotonic()
        spoil(iris, 2)
        eventually(has(service, {2: LOADING, 1: AVAILABLE}))
        eventually(has(service, {2: END, 1: AVAILABLE}))
        assert time.monotonic() - began > 0.2
        assert service.log().count("Loading servable: {name: iris version: 2} failed") == 3


def test_a_model_mended_between_two_tries_is_served(tmp_path: Path, iris: Path) -> None:
    flags = [*QUICK[:2], "--load_retry_interval_micros=50000", "--max_num_load_retries=1000"]
    with running(tmp_path, write_config(tmp_path / "c", entry(iris)), *flags) as service:
        spoil(iris, 2)
        eventually(lambda: "version: 2} failed" in service.log())
        mended = iris / "2" / "mended"
        shutil.copy(MODELS / "iris" / "1" / "model.tflite", mended)
        mended.replace(iris / "2" / "model.tflite")
        eventually(has(service, {2: AVAILABLE, 1: END}))
        assert version(service) == 2


def test_a_version_taken_away_between_two_tries_is_given_up(tmp_path: Path, iris: Path) -> None:
    flags = [*QUICK[:2], "--load_retry_interval_micros=100000", "--max_num_load_retries=1000"]
    with running(tmp_path, write_config(tmp_path / "c", entry(iris)), *flags) as service:
        spoil(iris, 2)
        eventually(lambda: "version: 2} failed" in service.log())
        take_away(iris, 2)
        eventually(has(service, {2: END, 1: AVAILABLE}))


def test_many_changes_of_version_take_no_memory(service: Running, iris: Path) -> None:
    process = psutil.Process(service.process.pid)

    def change(numbers: range) -> int:
        for number in numbers:
            put(iris, number)
            eventually(is_in(service, number, AVAILABLE))
            assert version(service) == number
            eventually(is_in(service, number - 1, END))
            take_away(iris, number - 1)
        return process.memory_info().rss

    before = change(range(2, 12))
    after = change(range(12, 42))
    assert after - before < 2 * 2**20
    assert process.num_threads() < 60


# Labels.


def test_a_label_is_moved_by_a_reload(service: Running, iris: Path) -> None:
    put(iris, 2)
    both = entry(iris, model_version_policy={"all": {}})
    service.reload(both)
    eventually(has(service, {2: AVAILABLE, 1: AVAILABLE}))
    for label in (1, 2, 1):
        service.reload(both | {"version_labels": {"stable": label}})
        assert version(service, version_label="stable") == label
    service.reload(both)
    code, text = refusal(service.prediction.Predict, request(version_label="stable"))
    assert (code, text) == ("INVALID_ARGUMENT", "Unrecognized servable version label: stable")


def label_refusal(number: int) -> tuple[str, str]:
    return "FAILED_PRECONDITION", (
        f"Request to assign label to version {number} of model iris, "
        "which is not currently available for inference"
    )


def reload_refusal(service: Running, *models: dict[str, Any]) -> tuple[str, str]:
    made = model_management_pb2.ReloadConfigRequest(config=config_of(*models))
    return refusal(service.models.HandleReloadConfigRequest, made)


def test_a_label_of_a_version_that_is_not_available_is_refused(
    service: Running, iris: Path
) -> None:
    service.reload(entry(iris, version_labels={"stable": 1}))
    moved = entry(iris, version_labels={"stable": 9})
    assert reload_refusal(service, moved) == label_refusal(9)
    assert version(service, version_label="stable") == 1


def test_with_the_flag_only_a_new_label_may_be_ahead_of_its_version(
    tmp_path: Path, iris: Path
) -> None:
    flags = [*QUICK, "--allow_version_labels_for_unavailable_models"]
    labels = {"stable": 1, "canary": 2}
    every = entry(iris, version_labels=labels, model_version_policy={"all": {}})
    with running(tmp_path, write_config(tmp_path / "c", every), *flags) as service:
        code, text = refusal(service.prediction.Predict, request(version_label="canary"))
        assert (code, text) == ("NOT_FOUND", "Servable not found for request: Specific(iris, 2)")
        put(iris, 2)
        eventually(has(service, {2: AVAILABLE, 1: AVAILABLE}))
        assert version(service, version_label="canary") == 2
        moved = every | {"version_labels": labels | {"stable": 9}}
        assert reload_refusal(service, moved) == label_refusal(9)


def test_a_label_at_start_without_the_flag_ends_it(tmp_path: Path, iris: Path) -> None:
    labelled = entry(iris, version_labels={"stable": 1})
    done = ended(write_config(tmp_path / "c", labelled), "--prefer_tflite_model")
    text = "Failed to start server. Error: FAILED_PRECONDITION: Request to assign label to version"
    assert (done.returncode, text in done.stdout) == (255, True)


# Other models: by a reload, and by the config file.


def test_a_reload_takes_models_in_and_out(service: Running, iris: Path) -> None:
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    response = service.reload(entry(other, "other"))
    assert (response.HasField("status"), response.status.error_code) == (True, 0)
    assert version(service, "other") == 1  # a reload returns only when it is there
    eventually(has(service, {1: END}))
    assert refusal(service.prediction.Predict, request()) == ("NOT_FOUND", NOT_THERE)
    for _ in range(10):
        service.reload(entry(iris), entry(other, "other"))
        assert version(service) == version(service, "other") == 1
        service.reload(entry(other, "other"))
        eventually(has(service, {1: END}))
    service.reload()
    eventually(has(service, {1: END}, "other"))


def test_a_reload_fails_when_a_new_model_does(service: Running, iris: Path) -> None:
    broken = iris.parent / "broken"
    broken.mkdir()
    spoil(broken, 3)
    code, text = reload_refusal(service, entry(iris), entry(broken, "broken"))
    begins = (
        "1 model(s) did not become available: {{{name: broken version: 3} due to error: "
        "INVALID_ARGUMENT: "
    )
    assert (code, text[: len(begins)], text[-4:]) == ("UNKNOWN", begins, "}, }")
    assert service.states("broken") == {3: END}
    assert version(service) == 1


def test_a_reload_does_not_wait_for_new_versions_of_a_model_that_is_known(
    service: Running, iris: Path
) -> None:
    spoil(iris, 2)
    assert service.reload(entry(iris)).status.error_code == 0
    eventually(has(service, {2: END, 1: AVAILABLE}))


def test_the_config_file_is_looked_at_again_and_a_bad_one_changes_nothing(
    tmp_path: Path, iris: Path
) -> None:
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    file = tmp_path / "models.config"
    flags = [*QUICK, "--model_config_file_poll_wait_seconds=0.05"]
    with running(tmp_path, write_config(file, entry(iris)), *flags) as service:
        write_config(file, entry(iris), entry(other, "other"))
        eventually(has(service, {1: AVAILABLE}, "other"))
        bad = tmp_path / "bad"
        bad.write_text("model_config_list {")
        os.replace(bad, file)
        told = (
            "Failed to read ModelServerConfig file: INVALID_ARGUMENT: Invalid protobuf file: "
            f"'{file}'"
        )
        eventually(lambda: service.log().count(told) > 1)
        assert version(service) == version(service, "other") == 1
        file.unlink()
        eventually(lambda: "Failed to read ModelServerConfig file: NOT_FOUND" in service.log())
        write_config(file, entry(iris, base_path="models"))
        eventually(lambda: "Expected model iris to have an absolute path" in service.log())
        write_config(file, entry(other, "other"))
        eventually(has(service, {1: END}))
        assert version(service, "other") == 1


# What happens in between, on the real list of models.


class Gate:
    """Loads with LiteRT, once it is open."""

    def __init__(self) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, folder: str) -> LiteRTModel:
        self.reached.set()
        self.open.wait(60)
        try:
            return LiteRTModel(str(Path(folder) / "model.tflite"))
        except ValueError as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from error

    def close(self) -> None:
        self.open.clear()
        self.reached.clear()


@contextlib.contextmanager
def served(folder: Path, gate: Gate, **policy: Any) -> Iterator[Models]:
    models = Models(gate, Policy(poll_seconds=0.02, retries=0, **policy))
    try:
        models.start(config_of(entry(folder)), threading.Event())
        yield models
    finally:
        gate.open.set()
        models.close()


SPEC = model_pb2.ModelSpec(name="iris")


def states(models: Models) -> dict[int, int]:
    return {number: each.state for number, each in models.status(SPEC).items()}


def test_while_a_version_loads_the_old_one_answers(iris: Path) -> None:
    gate = Gate()
    with served(iris, gate) as models:
        gate.close()
        put(iris, 2)
        assert gate.reached.wait(30)
        assert states(models) == {2: LOADING, 1: AVAILABLE}
        assert models.find(SPEC).version == 1
        gate.open.set()
        eventually(lambda: states(models) == {2: AVAILABLE, 1: END})
        assert models.find(SPEC).version == 2


def test_a_version_in_use_is_unloaded_only_when_its_last_call_is_done(iris: Path) -> None:
    with served(iris, Gate()) as models:
        used = models.find(SPEC)
        put(iris, 2)
        eventually(lambda: states(models) == {2: AVAILABLE, 1: UNLOADING})
        assert (used.version, models.find(SPEC).version) == (1, 2)
        del used
        eventually(lambda: states(models) == {2: AVAILABLE, 1: END})


def test_a_version_that_comes_back_while_it_is_unloaded_is_loaded_again(iris: Path) -> None:
    with served(iris, Gate()) as models:
        used = models.find(SPEC)
        away = (iris / "1").rename(iris.parent / "away")
        eventually(lambda: states(models) == {1: UNLOADING})
        away.rename(iris / "1")
        eventually(lambda: models.status(SPEC)[1].wanted)
        del used
        eventually(lambda: states(models) == {1: AVAILABLE})


@pytest.mark.parametrize("known", [False, True], ids=["new", "once known"])
def test_a_reload_waits_until_a_new_model_is_served(iris: Path, known: bool) -> None:
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    both = config_of(entry(iris), entry(other, "other"))
    gate, spec = Gate(), model_pb2.ModelSpec(name="other")
    with served(iris, gate) as models, futures.ThreadPoolExecutor(1) as pool:
        if known:
            models.reload(both)
            models.reload(config_of(entry(iris)))
            eventually(lambda: models.status(spec)[1].state == END)
        gate.close()
        reload = pool.submit(models.reload, both)
        assert gate.reached.wait(30)
        assert not reload.done()
        gate.open.set()
        reload.result(30)
        assert models.find(spec).version == 1


def test_calls_that_wait_for_the_reload_of_another_are_answered(iris: Path) -> None:
    other = Path(shutil.copytree(iris, iris.parent / "other"))
    gate = Gate()
    with served(iris, gate) as models, futures.ThreadPoolExecutor(1) as pool:
        gate.close()
        reload = pool.submit(models.reload, config_of(entry(iris), entry(other, "other")))
        assert gate.reached.wait(30)
        assert models.find(SPEC).version == 1
        with pytest.raises(Failure, match="Illegal to list model"):
            models.reload(config_of(entry(iris), entry(iris)))
        gate.open.set()
        reload.result(30)


def test_one_that_fails_ends_the_start_unless_it_is_to_go_on(iris: Path) -> None:
    shutil.rmtree(iris / "1")
    spoil(iris, 1)
    with (
        pytest.raises(Failure, match=r"1 servable\(s\) did not become available"),
        served(iris, Gate()),
    ):
        pass
    with served(iris, Gate(), keep_serving=True) as models:
        assert states(models) == {1: END}


def test_answers_are_those_of_the_version_that_is_named(service: Running, iris: Path) -> None:
    """A version that is better is another model: the digits' two versions differ."""
    digits = Path(shutil.copytree(MODELS / "digits", iris.parent / "digits"))
    service.reload(entry(digits, "digits", model_version_policy={"all": {}}))
    eventually(has(service, {2: AVAILABLE, 1: AVAILABLE}, "digits"))
    picture = np.full((1, 8, 8, 1), 0.5, "float32")
    asked = predict_pb2.PredictRequest(model_spec={"name": "digits"})
    asked.inputs["images"].CopyFrom(to_tensor_proto(picture))
    for number in (1, 2):
        asked.model_spec.version.value = number
        found = service.prediction.Predict(asked, timeout=30).outputs["probabilities"]
        alone = Interpreter(str(digits / str(number) / "model.tflite"), num_threads=1)
        runner = alone.get_signature_runner("serving_default")
        expected = runner(images=picture)["probabilities"]
        assert (to_ndarray(found) == expected).all()


def test_a_call_over_grpc_is_not_kept_waiting_by_a_reload(service: Running, iris: Path) -> None:
    missing = iris.parent / "later"
    made = model_management_pb2.ReloadConfigRequest(
        config=config_of(entry(iris), entry(missing, "later"))
    )
    waiting = service.models.HandleReloadConfigRequest.future(made, timeout=60)
    eventually(lambda: f"Could not find base path {missing}" in service.log())
    assert version(service) == 1
    assert not waiting.done()
    shutil.copytree(iris, missing)
    assert waiting.result().status.error_code == 0
    assert version(service, "later") == 1
