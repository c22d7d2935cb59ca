"""What all ports of the service share: the engines, the policy and the live recognition."""

import contextlib
import importlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from practice.ccai.engines import EngineFailed
from practice.ccai.live import LiveRecognition
from practice.host import students

log = logging.getLogger("practice.ccai")

_ENGINES = {
    "digits": ("digits", "Digits"),
    "faces": ("faces", "FaceFinder"),
    "landmarks": ("landmarks", "Landmarks"),
    "listener": ("hearing", "Listener"),
    "reader": ("reading", "Reader"),
    "speaker": ("speaking", "Speaker"),
}


class Backend:
    """One of each, for four ports. An engine is loaded when it is first used.

    Parameters
    ----------
    at_once : int
        Pictures that are read at once.
    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self.policy = Policy()
        self._live: dict[str, LiveRecognition] = {}
        self._engines: dict[str, Any] = {}
        self._locks = {name: threading.Lock() for name in _ENGINES}

    @property
    def live(self) -> LiveRecognition:
        """The one live session, as in the original; in a class, that of the student who calls."""
        return self._live.setdefault(students.caller(), LiveRecognition(self))

    def loaded(self) -> bool:
        """Whether any engine is loaded."""
        return bool(self._engines)

    def warm(self) -> None:
        """Load all engines, so that no first call waits for that."""
        for name in _ENGINES:
            try:
                with self.engine(name):
                    pass
            except EngineFailed as failure:  # the others work without it
                log.error("%s", failure)

    @contextlib.contextmanager
    def engine(self, name: str) -> Iterator[Any]:
        """Give an engine; whatever goes wrong with it comes out as EngineFailed."""
        try:
            with self._locks[name]:
                if name not in self._engines:
                    module, cls = _ENGINES[name]
                    home = importlib.import_module(f"practice.ccai.engines.{module}")
                    arguments = (self._at_once,) if name == "reader" else ()
                    self._engines[name] = getattr(home, cls)(*arguments)
                    log.info("Loaded the engine %s.", name)
            yield self._engines[name]
        except EngineFailed:
            raise
        except Exception as error:  # also one whose package is missing on this machine
            raise EngineFailed(f"{name}: {type(error).__name__}: {error}") from error

    def digit(self, image: Any) -> tuple[str, float]:
        """Return the name of the digit in a picture, and how sure that is."""
        with self.engine("digits") as digits:
            return digits.classify(image)

    def lines(self, image: Any) -> list[Any]:
        """Return the lines of text in a picture."""
        with self.engine("reader") as reader:
            return reader.read(image)

    def squares(self, image: Any) -> Any:
        """Return x1, y1, x2, y2 of the square around each face."""
        with self.engine("faces") as faces:
            return faces.squares(image)

    def points(self, image: Any) -> list[list[float]]:
        """Return x and y of 35 points for each face, one face after the other."""
        squares = self.squares(image)
        if not len(squares):
            return []
        with self.engine("landmarks") as landmarks:
            return [point for box in squares for point in landmarks.find(image, box).tolist()]

    def transcribe(self, pcm: bytes) -> str:
        """Return what is said."""
        with self.engine("listener") as listener:
            return listener.transcribe(pcm)


class Policy:
    """Where inference runs; one setting for all services, as in the original."""

    DEVICES = frozenset(
        ["CPU", "GPU", "GNA_AUTO", "MYRIAD", "HETERO:CPU,GPU", "HETERO:GPU,CPU"]
        + [f"GNA_{how}" for how in ("HW", "SW_EXACT", "SW", "SW_FP32")]
        + [f"HETERO:GNA{how},CPU" for how in ("", "_HW", "_SW_EXACT", "_SW", "_SW_FP32")]
    )

    def __init__(self) -> None:
        self.local = True

    def set(self, device: str, local: bool) -> str:
        """Take a setting; returns the product's sentence about it."""
        if device not in self.DEVICES or students.caller():  # it would be so for the whole class
            return "failed to set policy daemon"
        self.local = local
        return "successfully set the policy daemon"

    def problem(self) -> str:
        """Tell whether somebody has set inference to run elsewhere."""
        return "" if self.local else "its policy was set to remote"

    def check(self) -> None:
        """Raise EngineFailed while inference runs elsewhere."""
        if not self.local:
            raise EngineFailed("the policy is remote, and this machine forwards nothing")
