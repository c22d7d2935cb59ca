"""Sixteen callers at once: each gets the answer it would get alone, and memory stays."""

import random
import threading
import time
from collections.abc import Callable
from concurrent import futures

import psutil
import pytest

from helpers.endpoints import Endpoint
from protos import inference_service_pb2 as messages
from tests import ccai
from tests.ccai import Running, strict_wav, text64

CLIENTS = 16
MEGABYTE = 2**20
Job = Callable[[Endpoint], str]  # what to ask at a door, plain or secure


service = ccai.service


def over_rest(name: str, form: dict) -> Job:
    def call(endpoint: Endpoint) -> str:
        headers = ccai.authorized(endpoint) if endpoint.user else ccai.FORM
        answer = ccai.post(endpoint, name, form, headers=headers, timeout=120)
        return f"{answer.status} {ccai.without_time(answer.body)}"

    return call


def over_grpc(method: str, content: bytes) -> Job:
    def call(endpoint: Endpoint) -> str:
        user = ccai.basic(endpoint.user, endpoint.password)
        metadata = [("authorization", user)] if endpoint.user else []
        request = messages.Input(buffer=content)
        with ccai.stub(endpoint) as stub:
            return getattr(stub, method)(request, timeout=120, metadata=metadata).json

    return call


def jobs() -> list[Job]:
    """Return something for every service, with different things to send."""
    texts = ("hello world", "how are you doing", "one two three")
    found = [over_rest("py_tts", {"text": text}) for text in texts]
    asr = {"realtime": "OFFLINE", "language": "ENGLISH", "rate": 16000, "samplewidth": 2}
    found.append(over_rest("py_asr", {**asr, "speech": text64(ccai.recording())}))
    found.append(over_grpc("ASR", strict_wav(ccai.recording())))
    for lines in ("Meeting", "Room 7"):
        form = {"image": text64(ccai.written(lines))}
        for name in ("py_ocr", "ocr", "py_ppocr", "py_digitalnote", "py_handwritten"):
            found.append(over_rest(name, form))
        found.append(over_grpc("OCR", ccai.written(lines)))
    for picture in (ccai.face(), ccai.blank()):
        for name in ("face_detection", "facial_landmark", "segmentation"):
            form = {"image": text64(picture)}
            found += [over_rest(name, form), over_rest(f"py_{name}", form)]
        found += [over_grpc(name, picture) for name in ("FaceDetection", "FacialLandmark")]
    for digit in "147":
        form = {"image": text64(ccai.written(digit, 200))}
        found += [over_rest("classification", form), over_rest("py_classification", form)]
        found.append(over_grpc("Classification", ccai.written(digit, 200)))
    found.append(over_rest("py_ocr", {}))
    found.append(over_rest("py_policy", {"healthcheck": 1}))
    found.append(over_rest("policy", {"device": "CPU", "local": 1}))
    return found


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(12, id="some"), pytest.param(60, id="all", marks=pytest.mark.nightly)],
)
def test_sixteen_callers_get_the_answers_that_one_gets(service: Running, seconds: int) -> None:
    known = jobs()
    expected = [call(service.plain) for call in known]
    assert len(set(expected)) > 20
    end, wrong, count = time.monotonic() + seconds, list[str](), [0] * CLIENTS
    stop = threading.Event()

    def client(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < end and not stop.is_set():
            index = chance.randrange(len(known))
            endpoint = chance.choice((service.plain, service.secure))
            try:
                answer = known[index](endpoint)
            except Exception as error:
                answer = f"{type(error).__name__}: {error}"
            if answer != expected[index]:
                wrong.append(f"job {index}: {answer[:200]}, not {expected[index][:200]}")
                stop.set()
            count[number] += 1

    process = psutil.Process(service.pid)
    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client, number) for number in range(CLIENTS)]
        futures.wait(running, timeout=10)
        early = process.memory_info().rss
        for each in running:
            each.result()
    late = process.memory_info().rss
    assert not wrong, wrong[0]
    assert min(count) >= 1
    assert late < 1.5 * early + 200 * MEGABYTE
    assert process.is_running()
    assert process.num_threads() < 200
    assert "Traceback" not in service.written()
