"""How pictures become tensors, as fields: what is done to them is shown, and can be changed."""

import base64
import io
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.errors import BadInput
from helpers.language import _, plural
from workbench.fields import Fields, WholeNumber
from workbench.values import choices
from workbench.values.pictures import Preprocessing

_LONGEST = 16_384  # pixels of a side, of the longest picture that `suggest` finds
_LARGE = 8  # pictures that are shown large
_MOST = 100  # pictures that are shown
_SHOWN = 512  # pixels of a side that are converted; a large picture has up to twice as many


class PreprocessingFields(w.VBox):
    """The preprocessing of pictures for one input.

    Parameters
    ----------
    suggested : Preprocessing
        Where to begin.
    fields : Fields
    changed : callable
        Called without arguments after each change.
    """

    def __init__(
        self, suggested: Preprocessing, fields: Fields, changed: Callable[[], object]
    ) -> None:
        self.fields = {}
        for name, (label, tooltip, options) in _choices().items():
            value = getattr(suggested, name)
            if options:
                kind, more = w.Dropdown, {"options": options, "value": value}
            else:
                kind, more = WholeNumber, {"value": str(value) if value > 0 else ""}
            field = self.fields[name] = fields(kind, label, tooltip, changed=changed, **more)
            field.most = _LONGEST
        self.picture = w.HTML()
        self._array: NDArray | None = None
        super().__init__([self.picture, *self.fields.values()])

    @property
    def preprocessing(self) -> Preprocessing:
        """What the fields say; BadInput when it cannot be."""
        values = {name: field.value for name, field in self.fields.items()}
        for side in ("height", "width"):
            values[side] = self.fields[side].number
        if values["resize"] == "none":
            values |= {"height": -1, "width": -1}
        elif not (values["height"] and values["width"]):
            raise BadInput(
                _(
                    "Write the height and the width that pictures are to get, or choose at Resize "
                    "to leave them as they are."
                )
            )
        return Preprocessing(**values)

    def show(self, array: NDArray | None) -> None:
        """Show the pictures as they will be sent, or nothing."""
        if array is self._array:
            return
        self._array = array
        if array is None:
            self.picture.value = ""
            return
        layout = self.fields["layout"].value
        scale = self.fields["scale"].value
        batch = array if array.ndim > len(layout) else array[np.newaxis]
        side = 128 if len(batch) <= _LARGE else 64
        shown = "".join(_img(picture, layout, scale, side) for picture in batch[:_MOST])
        words = plural("as it will be sent", "as they will be sent", len(batch))
        if len(batch) > _MOST:
            words = _(
                "as they will be sent, the first {shown} of {count}",
                shown=_MOST,
                count=len(batch),
            )
        self.picture.value = (
            f"<figure style='margin:0 0 0 9em'>{shown}<figcaption>{words}</figcaption></figure>"
        )


def _choices() -> dict[str, tuple[str, str, Any]]:
    """Return label, tooltip and options of each field; a number has no options."""
    pixels = _("In pixels; empty where any fits and none is chosen yet")
    resizes = tuple((label, value) for value, label in choices.RESIZES.items())
    channels = ((_("grey"), 1), (_("RGB"), 3), (_("RGB and alpha"), 4))
    return {
        "resize": (_("Resize"), _("How its size is changed"), resizes),
        "height": (_("Height"), pixels, None),
        "width": (_("Width"), pixels, None),
        "channels": (_("Colours"), _("What each pixel has"), channels),
        "scale": (_("Scale"), _("What black and white become"), choices.SCALES),
        "layout": (_("Layout"), _("The order of height, width and channels"), choices.LAYOUTS),
    }


def _img(picture: NDArray, layout: str, scale: str, side: int) -> str:
    words = _("The picture as it will be sent, {shape}", shape=list(picture.shape))
    png = base64.b64encode(_png(picture, layout, scale)).decode()
    return (
        f"<img alt='{escape(words)}' width='{side}' style='image-rendering:pixelated' "
        f"src='data:image/png;base64,{png}'> "
    )


def _png(picture: NDArray, layout: str, scale: str) -> bytes:
    """Make colours of what `pictures.apply` made of them, as a small PNG file."""
    low, high = {"0..1": (0, 1), "0..255": (0, 255), "-1..1": (-1, 1)}[scale]
    if layout == "CHW":
        picture = np.moveaxis(picture, 0, 2)
    # Thinned out before anything is computed: of 24 megapixels, floats alone take a second.
    step = max(1, max(picture.shape[:2]) // _SHOWN)
    picture = picture[::step, ::step]
    pixels = (picture.astype(np.float32) - low) / (high - low) * 255
    pixels = pixels.round().astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    image.thumbnail((256, 256))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
