"""Reports about models, and about the files that say how they are served."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from helpers import tfserving
from helpers.serving_api import predict_pb2, types_pb2
from helpers.tensors import to_ndarray
from practice import processes
from practice.tfserving import config
from practice.tfserving.failures import Failure
from tests.otw.test_serve import serving
from tests.tfserving import MODELS, Running, ended, running, write_config

FLOWER = {"features": [[5.1, 3.5, 1.4, 0.2]]}


def test_08_a_model_that_needs_tensorflow_text_says_so(made: Path) -> None:
    """serving 1490, 2064, 2267: the product has its operations linked in."""
    flags = [f"--port={processes.choose_port()}", "--max_num_load_retries=0"]
    done = ended(*flags, f"--model_base_path={made / 'text'}")
    assert done.returncode == 255
    assert re.search("tensorflow[-_]text", done.stdout), done.stdout


def test_09_a_model_of_other_tags_is_served(made: Path, tmp_path: Path) -> None:
    """serving 937, 1769: by the product's flag."""
    flags = [f"--model_base_path={made / 'tagged'}", "--saved_model_tags=serve,gpu"]
    with running(tmp_path, *flags, "--model_name=tagged") as service:
        endpoint = service.endpoint.replace(model="tagged")
        assert tfserving.predict(endpoint, {"x": [1.5]})["y"].tolist() == [2.5]


def test_09_otw_serve_takes_tags(made: Path, tmp_path: Path) -> None:
    """The same, where a reader meets it."""
    with serving(made / "tagged" / "1", tmp_path, "--name=tagged", "--tags=serve,gpu") as served:
        assert "1." in served.run_python()  # of the stand-in, 0


def test_10_a_tflite_file_with_tensorflow_s_operations_is_refused(made: Path) -> None:
    """tensorflow 40157, 58635: Select TensorFlow operations, such as the determinant.

    Neither the product nor an interpreter that pip installs has the Flex delegate. So it is
    refused when it is loaded: never a service that starts, and fails every call.
    """
    flags = [f"--port={processes.choose_port()}", "--max_num_load_retries=0"]
    base = f"--model_base_path={made / 'determinant'}"
    done = ended(*flags, base, "--prefer_tflite_model")
    assert done.returncode == 255
    assert "(Select TensorFlow ops: Identity, MatrixDeterminant)" in done.stdout
    assert "Convert it without them, or serve its SavedModel." in done.stdout


def test_10_tensorflow_s_own_interpreter_refuses_it(made: Path, tensorflow: ModuleType) -> None:
    """The same, of TensorFlow 2.21: once this fails, it can be served through TensorFlow."""
    content = (made / "determinant" / "1" / "model.tflite").read_bytes()
    interpreter = tensorflow.lite.Interpreter(model_content=content)
    with pytest.raises(RuntimeError, match="Select TensorFlow op"):
        interpreter.allocate_tensors()


def test_14_a_base_path_is_absolute_or_a_uri(tmp_path: Path) -> None:
    """serving 781: `file:///models/x` in a config file, and `--model_base_path=models/x`."""
    iris = {"name": "iris", "base_path": (MODELS / "iris").as_uri()}
    file = write_config(tmp_path / "models.config", iris)
    with running(tmp_path, file, "--prefer_tflite_model") as service:
        outputs = tfserving.predict(service.endpoint.replace(model="iris"), FLOWER)
        assert outputs["probabilities"].argmax() == 0
    done = ended(f"--port={processes.choose_port()}", "--model_base_path=models/x", timeout=20)
    assert done.returncode == 255
    assert "to have an absolute path or URI; got base_path()=models/x" in done.stdout


WRITTEN = (
    'model_config_list {{ config {{ name: "m" base_path: {} model_platform: "tensorflow" }} }}'
)


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN.format('"/a" "/m"').encode(),
        WRITTEN.format(r"'\057a\x2fm'").encode(),
        WRITTEN.format('"/a/m" ,').encode(),
        WRITTEN.format('"/a/m" ;').encode(),
        b"model_config_list: < config: [ < name: 'm', base_path: '/a/m' model_type: 1 > ] >",
        "# 模型\n".encode() + WRITTEN.format('"/a/m"').encode(),
        "# 模型\n".encode("gbk") + WRITTEN.format('"/a/m"').encode(),
        WRITTEN.format('"/a/m"').encode() + "# modèle".encode("latin-1"),
    ],
)
def test_15_text_protos_are_read_as_people_write_them(tmp_path: Path, text: bytes) -> None:
    """Forty forms of a config file: pieces of text, escapes, lists, comments of any encoding."""
    file = tmp_path / "models.config"
    file.write_bytes(text)
    [model] = config.read(str(file)).model_config_list.config
    assert (model.name, model.base_path) == ("m", "/a/m")


def test_15_a_byte_order_mark_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same, as Windows' editor may write it: text_format.cc calls it a non ascii codepoint."""
    file = tmp_path / "models.config"
    file.write_text(WRITTEN.format('"/a/m"'), encoding="utf-8-sig")
    with pytest.raises(Failure, match="Invalid protobuf file: "):
        config.read(str(file))
    assert "Save it as UTF-8 without one" in caplog.text


def test_16_an_empty_config_is_reloaded_with_labels_and_batches(tmp_path: Path) -> None:
    """serving 1608, 1230, 1413, 1555: nothing at first, then a model with labels, batched."""
    batching = tmp_path / "batching.config"
    batching.write_text(
        "max_batch_size { value: 32 }\nbatch_timeout_micros { value: 1000 }\n"
        "allowed_batch_sizes: 8\nallowed_batch_sizes: 32\n",
        encoding="utf-8",
    )
    flags = ["--prefer_tflite_model", "--enable_batching", f"--batching_parameters_file={batching}"]
    labelled = {
        "name": "digits",
        "base_path": MODELS / "digits",
        "model_version_policy": {"specific": {"versions": [1, 2]}},
    }
    with running(tmp_path, write_config(tmp_path / "models.config"), *flags) as service:
        assert service.states("digits") == {}
        service.reload(labelled)
        service.reload(labelled | {"version_labels": {"stable": 1, "canary": 2}})
        for label, number in (("stable", 1), ("canary", 2)):
            request = predict_pb2.PredictRequest(model_spec={"name": "digits"})
            request.model_spec.version_label = label
            request.inputs["images"].dtype = types_pb2.DT_FLOAT
            request.inputs["images"].tensor_content = bytes(4 * 3 * 8 * 8)
            for size in (3, 8, 8, 1):
                request.inputs["images"].tensor_shape.dim.add(size=size)
            response = service.prediction.Predict(request, timeout=30)
            assert response.model_spec.version.value == number
            assert {len(to_ndarray(tensor)) for tensor in response.outputs.values()} == {3}


def test_17_an_estimator_of_tensorflow_1_predicts_and_classifies(heavy: Running) -> None:
    """guesslang 2.2.1: a variable, a table that a main op fills, and examples."""
    endpoint = heavy.endpoint.replace(model="estimator")
    texts = ["print(1)", "puts 1"]
    outputs = tfserving.predict(endpoint, {"content": texts}, signature_name="predict")
    assert outputs["probabilities"].tolist() == [[0.75, 0.25], [0.25, 0.75]]
    for protocol in ("grpc", "rest"):
        rows = tfserving.classify(
            endpoint, [{"content": text} for text in texts], protocol=protocol
        )
        assert [max(row, key=lambda one: one.score).label for row in rows] == ["Python", "Ruby"]


def test_18_the_savedmodel_and_the_tflite_file_of_a_model_agree(
    light: Running, heavy: Running
) -> None:
    """basic-pitch 0.4.0: a package that brings both."""
    images = np.random.default_rng(18).random((4, 8, 8, 1), "float32")
    one, other = (
        tfserving.predict(service.endpoint.replace(model="digits"), {"images": images})
        for service in (light, heavy)
    )
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol=1e-4, atol=1e-5)


VALUES = {
    "float32": [0.5, -2.0],
    "float64": [0.1, 1e300],
    "float16": [0.5, 65504.0],
    "bfloat16": [0.5, 1e30],
    "int8": [-128, 127],
    "int16": [-32768, 7],
    "int32": [-(2**31), 7],
    "int64": [-(2**63), 7],
    "uint8": [0, 255],
    "uint64": [0, 2**64 - 1],
    "bool": [True, False],
    "string": [b"a\0b\0", b""],
    "complex64": [1 + 2j, -1j],
}


@pytest.mark.parametrize("shape", [[2], [1, 2], []])
def test_20_what_make_tensor_proto_makes_comes_back(heavy: Running, tensorflow, shape) -> None:
    """make_tensor_proto, in which most clients' tensors begin."""
    for name, values in VALUES.items():
        dtype = tensorflow.dtypes.as_dtype(name)
        sent = tensorflow.constant(values, dtype)[0] if not shape else values
        sent = tensorflow.reshape(tensorflow.constant(sent, dtype), shape).numpy()
        tensor = tensorflow.make_tensor_proto(sent, dtype, shape)
        request = predict_pb2.PredictRequest(model_spec={"name": "dtypes", "signature_name": name})
        request.inputs["x"].ParseFromString(tensor.SerializeToString())
        answer = heavy.prediction.Predict(request, timeout=30).outputs["y"]
        back = tensorflow.make_ndarray(type(tensor).FromString(answer.SerializeToString()))
        right = sent if isinstance(sent, bytes) else sent.tolist()
        assert (back.shape, back.tolist()) == (tuple(shape), right), name
