"""The command `otw`: what it takes, and which module does it."""

# A command's module is imported when it is asked for: `otw --help` is there at once, and where one
# command's packages are missing, the others work.
import argparse
import importlib
import os
import re
import sys
from typing import Any, TypeAlias

from helpers.language import _

_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
# What stands alone works where the practice services do not.
_ALONE = ("otw.doctor", "otw.terminal", "otw.explore")


def main(argv: list[str] | None = None) -> int:
    """Run `otw`; returns its exit status: 0, 1 when it failed, 2 when it was asked wrongly."""
    try:
        try:
            return _run(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a reader that went away can be answered to
    except KeyboardInterrupt:  # a command's imports take long enough for that, too
        print(_("otw: interrupted."), file=sys.stderr)
        return 130
    except OSError as error:
        from otw import statuses  # see below

        if not statuses.nobody_reads(error):
            raise
        # Or Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return statuses.NOBODY_READS


def _run(argv: list[str] | None) -> int:
    parser, commands = _parser()
    arguments, rest = parser.parse_known_args(argv)
    module, function = arguments.run
    if "model" in arguments:
        rest = _complete(arguments, rest)
    if rest and module != "otw.lab":
        asked = commands.choices[arguments.asked]
        asked.error(
            _(
                "unknown argument: {argument}. `{command} --help` tells what there is.",
                argument=rest[0],
                command=asked.prog,
            )
        )
    arguments.rest = [word for word in rest if word != "--"]
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # models, tensors and folders may have any name
    if module in _ALONE:
        return getattr(importlib.import_module(module), function)(arguments)
    # Not sooner: it may be what does not work.
    from helpers.errors import BadInput
    from practice import state
    from practice.services import UnknownService

    try:
        return getattr(importlib.import_module(module), function)(arguments)
    except (state.PracticeError, BadInput) as error:
        print(f"otw: {error}", file=sys.stderr)
        return 2 if isinstance(error, UnknownService) else 1


def _complete(arguments: argparse.Namespace, rest: list[str]) -> list[str]:
    """Put MODEL and inputs where they belong, which argparse does for the first words only.

    Behind a flag it takes them for left out (its issue 15112). Returns what is left over.
    """
    words = [word for word in rest if not word.startswith("-")]
    if words and arguments.model is None:
        arguments.model = words.pop(0)
    if "inputs" in arguments:
        words = [*arguments.inputs, *words]
        model = arguments.model or ""
        if "=" in model or model[:1] in ("@", "{", "["):  # a service of ModelArts has no MODEL
            words.insert(0, model)
            arguments.model = None
        arguments.input += words
        words = []
    return [*words, *(word for word in rest if word.startswith("-"))]


def _parser() -> tuple[argparse.ArgumentParser, _Commands]:
    parser = argparse.ArgumentParser(
        prog="otw",
        description=_("Over the Wire: calling AI inference services."),
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="asked", required=True)
    lab = _add(
        commands,
        "lab",
        ("otw.lab", "run"),
        _("start the practice services and open JupyterLab"),
        _(
            "Start the practice services and open JupyterLab at the first chapter. Every "
            "other argument goes to JupyterLab: otw lab --no-browser --port=9999. When JupyterLab "
            "ends, and no other `otw lab` runs, the practice services end too."
        ),
    )
    lab.add_argument(
        "--language",
        choices=["en", "zh"],
        help=_("of chapters and messages (default: OTW_LANGUAGE, or else the system's)"),
    )
    doctor = _add(
        commands,
        "doctor",
        ("otw.doctor", "run"),
        _("tell whether this machine is ready, and what to do"),
    )
    doctor.add_argument("--json", action="store_true", help=_("for programs to read"))
    _add_serve(commands)
    _add_calls(commands)
    _add_explore(commands)
    practice = commands.add_parser(
        "practice", help=_("start, stop and watch the practice services")
    )
    _add_practice(practice.add_subparsers(metavar="COMMAND", required=True))
    course = commands.add_parser("class", help=_("one set of practice services for a class"))
    _add_class(course.add_subparsers(metavar="COMMAND", required=True))
    return parser, commands


def _add(
    commands: _Commands,
    name: str,
    run: tuple[str, str],
    summary: str,
    description: str | None = None,
    **options: Any,
) -> argparse.ArgumentParser:
    """Add a command: `run` is the module and the function that do it."""
    command = commands.add_parser(
        name, allow_abbrev=False, help=summary, description=description, **options
    )
    command.set_defaults(run=run)
    return command


def _add_serve(commands: _Commands) -> None:
    serve = _add(
        commands,
        "serve",
        ("otw.serve", "run"),
        _("serve a model of your own, and show how to call it"),
        _(
            "Serve a model as TensorFlow Serving does, over gRPC and REST, until Ctrl-C. "
            "It prints the model's signatures and a call to paste, and keeps the address as a "
            "profile."
        ),
    )
    serve.add_argument(
        "path",
        metavar="FOLDER",
        help=_("a SavedModel, a folder of its versions (1, 2, ...), or a .tflite file"),
    )
    serve.add_argument("--name", default="", help=_("of model and profile (default: the folder's)"))
    serve.add_argument(
        "--tags",
        default="",
        metavar="TAG,TAG",
        help=_("which graph of a SavedModel (default: serve, or the only one there is)"),
    )
    serve.add_argument(
        "--op-library",
        default="",
        metavar="FILE",
        help=_("a library of operations for a SavedModel"),
    )


def _add_calls(commands: _Commands) -> None:
    from otw import statuses  # 13 ms: else to import this module takes twice as long
    from workbench.values import choices

    manner: dict[str, Any] = {
        "epilog": statuses.EPILOG,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }
    describe = _add(
        commands,
        "describe",
        ("otw.terminal", "describe"),
        _("tell what a model takes and gives: at an endpoint, or in a folder"),
        _(
            "Tell the state of a model's versions, and its signatures; of a service of\n"
            "ModelArts, https://HOST/v1/infers/ID, whether it answers you; of a folder or a\n"
            ".tflite file on this machine, what is in it, without a service."
        ),
        **manner,
    )
    _add_model(describe, _("for programs to read"), or_folder=True)
    predict = _add(
        commands,
        "predict",
        ("otw.terminal", "predict"),
        _("call a model at an endpoint"),
        _(
            "Call a model. VALUE is a number, a list as JSON, a table, or text for string\n"
            "inputs; @FILE is a .npy, .csv, .json or text file, a picture or a .wav, and @- is\n"
            "standard input. An input given several times makes a call for each. What a\n"
            "picture, a sound or a text was made into is told on standard error.\n"
            "A service of ModelArts, https://HOST/v1/infers/ID, has no MODEL. It takes JSON,\n"
            "'{\"data\": ...}' or @body.json, or a file in a field of a form,\n"
            "images=@photo.jpg: the service's page says which."
        ),
        **manner,
    )
    _add_model(predict, _("for programs to read; one line for each call"))
    predict.add_argument(
        "inputs",
        metavar="NAME=VALUE",
        nargs="*",
        help=_("what the model gets, such as images=@digit.png"),
    )
    predict.add_argument(
        "--input",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=_("the same; --input=NAME=VALUE where the name begins with -"),
    )
    predict.add_argument(
        "--scale",
        choices=choices.SCALES,
        default="",
        help=_("what black and white of a picture become (default: 0..1, for integers 0..255)"),
    )
    # Else argparse takes -1..1 for an option: a negative number has no two points.
    predict._negative_number_matcher = re.compile(r"-\d")
    predict.add_argument(
        "--resize",
        choices=list(choices.RESIZES),
        default="",
        help=_("how a picture gets its size (default: stretch; none where it may have any)"),
    )
    predict.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help=_("which size, in pixels (default: the input's)"),
    )
    predict.add_argument(
        "--layout",
        choices=choices.LAYOUTS,
        default="",
        help=_("the order of height, width and channels (default: as the input's shape looks)"),
    )
    predict.add_argument(
        "--text",
        choices=list(choices.TEXTS),
        default="",
        help=_(
            "what text for a string input is: one text a line (default for .txt, .csv and .tsv), "
            "the same below a heading, one in all, or tf.Examples as JSON"
        ),
    )
    predict.add_argument(
        "--strict-json",
        action="store_true",
        help=_('as --json, with "NaN" and "Infinity" as texts: bare ones are no JSON to some'),
    )
    predict.add_argument("--signature", default="", help=_("default: serving_default"))
    predict.add_argument(
        "--save",
        metavar="FOLDER",
        default="",
        help=_("write each output there as a .npy file, too"),
    )


def _add_explore(commands: _Commands) -> None:
    explore = _add(
        commands,
        "explore",
        ("otw.explore", "explore"),
        _("explore models in the browser, without a notebook: a server's, or a folder's"),
        _(
            "Open the explorer in the browser: what the models take, a form for it, the call as "
            "code, the answer. A folder or a .tflite file on this machine is served meanwhile. It "
            "listens on this machine only, and the address that it prints has a token in it. "
            "Ctrl-C ends it."
        ),
    )
    explore.set_defaults(model="", version=None, label="")
    _add_endpoint(explore, or_folder=True)
    explore.add_argument(
        "--model",
        dest="models",
        metavar="NAME",
        action="append",
        default=[],
        help=_("a model to look for; may be given several times"),
    )
    explore.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help=_(
            "look for the models of this file, as TensorFlow Serving's --model_config_file takes it"
        ),
    )
    explore.add_argument(
        "--examples",
        metavar="FOLDER",
        default="",
        help=_(
            "the model's folder: its warm-up requests are offered as example inputs, and its model "
            "card is shown"
        ),
    )
    explore.add_argument(
        "--port", type=_port, default=0, help=_("of the page (default: 8866, or a free one)")
    )
    explore.add_argument(
        "--no-browser",
        dest="browser",
        action="store_false",
        help=_("only print the page's address"),
    )


def _add_model(
    command: argparse.ArgumentParser, json_help: str, *, or_folder: bool = False
) -> None:
    _add_endpoint(command, or_folder=or_folder)
    nameless = _("the model's name; of a ModelArts service there is none")
    if or_folder:
        nameless = _("the model's name; of a folder, and of a ModelArts service, there is none")
    command.add_argument("model", type=_name, nargs="?", help=nameless, metavar="MODEL")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--version", type=_version, help=_("default: what the service chooses"))
    which.add_argument("--label", default="", help=_("a version label, such as stable"))
    command.add_argument("--json", action="store_true", help=json_help)


def _add_endpoint(command: argparse.ArgumentParser, *, or_folder: bool = False) -> None:
    add = command.add_argument
    address = _(
        "the gRPC port, or for REST http://HOST:PORT, https://HOST/PREFIX; of a ModelArts service "
        "https://HOST/v1/infers/ID"
    )
    if or_folder:
        address += "; " + _("or a SavedModel, a folder of its versions or a .tflite file")
    add(
        "address",
        help=address,
        metavar="HOST:PORT|FOLDER" if or_folder else "HOST:PORT",
    )
    add(
        "--protocol",
        help=_("whose port HOST:PORT is (default: gRPC's)"),
        choices=["grpc", "rest"],
        default="",
    )
    add("--tls", help=_("encrypt; for REST write https://"), action="store_true")
    add(
        "--ca-file",
        help=_("PEM file of the authority to trust; sets --tls"),
        metavar="FILE",
        default="",
    )
    add(
        "--cert",
        help=_("PEM file of your own certificate, for mutual TLS"),
        metavar="FILE",
        default="",
    )
    add("--key", help=_("PEM file of its key, if --cert has none"), metavar="FILE", default="")
    add("--user", help=_("the password is in the variable OTW_PASSWORD"), default="")
    add(
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        help=_(
            "sent with each call, as metadata over gRPC; several times. Others on this machine "
            "can read command lines, so let a secret come from the environment, "
            "'Authorization: Bearer ${TOKEN}', or from a file with such lines, @FILE"
        ),
    )
    add(
        "--token-file",
        metavar="FILE",
        default="",
        help=_("has a token of ModelArts, as does the variable OTW_MODELARTS_TOKEN"),
    )
    add("--timeout", help=_("seconds for each call (default: 10)"), type=_seconds, default=10.0)


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError(_("a model has a name, which is not empty"))
    return text


def _version(text: str) -> int:
    return _whole(text, _("a version"), 0, 2**63 - 1)


def _port(text: str) -> int:
    return _whole(text, _("a port"), 1, 65535)


def _size(text: str) -> tuple[int, int]:
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and int(n) for n in numbers):
        raise argparse.ArgumentTypeError(
            _("a size is WIDTHxHEIGHT in pixels, such as 224x224, not {text!r}", text=text)
        )
    return int(numbers[0]), int(numbers[1])


def _whole(text: str, what: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise argparse.ArgumentTypeError(
            _(
                "{what} is a whole number from {low} to {high}, not {text!r}",
                what=what,
                low=low,
                high=high,
                text=text,
            )
        )
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(_("seconds are a number above 0, not {text!r}", text=text))
    return seconds


def _add_practice(commands: _Commands) -> None:
    summaries = {
        "up": _("start services; those that run go on"),
        "down": _("stop services"),
        "status": _("tell which services run, and where"),
        "logs": _("print the last 100 lines of a service's log"),
    }
    for name, summary in summaries.items():
        command = _add(commands, name, ("otw.practice", name), summary)
        if name == "status":
            command.add_argument("--json", action="store_true", help=_("for programs to read"))
        else:
            names_help = _("a service; without one, all of them")
            command.add_argument("names", nargs="*", metavar="NAME", help=names_help)
    env = _add(
        commands,
        "env",
        ("otw.practice", "env"),
        _("print where a service is, as variables for a shell"),
        _(
            'Try it with eval "$(otw practice env tfserving)", or in PowerShell with '
            "otw practice env tfserving | Invoke-Expression."
        ),
    )
    env.add_argument("name", metavar="NAME", help=_("a service"))
    _add_shell(env)


def _add_shell(env: argparse.ArgumentParser) -> None:
    env.add_argument(
        "--shell",
        choices=["sh", "powershell"],
        default="powershell" if sys.platform == "win32" else "sh",
        help=_("whose syntax (default: %(default)s)"),
    )


def _add_class(commands: _Commands) -> None:
    up = _add(
        commands,
        "up",
        ("otw.classroom", "up"),
        _("start the services for a class, or take another list of students"),
        _(
            "Start one set of services for all students of this machine, and write for each of "
            "them a file of variables: in an environment that has these, the chapters call the "
            "class's services and start none. Whoever is in no list is refused, and no student can "
            "change what the services serve."
        ),
    )
    up.add_argument(
        "--students",
        metavar="WHO",
        default="",
        help=_(
            "a number, names (ada,ben or ada:1001 with a user's number), or a file with a name a "
            "line; default: those of the last time"
        ),
    )
    up.add_argument(
        "--bind",
        metavar="HOST",
        default="",
        help=_(
            "let students on other machines call, at this IPv4 address of this machine or a name "
            "that leads to it: over TLS, with a certificate for each (default: nobody from outside)"
        ),
    )
    env = _add(
        commands,
        "env",
        ("otw.classroom", "environment"),
        _("print the variables of a student, on that student's machine"),
        _(
            'For the file that comes with the class: eval "$(otw class env ada/ada.json)", or in '
            "PowerShell otw class env ada/ada.json | Invoke-Expression. Then otw lab."
        ),
    )
    env.add_argument("file", metavar="FILE", help=_("NAME.json, with the other files beside it"))
    _add_shell(env)
    status = _add(
        commands, "status", ("otw.classroom", "status"), _("tell who has called what; no content")
    )
    status.add_argument("--json", action="store_true", help=_("for programs to read"))
    _add(commands, "down", ("otw.classroom", "down"), _("stop the services of the class"))
