"""The command `otw`; the one module here that knows of `practice`."""

# What takes long to import is imported in the commands: `otw --help` is there at once.
import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
START = "notebooks/00-start-here.ipynb"


def main(argv: list[str] | None = None) -> int:
    """Run `otw`; returns its exit status: 0, 1 when it failed, 2 when it was asked wrongly."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.run is not _lab:
        parser.error(f"unknown argument: {rest[0]}. `otw --help` tells what there is.")
    arguments.rest = [word for word in rest if word != "--"]
    if arguments.run is _doctor:
        return _doctor(arguments)  # before the imports: it is asked when one of them fails
    from practice import services, state

    try:
        return arguments.run(arguments)
    except services.UnknownService as error:
        print(f"otw: {error}", file=sys.stderr)
        return 2
    except state.PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("otw: interrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otw", description="Over the Wire: calling AI inference services.", allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    lab = commands.add_parser(
        "lab",
        allow_abbrev=False,
        help="start the practice services and open JupyterLab",
        description="Start the practice services and open JupyterLab at the first chapter. Every "
        "other argument goes to JupyterLab: otw lab --no-browser --port=9999. When JupyterLab "
        "ends, and no other `otw lab` runs, the practice services end too.",
    )
    lab.set_defaults(run=_lab)
    doctor = commands.add_parser(
        "doctor", help="tell whether this machine is ready, and what to do"
    )
    doctor.add_argument("--json", action="store_true", help="for programs to read")
    doctor.set_defaults(run=_doctor)
    practice = commands.add_parser("practice", help="start, stop and watch the practice services")
    _add_practice(practice.add_subparsers(metavar="COMMAND", required=True))
    return parser


def _add_practice(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    def add_names(command: argparse.ArgumentParser) -> None:
        help_text = "a service; without one, all of them"
        command.add_argument("names", nargs="*", metavar="NAME", help=help_text)

    up = commands.add_parser("up", help="start services; those that run go on")
    add_names(up)
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop services")
    add_names(down)
    down.set_defaults(run=_down)

    status = commands.add_parser("status", help="tell which services run, and where")
    status.add_argument("--json", action="store_true", help="for programs to read")
    status.set_defaults(run=_status)

    logs = commands.add_parser("logs", help="print the last 100 lines of a service's log")
    add_names(logs)
    logs.set_defaults(run=_logs)

    env = commands.add_parser(
        "env",
        help="print where a service is, as variables for a shell",
        description='Try it with eval "$(otw practice env tfserving)", or in PowerShell with '
        "otw practice env tfserving | Invoke-Expression.",
    )
    env.add_argument("name", metavar="NAME", help="a service")
    shell = "powershell" if sys.platform == "win32" else "sh"
    env.add_argument("--shell", choices=["sh", "powershell"], default=shell,
                     help="whose syntax (default: %(default)s)")  # fmt: skip
    env.set_defaults(run=_env)


def _doctor(arguments: argparse.Namespace) -> int:
    import helpers

    report = helpers.doctor()
    if arguments.json:
        lines = [line._asdict() for line in report]
        print(json.dumps({"worst": report.worst, "lines": lines}, indent=2))
    else:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a word stands beside each sign
        print(report)
    return 1 if report.worst == "red" else 0


def _up(arguments: argparse.Namespace) -> int:
    from practice import launch, manager, progress

    with progress.bar("Starting the practice services", launch.LIMIT) as tick:
        manager.up(*arguments.names, tick=tick)
    _print_table(manager.status(*arguments.names))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    from practice import manager

    stopped = manager.down(*arguments.names)
    print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from practice import manager, state

    found = manager.status()
    if arguments.json:
        print(json.dumps({"state_dir": str(state.folder()), "services": found}, indent=2))
    else:
        _print_table(found)
    return 0


def _print_table(found: dict[str, dict]) -> None:
    for name, place in found.items():
        runs = "is not running" if place["pid"] is None else "does not answer"
        known = {key: value for key, value in place.items() if key != "healthy" and value}
        where = "  ".join(f"{key} {value}" for key, value in known.items())
        print(f"{name:<12}{'is ready' if place['healthy'] else runs:<17}{where}".rstrip())


def _logs(arguments: argparse.Namespace) -> int:
    from practice import services, state

    chosen = [services.get(name).name for name in arguments.names or services.SERVICES]
    missing = False
    for name in chosen:
        path = state.log_file(name)
        if path.exists():
            print(f"The log of {name}, {path}:", file=sys.stderr, flush=True)
            print(*state.last_lines(path, 100), sep="\n", flush=True)
        else:
            missing = True
            print(f"otw: {name} has no log: it was never started here. Start it with "
                  f"`otw practice up {name}`.", file=sys.stderr)  # fmt: skip
    return 1 if missing else 0


def _env(arguments: argparse.Namespace) -> int:
    import shlex

    from practice import manager, services

    name = services.get(arguments.name).name
    if not manager.status(name)[name]["healthy"]:
        print(f"otw: {name} is not running. Start it with `otw practice up {name}`.",
              file=sys.stderr)  # fmt: skip
        return 1
    for variable, value in manager.variables(name).items():
        if arguments.shell == "sh":
            print(f"export {variable}={shlex.quote(value)}")
        else:
            print(f"$env:{variable} = '{value.replace(chr(39), chr(39) * 2)}'")
    return 0


def _lab(arguments: argparse.Namespace) -> int:
    with _signals_for_jupyter() as processes:
        jupyter = subprocess.Popen(_jupyter_command(arguments.rest), env=_environment())
        processes.append(jupyter)
        ended, leases = threading.Event(), list[Path]()
        # Beside JupyterLab, so that neither waits for the other.
        starter = threading.Thread(target=_start_services, args=(ended, leases))
        starter.start()
        status = jupyter.wait()
        ended.set()
        starter.join()
        _leave(leases)
    return status if status >= 0 else 128 - status  # as a shell tells of a signal


def _jupyter_command(given: list[str]) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab"]
    # JupyterLab refuses an option that is given twice: whoever calls decides.
    if not any("root_dir" in word or word.startswith("--notebook-dir") for word in given):
        command.append(f"--ServerApp.root_dir={ROOT}")
    if not any("default_url" in word for word in given):
        command.append(f"--LabApp.default_url=/lab/tree/{START}")
    # In containers and on classroom images everybody is root, and JupyterLab would refuse.
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in given:
        command.append("--allow-root")
    return [*command, *given]


def _environment() -> dict[str, str]:
    # A classroom has no internet: .jupyter tells JupyterLab not to ask for news and updates.
    # Its terminals and cells find `otw` without the virtual environment activated.
    first = {"JUPYTER_CONFIG_PATH": ROOT / ".jupyter", "PATH": Path(sys.executable).parent}
    return os.environ | {
        name: os.pathsep.join(filter(None, [str(folder), os.environ.get(name)]))
        for name, folder in first.items()
    }


def _start_services(ended: threading.Event, leases: list[Path]) -> None:
    from practice import manager, state

    def tick() -> None:
        if ended.is_set():
            raise state.PracticeError("JupyterLab ended before the practice services were up.")

    try:
        leases.append(manager.enter_lab())
        manager.up(tick=tick)
    except state.PracticeError as error:  # JupyterLab goes on: its chapters can still be read
        print(f"otw: {error}", file=sys.stderr)


def _leave(leases: list[Path]) -> None:
    from practice import manager, state

    try:
        stopped = [name for lease in leases for name in manager.leave_lab(lease)]
    except state.PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return
    if stopped:
        print(f"Practice services stopped: {', '.join(stopped)}.")


@contextlib.contextmanager
def _signals_for_jupyter() -> Iterator[list[subprocess.Popen]]:
    """Leave Ctrl-C to JupyterLab, which asks first, and pass on the signals that end programs."""
    children: list[subprocess.Popen] = []

    def pass_on(*_: object) -> None:
        for child in children:
            child.terminate()

    # A function and not SIG_IGN, which JupyterLab would inherit.
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: pass_on}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = pass_on
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield children
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
