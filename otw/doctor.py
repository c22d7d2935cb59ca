"""Is this machine ready for the chapters, and what to do if not: `otw doctor`."""

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import ssl
import sys
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from helpers import endpoints, tables
from helpers.endpoints import profiles
from helpers.language import _, plural
from otw import supported
from practice.ports import DEFAULT as DEFAULT_PORTS
from protos import official
from workbench import proxies as settings

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SIGNS = {"green": "✓", "amber": "!", "red": "✗"}  # a word stands beside each
_LOOPBACK = "localhost,127.0.0.1,::1"
_MB = 1_000_000
_LOCKED = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


class Line(NamedTuple):
    """One thing looked at: its state is green, amber or red."""

    name: str
    state: str
    meaning: str
    advice: str = ""


class Report(list[Line]):
    """What was found; a table in a notebook, text elsewhere."""

    @property
    def worst(self) -> str:
        """The worst state of any line."""
        return max((line.state for line in self), key=list(_SIGNS).index, default="green")

    def __repr__(self) -> str:
        lines = [_("This machine, checked:")]
        for line in self:
            state = tables.padded(_word(line.state), 6)
            lines.append(f"{_sign(line.state)} {state}{line.name}: {line.meaning}")
            lines += [f"{'':8}-> {line.advice}"] if line.advice else []
        return "\n".join([*lines, _("Worst: {state}.", state=_word(self.worst))])

    def _repr_html_(self) -> str:
        rows = (
            (f"{_SIGNS[line.state]} {_word(line.state)}", line.name, line.meaning, line.advice)
            for line in self
        )
        return tables.html(["", _("what"), _("found"), _("what to do")], rows, css="otw-doctor")


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; returns the exit status, 1 when something is red."""
    report = doctor()
    if arguments.json:
        lines = [line._asdict() for line in report]
        print(json.dumps({"worst": report.worst, "lines": lines}, indent=2))
    else:
        print(report)
    return 1 if report.worst == "red" else 0


def doctor() -> Report:
    """Look at everything a chapter needs on this machine.

    Returns
    -------
    Report
        A `Line` for each thing: Python, packages, disk, ports, services, proxies,
        certificates, browser. Nothing is changed, and nothing is sent to the network.
    """
    checks: list[Callable[[], Iterator[Line]]] = [
        python,
        packages,
        disk,
        ports,
        services,
        proxies,
        certificates,
        long_paths,
        browser,
    ]
    report = Report()
    for check in checks:
        try:
            report.extend(check())
        except Exception as error:  # one check that fails must not hide the others
            name = check.__name__.replace("_", " ")
            report.append(Line(name, "amber", _("could not be checked: {error}", error=error)))
    return report


def python() -> Iterator[Line]:
    """Look at Python and the system, and whether an environment of its own is used."""
    version = platform.python_version()
    if problem := supported.problem():
        yield Line("Python", "red", problem, _("Take another Python, or another machine."))
    elif sys.prefix == sys.base_prefix and not os.environ.get("CONDA_PREFIX"):
        meaning = _("{version}, outside a virtual environment", version=version)
        advice = _("Start with `make lab`, or see README: Windows, or without make.")
        yield Line("Python", "amber", meaning, advice)
    else:
        meaning = _("{version}, in an environment of its own", version=version)
        yield Line("Python", "green", meaning)


def packages() -> Iterator[Line]:
    """Compare the installed versions with the lock: the chapters' packages and TensorFlow."""
    installed = _installed()
    needed = importlib.metadata.requires("over-the-wire") or ()
    names = [re.split(r"[^\w.-]", text)[0] for text in needed]
    missing = sorted(name for name in names if _plain(name) not in installed)
    if missing:
        meaning = _("missing: {names}", names=", ".join(missing))
        yield Line(_("packages"), "red", meaning, _("Run `make lab` again."))
    from packaging.markers import Marker  # may be missing

    applies = functools.cache(lambda marker: not marker or Marker(marker).evaluate())
    locked = [line for path in _locks() for line in _LOCKED.findall(path.read_text("utf-8"))]
    differ = sorted(
        f"{name} {version}"
        for name, wanted, marker in set(locked)
        if (version := installed.get(_plain(name))) and version != wanted and applies(marker)
    )
    if differ:
        meaning = _("not as locked: {names}", names=", ".join(differ[:3]))
        if len(differ) > 3:
            meaning += " " + _("and {count} more", count=len(differ) - 3)
        advice = _("It may work. If not: `make clean`, then `make lab`.")
        yield Line(_("packages"), "amber", meaning, advice)
    elif not missing:
        meaning = _("as in requirements.txt")
        if not official.has_tensorflow():
            meaning = _("as in requirements.txt; without TensorFlow")
        yield Line(_("packages"), "green", meaning)


def _locks() -> list[Path]:
    locks = [Path(_ROOT, "requirements.txt")]
    if official.has_tensorflow():
        locks.append(Path(_ROOT, "requirements/tensorflow.txt"))
    if importlib.util.find_spec("ray"):
        locks.append(Path(_ROOT, "requirements/scale.txt"))
    return locks


def _installed() -> dict[str, str]:
    # From the folders' names: to open 200 files would take longer than all else here.
    versions: dict[str, str] = {}
    for place in filter(os.path.isdir, sys.path):
        for folder in os.listdir(place):
            if parts := re.fullmatch(r"([^-]+)-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info", folder):
                versions.setdefault(_plain(parts[1]), parts[2])
    return versions


def disk() -> Iterator[Line]:
    """Look at the free space, and whether the state folder can be written."""
    state = os.path.abspath(endpoints.state_dir())
    while not os.path.exists(state):
        state = os.path.dirname(state)
    for name, folder in ((_("disk"), _ROOT), (_("disk of the state folder"), state)):
        free = shutil.disk_usage(folder).free // _MB
        colour = "red" if free < 200 else "amber" if free < 1000 else "green"
        meaning = _("{count:,} MB free", count=free)
        yield Line(name, colour, meaning, "" if free >= 1000 else _("Make room."))
    if not (os.path.isdir(state) and os.access(state, os.W_OK)):
        advice = _("Set OTW_STATE_DIR to one that can.")
        yield Line(_("state folder"), "red", _("cannot be written"), advice)


def ports() -> Iterator[Line]:
    """Look at who listens on the practice services' usual ports."""
    listening = _listening()
    for name, own in DEFAULT_PORTS.items():
        for key, port in own.items():
            owner = _owner(port, listening)
            what = _("port {port}", port=port)
            if not owner:
                yield Line(what, "green", _("free, for {name}", name=name))
            elif port == practice_port(name, key) and _is_practice(port, listening):
                yield Line(what, "green", _("used by the practice service {name}", name=name))
            else:
                # Nobody has to do anything; on a machine with many users, all are taken.
                meaning = _(
                    "used by {process}: {name} takes another port", process=owner, name=name
                )
                yield Line(what, "green", meaning)


def services() -> Iterator[Line]:
    """Look whether the practice services run."""
    listening = _listening()
    for name, own in DEFAULT_PORTS.items():
        port = practice_port(name, next(iter(own)))
        what = _("service {name}", name=name)
        advice = _("practice.ready('{name}'), or `otw practice up {name}`.", name=name)
        if elsewhere := endpoints.named(name):
            variable, address = next(iter(elsewhere.items()))
            meaning = _("is at {address}, as {variable} says", address=address, variable=variable)
            yield Line(what, "green", meaning)
        elif port and _is_practice(port, listening):
            from practice import launch  # optional: it may be what does not work

            problem = launch.problem(endpoints.read_services()[name], 2.0)
            if problem == "":
                yield Line(what, "green", _("listens on 127.0.0.1:{port}", port=port))
            else:
                yield Line(what, "amber", problem or _("does not answer"), advice)
        elif name in ("tfserving-tf", "rayserve"):
            yield Line(what, "green", _("does not run; who needs it starts it"))
        else:
            yield Line(what, "amber", _("does not run"), advice)


def proxies() -> Iterator[Line]:
    """Look whether a proxy would catch calls to this machine or to a profile's server."""
    for problem in profiles.read()[1]:
        advice = _("Correct the file; the other profiles work.")
        yield Line(_("profiles"), "amber", problem, advice)
    urls = urllib.request.getproxies_environment()
    catching = [
        f"{name} ({settings.address(url)})"
        for name, url in os.environ.items()
        if name.lower().removesuffix("_proxy") in urls.keys() - {"no"} and url
    ]
    if not catching:
        yield Line(_("proxy"), "green", _("none is set"))
        return
    if all(map(urllib.request.proxy_bypass, ("127.0.0.1", "localhost"))):
        yield Line(_("proxy"), "green", _("set, and calls to this machine go past it"))
    else:
        variables = ", ".join(sorted(catching))
        meaning = _("{variables} would catch calls to this machine", variables=variables)
        yield Line(_("proxy"), "amber", meaning, _no_proxy(_LOOPBACK))
    yield from _listed_endpoints()


def _listed_endpoints() -> Iterator[Line]:
    saved, _problems = profiles.read()
    listed = {_("profile {name}", name=name): endpoint for name, endpoint in saved.items()}
    for kind, ours in endpoints.PROFILES.items():
        for profile, names in ours.items():
            for field in {"rest", "grpc"} & set(endpoints.environment(kind, profile)):
                listed[names[field]] = endpoints.load(kind, profile)
    for name, endpoint in listed.items():
        if address := settings.proxy(endpoint):
            command = _no_proxy(settings.host_of(endpoint))
            advice = _("If it should not be: {command}", command=command)
            source = settings.variable(endpoint) or _("the system's settings")
            meaning = _(
                "is called through {proxy}, because of {source}", proxy=address, source=source
            )
            yield Line(name, "amber", meaning, advice)


def certificates() -> Iterator[Line]:
    """Look at the variables that a TLS-inspecting proxy needs."""
    for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        path = os.environ.get(name)
        if not path or os.path.isdir(path):
            continue
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with contextlib.suppress(OSError):  # ssl.SSLError, for what is no certificate, is one
            context.load_verify_locations(path)
        count = len(context.get_ca_certs())
        if count:
            meaning = plural(
                "names a file with {count} certificate",
                "names a file with {count} certificates",
                count,
            )
            yield Line(name, "green", meaning)
        else:
            advice = _("Correct or remove the variable: TLS fails with it.")
            yield Line(name, "red", _("names a file without certificates"), advice)


def long_paths() -> Iterator[Line]:
    """Look whether Windows takes paths of over 260 characters; nothing elsewhere."""
    if sys.platform != "win32":
        return
    import winreg  # Windows has it

    with winreg.OpenKey(
        winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem"
    ) as key:
        on = winreg.QueryValueEx(key, "LongPathsEnabled")[0]
    if on:
        yield Line(_("long paths"), "green", _("are enabled"))
    else:
        advice = _("Keep the project in a short path, such as C:\\otw.")
        yield Line(_("long paths"), "amber", _("are not enabled"), advice)


def browser() -> Iterator[Line]:
    """Look whether JupyterLab would find a browser from here, as it looks itself."""
    try:
        webbrowser.get()
    except webbrowser.Error:
        advice = _("Open the address JupyterLab prints.")
        yield Line(_("browser"), "amber", _("none was found"), advice)
    else:
        yield Line(_("browser"), "green", _("there is one"))


def _sign(state: str) -> str:
    try:
        _SIGNS[state].encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return {"green": "+", "red": "x"}[state]
    return _SIGNS[state]


def _word(state: str) -> str:
    return {"green": _("green"), "amber": _("amber"), "red": _("red")}[state]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _no_proxy(hosts: str) -> str:
    both = ",".join(filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), hosts]))
    if sys.platform == "win32":
        return f"$env:no_proxy = '{both}'"
    return f"export no_proxy={both}"


def practice_port(name: str, key: str) -> int:
    # Not by way of an endpoint: the proxy is none.
    port = str(endpoints.read_services().get(name, {}).get(key)).rpartition(":")[2]
    return int(port) if port.isdigit() else 0


def _owner(port: int, listening: dict[int, Any]) -> str:
    """Return the name and number of the process that listens on a port, or nothing."""
    import psutil  # may be missing

    if process := listening.get(port):
        with contextlib.suppress(psutil.Error):  # it has ended since
            return _("{name} (process {pid})", name=process.name(), pid=process.pid)
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
        return _("another program")
    return ""


def _is_practice(port: int, listening: dict[int, Any]) -> bool:
    import psutil  # may be missing

    with contextlib.suppress(psutil.Error, KeyError):
        return any(word.startswith("practice.") for word in listening[port].cmdline())
    return False


def _listening() -> dict[int, Any]:
    """Return the process behind each port of this machine that somebody listens on."""
    import psutil  # may be missing

    listening: dict[int, Any] = {}
    with contextlib.suppress(psutil.Error, OSError):
        for socket_ in psutil.net_connections(kind="tcp"):
            if socket_.status == psutil.CONN_LISTEN and socket_.laddr and socket_.pid:
                with contextlib.suppress(psutil.Error):
                    listening.setdefault(socket_.laddr[1], psutil.Process(socket_.pid))
    return listening
