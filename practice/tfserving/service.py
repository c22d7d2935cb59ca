"""The gRPC services: what a client of TensorFlow Serving sees on the wire."""

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.serving_api import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
    types_pb2,
)
from helpers.tensors import to_ndarray
from practice.tfserving import inference, tensorproto
from practice.tfserving.engine import CLASSIFY_METHOD, DEFAULT_SIGNATURE, Servable
from practice.tfserving.failures import Failure
from practice.tfserving.models import Models

if TYPE_CHECKING:
    from practice.tfserving.monitoring import Monitoring

log = logging.getLogger("practice.tfserving")

_MAX_STATUS_TEXT = 1024  # bytes; the product cuts longer texts


def _answers_failures(method: Callable) -> Callable:
    """Turn a Failure into the call's status; anything unforeseen is INTERNAL and logged."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Failure as failure:
            code, text = failure.code, failure.text
        except Exception as error:
            log.exception("%s failed", method.__name__)
            code, text = "INTERNAL", f"{type(error).__name__}: {error}"
        return context.abort(grpc.StatusCode[code], _cut(text))

    return answer


def _counted(method: Callable) -> Callable:
    """Note each request for the metrics, the failed ones too; their time only when it went well."""

    @functools.wraps(method)
    def count(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        if self._monitoring is None:
            return method(self, request, context)
        name, started, status = request.model_spec.name, time.perf_counter(), "INTERNAL"
        try:
            answer = method(self, request, context)
            status = "OK"
            took = time.perf_counter() - started
            self._monitoring.latency(name, method.__name__, "GRPC", took)
            return answer
        except Failure as failure:
            status = failure.code
            raise
        finally:
            self._monitoring.request(name, status)

    return count


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata.

    Parameters
    ----------
    models : Models
    as_content : bool
        Whether outputs travel in `tensor_content` in place of typed fields.
    monitoring : Monitoring, optional
    """

    def __init__(
        self, models: Models, *, as_content: bool = False, monitoring: "Monitoring | None" = None
    ) -> None:
        self._models, self._as_content, self._monitoring = models, as_content, monitoring

    @_answers_failures
    @_counted
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        servable = _servable(self._models, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.model.signatures.get(name)
        if signature is None:
            raise Failure("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        inputs = _inputs(request, signature)
        asked = name, inputs, request.output_filter, _ends(context)
        outputs = self._run("Predict", inference.predict, servable, *asked)
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, servable, name)
        for alias, array in outputs.items():
            tensorproto.fill(response.outputs[alias], array, as_content=self._as_content)
        return response

    @_answers_failures
    @_counted
    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = classification_pb2.ClassificationResponse()
        classes = self._infer("Classify", inference.classify, request, context, response)
        _fill_classes(response.result, classes)
        return response

    @_answers_failures
    @_counted
    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = regression_pb2.RegressionResponse()
        values = self._infer("Regress", inference.regress, request, context, response)
        _fill_values(response.result, values)
        return response

    @_answers_failures
    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        first = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
        servable = self._models.find(first.model_spec)
        asked = request.tasks, _examples(request.input), _ends(context)
        results = self._run("MultiInference", inference.multi_inference, servable, *asked)
        response = inference_pb2.MultiInferenceResponse()
        for name, method, answers in results:
            result = response.results.add()
            _fill_spec(result.model_spec, servable, name)
            if method == CLASSIFY_METHOD:
                _fill_classes(result.classification_result, answers)
            else:
                _fill_values(result.regression_result, answers)
        return response

    @_answers_failures
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.HasField("model_spec"):
            raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
        if not request.metadata_field:
            raise Failure(
                "INVALID_ARGUMENT",
                "GetModelMetadataRequest must specify at least one metadata_field",
            )
        for field in request.metadata_field:
            if field != "signature_def":
                raise Failure("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
        return metadata(self._models, request.model_spec)

    def _infer(
        self, method: str, function: Callable, request: Any, context: Any, response: Any
    ) -> Any:
        servable = _servable(self._models, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        asked = name, _examples(request.input), _ends(context)
        result = self._run(method, function, servable, *asked)
        _fill_spec(response.model_spec, servable, name)
        return result

    def _run(self, method: str, function: Callable, servable: Servable, *asked: Any) -> Any:
        """Run, and note for the metrics how long it took and of how many examples."""
        started = time.perf_counter()
        result = function(servable, *asked)
        if self._monitoring is not None:
            took = time.perf_counter() - started
            self._monitoring.runtime(servable.name, method, took)
            if method != "Predict":
                self._monitoring.examples(servable.name, len(asked[1]))
        return result


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_answers_failures
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.HasField("model_spec"):
            raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
        return status(self._models, request.model_spec)

    @_answers_failures
    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise Failure(
                "INVALID_ARGUMENT",
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def metadata(models: Models, spec: Any) -> Any:
    """Answer with a model's signatures; REST writes the same message as JSON."""
    servable = models.find(spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    _fill_spec(response.model_spec, servable, "")  # the product leaves the signature out here
    response.metadata["signature_def"].Pack(signatures)
    return response


def status(models: Models, spec: Any) -> Any:
    """Answer with the states of a model's versions; REST writes the same message as JSON."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, version in models.status(spec).items():
        entry = response.model_version_status.add(version=number, state=version.state)
        entry.status.SetInParent()
        if version.failure:
            entry.status.error_code = grpc.StatusCode[version.failure.code].value[0]
            entry.status.error_message = version.failure.text
    return response


def _servable(models: Models, request: Any) -> Servable:
    if not request.HasField("model_spec"):
        raise Failure("INVALID_ARGUMENT", "Missing ModelSpec")
    return models.find(request.model_spec)


def _ends(context: grpc.ServicerContext) -> float:
    left = context.time_remaining()
    # Without a deadline gRPC tells of centuries, which neither a lock nor TensorFlow can wait.
    endless = left is None or left > threading.TIMEOUT_MAX
    return inference.NEVER if endless else time.monotonic() + left


def _inputs(request: Any, signature: Any) -> dict[str, NDArray]:
    inference.check_names(signature, request.inputs)
    arrays = {}
    for alias in sorted(request.inputs):
        try:
            arrays[alias] = to_ndarray(request.inputs[alias])
        except BadInput as error:
            raise Failure("INVALID_ARGUMENT", f"tensor parsing error: {alias}: {error}") from error
    for position, alias in enumerate(sorted(arrays)):
        expected, given = signature.inputs[alias].dtype, request.inputs[alias].dtype
        if expected != given:
            raise Failure(
                "INVALID_ARGUMENT",
                f"Expects arg[{position}] to be {_type_name(expected)} "
                f"but {_type_name(given)} is provided",
            )
    return arrays


def _examples(given: Any) -> list[bytes]:
    """Return serialized examples; a context's bytes go before each, so the example's win."""
    if given.WhichOneof("kind") == "example_list_with_context":
        shared = given.example_list_with_context.context.SerializeToString()
        examples = given.example_list_with_context.examples
    else:
        shared, examples = b"", given.example_list.examples
    return [shared + example.SerializeToString() for example in examples]


def _fill_spec(spec: Any, servable: Servable, signature_name: str) -> None:
    spec.name, spec.signature_name = servable.name, signature_name
    spec.version.value = servable.version


def _fill_classes(result: Any, classes: inference.Classes) -> None:
    result.SetInParent()
    for row in classes:
        entry = result.classifications.add()
        for label, score in row:
            entry.classes.add(label=_text(label), score=score)


def _fill_values(result: Any, values: list[float]) -> None:
    result.SetInParent()
    for value in values:
        result.regressions.add(value=value)


def _text(label: bytes) -> str:
    return label.decode("utf-8", errors="replace")  # a label is a string of protobuf: UTF-8


def _type_name(data_type: int) -> str:
    return types_pb2.DataType.Name(data_type).removeprefix("DT_").lower()


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _MAX_STATUS_TEXT:
        return text
    return data[:_MAX_STATUS_TEXT].decode(errors="ignore") + "...TRUNCATED"
