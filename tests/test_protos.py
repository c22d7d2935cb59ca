"""The generated files are what grpcio-tools makes of the .proto files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc_tools
import numpy
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_tools import protoc

from helpers import serving_api
from protos import official

ROOT = Path(__file__).parent.parent
MESSAGES = ("python", "pyi")
SOURCES = {
    "inference_service": (*MESSAGES, "grpc_python"),
    "server_files": MESSAGES,
    "warmup": MESSAGES,
}


@pytest.mark.parametrize("name", SOURCES)
def test_generating_again_changes_nothing(name: str, tmp_path: Path) -> None:
    outputs = [f"--{kind}_out={tmp_path}" for kind in SOURCES[name]]
    source = str(ROOT / "protos" / f"{name}.proto")
    known = Path(grpc_tools.__file__).parent / "_proto"  # protobuf's own wrappers
    assert protoc.main([sys.argv[0], f"-I{ROOT}", f"-I{known}", *outputs, source]) == 0
    made = sorted((tmp_path / "protos").iterdir())
    assert len(made) == len(outputs)
    for path in made:
        kept = ROOT / "protos" / path.name
        assert path.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), path.name


TENSORFLOW = ROOT / "protos" / "tensorflow"
COMPILER = TENSORFLOW / "compiler"


def compiled(source: str, *outputs: str) -> None:
    """Run protoc on one of TensorFlow's files."""
    includes = [f"-I{TENSORFLOW.parent}", f"-I{COMPILER}"]
    includes += [f"-I{Path(grpc_tools.__file__).parent / '_proto'}"]
    assert protoc.main([sys.argv[0], *includes, *outputs, source]) == 0


def sources() -> list[str]:
    """Return TensorFlow's files by the names that they are imported by."""
    core = [path.relative_to(TENSORFLOW.parent) for path in TENSORFLOW.glob("core/*/*.proto")]
    other = [path.relative_to(COMPILER) for path in COMPILER.rglob("*.proto")]
    return sorted(path.as_posix() for path in [*core, *other])


@pytest.mark.parametrize("source", sources())
def test_generating_tensorflows_messages_again_changes_nothing(source: str, tmp_path: Path) -> None:
    compiled(source, f"--python_out={tmp_path}")
    (made,) = tmp_path.rglob("*_pb2.py")
    home = COMPILER if source.startswith("xla") else TENSORFLOW.parent
    text = made.read_text(encoding="utf-8").replace("from xla.", "from tensorflow.compiler.xla.")
    assert text == (home / made.relative_to(tmp_path)).read_text(encoding="utf-8")


@pytest.mark.tensorflow
@pytest.mark.parametrize("source", sources())
def test_tensorflows_messages_are_those_of_tensorflow(source: str, tmp_path: Path) -> None:
    compiled(source, f"--descriptor_set_out={tmp_path / 'set'}")
    (ours,) = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    for name in serving_api.__all__:
        getattr(serving_api, name)
    theirs = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName(source).CopyToProto(theirs)
    assert ours.package == theirs.package
    assert list(ours.dependency) == list(theirs.dependency)
    assert described(ours.message_type) == described(theirs.message_type)
    assert described(ours.enum_type) == described(theirs.enum_type)


def described(descriptors: Iterable[Any]) -> dict[str, str]:
    """Return the text of each, without what is for JavaScript and JSON, and in a fixed order."""
    texts = {}
    for descriptor in descriptors:
        if hasattr(descriptor, "nested_type"):
            nested = sorted(descriptor.nested_type, key=lambda message: message.name)
            del descriptor.nested_type[:]
            descriptor.nested_type.extend(nested)
        texts[descriptor.name] = re.sub(r'\s*(json_name: "\w+"|jstype: \w+)', "", str(descriptor))
    return texts


REQUEST = """
import sys
from importlib.util import find_spec
from helpers import serving_api
for name in serving_api.__all__:
    getattr(serving_api, name)
request = serving_api.predict_pb2.PredictRequest()
request.model_spec.name = "iris"
request.inputs["x"].dtype = serving_api.types_pb2.DT_FLOAT
request.inputs["x"].float_val.extend([1.5, 2.5])
from tensorflow_serving.apis import predict_pb2
assert predict_pb2.PredictRequest is type(request)
print("tensorflow" in sys.modules, end=" ")
"""


@pytest.fixture
def outside(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs code elsewhere, with TensorFlow or as if it was not installed."""

    def run(code: str, tensorflow: bool = False) -> str:
        packages = tmp_path / "packages"
        if not packages.exists():
            packages.mkdir()
            for path in Path(numpy.__file__).parents[1].iterdir():
                if path.name != "tensorflow":
                    (packages / path.name).symlink_to(path)
        flags = [] if tensorflow else ["-S"]
        paths = [ROOT] if tensorflow else [ROOT, packages]
        done = subprocess.run(
            [sys.executable, "-P", *flags, "-c", code],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_without_tensorflow_the_official_classes_load_and_write_the_same(
    outside: Callable[..., str],
) -> None:
    code = REQUEST + "print(request.SerializeToString(), find_spec('tensorflow') is None)"
    loaded, alone = outside(code).split(maxsplit=1)
    assert loaded == "False"
    assert alone.endswith("True\n")


@pytest.mark.tensorflow
def test_with_tensorflow_they_write_the_same_bytes(outside: Callable[..., str]) -> None:
    code = REQUEST + "print(request.SerializeToString())"
    assert outside(code) == outside(code, tensorflow=True)


DOCUMENTED = """
import importlib.util, sys, practice
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from helpers import serving_api
print(serving_api.predict_pb2 is predict_pb2, "tensorflow" in sys.modules)
print(importlib.util.find_spec("tensorflow") is None)
try:
    import tensorflow
except ModuleNotFoundError as error:
    print(error.name, error)
else:
    print(tensorflow.constant(1).numpy())
"""


def test_after_import_practice_the_documentations_import_needs_no_tensorflow(
    outside: Callable[..., str],
) -> None:
    said = f"No module named 'tensorflow'. {official.ABSENT}"
    assert outside(DOCUMENTED) == f"True False\nTrue\ntensorflow {said}\n"


@pytest.mark.tensorflow
def test_where_tensorflow_is_installed_it_is_imported_afterwards(
    outside: Callable[..., str],
) -> None:
    assert outside(DOCUMENTED, tensorflow=True) == "True False\nFalse\n1\n"


def test_the_methods_have_the_original_names() -> None:
    from protos import inference_service_pb2

    service = inference_service_pb2.DESCRIPTOR.services_by_name["Inference"]
    assert service.full_name == "inference_service.Inference"
    assert [method.name for method in service.methods] == [
        "Classification",
        "FaceDetection",
        "FacialLandmark",
        "OCR",
        "ASR",
        "HealthCheck",
    ]
