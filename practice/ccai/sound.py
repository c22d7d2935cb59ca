"""The two kinds of WAV file that CCAI knows: the float one it gives and the strict one it takes."""

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PCM = 1
_FLOAT = 3


def float_wav(samples: "NDArray", rate: int) -> bytes:
    """Return a WAV file of 32-bit floats.

    CCAI lets SciPy write it: format tag 3, an empty extension, and a `fact` chunk.
    """
    data = samples.astype("<f4").tobytes()
    chunks = [
        b"fmt " + struct.pack("<IHHIIHHH", 18, _FLOAT, 1, rate, 4 * rate, 4, 32, 0),
        b"fact" + struct.pack("<II", 4, len(samples)),
        b"data" + struct.pack("<I", len(data)) + data,
    ]
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def strict_pcm(wav: bytes) -> bytes | None:
    """Return the samples of a WAV file: int16, mono, 16000 Hz; None for any other file.

    CCAI's gRPC service looks at the header byte by byte and wants `data` right behind `fmt `.
    """
    if len(wav) < 44 or wav[:4] != b"RIFF" or wav[8:16] != b"WAVEfmt ":
        return None
    size, *form = struct.unpack_from("<IHHIIHH", wav, 16)
    if form != [_PCM, 1, 16000, 32000, 2, 16]:
        return None
    start = 20 + size
    if wav[start : start + 4] != b"data" or len(wav) < start + 8:
        return None
    (length,) = struct.unpack_from("<I", wav, start + 4)
    samples = wav[start + 8 : start + 8 + length]
    return samples if len(samples) == length else None
