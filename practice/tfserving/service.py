"""The gRPC services: what a client of TensorFlow Serving sees on the wire."""

import functools
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

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
    prediction_service_pb2_grpc,
    regression_pb2,
)
from helpers.tensors import to_ndarray
from practice.host import students
from practice.tfserving import inference, messages, tensorproto
from practice.tfserving.engine import CLASSIFY_METHOD, DEFAULT_SIGNATURE, Servable
from practice.tfserving.failures import Failure, as_failure, invalid
from practice.tfserving.models import Models
from practice.tfserving.monitoring import Unmonitored

_MOST_EXAMPLES = 2**20  # an example takes two bytes to send, and a hundred times that to read
# The product answers whoever reaches its port; this is gRPC's own status for who may not.
_NOT_BY_STUDENTS = (
    "This service is shared by a class, whose students cannot change its models. Run one of your "
    "own: with practice.private('tfserving') as endpoint."
)
_MAX_STATUS_TEXT = 1024  # bytes; the product cuts longer texts


def _answers(*, counted: bool = False) -> Callable[[Callable], Callable]:
    """Turn a Failure into the call's status; anything unforeseen is INTERNAL and logged.

    What is counted goes into the metrics, the failed ones too; its time only when it went well.
    """

    def decorate(method: Callable) -> Callable:
        api = method.__name__

        @functools.wraps(method)
        def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
            started = time.perf_counter()
            failure = None
            try:
                response = method(self, request, context)
            except Exception as error:
                failure = as_failure(error, api)
            if counted:
                name = request.model_spec.name
                self.metrics.request(name, failure.code if failure else "OK")
                if not failure:
                    self.metrics.latency(name, api, "GRPC", time.perf_counter() - started)
            if failure:
                context.abort(grpc.StatusCode[failure.code], _cut(failure.text))
            return response

        return answer

    return decorate


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata.

    Parameters
    ----------
    models : Models
    metrics : Monitoring or Unmonitored
    as_content : bool
        Whether outputs travel in `tensor_content` in place of typed fields.
    """

    def __init__(self, models: Models, metrics: Unmonitored, *, as_content: bool = False) -> None:
        self.metrics = metrics
        self._models = models
        self._as_content = as_content

    @_answers(counted=True)
    def Predict(self, request: messages.PredictRequest, context: grpc.ServicerContext) -> bytes:
        message = request.message
        servable = _servable(self._models, message)
        name = message.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.model.signatures.get(name)
        if signature is None:
            raise Failure("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        tensors = servable.tensors[name]
        inference.check_method(servable, signature)
        sent = dict(message.inputs.items())
        if sent.keys() != tensors.inputs.keys():
            inference.check_names(signature, sent)
        inputs = _inputs(sent, request.arrays)
        names = tensors.all_outputs
        if message.output_filter:
            names = inference.output_names(signature, message.output_filter)
        if any(proto.dtype != tensors.data_types[alias] for alias, proto in sent.items()):
            _check_types(sent, signature)
        deadline = _deadline(context)
        with self.metrics.runtime(servable.name, "Predict"):
            outputs = inference.predict(servable, name, inputs, names, deadline)
        version = servable.version
        return messages.write(servable.name, version, name, outputs, as_content=self._as_content)

    @_answers(counted=True)
    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = classification_pb2.ClassificationResponse()
        classes = self._infer("Classify", inference.classify, request, context, response)
        _fill_classes(response.result, classes)
        return response

    @_answers(counted=True)
    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        response = regression_pb2.RegressionResponse()
        values = self._infer("Regress", inference.regress, request, context, response)
        _fill_values(response.result, values)
        return response

    @_answers()
    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        first = request.tasks[0] if request.tasks else inference_pb2.InferenceTask()
        servable = self._models.find(first.model_spec)
        examples = _examples(request.input)
        deadline = _deadline(context)
        with self.metrics.runtime(servable.name, "MultiInference"):
            results = inference.multi_inference(servable, request.tasks, examples, deadline)
        self.metrics.examples(servable.name, len(examples))
        response = inference_pb2.MultiInferenceResponse()
        for name, method, answers in results:
            result = response.results.add()
            _fill_spec(result.model_spec, servable, name)
            if method == CLASSIFY_METHOD:
                _fill_classes(result.classification_result, answers)
            else:
                _fill_values(result.regression_result, answers)
        return response

    @_answers()
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        spec = _spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        return metadata(self._models, spec)

    def _infer(self, api: str, infer: Callable, request: Any, context: Any, response: Any) -> Any:
        servable = _servable(self._models, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        examples = _examples(request.input)
        deadline = _deadline(context)
        with self.metrics.runtime(servable.name, api):
            result = infer(servable, name, examples, deadline)
        self.metrics.examples(servable.name, len(examples))
        _fill_spec(response.model_spec, servable, name)
        return result


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, models: Models) -> None:
        self._models = models

    @_answers()
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        return status(self._models, _spec(request))

    @_answers()
    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        if students.caller():
            raise Failure("PERMISSION_DENIED", _NOT_BY_STUDENTS)
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        self._models.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name in dict.fromkeys(request.metric_names):
            response.metric.add(name=name)  # no reload makes a metric grow that is kept here
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


def _spec(request: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return request.model_spec


def _servable(models: Models, request: Any) -> Servable:
    return models.find(_spec(request))


def _deadline(context: grpc.ServicerContext) -> float:
    remaining = context.time_remaining()
    # Without a deadline gRPC tells of centuries, which neither a lock nor TensorFlow can wait.
    endless = remaining is None or remaining > threading.TIMEOUT_MAX
    return inference.NEVER if endless else time.monotonic() + remaining


def _inputs(sent: Mapping[str, Any], read: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return the arrays of a request's tensors, some of which have been read already."""
    tensorproto.check_claims(sent, read)
    arrays = {}
    for alias in sorted(sent):
        try:
            arrays[alias] = read[alias] if alias in read else to_ndarray(sent[alias])
        except BadInput as error:
            raise invalid(f"tensor parsing error: {alias}") from error
    return arrays


def _check_types(sent: Mapping[str, Any], signature: Any) -> None:
    """Raise Failure for a wrong dtype; TensorFlow counts by the names of the graph's tensors."""
    aliases = sorted(sent, key=lambda alias: signature.inputs[alias].name)
    for position, alias in enumerate(aliases):
        expected = signature.inputs[alias].dtype
        if sent[alias].dtype != expected:
            raise invalid(
                f"Expects arg[{position}] to be {inference.type_name(expected)} "
                f"but {inference.type_name(sent[alias].dtype)} is provided"
            )


def _examples(message: Any) -> list[bytes]:
    """Return serialized examples; a context's bytes go before each, so the example's win."""
    context = b""
    examples = message.example_list.examples
    if message.WhichOneof("kind") == "example_list_with_context":
        context = message.example_list_with_context.context.SerializeToString()
        examples = message.example_list_with_context.examples
    if len(examples) > _MOST_EXAMPLES:
        text = f"A request may have {_MOST_EXAMPLES} examples; this one has {len(examples)}."
        raise Failure("RESOURCE_EXHAUSTED", text)
    return [context + example.SerializeToString() for example in examples]


def _fill_spec(spec: Any, servable: Servable, signature_name: str) -> None:
    spec.name = servable.name
    spec.signature_name = signature_name
    spec.version.value = servable.version


def _fill_classes(result: Any, classes: inference.Classes) -> None:
    result.SetInParent()
    for row in classes:
        entry = result.classifications.add()
        for label, score in row:
            # A label is a string of protobuf: UTF-8.
            entry.classes.add(label=label.decode(errors="replace"), score=score)


def _fill_values(result: Any, values: list[float]) -> None:
    result.SetInParent()
    for value in values:
        result.regressions.add(value=value)


def _cut(text: str) -> str:
    data = text.encode()
    if len(data) <= _MAX_STATUS_TEXT:
        return text
    return data[:_MAX_STATUS_TEXT].decode(errors="ignore") + "...TRUNCATED"
