"""Draws a note and takes a "photograph" of it: perspective, blur and noise. Nothing is real."""

import csv
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SEED = 8080
NOTES = Path(__file__).resolve().parent / "notes"
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
LINES = (
    "Monday, 9:30, room 204",
    "1. Order 12 sensors",
    "2. Call the supplier before noon",
    "3. Budget: 1,284.50 EUR",
    "Bring the test results",
)
SIZE = 1200, 900  # pixels


def main() -> None:
    """Write note.jpg, and note.csv with what it says."""
    NOTES.mkdir(exist_ok=True)
    photograph = photographed(np.asarray(drawn()))
    cv2.imwrite(str(NOTES / "note.jpg"), photograph, [cv2.IMWRITE_JPEG_QUALITY, 85])
    with open(NOTES / "note.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["text"], *([line] for line in LINES)])


def drawn() -> Image.Image:
    """Draw the paper."""
    paper = Image.new("RGB", SIZE, (250, 248, 240))
    pen, font = ImageDraw.Draw(paper), ImageFont.truetype(str(FONT), 56)
    for number, line in enumerate(LINES):
        pen.text((90, 90 + 145 * number), line, fill=(35, 40, 70), font=font)
    return paper


def photographed(paper: np.ndarray) -> np.ndarray:
    """Put the paper on a table, seen at an angle, a little out of focus, in poor light."""
    width, height = SIZE
    flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = np.array([[95, 60], [1130, 110], [1175, 850], [30, 800]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, seen)
    table = (70, 95, 120)  # blue, green, red
    seen_paper = cv2.warpPerspective(
        paper[:, :, ::-1], matrix, SIZE, flags=cv2.INTER_AREA, borderValue=table
    )
    blurred = cv2.GaussianBlur(seen_paper, (0, 0), 1.4).astype(np.float64)
    light = np.linspace(1.0, 0.7, width)[np.newaxis, :, np.newaxis]
    noise = np.random.default_rng(SEED).normal(0, 6, blurred.shape)
    return np.clip(blurred * light + noise, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
