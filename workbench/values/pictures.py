"""A picture as a tensor: how it is resized and scaled, suggested from the spec, and adjustable."""

import dataclasses
import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench.values.arrays import kind
from workbench.values.choices import LAYOUTS, RESIZES, SCALES

MAX_PIXELS = 64 * 1024 * 1024  # of a file, before it is decoded, and of what is made of it
CHANNELS = (1, 3, 4)
# Those that a program of ours decodes: Pillow knows others, and starts Ghostscript for one.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
_SMALLEST = 8  # pixels on a side; features and classes are often fewer
_LONGEST = 4  # times the other side; embeddings are often longer
_ORIENTATION = 0x0112  # EXIF's tag; from 5 on, a camera's picture lies on its side
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to a picture before it is sent.

    Parameters
    ----------
    height, width : int
        In pixels; -1 leaves the picture's own, with resize `none`.
    channels : int
        1 is grey, 3 is RGB, 4 is RGB and alpha. Without alpha, the picture lies on white.
    layout : str
        The order of the axes: `HWC`, `CHW`, or `HW` for grey.
    scale : str
        What black and white become: `0..1`, `0..255` or `-1..1`.
    resize : str
        `stretch` changes the ratio of the sides, `fit` keeps it and adds black, `crop` keeps it
        and cuts off, `none` takes pictures of this size only.
    """

    height: int
    width: int
    channels: int = 3
    layout: str = "HWC"
    scale: str = "0..1"
    resize: str = "stretch"

    def __post_init__(self) -> None:
        choices = {"channels": CHANNELS, "layout": LAYOUTS, "scale": SCALES, "resize": RESIZES}
        for name, values in choices.items():
            if getattr(self, name) not in values:
                listed = ", ".join(map(str, values))
                raise BadInput(
                    _(
                        "{name} is one of {listed}, not {value!r}.",
                        name=name,
                        listed=listed,
                        value=getattr(self, name),
                    )
                )
        for name, size in (("height", self.height), ("width", self.width)):
            if size < 1 and not (size == -1 and self.resize == "none"):
                raise BadInput(
                    _(
                        "{name} is a number of pixels from 1 on, not {size}. "
                        "-1 leaves the picture's own, with resize none.",
                        name=name,
                        size=size,
                    )
                )
        if self.height * self.width > MAX_PIXELS:
            raise BadInput(
                _(
                    "A picture of {width} x {height} pixels is too large: "
                    "at most {most:,} are made here.",
                    width=self.width,
                    height=self.height,
                    most=MAX_PIXELS,
                )
            )
        if self.layout == "HW" and self.channels != 1:
            raise BadInput(_("The layout HW has no channels: it is for grey, with channels 1."))


def suggest(spec: TensorSpec) -> Preprocessing | None:
    """Suggest how a picture fills an input, or None when the input looks like no picture.

    A picture's sides are 8 or more, neither is over four times the other, and it has at most
    `MAX_PIXELS`. Of rank 4 is a batch of pictures with an axis of 1, 3 or 4 channels at the end
    or after the batch; its sides may be any (-1). Of rank 3 and 2, where other data is as likely,
    both sides must be known.

    Parameters
    ----------
    spec : TensorSpec
        Floats are filled with 0..1, integers that hold 255 with 0..255.

    Examples
    --------
    >>> suggest(TensorSpec(np.dtype("float32"), (-1, 3, 224, 224)))
    Preprocessing(height=224, width=224, channels=3, layout='CHW', scale='0..1', resize='stretch')
    >>> suggest(TensorSpec(np.dtype("float32"), (-1, 4)))
    """
    whole = spec.dtype.kind in "iu" and np.iinfo(spec.dtype).max >= 255
    if spec.shape is None or not (whole or kind(spec.dtype) == "f"):
        return None
    for layout, batch, shape in _readings(spec.shape):
        sizes = dict(zip(layout, shape, strict=True))
        height = sizes["H"]
        width = sizes["W"]
        channels = sizes.get("C", 1)
        any_size = -1 in (height, width)
        if (any_size and len(spec.shape) < 4) or height * width > MAX_PIXELS:
            continue
        if batch in (-1, 1) and channels in CHANNELS and are_sides(height, width):
            scale = "0..255" if whole else "0..1"
            resize = "none" if any_size else "stretch"
            return Preprocessing(height, width, channels, layout, scale, resize)
    return None


def chosen(
    name: str,
    spec: TensorSpec,
    *,
    scale: str = "",
    resize: str = "",
    layout: str = "",
    size: tuple[int, int] | None = None,
) -> Preprocessing:
    """Return how a picture fills an input as somebody asks for it, and else as `suggest` does.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    spec : TensorSpec
    scale, resize, layout : str, optional
        Of `choices`.
    size : tuple of int, optional
        Width and height in pixels.

    Raises
    ------
    BadInput
        When the input cannot be a picture of this layout, and when pictures are to be resized
        and neither the input nor anybody else says to which size.

    Examples
    --------
    >>> chosen("x", TensorSpec(np.dtype("float32"), (-1, 3, 32, 32)), scale="-1..1")
    Preprocessing(height=32, width=32, channels=3, layout='CHW', scale='-1..1', resize='stretch')
    """
    start = suggest(spec)
    if start is None or layout not in ("", start.layout):
        start = _read_as(spec, layout)
    if start is None:
        shown = layout or ", ".join(LAYOUTS)
        raise BadInput(
            _(
                "Input {name!r} takes {spec}, which is no picture in the layout {layout}.",
                name=name,
                spec=spec,
                layout=shown,
            )
        )
    width, height = size or (start.width, start.height)
    resize = resize or ("stretch" if size and start.resize == "none" else start.resize)
    if resize != "none" and -1 in (width, height):
        raise BadInput(
            _(
                "Input {name!r} takes pictures of any size. Say the size to resize them to, as "
                "WIDTHxHEIGHT.",
                name=name,
            )
        )
    return dataclasses.replace(
        start, width=width, height=height, scale=scale or start.scale, resize=resize
    )


def apply(content: bytes, spec: TensorSpec, preprocessing: Preprocessing) -> NDArray:
    """Decode a picture, preprocess it, and return it as the input takes it.

    Parameters
    ----------
    content : bytes
        Of a PNG, JPEG, GIF, BMP, TIFF, WebP or PPM file; the first picture counts. It is turned
        as its camera says; 16 bits become 8.
    spec : TensorSpec
    preprocessing : Preprocessing

    Returns
    -------
    ndarray
        Of the spec's dtype, with a batch axis of 1 where the spec has one.

    Raises
    ------
    BadInput
        When the file is no picture or too large, and when what comes out does not fit.
    """
    if spec.dtype.kind not in "iu" and kind(spec.dtype) != "f":
        raise BadInput(_("A picture becomes floats or integers; expected {spec}.", spec=spec))
    image = _resized(_in_mode(_decode(content), preprocessing.channels), preprocessing)
    array = _laid_out(_scaled(np.asarray(image), spec, preprocessing.scale), preprocessing.layout)
    if spec.shape is not None and len(spec.shape) == array.ndim + 1:
        array = array[np.newaxis]
    if not spec.takes(array.shape):
        raise BadInput(
            _(
                "The picture becomes shape {shape}; expected {spec}. "
                "Change its size, channels or layout.",
                shape=list(array.shape),
                spec=spec,
            )
        )
    return array


def described(content: bytes, spec: TensorSpec, preprocessing: Preprocessing) -> str:
    """Say what `apply` does to a picture, and what of it no signature tells."""
    with _open(content) as image:
        is_turned = image.getexif().get(_ORIENTATION, 1) > 4
        width, height = reversed(image.size) if is_turned else image.size
    sizes = {
        "width": width,
        "height": height,
        "to_width": preprocessing.width,
        "to_height": preprocessing.height,
    }
    match preprocessing.resize:
        case "none":
            size = _("{width} x {height} pixels as they are", **sizes)
        case "fit":
            size = _("{width} x {height} pixels fitted into {to_width} x {to_height}", **sizes)
        case "crop":
            size = _("{width} x {height} pixels, cut to fill {to_width} x {to_height}", **sizes)
        case _other:
            size = _("{width} x {height} pixels stretched to {to_width} x {to_height}", **sizes)
    colours = {1: _("grey"), 3: _("RGB"), 4: _("RGB and alpha")}[preprocessing.channels]
    parts = [size, colours, preprocessing.layout, preprocessing.scale]
    if kind(spec.dtype) == "f":
        parts[-1] = _("{scale} (no signature tells the scale)", scale=preprocessing.scale)
    return ", ".join(parts)


def is_picture(content: bytes) -> bool:
    """Whether a file begins as a picture does, be it too large to be decoded here or not."""
    try:
        check(content)
    except _TooLarge:
        return True
    except BadInput:
        return False
    return True


def are_sides(height: int, width: int) -> bool:
    """Whether this may be the size of a picture; -1 is any.

    Examples
    --------
    >>> are_sides(96, 128), are_sides(96, -1), are_sides(1, 64), are_sides(8, 768)
    (True, True, False, False)
    """
    sides = [size for size in (height, width) if size != -1] or [_SMALLEST]
    return min(sides) >= _SMALLEST and max(sides) <= _LONGEST * min(sides)


def check(content: bytes) -> None:
    """Raise BadInput when a file does not begin as a picture does, or when it is too large."""
    _open(content).close()


class _TooLarge(BadInput):
    pass


def _read_as(spec: TensorSpec, layout: str) -> Preprocessing | None:
    """Return how a picture fills an input that looks like none, but takes its axes."""
    scale = "0..1" if kind(spec.dtype) == "f" else "0..255"
    if spec.shape is None:
        layout = layout or "HWC"
        return Preprocessing(-1, -1, 1 if layout == "HW" else 3, layout, scale, "none")
    for reading, _batch, shape in _readings(spec.shape):
        sizes = dict(zip(reading, shape, strict=True))
        channels = sizes.get("C", 1)
        channels = 3 if channels == -1 else channels
        if layout in ("", reading) and channels in CHANNELS and 0 not in shape:
            any_size = -1 in (sizes["H"], sizes["W"])
            resize = "none" if any_size else "stretch"
            return Preprocessing(sizes["H"], sizes["W"], channels, reading, scale, resize)
    return None


def _readings(shape: tuple[int, ...]) -> list[tuple[str, int, tuple[int, ...]]]:
    """List what a shape may mean: the layout, the batch's size, and the picture's shape."""
    readings = [(layout, 1, shape) for layout in LAYOUTS if len(layout) == len(shape)]
    batches = [(layout, shape[0], shape[1:]) for layout in LAYOUTS if len(layout) == len(shape) - 1]
    return readings + batches


def _open(content: bytes) -> Image.Image:
    """Read a file's head, which is not yet decoded, and check the size that it claims."""
    if not content:
        raise BadInput(_("The file is empty; expected a picture."))
    try:
        with warnings.catch_warnings(action="ignore"):  # a sentence tells of odd files
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _TooLarge(
            _(
                "The picture is too large: it has more than {most:,} pixels. Make it smaller.",
                most=MAX_PIXELS,
            )
        ) from error
    except Exception as error:  # Pillow raises whatever a file makes it raise
        raise BadInput(
            _(
                "The file is no picture that can be read here. Expected: {formats}.",
                formats=", ".join(_FORMATS),
            )
        ) from error
    if image.width * image.height > MAX_PIXELS:
        raise _TooLarge(
            _(
                "The picture is too large: {width} x {height} has more than {most:,} pixels. Make "
                "it smaller.",
                width=image.width,
                height=image.height,
                most=MAX_PIXELS,
            )
        )
    return image


def _decode(content: bytes) -> Image.Image:
    with _open(content) as image:
        try:
            with warnings.catch_warnings(action="ignore"):
                image.load()
                return ImageOps.exif_transpose(image)
        except Exception as error:  # as above
            raise BadInput(
                _(
                    "The picture cannot be decoded: the {format} file is damaged, or only a "
                    "part of it came. Give it once more, or save it anew.",
                    format=image.format,
                )
            ) from error


def _in_mode(image: Image.Image, channels: int) -> Image.Image:
    image = _in_8_bits(image)
    try:
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if channels != 4:
                white = Image.new("RGBA", image.size, "white")
                image = Image.alpha_composite(white, image)
        return image.convert(_MODES[channels])
    except ValueError as error:
        raise BadInput(
            _(
                "Pictures in {mode} cannot be converted here. Save it as RGB, such as a PNG.",
                mode=image.mode,
            )
        ) from error


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Scale 16 bits, which Pillow would cut off at 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise BadInput(
            _(
                "The picture has 32 bits for each pixel, and nothing says which number is white. "
                "Save it with 8 or 16 bits, or give its numbers as a .npy file."
            )
        )
    return Image.fromarray((pixels / 257).round().astype(np.uint8))


def _resized(image: Image.Image, wanted: Preprocessing) -> Image.Image:
    size = (
        image.width if wanted.width == -1 else wanted.width,
        image.height if wanted.height == -1 else wanted.height,
    )
    if wanted.resize == "none" and image.size != size:
        raise BadInput(
            _(
                "The picture has {width} x {height} pixels; expected "
                "{to_width} x {to_height}. Choose to resize it: stretch, fit or crop.",
                width=image.width,
                height=image.height,
                to_width=size[0],
                to_height=size[1],
            )
        )
    match wanted.resize:
        case "none":
            return image
        case "fit":
            return _padded(image, size)
        case "crop":
            return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling.BILINEAR)


def _padded(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Do as `ImageOps.pad`, which fails where a side would have less than half a pixel."""
    ratio = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    canvas = Image.new(image.mode, size)
    corner = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas.paste(image.resize(inner, Image.Resampling.BILINEAR), corner)
    return canvas


def _scaled(pixels: NDArray, spec: TensorSpec, scale: str) -> NDArray:
    if kind(spec.dtype) == "f":
        white, shift = {"0..1": (255, 0), "0..255": (1, 0), "-1..1": (127.5, 1)}[scale]
        scaled = pixels.astype(np.float32)
        scaled /= white  # in place: each further copy of a large picture takes half a second
        scaled -= shift
        return scaled.astype(spec.dtype, copy=False)
    if scale != "0..255":
        raise BadInput(
            _(
                "The scale {scale} is for floats; {dtype} takes 0..255.",
                scale=scale,
                dtype=spec.dtype,
            )
        )
    if np.iinfo(spec.dtype).max < 255:
        raise BadInput(
            _("{dtype} does not hold 0..255. Give the numbers as a .npy file.", dtype=spec.dtype)
        )
    return pixels.astype(spec.dtype)


def _laid_out(pixels: NDArray, layout: str) -> NDArray:
    if layout == "HW":
        return pixels
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    return pixels if layout == "HWC" else np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
