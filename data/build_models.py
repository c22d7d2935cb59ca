"""Trains the small models and draws the pictures that the chapters use.

Everything is made from the digits and iris that come inside scikit-learn; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # its sums differ from one processor to the next

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import flexbuffers
from PIL import Image
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import train_test_split
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

SEED = 8500
CANVAS = 96  # pixels on each side of a picture
CELL = 4  # pixels on each side of a heat map cell
CELLS = CANVAS // CELL
DETECTIONS = 10  # per picture, as many as the detector ever answers
THRESHOLD = 0.5  # a detection with a lower score does not count
DIGIT_SPEC = tf.TensorSpec([None, 8, 8, 1], tf.float32, name="images")
IRIS_FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SPECIES = ["setosa", "versicolor", "virginica"]

DATA = Path(__file__).resolve().parent
MODELS = DATA / "models"
IMAGES = DATA / "images"
LABELLED = DATA / "labelled"

Scores = dict[str, float]


class Canvas(NamedTuple):
    """A grey picture and the digits on it."""

    pixels: np.ndarray  # float32 [96, 96], 0..1
    boxes: np.ndarray  # float32 [digits, 4], ymin, xmin, ymax, xmax in 0..1
    digits: np.ndarray  # int64 [digits]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        choices=list(STEPS),
        action="append",
        help="make this part only; may be given more than once (default: all)",
    )
    chosen = parser.parse_args().only or list(STEPS)
    # Operations that answer the same each time make a second run give the same weights.
    tf.config.experimental.enable_op_determinism()
    for name in chosen:
        print(f"\n== {name} ==", flush=True)
        started = time.perf_counter()
        # A model comes out the same, names of layers included, whatever was made before it.
        keras.utils.clear_session()
        keras.utils.set_random_seed(SEED)
        scores = STEPS[name]()
        print(f"{name}: {scores} in {time.perf_counter() - started:.0f} s", flush=True)
        if scores:
            note_scores(name, scores)


def note_scores(name: str, scores: Scores) -> None:
    """Put one model's scores into scores.json and leave the others' there."""
    path = MODELS / "scores.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = {score: round(value, 9) for score, value in scores.items()}
    path.write_text(json.dumps(dict(sorted(known.items())), indent=2) + "\n")


# ------------------------------------------------------------------ digits_detector


def build_detector() -> Scores:
    """A centre heat map detector after CenterNet (https://arxiv.org/abs/1904.07850)."""
    train = draw_canvases("train", 4000, SEED)
    held_out = draw_canvases("held-out", 500, SEED)
    model = centre_net()
    print(f"{model.count_params():,} weights", flush=True)
    epochs = 20
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(train) // 16)
    model.compile(keras.optimizers.Adam(rate), loss=centre_loss)
    targets = np.stack([centre_target(canvas) for canvas in train])
    model.fit(stack(train), targets, batch_size=16, epochs=epochs, verbose=2)

    def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return decode(model(images, training=False))

    spec = tf.TensorSpec([None, CANVAS, CANVAS, 1], tf.float32, name="images")
    folder = save(model, "digits_detector", "detected_model", detect, spec)
    images = stack(held_out)
    answers = run_litert(folder, "detected_model", images=images)
    precision, recall = precision_and_recall(answers, held_out)
    return {
        "precision": precision,
        "recall": recall,
        "litert_difference": litert_difference(folder, "detected_model", images=images),
    }


def centre_net() -> keras.Model:
    """For each cell: is it a digit's centre, which digit; offset y and x, height and width."""
    images = keras.Input((CANVAS, CANVAS, 1))
    half = block(images, 16, strides=2)
    fine = refine(block(half, 40, strides=2))
    # A cell must see a whole digit, up to 44 pixels: look at a coarser map too.
    coarse = refine(refine(block(fine, 56, strides=2)))
    both = keras.layers.Concatenate()([fine, keras.layers.UpSampling2D(2)(coarse)])
    both = refine(refine(block(both, 48)))
    # Most cells hold no digit: start there, or the first steps only unlearn false alarms.
    rare = keras.initializers.Constant(-2.2)
    heat = keras.layers.Conv2D(1, 1, activation="sigmoid", bias_initializer=rare)(both)
    # CenterNet has a heat map per class; one for all and a choice of ten learn much faster.
    digit = keras.layers.Conv2D(10, 1, activation="softmax")(both)
    place = keras.layers.Conv2D(4, 1)(both)
    return keras.Model(images, keras.layers.Concatenate()([heat, digit, place]))


def block(x: tf.Tensor, filters: int, strides: int = 1) -> tf.Tensor:
    x = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    # The default momentum of 0.99 would need more steps than we train.
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.layers.ReLU()(x)


def refine(x: tf.Tensor) -> tf.Tensor:
    """Another look at the same map; separable, which needs few weights."""
    y = keras.layers.SeparableConv2D(x.shape[-1], 3, padding="same", use_bias=False)(x)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def centre_target(canvas: Canvas) -> np.ndarray:
    """What the net should say, and in the last channel 1 at the centres."""
    target = np.zeros((CELLS, CELLS, 16), np.float32)
    rows, columns = np.mgrid[:CELLS, :CELLS]
    for (ymin, xmin, ymax, xmax), digit in zip(canvas.boxes, canvas.digits, strict=True):
        y, x = (ymin + ymax) / 2 * CELLS, (xmin + xmax) / 2 * CELLS
        row, column = int(y), int(x)
        hill = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2)
        target[..., 0] = np.maximum(target[..., 0], hill)
        target[row, column, 1 + digit] = 1
        target[row, column, 11:] = y - row, x - column, ymax - ymin, xmax - xmin, 1
    return target


def centre_loss(target: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
    """Focal loss on the heat map; at the true centres, cross entropy and absolute error."""
    sure = tf.clip_by_value(answer[..., :11], 1e-4, 1 - 1e-4)
    wanted, heat = target[..., :1], sure[..., :1]
    centre = target[..., 15:]
    hits = centre * (1 - heat) ** 2 * tf.math.log(heat)
    misses = (1 - centre) * (1 - wanted) ** 4 * heat**2 * tf.math.log(1 - heat)
    named = target[..., 1:11] * tf.math.log(sure[..., 1:])
    # Heights and widths are fractions of the picture, ten times smaller than the offsets.
    weight = tf.constant([1.0, 1.0, 10.0, 10.0])
    error = centre * weight * tf.abs(target[..., 11:15] - answer[..., 11:])
    parts = [tf.reduce_sum(part) for part in (error, -hits, -misses, -named)]
    return tf.add_n(parts) / tf.maximum(tf.reduce_sum(centre), 1)


def decode(answer: tf.Tensor) -> dict[str, tf.Tensor]:
    """The ten highest peaks of the heat map as boxes, best first."""
    heat = answer[..., :1]
    peak = tf.cast(heat == tf.nn.max_pool2d(heat, 3, 1, "SAME"), tf.float32)
    # A score means: here is a digit and it is this one.
    heat = heat * peak * tf.reduce_max(answer[..., 1:11], axis=-1, keepdims=True)
    scores, cells = tf.math.top_k(tf.reshape(heat, [-1, CELLS * CELLS]), DETECTIONS)
    classes = tf.argmax(answer[..., 1:11], axis=-1, output_type=tf.int32)
    classes = tf.gather(tf.reshape(classes, [-1, CELLS * CELLS]), cells, batch_dims=1)
    place = tf.reshape(answer[..., 11:], [-1, CELLS * CELLS, 4])
    offset_y, offset_x, height, width = tf.unstack(tf.gather(place, cells, batch_dims=1), axis=-1)
    y = (tf.cast(cells // CELLS, tf.float32) + offset_y) / CELLS
    x = (tf.cast(cells % CELLS, tf.float32) + offset_x) / CELLS
    boxes = tf.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=-1)
    return {
        "detection_boxes": tf.clip_by_value(boxes, 0.0, 1.0),
        "detection_scores": scores,
        # Numbers with a point, as TensorFlow's own object detection models answer.
        "detection_classes": tf.cast(classes, tf.float32),
    }


def precision_and_recall(
    answers: dict[str, np.ndarray], canvases: list[Canvas]
) -> tuple[float, float]:
    """A detection is right when digit and place are: intersection over union at least 0.5."""
    right = found = wanted = 0
    for index, canvas in enumerate(canvases):
        wanted += len(canvas.digits)
        left = list(range(len(canvas.digits)))
        sure = answers["detection_scores"][index] >= THRESHOLD
        found += int(sure.sum())
        boxes = answers["detection_boxes"][index][sure]
        classes = answers["detection_classes"][index][sure]
        for box, digit in zip(boxes, classes, strict=True):
            for one in left:
                if canvas.digits[one] == digit and overlap(box, canvas.boxes[one]) >= 0.5:
                    left.remove(one)
                    right += 1
                    break
    return right / max(found, 1), right / max(wanted, 1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union."""
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


# ------------------------------------------------------------------ canvases and pictures


def digits_of(part: str) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's digits, 0..1; the "held-out" quarter is never trained on."""
    pixels, digits = load_digits(return_X_y=True)
    pixels = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
    halves = train_test_split(pixels, digits, test_size=0.25, random_state=SEED, stratify=digits)
    return (halves[0], halves[2]) if part == "train" else (halves[1], halves[3])


def draw_canvases(part: str, count: int, seed: int) -> list[Canvas]:
    pixels, digits = digits_of(part)
    random = np.random.default_rng(seed)
    # One in twenty is empty: the detector must learn to say nothing.
    sizes = random.choice(5, count, p=[0.05, 0.2, 0.25, 0.25, 0.25])
    return [draw_canvas(pixels, digits, int(size), random) for size in sizes]


def draw_canvas(
    pixels: np.ndarray, digits: np.ndarray, size: int, random: np.random.Generator
) -> Canvas:
    """Digits like chalk on a board, unevenly lit, a little noisy."""
    chalk = np.zeros((CANVAS, CANVAS), np.float32)
    boxes: list[list[int]] = []
    shown: list[int] = []
    while len(shown) < size:
        chosen = int(random.integers(len(digits)))
        glyph = write(pixels[chosen], random)
        height, width = glyph.shape
        top, left = random.integers(1, CANVAS - np.array(glyph.shape))
        box = [int(top), int(left), int(top + height), int(left + width)]
        if any(touches(box, other) for other in boxes):
            continue
        chalk[box[0] : box[2], box[1] : box[3]] = glyph
        boxes.append(box)
        shown.append(int(digits[chosen]))
    corners = random.uniform(0.05, 0.3, (2, 2)).astype(np.float32)
    board = np.asarray(Image.fromarray(corners).resize((CANVAS, CANVAS), Image.Resampling.BILINEAR))
    picture = board + chalk * (random.uniform(0.6, 1) - board)
    picture = picture + random.normal(0, random.uniform(0.01, 0.05), picture.shape)
    # Rounded to the 256 greys of a PNG, so that a picture is the same in a file.
    picture = np.round(np.clip(picture, 0, 1) * 255) / 255
    places = np.array(boxes, np.float32).reshape(-1, 4) / CANVAS
    return Canvas(picture.astype(np.float32), places, np.array(shown, np.int64))


def write(digit: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The digit without its empty margin, enlarged: its box is the box of its ink."""
    ink = digit > 0.1
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = random.uniform(20, 44) / 8
    height = round(digit.shape[0] * scale)
    width = round(digit.shape[1] * scale * random.uniform(0.85, 1.15))
    large = Image.fromarray(digit).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large), 0, 1)


def touches(a: list[int], b: list[int]) -> bool:
    gap = 2
    return a[0] < b[2] + gap and b[0] < a[2] + gap and a[1] < b[3] + gap and b[1] < a[3] + gap


def stack(canvases: list[Canvas]) -> np.ndarray:
    return np.stack([canvas.pixels for canvas in canvases])[..., np.newaxis]


def build_images() -> Scores:
    """Ten pictures of digits that no model was trained on, and where the digits are."""
    shutil.rmtree(IMAGES, ignore_errors=True)
    IMAGES.mkdir(parents=True)
    pixels, digits = digits_of("held-out")
    random = np.random.default_rng(SEED + 7)
    rows = []
    for index, size in enumerate([1, 2, 3, 4, 2, 3, 4, 1, 4, 0], start=1):
        canvas = draw_canvas(pixels, digits, size, random)
        name = f"digits-{index:02}.png"
        Image.fromarray(np.round(canvas.pixels * 255).astype(np.uint8)).save(IMAGES / name)
        for box, digit in zip(canvas.boxes, canvas.digits, strict=True):
            rows.append([name, *(f"{edge:.6f}" for edge in box), int(digit)])
    with (IMAGES / "boxes.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["image", "ymin", "xmin", "ymax", "xmax", "digit"])
        table.writerows(rows)
    return {}


# ------------------------------------------------------------------ labelled digits


def build_labelled() -> Scores:
    """The digits that no model was trained on, as the digit models take them, and their names."""
    shutil.rmtree(LABELLED, ignore_errors=True)
    LABELLED.mkdir(parents=True)
    pixels, digits = digits_of("held-out")
    np.save(LABELLED / "digits.npy", pixels[..., np.newaxis].astype(np.float16))  # exact: n / 16
    np.savetxt(LABELLED / "digits.csv", digits, "%d", header="digit", comments="")
    return {}


# ------------------------------------------------------------------ digits


def build_digits() -> Scores:
    pixels, digits = digits_of("train")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(pixels[..., np.newaxis], digits, batch_size=32, epochs=40, verbose=2)

    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = model(images, training=False)
        return {"probabilities": probabilities, "classes": tf.argmax(probabilities, axis=-1)}

    folder = save(model, "digits", "serving_default", classify, DIGIT_SPEC)
    return digit_scores(folder)


def build_digits_2() -> Scores:
    """A second version that is better: more layers, and no digit is shown the same way twice."""
    pixels, digits = digits_of("train")
    net = train_digit_net(pixels, digits, epochs=60)
    folder = save(net, "digits", "serving_default", answers_of(net), DIGIT_SPEC, version=2)
    return digit_scores(folder)


def digit_scores(folder: Path) -> Scores:
    pixels, digits = digits_of("held-out")
    images = pixels[..., np.newaxis]
    answers = run_litert(folder, "serving_default", images=images)
    return {
        "accuracy": float(np.mean(answers["classes"] == digits)),
        "litert_difference": litert_difference(folder, "serving_default", images=images),
    }


def train_digit_net(pixels: np.ndarray, digits: np.ndarray, epochs: int) -> keras.Model:
    layers = keras.layers
    net = keras.Sequential([keras.Input((8, 8, 1))])
    for filters in (24, 32):
        for _ in range(2):
            net.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
            net.add(layers.BatchNormalization(momentum=0.9))
            net.add(layers.ReLU())
        net.add(layers.MaxPooling2D())
    net.add(layers.Flatten())
    net.add(layers.Dropout(0.3))
    net.add(layers.Dense(10, activation="softmax"))
    # Only while training: what is saved is the net alone.
    other_hands = [
        layers.RandomRotation(0.03, fill_mode="constant"),
        layers.RandomZoom((-0.1, 0.1), (-0.1, 0.1), fill_mode="constant"),
        layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *other_hands, net])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * len(pixels) // 32)
    model.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(pixels[..., np.newaxis], digits, batch_size=32, epochs=epochs, verbose=2)
    return net


def answers_of(net: keras.Model) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = net(images, training=False)
        return {"probabilities": probabilities, "classes": tf.argmax(probabilities, axis=-1)}

    return classify


# ------------------------------------------------------------------ digits_encoded


def build_digits_encoded() -> Scores:
    """Takes image files: what a file needs before the net sees it is part of the graph."""
    contents, digits = draw_files("train", 4000, SEED + 11)
    pixels = tf.map_fn(sheet_of, tf.constant(contents), fn_output_signature=tf.float32)
    net = train_digit_net(pixels.numpy()[..., 0], digits, epochs=30)
    answer = answers_of(net)

    def classify(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(tf.map_fn(sheet_of, image_bytes, fn_output_signature=tf.float32))

    spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    folder = save(net, "digits_encoded", "serving_default", classify, spec, tflite=False)
    contents, digits = draw_files("held-out", 500, SEED + 12)
    run = tf.saved_model.load(str(folder)).signatures["serving_default"]
    answers = run(image_bytes=tf.constant(contents))["classes"].numpy()
    return {"accuracy": float(np.mean(answers == digits))}


def sheet_of(content: tf.Tensor) -> tf.Tensor:
    """The digit of one image file as the training digits are: 8x8, 0 paper to 1 ink."""
    grey = tf.io.decode_image(content, channels=1, expand_animations=False)
    grey = tf.cast(grey[..., 0], tf.float32) / 255
    border = tf.sort(tf.concat([grey[0], grey[-1], grey[:, 0], grey[:, -1]], axis=0))
    # Whatever differs from the paper is ink, so chalk is as good as a pencil.
    ink = tf.abs(grey - border[tf.size(border) // 2])
    ink = tf.math.divide_no_nan(ink, tf.reduce_max(ink))
    ink = tf.nn.relu(ink - 0.15) / 0.85  # paper is not even
    top, bottom = edges(tf.reduce_any(ink > 0.2, axis=1))
    left, right = edges(tf.reduce_any(ink > 0.2, axis=0))
    ink = ink[top:bottom, left:right]
    # As high as the sheet and in the middle of it.
    margin = tf.nn.relu((bottom - top) - (right - left)) // 2
    ink = tf.pad(ink, [[0, 0], [margin, margin]])
    return tf.image.resize(ink[..., tf.newaxis], (8, 8), method="area")


def edges(marked: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the first mark is, and where the last one ends; all of it when there is none."""
    marks = tf.cast(marked, tf.int32)
    first = tf.argmax(marks, output_type=tf.int32)
    last = tf.argmax(marks[::-1], output_type=tf.int32)
    return first, tf.size(marks) - last


def draw_files(part: str, count: int, seed: int) -> tuple[list[bytes], np.ndarray]:
    """PNG and JPEG files of digits cut out of pictures, every other one dark on light."""
    files: list[bytes] = []
    digits: list[int] = []
    for canvas in draw_canvases(part, count, seed):
        picture = Image.fromarray(np.round(canvas.pixels * 255).astype(np.uint8))
        for (ymin, xmin, ymax, xmax), digit in zip(canvas.boxes, canvas.digits, strict=True):
            half = max(ymax - ymin, xmax - xmin) * CANVAS / 2 + 3
            y, x = (ymin + ymax) * CANVAS / 2, (xmin + xmax) * CANVAS / 2
            left, top = round(float(x - half)), round(float(y - half))
            right, bottom = round(float(x + half)), round(float(y + half))
            if min(left, top) < 0 or max(right, bottom) > CANVAS:
                continue
            cut = picture.crop((left, top, right, bottom))
            if len(files) % 2:
                cut = Image.eval(cut, lambda grey: 255 - grey)
            file = io.BytesIO()
            cut.save(file, "JPEG" if len(files) % 4 < 2 else "PNG")
            files.append(file.getvalue())
            digits.append(int(digit))
    return files, np.array(digits)


# ------------------------------------------------------------------ iris


def build_iris() -> Scores:
    train, held_out, wanted, truth = flowers()
    model = train_iris_net(train, wanted)

    def classify(features: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(features, training=False)}

    spec = tf.TensorSpec([None, 4], tf.float32, name="features")
    folder = save(model, "iris", "serving_default", classify, spec)
    answers = run_litert(folder, "serving_default", features=held_out)
    return {
        "accuracy": float(np.mean(answers["probabilities"].argmax(axis=-1) == truth)),
        "litert_difference": litert_difference(folder, "serving_default", features=held_out),
    }


def flowers() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Fisher's irises to train with and to test with, and the species of both."""
    features, species = load_iris(return_X_y=True)
    train, held_out, wanted, truth = train_test_split(
        features.astype(np.float32), species, test_size=0.2, random_state=SEED, stratify=species
    )
    return train, held_out, wanted, truth


def train_iris_net(train: np.ndarray, wanted: np.ndarray) -> keras.Model:
    # Inside the graph, so that a caller sends plain centimetres.
    normalization = keras.layers.Normalization()
    normalization.adapt(train)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            normalization,
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(train, wanted, batch_size=16, epochs=60, verbose=2)
    return model


# ------------------------------------------------------------------ iris_examples


def build_iris_examples() -> Scores:
    """A model in the manner of TensorFlow 1, which takes serialized examples.

    Only such a graph can have several signatures of one input, as MultiInference needs it, and
    methods other than predict.
    """
    train, held_out, wanted, truth = flowers()
    net = train_iris_net(train, wanted)
    # The petal's width from the other three lengths and a constant: least squares.
    others = np.column_stack([train[:, :3], np.ones(len(train))])
    line = np.linalg.lstsq(others, train[:, 3], rcond=None)[0].astype(np.float32)
    normalization, *dense = net.layers
    parts = [
        normalization.mean,
        normalization.variance,
        *(part for d in dense for part in d.weights),
    ]
    weights = [keras.ops.convert_to_numpy(part) for part in parts]
    folder = new_folder("iris_examples")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = iris_signatures(weights, line)
        session.run(tf.compat.v1.global_variables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    run = tf.saved_model.load(str(folder)).signatures["predict"]
    answers = run(features=tf.constant(held_out))
    return {
        "accuracy": float(np.mean(answers["probabilities"].numpy().argmax(axis=-1) == truth)),
        "petal_width_error": float(np.abs(answers["petal_width"] - held_out[:, 3:]).mean()),
    }


def iris_signatures(
    weights: list[np.ndarray], line: np.ndarray
) -> dict[str, meta_graph_pb2.SignatureDef]:
    v1 = tf.compat.v1
    examples = v1.placeholder(tf.string, [None], name="examples")
    features = v1.placeholder(tf.float32, [None, 4], name="features")
    lengths = {name: tf.io.FixedLenFeature([], tf.float32) for name in IRIS_FEATURES}
    parsed = tf.io.parse_example(examples, lengths)
    # A flower's petal width is not asked for where it is to be told.
    parsed_others = tf.io.parse_example(examples, {n: lengths[n] for n in IRIS_FEATURES[:3]})
    variables = [
        v1.get_variable(f"weight_{index}", initializer=weight)
        for index, weight in enumerate(weights)
    ]
    slope = v1.get_variable("line", initializer=line[:, np.newaxis])

    def probabilities(flowers: tf.Tensor) -> tf.Tensor:
        mean, variance, kernel, bias, last_kernel, last_bias = variables
        hidden = tf.nn.relu((flowers - mean) / tf.sqrt(variance) @ kernel + bias)
        return tf.nn.softmax(hidden @ last_kernel + last_bias)

    def width(lengths: tf.Tensor) -> tf.Tensor:
        return lengths @ slope[:3] + slope[3]

    scores = probabilities(tf.stack([parsed[name] for name in IRIS_FEATURES], axis=1))
    classes = tf.tile(tf.constant([SPECIES]), [tf.shape(scores)[0], 1])
    three = tf.stack([parsed_others[name] for name in IRIS_FEATURES[:3]], axis=1)
    make = v1.saved_model
    classify = make.classification_signature_def(examples, classes, scores)
    return {
        "serving_default": classify,
        "classify": classify,
        "regress": make.regression_signature_def(examples, width(three)),
        "predict": make.predict_signature_def(
            {"features": features},
            {"probabilities": probabilities(features), "petal_width": width(features[:, :3])},
        ),
    }


# ------------------------------------------------------------------ saving and checking


def save(
    model: keras.Model,
    name: str,
    signature: str,
    function: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    spec: tf.TensorSpec,
    *,
    version: int = 1,
    tflite: bool = True,
) -> Path:
    """Write a version of a model, as SavedModel and as TFLite, with this one signature."""
    folder = new_folder(name, version)
    module = tf.Module()
    # tf.Module does not look into Keras 3 models; what it does not find is saved as NaN.
    module.weights = [variable.value for variable in model.variables]
    concrete = tf.function(function, input_signature=[spec]).get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures={signature: concrete})
    if not any((folder / "assets").iterdir()):
        (folder / "assets").rmdir()  # git keeps no empty folders
    if not tflite:
        return folder
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[signature])
    (folder / "model.tflite").write_bytes(add_signature_metadata(converter.convert()))
    return folder


def new_folder(name: str, version: int = 1) -> Path:
    folder = MODELS / name / str(version)
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def add_signature_metadata(content: bytes) -> bytes:
    """Tell the signature the way TensorFlow Serving reads it from a .tflite file.

    It does not look at TFLite's own signature table, but at a flexbuffer of serialized
    SignatureDefs: tensorflow/lite/tools/signature/signature_def_util.cc.
    """
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    builder = flexbuffers.Builder()
    with builder.Map():
        for entry in model.signatureDefs:
            definition = signature_def(entry, model.subgraphs[entry.subgraphIndex])
            # The C++ reader takes it for a C string, which ends at the first zero byte.
            assert b"\0" not in definition
            builder.Key(entry.signatureKey.decode())
            # What String() does once it has text as bytes; these bytes are no text, and the
            # reader takes no Blob().
            builder._WriteBlob(definition, append_zero=True, type_=flexbuffers.Type.STRING)
    buffer, metadata = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(builder.Finish(), np.uint8)
    metadata.name = b"signature_defs_metadata"
    metadata.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), metadata]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def signature_def(entry: schema.SignatureDefT, subgraph: schema.SubGraphT) -> bytes:
    """The entry of TFLite's signature table as a serialized SignatureDef."""
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    types = {
        schema.TensorType.FLOAT32: types_pb2.DT_FLOAT,
        schema.TensorType.INT64: types_pb2.DT_INT64,
    }
    for maps, infos in ((entry.inputs, definition.inputs), (entry.outputs, definition.outputs)):
        for item in maps:
            tensor = subgraph.tensors[item.tensorIndex]
            # The converter's name may end in ":1", which older TensorFlow Servings cut off.
            tensor.name = item.name
            info = infos[item.name.decode()]
            info.name = tensor.name.decode()
            info.dtype = types[tensor.type]
            shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
            for size in shape:
                info.tensor_shape.dim.add(size=int(size))
    return definition.SerializeToString(deterministic=True)


def run_litert(folder: Path, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    interpreter = Interpreter(str(folder / "model.tflite"))
    return interpreter.get_signature_runner(signature)(**inputs)


def litert_difference(folder: Path, signature: str, **inputs: np.ndarray) -> float:
    """The largest difference between LiteRT's and TensorFlow's answers."""
    lite = run_litert(folder, signature, **inputs)
    loaded = tf.saved_model.load(str(folder))
    full = loaded.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
    assert lite.keys() == full.keys()
    return max(float(np.abs(lite[name] - full[name].numpy()).max()) for name in lite)


STEPS: dict[str, Callable[[], Scores]] = {
    "images": build_images,
    "labelled": build_labelled,
    "digits_detector": build_detector,
    "digits": build_digits,
    "digits_2": build_digits_2,
    "digits_encoded": build_digits_encoded,
    "iris": build_iris,
    "iris_examples": build_iris_examples,
}

if __name__ == "__main__":
    main()
