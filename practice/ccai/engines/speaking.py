"""Text to speech with espeak-ng, the library inside the package espeakng-loader."""

import _ctypes
import ctypes
import os
import sys
import threading
from typing import Any

import espeakng_loader
import numpy as np
from numpy.typing import NDArray

from practice.ccai.engines import EngineFailed

# Of espeak-ng's speak_lib.h.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000  # without it, espeak-ng ends the whole process when it misses a file
_UTF8 = 1
# American, a woman: of espeak-ng's voices the one that the speech recognition here follows best.
_VOICE = b"en-us+f2"
_CHUNK = 500  # milliseconds of sound for one call back
_LONGEST_PATH = 140  # bytes; espeak-ng keeps the folder's name in 160 and cuts off the rest

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_lock = threading.Lock()  # there is one espeak-ng in a process, however many speakers


class Speaker:
    """An English voice."""

    def __init__(self) -> None:
        self._data = _data_path()
        with _lock:
            _close(_open(self._data)[0])  # so that what is missing is missed now

    def say(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Speak a text.

        Parameters
        ----------
        text : str

        Returns
        -------
        samples : ndarray of float32, shape (samples,)
            From -1 to 1. The same text gives the same samples.
        rate : int
            Samples in a second, 22050.

        Raises
        ------
        EngineFailed
            When nothing in the text can be spoken.
        """
        content = text.encode("utf-8", "replace").replace(b"\0", b" ")
        with _lock:
            library, rate = _open(self._data)
            try:
                samples = np.frombuffer(_synthesize(library, content), np.int16)
            finally:
                _close(library)
        if not samples.any():
            raise EngineFailed("nothing in the text can be spoken")
        return samples.astype(np.float32) / np.float32(32768), rate


def _synthesize(library: Any, content: bytes) -> bytes:
    chunks: list[bytes] = []

    def take(wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            chunks.append(ctypes.string_at(wave, 2 * count))
        return 0

    callback = _Callback(take)  # espeak-ng does not keep it alive, this name does
    library.espeak_SetSynthCallback(callback)
    library.espeak_SetVoiceByName(_VOICE)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # the breath in the voice is random
    size = ctypes.c_size_t(len(content) + 1)
    library.espeak_Synth(content, size, 0, 1, 0, _UTF8, None, None)
    return b"".join(chunks)


def _open(data: bytes) -> tuple[Any, int]:
    """Load espeak-ng anew.

    Where the voice's flutter was at the end of one text, it goes on in the next, and no call
    sets that back. A library that was just loaded knows no text before; it takes 5 ms.
    """
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(_SYNCHRONOUS, _CHUNK, data, _DO_NOT_EXIT)
    if rate <= 0:
        raise OSError("espeak-ng does not find its voices. Install espeakng-loader again.")
    return library, rate


def _close(library: Any) -> None:
    library.espeak_Terminate()
    if sys.platform == "win32":
        _ctypes.FreeLibrary(library._handle)
    else:
        _ctypes.dlclose(library._handle)


def _data_path() -> bytes:
    path = espeakng_loader.get_data_path()
    # espeak-ng opens files the C way, which on Windows is not UTF-8.
    content = path.encode("mbcs" if os.name == "nt" else sys.getfilesystemencoding())
    if len(content) > _LONGEST_PATH:
        raise OSError(
            f"espeak-ng takes a folder of at most {_LONGEST_PATH} bytes, and its voices lie in "
            f"{path}. Make the environment in a folder with a shorter name."
        )
    return content
