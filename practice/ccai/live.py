"""Live speech recognition: a recording is played into it in real time, utterances come out."""

import logging
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from practice.ccai.engines import EngineFailed

if TYPE_CHECKING:
    from practice.ccai.backend import Backend

FRAME_SECONDS = 0.02
FRAME_BYTES = 640  # 20 ms of int16 at 16000 Hz
WAIT = 2.0  # seconds a read waits for an utterance
log = logging.getLogger("practice.ccai")


class LiveRecognition:
    """The one live session of the server, as in the original."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._texts: queue.Queue[str] = queue.Queue()

    def read(self, recording: bytes) -> str:
        """Return the next finished utterance, or an empty text after two seconds.

        Parameters
        ----------
        recording : bytes
            int16 at 16000 Hz. The first read starts to play it; later ones do not look at it.
        """
        with self._lock:
            if self._stop is None:
                self._stop = threading.Event()
                self._texts = queue.Queue()
                arguments = (recording, self._stop, self._texts)
                threading.Thread(target=self._recognize, args=arguments, daemon=True).start()
            texts = self._texts
        try:
            return texts.get(timeout=WAIT)
        except queue.Empty:
            return ""

    def stop(self) -> None:
        """End the session, if there is one."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()
            self._stop = None

    def _recognize(self, recording: bytes, stop: threading.Event, texts: queue.Queue[str]) -> None:
        try:
            with self._backend.engine("listener") as listener:
                for text in listener.utterances(_play(recording, stop)):
                    texts.put(text)
        except EngineFailed as failure:
            log.error("asr, live: %s", failure)


def _play(recording: bytes, stop: threading.Event) -> Iterator[bytes]:
    """Give a frame every 20 ms: first the recording, then silence until told to stop."""
    due = time.monotonic()
    position = 0
    while not stop.is_set():
        yield recording[position : position + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        position += FRAME_BYTES
        due += FRAME_SECONDS
        stop.wait(max(0.0, due - time.monotonic()))
