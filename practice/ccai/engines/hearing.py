"""Speech to text with pocketsphinx, English."""

import threading
from collections.abc import Iterator

from pocketsphinx import Decoder, Endpointer

RATE = 16000


class Listener:
    """Writes down what is said."""

    def __init__(self) -> None:
        # `batch`: each recording is levelled by itself, and none hears the one before.
        self._decoder = Decoder(samprate=RATE, loglevel="FATAL", cmn="batch")
        self._lock = threading.Lock()  # one recording at a time

    def transcribe(self, pcm: bytes) -> str:
        """Write down a recording.

        Parameters
        ----------
        pcm : bytes
            int16, little-endian, one channel at 16000 Hz.

        Returns
        -------
        str
            Words in lower case; empty when there are none.
        """
        if not pcm:
            return ""
        with self._lock:
            self._decoder.start_utt()
            self._decoder.process_raw(pcm, full_utt=True)
            self._decoder.end_utt()
            found = self._decoder.hyp()
        return found.hypstr if found else ""


class Live:
    """Cuts a stream into utterances and writes down each."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def utterances(self, frames: Iterator[bytes]) -> Iterator[str]:
        """Give the text of each utterance as soon as it is finished."""
        pointer = Endpointer(sample_rate=RATE)
        waiting, heard = b"", b""
        for frame in frames:
            waiting += frame
            while len(waiting) >= pointer.frame_bytes:
                piece, waiting = waiting[: pointer.frame_bytes], waiting[pointer.frame_bytes :]
                heard += pointer.process(piece) or b""
                if heard and not pointer.in_speech:
                    text, heard = self._listener.transcribe(heard), b""
                    if text:
                        yield text
