"""The state folder: where services run, the lock, the logs, and who still needs them.

Nothing here starts or ends a process.
"""

import contextlib
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helpers.endpoints import read_services as read_services  # state's own, too
from helpers.endpoints import state_dir
from helpers.endpoints.practice import read_json
from helpers.language import _
from helpers.tables import printable

# What `processes.record` returns; a service's also has its addresses and endpoints.
Record = dict[str, Any]
Tick = Callable[[], object]  # called again and again while something takes time

LOCK_LIMIT = 180.0  # seconds: more than the longest start of whoever holds the lock


class PracticeError(RuntimeError):
    """Raised when a practice service cannot do what was asked; the text says what to do."""


def folder() -> Path:
    """Return the state folder; `OTW_STATE_DIR` moves it."""
    return Path(state_dir()).absolute()


def services_problem() -> str:
    """Say what is wrong with services.json; an empty text when nothing is."""
    path = folder() / "services.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({error}); it is treated as empty."
    return "" if isinstance(entries, dict) else f"{path} holds no table; it is treated as empty."


def write_services(entries: dict[str, Record]) -> None:
    """Replace services.json in one step. Hold the lock."""
    write_json(folder() / "services.json", entries)


def read_secrets(name: str, place: Path | None = None) -> Record:
    """Return what a service keeps secret; empty when it has none.

    Under the name `endpoints` are the passwords of all services' profiles.
    """
    secrets = read_json((place or folder()) / "secrets.json")
    return secrets.get(name, {}) if isinstance(secrets, dict) else {}


def write_secrets(name: str, secrets: Record, place: Path | None = None) -> None:
    """Replace what a service keeps secret. Hold the lock."""
    path = (place or folder()) / "secrets.json"
    before = read_json(path)
    write_json(path, {**(before if isinstance(before, dict) else {}), name: secrets})


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that readers see either before or after, never half; mode 0600."""
    try:
        # mkstemp's files are readable by their owner only.
        handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
        _replace(Path(name), path)
    except OSError as error:
        raise unwritable(path, error) from error


def _replace(new: Path, path: Path) -> None:
    deadline = time.monotonic() + 1.0
    while True:
        try:
            new.replace(path)
            return
        except PermissionError:  # Windows, while somebody reads the old file
            if time.monotonic() > deadline:
                new.unlink(missing_ok=True)
                raise
            time.sleep(0.02)


def make_folder(path: Path) -> Path:
    """Make a folder that only its owner can read; one that exists stays as it is."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError) -> PracticeError:
    """Make the exception for a state folder that cannot be used."""
    return PracticeError(
        _(
            "The practice services keep their state in {folder}, and {path} cannot be written: "
            "{error}. Make that folder writable, or set the environment variable OTW_STATE_DIR to "
            "a folder on this machine that is.",
            folder=folder(),
            path=path,
            error=error.strerror or error,
        )
    )


@contextlib.contextmanager
def lock(tick: Tick = lambda: None) -> Iterator[None]:
    """Hold the one lock of this state folder; whoever changes anything in it does."""
    import filelock  # 8 ms: `otw practice status` and the services need none of it

    path = make_folder(folder()) / "lock"
    held = filelock.FileLock(path, mode=0o600)
    limit = time.monotonic() + LOCK_LIMIT
    while not held.is_locked:
        try:
            held.acquire(timeout=0.05, poll_interval=0.02)
        except filelock.Timeout:  # an OSError as well, so it comes first
            tick()
            if time.monotonic() > limit:
                raise PracticeError(
                    _(
                        "Another program has been starting practice services for {seconds:.0f} s "
                        "and still holds {path}. Look for an `otw` or a notebook that hangs, end "
                        "it and try again.",
                        seconds=LOCK_LIMIT,
                        path=path,
                    )
                ) from None
        except (OSError, NotImplementedError) as error:
            raise unwritable(
                path, error if isinstance(error, OSError) else OSError(error)
            ) from error
    try:
        yield
    finally:
        held.release()


def log_file(name: str) -> Path:
    """Return where a service writes its log."""
    return folder() / f"{name}.log"


def begin_log(path: Path, *notes: str) -> None:
    """Start a log anew, keep the previous one as `.1`, and write the manager's notes on top."""
    # Windows cannot rename a file that somebody has open: then the log goes on in it.
    with contextlib.suppress(OSError):
        path.replace(path.with_name(f"{path.name}.1"))
    add_to_log(path, *notes)


def add_to_log(path: Path, *notes: str) -> None:
    """Add the manager's notes to a service's log."""
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())  # as in the services' lines
    with open_log(path) as file:
        file.write("".join(f"{now} manager: {note}\n" for note in notes).encode())


def open_log(path: Path) -> Any:
    """Open a log for appending, in binary, readable by its owner only."""
    try:
        return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise unwritable(path, error) from error


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log, for a terminal; none when there is no log."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [printable(line.rstrip("\r\n")) for line in deque(file, maxlen=count)]
    except OSError:
        return []
