"""What the tests of the practice TensorFlow Serving share: a process of one's own, and models."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import filelock
import grpc
import pytest

from helpers.endpoints import Endpoint
from helpers.serving_api import (
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from practice import processes

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "data" / "models"
COMMAND = [sys.executable, "-m", "practice.tfserving"]
AVAILABLE, END = 30, 50
T = TypeVar("T")


class Running:
    """One `python -m practice.tfserving`, with its ports and its log.

    Parameters
    ----------
    folder : Path
        Where its log goes.
    flags : str
        More of its command line than the ports.
    """

    def __init__(self, folder: Path, *flags: str) -> None:
        self.ports = [processes.choose_port()]
        self.ports.append(processes.choose_port(but_not=self.ports))
        self.grpc, rest = (f"127.0.0.1:{port}" for port in self.ports)
        self.rest = f"http://{rest}"
        self.log_file = folder / f"{self.ports[0]}.log"
        words = [f"--port={self.ports[0]}", f"--rest_api_port={self.ports[1]}"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*COMMAND, *words, *flags], stdout=log, stderr=subprocess.STDOUT
            )
        self.channel = grpc.insecure_channel(
            self.grpc, options=[("grpc.max_receive_message_length", -1)]
        )
        self.prediction: Any = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @property
    def endpoint(self) -> Endpoint:
        """Return both its addresses."""
        return Endpoint("tfserving", grpc=self.grpc, rest=self.rest)

    def log(self) -> str:
        """Return what it has printed and logged until now."""
        return self.log_file.read_text(encoding="utf-8")

    def wait(self) -> None:
        """Wait until it answers."""
        eventually(lambda: all(map(processes.accepts, self.ports)) or self.ended())

    def ended(self) -> bool:
        """Return False, or fail with the log when the process has ended."""
        assert self.process.poll() is None, self.log()
        return False

    def states(self, name: str) -> dict[int, int]:
        """Return the state of each version; none for a model that there is not."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
        try:
            response = self.models.GetModelStatus(request, timeout=10)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return {}
            raise
        return {each.version: each.state for each in response.model_version_status}

    def reload(self, *models: dict[str, Any]) -> Any:
        """Ask for other models, and wait until they are served."""
        request = model_management_pb2.ReloadConfigRequest(config=config_of(*models))
        return self.models.HandleReloadConfigRequest(request, timeout=60)

    def stop(self) -> None:
        """End it; its channel is closed first."""
        self.channel.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=120)
        finally:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(folder: Path, *flags: str) -> Iterator[Running]:
    """Run one until the block ends; it answers already."""
    service = Running(folder, *flags)
    try:
        service.wait()
        yield service
    finally:
        service.stop()


def ended(*flags: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run one that ends by itself."""
    command = [*COMMAND, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def config_of(*models: dict[str, Any]) -> Any:
    """Return a ModelServerConfig of what each model's entry says; the platform is added."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.SetInParent()
    for each in models:
        entry = {"model_platform": "tensorflow"} | each
        config.model_config_list.config.add(**entry | {"base_path": str(each["base_path"])})
    return config


def write_config(file: Path, *models: dict[str, Any]) -> str:
    """Write a `--model_config_file` at once; returns the flag that names it."""
    draft = file.with_suffix(".draft")
    draft.write_text(str(config_of(*models)), encoding="utf-8")
    draft.replace(file)
    return f"--model_config_file={file}"


def make_odd_models(folder: Path) -> Path:
    """Write the models `odd`, `dtypes` and `strange`; returns the folder."""
    return make_models("tests.tfserving_models", folder)


def on_tensorflow(*values: Any) -> Any:
    """Make one set of a test's parameters that needs TensorFlow."""
    return pytest.param(*values, marks=pytest.mark.tensorflow)


def make_models(module: str, folder: Path) -> Path:
    """Write what `python -m MODULE FOLDER` makes; returns the folder.

    It takes TensorFlow, in a process of its own, ten seconds. So it is kept for the next test,
    and the next run, until the module or TensorFlow changes.
    """
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_bytes()
    version = (ROOT / "requirements" / "tensorflow.txt").read_bytes()
    kept = ROOT / "build" / "test-models" / hashlib.sha256(source + version).hexdigest()[:16]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            draft = kept.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            command = [sys.executable, "-m", module, str(draft)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            draft.rename(kept)
    return Path(shutil.copytree(kept, folder, dirs_exist_ok=True))


def eventually(condition: Callable[[], T], seconds: float = 60) -> T:
    """Return what a condition gives, once that is true."""
    limit = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < limit, f"not so after {seconds:.0f} s"
        time.sleep(0.01)  # the pace of asking, not a guess at when it is so
    return found


def refusal(method: Any, request: Any, timeout: float | None = 30) -> tuple[str, str]:
    """Return code and text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        method(request, timeout=timeout)
    return caught.value.code().name, caught.value.details()
