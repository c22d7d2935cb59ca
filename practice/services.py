"""The table of practice services: how each is started and how it is asked whether it is well."""

import contextlib
import dataclasses
import difflib
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practice import processes, state
from practice.modelarts import published

if TYPE_CHECKING:
    import grpc

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "data" / "models"


class UnknownService(state.PracticeError):
    """Raised for a name that no practice service has."""


@dataclasses.dataclass(frozen=True)
class Service:
    """One kind of practice service.

    Parameters
    ----------
    name, module : str
        What people call it, and the module that `python -m` runs.
    addresses : dict of str to (int, str)
        For each of its addresses the default port, and how the address is written.
    prepare : callable
        Takes a folder of its own and the folder of the models; writes what the service
        reads at start and returns what is worth telling in services.json.
    arguments : callable
        Takes those same folders and a port for each address; returns the command line's rest.
    answers : callable
        Takes the addresses and a number of seconds; whether a real request was answered.
    told : tuple of str
        What other programs are told in environment variables: keys of the entry or of
        secrets.json.
    paths : dict of str to (str, str)
        More of the entry's addresses: one of those above, and a path there.
    troubled : bool
        Whether a private one can be given trouble.
    on_demand : bool
        Whether it is started only when it is named.
    """

    name: str
    module: str
    addresses: Mapping[str, tuple[int, str]]
    prepare: Callable[[Path, Path], dict[str, Any]]
    arguments: Callable[[Path, Path, Mapping[str, int]], list[str]]
    answers: Callable[[Mapping[str, Any], float], bool]
    told: tuple[str, ...]
    paths: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    troubled: bool = True
    on_demand: bool = False

    @property
    def kind(self) -> str:
        """Which protocol it speaks, as `helpers.endpoints` calls it."""
        return self.name.partition("-")[0]


def get(name: str) -> Service:
    """Return a service by its name."""
    if name in SERVICES:
        return SERVICES[name]
    near = difflib.get_close_matches(name, SERVICES, n=1)
    raise UnknownService(
        f"There is no practice service {name!r}. Known: {', '.join(SERVICES)}."
        + (f" Did you mean {near[0]!r}?" if near else "")
    )


def _prepare_tfserving(folder: Path, models: Path) -> dict[str, Any]:
    """Configure the models that LiteRT can run: the service is to be light, and up at once."""
    light = [model for model in _models(models) if _is_light(model)]
    return _configure(folder / "tfserving.config", light)


def _prepare_tensorflow(folder: Path, models: Path) -> dict[str, Any]:
    return _configure(folder / "tfserving-tf.config", _models(models))


def _models(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise state.PracticeError(
            f"There are no models to serve: {folder} is not a folder. The practice services need "
            "the whole repository: clone it again, or restore data/models."
        )
    return sorted(p.absolute() for p in folder.iterdir() if p.is_dir() and p.name[0] not in "._")


def _is_light(model: Path) -> bool:
    return any(model.glob("*/model.tflite")) or not any(model.glob("*/saved_model.pb"))


def _configure(path: Path, models: list[Path]) -> dict[str, Any]:
    """Write a ModelServerConfig; returns what services.json tells about it."""
    text = f"model_config_list {{\n{''.join(map(_model_config, models))}}}\n"
    try:
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise state.unwritable(path, error) from error
    return {"models": [model.name for model in models]}


def _model_config(model: Path) -> str:
    """Configure one model; of several versions the lowest is `stable`, the highest `canary`."""
    # Quoted as JSON does it, which text protos read too: Windows paths have backslashes.
    name, base_path = _quoted(model.name), _quoted(model)
    versions = sorted(int(p.name) for p in model.iterdir() if p.is_dir() and p.name.isdigit())
    more = ""
    if len(versions) > 1:
        labels = {"stable": versions[0], "canary": versions[-1]}
        more = " model_version_policy { all {} }" + "".join(
            f" version_labels {{ key: {_quoted(label)} value: {version} }}"
            for label, version in labels.items()
        )
    return (
        f'  config {{ name: {name} base_path: {base_path} model_platform: "tensorflow"{more} }}\n'
    )


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _tfserving_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return _serving_arguments(folder / "tfserving.config", ports, "--prefer_tflite_model=true")


def _tensorflow_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return _serving_arguments(folder / "tfserving-tf.config", ports)


def _serving_arguments(config: Path, ports: Mapping[str, int], *flags: str) -> list[str]:
    return [
        f"--port={ports['grpc']}",
        f"--rest_api_port={ports['rest']}",
        f"--model_config_file={config}",
        *flags,
        "--enable_grpc_healthcheck_service=true",
        "--allow_version_labels_for_unavailable_models=true",
        "--keep_serving_on_load_failure=true",
    ]


def _tfserving_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether both ports answer about the flowers; that the model is not there counts too."""
    status, _ = _ask(entry.get("rest"), seconds, "GET", "/v1/models/iris")
    return status in (200, 404) and _call(
        entry, lambda channel: _iris_stub(channel).Predict(_iris_request(), timeout=seconds)
    )


def _call(entry: Mapping[str, Any], call: Callable[["grpc.Channel"], Any]) -> bool:
    """Whether a call through the entry's channel, which is kept, is answered."""
    import grpc

    address = str(entry.get("grpc", ""))
    port = address.rpartition(":")[2]
    key = (address, entry.get("pid"))
    # A channel that was refused once waits before it tries again; a plain connection does not.
    channel = _channels.get(key)
    if channel is None:
        if not port.isdigit() or not processes.accepts(int(port)):
            return False
        channel = _channels[key] = _open_channel(address)
    try:
        call(channel)
    except grpc.RpcError as error:
        # NOT_FOUND is an answer too: that one model could not be loaded, others are served.
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND:
            return True
        _channels.pop(key, None)
        return False
    return True


_channels: dict[tuple[str, Any], "grpc.Channel"] = {}  # by address and process


def _open_channel(address: str) -> "grpc.Channel":
    import grpc

    # Loopback is never reached through a proxy, whatever the environment says.
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])


def _iris_stub(channel: "grpc.Channel") -> Any:
    from helpers.serving_api import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@functools.cache
def _iris_request() -> Any:
    import numpy as np

    from helpers.serving_api import predict_pb2
    from helpers.tensors import to_tensor_proto

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "iris"
    flower = np.array([[5.1, 3.5, 1.4, 0.2]], dtype=np.float32)
    request.inputs["features"].CopyFrom(to_tensor_proto(flower))
    return request


def _prepare_ccai(folder: Path, models: Path) -> dict[str, Any]:
    from practice import credentials

    credentials.certificate(folder)
    user, _ = credentials.user(folder, "ccai")
    return {"user": user, "ca_file": str(credentials.ca_file(folder))}


def _ccai_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    doors = [f"--{key.replace('_', '-')}-port={port}" for key, port in ports.items()]
    return [*doors, f"--folder={folder}"]


def _ccai_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    request = ("POST", "/cgi-bin/fcgi_py_policy", "healthcheck=1", form)
    _, answer = _ask(entry.get("rest"), seconds, *request)
    return answer == b"healthcheck ok" and _grpc_answers(entry, seconds)


def _ask(
    url: object, seconds: float, *request: Any, authority: Path | None = None
) -> tuple[int, bytes]:
    """Make a request of the host in a URL; returns status and body, 0 without an answer."""
    import http.client
    import ssl

    address = str(url).partition("//")[2].partition("/")[0]
    try:
        if authority is None:
            connection = http.client.HTTPConnection(address, timeout=seconds)
        else:
            context = ssl.create_default_context(cafile=authority)
            connection = http.client.HTTPSConnection(address, timeout=seconds, context=context)
        with contextlib.closing(connection):
            connection.request(*request)
            response = connection.getresponse()
            return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def _grpc_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    def call(channel: "grpc.Channel") -> Any:
        from protos import inference_service_pb2, inference_service_pb2_grpc

        stub = inference_service_pb2_grpc.InferenceStub(channel)
        return stub.HealthCheck(inference_service_pb2.Empty(), timeout=seconds)

    return _call(entry, call)


def _prepare_modelarts(folder: Path, models: Path) -> dict[str, Any]:
    from practice import credentials
    from practice.modelarts import account

    credentials.certificate(folder)
    credentials.secrets_of(folder, "modelarts", account.make)
    return {"ca_file": str(credentials.ca_file(folder))}


def _modelarts_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['iam']}", f"--folder={folder}", f"--models={models}"]


def _modelarts_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the flowers' service answers an app; a token would take two requests."""
    authority = Path(str(entry.get("ca_file", "")))
    code = state.read_secrets("modelarts", authority.parent).get("appcode", "")
    headers = {"X-Apig-AppCode": code, "Content-Type": "application/json"}
    request = ("POST", published.SERVICES["iris"].app_path, _FLOWER, headers)
    status, _ = _ask(entry.get("iam"), seconds, *request, authority=authority)
    return status == 200


_FLOWER = json.dumps(
    {
        "data": {
            "req_data": [
                {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
            ]
        }
    }
)


def _prepare_proxy(folder: Path, models: Path) -> dict[str, Any]:
    from practice import credentials

    credentials.user(folder, "proxy")
    return {}


def _proxy_arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
    return [f"--port={ports['http']}", f"--folder={folder}"]


def _proxy_answers(entry: Mapping[str, Any], seconds: float) -> bool:
    """Whether the proxy forwards a request: one to itself, which it counts nowhere."""
    url = str(entry.get("http", ""))
    _, answer = _ask(url, seconds, "GET", f"{url}/health")
    return answer == b"practice proxy"


SERVICES = {
    service.name: service
    for service in [
        Service(
            name="tfserving",
            module="practice.tfserving",
            addresses={"grpc": (8500, "127.0.0.1:{}"), "rest": (8501, "http://127.0.0.1:{}")},
            prepare=_prepare_tfserving,
            arguments=_tfserving_arguments,
            answers=_tfserving_answers,
            told=("grpc", "rest"),
        ),
        Service(
            name="tfserving-tf",
            module="practice.tfserving",
            addresses={"grpc": (8510, "127.0.0.1:{}"), "rest": (8511, "http://127.0.0.1:{}")},
            prepare=_prepare_tensorflow,
            arguments=_tensorflow_arguments,
            answers=_tfserving_answers,
            told=("grpc", "rest"),
            on_demand=True,
        ),
        Service(
            name="ccai",
            module="practice.ccai",
            addresses={
                "rest": (8080, "http://127.0.0.1:{}"),
                "grpc": (8081, "127.0.0.1:{}"),
                "secure_rest": (8443, "https://127.0.0.1:{}"),
                "secure_grpc": (8444, "127.0.0.1:{}"),
            },
            prepare=_prepare_ccai,
            arguments=_ccai_arguments,
            answers=_ccai_answers,
            told=(
                "rest",
                "grpc",
                "secure_rest",
                "secure_grpc",
                "user",
                "password",
                "ca_file",
            ),
        ),
        Service(
            name="modelarts",
            module="practice.modelarts",
            addresses={"iam": (9443, "https://127.0.0.1:{}")},
            prepare=_prepare_modelarts,
            arguments=_modelarts_arguments,
            answers=_modelarts_answers,
            told=(
                "iam",
                "iris",
                "digits",
                "detector",
                "app_iris",
                "user",
                "password",
                "domain",
                "project",
                "project_id",
                "ak",
                "sk",
                "appcode",
                "appkey",
                "appsecret",
                "ca_file",
            ),
            paths={
                "iris": ("iam", published.SERVICES["iris"].path),
                "digits": ("iam", published.SERVICES["digits"].path),
                "detector": ("iam", published.SERVICES["digits_detector"].path),
                "app_iris": ("iam", published.SERVICES["iris"].app_path),
            },
        ),
        Service(
            name="proxy",
            module="practice.proxy",
            addresses={"http": (3128, "http://127.0.0.1:{}")},
            prepare=_prepare_proxy,
            arguments=_proxy_arguments,
            answers=_proxy_answers,
            told=("http",),
            troubled=False,
        ),
    ]
}
