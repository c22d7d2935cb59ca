"""What do images of floats cost over REST: the length of their text, and the time to write it?"""

import functools
import json
import statistics
from pathlib import Path

import numpy as np
import orjson
import PIL.Image

from helpers.tfserving import codec
from helpers.tfserving.rest import to_json
from tests.benchmarks import contenders
from tests.benchmarks.contenders.round_trip import IMAGE
from tests.benchmarks.measure import Row, at_least, at_most, interleaved, ratio, timed

_PHOTOS = Path(__file__).parents[2] / "data" / "photos"


def measure() -> list[Row]:
    """Compare with the request in binary, and with JSON libraries that are given Python lists."""
    photos, chance = _photos(), contenders.array((1, *IMAGE))
    longer, worse, listed = (
        len(write(array)) / len(codec.encode_predict("image", {"x": array}))
        for write, array in ((to_json, photos), (to_json, chance), (_listed, photos))
    )
    ways = (to_json, _listed, lambda each: orjson.dumps(each.tolist()))
    ours, with_json, with_orjson = interleaved(
        [timed(functools.partial(way, photos[:1])) for way in ways], rounds=25
    )
    faster = ratio(with_json, ours), ratio(with_orjson, ours)
    return [
        Row(
            "REST: the text of photos of 224x224x3 float32 from 0 to 1, against the request in "
            "binary; that of chance numbers; that of `json.dumps(array.tolist())`",
            f"{longer:.2f}x; {worse:.2f}x; {listed:.2f}x",
            [at_most(longer, 2.8)],
        ),
        Row(
            "the text of one photo written, against `json.dumps(array.tolist())` and "
            "`orjson.dumps(array.tolist())`",
            f"{faster[0]:.1f}x and {faster[1]:.1f}x as fast "
            f"({1000 * statistics.median(ours):.1f} ms)",
            [at_least(faster[0], 10)],
        ),
    ]


def _photos() -> np.ndarray:
    files = (file for file in sorted(_PHOTOS.iterdir()) if file.suffix in (".jpg", ".png"))
    images = [PIL.Image.open(file).convert("RGB").resize(IMAGE[:2]) for file in files]
    return np.stack([np.asarray(image, np.float32) for image in images]) / np.float32(255)


def _listed(array: np.ndarray) -> bytes:
    return json.dumps(array.tolist()).encode()
