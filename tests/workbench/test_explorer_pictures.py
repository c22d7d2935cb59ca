"""Pictures as tensors: what is suggested for which input, and what becomes of odd files."""

import contextlib
import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from base64 import b64decode
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.errors import BadInput
from helpers.tensors import to_data_type, to_dtype
from helpers.tfserving.signatures import TensorSpec
from workbench.explorer.preprocessing import PreprocessingFields
from workbench.fields import Fields
from workbench.values import pictures
from workbench.values.pictures import Preprocessing

# Twice as wide as high, every corner of another colour.
COLOURS = np.zeros((8, 16, 3), np.uint8)
COLOURS[:4, :8], COLOURS[:4, 8:] = (255, 0, 0), (0, 255, 0)
COLOURS[4:, :8], COLOURS[4:, 8:] = (0, 0, 255), (255, 255, 255)


def takes(dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(to_dtype(to_data_type(dtype)), shape)


def file_of(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    image = image if isinstance(image, PIL.Image.Image) else PIL.Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_that_says(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + end

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (takes("float32", -1, 96, 96, 1), Preprocessing(96, 96, 1)),
        (takes("float32", -1, 224, 224, 3), Preprocessing(224, 224, 3)),
        (takes("float16", 1, 8, 8, 4), Preprocessing(8, 8, 4)),
        (takes("bfloat16", -1, 3, 32, 64), Preprocessing(32, 64, 3, "CHW")),
        (takes("uint8", 1, 1, 28, 28), Preprocessing(28, 28, 1, "CHW", "0..255")),
        (takes("int32", 28, 28, 3), Preprocessing(28, 28, 3, "HWC", "0..255")),
        (takes("float32", 3, 28, 28), Preprocessing(28, 28, 3, "CHW")),
        (takes("float32", -1, 28, 28), Preprocessing(28, 28, 1, "HW")),
        (takes("float64", 28, 28), Preprocessing(28, 28, 1, "HW")),
        (takes("uint8", -1, -1, -1, 3), Preprocessing(-1, -1, 3, "HWC", "0..255", "none")),
        (takes("float32", -1, 3, -1, -1), Preprocessing(-1, -1, 3, "CHW", resize="none")),
        (takes("float32", -1, 64, -1, 1), Preprocessing(64, -1, 1, resize="none")),
    ],
)
def test_an_input_that_looks_like_a_picture_is_suggested_one(
    spec: TensorSpec, expected: Preprocessing
) -> None:
    assert pictures.suggest(spec) == expected


@pytest.mark.parametrize(
    "spec",
    [
        takes("float32", -1, 4),
        takes("float32", -1, 64),
        takes("float32"),
        takes("float32", 100),
        takes("float32", -1, 128, 768),
        takes("float32", -1, 128, 3),
        takes("float32", -1, -1, 3),
        takes("float32", -1, -1, -1, -1),
        takes("float32", 8, 96, 96, 3),
        takes("int16", -1, 7, 9),
        takes("float32", -1, 4, 4, 1),
        takes("float32", -1, 96, 96, 2),
        takes("float32", 16, 100),
        takes("float32", -1, 1, 96, 96, 3),
        TensorSpec(np.dtype("float32"), None),
        takes("object", -1, 96, 96, 3),
        takes("bool", -1, 96, 96, 3),
        takes("int8", -1, 96, 96, 3),
        takes("int4", -1, 96, 96, 3),
        takes("complex64", -1, 96, 96, 3),
        takes("object", -1),
        takes("uint8", -1, 10_000, 10_000, 1),
        takes("uint8", 9_000, 9_000),
    ],
    ids=str,
)
def test_an_input_that_does_not_is_suggested_none(spec: TensorSpec) -> None:
    assert pictures.suggest(spec) is None


@given(
    st.sampled_from(["float32", "uint8", "int16", "bfloat16", "bool", "object", "int4"]),
    st.none() | st.lists(st.sampled_from([-1, 0, 1, 3, 4, 8, 9, 40]), max_size=6),
)
def test_what_is_suggested_fits(dtype: str, shape: list[int] | None) -> None:
    spec = takes(dtype)._replace(shape=None if shape is None else tuple(shape))
    suggested = pictures.suggest(spec)
    if suggested is not None:
        size = tuple(9 if n == -1 else n for n in (suggested.width, suggested.height))
        array = pictures.apply(
            file_of(PIL.Image.new("L", (size[0], size[1]), 255)), spec, suggested
        )
        assert array.dtype == spec.dtype
        assert array.max() == {"0..1": 1, "0..255": 255}[suggested.scale]
        assert array.ndim == len(shape or ())


def test_layout_and_scale_are_as_asked() -> None:
    content = file_of(COLOURS)
    spec = takes("float32", -1, 8, 16, 3)
    array = pictures.apply(content, spec, Preprocessing(8, 16))
    assert (array == COLOURS[np.newaxis] / np.float32(255)).all()
    array = pictures.apply(content, spec, Preprocessing(8, 16, scale="-1..1"))
    assert (array == COLOURS[np.newaxis] / np.float32(127.5) - 1).all()
    array = pictures.apply(content, takes("uint8", 8, 16, 3), Preprocessing(8, 16, scale="0..255"))
    assert (array == COLOURS).all()
    layout = Preprocessing(8, 16, layout="CHW", scale="0..255")
    array = pictures.apply(content, takes("int32", 1, 3, 8, 16), layout)
    assert (array == np.moveaxis(COLOURS, 2, 0)).all()
    grey = Preprocessing(8, 16, 1, "HW", "0..255")
    array = pictures.apply(content, takes("uint8", 8, 16), grey)
    assert array[[0, 0, 7, 7], [0, 15, 0, 15]].tolist() == [76, 150, 29, 255]


@pytest.mark.parametrize(
    ("resize", "corners", "middle"),
    [
        ("stretch", [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], None),
        ("fit", [[0, 0, 0]] * 4, [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]),
        ("crop", [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], None),
    ],
)
def test_resizing_stretches_pads_or_cuts(resize: str, corners: Any, middle: Any) -> None:
    asked = Preprocessing(16, 16, scale="0..255", resize=resize)
    array = pictures.apply(file_of(COLOURS), takes("uint8", -1, 16, 16, 3), asked)[0]
    assert array[[0, 0, 15, 15], [0, 15, 0, 15]].tolist() == corners
    if middle:
        assert array[[4, 4, 11, 11], [0, 15, 0, 15]].tolist() == middle


def test_cutting_takes_the_middle() -> None:
    wide = np.repeat(np.arange(0, 160, 10, dtype=np.uint8)[np.newaxis], 8, axis=0)
    asked = Preprocessing(8, 8, 1, "HW", "0..255", "crop")
    array = pictures.apply(file_of(wide), takes("uint8", 8, 8), asked)
    assert array[0].tolist() == list(range(40, 120, 10))


@pytest.mark.parametrize("resize", ["stretch", "fit", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000)])
def test_any_ratio_of_the_sides_can_be_resized(resize: str, size: tuple[int, int]) -> None:
    content = file_of(PIL.Image.new("RGB", size, "white"))
    asked = Preprocessing(16, 16, resize=resize)
    array = pictures.apply(content, takes("float32", -1, 16, 16, 3), asked)
    assert array.shape == (1, 16, 16, 3)
    assert array.max() == 1


def test_a_picture_lies_as_its_camera_held_it() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned to the left
    content = file_of(COLOURS, "JPEG", exif=exif, quality=100, subsampling=0)
    asked = Preprocessing(-1, -1, scale="0..255", resize="none")
    array = pictures.apply(content, takes("uint8", -1, -1, -1, 3), asked)[0]
    assert array.shape == (16, 8, 3)
    upright = np.rot90(COLOURS, -1).astype(int)
    assert (
        np.abs(array[[0, 0, 15, 15], [0, 7, 0, 7]] - upright[[0, 0, 15, 15], [0, 7, 0, 7]]).max()
        < 9
    )


def modes() -> list[Any]:
    red = PIL.Image.new("RGB", (8, 8), "red")
    half = PIL.Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    deep = PIL.Image.fromarray(np.full((8, 8), 65535, np.uint16))
    return [
        ("RGB", file_of(red), [255, 0, 0]),
        ("palette", file_of(red.convert("P")), [255, 0, 0]),
        ("GIF", file_of(red, "GIF"), [255, 0, 0]),
        ("CMYK", file_of(red.convert("CMYK"), "TIFF"), [255, 0, 0]),
        ("clear", file_of(half), [255, 255, 255]),
        (
            "clear palette",
            file_of(red.convert("P"), transparency=red.convert("P").getpixel((0, 0))),
            [255, 255, 255],
        ),
        ("grey", file_of(PIL.Image.new("L", (8, 8), 128)), [128] * 3),
        ("grey, clear", file_of(PIL.Image.new("LA", (8, 8), (0, 0))), [255] * 3),
        ("black and white", file_of(PIL.Image.new("1", (8, 8), 1)), [255] * 3),
        ("16 bits", file_of(deep), [255] * 3),
        ("16 bits, grey", file_of(np.full((8, 8), 128 * 257, np.uint16)), [128] * 3),
        ("16 bits in a TIFF", file_of(deep, "TIFF"), [255] * 3),
        ("WebP", file_of(red, "WEBP", lossless=True), [255, 0, 0]),
        ("BMP", file_of(red, "BMP"), [255, 0, 0]),
        ("PPM", file_of(red, "PPM"), [255, 0, 0]),
    ]


@pytest.mark.parametrize(("content", "colour"), [pytest.param(*m[1:], id=m[0]) for m in modes()])
def test_every_way_to_write_colours_is_read(content: bytes, colour: list[int]) -> None:
    asked = Preprocessing(8, 8, scale="0..255")
    array = pictures.apply(content, takes("uint8", 8, 8, 3), asked)
    assert array[4, 4].tolist() == colour
    grey = pictures.apply(content, takes("uint8", 8, 8), Preprocessing(8, 8, 1, "HW", "0..255"))
    red, green, blue = colour
    assert abs(int(grey[4, 4]) - (0.299 * red + 0.587 * green + 0.114 * blue)) <= 1


def test_alpha_stays_when_it_is_asked_for() -> None:
    content = file_of(PIL.Image.new("RGBA", (8, 8), (255, 0, 0, 51)))
    array = pictures.apply(content, takes("float32", 8, 8, 4), Preprocessing(8, 8, 4))
    assert array[0, 0] == pytest.approx([1, 0, 0, 0.2])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "The file is empty; expected a picture"),
        (b"hello", "no picture that can be read here. Expected: PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read"),
        (file_of(COLOURS)[:60], "the PNG file is damaged, or only a part of it came"),
        (file_of(COLOURS, "JPEG")[:-30], "the JPEG file is damaged"),
        (png_that_says(60_000, 60_000), "too large: .*more than 67,108,864 pixels. Make it"),
        (png_that_says(9_000, 8_000), "too large: 9000 x 8000 has more than"),
        (png_that_says(10_000, 10_000), "too large: 10000 x 10000 has more"),
        (png_that_says(0, 8), "picture"),
        (file_of(np.full((8, 8), 0.5, np.float32), "TIFF"), "32 bits for each pixel"),
        (file_of(np.full((8, 8), 70_000, np.int32), "TIFF"), "32 bits for each pixel"),
    ],
)
def test_what_is_no_picture_is_told_in_a_sentence(content: bytes, sentence: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=sentence):
            pictures.apply(content, takes("float32", -1, 8, 8, 3), Preprocessing(8, 8))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (png_that_says(10_000, 7_000), "10000 x 7000 has more than 67,108,864 pixels. Make it sm"),
        (png_that_says(60_000, 60_000), "more than 67,108,864 pixels"),
    ],
)
def test_too_large_a_picture_is_one_and_told_to_be_too_large(content: bytes, sentence: str) -> None:
    assert pictures.is_picture(content)
    with pytest.raises(BadInput, match=f"The picture is too large: .*{sentence}"):
        pictures.check(content)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_picture_is_told_without_decoding(content: bytes) -> None:
    assert not pictures.is_picture(content)
    with pytest.raises(BadInput, match=r"no picture|is empty"):
        pictures.check(content)
    pictures.check(file_of(COLOURS))


@pytest.mark.parametrize(
    ("spec", "asked", "sentence"),
    [
        (
            takes("float32", -1, 8, 8, 1),
            Preprocessing(8, 8),
            r"becomes shape \[1, 8, 8, 3\]; expected float32 \[-1, 8, 8, 1\]. Change its size, ch",
        ),
        (takes("float32", -1, 4), Preprocessing(8, 8), r"becomes shape \[8, 8, 3\]"),
        (takes("float32", 2, 8, 8, 3), Preprocessing(8, 8), r"becomes shape \[1, 8, 8, 3\]"),
        (takes("uint8", -1, 8, 8, 3), Preprocessing(8, 8), "0..1 is for floats; uint8 takes 0"),
        (takes("int8", -1, 8, 8, 3), Preprocessing(8, 8, scale="0..255"), "int8 does not hold"),
        (takes("int4", -1, 8, 8, 3), Preprocessing(8, 8, scale="0..255"), "floats or integers"),
        (takes("object", -1), Preprocessing(8, 8), r"floats or integers; expected string \[-1\]"),
        (
            takes("float32", 8, 8, 3),
            Preprocessing(8, 8, resize="none"),
            "has 16 x 8 pixels; expected 8 x 8. Choose to resize it",
        ),
    ],
)
def test_what_does_not_fit_the_input_is_told_in_a_sentence(spec, asked, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        pictures.apply(file_of(COLOURS), spec, asked)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"channels": 2}, "channels is one of 1, 3, 4, not 2"),
        ({"layout": "WHC"}, "layout is one of HWC, CHW, HW, not 'WHC'"),
        ({"scale": "0-1"}, "scale is one of"),
        ({"resize": "zoom"}, "resize is one of stretch, fit, crop, none"),
        ({"height": 0}, "height is a number of pixels from 1 on, not 0"),
        ({"width": -1}, "-1 leaves the picture's own, with resize none"),
        ({"width": 10**6, "height": 10**6}, "too large: at most 67,108,864"),
        ({"layout": "HW"}, "HW has no channels"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Preprocessing(**{"height": 8, "width": 8, **fields})


FILES = [
    file_of(COLOURS),
    file_of(COLOURS, "JPEG"),
    file_of(COLOURS, "GIF"),
    file_of(COLOURS, "TIFF"),
    file_of(COLOURS, "BMP"),
    file_of(COLOURS, "WEBP"),
    file_of(PIL.Image.fromarray(COLOURS).convert("P")),
]


@pytest.mark.filterwarnings("error")
@given(st.data())
def test_a_damaged_file_is_a_picture_or_a_sentence(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(BadInput):  # any other error, and any warning, fails the test
        asked = Preprocessing(8, 8)
        array = pictures.apply(bytes(content), takes("float32", -1, 8, 8, 3), asked)
        assert array.shape == (1, 8, 8, 3)


def test_a_widget_library_is_not_needed() -> None:
    code = (
        "import sys; from workbench.values import pictures, reading\n"
        "print(sorted({'ipywidgets', 'IPython', 'matplotlib'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


@pytest.mark.parametrize("scale", pictures.SCALES)
def test_a_large_picture_is_made_without_full_copies(scale: str) -> None:
    content = file_of(PIL.Image.effect_noise((1000, 1000), 60))
    spec, asked = takes("float32", -1, 1000, 1000, 3), Preprocessing(1000, 1000, scale=scale)
    tracemalloc.start()
    try:
        array = pictures.apply(content, spec, asked)
        assert tracemalloc.get_traced_memory()[1] < 1.7 * array.nbytes
    finally:
        tracemalloc.stop()


def shown_by(adjusting: PreprocessingFields, array: np.ndarray) -> np.ndarray:
    adjusting.show(array)
    told = adjusting.children[0].value
    return np.asarray(PIL.Image.open(io.BytesIO(b64decode(told.split("base64,")[1].split("'")[0]))))


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_a_small_picture_is_shown_pixel_by_pixel(layout: str) -> None:
    spec = takes("float32", -1, 8, 16, 3) if layout == "HWC" else takes("float32", -1, 3, 8, 16)
    asked = Preprocessing(8, 16, layout=layout)
    shown = shown_by(
        PreprocessingFields(asked, Fields(), lambda: None),
        pictures.apply(file_of(COLOURS), spec, asked),
    )
    assert (shown == COLOURS).all()


@pytest.mark.parametrize("shape", [(4000, 6000, 3), (3, 6000, 4000), (4000, 6000)])
def test_a_large_picture_is_thinned_out_before_it_is_shown(shape: tuple[int, ...]) -> None:
    layout = {(3, 6000, 4000): "CHW", (4000, 6000): "HW"}.get(shape, "HWC")
    asked = Preprocessing(4000, 6000, 3 if len(shape) == 3 else 1, layout)
    adjusting = PreprocessingFields(asked, Fields(), lambda: None)
    half = np.broadcast_to(np.float32(0.5), (1, *shape))  # takes no memory itself
    tracemalloc.start()
    try:
        shown = shown_by(adjusting, half)
        assert tracemalloc.get_traced_memory()[1] < half.nbytes / 10
    finally:
        tracemalloc.stop()
    assert sorted(shown.shape[:2], reverse=True)[0] == 256
    assert (shown == 128).all()


def test_the_fields_hold_the_longest_side_that_is_suggested() -> None:
    suggested = pictures.suggest(takes("uint8", -1, 16_384, 4_096, 1))
    assert suggested is not None
    assert PreprocessingFields(suggested, Fields(), lambda: None).preprocessing == suggested


@pytest.mark.parametrize(
    ("spec", "asked", "expected"),
    [
        (takes("float32", -1, 9, 8, 3), {"scale": "-1..1"}, Preprocessing(9, 8, scale="-1..1")),
        (takes("float32", -1, 9, 8, 3), {"resize": "crop"}, Preprocessing(9, 8, resize="crop")),
        (takes("float32", -1, -1, -1, 3), {"size": (8, 9)}, Preprocessing(9, 8)),
        (
            takes("uint8", -1, -1, -1, -1),
            {"layout": "CHW"},
            Preprocessing(-1, -1, 3, "CHW", "0..255", "none"),
        ),
        (
            takes("float32", -1, 3, -1),
            {"layout": "HW"},
            Preprocessing(3, -1, 1, "HW", resize="none"),
        ),
        (
            TensorSpec(np.dtype("float32"), None),
            {"size": (8, 9), "resize": "fit"},
            Preprocessing(9, 8, resize="fit"),
        ),
    ],
)
def test_what_is_asked_for_goes_before_what_is_suggested(
    spec: TensorSpec, asked: dict[str, Any], expected: Preprocessing
) -> None:
    assert pictures.chosen("x", spec, **asked) == expected


@pytest.mark.parametrize(
    ("spec", "asked", "sentence"),
    [
        (takes("float32", -1, 8, 8, 1), {"layout": "CHW"}, "no picture in the layout CHW"),
        (takes("float32", 4), {"scale": "0..1"}, r"takes float32 \[4\], which is no picture"),
        (takes("float32", -1, -1, -1, 3), {"resize": "fit"}, "Say the size .* WIDTHxHEIGHT"),
    ],
)
def test_what_an_input_cannot_be_is_told(
    spec: TensorSpec, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        pictures.chosen("x", spec, **asked)
