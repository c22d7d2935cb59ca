"""What the Explorer shows of an answer: the right drawing, or none."""

import base64
import io
import json
import re
import struct
import threading
import warnings
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from helpers import ccai, endpoints, modelarts, tfserving
from helpers.ccai.answers import Face, Tag, TextItem
from helpers.ccai.speech import Speech
from helpers.errors import BadInput
from helpers.images import png
from helpers.tfserving import Class
from helpers.tfserving.signatures import DEFAULT_SIGNATURE
from practice import manager
from tests import ccai as shared
from tests.ccai import DATA
from workbench import answers
from workbench.answers import labels, listings, rasters
from workbench.answers.drawings import Part

ORANGE = (230, 159, 0)
HTML = '<b onclick="x">&\'"</b>'
RANDOM = np.random.default_rng(0)
PAGE = RANDOM.integers(0, 100, (1, 60, 90, 3)).astype(np.uint8)
DETECTED = {
    "detection_boxes": np.array([[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 0.5], [0, 0, 0, 0]]], np.float32),
    "detection_scores": np.array([[0.9, 0.6, 0.0]], np.float32),
    "detection_classes": np.array([[3, 1, 0]], np.float32),
    "num_detections": np.array([2], np.float32),
}
SURE = np.array([[0.7, 0.2, 0.1]], np.float32)
SINE = np.sin(np.arange(8000) / 8).astype(np.float32)

service, here = shared.service, shared.here  # the fixtures of this file


class Page(HTMLParser):
    """What a browser would find in HTML: elements by name, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, list[dict[str, str]]] = {}
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.setdefault(tag, []).append(dict(attrs))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def images(self) -> list[np.ndarray]:
        return [
            np.asarray(Image.open(io.BytesIO(content_of(each["src"], "image/png"))).convert("RGB"))
            for each in self.found.get("img", [])
        ]

    def sounds(self) -> list[Speech]:
        found = self.found.get("audio", [])
        return [Speech.read(content_of(each["src"], "audio/wav")) for each in found]


def content_of(address: str, kind: str) -> bytes:
    head, _, data = address.partition(";base64,")
    assert head == f"data:{kind}"
    return base64.b64decode(data, validate=True)


def only(found: list[Part], kind: str) -> tuple[Part, Page]:
    assert [each.kind for each in found] == [kind]
    return found[0], Page(found[0].html)


def cells(html: str) -> list[list[str]]:
    """Return the texts of a table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [
        [
            "".join(Page(cell).texts)
            for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def number_of(row: list[str]) -> list[float]:
    return [float(each) for each in row]


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("probabilities", SURE, "scores"),
        ("dense_2", SURE, "scores"),
        ("dense_2", SURE.astype(ml_dtypes.bfloat16), "scores"),
        ("score", np.array([[0.9, 0.8]]), "scores"),
        ("score", np.array([0.9, 0.1]), "scores"),
        ("score", np.array([0.9, 0.8]), "table"),  # of two examples, or of two classes?
        ("y", np.array([0.9, 0.1]), "table"),
        ("y", np.array([[0.9, 0.8]]), "table"),
        ("score", np.array([[0.9, np.nan]]), "table"),
        ("score", np.array([[0.9, -0.1]]), "table"),
        ("score", np.array([[0.9, 7.0]]), "table"),
        ("score", np.array([[0.9]]), "table"),
        ("score", np.zeros((2, 3, 4)), "table"),
        ("y", np.arange(100.0), "series"),
        ("y", np.arange(100), "series"),
        ("y", np.zeros((3, 100, 1)), "series"),
        ("y", np.full(100, np.nan), "table"),
        ("y", np.array([1e308, -1e308] * 9), "table"),
        ("y", np.zeros((150, 4)), "table"),
        ("embedding", RANDOM.normal(size=(1, 4096)) / 9, "series"),
        ("image_embeddings", RANDOM.random((64, 128)), "series"),
        ("audio", SINE, "sound"),
        ("output_audio_0", SINE[np.newaxis], "sound"),
        ("waveform", (SINE * 9000).astype(np.int16), "sound"),
        ("y", SINE, "series"),
        ("audio", SINE * 9, "series"),
        ("audio_features", SINE, "series"),
        ("audio", np.arange(90.0), "series"),
        ("y", np.zeros((2, 64, 64, 3), np.uint8), "image"),
        ("y", np.zeros((2, 3, 64, 64), np.uint8), "image"),
        ("y", np.zeros((64, 64, 3), np.uint8), "image"),
        ("y", RANDOM.random((1, 64, 64, 1)), "image"),
        ("y", RANDOM.random((1, 64, 64, 3)) * 2 - 1, "image"),
        ("y", RANDOM.random((1, 64, 64, 3)) * 255, "image"),
        ("y", RANDOM.random((1, 64, 64, 3)) * 900, "table"),
        ("y", RANDOM.dirichlet(np.ones(3), (1, 64, 64)), "table"),  # a pixel's classes
        ("y", RANDOM.random((1, 64, 64, 4)), "table"),
        ("y", np.zeros((1, 64, 64, 21)), "table"),
        ("y", np.full((1, 64, 64, 1), np.nan), "table"),
        ("y", RANDOM.random((1, 4, 64, 3)), "table"),
        ("y", RANDOM.random((1, 8, 512, 3)), "table"),
        ("y", RANDOM.random((64, 64)), "series"),  # 64 rows of features as likely
        ("mask", RANDOM.random((64, 64)), "image"),
        ("masks", np.ones((2, 64, 64), bool), "image"),
        ("depth_map:0", RANDOM.random((1, 64, 64)).astype(np.float16), "image"),
        ("y", np.array([png(PAGE[0])], object), "image"),
        ("y", np.array([Speech(SINE, 8000).wav()], object), "sound"),
        ("y", np.array([b"RIFF but no sound"], object), "text"),
        ("y", np.array(["yes"], object), "text"),
        ("y", np.array(b"yes", object), "text"),
        ("y", np.array(["yes"]), "text"),
        ("y", np.zeros(0, object), "table"),
        ("y", np.zeros((0, 64, 64, 3), np.uint8), "table"),
        ("y", np.zeros((4, 0)), "table"),
        ("y", np.array(3), "table"),
        ("y", np.zeros(100, complex), "table"),
        ("y", np.zeros(100, bool), "table"),
        ("y", np.zeros(100, ml_dtypes.int4), "series"),
        ("y", np.zeros((2,) * 7), "table"),
    ],
)
def test_an_output_is_what_names_shapes_and_values_say(
    name: str, array: np.ndarray, kind: str
) -> None:
    shown = answers.parts({name: array}, {})
    assert [each.kind for each in shown] == ([] if kind == "table" else [kind])
    for each in shown:
        Page(each.html)


def test_scores_are_bars_from_the_highest_on() -> None:
    part, page = only(answers.parts({"scores": SURE[:, ::-1]}, {}), "scores")
    assert part.title == "scores"
    assert cells(part.html)[1:] == [["2", "0.7", ""], ["1", "0.2", ""], ["0", "0.1", ""]]
    widths = [int(each) for each in re.findall(r"width:(\d+)px", part.html)]
    assert np.allclose(widths, np.array([0.7, 0.2, 0.1]) * 160, atol=0.5)
    assert {each["scope"] for each in page.found["th"]} == {"col", "row"}
    assert len(page.found["caption"]) == 1


@pytest.mark.parametrize(
    ("outputs", "labels", "expected"),
    [
        ({}, ["a", HTML, "c"], ["a (0)", f"{HTML} (1)", "c (2)"]),
        ({"classes": np.array([[b"a", HTML.encode(), b"c"]], object)}, (), ["a", HTML, "c"]),
        ({"labels": np.array([["x", "y", "z"]])}, ["unused"], ["x", "y", "z"]),
        ({"indices": np.array([[30, 10, 20]])}, (), ["30", "10", "20"]),
        ({"indices": np.array([[2, 1, 0]])}, ["a", "b", "c"], ["c (2)", "b (1)", "a (0)"]),
        ({"other": np.array([[7, 8, 9]])}, (), ["0", "1", "2"]),
        ({"classes": np.array([7])}, (), ["0", "1", "2"]),
        ({"words": np.array([[b"a"] * 3] * 2, object)}, (), ["0", "1", "2"]),
    ],
    ids=["the caller", "strings", "text", "ids", "both", "numbers", "best", "other shape"],
)
def test_classes_are_named_by_whoever_knows(
    outputs: dict[str, np.ndarray], labels: list[str], expected: list[str]
) -> None:
    [part, *others] = answers.parts({"scores": SURE, **outputs}, {}, labels)
    assert [row[0] for row in cells(part.html)[1:]] == expected
    assert HTML not in part.html
    assert [each.kind for each in others] == (["text"] if "words" in outputs else [])


def test_labels_of_another_number_are_not_put_to_scores() -> None:
    part, page = only(answers.parts({"scores": SURE}, {}, ["background", "a", "b", "c"]), "scores")
    assert [row[0] for row in cells(part.html)[1:]] == ["0", "1", "2"]
    assert "The 4 labels are left out: there are 3 scores." in page.texts


def test_of_many_scores_and_examples_the_first_are_shown_and_all_are_counted() -> None:
    part, page = only(answers.parts({"scores": np.eye(6, 1000)}, {}), "scores")
    assert len(page.found["table"]) == 4
    assert "The highest 10 of 1,000." in page.texts
    assert "The first 4 of 6 examples." in page.texts
    assert len(cells(part.html)) == 4 * 11


def test_boxes_lie_on_the_picture_that_was_sent() -> None:
    part, page = only(answers.parts(DETECTED, {"x": np.zeros((1, 4)), "images": PAGE}), "boxes")
    [drawn] = page.images()
    factor = drawn.shape[0] // 60
    assert drawn.shape == (60 * factor, 90 * factor, 3)
    assert part.html.count("<img") == 1
    # Of the first box: y from 6 to 30, x from 18 to 54. Left of it is none, as far as the second.
    for y, x in [(12, 18), (24, 53.9), (29.9, 40)]:
        assert tuple(drawn[int(y * factor), int(x * factor)]) == ORANGE
    assert tuple(drawn[40 * factor, 70 * factor]) == tuple(PAGE[0, 40, 70])
    assert cells(part.html)[1:] == [
        ["0", "3", "0.900", "18.0", "6.0", "54.0", "30.0"],
        ["1", "1", "0.600", "0.0", "0.0", "45.0", "60.0"],
    ]
    assert "2 boxes with a score of 0.5 or more, in pixels" in page.texts
    assert any("Read as ymin, xmin, ymax, xmax from 0 to 1" in text for text in page.texts)


PIXELS = np.array([60, 90, 60, 90], np.float32)


@pytest.mark.parametrize(
    "changed",
    [
        {"detection_boxes": DETECTED["detection_boxes"] * PIXELS},
        {"detection_boxes": (DETECTED["detection_boxes"] * PIXELS).round().astype(np.int64)},
        {"detection_class_entities": np.array([[b"3", b"1", b"-"]], object)},
        {"detection_masks": np.zeros((1, 3, 33, 33), np.float32)},
        {"detection_anchor_indices": np.zeros((1, 3), np.float32)},
        {"raw_detection_boxes": np.zeros((1, 1917, 4), np.float32)},
    ],
    ids=["in pixels", "whole pixels", "names", "masks", "more", "raw"],
)
def test_what_object_detection_gives_besides_is_no_drawing_of_its_own(
    changed: dict[str, np.ndarray],
) -> None:
    part, _ = only(answers.parts(DETECTED | changed, {"images": PAGE}), "boxes")
    assert cells(part.html)[1] == ["0", "3", "0.900", "18.0", "6.0", "54.0", "30.0"]


def test_boxes_of_one_picture_need_no_batch() -> None:
    flat = {name: array[0] for name, array in DETECTED.items()}
    part, _ = only(answers.parts(flat, {"images": PAGE}, ["-", "one", "two", HTML]), "boxes")
    assert [row[1] for row in cells(part.html)[1:]] == [f"{HTML} (3)", "one (1)"]


def test_boxes_of_a_batch_lie_each_on_its_own_picture() -> None:
    many = {name: np.repeat(array, 6, axis=0) for name, array in DETECTED.items()}
    pages = np.arange(6, dtype=np.uint8)[:, None, None, None] * 10 + np.zeros((6, 60, 90, 1), "u1")
    shown = answers.parts(many, {"images": pages}, ())
    assert [each.title for each in shown] == [f"detection_boxes, example {n}" for n in range(4)]
    for number, each in enumerate(shown):
        assert tuple(Page(each.html).images()[0][-20, -20]) == (10 * number,) * 3
        assert "The first 4 of 6 examples." in each.html


PLAIN = {"boxes": DETECTED["detection_boxes"], "scores": DETECTED["detection_scores"]}
CLASSES = {"classes": DETECTED["detection_classes"]}


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (PLAIN, "Nothing tells whether x or y comes first."),
        (PLAIN | {"labels": CLASSES["classes"]}, "Nothing tells whether x or y comes first."),
        (PLAIN | CLASSES | {"boxes": PLAIN["boxes"] * PIXELS}, "Nothing tells whether x"),
        (DETECTED | {"detection_boxes": DETECTED["detection_boxes"] * 900}, "They are no corners"),
        (DETECTED | {"detection_boxes": DETECTED["detection_boxes"][..., ::-1]}, "no corners"),
        (DETECTED | {"detection_boxes": DETECTED["detection_boxes"] * np.nan}, "no corners"),
        (DETECTED | {"detection_scores": DETECTED["detection_scores"] * 9}, "not all from 0 to 1"),
        (DETECTED | {"detection_scores": DETECTED["detection_scores"] * np.nan}, "not all from 0"),
        ({name: np.repeat(each, 2, 0) for name, each in DETECTED.items()}, "are of 2 pictures"),
    ],
    ids=["plain", "labels", "pixels", "outside", "turned", "NaN", "logits", "no score", "batch"],
)
def test_boxes_that_may_be_read_in_two_ways_are_not_drawn(
    outputs: dict[str, np.ndarray], why: str
) -> None:
    _, page = only(answers.parts(outputs, {"images": PAGE}), "text")
    assert "are not drawn." in page.texts[0]
    assert why in page.texts[0]
    assert "img" not in page.found


def test_boxes_from_0_to_1_with_classes_are_read_as_tensorflow_has_them() -> None:
    part, _ = only(answers.parts(PLAIN | CLASSES, {"images": PAGE}), "boxes")
    assert cells(part.html)[1][3:] == ["18.0", "6.0", "54.0", "30.0"]


def test_boxes_without_a_picture_are_not_drawn() -> None:
    for inputs in ({}, {"x": np.zeros((1, 90))}, {"x": np.array([b"no picture"], object)}):
        _, page = only(answers.parts(DETECTED, inputs), "text")
        assert page.texts == ["detection_boxes are not drawn. No input is a picture."]


def test_no_sure_box_is_a_picture_without_boxes() -> None:
    unsure = DETECTED | {"detection_scores": DETECTED["detection_scores"] / 4}
    _, page = only(answers.parts(unsure, {"images": PAGE}), "boxes")
    assert (page.images()[0] != ORANGE).any(axis=-1).all()
    assert "0 boxes with a score of 0.5 or more, in pixels" in page.texts


@pytest.mark.parametrize(
    "sent",
    [
        PAGE / np.float32(255),
        (PAGE.astype(np.float32) - 118) * 3,  # as a network may want it
        np.array([png(PAGE[0])], object),
        np.moveaxis(PAGE, -1, 1),
        PAGE.astype(ml_dtypes.bfloat16),
    ],
    ids=["0 to 1", "shifted", "a file", "channels first", "bfloat16"],
)
def test_a_picture_that_was_sent_in_any_way_is_drawn_on(sent: np.ndarray) -> None:
    _, page = only(answers.parts(DETECTED, {"x": sent}), "boxes")
    [drawn] = page.images()
    factor = drawn.shape[0] // 60
    inside = drawn[33 * factor :: factor, 60 * factor :: factor].astype(float)
    wanted = PAGE[0, 33:, 60:].astype(float)
    assert np.corrcoef(inside.ravel(), wanted.ravel())[0, 1] > 0.99


def test_images_show_their_pixels_and_what_black_and_white_are() -> None:
    ramp = np.linspace(-3, 5, 64 * 64, dtype=np.float32).reshape(1, 64, 64, 1)
    _, page = only(answers.parts({"y": ramp}, {}), "image")
    [drawn] = page.images()
    assert (drawn[0, 0, 0], drawn[-1, -1, 0]) == (0, 255)
    assert "Black is -3, white is 5." in page.texts
    _, page = only(answers.parts({"y": PAGE}, {}), "image")
    np.testing.assert_array_equal(page.images()[0], PAGE[0])
    assert page.texts == []
    assert page.found["img"][0]["alt"] == "y: picture of 90 x 60 pixels, RGB"


def test_a_batch_of_images_shows_four_and_counts_all() -> None:
    _, page = only(answers.parts({HTML: np.repeat(PAGE, 9, 0)}, {}), "image")
    assert len(page.images()) == 4
    assert [each["alt"] for each in page.found["img"]][3].startswith(f"{HTML}, example 3: ")
    assert "The first 4 of 9 examples." in page.texts


def test_a_mask_of_classes_is_spread_over_grey() -> None:
    mask = RANDOM.integers(0, 21, (1, 64, 64, 1))
    _, page = only(answers.parts({"y": mask}, {}), "image")
    [drawn] = page.images()
    np.testing.assert_array_equal(drawn[..., 0], np.round(mask[0, ..., 0] * 255 / 20))
    assert "Black is 0, white is 20." in page.texts


@pytest.mark.parametrize(
    ("more", "rate", "told"),
    [
        ({}, 16000, "nothing says how many"),
        ({"sample_rate": np.array(22050)}, 22050, ""),
        ({"rate": np.array([24000.0])}, 24000, ""),
        ({"rate": np.array([0.5])}, 16000, "nothing says how many"),
        ({"learning_rate": np.array([24000, 1])}, 16000, "nothing says how many"),
    ],
)
def test_sounds_are_heard_as_they_are(more: dict[str, np.ndarray], rate: int, told: str) -> None:
    [part] = answers.parts({HTML: SINE * 0, "audio": SINE[None] * 0.5, **more}, {})[1:]
    page = Page(part.html)
    [speech] = page.sounds()
    assert speech.rate == rate
    np.testing.assert_allclose(speech.samples, SINE * 0.5, atol=1e-4)
    assert told in part.html
    assert page.found["audio"][0]["aria-label"] == "audio"
    assert "controls" in page.found["audio"][0]


def test_sound_files_tell_their_own_rates() -> None:
    files = [Speech(SINE, rate).wav() for rate in (8000, 22050, 8000, 8000, 8000)]
    _, page = only(answers.show({"audio": np.array(files, object)}), "sound")
    assert [each.rate for each in page.sounds()] == [8000, 22050, 8000, 8000]
    assert page.found["audio"][1]["aria-label"] == "audio, example 1"
    assert page.texts[-1] == "The first 4 of 5 examples."
    assert not any("nothing says" in text for text in page.texts)


def test_of_a_long_sound_the_beginning_is_carried_along() -> None:
    _, page = only(answers.show(Speech(np.zeros(3_000_000, np.float32), 48_000)), "sound")
    assert page.sounds()[0].seconds == 30
    assert page.texts == ["62.50 s, 48,000 samples a second. The first 30 s are here."]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([HTML], HTML),
        ([b"a\nb"], "a\nb"),
        (["数字 ☃".encode()], "数字 ☃"),
        ([b"\xff\x00" * 20], "40 bytes that are no text: ff 00 ff"),
        (["half \ud800 of it"], "half ? of it"),
        (["x" * 5000], "xx... and 3,000 more characters"),
        ([b""], ""),
    ],
)
def test_texts_are_shown_as_text(values: list, shown: str) -> None:
    part, page = only(answers.parts({"y": np.array(values, object)}, {}), "text")
    assert shown in "".join(page.texts)
    assert set(page.found) == {"pre"}
    part.html.encode()


def test_of_many_texts_the_first_are_shown() -> None:
    _, page = only(answers.parts({"y": np.array(["x"] * 5000, object)}, {}), "text")
    assert len(page.found["pre"]) == 20
    assert "The first 20 of 5,000 texts." in page.texts


@pytest.mark.parametrize(
    "row",
    [
        np.array([1, np.nan, np.inf, -np.inf, 2, 3, 4, 5, 6, 7.5]),
        np.array([1e299, -1e299] * 9),
        np.full(50, 7.0),
        np.arange(20, dtype=np.uint64) + 2**63,
        np.arange(5000, dtype=ml_dtypes.bfloat16),
        np.array([np.nan] * 4000 + [1.0]),
    ],
    ids=["holes", "huge", "one value", "uint64", "bfloat16", "one number"],
)
def test_any_series_can_be_drawn(row: np.ndarray) -> None:
    with warnings.catch_warnings(action="error"):
        _, page = only(answers.parts({"y": row}, {}), "series")
    assert len(page.images()) == 1
    assert page.found["img"][0]["alt"] == f"y: {row.size:,} values over their index as a line"


def test_a_peak_is_seen_among_millions_of_values() -> None:
    row = np.zeros(5_000_000, np.float32)
    flat = Page(answers.parts({"y": row}, {})[0].html).images()[0]
    row[3_210_123] = 1
    peak = Page(answers.parts({"y": row}, {})[0].html).images()[0]
    changed = (flat != peak).any(axis=-1)
    assert changed[:, 380:430].any()


def test_drawings_can_be_made_in_many_threads_at_once() -> None:
    import matplotlib.pyplot as plt

    open_figures = plt.get_fignums()
    alone = answers.parts(DETECTED | {"y": SINE}, {"images": PAGE})
    found: list[Any] = [None] * 8

    def draw(number: int) -> None:
        found[number] = answers.parts(DETECTED | {"y": SINE}, {"images": PAGE})

    threads = [threading.Thread(target=draw, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [alone] * 8
    assert plt.get_fignums() == open_figures


def test_of_very_many_outputs_some_are_drawn_and_the_table_has_all() -> None:
    many = {f"y{n:03}": np.arange(100.0) for n in range(200)}
    found = answers.parts(many, {})
    assert [each.kind for each in found] == ["series"] * 12 + ["text"]
    assert "188 more outputs are in the table." in found[-1].html
    assert len(Page(answers.table(many)).found["tr"]) == 201


@pytest.mark.parametrize(
    ("array", "row"),
    [
        (np.array([[1, np.nan], [3, -2]]), ["float64", "[2, 2]", "-2", "3", "1", "1  nan  3  -2"]),
        (np.array([np.inf, 1]), ["float64", "[2]", "1", "inf", "0", "inf  1"]),
        (np.array([np.nan]), ["float64", "[1]", "", "", "1", "nan"]),
        (np.array([np.nan, 1], np.float16), ["float16", "[2]", "1", "1", "1", "nan  1"]),
        (np.array([np.nan], ml_dtypes.bfloat16), ["bfloat16", "[1]", "", "", "1", "nan"]),
        (np.array([-2, 3], ml_dtypes.int4), ["int4", "[2]", "-2", "3", "0", "-2  3"]),
        (np.array(2**63, np.uint64), ["uint64", "[]", str(2**63), str(2**63), "0", str(2**63)]),
        (np.array([True, False]), ["bool", "[2]", "False", "True", "0", "True  False"]),
        (np.array([1j, np.nan]), ["complex128", "[2]", "", "", "1", "0+1j  nan+0j"]),
        (np.zeros((3, 0)), ["float64", "[3, 0]", "", "", "", ""]),
        (np.array([HTML.encode()], object), ["string", "[1]", "", "", "", repr(HTML)]),
        (np.array(b"\xff", object), ["string", "[]", "", "", "", r"'\\xff'"]),
        (np.arange(10), ["int64", "[10]", "0", "9", "0", "0  1  2  3  4  5  ... 4 more"]),
    ],
    ids=str,
)
def test_the_table_says_what_an_array_is(array: np.ndarray, row: list[str]) -> None:
    html = answers.table({HTML: array})
    page = Page(html)
    assert cells(html)[1] == [HTML, *row]
    assert HTML not in html
    assert [each["scope"] for each in page.found["th"]] == ["col"] * 7 + ["row"]
    assert len(page.found["caption"]) == 1


LARGE = 100_000_000  # bytes


@pytest.mark.parametrize(
    "dtype",
    [np.float32, np.float16, np.float64, np.uint8, ml_dtypes.bfloat16, ml_dtypes.int4, np.bool_],
    ids=lambda dtype: np.dtype(dtype).name,
)
def test_a_table_of_a_hundred_megabytes_finds_the_last_value(dtype: Any) -> None:
    wanted = np.dtype(dtype)
    array = np.zeros(LARGE // wanted.itemsize, wanted).reshape(-1, 10)
    array[-1, -1] = 1
    html = answers.table({"y": array})
    assert cells(html)[1][3:5] in (["0", "1"], ["False", "True"])


@pytest.mark.parametrize(
    "shape",
    [(LARGE // 4,), (1, LARGE // 4), (250, 100_000), (1, 2500, 3333, 3), (8, 1000, 1000, 3)],
    ids=str,
)
def test_what_is_drawn_of_a_hundred_megabytes_is_small(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    array[..., ::2] = 1
    found = answers.parts({"y": array}, {})
    text = answers.raw({"y": array})
    assert [each.kind for each in found] in (["series"], ["image"])
    assert sum(len(each.html) for each in found) < 1_000_000
    assert len(text) < 150_000
    assert max(Page(found[0].html).images()[0].shape) <= 640


OF_ML_DTYPES = [
    "bfloat16",
    "float8_e5m2",
    "float8_e4m3fn",
    "float8_e4m3b11fnuz",
    "float8_e5m2fnuz",
    "float4_e2m1fn",
    "int4",
    "uint4",
    "int2",
    "uint2",
]


@pytest.mark.parametrize("name", OF_ML_DTYPES)
def test_types_that_numpy_lacks_are_shown_as_numbers(name: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    ones = np.array([1, 0] * 50).astype(dtype)
    assert json.loads(answers.raw({"y": ones})) == {"y": [1, 0] * 50}
    assert [each.kind for each in answers.show({"y": ones})] == ["series"]
    assert cells(answers.table({"y": ones}))[1][1:6] == [name, "[100]", "0", "1", "0"]
    scores = ones[np.newaxis]
    kinds = ["series" if "int" in name else "scores"]
    assert [each.kind for each in answers.show({"scores": scores})] == kinds


@pytest.mark.parametrize("name", OF_ML_DTYPES)
def test_types_that_numpy_lacks_are_saved_as_bytes(name: str, tmp_path: Path) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    arrays = {"y": np.array([[1, 0]]).astype(dtype), "one": np.array(1).astype(dtype)}
    listings.save(str(tmp_path), "1-", arrays)
    for each, array in arrays.items():
        found = np.load(tmp_path / f"1-{each}.npy")
        assert found.dtype == np.dtype((np.void, dtype.itemsize))
        np.testing.assert_array_equal(found.view(dtype), array)


# What cannot be drawn


def wav(rate: int, samples: bytes = b"\0" * 800) -> bytes:
    form = struct.pack("<HHIIHH", 1, 1, rate, 0, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    body += struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("rate", [400_001, 2**31, 4_000_000_000])
def test_a_rate_that_nothing_plays_is_said(rate: int) -> None:
    for answer in ({"audio": np.array([wav(rate)], object)}, Speech.read(wav(rate))):
        _, page = only(answers.show(answer), "sound")
        assert page.sounds() == []
        assert page.texts == [f"No browser plays {rate:,} samples a second; it has 400 of them."]
    _, page = only(answers.show({"audio": np.array([wav(1)], object)}), "sound")
    assert page.sounds()[0].rate == 1


@pytest.mark.parametrize("text", ["x" * 1_100_000, "x\n" * 500_000, "W" * 61, "$x$" * 40])
def test_a_label_of_any_length_is_drawn_in_short(text: str) -> None:
    named = DETECTED | {"detection_classes": np.array([[text.encode(), b"b", b"c"]], object)}
    part, page = only(answers.show(named, {"images": PAGE}), "boxes")
    assert len(page.images()) == 1
    assert len(part.html) < 100_000
    assert cells(part.html)[2][1] == "b"
    short = f"{text[:60]}..."
    same = DETECTED | {"detection_classes": np.array([[short.encode(), b"b", b"c"]], object)}
    np.testing.assert_array_equal(
        Page(answers.show(same, {"images": PAGE})[0].html).images()[0], page.images()[0]
    )


def test_a_cell_of_a_table_is_short_and_says_how_much_more_there_is() -> None:
    long = "x" * 1_000_000
    for answer in ([Tag(long, 0.5)], {long: 5}, [{long: 1}]):
        [part] = answers.show(answer)
        assert "998,000 more characters" in part.html
        assert len(part.html) < 10_000


def test_what_cannot_be_drawn_is_said_and_the_rest_is_shown() -> None:
    nobody = np.array([[None] * 3], object)
    outputs = {HTML: SURE, "classes": nobody, "y": SINE[:99], "words": np.array([b"a"], object)}
    found = answers.show(outputs, {"images": PAGE})
    assert [(each.title, each.kind) for each in found] == [
        (HTML, "text"),
        ("y", "series"),
        ("words", "text"),
    ]
    [told] = Page(found[0].html).texts
    assert told.startswith(f"This cannot be drawn: {HTML}. (TypeError: ")
    [part] = answers.show([Tag("a", None)])  # type: ignore[arg-type]
    assert Page(part.html).texts[0].startswith("This cannot be drawn: answer. (TypeError: ")


@pytest.mark.filterwarnings("error")
def test_no_answer_is_too_odd() -> None:
    deep: Any = 7
    for _ in range(5000):
        deep = [deep]
    nil: Any = None
    for odd in (
        [Tag("a", nil)],
        [Tag(nil, 0.5)],
        [[Class("a", nil)]],
        [TextItem("a", (1, 2, 3, nil))],
        [TextItem(nil, (1, 2, 3, 4))],
        [deep],
        {"x": [deep]},
        [Tag("a", 0.5), None],
        [Face(1, 2, 3, 4), None],
        {"x": {1: "a"}},
        {None: 5},
        {"y": np.array([None], object)},
        {"y": np.array([{}], object)},
        np.array([None], object),
        {"y": np.full((1, 64, 64, 3), 1e300)},
        {"y": np.array(["2026-01-01"], "M8[D]")},
        {"y": np.zeros(3, [("a", int)])},
    ):
        for given in (None, png(PAGE[0]), {"images": PAGE}, {"x": np.array([None], object)}):
            for each in answers.show(odd, given):
                Page(each.html)


# Time


def test_a_table_of_json_is_neither_too_long_nor_too_wide() -> None:
    wide = [{f"field {n}": n for n in range(5000)}] * 300
    part, page = only(answers.show({"rows": wide}), "table")
    assert len(cells(part.html)) == 101
    assert cells(part.html)[0] == ["number", *(f"field {n}" for n in range(30))]
    assert "The first 100 of 300 rows." in page.texts
    assert "The first 30 of 5,000 fields." in page.texts


def test_a_sound_of_millions_of_samples_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = Speech.read

    def counted(file: bytes) -> Speech:
        read.append(len(file))
        return whole(file)

    monkeypatch.setattr(Speech, "read", counted)
    file = Speech(np.zeros(10_000_000, np.float32), 48_000).wav()
    _, page = only(answers.show({"audio": np.array([file], object)}), "sound")
    assert read == [len(file)]
    assert page.found["audio"][0]["aria-label"] == "audio"


def test_of_a_million_scores_the_highest_are_found() -> None:
    row = RANDOM.random((1, 1_000_000), np.float32)
    row[0, [400_001, 11]] = 1
    part, _ = only(answers.show({"scores": row}), "scores")
    assert [each[0] for each in cells(part.html)[1:3]] == ["11", "400001"]
    assert [float(each[1]) for each in cells(part.html)[1:]] == pytest.approx(
        np.sort(row[0])[:-11:-1], abs=1e-3
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_of_equal_scores_the_first_come_first(dtype: Any) -> None:
    row = np.zeros((2, 50), dtype)
    row[0, [40, 30, 20]] = [0.25, 0.5, 0.25]
    part, _ = only(answers.show({"scores": row}), "scores")
    first = [each[0] for each in cells(part.html)[1:11]]
    assert first == ["30", "20", "40", *map(str, range(7))]
    assert [each[0] for each in cells(part.html)[12:22]] == [*map(str, range(10))]


def test_a_picture_of_48_million_values_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    of_array = rasters.of_array

    def counted(name: str, array: np.ndarray, **more: bool) -> Any:
        read.append(name)
        return of_array(name, array, **more)

    monkeypatch.setattr(rasters, "of_array", counted)
    picture = RANDOM.random((1, 4000, 4000, 3), np.float32)
    _, page = only(answers.show({"image": picture}), "image")
    assert read == ["image"]
    assert page.images()[0].shape == (640, 640, 3)


# Raw


def test_raw_is_json_that_reads_back() -> None:
    outputs = {
        "scores": SURE,
        "text": np.array(["数", b"\xff", HTML.encode()], object),
        "odd": np.array([0.1, np.nan, np.inf], np.float32),
        "flag": np.array(True),
        "empty": np.zeros((0, 3)),
        "small": np.array([1.5, 2], ml_dtypes.bfloat16),
        "tiny": np.array([-2], ml_dtypes.int4),
        "complex": np.array([1 + 2j]),
        "half": np.array([0.1], np.float16),
        "long": RANDOM.random((20, 30)),
    }
    text = answers.raw(outputs)
    read = json.loads(text)
    assert read["scores"] == [[0.7, 0.2, 0.1]]
    assert read["text"] == ["数", {"b64": "/w=="}, HTML]
    assert read["odd"][0] == 0.1
    assert np.isnan(read["odd"][1])
    assert (read["flag"], read["empty"], read["small"]) == (True, [], [1.5, 2.0])
    assert (read["tiny"], read["complex"]) == ([-2], [[1.0, 2.0]])
    assert np.float16(read["half"][0]) == np.float16(0.1)
    assert read["long"] == outputs["long"].tolist()
    assert "数" in text
    assert max(map(len, text.splitlines())) < 900, "a row a line"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("hello", "hello"),
        ([Face(1, 2, 3, 4)], [{"x1": 1, "y1": 2, "x2": 3, "y2": 4}]),
        ([Tag("a", 0.5)], [{"name": "a", "confidence": 0.5}]),
        ([[Class("a", 0.5)]], [[{"label": "a", "score": 0.5}]]),
        (
            [TextItem("a", (1, 2, 3, 4), (0.5,))],
            [{"text": "a", "box": [1, 2, 3, 4], "confidences": [0.5]}],
        ),
        (np.array([[[1, 2]]]), [[[1, 2]]]),
        (Speech(np.array([0, 0.5], np.float32), 8000), {"samples": [0.0, 0.5], "rate": 8000}),
        ({"data": [{"x": None, "y": [True, 1.5]}]}, {"data": [{"x": None, "y": [True, 1.5]}]}),
        ({"x": "\ud800"}, {"x": "\ud800"}),
        ([], []),
        (None, None),
    ],
    ids=lambda each: str(each)[:30].encode("ascii", "replace").decode(),
)
def test_raw_takes_any_services_answer(answer: Any, expected: Any) -> None:
    text = answers.raw(answer)
    assert json.loads(text) == expected
    text.encode()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"y": np.zeros((1000, 1000)), "n": np.array([5])}, r"9\d\d,\d{3} values are left out"),
        ({"y": np.zeros(10**6), "n": np.array([5])}, r"9\d\d,\d{3} values are left out"),
        ({"y": np.array(["x" * 10**6], object), "n": np.array([5])}, r"9\d\d,\d{3} characters of"),
        ({"y": np.array(["x"] * 10**5, object), "n": np.array([5])}, r"\d\d,\d{3} values are left"),
        ({"y": [{"a": i, "b": [1, 2]} for i in range(10**5)], "n": [5]}, r"2\d\d,\d{3} values are"),
    ],
)
def test_a_long_answer_ends_early_and_says_by_how_much(answer: dict, told: str) -> None:
    text = answers.raw(answer)
    assert 50_000 < len(text) < 150_000
    shown, _, end = text.partition("\n\n")
    assert re.match(told, end)
    assert "The Python code of the preview gets all of them." in end
    read = json.loads(shown)
    assert read["n"] == [5], "what is long leaves room for the rest"
    if "values" in end:
        shown_and_not = count_of(read["y"]) + int(end.split()[0].replace(",", ""))
        assert shown_and_not == count_of(answer["y"])


def count_of(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.size
    inner = value.values() if isinstance(value, dict) else value
    return sum(map(count_of, inner)) if isinstance(value, dict | list) else 1


def test_json_within_json_ends_somewhere() -> None:
    deep: Any = 7
    for _ in range(900):
        deep = [deep, {"x": deep}] if _ < 10 else [deep]
    assert "values are left out" in answers.raw(deep)
    assert answers.show({"x": deep}) == []


# Other services


def test_ccais_answers_are_shown_on_the_picture(here: Any) -> None:
    picture = shared.two_faces()
    faces = ccai.detect_faces(here, picture)
    part, page = only(answers.show(faces, picture), "boxes")
    assert number_of(cells(part.html)[1]) == [0, *faces[0]]
    [drawn] = page.images()
    factor = drawn.shape[1] / 1024
    middle = round((faces[1].y1 + faces[1].y2) / 2 * factor)
    left = round(faces[1].x1 * factor)
    assert tuple(drawn[middle, left + 1]) == ORANGE
    points = ccai.facial_landmarks(here, picture)
    _, page = only(answers.show(points, picture), "boxes")
    x, y = (points[0, 0] * factor).round().astype(int)
    assert tuple(page.images()[0][y, x]) == (255, 255, 255)
    assert page.found["img"][0]["alt"] == "points: picture with 70 points"


def test_ccais_text_is_numbered_on_the_picture_and_written_beside(here: Any) -> None:
    picture = shared.written("Meeting\nat ten")
    found = ccai.ocr(here, picture)
    part, _ = only(answers.show(found, {"image": picture}), "boxes")
    assert [row[:2] for row in cells(part.html)[1:]] == [["0", "Meeting"], ["1", "at ten"]]
    assert number_of(cells(part.html)[1][2:]) == list(found[0].box)
    assert only(answers.show(found, None), "table")[1].found.keys() >= {"caption"}


def test_ccais_speech_plays_and_its_text_and_tags_are_shown(here: Any) -> None:
    speech = ccai.text_to_speech(here, "go")
    _, page = only(answers.show(speech, "go"), "sound")
    assert page.sounds()[0].rate == 22050
    np.testing.assert_allclose(page.sounds()[0].samples, np.clip(speech.samples, -1, 1), atol=1e-3)
    assert only(answers.show("hello <b>"), "text")[1].texts == ["hello <b>"]
    assert cells(only(answers.show([Tag("tea <b>", 0.8)]), "scores")[0].html)[1][0] == "tea <b>"
    assert "nothing was found" in answers.show(ccai.detect_faces(here, shared.blank()))[0].html


def test_faces_far_outside_of_the_picture_do_no_harm() -> None:
    far = [Face(-(10**30), -5, 10**30, 10**20), Face(9, 9, 2, 2)]
    assert len(only(answers.show(far, png(PAGE[0])), "boxes")[1].images()) == 1
    many = [Face(n, n, n + 5, n + 5) for n in range(5000)]
    part, _ = only(answers.show(many, png(PAGE[0])), "boxes")
    assert "The first 100 of 5,000 boxes." in part.html
    assert len(part.html) < 200_000


def test_modelarts_answers_are_shown_for_what_they_are() -> None:
    manager.up("modelarts")
    digit = (DATA / "images" / "digit.png").read_bytes()
    found = modelarts.infer_image(endpoints.load("modelarts", "practice-digits"), digit)
    kinds = {each.title: each for each in answers.show(found, digit)}
    assert cells(kinds["fields"].html)[1] == ["predicted_label", found["predicted_label"]]
    assert cells(kinds["scores"].html)[1][0] == found["predicted_label"]
    page = (DATA / "images" / "digits-02.png").read_bytes()
    found = modelarts.infer_image(endpoints.load("modelarts", "practice-detector"), page)
    part, _ = only(answers.show(found, {"images": page}), "boxes")
    sure = [n for n, score in enumerate(found["detection_scores"]) if score >= 0.5]
    ymin, xmin, ymax, xmax = found["detection_boxes"][sure[0]]
    assert number_of(cells(part.html)[1][3:]) == pytest.approx([xmin, ymin, xmax, ymax], abs=0.06)
    flower = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    body = {"data": {"req_data": [flower, flower]}}
    found = modelarts.infer_json(endpoints.load("modelarts", "practice"), body)
    rows = next(e for e in answers.show(found, body) if e.title == "data.resp_data")
    assert len(cells(rows.html)) == 3
    assert "predictresult" in cells(rows.html)[0]


def test_examples_get_a_table_of_classes_each_and_regression_a_table() -> None:
    rows = [[Class("a", 0.1), Class("b", 0.9)]] * 6
    part, page = only(answers.show(rows, [{"x": 1.0}] * 6), "scores")
    assert len(page.found["table"]) == 4
    assert cells(part.html)[1][0] == "b"
    part, _ = only(answers.show(np.array([1.5, 2.5], np.float32), []), "table")
    assert cells(part.html)[1][3:5] == ["1.5", "2.5"]


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [
        ({"y": [0.5, 0.25]}, []),
        ({"y": list(range(99))}, ["series"]),
        ({"probabilities": [[0.9, 0.1]]}, ["scores"]),
        ({"a": {"b": {"c": HTML}}, "d": None, "e": 5, "f": True}, ["table"]),
        ({"picture": base64.b64encode(png(PAGE[0])).decode()}, ["image"]),
        ({"speech": base64.b64encode(Speech(SINE, 8000).wav()).decode()}, ["sound"]),
        ({"speech": f"UklGR{'x' * 500}"}, ["text"]),
        ({"x": "iVBORw0KGgo"}, ["table"]),
        ({"lines": ["a", HTML]}, ["text"]),
        ({"scores": [["a", 0.5], [HTML, 2]]}, []),
        ({"rows": [{"a": 1}, {HTML: HTML}]}, ["table"]),
        ({"rows": [{"a": {"b": 1}}]}, []),
        ({"mixed": [1, "a", None], "ragged": [[1], [2, 3]], "huge": [10**40]}, []),
        ([{"a": 1}], ["table"]),
        ({"none": []}, []),
        ({}, []),
        (5, []),
        (None, []),
        ({"half": "\ud800" * 300}, ["text"]),
    ],
    ids=lambda each: str(each)[:40].encode("ascii", "replace").decode(),
)
def test_any_json_is_shown_or_left_to_the_raw_text(answer: Any, kinds: list[str]) -> None:
    found = answers.show(answer, {"data": 1})
    assert [each.kind for each in found] == kinds
    for each in found:
        assert HTML not in each.html
        Page(each.html)
        each.html.encode()


@pytest.mark.parametrize(
    "given", [None, b"", b"no picture", "text", 5, {}, [{"x": 1.0}], {"x": "y"}]
)
def test_whatever_was_sent_an_answer_is_shown(given: Any) -> None:
    assert only(answers.show({"scores": SURE}, given), "scores")
    assert only(answers.show([Face(1, 2, 3, 4)], given), "table")
    assert only(answers.show(DETECTED, given), "text")


def test_the_shipped_detectors_answer_is_drawn() -> None:
    manager.up("tfserving")
    endpoint = endpoints.load("tfserving").replace(model="digits_detector")
    pixels = np.asarray(Image.open(DATA / "images" / "digits-01.png"), np.float32)
    inputs = {"images": pixels.reshape(1, 96, 96, 1) / 255}
    outputs = tfserving.predict(endpoint, inputs, signature_name="detected_model")
    part, page = only(answers.show(outputs, inputs), "boxes")
    sure = np.flatnonzero(outputs["detection_scores"][0] >= 0.5)
    ymin, xmin, ymax, xmax = outputs["detection_boxes"][0, sure[0]] * 96
    assert number_of(cells(part.html)[1][3:]) == pytest.approx([xmin, ymin, xmax, ymax], abs=0.06)
    assert cells(part.html)[1][1] == f"{outputs['detection_classes'][0, sure[0]]:g}"
    assert page.images()[0].shape == (384, 384, 3)


@pytest.mark.parametrize("names", [[HTML], ["a b", "ü", "", "x" * 5000], ["$x$", "\x00"]])
def test_names_of_outputs_are_escaped_everywhere(names: list[str]) -> None:
    for array in (SURE, SINE[:99], PAGE[:, :9, :9], np.array([b"x"], object)):
        outputs: Mapping[str, Any] = dict.fromkeys(names, array)
        for each in answers.parts(outputs, outputs):
            assert HTML not in each.html
            Page(each.html)
        assert set(json.loads(answers.raw(outputs))) == set(names)
        assert HTML not in answers.table(outputs, HTML)


def test_the_default_signatures_answer_of_every_shipped_model_is_shown() -> None:
    manager.up("tfserving")
    endpoint = endpoints.load("tfserving")
    for model, kinds in {"digits": ["scores"], "iris": ["scores"]}.items():
        there = endpoint.replace(model=model)
        signature = tfserving.signatures(there)[DEFAULT_SIGNATURE]
        inputs = {
            name: np.zeros([1 if size < 0 else size for size in spec.shape or ()], spec.dtype)
            for name, spec in signature.inputs.items()
        }
        assert [p.kind for p in answers.show(tfserving.predict(there, inputs), inputs)] == kinds


@pytest.mark.parametrize(
    "content",
    [b"", b"[1, 2]", b"[", b'{"a": "b"}', b'{"a": -1}', b'{"1000000": "a"}', b"\xff", b"{}"],
)
def test_what_is_no_label_file_is_told(content: bytes) -> None:
    with pytest.raises(BadInput, match="one name a line"):
        labels.read(content)
