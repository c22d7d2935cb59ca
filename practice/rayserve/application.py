"""What Ray Serve runs: the servicers and models of the practice TensorFlow Serving, in replicas.

`serve_config.yaml` names `build`. The engine is the one of `practice.tfserving`; a replica here is
one more process that has it.
"""

import asyncio
import threading
from pathlib import Path
from typing import Any, NoReturn

import grpc
import numpy as np
from ray import serve

from helpers.errors import BadInput
from helpers.serving_api import model_server_config_pb2, predict_pb2
from helpers.tensors import to_ndarray, to_tensor_proto
from practice.tfserving import flags, messages, monitoring, tensorproto
from practice.tfserving.config import PLATFORM
from practice.tfserving.failures import Failure
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
        return self._predicted(request, self._context(grpc_context))

    def _predicted(self, request: Any, context: Any) -> Any:
        # Ray Serve reads and writes the messages itself.
        answer = self._prediction.Predict(messages.PredictRequest(request, {}), context)
        return predict_pb2.PredictResponse.FromString(answer)

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


class Batching(TensorFlowServing):
    """The same with Ray Serve's dynamic batching: calls that come together are one to the model."""

    async def Predict(self, request: Any, grpc_context: Any) -> Any:  # type: ignore[override]
        answer = await self._together(request, self._context(grpc_context))
        if isinstance(answer, _Refused):
            raise answer
        return answer

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.005)
    async def _together(self, requests: list[Any], contexts: list[Any]) -> list[Any]:
        whole, counts = _stacked(requests)
        if whole is not None:
            answer = await asyncio.to_thread(self._answer, whole, contexts[0])
            if not isinstance(answer, _Refused):
                return _split(answer, counts)
        # One by one, so that an error is that of its own call.
        threads = map(asyncio.to_thread, [self._answer] * len(requests), requests, contexts)
        return await asyncio.gather(*threads)

    def _answer(self, request: Any, context: Any) -> Any:
        """Answer a request; what is raised is returned, for the call that it is about."""
        try:
            return self._predicted(request, context)
        except _Refused as error:
            return error


def build(arguments: dict[str, Any]) -> serve.Application:
    """Make the application from the `args` of a configuration.

    Parameters
    ----------
    arguments : dict
        Those of `TensorFlowServing`; with `batching: true`, of `Batching`.
    """
    kind = Batching if arguments.get("batching") else TensorFlowServing
    deployment = serve.deployment(kind, name=TensorFlowServing.__name__)
    return deployment.bind(arguments["models"], arguments.get("versions", {}))


def _stacked(requests: list[Any]) -> tuple[Any, list[int]]:
    """Return one request for all and how many examples each has; None when they do not fit."""
    first = requests[0]
    if len(requests) == 1 or any(_frame(request) != _frame(first) for request in requests):
        return None, []
    whole = predict_pb2.PredictRequest(model_spec=first.model_spec)
    whole.output_filter.extend(first.output_filter)
    counts: list[int] = []
    try:
        for request in requests:
            tensorproto.check_claims(request.inputs)
        for name in first.inputs:
            arrays = [to_ndarray(request.inputs[name]) for request in requests]
            whole.inputs[name].CopyFrom(to_tensor_proto(np.concatenate(arrays)))
            counts = [len(array) for array in arrays]
    except (BadInput, Failure, ValueError):
        return None, []
    return (whole, counts) if counts else (None, [])


def _frame(request: Any) -> tuple[Any, ...]:
    """What has to be equal in requests that are put together."""
    names = [(name, request.inputs[name].dtype) for name in sorted(request.inputs)]
    return request.model_spec, list(request.output_filter), names


def _split(answer: Any, counts: list[int]) -> list[Any]:
    answers = [predict_pb2.PredictResponse(model_spec=answer.model_spec) for _count in counts]
    for name, tensor in answer.outputs.items():
        parts = np.split(to_ndarray(tensor), np.cumsum(counts)[:-1])
        for own, part in zip(answers, parts, strict=True):
            own.outputs[name].CopyFrom(to_tensor_proto(part))
    return answers


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
