"""One set of services for a class: who is in it, what each student is given, who called what.

A class is a state folder of its own, `class` in the state folder, and its services are started,
watched and stopped as everybody's are: by `manager`, in that folder.
"""

import contextlib
import hashlib
import io
import os
import re
import socket
import ssl
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from helpers import endpoints
from helpers.endpoints import Endpoint
from helpers.endpoints.practice import CLASS, read_json
from helpers.language import _
from practice import credentials, manager, state
from practice.host.students import OWNERS
from practice.host.students import UNKNOWN as UNKNOWN  # the class's, too
from practice.modelarts import account
from protos import official

IDLE = 12 * 3600  # seconds without a call after which a class that nobody ended is over
_MOST = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")  # a file's, and a user's in a header
_LIST = "class.json"
_CERTIFICATE = ".cert.pem"
_VARIABLE = "OTW_STATE_DIR"


def students(text: str) -> list[dict[str, Any]]:
    """Read who is in a class: a number, names with commas between them, or a file of names.

    Parameters
    ----------
    text : str
        A name may be followed by `:` and the number of the user on this machine; without it, the
        user of that name is meant, if there is one.

    Returns
    -------
    list of dict
        Their `name` and `uid`, which is None for who has no account here.

    Raises
    ------
    PracticeError
        For what is no such list; all that is wrong with it is named.
    """
    words = _words(text)
    problems = [problem for word in words if (problem := _problem(word))]
    listed = [_student(word) for word in words] if not problems else []
    for field, what in (("name", _("the name {value}")), ("uid", _("the user number {value}"))):
        values = [one[field].lower() if field == "name" else one[field] for one in listed]
        twice = {value for value in values if value is not None and values.count(value) > 1}
        named = (what.format(value=value) for value in sorted(twice))
        problems += [_("{what} is there twice", what=words) for words in named]
    if not words:
        problems = [_("nobody is in it")]
    if len(words) > _MOST:
        problems = [_("it has {count}, and a class at most {most}", count=len(words), most=_MOST)]
    if problems:
        raise state.PracticeError(
            _(
                "The list of students cannot be used: {problems}. Give a number, such as 30, "
                "names, such as ada,ben, or a file with a name a line. A name has letters, digits "
                "and ._@-, and may be followed by a colon and the number of a user of this "
                "machine: ada:1001.",
                problems="; ".join(problems),
            )
        )
    return listed


def _words(text: str) -> list[str]:
    if text.isascii() and text.isdigit():
        count = int(text)
        if count > _MOST:
            raise state.PracticeError(
                _("A class has at most {most} students, not {count}.", count=count, most=_MOST)
            )
        return [f"student-{number:02}" for number in range(1, count + 1)]
    path = Path(text).expanduser()
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise state.PracticeError(
                _("{path} cannot be read: {error}.", path=path, error=error)
            ) from error
        bare = (line.partition("#")[0].strip() for line in lines)
        return [line for line in bare if line]
    if "," not in text and (os.sep in text or text.endswith((".txt", ".csv"))):
        raise state.PracticeError(_("There is no file {path}.", path=path))
    return [word.strip() for word in text.split(",") if word.strip()]


def _problem(word: str) -> str:
    name, colon, number = word.partition(":")
    if not _NAME.fullmatch(name):
        return _("{name} is no name", name=repr(name))
    if name.lower() == credentials.new_user()["user"]:
        return _("{name} is the name of whoever runs the class", name=name)
    if colon and not (number.isascii() and number.isdigit() and int(number) < 2**32 - 1):
        return _("{word} has no user number behind the colon", word=repr(word))
    uid = _student(word)["uid"]
    if uid is not None and uid in OWNERS:
        return _("{name} is the user who runs the class, or root", name=name)
    return ""


def _student(word: str) -> dict[str, Any]:
    name, colon, number = word.partition(":")
    if colon:
        return {"name": name, "uid": int(number)}
    if sys.platform == "win32":  # where no system tells whose a connection is
        return {"name": name, "uid": None}
    import pwd

    with contextlib.suppress(KeyError):
        return {"name": name, "uid": pwd.getpwnam(name).pw_uid}
    return {"name": name, "uid": None}


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Let the state folder be the class's, within this block."""
    before = os.environ.get(_VARIABLE)
    own = state.folder() / "class"
    os.environ[_VARIABLE] = str(own)
    try:
        yield own
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before


def names() -> list[str]:
    """Return the services of a class: all but the proxy, whose record is one reader's own."""
    return ["tfserving", "ccai", "modelarts", *(["tfserving-tf"] * official.has_tensorflow())]


def up(wanted: list[dict[str, Any]], tick: state.Tick = lambda: None, bind: str = "") -> Path:
    """Start the services for a class, or take another list of students while they run.

    Parameters
    ----------
    wanted : list of dict
        As `students` returns it; empty is those of the last time.
    tick : callable
        Called again and again while waiting.
    bind : str, optional
        An address of this machine, or a name that leads to it, at which students of other machines
        are admitted: over TLS, with certificates that are made anew for each class. A class that is
        up keeps its own.

    Returns
    -------
    Path
        The folder with a file for each student.

    Raises
    ------
    PracticeError
        Without students, for an address that cannot be used, and when a service cannot be
        started: then none goes on.
    """
    address = _own_address(bind) if bind else ""
    with folder() as own:
        kept = _kept(own)
        if not (wanted or kept["students"]):
            raise state.PracticeError(
                _("Say who is in the class: otw class up --students 30, or with names: ada,ben.")
            )
        _make_folders(own)
        running = _is_up()
        if running and bind and bind != kept["bind"]:
            raise state.PracticeError(
                _(
                    "The class that is up is not at {address}. End it first: otw class down.",
                    address=bind,
                )
            )
        with state.lock(tick):
            if not running:
                _end(own)
                kept = {**_kept(own), "bind": bind}
                if bind:
                    credentials.make_authority(own, bind, address)
            bind = kept["bind"]
            listed = _with_secrets(wanted or kept["students"], kept["students"])
            if bind:
                listed = [_with_certificate(own, one) for one in listed]
            state.write_json(own / _LIST, {"students": listed, "bind": bind})
        if not running:
            for record in own.glob("calls-*.json"):
                record.unlink()
        try:
            manager.up(*names(), tick=tick, flags=_flags)
        except BaseException:
            if not running:
                manager.down()
                _end(own)
            raise
        return _write_files(own, listed, bind)


def _own_address(bind: str) -> str:
    """Return the IPv4 address of a name; PracticeError when it cannot be used."""
    try:
        address = socket.getaddrinfo(bind, None, socket.AF_INET)[0][4][0]
        with socket.socket() as probe:
            probe.bind((address, 0))
    except (OSError, UnicodeError) as error:
        raise state.PracticeError(
            _(
                "{bind} is no IPv4 address of this machine, and no name that leads to one: "
                "{error}. Those are: {addresses}.",
                bind=repr(bind),
                error=error,
                addresses=", ".join(_addresses()),
            )
        ) from error
    if address == "0.0.0.0":  # noqa: S104
        raise state.PracticeError(
            _(
                "--bind takes one address of this machine, not all: its services would be open to "
                "networks that you did not think of, and no certificate can name them. The "
                "addresses are: {addresses}.",
                addresses=", ".join(_addresses()),
            )
        )
    if address == "127.0.0.1":
        raise state.PracticeError(
            _("At {bind} the class's services are without --bind, too. Leave it out.", bind=bind)
        )
    return str(address)


def _addresses() -> list[str]:
    listed = (one for row in psutil.net_if_addrs().values() for one in row)
    return sorted(
        one.address
        for one in listed
        if one.family == socket.AF_INET and not one.address.startswith("127.")
    )


def _kept(own: Path) -> dict[str, Any]:
    """Return what is written down of the class: its `students`, and where it is open: `bind`."""
    kept = read_json(own / _LIST)
    return {"students": [], "bind": "", **(kept if isinstance(kept, dict) else {})}


def _end(own: Path) -> None:
    """Let no certificate of a class that is over be good for anything."""
    kept = _kept(own)
    if not kept["bind"]:
        return
    credentials.forget_authority(own)
    _clear(own / "students", set())
    for one in kept["students"]:
        one.pop("pem", None)
        one.pop("fingerprint", None)
    state.write_json(own / _LIST, {**kept, "bind": ""})


def _with_certificate(own: Path, student: dict[str, Any]) -> dict[str, Any]:
    if "pem" in student:
        return student
    pem = credentials.certify(own, student["name"])
    begin = pem.index("-----BEGIN CERTIFICATE-----")
    content = ssl.PEM_cert_to_DER_cert(pem[begin:])
    return {**student, "pem": pem, "fingerprint": hashlib.sha256(content).hexdigest()}


def _flags(name: str) -> list[str]:
    own = state.folder()
    bind = read_json(own / _LIST)["bind"]
    return [
        *([f"--bind={bind}"] if bind else []),
        f"--idle_timeout_seconds={IDLE}",
        "--unload_timeout_seconds=0",
        "--exit_with_pid=0",
        f"--class_file={own / _LIST}",
        f"--calls_file={own / f'calls-{name}.json'}",
    ]


def _is_up() -> bool:
    return any(row["pid"] for row in manager.status(*names()).values())


def _make_folders(own: Path) -> None:
    """Make folders that students can go through, and not look into; all files are closed."""
    for path in (own.parent, own, own / "students"):
        if not path.exists():
            state.make_folder(path).chmod(0o711)


def _with_secrets(
    wanted: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Give each a user, a password, AK/SK and an AppCode; who has them keeps them."""
    kept = {one["name"]: one for one in before}
    return [
        {**account.make_user(), **kept.get(one["name"], {}), **one, "user": one["name"]}
        for one in wanted
    ]


def _write_files(own: Path, listed: Sequence[dict[str, Any]], bind: str) -> Path:
    """Write for each student a file with the variables of the environment.

    For a class on a network also the certificate that these name, and all in one file to hand out.
    """
    place = own / "students"
    credentials.ca_file(own).chmod(0o644)  # whom to trust is no secret
    _clear(place, {one["name"] for one in listed})
    for one in listed:
        path = place / f"{one['name']}.json"
        certificate = path.with_name(f"{one['name']}{_CERTIFICATE}")
        variables = _variables(one, bind)
        written = [path]
        if bind:
            variables |= {
                CLASS["host"]: bind,
                CLASS["student"]: one["name"],
                CLASS["ca_file"]: str(credentials.ca_file(own)),
                CLASS["cert_file"]: str(certificate),
            }
            credentials.write(certificate, one["pem"].encode())
            written.append(certificate)
        state.write_json(path, variables)
        if bind:
            written.append(_archive(place / one["name"], *written, credentials.ca_file(own)))
        if one["uid"] is not None and sys.platform != "win32" and os.geteuid() == 0:
            for path in written:
                os.chown(path, one["uid"], -1)
    return place


def _archive(stem: Path, *paths: Path) -> Path:
    """Put files into one, in a folder of its name."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in paths:
            archive.write(path, f"{stem.name}/{path.name}")
    made = stem.with_name(f"{stem.name}.zip")
    credentials.write(made, content.getvalue())
    return made


def _clear(place: Path, names: set[str]) -> None:
    """Remove the files of all but these students."""
    for old in place.glob("*"):
        for ending in (".json", ".zip", _CERTIFICATE):
            if old.name.endswith(ending) and old.name.removesuffix(ending) not in names:
                old.unlink()


def _variables(student: dict[str, Any], bind: str) -> dict[str, str]:
    """Return the environment in which a student's kernel calls the class's services."""
    values: dict[str, str] = {}
    of_auth = {"signature": ("ak", "sk"), "appcode": ("", "appcode"), "": ("user", "password")}
    for service, entry in state.read_services().items():
        for profile, fields in entry.get("endpoints", {}).items():
            endpoint = endpoints.running(fields["kind"], profile)
            if endpoint.password:
                user, password = of_auth[endpoint.auth]
                endpoint = endpoint.replace(
                    user=student[user] if user else "", password=student[password]
                )
            values |= endpoints.variables(_moved(endpoint, bind), profile)
        if service == "modelarts":
            project = state.read_secrets("modelarts")["project_id"]
            values["OTW_MODELARTS_PROJECT_ID"] = project
            for key in ("appkey", "appsecret"):
                values[f"OTW_MODELARTS_{key.upper()}"] = student[key]
    return values


def _moved(endpoint: Endpoint, bind: str) -> Endpoint:
    """Return where an endpoint of this machine is for others."""
    if not bind:
        return endpoint
    moved = {
        "grpc": endpoint.grpc.replace("127.0.0.1", bind),
        "rest": endpoint.rest.replace("http://", "https://").replace("127.0.0.1", bind),
        "iam": endpoint.iam.replace("127.0.0.1", bind),
    }
    return endpoint.replace(**moved)


def environment(file: Path) -> dict[str, str]:
    """Read a student's file of variables, on whatever machine it lies, and close it to others.

    Parameters
    ----------
    file : Path
        As `up` writes it. The files that it names are those beside it, if they are there.

    Raises
    ------
    PracticeError
        When it cannot be read, and when a file is missing.
    """
    values = read_json(file)
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise state.PracticeError(
            _("{file} is no file of variables that otw class up has written.", file=file)
        )
    for variable in {CLASS["ca_file"], CLASS["cert_file"], "OTW_CA"} & values.keys():
        name = re.split(r"[/\\]", values[variable])[-1]
        path = file.absolute().with_name(name)
        if path.exists():
            values[variable] = str(path)
        elif not Path(values[variable]).exists():
            raise state.PracticeError(
                _("{name} is missing: put it beside {file}.", name=name, file=file)
            )
    for secret in filter(None, (str(file), values.get(CLASS["cert_file"]))):
        with contextlib.suppress(OSError):  # not this user's to close
            os.chmod(secret, 0o600)  # unpacked, it may be open to all
    return values


def warnings() -> list[str]:
    """Return what whoever runs the class should know, a sentence each."""
    from practice.host.peers import Peers

    sentences = []
    with folder() as own:
        listed = _kept(own)["students"]
        closed = [path for path in own.parents if not path.stat().st_mode & 0o001]
    # Who has a certificate is on another machine.
    strangers = [one["name"] for one in listed if one["uid"] is None and "pem" not in one]
    if not Peers([]).tells:
        sentences.append(
            _(
                "This system does not tell whose a connection is: whoever can log in here can call "
                "the services that ask for no password."
            )
        )
    elif strangers:
        some = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        sentences.append(
            _(
                "No user of this machine has the name {names}, so the services do not know such a "
                "student's calls. Name students as the machine does, or with a number: ada:1001.",
                names=some,
            )
        )
    if closed and any(one["uid"] is not None for one in listed):
        sentences.append(
            _(
                "Students cannot read what lies below {path}. Set OTW_STATE_DIR to a folder that "
                "all can go through, such as one of mode 711, and start the class again.",
                path=closed[-1],
            )
        )
    return sentences


def down() -> list[str]:
    """Stop the services of the class; students keep what they sign in with for the next time."""
    with folder() as own:
        stopped = manager.down()
        _end(own)
        return stopped


def status() -> dict[str, Any]:
    """Tell how the services do, and what each student called: never the content.

    Returns
    -------
    dict
        `services` as `manager.status` has them; `bind`, the address on the network, or nothing;
        `students`, each with `name`, `uid` and `calls`:
        a `service`, a `method`, how many `calls` and `errors`, and the `last` one's time in
        seconds since 1970.
    """
    with folder() as own:
        kept = _kept(own)
        listed = kept["students"]
        calls: dict[str, list[dict[str, Any]]] = {one["name"]: [] for one in listed}
        for name in names():
            counts = read_json(own / f"calls-{name}.json") or {}
            for student, methods in counts.items():
                rows = [{"service": name, "method": key, **row} for key, row in methods.items()]
                calls.setdefault(student, []).extend(rows)
        uids = {one["name"]: one["uid"] for one in listed}
        return {
            "state_dir": str(own),
            "bind": kept["bind"],
            "services": manager.status(*names()) if own.is_dir() else {},
            "students": [
                {"name": name, "uid": uids.get(name), "calls": rows} for name, rows in calls.items()
            ],
        }
