"""Start, stop and watch the practice services: one shared set per user."""

import concurrent.futures
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from helpers import endpoints
from helpers import progress as bars
from helpers.endpoints.practice import CLASS
from helpers.language import _, plural
from practice import launch, processes, services, state
from practice.launch import MODELS, Service

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
PATIENCE = 5.0  # seconds after which, the second time, a silent service counts as hung
SILENT = "does not answer"

_Result = TypeVar("_Result")


def ready(*names: str, progress: bool = True) -> None:
    """Make sure that practice services run, and that this program reaches them.

    What is not running is started. The shared services go on when this program ends. Where the
    environment names a service's server (`OTW_TFSERVING_GRPC`, ...), that one is used, nothing is
    started for it, and the line says so.

    Parameters
    ----------
    *names : str
        Such as `"tfserving"`; without one, every service but those that are started only when
        they are named, such as `"tfserving-tf"`.
    progress : bool
        Show a bar when it takes over two seconds.

    Raises
    ------
    PracticeError
        When a service cannot be started; the text has the last lines of its log. When a class's
        on another machine does not admit its student.

    Examples
    --------
    >>> import practice
    >>> practice.ready("tfserving")
    tfserving is ready. Loopback is in no_proxy.
    """
    asked = [service.name for service in _get(names or usual())]
    elsewhere = {name: endpoints.named(name) for name in asked}
    wanted = [name for name in asked if not elsewhere[name]]
    sentences = []
    if wanted:
        listed = _(" and ").join(filter(None, [", ".join(wanted[:-1]), wanted[-1]]))
        starting = _("Starting {names}", names=listed)
        with bars.waiting(starting, launch.LIMIT, shown=progress) as tick:
            repaired = up(*wanted, tick=tick)
        print("".join(f"{sentence}\n" for sentence in repaired), end="")
        sentences.append(
            plural("{names} is ready.", "{names} are ready.", len(wanted), names=listed)
        )
    if os.environ.get(CLASS["host"]):
        from practice import tunnel  # 30 ms, and few have a class on another machine

        for name in asked:
            if elsewhere[name]:
                tunnel.lead(name)
    sentences += [place(name) for name in asked if elsewhere[name]]
    bypass_proxy()
    print(*sentences, _("Loopback is in no_proxy."))


def place(name: str) -> str:
    """Say where the environment has a service's server, and that none is started."""
    variable, address = next(iter(endpoints.named(name).items()))
    address = address.rpartition("//")[2].partition("/")[0]
    if os.environ.get(CLASS["host"]):
        from practice import tunnel  # as in `ready`

        if there := tunnel.remote(address):
            return _(
                "{name} is the class's at {address}, where you are {student}: none is started "
                "here.",
                name=name,
                address=there,
                student=os.environ.get(CLASS["student"], ""),
            )
    return _(
        "{name} is the one at {address}, as {variable} says: none is started here.",
        name=name,
        address=address,
        variable=variable,
    )


def up(
    *names: str,
    tick: state.Tick = lambda: None,
    flags: Callable[[str], list[str]] = lambda name: [],
) -> list[str]:
    """Start the services that do not answer, or are not as they were, and return when all are well.

    One that is busy is left alone, however long its work takes.

    Parameters
    ----------
    *names : str
        Without one, every service but those that are started only when they are named.
    tick : callable
        Called again and again while waiting; what it raises ends the wait.
    flags : callable
        Takes a service's name; returns more words for its command line.

    Returns
    -------
    list of str
        A sentence for each service that answered, but was not as at its start.

    Raises
    ------
    PracticeError
        When a service cannot be started.
    """
    wanted = _get(names or usual())
    if not any(_while(tick, _problems, wanted, state.read_services(), PATIENCE)):
        return []
    with state.lock(tick):
        entries = state.read_services()
        # Once more: somebody else may have started it meanwhile, or it was only slow.
        problems = _while(tick, _problems, wanted, entries, PATIENCE)
        passwords = state.read_secrets("endpoints")
        broken = state.services_problem()
        launches = []
        repaired = []
        for service, problem in zip(wanted, problems, strict=True):
            if not problem:
                continue
            if problem != SILENT:
                repaired.append(
                    _("{name} was started again: {problem}.", name=service.name, problem=problem)
                )
            old = entries.pop(service.name, {})
            notes = _while(tick, _remove_remains, service, old, problem)
            state.begin_log(state.log_file(service.name), *filter(None, [broken]), *notes)
            more = flags(service.name)
            launches.append(launch.Launch(service, state.folder(), MODELS, old, flags=more))

        def done(started: launch.Launch) -> None:
            entries[started.service.name] = started.entry
            passwords[started.service.name] = started.passwords
            state.write_secrets("endpoints", passwords)
            state.write_services(entries)

        launch.bring_up(launches, done, tick)
        return repaired


def usual() -> list[str]:
    """Return the names of the services that are started when none is named."""
    return [service.name for service in services.SERVICES.values() if not service.on_demand]


def down(*names: str) -> list[str]:
    """Stop the shared services.

    Parameters
    ----------
    *names : str
        Without one, every service.

    Returns
    -------
    list of str
        Those that were running.
    """
    wanted = _get(names)
    if not state.folder().is_dir():
        return []
    with state.lock():
        return _stop(wanted)


def status(*names: str) -> dict[str, dict[str, Any]]:
    """Tell how each service does, and where it is.

    Parameters
    ----------
    *names : str
        Without one, every service.

    Returns
    -------
    dict
        For each service whether it is `healthy`, the `problem` if not, its `pid` and its
        addresses; None for what does not run.
    """
    wanted = _get(names)
    entries = state.read_services()
    report = {}
    for service, problem in zip(wanted, _problems(wanted, entries, 2.0), strict=True):
        entry = entries.get(service.name, {})
        runs = processes.find(entry, service.module) is not None
        shown = {key: entry.get(key) if runs else None for key in ("pid", *service.addresses)}
        words = _said(problem) if runs else _("is not running")
        report[service.name] = {"healthy": not problem, "problem": words, **shown}
    return report


def variables(name: str) -> dict[str, str]:
    """Return what other programs should know of a service that runs, secrets included."""
    entry = state.read_services().get(name, {})
    values = {**entry, **state.read_secrets(name)}
    result: dict[str, str] = {}
    for profile, fields in entry.get("endpoints", {}).items():
        result |= endpoints.variables(endpoints.running(fields["kind"], profile), profile)
    for key in services.get(name).variables:
        result[f"OTW_{name}_{key}".upper()] = str(values[key])
    return result


def enter_lab(tick: state.Tick = lambda: None) -> Path:
    """Note that an `otw lab` needs the services until this process ends; returns the lease."""
    with state.lock(tick):
        noted = lease(os.getpid())
        state.make_folder(noted.parent)
        state.write_json(noted, processes.record(os.getpid()))
        return noted


def lease(pid: int) -> Path:
    """Return where the `otw lab` of this process notes that it needs the services."""
    return state.folder() / "labs" / f"{pid}.json"


def leave_lab(own: Path) -> list[str]:
    """Give a lease back; the last one stops the services, and this names those it stopped."""
    with state.lock():
        own.unlink(missing_ok=True)
        for other in own.parent.glob("*.json"):
            if processes.find(state.read_json(other) or {}):
                return []
            other.unlink(missing_ok=True)  # of a process that was killed
        return _stop(services.SERVICES.values())


def _get(names: Iterable[str]) -> list[Service]:
    return [services.get(name) for name in dict.fromkeys(names or services.SERVICES)]


def _problems(wanted: list[Service], entries: dict[str, state.Record], seconds: float) -> list[str]:
    def problem(service: Service) -> str:
        entry = entries.get(service.name, {})
        if processes.find(entry, service.module) is None:
            return SILENT
        answer = launch.problem(entry, seconds)
        return SILENT if answer is None else answer

    with concurrent.futures.ThreadPoolExecutor(max(1, len(wanted))) as pool:
        return list(pool.map(problem, wanted))


def _said(problem: str) -> str:
    return _("does not answer") if problem == SILENT else problem


def _while(tick: state.Tick, function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Run what may take seconds, and tick meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(function, *arguments)
        while not concurrent.futures.wait([future], timeout=0.05).done:
            tick()
        return future.result()


def _remove_remains(service: Service, entry: state.Record, problem: str) -> list[str]:
    """End what is left of an earlier run, and say so."""
    notes = []
    remains = processes.find(entry, service.module)
    if remains:
        silent = f"did not answer, twice, within {PATIENCE:.0f} s"
        words = silent if problem == SILENT else f"is not as at its start: {problem}"
        notes.append(f"process {remains.pid} {words}")
        processes.end([remains], patience=1.0)
    elif entry:
        notes.append(f"process {entry.get('pid')} is gone, or is somebody else's now")
    for lost in _lost(service):
        notes.append(f"process {lost.pid} was started here, but services.json did not say so")
        processes.end([lost])
    if notes:
        processes.wait_until_free(service.wishes(entry).values())
    return notes


def _lost(service: Service) -> list[psutil.Process]:
    """Find shared instances whether services.json has them or not, by the files they read."""
    arguments = service.arguments(state.folder(), MODELS, service.ports)
    own = [word for word in arguments if str(state.folder()) in word]
    return processes.search(service.module, *own) if own else []


def _stop(wanted: Iterable[Service]) -> list[str]:
    entries = state.read_services()
    stopped = []
    running: dict[int, psutil.Process] = {}
    for service in wanted:
        recorded = processes.find(entries.pop(service.name, {}), service.module)
        instances = [process for process in (recorded, *_lost(service)) if process]
        if instances:
            stopped.append(service.name)
            running |= {process.pid: process for process in instances}
    processes.end(running.values())
    state.write_services(entries)
    return stopped


def bypass_proxy() -> None:
    """Put loopback into no_proxy, behind what is there already."""
    before = [os.environ.get(variable, "") for variable in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for host in ",".join(before).split(",") if host.strip()]
    if "*" in hosts:
        return  # everything bypasses the proxy, and a list would not mean that any more
    merged = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = merged
