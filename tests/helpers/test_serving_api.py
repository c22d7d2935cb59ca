"""The official message classes without TensorFlow; each case in a process of its own."""

import subprocess
import sys

import pytest


def run(code: str) -> str:
    """Run Python code in a fresh process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tensorflow_is_not_loaded() -> None:
    code = (
        "import sys, helpers.tfserving\n"
        "left = [m for m in sys.modules if m.split('.')[0] == 'tensorflow']\n"
        "print('tensorflow' in sys.modules, all(m.endswith('_pb2') for m in left))"
    )
    assert run(code) == "False True"


def test_every_listed_module_can_be_imported() -> None:
    code = (
        "from helpers import serving_api\n"
        "print({getattr(serving_api, n).__name__.split('.')[-1] == n for n in serving_api.__all__})"
    )
    assert run(code) == "{True}"


def test_an_unknown_name_lists_the_known_ones() -> None:
    code = (
        "from helpers import serving_api\n"
        "try: serving_api.predict\n"
        "except AttributeError as error: print(error)"
    )
    assert "predict_pb2" in run(code)


def test_the_documented_import_is_free_afterwards() -> None:
    code = (
        "from helpers.serving_api import predict_pb2 as ours\n"
        "from tensorflow_serving.apis import predict_pb2\n"
        "import sys; print(predict_pb2 is ours, 'tensorflow' in sys.modules)"
    )
    assert run(code) == "True False"


OURS = "from helpers.serving_api import model_service_pb2_grpc, predict_pb2, tensor_pb2\n"
TENSORFLOW = "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\nimport tensorflow as tf\n"
SHARED = (
    "from tensorflow.core.framework import tensor_pb2 as theirs\n"
    "proto = tf.make_tensor_proto([1.0, 2.0])\n"
    "request = predict_pb2.PredictRequest()\n"
    "request.inputs['x'].CopyFrom(proto)\n"
    "print(theirs is tensor_pb2, type(proto) is tensor_pb2.TensorProto,"
    " tf.make_ndarray(request.inputs['x']).tolist(), tf.add(1, 1).numpy())"
)


@pytest.mark.tensorflow
@pytest.mark.parametrize("order", [OURS + TENSORFLOW, TENSORFLOW + OURS], ids=["before", "after"])
def test_tensorflow_works_in_either_order_and_shares_the_classes(order: str) -> None:
    assert run(order + SHARED) == "True True [1.0, 2.0] 2"


@pytest.mark.tensorflow
def test_a_tensorflow_already_there_is_left_alone() -> None:
    code = (
        "import sys, types\n"
        "there = types.ModuleType('tensorflow')\n"
        "import importlib.util\n"
        "there.__path__ = importlib.util.find_spec('tensorflow').submodule_search_locations\n"
        "sys.modules['tensorflow'] = there\n"
        "from helpers.serving_api import predict_pb2\n"
        "print(sys.modules['tensorflow'] is there)"
    )
    assert run(code) == "True"


@pytest.mark.tensorflow
def test_a_tensorflow_that_arrives_meanwhile_is_left_alone() -> None:
    code = (
        "import sys, types\n"
        "from helpers import serving_api\n"
        "real = types.ModuleType('tensorflow')\n"
        "class Thief:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.endswith('tensor_pb2'): sys.modules['tensorflow'] = real\n"
        "sys.meta_path.insert(0, Thief())\n"
        "serving_api.tensor_pb2\n"
        "print(sys.modules['tensorflow'] is real)"
    )
    assert run(code) == "True"


def test_threads_that_import_at_once_get_the_same_whole_modules() -> None:
    code = (
        "import concurrent.futures, sys\n"
        "from helpers import serving_api\n"
        "sys.setswitchinterval(1e-6)\n"
        "names = ['prediction_service_pb2_grpc.PredictionServiceStub', 'types_pb2.DataType',\n"
        "         'predict_pb2.PredictRequest', 'model_service_pb2_grpc.ModelServiceStub'] * 4\n"
        "def get(name):\n"
        "    module, _, attribute = name.partition('.')\n"
        "    return getattr(getattr(serving_api, module), attribute)\n"
        "with concurrent.futures.ThreadPoolExecutor(16) as pool:\n"
        "    found = list(pool.map(get, names))\n"
        "print(len({id(m) for m in found}) == len(set(names)), 'tensorflow' in sys.modules)"
    )
    assert run(code) == "True False"


@pytest.mark.tensorflow
def test_another_layout_falls_back_to_the_ordinary_import() -> None:
    code = (
        "import sys\n"
        "from helpers import serving_api\n"
        "class Moved:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        empty = getattr(sys.modules.get('tensorflow'), '__file__', None) is None\n"
        "        if name == 'tensorflow.core' and empty: raise ImportError('moved')\n"
        "sys.meta_path.insert(0, Moved())\n"
        "print(serving_api.types_pb2.DT_FLOAT, 'tensorflow' in sys.modules)"
    )
    assert run(code).splitlines()[-1] == "1 True"
