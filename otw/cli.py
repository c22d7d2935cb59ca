"""The command `otw`: what it takes, and which module does it."""

# A command's module is imported when it is asked for: `otw --help` is there at once, and where one
# command's packages are missing, the others work.
import argparse
import json
import sys
from typing import Any, TypeAlias

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: list[str] | None = None) -> int:
    """Run `otw`; returns its exit status: 0, 1 when it failed, 2 when it was asked wrongly."""
    parser, commands = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.run is not _lab:
        asked = commands.choices[arguments.asked]
        asked.error(f"unknown argument: {rest[0]}. `{asked.prog} --help` tells what there is.")
    arguments.rest = [word for word in rest if word != "--"]
    if arguments.run in (_doctor, _describe, _predict, _explore):
        return arguments.run(arguments)  # they work where the practice services do not
    # Not sooner: it may be what does not work.
    from practice import state
    from practice.services import UnknownService

    try:
        return arguments.run(arguments)
    except UnknownService as error:
        print(f"otw: {error}", file=sys.stderr)
        return 2
    except state.PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("otw: interrupted.", file=sys.stderr)
        return 130


def _parser() -> tuple[argparse.ArgumentParser, _Commands]:
    parser = argparse.ArgumentParser(
        prog="otw", description="Over the Wire: calling AI inference services.", allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="asked", required=True)
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
    _add_serve(commands)
    _add_calls(commands)
    _add_explore(commands)
    practice = commands.add_parser("practice", help="start, stop and watch the practice services")
    _add_practice(practice.add_subparsers(metavar="COMMAND", required=True))
    return parser, commands


def _add_serve(commands: _Commands) -> None:
    serve = commands.add_parser(
        "serve",
        allow_abbrev=False,
        help="serve a model of your own, and show how to call it",
        description="Serve a model as TensorFlow Serving does, over gRPC and REST, until Ctrl-C. "
        "It prints the model's signatures and a call to paste, and keeps the address as a "
        "profile.",
    )
    serve.add_argument(
        "path",
        metavar="FOLDER",
        help="a SavedModel, a folder of its versions (1, 2, ...), or a .tflite file",
    )
    serve.add_argument("--name", default="", help="of model and profile (default: the folder's)")
    serve.set_defaults(run=_serve)


def _add_calls(commands: _Commands) -> None:
    from otw import statuses  # 13 ms: else to import this module takes twice as long

    manner: dict[str, Any] = {
        "allow_abbrev": False,
        "epilog": statuses.EPILOG,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    describe = commands.add_parser(
        "describe",
        help="tell what a model at an endpoint takes and gives",
        description="Tell the state of a model's versions, and its signatures.",
        **manner,
    )
    _add_model(describe, "for programs to read")
    describe.set_defaults(run=_describe)
    predict = commands.add_parser(
        "predict",
        help="call a model at an endpoint",
        description="Call a model. VALUE is a number, a list as JSON, a table, or text for string\n"
        "inputs; @FILE is a .npy, .csv, .json or text file or a picture, and @- is\n"
        "standard input. An input given several times makes a call for each.",
        **manner,
    )
    _add_model(predict, "for programs to read; one line for each call")
    predict.add_argument(
        "--input",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what the model gets, such as images=@digit.png; --input=NAME=VALUE "
        "where the name begins with -",
    )
    predict.add_argument("--signature", default="", help="default: serving_default")
    predict.add_argument(
        "--save", metavar="FOLDER", default="", help="write each output there as a .npy file, too"
    )
    predict.set_defaults(run=_predict)


def _add_explore(commands: _Commands) -> None:
    explore = commands.add_parser(
        "explore",
        allow_abbrev=False,
        help="explore a server's models in the browser, without a notebook",
        description="Open the explorer in the browser: what the models take, a form for it, the "
        "call as code, the answer. It listens on this machine only, and the address that it "
        "prints has a token in it. Ctrl-C ends it.",
    )
    _add_endpoint(explore)
    explore.add_argument(
        "--model",
        dest="models",
        metavar="NAME",
        action="append",
        default=[],
        help="a model to look for; may be given several times",
    )
    explore.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="look for the models of this file, as TensorFlow Serving's "
        "--model_config_file takes it",
    )
    explore.add_argument(
        "--port", type=_port, default=0, help="of the page (default: 8866, or a free one)"
    )
    explore.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the page's address"
    )
    explore.set_defaults(run=_explore, model="", version=None, label="")


def _add_model(command: argparse.ArgumentParser, json_help: str) -> None:
    _add_endpoint(command)
    command.add_argument("model", type=_name, help="the model's name", metavar="MODEL")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--version", type=_count, help="default: what the service chooses")
    which.add_argument("--label", default="", help="a version label, such as stable")
    command.add_argument("--json", action="store_true", help=json_help)


def _add_endpoint(command: argparse.ArgumentParser) -> None:
    def add(name: str, help_text: str, **more: Any) -> None:
        command.add_argument(name, help=help_text, **more)

    add("address", "the gRPC port, or http://HOST:PORT for REST", metavar="HOST:PORT")
    add(
        "--protocol",
        "whose port HOST:PORT is (default: gRPC's)",
        choices=["grpc", "rest"],
        default="",
    )
    add("--tls", "encrypt; for REST write https://", action="store_true")
    add("--ca-file", "PEM file of the authority to trust; sets --tls", metavar="FILE", default="")
    add("--user", "the password is in the variable OTW_PASSWORD", default="")
    add("--timeout", "seconds for each call (default: 10)", type=_seconds, default=10.0)


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a model has a name, which is not empty")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(
            f"a version is a whole number from 0 to {2**63 - 1}, not {text!r}"
        )
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"seconds are a number above 0, not {text!r}")
    return seconds


def _add_practice(commands: _Commands) -> None:
    def add_names(command: argparse.ArgumentParser) -> None:
        help_text = "a service; without one, all of them"
        command.add_argument("names", nargs="*", metavar="NAME", help=help_text)

    up = commands.add_parser("up", help="start services; those that run go on")
    add_names(up)
    up.set_defaults(run=_practice, command="up")

    down = commands.add_parser("down", help="stop services")
    add_names(down)
    down.set_defaults(run=_practice, command="down")

    status = commands.add_parser("status", help="tell which services run, and where")
    status.add_argument("--json", action="store_true", help="for programs to read")
    status.set_defaults(run=_practice, command="status")

    logs = commands.add_parser("logs", help="print the last 100 lines of a service's log")
    add_names(logs)
    logs.set_defaults(run=_practice, command="logs")

    env = commands.add_parser(
        "env",
        help="print where a service is, as variables for a shell",
        description='Try it with eval "$(otw practice env tfserving)", or in PowerShell with '
        "otw practice env tfserving | Invoke-Expression.",
    )
    env.add_argument("name", metavar="NAME", help="a service")
    shell = "powershell" if sys.platform == "win32" else "sh"
    env.add_argument(
        "--shell",
        choices=["sh", "powershell"],
        default=shell,
        help="whose syntax (default: %(default)s)",
    )
    env.set_defaults(run=_practice, command="env")


def _doctor(arguments: argparse.Namespace) -> int:
    from otw.doctor import doctor

    report = doctor()
    if arguments.json:
        lines = [line._asdict() for line in report]
        print(json.dumps({"worst": report.worst, "lines": lines}, indent=2))
    else:
        _replace_unprintable()  # a word stands beside each sign
        print(report)
    return 1 if report.worst == "red" else 0


def _serve(arguments: argparse.Namespace) -> int:
    from otw import serve

    _replace_unprintable()  # folders and tensors may have any name
    return serve.run(arguments.path, arguments.name)


def _describe(arguments: argparse.Namespace) -> int:
    from otw import terminal

    _replace_unprintable()  # models and tensors may have any name
    return terminal.describe(arguments)


def _predict(arguments: argparse.Namespace) -> int:
    from otw import terminal

    _replace_unprintable()
    return terminal.predict(arguments)


def _explore(arguments: argparse.Namespace) -> int:
    from otw import explore as app

    _replace_unprintable()
    return app.explore(arguments)


def _replace_unprintable() -> None:
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")


def _practice(arguments: argparse.Namespace) -> int:
    from otw import practice as commands

    return getattr(commands, arguments.command)(arguments)


def _lab(arguments: argparse.Namespace) -> int:
    from otw import lab

    return lab.run(arguments.rest)
