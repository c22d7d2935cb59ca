"""What the engines are measured on. Nothing here was used to choose or tune them."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

DATA = Path(__file__).parents[2] / "data"
SEED = 20261121
_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "DejaVuSans-Bold")
_CJK = (
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "/System/Library/Fonts/PingFang.ttc",
)
_NAMES = "Ada Grace Alan Edsger Barbara Donald Katherine Linus Margaret Tim".split()
_VERBS = "sent ordered checked repaired returned counted packed measured sold found".split()
_THINGS = "sensors cables printers lenses batteries screens brackets filters motors".split()
_WHEN = "on Monday|before noon|at 9:30|last week|in March|after the meeting|by train".split("|")
_CHINESE = "今天天气很好我们在北京学习人工智能服务的使用方法请把这份报告交给老师谢谢大家明天见"
PHRASES = (
    "good evening|where do you live|my name is anna|the door is open|close the window please|"
    "i have two brothers|she works in a bank|the bus leaves at seven|what do you think|"
    "we need more water|it is raining again|the book is on the table|he plays the piano|"
    "do you speak english|i do not know|they live in a small house|the dog is sleeping|"
    "give me your hand|this bag is heavy|the road is very long|can i use your phone|"
    "tomorrow is a holiday|the water is cold|i am looking for my keys|her brother is a doctor|"
    "we arrived too early|the shop is closed today|please sit down|how old are you|"
    "the soup is too hot|i forgot my password|the children are at school|he drives a red car|"
    "write your name here|the answer is correct|we have no time left|my father cooks dinner|"
    "the river is deep|she opened the letter|it was a good idea|the lights are green|"
    "i will see you on friday|the picture is beautiful|he lost his ticket|turn off the radio|"
    "the garden is full of flowers|we walked along the beach|this machine is broken|"
    "my sister studies music|the plane has landed"
).split("|")


def english_lines(count: int) -> list[tuple[str, Any]]:
    """Render lines of English text with numbers; returns text and image of each."""
    chance = random.Random(SEED)
    noise = np.random.default_rng(SEED)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    lines = []
    for _ in range(count):
        text = _sentence(chance)
        font = ImageFont.truetype(
            str(folder / f"{chance.choice(_FONTS)}.ttf"), chance.randint(22, 44)
        )
        lines.append((text, _photographed(text, font, chance, noise)))
    return lines


def chinese_lines(count: int) -> list[tuple[str, Any]]:
    """Render lines of Chinese; none without a font for it."""
    font_file = next((path for path in _CJK if Path(path).exists()), None)
    if font_file is None:
        return []
    chance, noise = random.Random(SEED), np.random.default_rng(SEED)
    lines = []
    for _ in range(count):
        start = chance.randrange(len(_CHINESE) - 12)
        text = _CHINESE[start : start + chance.randint(6, 12)]
        font = ImageFont.truetype(font_file, chance.randint(26, 44))
        lines.append((text, _photographed(text, font, chance, noise)))
    return lines


def recordings() -> list[tuple[str, Path]]:
    """Return what is said in each human recording, and its file."""
    with open(DATA / "audio" / "transcripts.csv", newline="", encoding="utf-8") as file:
        return [(row["text"], DATA / "audio" / row["file"]) for row in csv.DictReader(file)]


def photographs() -> list[tuple[int, Path]]:
    """Return how many faces each photograph shows, and its file."""
    with open(DATA / "photos" / "faces.csv", newline="", encoding="utf-8") as file:
        return [(int(row["faces"]), DATA / "photos" / row["file"]) for row in csv.DictReader(file)]


def digits() -> Iterator[tuple[int, Any]]:
    """Give the digits that no model was trained on as pictures, dark and light in turn."""
    inks = np.load(DATA / "labelled" / "digits.npy")[..., 0]
    truth = np.loadtxt(DATA / "labelled" / "digits.csv", int, skiprows=1)
    for number, (digit, ink) in enumerate(zip(truth.tolist(), inks, strict=True)):
        large = cv2.resize(ink.astype(np.float32), (128, 128), interpolation=cv2.INTER_CUBIC)
        grey = np.pad(large.clip(0, 1), 20)
        grey = grey if number % 2 else 1 - grey
        yield digit, cv2.cvtColor((grey * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _sentence(chance: random.Random) -> str:
    kind = chance.randrange(3)
    number = f"{chance.randint(2, 980)}"
    if kind == 0:
        return (
            f"{chance.choice(_NAMES)} {chance.choice(_VERBS)} {number} "
            f"{chance.choice(_THINGS)} {chance.choice(_WHEN)}."
        )
    if kind == 1:
        total = f"{chance.randint(1, 9)},{chance.randint(100, 999)}.{chance.randint(10, 99)}"
        return f"Invoice {chance.randint(1000, 9999)}: {total} EUR"
    return f"Room {number}, {chance.choice(_NAMES)} {chance.choice(_NAMES)}, {chance.choice(_WHEN)}"


def _photographed(text: str, font: Any, chance: random.Random, noise: Any) -> Any:
    left, top, right, bottom = font.getbbox(text)
    margin = 24
    page = Image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), 245)
    ImageDraw.Draw(page).text((margin - left, margin - top), text, fill=30, font=font)
    turned = page.rotate(chance.uniform(-1.5, 1.5), Image.Resampling.BICUBIC, fillcolor=245)
    grey = cv2.GaussianBlur(np.asarray(turned, np.float32), (0, 0), chance.uniform(0.3, 0.9))
    grey = np.clip(grey + noise.normal(0, 5, grey.shape), 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
