"""Cuts one digit out of the pictures and enlarges it: the one the model is most certain about."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from practice.ccai.engines import digits

IMAGES = Path(__file__).resolve().parent / "images"
MARGIN = 3  # pixels around the digit, before it is enlarged
SIZE = 96  # pixels on each side


def main() -> None:
    """Write digit.png, and say where it is from."""
    model = digits.Digits()
    best = 0.0
    for source, digit, cut in cuts():
        name, score = model.classify(np.asarray(cut.convert("RGB")))
        if name == digits.NAMES[digit] and score > best:
            best, chosen, what = score, cut, f"a {digit} from {source}"
    chosen.save(IMAGES / "digit.png", optimize=True)
    print(f"{what}, with a score of {best:.5f}")


def cuts() -> Iterator[tuple[str, int, Image.Image]]:
    """Cut out each digit around which there is room for a square with a margin."""
    with open(IMAGES / "boxes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        with Image.open(IMAGES / row["image"]) as picture:
            sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), picture.size * 2, strict=True))
            left, top, right, bottom = (float(row[key]) * size for key, size in sides.items())
            half = max(right - left, bottom - top) / 2 + MARGIN
            x, y = (left + right) / 2, (top + bottom) / 2
            box = round(x - half), round(y - half), round(x + half), round(y + half)
            if min(box) < 0 or box[2] > picture.width or box[3] > picture.height:
                continue
            cut = picture.crop(box).resize((SIZE, SIZE), Image.Resampling.LANCZOS)
        yield row["image"], int(row["digit"]), cut


if __name__ == "__main__":
    main()
