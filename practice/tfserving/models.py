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
from practice.tfserving.failures import Failure, as_failure, invalid
from practice.tfserving.folders import Folders

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
    folders : Folders, optional
        From where models may be loaded; from anywhere without it, as in the product.
    """

    def __init__(
        self,
        load: Callable[[str], Model],
        policy: Policy | None = None,
        folders: Folders | None = None,
    ) -> None:
        self._load = load
        self._folders = folders
        self._policy = policy or Policy()
        self._first: dict[str, Any] = {}  # the configuration of the start
        self._configs: dict[str, Any] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._versions: dict[str, dict[int, Version]] = {}
        self._available: Mapping[str, Mapping[int, Servable]] = {}  # highest version first
        self._changed = threading.Condition()
        self._next_look = 0.0
        self._late: Any = None  # the configuration, until the first call starts this
        self._starting = threading.Lock()
        self._ending = False
        self._thread = threading.Thread(target=self._manage, name="models", daemon=True)

    def find(self, spec: Any) -> Servable:
        """Return the available version that a ModelSpec means, or raise Failure."""
        if self._late is not None:
            self._start_now()
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        available = self._available.get(spec.name, {})
        number = spec.version.value
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label":
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            number = labels[spec.version_label]
        if choice is None:
            number = next(iter(available), 0)
        if number not in available:
            asked = f"Specific({spec.name}, {number})" if choice else f"Latest({spec.name})"
            raise Failure("NOT_FOUND", f"Servable not found for request: {asked}")
        return available[number]

    def status(self, spec: Any) -> dict[int, Version]:
        """Return the versions that a ModelSpec means, highest first; a label is ignored."""
        if self._late is not None:
            self._start_now()
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
        self._first = self._configs
        self._thread.start()
        self._wait(names, stop.is_set, "servable(s)")

    def start_late(self, server_config: Any) -> None:
        """Take a configuration that the first call starts with, and waits for."""
        self._late = server_config

    def _start_now(self) -> None:
        with self._starting:
            if self._late is not None:
                self.start(self._late, threading.Event())
                self._late = None

    @property
    def started(self) -> bool:
        """Whether models were loaded."""
        return self._late is None and self._thread.ident is not None

    def problem(self) -> str:
        """Tell whether other models are wanted than at the start."""
        changed = [
            name
            for name in {**self._first, **self._configs}
            if self._first.get(name) != self._configs.get(name)
        ]
        return f"a reload changed what is served: {', '.join(changed)}" if changed else ""

    def reload(self, server_config: Any) -> None:
        """Take a new configuration in place of the old one, and wait until it is served.

        Raises
        ------
        Failure
            When it is refused, or when a model that is new in it fails to load.
        """
        if self._late is not None:
            self._start_now()
        self._wait(self.take(server_config), lambda: self._ending, "model(s)")

    def take(self, server_config: Any) -> list[str]:
        """Take a new configuration without waiting; returns the names that are new in it."""
        with self._changed:
            configs = config.by_name(server_config, self._configs)
            for model in configs.values():
                self._check_labels(model)
                if self._folders:
                    self._folders.check_place(model.base_path)
            new = [name for name in configs if name not in self._configs]
            self._configs = configs
            self._labels = {name: dict(model.version_labels) for name, model in configs.items()}
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

    def _check_labels(self, model: Any) -> None:
        before = self._labels.get(model.name, {})
        for label, number in model.version_labels.items():
            moved = before.get(label, number) != number
            if moved or not self._policy.labels_for_unavailable:
                self._check_available(model.name, number)

    def _check_available(self, name: str, number: int) -> None:
        if number not in self._available.get(name, {}):
            raise Failure(
                "FAILED_PRECONDITION",
                f"Request to assign label to version {number} of model {name}, which is "
                "not currently available for inference",
            )

    def _wait(self, names: list[str], stopped: Callable[[], bool], what: str) -> None:
        """Wait until each of the models is served or has failed."""
        with self._changed:
            while not stopped() and not all(map(self._settled, names)):
                self._changed.wait(0.1)
            causes = [cause for name in names for cause in self._failures(name)]
        if causes and not stopped() and not self._policy.keep_serving:
            text = "".join(f"{{{cause}}}, " for cause in causes)
            text = f"{len(causes)} {what} did not become available: {{{text}}}"
            raise Failure("UNKNOWN", text)

    def _settled(self, name: str) -> bool:
        # What was unloaded before says nothing about a model that has come back.
        states = [version.state for version in self._versions[name].values() if version.wanted]
        if self._policy.keep_serving:  # nothing is waited for that is not there
            return self._next_look > 0 and all(state in (AVAILABLE, END) for state in states)
        return AVAILABLE in states or (bool(states) and set(states) == {END})

    def _failures(self, name: str) -> Iterator[str]:
        if not self._available.get(name):
            for number, version in self._versions[name].items():
                if version.failure and version.wanted:
                    yield f"{{name: {name} version: {number}}} due to error: {version.failure}"

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
        for name, model in self._configs.items():
            try:
                wanted[name] = config.wanted(model)
            except OSError as error:
                log.error(
                    "FileSystemStoragePathSource encountered a filesystem access error: Could not "
                    "find base path %s for servable %s with error %s",
                    model.base_path,
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
            log.warning(
                "No versions of servable %s found under base path %s. Did you forget to name your "
                "leaf directory as a number (eg. '/1/')?",
                name,
                self._configs[name].base_path,
            )
        for number, folder in folders.items():
            earlier = versions.get(number)
            if earlier is None or (earlier.state == END and not earlier.wanted):
                versions[number] = Version(folder)
        for number, version in versions.items():
            version.wanted = number in folders

    def _act(self) -> bool:
        """Load or unload one version; False when there is nothing to do now."""
        for name, versions in self._versions.items():
            self._finish_unloading(versions)
            wanted = [version for version in versions.values() if version.wanted]
            served = any(version.servable for version in wanted)
            old = [n for n, version in versions.items() if version.servable and not version.wanted]
            if old and (served or not wanted):
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
        version.state = LOADING
        version.tries += 1
        self._changed.notify_all()
        self._changed.release()  # calls go on meanwhile
        started = time.monotonic()
        failure = None
        try:
            if self._folders:
                self._folders.check(version.folder)
            model = self._load(version.folder)
        except Exception as error:  # whatever an engine raises must not end this thread
            failure = as_failure(error, f"Loading {version.folder}")
        finally:
            self._changed.acquire()
        if failure is None:
            took = 1000 * (time.monotonic() - started)
            version.servable = Servable(name, number, model, self._policy.checks_methods)
            version.state = AVAILABLE
            version.failure = None
            log.info("Loaded servable {name: %s version: %d} in %.0f ms", name, number, took)
            self._publish()
        else:
            log.error("Loading servable: {name: %s version: %d} failed: %s", name, number, failure)
            retries = 0 if self._policy.keep_serving else self._policy.retries
            if version.tries <= retries and version.wanted:
                version.next_try = time.monotonic() + self._policy.retry_seconds
            else:
                version.state = END
                version.failure = failure
        self._changed.notify_all()

    def _publish(self) -> None:
        """Put what is available where calls look; they hold no lock, so it is made anew."""
        self._available = {
            name: {n: v.servable for n, v in _newest_first(versions) if v.servable}
            for name, versions in self._versions.items()
        }

    def _unload(self, name: str, number: int, version: Version) -> None:
        """Take a version out of reach; its last requests run to their end."""
        servable = version.servable
        assert servable is not None  # noqa: S101  (for mypy)
        version.drain = weakref.ref(servable), servable.model
        version.servable = None
        version.state = UNLOADING
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
        times = [self._next_look]
        for versions in self._versions.values():
            for version in versions.values():
                if version.drain is not None:
                    times.append(now + _DRAIN_SECONDS)
                elif version.state == LOADING:
                    times.append(version.next_try)
        if min(times) == float("inf"):
            return None
        # A flag may say more than a lock can wait.
        return min(max(min(times) - now, 0), threading.TIMEOUT_MAX)


def _newest_first(versions: Mapping[int, Version]) -> list[tuple[int, Version]]:
    return sorted(versions.items(), reverse=True)
