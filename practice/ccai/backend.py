"""What all doors of the service share: the engines, the policy and the live recognition."""

import contextlib
import importlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

from practice.ccai.engines import EngineFailed
from practice.ccai.live import LiveRecognition

log = logging.getLogger("practice.ccai")


_HOMES = {
    "digits": ("digits", "Digits"),
    "faces": ("faces", "FaceFinder"),
    "landmarks": ("landmarks", "Landmarks"),
    "listener": ("hearing", "Listener"),
    "reader": ("reading", "Reader"),
    "speaker": ("speaking", "Speaker"),
}


class Engines:
    """The engines by name, each loaded when it is first used."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}
        self._locks = {name: threading.Lock() for name in _HOMES}

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """Give an engine; whatever goes wrong with it comes out as EngineFailed."""
        try:
            yield self._get(name)
        except EngineFailed:
            raise
        except Exception as error:  # also one whose package is missing on this machine
            raise EngineFailed(f"{name}: {type(error).__name__}: {error}") from error

    def _get(self, name: str) -> Any:
        with self._locks[name]:
            if name not in self._loaded:
                module, cls = _HOMES[name]
                found = importlib.import_module(f"practice.ccai.engines.{module}")
                self._loaded[name] = getattr(found, cls)()
                log.info("Loaded the engine %s.", name)
            return self._loaded[name]


class Policy:
    """Where inference runs; one setting for all services, as in the original."""

    DEVICES = frozenset(
        ["CPU", "GPU", "GNA_AUTO", "MYRIAD", "HETERO:CPU,GPU", "HETERO:GPU,CPU"]
        + [f"GNA_{how}" for how in ("HW", "SW_EXACT", "SW", "SW_FP32")]
        + [f"HETERO:GNA{how},CPU" for how in ("", "_HW", "_SW_EXACT", "_SW", "_SW_FP32")]
    )

    def __init__(self) -> None:
        self.device, self.local = "CPU", True

    def set(self, device: str, local: bool) -> bool:
        """Take a setting; returns whether there is such a device."""
        if device not in self.DEVICES:
            return False
        self.device, self.local = device, local
        return True


class Backend:
    """One of each, for four doors."""

    def __init__(self) -> None:
        self.engines = Engines()
        self.policy = Policy()
        self.live = LiveRecognition(self.engines)

    def squares(self, image: Any) -> Any:
        """Return x1, y1, x2, y2 of the square around each face."""
        with self.engines.use("faces") as faces:
            return faces.squares(image)

    def points(self, image: Any) -> list[list[float]]:
        """Return x and y of 35 points for each face, one face after the other."""
        squares = self.squares(image)
        if not len(squares):
            return []
        with self.engines.use("landmarks") as landmarks:
            return [point for box in squares for point in landmarks.find(image, box).tolist()]
