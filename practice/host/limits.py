"""How many bytes messages may come to: one alone, and all that are under way together.

What a caller sends is not what it takes to answer: 40 bytes can claim a tensor of gigabytes, and
100 KB of gzip or of a picture can be that.
"""

import contextlib
import functools
import gc
import sys
import threading
import zlib
from collections.abc import Iterator
from typing import Any

LARGEST = 128 * 1024 * 1024  # bytes of one message: as it is sent, inflated, and unpacked
INFLATED = 32 * 1024 * 1024  # bytes of a gRPC message that came compressed
SMALL = 1024 * 1024  # bytes; what is no larger never waits for others
PATIENCE = 30.0  # seconds that a client may take to send a message, or to read an answer
_ROOM = 4 * LARGEST
_FILES = 4096  # descriptors; macOS gives a program 256 unless it asks for more
_OTHER_FILES = 96  # descriptors that are no connections
_M_TRIM_THRESHOLD = -1  # of mallopt, in malloc.h
_M_MMAP_THRESHOLD = -3


class Full(Exception):
    """Raised where a message found no room in time."""


class Room:
    """The bytes that are under way together; messages up to `SMALL` do not count.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._used = False
        self._changed = threading.Condition()

    def take(self, size: int, seconds: float = 0) -> int:
        """Wait for so many bytes; returns how many to give back.

        Raises
        ------
        Full
            When they do not become free in time.
        """
        if size <= SMALL:
            return 0
        _return_large_blocks()
        size = min(size, self._size)
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken + size <= self._size, seconds):
                raise Full("Too many large messages are under way; try again later.")
            self._taken += size
            self._used = True
        return size

    def give_back(self, size: int) -> None:
        """Let others have what `take` returned."""
        if size:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    @contextlib.contextmanager
    def holding(self, size: int, seconds: float = PATIENCE) -> Iterator[None]:
        """Hold so many bytes while the block runs; Full as `take`."""
        taken = self.take(size, seconds)
        try:
            yield
        finally:
            self.give_back(taken)

    def was_used(self) -> bool:
        """Whether it was in use since this was last asked."""
        with self._changed:
            used = self._used
            self._used = self._taken > 0
        return used


# Who has room for a message may wait for room to unpack it, never the other way round: else each
# of two could wait for what the other holds.
messages = Room(_ROOM)
unpacked = Room(_ROOM)


def inflated(content: bytes, most: int) -> bytes | None:
    """Return what gzip or zlib made smaller; None when it is larger than `most`.

    Raises
    ------
    zlib.error
        For what is neither, or not all of it.
    """
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: whichever of the two it is
    inflated = stream.decompress(content, most + 1)
    if len(inflated) > most:
        return None
    if not stream.eof:
        raise zlib.error("it ends too early")
    return inflated


def json_values(document: bytes) -> int:
    """Count the values that a document has at most, without reading it; 0 for a small one."""
    if len(document) <= SMALL:
        return 0
    return sum(map(document.count, (b",", b"[", b"{")))  # none begins without one of these


@functools.cache
def connections() -> int:
    """Ask the system for more descriptors; returns the connections that one port may have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _FILES // 4
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        soft = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(min(soft, _FILES) - _OTHER_FILES, 4) // 4  # no service has more ports


def give_memory_back() -> None:
    """Let the system have what large messages took."""
    used = [room.was_used() for room in (messages, unpacked)]
    if not any(used):
        return
    gc.collect()  # of what failed, the frames of a traceback may hold it
    if libc := _libc():
        libc.malloc_trim(0)  # glibc keeps what was freed below something that was not


@functools.cache
def _return_large_blocks() -> None:
    """Let a large block go back to the system at the moment it is freed.

    By itself glibc learns from the sizes it sees to keep blocks of up to 32 MiB, for every thread
    that ever had one, and `malloc_trim` leaves the last one of a thread alone.
    """
    if libc := _libc():
        libc.mallopt(_M_MMAP_THRESHOLD, SMALL)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * SMALL)  # as much more as glibc would make it


@functools.cache
def _libc() -> Any:
    """Return glibc, or None where there is another one."""
    if sys.platform != "linux":
        return None
    import ctypes  # 10 ms, and most services never see a large message

    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "malloc_trim") else None
