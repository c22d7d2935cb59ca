"""What `otw practice ...` does; each returns the exit status."""

import argparse
import json
import sys
from collections.abc import Mapping

from helpers import progress, tables
from helpers.language import _
from practice import launch, manager, services, state


def up(arguments: argparse.Namespace) -> int:
    """Start services and tell where they are."""
    with progress.waiting(_("Starting the practice services"), launch.LIMIT) as tick:
        repaired = manager.up(*arguments.names, tick=tick)
    for sentence in repaired:
        print(sentence)
    print_table(manager.status(*arguments.names))
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop services."""
    stopped = manager.down(*arguments.names)
    sentence = _("Stopped: {names}.", names=", ".join(stopped))
    print(sentence if stopped else _("Nothing was running."))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Tell which services run, and where."""
    report = manager.status()
    if arguments.json:
        print(json.dumps({"state_dir": str(state.folder()), "services": report}, indent=2))
    else:
        print_table(report)
    return 0


def print_table(report: dict[str, dict]) -> None:
    """Print a line for each service."""
    for name, row in report.items():
        healthy = row.pop("healthy")
        problem = row.pop("problem")
        addresses = "  ".join(f"{key} {value}" for key, value in row.items() if value)
        condition = _("is ready") if healthy else problem
        print(f"{name:<13}{tables.padded(condition, 16)} {addresses}".rstrip())


def logs(arguments: argparse.Namespace) -> int:
    """Print the end of each log."""
    names = [services.get(name).name for name in arguments.names or services.SERVICES]
    status = 0
    for name in names:
        path = state.log_file(name)
        if path.exists():
            print(
                _("The log of {name}, {path}:", name=name, path=path), file=sys.stderr, flush=True
            )
            print(*state.last_lines(path, 100), sep="\n", flush=True)
        else:
            status = _fail(_("{name} has no log: it was never started here.", name=name), name)
    return status


def env(arguments: argparse.Namespace) -> int:
    """Print where a service is, for a shell to read."""
    name = services.get(arguments.name).name
    if not manager.status(name)[name]["healthy"]:
        return _fail(_("{name} is not running.", name=name), name)
    print_variables(manager.variables(name), arguments.shell)
    return 0


def print_variables(variables: Mapping[str, str], shell: str) -> None:
    """Print variables of the environment as `sh` or `powershell` reads them."""
    from workbench.code.curl import quoted  # 130 ms

    for variable, value in variables.items():
        text = quoted([value], shell)
        begin, equals = ("export ", "=") if shell == "sh" else ("$env:", " = ")
        print(f"{begin}{variable}{equals}{text}")


def _fail(problem: str, name: str) -> int:
    advice = _("Start it with `otw practice up {name}`.", name=name)
    print(f"otw: {problem} {advice}", file=sys.stderr)
    return 1
