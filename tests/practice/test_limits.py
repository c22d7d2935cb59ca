"""How many bytes are under way together, and what is given back."""

import gc
import subprocess
import sys
import threading
import zlib

import cv2
import numpy as np
import pytest

from practice.host import limits, pixels
from practice.host.limits import SMALL, Full, Room


def test_small_messages_never_wait() -> None:
    room = Room(SMALL)
    with room.holding(10**12):  # all of it
        assert room.take(SMALL) == 0
        with pytest.raises(Full):
            room.take(SMALL + 1)
    with room.holding(SMALL + 1):
        pass


def test_who_waits_gets_the_room_that_is_given_back() -> None:
    room = Room(4 * SMALL)
    taken = room.take(3 * SMALL)
    threading.Timer(0.2, room.give_back, [taken]).start()
    assert room.take(2 * SMALL, seconds=20) == 2 * SMALL


@pytest.mark.parametrize("wbits", [31, 15], ids=["gzip", "zlib"])
def test_nothing_is_inflated_beyond_the_limit(wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    content = packer.compress(bytes(100_000)) + packer.flush()
    assert limits.inflated(content, 100_000) == bytes(100_000)
    assert limits.inflated(content, 99_999) is None
    with pytest.raises(zlib.error):
        limits.inflated(content[:-9], 100_000)


def test_a_picture_holds_room_as_long_as_its_pixels_live() -> None:
    png = cv2.imencode(".png", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes()
    image = pixels.decode(png)
    part = image[:10, :10]
    del image
    with pytest.raises(Full):
        limits.unpacked.take(10**12)
    del part
    gc.collect()
    with limits.unpacked.holding(10**12, seconds=0):
        pass


def test_a_picture_without_room_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.1)
    png = cv2.imencode(".png", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes()
    with limits.unpacked.holding(10**12):
        assert pixels.decode(png) is None
    assert pixels.decode(png) is not None


LARGE_BLOCKS = """
import threading
import psutil
from practice.host import limits

def work():
    for _ in range(3):
        b"x" * 18_000_000
    done.wait()

limits.messages.give_back(limits.messages.take(2 * limits.SMALL))
memory = psutil.Process().memory_info
before = memory().rss
done = threading.Barrier(5)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
done.wait()
print(memory().rss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_no_thread_keeps_a_large_block_that_it_has_freed() -> None:
    ran = subprocess.run([sys.executable, "-c", LARGE_BLOCKS], capture_output=True, check=True)
    assert int(ran.stdout) < 10_000_000
