"""A sound as the samples that an input of floats takes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from helpers.errors import BadInput
from helpers.language import _
from helpers.tfserving.signatures import TensorSpec
from workbench.values.arrays import kind


def is_sound(content: bytes) -> bool:
    """Whether a file begins as a WAV file does."""
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE"


def read(name: str, content: bytes, spec: TensorSpec, note: Callable[[str], object]) -> NDArray:
    """Read a WAV file for an input of samples.

    Parameters
    ----------
    name : str
        The input's, for sentences.
    content : bytes
        One channel, samples of 16 bit or 32-bit floats. It is not resampled.
    spec : TensorSpec
        Of floats: `[samples]`, `[batch, samples]`, or those with axes of one channel.
    note : callable
        Called with a sentence that says the rate.

    Returns
    -------
    ndarray
        From -1 to 1.

    Raises
    ------
    BadInput
        For another file, an input of integers, and another number of samples.
    """
    from helpers.ccai.speech import Speech  # 0.1 s, for who has a sound only

    try:
        speech = Speech.read(content)
    except BadInput as error:
        raise BadInput(_("Input {name!r}: {reason}", name=name, reason=error)) from error
    count = len(speech.samples)
    shapes = ((count,), (1, count), (1, count, 1), (count, 1), (1, 1, count))
    shape = next(filter(spec.takes, shapes), None)
    if kind(spec.dtype) != "f" or shape is None:
        raise BadInput(
            _(
                "Input {name!r} takes {spec}; the sound becomes {count:,} floats, one for each "
                "sample. Give one that fits, or other numbers as a .npy file.",
                name=name,
                spec=spec,
                count=count,
            )
        )
    note(
        _(
            "{count:,} samples, {seconds:.2f} s at {rate:,} Hz as in the file, scaled to -1..1",
            count=count,
            seconds=speech.seconds,
            rate=speech.rate,
        )
    )
    return np.asarray(speech.samples.reshape(shape), spec.dtype)
