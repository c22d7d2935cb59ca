"""What CCAI answers, as Python objects: faces, text items, tags. No network here.

CCAI writes some of its JSON by hand, so `parse` repairs what a strict parser refuses.
"""

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helpers.ccai.speech import Speech
from helpers.errors import BadInput, ServiceFailed
from helpers.language import _

LANDMARKS = 35  # points on a face


class Face(NamedTuple):
    """The corners of a square around a face, in pixels of the image that was sent."""

    x1: int
    y1: int
    x2: int
    y2: int


class Tag(NamedTuple):
    """What an image shows, and how sure CCAI is, from 0 to 1."""

    name: str
    confidence: float


@dataclasses.dataclass(frozen=True)
class TextItem:
    """A piece of text in an image.

    Parameters
    ----------
    text : str
    box : tuple of int
        x, y, width and height in pixels.
    confidences : tuple of float
        For each character; CCAI gives them over REST only, and its own may be far above 1.
    """

    text: str
    box: tuple[int, int, int, int]
    confidences: tuple[float, ...] = dataclasses.field(default=(), compare=False, repr=False)


def data_of(text: str) -> Any:
    """Take the data out of a REST answer, from the Python or the C++ service.

    Raises
    ------
    BadInput
        For the C++ services' `error: frame is empty`, which is no JSON.
    ServiceFailed
        When `ret` is not 0, and for what cannot be read at all.
    """
    if text.startswith("error: no face"):  # the C++ landmark service; others give an empty list
        return []
    if text.startswith("error: "):
        reason = text.removeprefix("error: ").split("\t")[0].rstrip(", \n")
        raise BadInput(
            _(
                "CCAI answered '{reason}': what was sent is no image that it can read.",
                reason=reason,
            ),
            details=reason,
        )
    envelope = parse(text)
    if not isinstance(envelope, dict) or "ret" not in envelope:
        raise ServiceFailed(
            _("This is no answer of CCAI: {text!r}", text=text[:80]), details=text[:500]
        )
    if envelope["ret"] == 0:
        return envelope.get("data")
    data = envelope.get("data")
    reason = data.get("text", "") if isinstance(data, dict) else ""
    reason = reason or str(envelope.get("msg", ""))
    raise ServiceFailed(
        _(
            "CCAI could not do it: {reason} (ret {code}). The service's log has more.",
            reason=reason,
            code=envelope["ret"],
        ),
        code=envelope["ret"],
        details=reason,
    )


def parse(text: str) -> Any:
    """Read JSON as CCAI writes it: without outer brackets, without commas, with CR LF in text.

    Examples
    --------
    >>> parse('{"x1":1,"y1":2},{"x1":3,"y1":4}')
    [{'x1': 1, 'y1': 2}, {'x1': 3, 'y1': 4}]
    """
    if not text.strip():
        return []
    for repaired in (text, f"[{text}]", re.sub(r"\}\s*\{", "},{", text)):
        try:
            return json.loads(repaired, strict=False)  # allows line ends inside of a text
        except (ValueError, RecursionError):
            continue
    raise ServiceFailed(
        _("This is not JSON, and not nearly: {text!r}", text=text[:80]), details=text[:500]
    )


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Say that the service is to blame, when an answer lacks what it should have."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, BadInput) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ServiceFailed(
            _(
                "CCAI's answer is not as it should be ({reason}). Is it another version?",
                reason=reason[:200],
            ),
            details=reason,
        ) from error


@_understood()
def speech(data: Any) -> Speech:
    """Make a Speech of the TTS service's data."""
    wav = _from_base64(data["speech"])
    if hashlib.md5(wav, usedforsecurity=False).hexdigest() != data["md5sum"]:
        raise ServiceFailed(_("The sound was damaged on its way: its MD5 sum is another one."))
    return Speech.read(wav)


@_understood()
def words(data: Any) -> str:
    """Take the text of the ASR service, in lower case."""
    return str(data["text"]).lower()


@_understood()
def text_items(data: Any) -> list[TextItem]:
    """Make TextItems of what the OCR service gives in any of its three forms."""
    items = []
    for item in _listed(data, "item_list"):
        place = item["itemcoord"]
        place = place[0] if isinstance(place, list) else place
        characters = item.get("word", item.get("words", []))
        items.append(
            TextItem(
                item["itemstring"],
                tuple(int(place[side]) for side in ("x", "y", "width", "height")),  # type: ignore[arg-type]
                tuple(float(character["confidence"]) for character in characters),
            )
        )
    return items


@_understood()
def faces(data: Any) -> list[Face]:
    """Make Faces of what the face service gives."""
    return [Face(*(int(f[k]) for k in Face._fields)) for f in _listed(data, "face_list")]


@_understood()
def landmarks(data: Any) -> NDArray[np.int64]:
    """Make an array of the landmark service's points: int64 [faces, 35, 2]."""
    points = [(int(p["x"]), int(p["y"])) for p in _listed(data, "face_shape_list")]
    return np.array(points, np.int64).reshape(-1, LANDMARKS, 2)


@_understood()
def tags(data: Any) -> list[Tag]:
    """Make Tags of what the classification service gives."""
    listed = _listed(data, "tag_list")
    return [Tag(tag["tag_name"], round(float(tag["tag_confidence"]), 6)) for tag in listed]


def base64_text(content: bytes) -> str:
    """Write bytes as CCAI's forms want them: base64 in one line."""
    return base64.b64encode(content).decode()


def _listed(data: Any, key: str) -> list[Any]:
    if isinstance(data, dict):
        return data.get(key, [data])  # one object without brackets is a whole answer too
    return data


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServiceFailed(
            _("The sound in CCAI's answer is no base64: {error}.", error=error)
        ) from error
