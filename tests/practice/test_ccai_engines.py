"""The engines behind CCAI: what they find, that they repeat themselves, and what they refuse."""

import csv
import subprocess
import sys
import wave
from collections.abc import Callable
from concurrent import futures
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest

from practice.ccai.engines import EngineFailed
from practice.ccai.engines.digits import NAMES, Digits, prepared
from practice.ccai.engines.faces import FaceFinder, squared
from practice.ccai.engines.hearing import Listener
from practice.ccai.engines.landmarks import INDICES, Landmarks
from practice.ccai.engines.reading import Line, Reader
from practice.ccai.engines.speaking import Speaker
from practice.host import waiting
from tests.ccai import DATA

FRAME = 640  # bytes, 20 ms
PAUSE = bytes(2 * 16000)  # a second of nothing
STRANGE_SIZES = [(1, 1), (1, 5000), (5000, 1), (3, 200), (400, 4)]
EAR, CHIN, OTHER_EAR = 18, 26, 34

strange_sizes = pytest.mark.parametrize("size", STRANGE_SIZES)


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def lines(reader: Reader) -> list[Line]:
    """Return what is read in the note."""
    return reader.read(note())


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def landmarks() -> Landmarks:
    return Landmarks()


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


def recording(name: str = "go-forward") -> bytes:
    with wave.open(str(DATA / "audio" / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


def photograph(name: str = "astronaut.png") -> Any:
    image = cv2.imread(str(DATA / "photos" / name))
    assert image is not None
    return image


def note() -> Any:
    return cv2.imread(str(DATA / "notes" / "note.jpg"))


def flat(size: tuple[int, int], grey: int = 200) -> Any:
    return np.full((*size, 3), grey, np.uint8)


def noise(size: tuple[int, int], seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def hiss(level: float, seconds: float = 2) -> bytes:
    samples = np.random.default_rng(0).normal(0, level, int(16000 * seconds))
    return samples.clip(-32768, 32767).astype("<i2").tobytes()


def zero(paper: int = 255, ink: int = 0, margin: int = 20) -> Any:
    """Draw a 0 with a pen as thick as those of the training data."""
    image = np.full((80 + 2 * margin, 56 + 2 * margin, 3), paper, np.uint8)
    cv2.ellipse(image, (28 + margin, 40 + margin), (21, 33), 0, 0, 360, (ink, ink, ink), 12)
    return image


def answers(call: Callable[[], Any]) -> Any:
    """Return what a call gives, or the class of what it raises; nothing but EngineFailed."""
    try:
        return call()
    except EngineFailed:
        return EngineFailed


# Speaking.


def test_the_same_sentence_gives_the_same_samples(speaker: Speaker) -> None:
    first, rate = speaker.say("she sells sea shells")
    for other in ("a", "is it so? the quick brown fox jumps over the lazy dog.", "seven"):
        speaker.say(other)
    again, _ = speaker.say("she sells sea shells")
    assert (first == again).all()
    assert (rate, first.dtype, first.ndim) == (22050, np.float32, 1)


def test_another_speaker_speaks_alike(speaker: Speaker) -> None:
    assert (Speaker().say("hello world")[0] == speaker.say("hello world")[0]).all()


def test_what_is_said_can_be_heard(speaker: Speaker) -> None:
    samples, rate = speaker.say("hello world")
    assert 0.1 < np.abs(samples).max() <= 1
    assert 0.4 < len(samples) / rate < 3
    assert len(speaker.say("hello world, how are you doing today")[0]) > 2 * len(samples)


@pytest.mark.parametrize("text", ["", "   ", "...", "\0", "\n\t"])
def test_where_nothing_can_be_spoken_the_engine_says_so(speaker: Speaker, text: str) -> None:
    with pytest.raises(EngineFailed, match="spoken"):
        speaker.say(text)


@pytest.mark.parametrize("text", ["\ud800 hello", "日本語", "<b>bold</b>", "a\0b", "x" * 5000])
def test_odd_texts_do_no_harm(speaker: Speaker, text: str) -> None:
    before = speaker.say("hello")[0]
    answers(lambda: speaker.say(text))
    assert (speaker.say("hello")[0] == before).all()


# Hearing.


def test_a_person_is_understood(listener: Listener) -> None:
    assert listener.transcribe(recording()) == "go forward ten meters"


def test_the_same_sound_gives_the_same_words_whatever_was_heard_before(listener: Listener) -> None:
    # A part of a sentence that is not understood well: small differences would change it.
    part = recording("sense-0880")[:32000]
    first = listener.transcribe(part)
    for other in (hiss(3000, 0.5), recording()[:20000], PAUSE):
        listener.transcribe(other)
    assert listener.transcribe(part) == first
    assert Listener().transcribe(part) == first


@pytest.mark.parametrize(
    "pcm", [b"", b"\1\0", PAUSE, hiss(5, 0.5)], ids=["no", "one", "zeros", "hiss"]
)
def test_silence_has_no_words(listener: Listener, pcm: bytes) -> None:
    assert listener.transcribe(pcm) == ""


def test_half_a_sample_is_refused(listener: Listener) -> None:
    with pytest.raises(EngineFailed, match="half a sample"):
        listener.transcribe(recording()[:-1])


def test_more_than_five_minutes_are_refused(listener: Listener) -> None:
    with pytest.raises(EngineFailed, match="300 seconds"):
        listener.transcribe(bytes(2 * 16000 * 300 + 2))


@pytest.mark.parametrize("size", [FRAME, 100_001])
def test_a_stream_is_cut_where_it_pauses(listener: Listener, size: int) -> None:
    stream = PAUSE + recording() + PAUSE + recording() + PAUSE
    frames = (stream[start : start + size] for start in range(0, len(stream), size))
    assert list(listener.utterances(frames)) == ["go forward ten meters"] * 2


def test_the_end_of_a_stream_ends_the_utterance(listener: Listener) -> None:
    assert list(listener.utterances(iter([recording()]))) == ["go forward ten meters"]


def test_a_silent_stream_has_no_utterance(listener: Listener) -> None:
    assert list(listener.utterances(iter([bytes(FRAME)] * 100))) == []
    assert list(listener.utterances(iter([]))) == []


# Reading.


def test_a_note_is_read_line_by_line(lines: list[Line]) -> None:
    with open(DATA / "notes" / "note.csv", newline="", encoding="utf-8") as file:
        truth = [row["text"] for row in csv.DictReader(file)]
    assert [line.text for line in lines] == truth
    tops = [line.box[1] for line in lines]
    assert tops == sorted(tops)
    image = note()
    for line in lines:
        x, y, width, height = line.box
        assert 0 <= x < x + width <= image.shape[1]
        assert 0 <= y < y + height <= image.shape[0]


def test_the_characters_of_a_line_are_its_text(lines: list[Line]) -> None:
    for line in lines:
        assert "".join(character for character, _ in line.characters) == line.text
        assert all(0 <= sure <= 1 for _, sure in line.characters)
        assert len({sure for _, sure in line.characters}) > 1


def test_a_page_is_given_up_between_its_lines_when_nobody_waits(
    reader: Reader, lines: list[Line]
) -> None:
    page = np.full((1200, 400, 3), 255, np.uint8)
    for row in range(30):
        cv2.putText(page, f"Line {row}", (20, 40 * row + 30), cv2.FONT_HERSHEY_DUPLEX, 0.8, 0)
    asked = []

    def until_the_third_step() -> bool:
        asked.append(True)
        return len(asked) < 3

    with waiting.caller(until_the_third_step), pytest.raises(EngineFailed, match="has gone"):
        reader.read(page)
    assert len(asked) == 3
    assert len(reader.read(page)) == 30


def test_one_line_is_read_without_a_search(reader: Reader) -> None:
    image = np.full((60, 420, 3), 255, np.uint8)
    cv2.putText(image, "Order 12 sensors", (12, 42), cv2.FONT_HERSHEY_DUPLEX, 1.3, (0, 0, 0), 2)
    assert reader.read_line(image) == "Order 12 sensors"
    assert [line.text for line in reader.read(image)] == ["Order 12 sensors"]


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_there_is_nothing_to_read_where_all_is_one_colour(reader: Reader, grey: int) -> None:
    assert reader.read(flat((200, 300), grey)) == []
    assert reader.read_line(flat((48, 300), grey)) == ""


@strange_sizes
def test_images_of_strange_sizes_are_read_or_refused(reader: Reader, size: tuple[int, int]) -> None:
    for image in (flat(size), noise(size)):
        assert isinstance(answers(partial(reader.read, image)), list | type)
        assert isinstance(answers(partial(reader.read_line, image)), str | type)


def test_reading_asks_no_network_and_prints_nothing() -> None:
    program = """if True:
        import sys
        def stop(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
                raise AssertionError(f"{event} {arguments}")
        sys.addaudithook(stop)
        import cv2
        from practice.ccai.engines.reading import Reader
        lines = Reader().read(cv2.imread(sys.argv[1]))
        assert len(lines) == 5, lines
    """
    path = str(DATA / "notes" / "note.jpg")
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "RapidOCR" not in done.stderr


# Faces and their points.


def test_the_faces_of_every_photograph_are_counted(finder: FaceFinder) -> None:
    with open(DATA / "photos" / "faces.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert len(finder.find(photograph(row["file"]))) == int(row["faces"]), row


def test_the_largest_face_comes_first(finder: FaceFinder) -> None:
    large = photograph()
    small = cv2.resize(large, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    page = flat((large.shape[0], large.shape[1] + small.shape[1]))
    page[: small.shape[0], : small.shape[1]] = small
    page[:, small.shape[1] :] = large
    sizes = finder.find(page)[:, 2] - finder.find(page)[:, 0]
    assert len(sizes) == 2
    assert sizes[1] == pytest.approx(0.6 * sizes[0], rel=0.15)


def test_a_face_is_found_in_a_large_picture(finder: FaceFinder) -> None:
    (face,) = finder.find(photograph())
    (larger,) = finder.find(cv2.resize(photograph(), None, fx=5, fy=5))
    assert larger == pytest.approx(5 * face, abs=60)


def test_what_only_resembles_a_face_is_none(finder: FaceFinder) -> None:
    image = flat((300, 300))
    for place in ((120, 120), (180, 120), (150, 190)):
        cv2.circle(image, place, 16, (30, 30, 30), -1)
    assert finder.find(image).shape == (0, 4)
    for seed in range(3):
        assert finder.find(cv2.GaussianBlur(noise((300, 400), seed), (0, 0), 4)).shape == (0, 4)


@strange_sizes
def test_images_of_strange_sizes_have_no_face(finder: FaceFinder, size: tuple[int, int]) -> None:
    assert finder.find(flat(size)).shape == finder.find(noise(size)).shape == (0, 4)


def test_squares_are_the_longer_side_enlarged_and_may_leave_the_image() -> None:
    assert squared(np.array([[0, 0, 100, 50], [10, 20, 30, 40]])).tolist() == [
        [-10, -35, 110, 85],
        [8, 18, 32, 42],
    ]
    assert squared(np.zeros((0, 4), np.int64)).shape == (0, 4)


@pytest.mark.parametrize("name", ["astronaut.png", "grace-hopper.jpg"])
def test_every_point_is_where_its_name_says(
    finder: FaceFinder, landmarks: Landmarks, name: str
) -> None:
    image = photograph(name)
    box = squared(finder.find(image))[0]
    points = landmarks.find(image, box)
    assert points.shape == (35, 2) == (len(INDICES), 2)
    assert (np.abs(points - (box[:2] + box[2:]) / 2) < 0.6 * (box[2:] - box[:2])).all()
    left_eye, right_eye = points[0:2].mean(axis=0), points[2:4].mean(axis=0)
    nose, below_nose, right_wing, left_wing = points[4:8]
    left_mouth, right_mouth, upper_lip = points[8:11]
    assert left_eye[0] < nose[0] < right_eye[0]
    assert points[1][0] < points[0][0] < points[2][0] < points[3][0]  # from the nose outwards
    assert left_wing[0] < below_nose[0] < right_wing[0]
    assert left_mouth[0] < upper_lip[0] < right_mouth[0]
    assert points[14][0] < points[13][0] < points[12][0] < points[15][0] < points[17][0]
    heights = [points[12:18], points[0:4], points[[4]], points[[5]], points[[10]], points[[11]]]
    tops = [each[:, 1].mean() for each in heights]
    assert tops == sorted(tops)
    assert points[:, 1].argmax() == CHIN
    contour = points[EAR : OTHER_EAR + 1]
    assert (np.diff(contour[: CHIN - EAR + 1, 1]) > 0).all()
    assert (np.diff(contour[CHIN - EAR :, 1]) < 0).all()
    assert contour[0][0] < points[:EAR, 0].min()
    assert contour[-1][0] > points[:EAR, 0].max()


def test_points_depend_little_on_the_box(finder: FaceFinder, landmarks: Landmarks) -> None:
    image = photograph()
    box = squared(finder.find(image))[0]
    points = landmarks.find(image, box)
    for change in ([-8, -8, 8, 8], [8, 8, -8, -8], [10, 0, 10, 0], [0, -10, 0, -10]):
        assert np.abs(landmarks.find(image, box + change) - points).mean() < 2


def test_points_turn_with_the_picture(finder: FaceFinder, landmarks: Landmarks) -> None:
    image = photograph()
    box = squared(finder.find(image))[0]
    middle = tuple((box[:2] + box[2:]) / 2)
    turn = cv2.getRotationMatrix2D(middle, 25, 1)
    turned: Any = cv2.warpAffine(image, turn, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    wanted = landmarks.find(image, box) @ turn[:, :2].T + turn[:, 2]
    assert np.abs(landmarks.find(turned, box) - wanted).mean() < 2


def test_the_network_knows_what_is_no_face(landmarks: Landmarks) -> None:
    assert landmarks.confidence(photograph(), (160, 50, 290, 180)) > 0.99
    assert landmarks.confidence(photograph("rocket.jpg"), (250, 100, 350, 200)) < 0.5


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (20, 20, 10, 10)])
def test_an_empty_box_is_refused(landmarks: Landmarks, box: tuple[int, ...]) -> None:
    with pytest.raises(EngineFailed, match="empty"):
        landmarks.find(photograph(), box)


@pytest.mark.parametrize("box", [(-500, -500, 900, 900), (5000, 5000, 5100, 5100)])
def test_a_box_may_leave_the_image(landmarks: Landmarks, box: tuple[int, ...]) -> None:
    assert np.isfinite(landmarks.find(photograph(), box)).all()


# Digits.


def test_a_digit_is_named_whatever_the_paper(digits: Digits) -> None:
    for image in (zero(), zero(10, 240), zero(margin=60), zero(margin=3), zero(200, 90)):
        name, probability = digits.classify(image)
        assert name == "zero"
        assert probability > 0.8


def test_the_digits_of_the_pictures_are_named(digits: Digits) -> None:
    right = []
    with open(DATA / "images" / "boxes.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            image = cv2.imread(str(DATA / "images" / row["image"]))
            assert image is not None
            top, left, bottom, right_edge = (
                round(float(row[edge]) * image.shape[0])
                for edge in ("ymin", "xmin", "ymax", "xmax")
            )
            crop: Any = image[top:bottom, left:right_edge]
            edge = float(np.median(image))
            crop = cv2.copyMakeBorder(crop, 6, 6, 6, 6, cv2.BORDER_CONSTANT, value=[edge] * 3)
            right.append(digits.classify(crop)[0] == NAMES[int(row["digit"])])
    assert np.mean(right) > 0.8


def test_size_and_file_format_change_nothing(digits: Digits) -> None:
    large: Any = cv2.resize(zero(), None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    _, file = cv2.imencode(".jpg", zero(), [cv2.IMWRITE_JPEG_QUALITY, 60])
    small: Any = cv2.imdecode(file, cv2.IMREAD_COLOR)
    for image in (large, small):
        assert digits.classify(image)[0] == "zero"


def test_what_the_network_sees_looks_like_its_training_data() -> None:
    sheet = prepared(zero())
    assert (sheet.shape, sheet.dtype) == ((8, 8), np.float32)
    assert 0 <= sheet.min() < sheet.max() <= 1
    assert sheet[0].max() > 0.5  # as high as the picture
    assert sheet[-1].max() > 0.5


def test_an_empty_sheet_has_no_digit(digits: Digits) -> None:
    for grey in (0, 128, 255):
        with pytest.raises(EngineFailed, match="only paper"):
            digits.classify(flat((100, 80), grey))


@strange_sizes
def test_images_of_strange_sizes_are_classified_or_refused(
    digits: Digits, size: tuple[int, int]
) -> None:
    answer = answers(lambda: digits.classify(noise(size)))
    assert answer is EngineFailed or answer[0] in NAMES


# All at once.


def test_eight_threads_get_what_one_gets(
    speaker: Speaker,
    listener: Listener,
    reader: Reader,
    finder: FaceFinder,
    landmarks: Landmarks,
    digits: Digits,
) -> None:
    top = note()[100:250, 100:800]
    jobs: list[Callable[[], Any]] = [
        lambda: speaker.say("hello world")[0].tobytes(),
        lambda: speaker.say("good evening")[0].tobytes(),
        lambda: listener.transcribe(recording()[20000:60000]),
        lambda: listener.transcribe(recording("sense-0880")[:20000]),
        lambda: reader.read(top),
        lambda: finder.find(photograph()).tolist(),
        lambda: landmarks.find(photograph(), (160, 50, 290, 180)).tolist(),
        lambda: digits.classify(zero()),
    ]
    alone = [job() for job in jobs]
    with futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: job(), jobs * 2))
    assert together == alone * 2
