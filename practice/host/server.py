"""What all practice services share: loopback ports, limits, the log, and a clean end."""

import argparse
import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from helpers.interrupts import Stop
from practice.host import calls, limits
from practice.host.peers import Peers, of_this_user

if TYPE_CHECKING:
    from practice.host.students import Students
    from practice.host.trouble import Source

LOOPBACK = "127.0.0.1"  # the real product listens on every address; a practice service must not
log = logging.getLogger("practice")


def start_log() -> None:
    """Write the log to stderr, one line an event, with the time in UTC."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its start and end are in our lines


def trouble_source(flags: argparse.Namespace) -> "Source | None":
    """Return where faults come from; ValueError for a service that others may be using."""
    if flags.trouble_file is None:
        return None
    if not flags.exit_with_pid:
        raise ValueError("--trouble_file is for a private service: it needs --exit_with_pid.")
    from practice.host import trouble  # 10 ms, and a shared service has none

    return trouble.Source(flags.trouble_file)


def troubled(app: Callable, source: "Source | None") -> Callable:
    """Put a source's faults into an ASGI application; without one it stays as it is."""
    return app if source is None else source.application(app)


class Activity(grpc.ServerInterceptor):
    """Remembers when the last call came, so that an idle service can end, and who may call.

    Parameters
    ----------
    peers : Peers, optional
        Whose calls are answered; everybody's without it.
    students : Students, optional
        Whose calls are counted.

    Attributes
    ----------
    problem : callable
        Returns what is not as it was at the start, or nothing. It waits for nobody.
    loaded : callable
        Whether there are engines that a call would load again.
    unloaded : list of str
        What to add to the command line, so that only a call loads them.
    """

    def __init__(self, peers: Peers | None = None, students: "Students | None" = None) -> None:
        self.last_call = time.monotonic()
        self._under_way = 0
        self._lock = threading.Lock()
        self.peers = peers
        self.students = students
        self.problem: Callable[[], str] = lambda: ""
        self.loaded: Callable[[], bool] = lambda: False
        self.unloaded: list[str] = []

    @classmethod
    def of(cls, flags: argparse.Namespace) -> "Activity":
        """Make that of a service, from its flags."""
        if flags.class_file:
            from practice.host import students  # 1 ms, and for a class only

            listed = students.Students(flags.class_file, flags.calls_file)
            return cls(Peers(listed, students.REFUSAL, listed), listed)
        return cls(of_this_user() if flags.this_user_only else None)

    def notice(self) -> None:
        """Note that a call came just now."""
        self.last_call = time.monotonic()

    def begin(self) -> None:
        """Note that a call is worked on from now on."""
        with self._lock:
            self._under_way += 1

    def end(self) -> None:
        """Note that it is no more."""
        with self._lock:
            self._under_way -= 1
            self.last_call = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds since the last call came or ended; 0 while one is worked on."""
        return 0.0 if self._under_way else time.monotonic() - self.last_call

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        self.notice()
        return continuation(handler_call_details)


class Server(Protocol):
    """What answers on a port once `start` is called: gRPC, the web or the proxy."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class GrpcServer:
    """A gRPC server: add services and ports to `grpc`. It stops within two seconds.

    Parameters
    ----------
    activity : Activity
    source : Source, optional
        Of faults.
    port : int
        Where it will listen.
    interceptors : ServerInterceptor
        More of them; those of all services come first.
    threads : int
        Calls that are worked on at once; 0 is as many as TensorFlow Serving's.
    options : sequence of (str, int or str)
        gRPC's own; they go before those of all services.

    Attributes
    ----------
    tls : bool
        Whether the port that was added has TLS.
    """

    protocol = "h2"  # as TLS calls it

    def __init__(
        self,
        activity: Activity,
        source: "Source | None",
        port: int,
        *interceptors: grpc.ServerInterceptor,
        threads: int = 0,
        options: Sequence[tuple[str, int | str]] = (),
    ) -> None:
        threads = threads or 4 * (os.cpu_count() or 1)
        self._calls = calls.Calls(threads, activity)
        guards: list[grpc.ServerInterceptor] = [self._calls, activity]
        if activity.peers:
            guards.append(activity.peers.guard((LOOPBACK, port), activity.students))
        if source is not None:
            guards.append(source)
        self.port = port
        self.tls = False
        self._ended = threading.Event()
        self.grpc = grpc.server(
            self._calls.workers,
            interceptors=[*guards, *interceptors],
            options=[
                *options,  # gRPC takes the first of two
                *calls.options(),
                ("grpc.so_reuseport", 0),  # or two services would share one port unnoticed
            ],
        )

    def start(self) -> None:
        """Begin to answer."""
        self.grpc.start()
        watch = self._calls.watch
        threading.Thread(target=watch, args=[self._ended], name="slow calls", daemon=True).start()

    def stop(self) -> None:
        """Finish what is being answered, for two seconds at most."""
        self._ended.set()
        self.grpc.stop(grace=2).wait()
        self._calls.workers.shutdown()


def main(flags: argparse.Namespace, open_servers: Callable[[Activity], Sequence[Server]]) -> int:
    """Bind the ports and serve until told to end; returns the exit status.

    Parameters
    ----------
    flags : Namespace
        With those of `flags.add_lifetime`. What ends in `port` is told in the log.
    open_servers : callable
        Makes the servers, with their ports bound.
    """
    start_log()
    limits.connections()
    activity = Activity.of(flags)
    stop = Stop()
    try:
        servers = with_door(open_servers(activity), activity, flags)
    except (OSError, RuntimeError, ValueError) as error:
        log.error("The service cannot start: %s", error)
        return 1
    if not servers:
        log.error("Every port is 0: there is nothing to serve.")
        return 1
    for name, value in vars(flags).items():
        if name.endswith("port"):
            log.info("%s: %s:%d", name, LOOPBACK, value)
    run(servers, activity, stop, flags)
    return 0


def with_door(
    servers: Sequence[Server], activity: Activity, flags: argparse.Namespace
) -> Sequence[Server]:
    """Add the door through which a class's students on other machines come, if there is one.

    Raises
    ------
    OSError
        When a port is taken there.
    ValueError
        Without a class.
    """
    if not flags.bind or not servers:
        return servers
    if activity.peers is None or activity.students is None:
        raise ValueError("--bind is for a class: it needs --class_file.")
    from practice.host.door import Door  # 30 ms, and few classes have one

    activity.peers.hosts = (flags.bind,)
    return [*servers, Door(flags.bind, flags.class_file.parent, servers, activity.students)]


def run(
    servers: Sequence[Server],
    activity: Activity,
    stop: threading.Event,
    flags: argparse.Namespace,
) -> None:
    """Start the servers and stay until a signal, idleness or another process's end.

    Parameters
    ----------
    servers : list of Server
        With their ports already bound.
    activity : Activity
        As they were given it.
    stop : Event
        A `Stop`.
    flags : Namespace
        With those of `flags.add_lifetime`; 0 is never, and no process.
    """
    alive = _watch(flags.exit_with_pid)
    unloads = False
    for server in servers:
        server.start()
    while not stop.wait(1.0):
        limits.give_memory_back()
        if activity.students:
            activity.students.save()
        idle = activity.idle
        if flags.idle_timeout_seconds and idle > flags.idle_timeout_seconds:
            log.info("No call for %.0f s: ending.", flags.idle_timeout_seconds)
            break
        if _may_unload(flags, idle) and activity.loaded() and not activity.problem():
            log.info("No call for %.0f s: giving the engines' memory back.", idle)
            unloads = True
            break
        if not alive():
            log.info("Process %d has ended: ending too.", flags.exit_with_pid)
            break
    with futures.ThreadPoolExecutor(len(servers)) as pool:  # at once: all have the same two seconds
        list(pool.map(lambda server: server.stop(), servers))
    if activity.students:
        activity.students.save()
    log.info("Ended.")
    if unloads:
        # The same process, and its number, with nothing in it: no library gives back all it took.
        words = [word for word in activity.unloaded if word not in sys.orig_argv]
        os.execv(sys.executable, [*sys.orig_argv, *words])  # noqa: S606


def _may_unload(flags: argparse.Namespace, idle: float) -> bool:
    # Windows would start another process, which nobody knows.
    return 0 < flags.unload_timeout_seconds < idle and sys.platform != "win32"


def _watch(pid: int) -> Callable[[], bool]:
    if not pid:
        return lambda: True
    # 8 ms, and a shared service watches nobody
    import psutil

    from practice import processes

    try:
        return functools.partial(processes.alive, psutil.Process(pid))
    except psutil.NoSuchProcess:
        return lambda: False
