"""What Ray Serve runs: the servicers and models of the practice TensorFlow Serving, in replicas.

`serve_config.yaml` names `build`. The engine is the one of `practice.tfserving`; a replica here is
one more process that has it.
"""

import threading
from pathlib import Path
from typing import Any, NoReturn

import grpc
from ray import serve

from helpers.serving_api import model_server_config_pb2
from practice.tfserving import flags, monitoring
from practice.tfserving.config import PLATFORM
from practice.tfserving.loader import Loader
from practice.tfserving.models import Models, Policy
from practice.tfserving.service import ModelService, PredictionService

_ROOT = Path(__file__).parent.parent.parent
REPLICA = "replica"  # in an answer's trailing metadata: who gave it. TensorFlow Serving has none


class _Refused(Exception):
    """Ends a call whose status is set."""


class _Context:
    """Ray Serve's context of a call, with the two methods of gRPC's that it lacks."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self._context.set_code(code)
        self._context.set_details(details)
        raise _Refused(details)

    def time_remaining(self) -> None:
        """Ray Serve does not tell a replica the client's deadline."""


class TensorFlowServing:
    """One replica: a method for each of the two services' calls, under the name that they have.

    Parameters
    ----------
    models : str
        The folder of models; one that is relative begins at the repository.
    versions : dict of str to int
        Which version of a model is served; of others all are.
    """

    def __init__(self, models: str, versions: dict[str, int]) -> None:
        # No look at the folders later: other versions come with other replicas.
        # One interpreter: a replica is given one processor, and more of them are more replicas.
        loader = Loader(flags.parse(["--prefer_tflite_model=true", "--num_tflite_pools=1"]))
        served = Models(loader, Policy(poll_seconds=0, keep_serving=True))
        served.start(_config(_ROOT / models, versions), threading.Event())
        self._prediction = PredictionService(served, monitoring.Unmonitored())
        self._status = ModelService(served)
        self._name = serve.get_replica_context().replica_id.unique_id

    def Predict(self, request: Any, grpc_context: Any) -> Any:
        return self._prediction.Predict(request, self._context(grpc_context))

    def Classify(self, request: Any, grpc_context: Any) -> Any:
        return self._prediction.Classify(request, self._context(grpc_context))

    def Regress(self, request: Any, grpc_context: Any) -> Any:
        return self._prediction.Regress(request, self._context(grpc_context))

    def MultiInference(self, request: Any, grpc_context: Any) -> Any:
        return self._prediction.MultiInference(request, self._context(grpc_context))

    def GetModelMetadata(self, request: Any, grpc_context: Any) -> Any:
        return self._prediction.GetModelMetadata(request, self._context(grpc_context))

    def GetModelStatus(self, request: Any, grpc_context: Any) -> Any:
        return self._status.GetModelStatus(request, self._context(grpc_context))

    def HandleReloadConfigRequest(self, request: Any, grpc_context: Any) -> Any:
        self._context(grpc_context).abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "One replica would take the new models and the others would not. Deploy a new "
            "configuration of the application instead.",
        )

    def _context(self, grpc_context: Any) -> Any:
        grpc_context.set_trailing_metadata([(REPLICA, self._name)])
        return _Context(grpc_context)


def build(arguments: dict[str, Any]) -> serve.Application:
    """Make the application from the `args` of a configuration: those of `TensorFlowServing`."""
    deployment = serve.deployment(TensorFlowServing)
    return deployment.bind(arguments["models"], arguments.get("versions", {}))


def _config(folder: Path, versions: dict[str, int]) -> Any:
    """Configure every model of a folder that LiteRT can run."""
    config = model_server_config_pb2.ModelServerConfig()
    for model in sorted({path.parent.parent for path in folder.glob("*/*/model.tflite")}):
        entry = config.model_config_list.config.add(
            name=model.name, base_path=str(model), model_platform=PLATFORM
        )
        if model.name in versions:
            entry.model_version_policy.specific.versions.append(versions[model.name])
        else:
            entry.model_version_policy.all.SetInParent()
    return config
