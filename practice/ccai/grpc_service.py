"""CCAI's gRPC service: raw files in, text that is almost JSON out."""

import functools
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from practice.ccai.backend import Backend
from practice.ccai.engines import EngineFailed
from practice.ccai.rest import FAILURE_DELAY, User
from practice.ccai.sound import strict_pcm
from practice.host import pixels
from protos import inference_service_pb2, inference_service_pb2_grpc

HEALTH_PATIENCE = 10.0  # seconds HealthCheck waits for its turn
log = logging.getLogger("practice.ccai")


class InferenceService(inference_service_pb2_grpc.InferenceServicer):
    """The six methods; one inference at a time, as in the original, or so many for a class."""

    def __init__(self, backend: Backend, at_once: int = 1) -> None:
        self._backend = backend
        self._turn = threading.BoundedSemaphore(at_once)

    def Classification(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._infer(
            context, "Classification", _classification, pixels.decode(request.buffer)
        )

    def FaceDetection(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._infer(context, "FaceDetection", _face_detection, pixels.decode(request.buffer))

    def FacialLandmark(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._infer(
            context, "FacialLandmark", _facial_landmark, pixels.decode(request.buffer)
        )

    def OCR(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._infer(context, "OCR", _ocr, pixels.decode(request.buffer))

    def ASR(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self._infer(context, "ASR", _asr, strict_pcm(request.buffer))

    def HealthCheck(self, request: Any, context: grpc.ServicerContext) -> Any:
        status = inference_service_pb2.HealthStatus.TIMEOUT
        if self._turn.acquire(timeout=HEALTH_PATIENCE):
            self._turn.release()
            status = inference_service_pb2.HealthStatus.SUCCESS
        return inference_service_pb2.HealthStatus(status=status)

    def _infer(
        self,
        context: grpc.ServicerContext,
        name: str,
        run: Callable[[Any, Backend], str],
        data: Any,
    ) -> Any:
        text = ""  # Oddity: a failure is an empty text, and its status is OK
        try:
            if data is None:
                raise EngineFailed("the file is none that this method reads")
            self._backend.policy.check()
            with self._turn:
                if not context.is_active():
                    raise EngineFailed("its caller has gone")
                text = run(data, self._backend)
        except EngineFailed as failure:
            log.error("%s: %s", name, failure)
        return inference_service_pb2.Result(json=text)


def _classification(image: Any, backend: Backend) -> str:
    name, confidence = backend.digit(image)
    if confidence < 0.5:
        return "[]"
    return f'[{{"tag_name":{_quoted(name)},"tag_confidence":{confidence:.6f}}}]'


def _face_detection(image: Any, backend: Backend) -> str:
    # Oddity: no brackets around the objects; for no face nothing at all.
    boxes = backend.squares(image).tolist()
    return ",".join(f'{{"x1":{x1},"y1":{y1},"x2":{x2},"y2":{y2}}}' for x1, y1, x2, y2 in boxes)


def _facial_landmark(image: Any, backend: Backend) -> str:
    points = backend.points(image)
    # Oddity: no brackets here either; and whole pixels, where REST has fractions.
    return ",".join(f'{{"x":{int(x)},"y":{int(y)}}}' for x, y in points)


def _ocr(image: Any, backend: Backend) -> str:
    return f"[{','.join(map(_ocr_item, backend.lines(image)))}]"


def _ocr_item(line: Any) -> str:
    x, y, width, height = line.box
    # Oddity: the place is an object; over REST it is a list of one.
    return (
        f'{{"itemcoord":{{"x":{x},"y":{y},"width":{width},"height":{height}}},'
        f'"itemstring":{_quoted(line.text)}}}'
    )


def _asr(pcm: bytes, backend: Backend) -> str:
    return f'{{"text":{_quoted(backend.transcribe(pcm).upper())}}}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


class Authentication(grpc.ServerInterceptor):
    """Lets nobody in but the user, also not for HealthCheck."""

    def __init__(self, user: User) -> None:
        self._user = user
        # Not all threads at once wait for those who guess.
        self._delays = threading.BoundedSemaphore(2)
        self._handler = functools.lru_cache(self._make_handler)  # a call does not wait for it

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        return handler and self._handler(handler)

    def _make_handler(self, handler: Any) -> Any:
        # Within the call, where it is clear whose connection it has.
        if handler.unary_unary:
            make, behavior = grpc.unary_unary_rpc_method_handler, handler.unary_unary
        else:  # reflection's
            make, behavior = grpc.stream_stream_rpc_method_handler, handler.stream_stream
        guarded = functools.partial(self._guarded, behavior)
        return make(guarded, handler.request_deserializer, handler.response_serializer)

    def _guarded(self, behavior: Callable, request: Any, context: grpc.ServicerContext) -> Any:
        header = dict(context.invocation_metadata()).get("authorization", "")
        admitted = self._user.said(header if isinstance(header, str) else "")
        if not admitted:
            (self._unauthenticated if admitted is None else self._denied)(context)
        return behavior(request, context)

    def _unauthenticated(self, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "Authenticate failed")

    def _denied(self, context: grpc.ServicerContext) -> None:
        log.warning("gRPC: wrong user or password.")
        if self._delays.acquire(blocking=False):
            time.sleep(FAILURE_DELAY)
            self._delays.release()
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "Permission denied")
