"""A sound: its samples, the WAV files it is read from and written to, and other rates."""

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from helpers.ccai.speech import Speech
from helpers.errors import BadInput
from practice.ccai.sound import float_wav
from tests.ccai import DATA, strict_wav


def sine(frequency: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> Speech:
    time = np.arange(round(seconds * rate)) / rate
    samples = level * np.sin(2 * np.pi * frequency * time)
    return Speech(samples.astype(np.float32), rate)


def loudest(speech: Speech) -> float:
    """Return the frequency with the most power."""
    spectrum = np.abs(np.fft.rfft(speech.samples))
    return float(np.fft.rfftfreq(len(speech.samples), 1 / speech.rate)[spectrum.argmax()])


# There and back.


def test_every_int16_comes_back_as_it_was() -> None:
    numbers = np.arange(-32768, 32768).astype("<i2")
    speech = Speech.read(strict_wav(numbers.tobytes()))
    assert (speech.samples.dtype, speech.rate) == (np.float32, 16000)
    assert speech.pcm() == numbers.tobytes()
    assert Speech.read(speech.wav()).pcm() == numbers.tobytes()


def test_full_scale_is_one() -> None:
    numbers = np.array([-32768, 0, 16384], "<i2")
    assert Speech.read(strict_wav(numbers.tobytes())).samples.tolist() == [-1.0, 0.0, 0.5]


def test_float_samples_come_as_they_are() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 1001).astype(np.float32)
    speech = Speech.read(float_wav(samples, 22050))
    assert speech.rate == 22050
    assert (speech.samples == samples).all()


def test_what_is_too_loud_is_cut_and_not_wrapped() -> None:
    loud = Speech(np.array([-2.0, -1.0, 1.0, 2.0], np.float32), 16000)
    assert np.frombuffer(loud.pcm(), "<i2").tolist() == [-32768, -32768, 32767, 32767]


def test_its_wav_file_is_what_the_strict_reader_takes() -> None:
    numbers = np.random.default_rng(0).bytes(1600)
    assert Speech.read(strict_wav(numbers)).wav() == strict_wav(numbers)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_pythons_wave_module_agrees(rate: int) -> None:
    speech = sine(440, rate)
    with wave.open(io.BytesIO(speech.wav())) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, rate)
        assert file.readframes(file.getnframes()) == speech.pcm()


def test_a_path_and_the_files_bytes_give_the_same() -> None:
    path = DATA / "audio" / "go-forward.wav"
    samples = [Speech.read(each).samples for each in (path, str(path), path.read_bytes())]
    assert (samples[0] == samples[1]).all()
    assert (samples[0] == samples[2]).all()


# Other rates.


@pytest.mark.parametrize(
    ("old", "new"), [(22050, 16000), (16000, 22050), (8000, 16000), (44100, 16000), (16000, 8000)]
)
def test_another_rate_keeps_pitch_loudness_and_length(old: int, new: int) -> None:
    before = sine(440, old, seconds=2)
    after = before.resampled(new)
    assert (after.rate, len(after.samples)) == (new, 2 * new)
    assert after.samples.dtype == np.float32
    assert loudest(after) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(after.samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    middle = slice(new // 2, new)
    assert after.samples[middle] == pytest.approx(sine(440, new, 2).samples[middle], abs=0.01)


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    assert np.abs(sine(10000, 22050).resampled(16000).samples).max() < 0.01


def test_a_level_stays_a_level() -> None:
    level = Speech(np.full(22050, 0.25, np.float32), 22050)
    assert level.resampled(16000).samples == pytest.approx(0.25, abs=1e-6)


def test_the_same_rate_changes_nothing() -> None:
    speech = sine(440, 16000)
    assert (speech.resampled(16000).samples == speech.samples).all()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_few_samples_are_enough(count: int) -> None:
    few = Speech(np.full(count, 0.5, np.float32), 22050)
    assert len(few.resampled(16000).samples) >= 1
    assert len(few.resampled(44100).samples) == 2 * count


def test_no_samples_are_a_sound_too() -> None:
    empty = Speech(np.zeros(0, np.float32), 22050)
    assert (empty.seconds, empty.pcm()) == (0, b"")
    assert empty.resampled(16000).rate == 16000
    assert len(Speech.read(empty.wav()).samples) == 0
    assert repr(empty) == "Speech(0.00 s at 22050 Hz)"


# How it shows.


def test_it_says_how_long_it_is() -> None:
    assert sine(440, 16000, seconds=1.5).seconds == 1.5
    assert repr(sine(440, 16000, seconds=1.5)) == "Speech(1.50 s at 16000 Hz)"


def test_in_a_notebook_it_is_a_player() -> None:
    assert "<audio" in sine(440, 16000, seconds=0.1)._repr_html_()


# Files, good and bad.


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    return name + struct.pack("<I", len(content) if length is None else length) + content


def wav_of(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FMT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16))


@pytest.mark.parametrize(
    "content",
    [
        wav_of(FMT, chunk(b"LIST", b"INFOabcd"), chunk(b"data", b"\1\0\2\0")),
        wav_of(FMT, chunk(b"LIST", b"odd") + b"\0", chunk(b"data", b"\1\0\2\0")),
        wav_of(chunk(b"JUNK", bytes(28)), FMT, chunk(b"data", b"\1\0\2\0")),
        wav_of(FMT, chunk(b"data", b"\1\0\2\0"), chunk(b"LIST", b"INFO")),
        wav_of(FMT, chunk(b"data", b"\1\0\2\0", length=2**32 - 1)),  # written as a stream
        wav_of(FMT, chunk(b"data", b"\1\0\2\0\3", length=5)),
        strict_wav(b"\1\0\2\0", extra=bytes(2)),
        strict_wav(b"\1\0\2\0", size=0),
    ],
    ids=range(8),
)
def test_chunks_may_stand_around_the_samples(content: bytes) -> None:
    assert Speech.read(content).pcm() == b"\1\0\2\0"


GOOD = strict_wav(bytes(8))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"no sound at all, but a text of some length that is not RIFF",
        b"RIFX" + GOOD[4:],
        strict_wav(bytes(8), wave=b"AVI "),
        strict_wav(bytes(8), channels=2),
        strict_wav(bytes(8), bits=8),
        strict_wav(bytes(8), bits=24),
        strict_wav(bytes(8), tag=2),
        strict_wav(bytes(8), tag=0xFFFE),
        strict_wav(bytes(8), tag=3),
        strict_wav(bytes(8), rate=0),
        strict_wav(bytes(8), fmt=b"fact"),
        strict_wav(bytes(8), data=b"LIST"),
        wav_of(chunk(b"data", bytes(8)), FMT),
        wav_of(FMT),
        wav_of(),
        *(GOOD[:length] for length in (8, 12, 16, 20, 24, 35, 36, 40, 43)),
    ],
    ids=range(26),
)
def test_what_is_no_such_file_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInput, match="WAV file of one channel"):
        Speech.read(content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing.wav"):
        Speech.read(tmp_path / "missing.wav")


def test_random_changes_in_a_file_end_in_a_sound_or_bad_input() -> None:
    random = np.random.default_rng(0)
    for _ in range(2000):
        content = bytearray(strict_wav(bytes(64)))
        for place in random.integers(0, 44, 3):
            content[place] = random.integers(256)
        try:
            speech = Speech.read(bytes(content[: random.integers(1, len(content))]))
        except BadInput:
            continue
        assert speech.samples.dtype == np.float32
        assert repr(speech).startswith("Speech(")
