"""Speech to text with PocketSphinx and the English model of its package."""

import threading
from collections.abc import Iterator

from pocketsphinx import Decoder, Endpointer, Vad

from practice.ccai.engines import EngineFailed

RATE = 16000
_LONGEST = 300  # seconds; PocketSphinx counts frames, 100 a second, in 16 bits
_PIECE = RATE // 10 * 2  # bytes, a tenth of a second
_LEAST_SPEECH = 3  # frames of 30 ms
_ONE_WORD = "#JSGF V1.0; grammar one; public <word> = a;"


class Listener:
    """Recognizes English.

    The options are PocketSphinx's own. Others were tried on prompts that one speaker read for a
    telephone exchange, none of which is in this repository: no difference was larger than chance.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoder = Decoder(samprate=RATE, cmn="batch", loglevel="FATAL")
        self._words = self._decoder.current_search()
        self._decoder.add_jsgf_string("one", _ONE_WORD)

    def transcribe(self, pcm: bytes) -> str:
        """Write down what is said.

        Parameters
        ----------
        pcm : bytes
            int16, little-endian, mono, 16000 Hz.

        Returns
        -------
        str
            Lower-case words with a space between; empty when nothing is said. The same sound
            gives the same words, whatever was heard before.

        Raises
        ------
        EngineFailed
            For half a sample at the end, and for more than five minutes.
        """
        if len(pcm) % 2:
            raise EngineFailed("the sound ends with half a sample; samples have 16 bits")
        if len(pcm) > _LONGEST * RATE * 2:
            raise EngineFailed(f"the sound is longer than {_LONGEST} seconds")
        if not _has_speech(pcm):
            return ""  # PocketSphinx hears a word in anything, also in silence
        with self._lock:
            self._level(pcm)
            return self._decode(pcm)

    def utterances(self, frames: Iterator[bytes]) -> Iterator[str]:
        """Cut a stream into utterances, and give the text of each as soon as it is over.

        Parameters
        ----------
        frames : iterator of bytes
            Pieces of any size of what `transcribe` takes.
        """
        for speech in _utterances(frames):
            if text := self.transcribe(speech):
                yield text

    def _level(self, pcm: bytes) -> None:
        """Take the cepstral mean of the whole recording.

        PocketSphinx would do so itself, if it got the recording in one piece. But then it
        would let no other thread run for as long as the recognition takes. Looking for one
        word is enough to get the mean, and quick.
        """
        # Else it goes on from the mean and the noise of the last recording, and after one
        # that came in pieces it does not look at a whole one any more.
        self._decoder.reinit_feat()
        self._decoder.activate_search("one")
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(pcm, full_utt=True)
        finally:
            self._decoder.end_utt()
        mean = self._decoder.get_cmn()
        self._decoder.activate_search(self._words)
        self._decoder.set_cmn(mean)

    def _decode(self, pcm: bytes) -> str:
        self._decoder.start_utt()
        try:
            for start in range(0, len(pcm), _PIECE):
                self._decoder.process_raw(pcm[start : start + _PIECE])
        finally:
            self._decoder.end_utt()  # one that is never ended lets no other start
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""


def _utterances(frames: Iterator[bytes]) -> Iterator[bytes]:
    endpointer = Endpointer(sample_rate=RATE)
    waiting = b""
    speech = b""
    for frame in frames:
        waiting += frame
        while len(waiting) >= endpointer.frame_bytes:  # its frames have 30 ms
            speech += endpointer.process(waiting[: endpointer.frame_bytes]) or b""
            waiting = waiting[endpointer.frame_bytes :]
            # What goes on for minutes is cut, or it would never be recognized.
            too_long = len(speech) >= (_LONGEST - 1) * RATE * 2
            if speech and (too_long or not endpointer.in_speech):
                yield speech
                speech = b""
    if endpointer.in_speech:
        speech += endpointer.end_stream(waiting) or b""
    yield speech


def _has_speech(pcm: bytes) -> bool:
    vad = Vad(Vad.LOOSE, RATE)  # one of its own: a Vad remembers what it heard
    size = vad.frame_bytes
    frames = (pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size))
    return sum(vad.is_speech(frame) for frame in frames) >= _LEAST_SPEECH
