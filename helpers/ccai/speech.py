"""A sound: samples and their rate, WAV files, and a player in the notebook."""

import dataclasses
import io
import os
import struct
import wave

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _

_FORMATS = {(1, 16): ("<i2", 32768), (3, 32): ("<f4", 1)}  # WAV tag and bits: dtype, full scale


@dataclasses.dataclass(frozen=True, eq=False)
class Speech:
    """A sound; as the last line of a cell it shows as a player.

    Parameters
    ----------
    samples : ndarray, float32, shape (n,)
        From -1 to 1, one channel.
    rate : int
        Samples a second.

    Examples
    --------
    >>> Speech(np.zeros(16000, np.float32), 16000)
    Speech(1.00 s at 16000 Hz)
    """

    samples: NDArray[np.float32]
    rate: int

    @classmethod
    def read(cls, file: str | os.PathLike[str] | bytes) -> "Speech":
        """Read a WAV file of one channel, with samples of 16 bit or 32-bit floats."""
        if isinstance(file, bytes):
            return cls(*_read_wav(file))
        try:
            with open(file, "rb") as opened:
                return cls(*_read_wav(opened.read()))
        except OSError as error:
            raise BadInput(
                _("{path} cannot be read: {error}.", path=file, error=error.strerror)
            ) from error

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def resampled(self, rate: int) -> "Speech":
        """Return the same sound with another number of samples a second."""
        if rate == self.rate or not len(self.samples):
            return Speech(self.samples, rate)
        old = len(self.samples)
        new = max(1, round(old * rate / self.rate))
        spectrum = np.fft.rfft(self.samples)[: new // 2 + 1]  # what both rates can hold
        samples = np.fft.irfft(spectrum, new) * (new / old)
        return Speech(samples.astype(np.float32), rate)

    def pcm(self) -> bytes:
        """Return the samples as int16, little-endian, without any header."""
        scaled = np.round(self.samples * 32768.0)
        return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()

    def wav(self) -> bytes:
        """Return a WAV file with samples of 16 bit."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(self.pcm())
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"Speech({self.seconds:.2f} s at {self.rate} Hz)"

    def _repr_html_(self) -> str:
        from IPython.display import Audio  # only in a notebook

        return Audio(self.resampled(self.rate).wav())._repr_html_()


def _read_wav(content: bytes) -> tuple[NDArray[np.float32], int]:
    form = None
    position = 12
    is_wav = content[:4] == b"RIFF" and content[8:12] == b"WAVE"
    while is_wav and position + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, position)
        chunk = content[position + 8 : position + 8 + size]
        if name == b"fmt " and len(chunk) >= 16:
            form = struct.unpack_from("<HHIIHH", chunk)
        if name == b"data" and form and form[1] == 1 and form[2] and (form[0], form[5]) in _FORMATS:
            dtype, scale = _FORMATS[form[0], form[5]]
            whole = len(chunk) - len(chunk) % np.dtype(dtype).itemsize
            return (np.frombuffer(chunk[:whole], dtype) / np.float32(scale)).astype("f4"), form[2]
        position += 8 + size + size % 2
    raise BadInput(_("This is no WAV file of one channel with 16-bit samples or 32-bit floats."))
