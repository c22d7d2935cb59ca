"""What `otw practice ...` does; each returns the exit status."""

import argparse
import json
import shlex
import sys

from helpers import progress
from practice import launch, manager, services, state


def up(arguments: argparse.Namespace) -> int:
    """Start services and tell where they are."""
    with progress.waiting("Starting the practice services", launch.LIMIT) as tick:
        manager.up(*arguments.names, tick=tick)
    _print_table(manager.status(*arguments.names))
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop services."""
    stopped = manager.down(*arguments.names)
    print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Tell which services run, and where."""
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
        print(f"{name:<13}{'is ready' if place['healthy'] else runs:<17}{where}".rstrip())


def logs(arguments: argparse.Namespace) -> int:
    """Print the end of each log."""
    chosen = [services.get(name).name for name in arguments.names or services.SERVICES]
    missing = False
    for name in chosen:
        path = state.log_file(name)
        if path.exists():
            print(f"The log of {name}, {path}:", file=sys.stderr, flush=True)
            print(*state.last_lines(path, 100), sep="\n", flush=True)
        else:
            missing = True
            print(
                f"otw: {name} has no log: it was never started here. Start it with "
                f"`otw practice up {name}`.",
                file=sys.stderr,
            )
    return 1 if missing else 0


def env(arguments: argparse.Namespace) -> int:
    """Print where a service is, for a shell to read."""
    name = services.get(arguments.name).name
    if not manager.status(name)[name]["healthy"]:
        print(
            f"otw: {name} is not running. Start it with `otw practice up {name}`.", file=sys.stderr
        )
        return 1
    for variable, value in manager.variables(name).items():
        if arguments.shell == "sh":
            print(f"export {variable}={shlex.quote(value)}")
        else:
            print(f"$env:{variable} = '{value.replace(chr(39), chr(39) * 2)}'")
    return 0
