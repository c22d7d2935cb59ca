"""What `otw class ...` does; each returns the exit status."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from helpers import progress, tables
from helpers.language import _, plural
from otw import practice
from practice import classroom, credentials, launch


def up(arguments: argparse.Namespace) -> int:
    """Start the services of a class, and tell where the students' files are."""
    wanted = classroom.students(arguments.students) if arguments.students else []
    with progress.waiting(_("Starting the services of the class"), launch.LIMIT) as tick:
        files = classroom.up(wanted, tick, arguments.bind)
    report = classroom.status()
    practice.print_table(report["services"])
    count = len(list(files.glob("*.json")))
    print(
        plural(
            "The class has {count} student, whose variables are in {files}.",
            "The class has {count} students. The variables of each are in {files}.",
            count,
            files=files / "NAME.json",
        )
    )
    if report["bind"]:
        print(_open(report["bind"]))
        print(
            _(
                "Give each of them {files}, so that nobody else can read it. For {days} days it "
                "has the variables, a certificate with its key, and the class's authority.",
                files=files / "NAME.zip",
                days=credentials.LIFETIME,
            )
        )
    for sentence in classroom.warnings():
        print(sentence)
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop the services of the class."""
    stopped = classroom.down()
    sentence = _("The class is over. Stopped: {names}.", names=", ".join(stopped))
    print(sentence if stopped else _("No class is up."))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Tell who has called what."""
    report = classroom.status()
    if arguments.json:
        print(json.dumps(report, indent=2))
        return 0
    if not report["students"]:
        print(_("There is no class yet. Start one: otw class up --students 30."))
        return 0
    practice.print_table(report["services"])
    if report["bind"]:
        print(_open(report["bind"]))
    rows = [row for one in report["students"] for row in _rows(one)]
    heading = [_("student"), _("service"), _("method"), _("calls"), _("errors"), _("last call")]
    print(f"\n{tables.text(heading, rows)}")
    return 0


def environment(arguments: argparse.Namespace) -> int:
    """Print a student's variables, for a shell to read."""
    practice.print_variables(classroom.environment(Path(arguments.file)), arguments.shell)
    return 0


def _open(bind: str) -> str:
    return _(
        "The services are open to the network at {bind}, over TLS: to the students of the list, "
        "with a certificate of this class.",
        bind=bind,
    )


def _rows(student: dict[str, Any]) -> list[list[str]]:
    name = _("of no student") if student["name"] == classroom.UNKNOWN else student["name"]
    if not student["calls"]:
        return [[name, "-", "-", "0", "0", "-"]]
    return [
        [
            name,
            row["service"],
            tables.printable(row["method"]),
            str(row["calls"]),
            str(row["errors"]),
            time.strftime("%H:%M:%S", time.localtime(row["last"])),
        ]
        for row in student["calls"]
    ]
