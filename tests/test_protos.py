"""The generated files are what grpcio-tools makes of the .proto files."""

import sys
from pathlib import Path

import grpc_tools
import pytest
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
MESSAGES = ("python", "pyi")
SOURCES = {"inference_service": (*MESSAGES, "grpc_python"), "server_files": MESSAGES}


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
