"""Which models and versions are served, the state of each, and how they come and go.

See tensorflow_serving/core: aspired_versions_manager.cc, availability_preserving_policy.cc,
load_servables_fast.cc.
"""

import dataclasses
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from practice.tfserving import config
from practice.tfserving.engine import Model, Servable
from practice.tfserving.failures import Failure

log = logging.getLogger("practice.tfserving")

START, LOADING, AVAILABLE, UNLOADING, END = 10, 20, 30, 40, 50
_DRAIN_SECONDS = 0.02  # between looks at whether the last request has let an old version go


@dataclasses.dataclass
class Version:
    """One version of a model: its folder, its state, and the reason when it failed."""

    folder: str
    wanted: bool = True
    state: int = START
    failure: Failure | None = None
    servable: Servable | None = None
    tries: int = 0
    next_try: float = 0.0  # time.monotonic()
    drain: tuple[weakref.ref, Model] | None = None  # while it is UNLOADING


@dataclasses.dataclass(frozen=True)
class Policy:
    """The flags that say when models are looked for, loaded and loaded again, and so on."""

    poll_seconds: float = 1.0  # 0 looks once, less than 0 never
    retries: int = 5
    retry_seconds: float = 60.0
    labels_for_unavailable: bool = False
    checks_methods: bool = False
    keep_serving: bool = False  # ours: a model that fails does not keep the others from it


class Models:
    """All models of the configuration.

    One thread of its own loads and unloads them, one after the other: the highest new version
    first, and an old one goes only when a wanted one is available.

    Parameters
    ----------
    load : callable
        Takes a version's folder; returns the loaded Model or raises Failure.
    policy : Policy
    """

    def __init__(self, load: Callable[[str], Model], policy: Policy | None = None) -> None:
        self._load, self._policy = load, policy or Policy()
        self._configs: dict[str, Any] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._available: Mapping[str, Mapping[int, Servable]] = {}  # highest version first
        self._changed = threading.Condition()
        self._next_look = 0.0
        self._ending = False
        self._thread = threading.Thread(target=self._manage, name="models", daemon=True)

    def find(self, spec: Any) -> Servable:
        """Return the available version that a ModelSpec means, or raise Failure."""
        name = spec.name
        if not name:
            raise Failure("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        available = self._available.get(name, {})
        asked = spec.WhichOneof("version_choice")
        if asked is None:
            found, wanted = next(iter(available.values()), None), f"Latest({name})"
        else:
            label = asked == "version_label"
            number = self._labelled(name, spec.version_label) if label else spec.version.value
            found, wanted = available.get(number), f"Specific({name}, {number})"
        if found is None:
            raise Failure("NOT_FOUND", f"Servable not found for request: {wanted}")
        return found

    def status(self, spec: Any) -> dict[int, Version]:
        """Return the versions that a ModelSpec means, highest first; a label is ignored."""
        with self._changed:
            versions = dict(_newest_first(self._versions.get(spec.name, {})))
        if not versions:
            raise Failure("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        if not spec.HasField("version"):
            return versions
        number = spec.version.value
        if number not in versions:
            raise Failure("NOT_FOUND", f"Could not find version {number} of model {spec.name}")
        return {number: versions[number]}

    def start(self, server_config: Any, stop: threading.Event) -> None:
        """Load what the configuration wants, and go on looking for changes.

        A folder that is missing is waited for until `stop` is set, and a model that fails to
        load is tried again, as the product does; then Failure is raised. With `keep_serving`
        (ours, not the product's) the failure stays with that version, and the others are served.
        """
        names = self.take(server_config)
        self._thread.start()
        self._wait(names, stop.is_set, "servable(s)")

    def reload(self, server_config: Any) -> None:
        """Take a new configuration in place of the old one, and wait until it is served.

        Raises
        ------
        Failure
            When it is refused, or when a model that is new in it fails to load.
        """
        self._wait(self.take(server_config), lambda: self._ending, "model(s)")

    def take(self, server_config: Any) -> list[str]:
        """Take a new configuration without waiting; returns the names that are new in it."""
        with self._changed:
            configs = config.by_name(server_config, self._configs)
            for each in configs.values():
                self._check_labels(each)
            new = [name for name in configs if name not in self._configs]
            self._configs = configs
            self._labels = {name: dict(each.version_labels) for name, each in configs.items()}
            for name in configs:
                self._versions.setdefault(name, {})
            self._next_look = 0.0
            self._changed.notify_all()
            return new

    def close(self) -> None:
        """End the thread. What is loaded stays until the last request is done with it."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def _labelled(self, name: str, label: str) -> int:
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise Failure("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return number

    def _check_labels(self, model: Any) -> None:
        known = self._labels.get(model.name, {})
        for label, number in model.version_labels.items():
            new = known.get(label, number) == number
            if self._policy.labels_for_unavailable and new:
                continue
            if number not in self._available.get(model.name, {}):
                raise Failure(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {number} of model {model.name}, which is "
                    "not currently available for inference",
                )

    def _wait(self, names: list[str], stopped: Callable[[], bool], what: str) -> None:
        """Wait until each of the models is served or has failed."""
        with self._changed:
            while not stopped() and not all(map(self._settled, names)):
                self._changed.wait(0.1)
            failed = [each for name in names for each in self._failures(name)]
        if failed and not stopped() and not self._policy.keep_serving:
            causes = "".join(f"{{{each}}}, " for each in failed)
            text = f"{len(failed)} {what} did not become available: {{{causes}}}"
            raise Failure("UNKNOWN", text)

    def _settled(self, name: str) -> bool:
        # What was unloaded before says nothing about a model that has come back.
        states = [each.state for each in self._versions[name].values() if each.wanted]
        if self._policy.keep_serving:  # nothing is waited for that is not there
            return self._next_look > 0 and all(state in (AVAILABLE, END) for state in states)
        return AVAILABLE in states or (bool(states) and set(states) == {END})

    def _failures(self, name: str) -> Iterator[str]:
        if not self._available.get(name):
            for number, each in self._versions[name].items():
                if each.failure and each.wanted:
                    yield f"{{name: {name} version: {number}}} due to error: {each.failure}"

    def _manage(self) -> None:
        with self._changed:
            while not self._ending:
                now = time.monotonic()
                if self._next_look <= now:
                    self._look(now)
                    self._changed.notify_all()
                if not self._act():
                    self._changed.wait(self._pause(time.monotonic()))

    def _look(self, now: float) -> None:
        """List the folders, and note which versions are wanted now."""
        poll = self._policy.poll_seconds
        self._next_look = now + poll if poll > 0 else float("inf")
        wanted: dict[str, dict[int, str]] = {}
        for name, each in self._configs.items():
            try:
                wanted[name] = config.wanted(each)
            except OSError as error:
                log.error(
                    "FileSystemStoragePathSource encountered a filesystem access error: Could not "
                    "find base path %s for servable %s with error %s",
                    each.base_path,
                    name,
                    error.strerror,
                )
                if not self._policy.keep_serving:
                    return  # the product gives the whole look up, for all models
        for name, versions in self._versions.items():
            if name in wanted or name not in self._configs:
                self._note(name, versions, wanted.get(name, {}))

    def _note(self, name: str, versions: dict[int, Version], folders: dict[int, str]) -> None:
        if not folders and name in self._configs:
            self._warn_of_none(name)
        for number, folder in folders.items():
            known = versions.get(number)
            if known is None or (known.state == END and not known.wanted):
                versions[number] = Version(folder)
        for number, version in versions.items():
            version.wanted = number in folders

    def _warn_of_none(self, name: str) -> None:
        log.warning(
            "No versions of servable %s found under base path %s. Did you forget to name your "
            "leaf directory as a number (eg. '/1/')?",
            name,
            self._configs[name].base_path,
        )

    def _act(self) -> bool:
        """Load or unload one version; False when there is nothing to do now."""
        for name, versions in self._versions.items():
            self._finish_unloading(versions)
            served = any(each.wanted and each.servable for each in versions.values())
            none_wanted = not any(each.wanted for each in versions.values())
            old = [n for n, each in versions.items() if each.servable and not each.wanted]
            if old and (served or none_wanted):
                self._unload(name, min(old), versions[min(old)])
                return True
            for number, version in _newest_first(versions):
                if self._is_due(version):
                    self._load_one(name, number, version)
                    return True
        return False

    def _is_due(self, version: Version) -> bool:
        """Whether a version is to be loaded now, for the first time or again."""
        if version.state not in (START, LOADING):
            return False
        if not version.wanted:
            version.state = END  # it went before it was loaded
            return False
        return version.next_try <= time.monotonic()

    def _load_one(self, name: str, number: int, version: Version) -> None:
        version.state, version.tries = LOADING, version.tries + 1
        self._changed.notify_all()
        self._changed.release()  # calls go on meanwhile
        started = time.monotonic()
        model, failure = None, None
        try:
            model = self._load(version.folder)
        except Failure as error:
            failure = error
        except Exception as error:  # whatever an engine raises must not end this thread
            log.exception("Loading %s failed", version.folder)
            failure = Failure("INTERNAL", f"{type(error).__name__}: {error}")
        finally:
            self._changed.acquire()
        if model is not None:
            took = 1000 * (time.monotonic() - started)
            version.servable = Servable(name, number, model, self._policy.checks_methods)
            version.state, version.failure = AVAILABLE, None
            log.info("Loaded servable {name: %s version: %d} in %.0f ms", name, number, took)
            self._publish()
        else:
            self._note_failure(name, number, version, failure)
        self._changed.notify_all()

    def _publish(self) -> None:
        """Put what is available where calls look; they hold no lock, so it is made anew."""
        self._available = {
            name: {n: each.servable for n, each in _newest_first(versions) if each.servable}
            for name, versions in self._versions.items()
        }

    def _note_failure(
        self, name: str, number: int, version: Version, failure: Failure | None
    ) -> None:
        log.error("Loading servable: {name: %s version: %d} failed: %s", name, number, failure)
        retries = 0 if self._policy.keep_serving else self._policy.retries
        if version.tries <= retries and version.wanted:
            version.next_try = time.monotonic() + self._policy.retry_seconds
        else:
            version.state, version.failure = END, failure

    def _unload(self, name: str, number: int, version: Version) -> None:
        """Take a version out of reach; its last requests run to their end."""
        servable = version.servable
        assert servable is not None  # noqa: S101  (for mypy)
        version.drain = weakref.ref(servable), servable.model
        version.servable, version.state = None, UNLOADING
        log.info("Unloading servable {name: %s version: %d}", name, number)
        self._publish()
        self._changed.notify_all()

    def _finish_unloading(self, versions: Mapping[int, Version]) -> None:
        for version in versions.values():
            if version.drain is not None and version.drain[0]() is None:
                version.drain[1].close()
                version.drain = None
                version.state = START if version.wanted else END  # it may have come back
                version.tries = 0
                self._changed.notify_all()

    def _pause(self, now: float) -> float | None:
        """Return the seconds until there may be something to do; None is until it is said."""
        deadline = self._next_look
        for versions in self._versions.values():
            for version in versions.values():
                if version.drain is not None:
                    deadline = min(deadline, now + _DRAIN_SECONDS)
                elif version.state == LOADING:
                    deadline = min(deadline, version.next_try)
        # A flag may say more than a lock can wait.
        return (
            None if deadline == float("inf") else min(max(deadline - now, 0), threading.TIMEOUT_MAX)
        )


def _newest_first(versions: Mapping[int, Version]) -> list[tuple[int, Version]]:
    return sorted(versions.items(), reverse=True)
