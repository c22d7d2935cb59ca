"""Chapter 07: errors, deadlines and retries."""

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import requests

from helpers import endpoints
from helpers.language import _
from helpers.serving_api import get_model_status_pb2, model_service_pb2_grpc
from helpers.tfserving.codec import encode_predict
from practice.exercises import Wrong, expect, run, whole_number
from practice.instance import private

_LONGEST = 30.0  # seconds for a call
_LATE = 10.0  # seconds that a function may go on after its time is over


def _read_timeout(answer: Any) -> None:
    kind = answer if isinstance(answer, type) else type(answer)
    name = answer.rpartition(".")[2] if isinstance(answer, str) else kind.__name__
    expect(
        isinstance(getattr(requests.exceptions, name, None), type),
        _("the answer is one of requests.exceptions, or its name."),
    )
    expect(name != "ConnectTimeout", _("the connection was made: this is another exception."))
    expect(
        name not in ("Timeout", "RequestException"),
        _("that is one of its parents. The answer is its own class."),
    )
    expect(name == "ReadTimeout", _("requests raises another exception then."))


def _attempts(answer: Any) -> None:
    number = whole_number(answer)
    expect(number >= 3, _("with {number} the call fails.", number=number))
    expect(number == 3, _("with {number} it succeeds, and with fewer, too.", number=number))


def _pause(answer: Any) -> None:
    for number, limit in enumerate((0.2, 0.4, 0.8, 1.6, 2, 2, 2)):
        pauses = []
        for _round in range(200):
            seconds = run(answer, number)
            expect(
                isinstance(seconds, int | float | np.number),
                _("what the function returns is no number of seconds."),
            )
            pauses.append(float(seconds))
        expect(min(pauses) >= 0, _("after try {number} a pause is below 0.", number=number))
        expect(
            max(pauses) <= limit + 1e-9,
            _(
                "after try {number} a pause is too long: {longest:.2f} s.",
                number=number,
                longest=max(pauses),
            ),
        )
        expect(
            len(set(pauses)) > 1,
            _("after try {number} all pauses are the same.", number=number),
        )
        expect(
            max(pauses) > 0.8 * limit,
            _("after try {number} no pause comes near to its limit.", number=number),
        )
        expect(
            min(pauses) < 0.2 * limit,
            _("after try {number} no pause is short.", number=number),
        )


def _worth_it(answer: Any) -> None:
    with private("tfserving") as service:
        for code, worth in (
            ("UNAVAILABLE", True),
            ("RESOURCE_EXHAUSTED", True),
            ("INVALID_ARGUMENT", False),
            ("FAILED_PRECONDITION", False),
            ("NOT_FOUND", False),
            ("PERMISSION_DENIED", False),
        ):
            service.trouble(fail=code)
            _judge_worth(answer, _failure(service.grpc), worth)
    _judge_worth(answer, _too_large(), False)
    _judge_worth(answer, _another_name(), False)


def _judge_worth(answer: Any, error: grpc.RpcError, worth: bool) -> None:
    said = run(answer, error)
    expect(
        isinstance(said, bool | np.bool_),
        _("what the function returns is neither True nor False."),
    )
    expect(
        bool(said) is worth,
        _(
            "it says {said} for {code}: {details}.",
            said=said,
            code=error.code().name,
            details=error.details().rstrip("."),
        ),
    )


def _failure(address: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        return stub.GetModelStatus.future(_request(), timeout=_LONGEST).exception()


def _another_name() -> Any:
    secure = endpoints.load("ccai", "practice-secure")
    credentials = grpc.ssl_channel_credentials(Path(secure.ca_file).read_bytes())
    options = [("grpc.ssl_target_name_override", "models.example")]
    with grpc.secure_channel(secure.grpc, credentials, options) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        return stub.GetModelStatus.future(_request(), timeout=_LONGEST).exception()


def _too_large() -> Any:
    features = np.ones((400_000, 4), np.float32)
    with grpc.insecure_channel(endpoints.load("tfserving").grpc) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        request = encode_predict("iris", {"features": features})
        return predict.future(request, timeout=_LONGEST).exception()


def _request() -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "iris"
    return request


def _patient(answer: Any) -> None:
    with private("tfserving") as service:
        service.trouble(fail="UNAVAILABLE", calls=2)
        response = _within(answer, service.grpc, 20)
        expect(
            isinstance(response, get_model_status_pb2.GetModelStatusResponse),
            _("after two failures it did not return the response."),
        )
        service.trouble(fail="INVALID_ARGUMENT", calls=1)
        error = _raised(answer, service.grpc, 20)
        expect(
            error == "INVALID_ARGUMENT",
            _("it made a call again after INVALID_ARGUMENT, or hid the error."),
        )
        for code, trouble in (
            ("UNAVAILABLE", {"fail": "UNAVAILABLE"}),
            ("DEADLINE_EXCEEDED", {"delay": 1000}),
        ):
            service.trouble(**trouble)
            try:
                error = _raised(answer, service.grpc, 2)
            finally:
                service.trouble()  # or a function that goes on would go on for ever
            expect(
                error == code,
                _("when the time was over, it did not raise the last error."),
            )


def _raised(function: Any, address: str, seconds: float) -> str:
    """Return the code of the gRPC error that a reader's function raises."""
    try:
        _within(function, address, seconds)
    except Wrong as wrong:
        if isinstance(wrong.__cause__, grpc.RpcError):
            return wrong.__cause__.code().name
        raise
    return ""


def _within(function: Any, address: str, seconds: float) -> Any:
    """Call a reader's function in a thread, and do not wait for ever."""
    outcome: Future[Any] = Future()

    def call() -> None:
        try:
            outcome.set_result(run(function, address, _request(), seconds))
        except Wrong as wrong:
            outcome.set_exception(wrong)

    threading.Thread(target=call, daemon=True).start()
    try:
        return outcome.result(seconds + _LATE)
    except TimeoutError as error:
        raise Wrong(
            _("it had {seconds} seconds, and was still at work long after them.", seconds=seconds)
        ) from error


CHECKS = {1: _read_timeout, 2: _attempts, 3: _pause, 4: _worth_it, 5: _patient}
