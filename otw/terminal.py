"""`otw describe` and `otw predict`: what a model takes, and a call of it, for the terminal.

What a program reads goes to standard output, everything else to standard error.
"""

# What brings NumPy, 0.1 s and more, is imported in the functions: `otw explore` needs none of it.
import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from helpers import channels, errors
from helpers.endpoints import Endpoint
from helpers.errors import places
from helpers.errors.explanations import cut
from helpers.language import _
from helpers.progress import bar
from otw import statuses
from otw.statuses import AskedWrongly
from workbench.explorer.addresses import endpoint_at, is_modelarts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helpers.tfserving.signatures import Signatures, TensorSpec

_LONGEST = 60  # letters of a value that are told
PASSWORD = "OTW_PASSWORD"  # noqa: S105 the name of a variable


def describe(arguments: argparse.Namespace) -> int:
    """Show what a model takes, at an endpoint or in a folder; returns the exit status."""
    if not arguments.model and not is_modelarts(arguments.address):
        return _describe_folder(arguments)
    if os.path.exists(arguments.address):
        text = _("{path} is on this machine, and takes no MODEL.", path=arguments.address)
        return _fail(text, statuses.ASKED_WRONGLY)
    return guarded(lambda: _describe(endpoint_of(arguments), arguments), arguments)


def predict(arguments: argparse.Namespace) -> int:
    """Call a model, once or for each value of an input; returns the exit status."""
    return guarded(lambda: _predict(endpoint_of(arguments), arguments), arguments)


def guarded(command: Callable[[], None], arguments: argparse.Namespace) -> int:
    """Run a command, and say what goes wrong in words; returns the exit status."""
    before = places.HERE.set(places.TERMINAL)
    try:
        if sys.stdout is None:
            raise AskedWrongly(_("Standard output is closed."))
        command()
        sys.stdout.flush()
        return 0
    except AskedWrongly as error:
        return _fail(str(error), statuses.ASKED_WRONGLY)
    except errors.CallError as error:
        return _fail(f"{error}{_hint(error, arguments)}", statuses.status_of(error))
    except KeyboardInterrupt:
        return _fail(_("interrupted."), statuses.INTERRUPTED)
    except Exception as error:  # a traceback would help nobody at a terminal
        if statuses.nobody_reads(error):
            raise
        return _fail(f"{type(error).__name__}: {cut(str(error))}", statuses.FAILED)
    finally:
        places.HERE.reset(before)


def _fail(text: str, status: int) -> int:
    from workbench.answers.listings import printable  # 0.1 s

    with contextlib.suppress(OSError):
        print(f"otw: {printable(places.worded(text))}", file=sys.stderr)
    return status


def _hint(error: errors.CallError, arguments: argparse.Namespace) -> str:
    if not isinstance(error, errors.NotThisProtocol) or is_modelarts(arguments.address):
        return ""
    bare = arguments.address.rpartition("//")[2]
    if _is_rest(arguments):
        return " " + _("If this is its gRPC port, write {address}.", address=bare.partition("/")[0])
    return " " + _("If this is its REST port, write http://{address}.", address=bare)


def _is_rest(arguments: argparse.Namespace) -> bool:
    return "://" in arguments.address or arguments.protocol == "rest"


def endpoint_of(arguments: argparse.Namespace) -> Endpoint:
    """Make the endpoint, and open its channel or session: nothing is sent yet."""
    address = arguments.address.strip().rstrip("/")
    tls = arguments.tls or arguments.ca_file or arguments.cert
    if "://" not in address and arguments.protocol == "rest":
        address = f"{'https' if tls else 'http'}://{address}"
    if "://" not in address and "/" in address:
        raise AskedWrongly(
            _(
                "{address} has a path, as only REST does: write http://{address} or "
                "https://{address}.",
                address=address,
            )
        )
    if "://" in address:
        if arguments.protocol == "grpc" or address.startswith("grpc"):
            raise AskedWrongly(
                _("gRPC takes HOST:PORT, without http:// or grpc://, and has its own port.")
            )
        if address.startswith("http://") and tls:
            raise AskedWrongly(
                _(
                    "http:// is not encrypted. Write https://, or leave out --tls, --ca-file and "
                    "--cert."
                )
            )
    try:
        profile = endpoint_at(address)
        given = _given(arguments, profile)
        if arguments.asked != "explore":  # which shows both protocols
            given["rest" if profile.grpc == address else "grpc"] = ""
        endpoint = profile.replace(**given)
        if endpoint.sends_user and not endpoint.password:
            raise AskedWrongly(
                _(
                    "{user} needs a password in the environment variable {variable}.",
                    user="--user" if arguments.user else endpoint.user,
                    variable=PASSWORD,
                )
            )
        if endpoint.kind == "modelarts":
            from helpers import modelarts  # others need none of it

            modelarts.check_caller(endpoint)
        (channels.session if endpoint.rest else channels.channel)(endpoint)
    except errors.BadInput as error:
        raise AskedWrongly(str(error)) from error
    return endpoint


def _given(arguments: argparse.Namespace, profile: Endpoint) -> dict[str, Any]:
    """Return the fields that the command line has; others stay as the profile has them."""
    service = profile.kind == "modelarts"
    if service and arguments.model:
        raise AskedWrongly(
            _("The address of a ModelArts service names what is called. Leave MODEL out.")
        )
    if arguments.model is None and not service:
        raise AskedWrongly(_("Name the model, behind the address: MODEL."))
    fields = {
        "tls": arguments.tls,
        "ca_file": arguments.ca_file,
        "cert_file": arguments.cert,
        "key_file": arguments.key,
        "headers": _headers(arguments.header, profile),
        "token": "".join(_lines(arguments.token_file)).strip() if arguments.token_file else "",
        "user": arguments.user,
        "password": os.environ.get(PASSWORD, "") if arguments.user or profile.sends_user else "",
    }
    called = {
        "model": arguments.model or "",
        "version": arguments.version,
        "version_label": arguments.label,
        "signature_name": "",
        "auth": "" if arguments.token_file else profile.auth,
    }
    return {field: value for field, value in fields.items() if value} | called


def _headers(words: list[str], profile: Endpoint) -> dict[str, str]:
    if not words:
        return {}
    from helpers.endpoints import headers  # most have none

    lines = [line for word in words for line in (_lines(word[1:]) if word[:1] == "@" else [word])]
    given = headers.from_lines(lines)
    names = {name.lower() for name in given}
    kept = {
        name: value for name, value in dict(profile.headers).items() if name.lower() not in names
    }
    return kept | given


def _lines(path: str) -> list[str]:
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            return file.read(1_000_000).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or _("it is no text")
        raise AskedWrongly(_("{path} cannot be read: {why}.", path=path, why=why)) from error


def _describe(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    if endpoint.kind == "modelarts":
        from otw import services  # 0.1 s

        services.describe(endpoint, arguments)
        return
    # 0.1 s
    from helpers import tfserving
    from workbench.answers import listings

    signatures = tfserving.signatures(endpoint, timeout=arguments.timeout)
    states = tfserving.status(endpoint, timeout=arguments.timeout)
    if arguments.json:
        print(listings.tree_as_json(states, signatures))
        return
    print(
        _(
            "{model} at {address}",
            model=listings.printable(endpoint.model),
            address=arguments.address,
        )
    )
    print(listings.tree(states, signatures))


def _describe_folder(arguments: argparse.Namespace) -> int:
    if not os.path.exists(os.path.expanduser(arguments.address)) and ":" in arguments.address:
        return guarded(lambda: _ask_for_model(arguments.address), arguments)
    # Only here: describing an endpoint needs none of the practice services.
    from otw import contents
    from practice.state import PracticeError

    try:
        print(contents.describe(arguments))
        return 0
    except PracticeError as error:
        print(f"otw: {error}", file=sys.stderr)
        return statuses.FAILED


def _ask_for_model(address: str) -> None:
    sentence = _("MODEL is missing: otw describe {address} MODEL.", address=address)
    with contextlib.suppress(errors.BadInput):  # then no profile has it
        if names := endpoint_at(address).models:
            sentence += " " + _("Profiles at this address name {names}.", names=", ".join(names))
    raise AskedWrongly(sentence)


def _predict(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    if arguments.save:
        _make_folder(arguments.save)
    if endpoint.kind == "modelarts":
        from otw import services  # 0.1 s

        services.infer(endpoint, arguments)
        return
    # 0.1 s
    from helpers import tfserving
    from workbench.answers import listings

    signatures = tfserving.signatures(endpoint, timeout=arguments.timeout)
    inputs, count = _inputs(arguments, signatures)
    several = count > 1
    done = 0
    # On the screen, the answers themselves are the progress.
    bar_shown = several and not sys.stdout.isatty()
    answers = _answers(endpoint, arguments, _batches(inputs, count))
    with bar(count, " " + _("calls"), shown=bar_shown) as tick, contextlib.closing(answers):
        try:
            for done, outputs in enumerate(answers, start=1):
                if arguments.save:
                    before = f"{done:0{len(str(count))}}-" if several else ""
                    listings.save(arguments.save, before, outputs)
                if arguments.json or arguments.strict_json:
                    written = listings.as_json(outputs, strict=arguments.strict_json)
                    line = f'{{"call": {done}, "outputs": {written}}}'
                else:
                    head = (
                        _("call {done} of {count}", done=done, count=count) + "\n"
                        if several
                        else ""
                    )
                    line = f"{head}{listings.table(outputs)}"
                print(line, flush=True)
                tick()
        except errors.CallError as error:
            if several:
                error.args = (
                    _(
                        "After {done} of {count} calls: {error}",
                        done=done,
                        count=count,
                        error=error,
                    ),
                )
            raise


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise AskedWrongly(
            _("The folder {folder} cannot be made: {why}.", folder=folder, why=error.strerror)
        ) from error


class _Input(NamedTuple):
    """What the command line has for one input: a value, or one for each call."""

    name: str
    spec: "TensorSpec"
    words: list[str]
    preprocessing: dict[str, Any]  # what is asked for, of a picture
    texts: str


def _inputs(arguments: argparse.Namespace, signatures: "Signatures") -> tuple[list[_Input], int]:
    """Return what the command line has for each input, and the number of calls."""
    # 0.1 s
    from helpers.tfserving.signatures import DEFAULT_SIGNATURE, check_inputs, suggest

    if (arguments.signature or DEFAULT_SIGNATURE) not in signatures:
        check_inputs(signatures, arguments.signature, {})  # raises, and says which there are
    wanted = signatures[arguments.signature or DEFAULT_SIGNATURE]
    words = arguments.input
    if sum(word.endswith("=@-") for word in words) > 1:
        raise AskedWrongly(_("Standard input can be read once only, so @- is for one input."))
    by_name: dict[str, list[str]] = {}
    for word in words:
        if "=" not in word:
            raise AskedWrongly(_("An input is NAME=VALUE or NAME=@FILE, not {word!r}.", word=word))
        fitting = [name for name in wanted.inputs if word.startswith(f"{name}=")]
        name = max(fitting, key=len, default=word.partition("=")[0])  # names may have a = in them
        if name not in wanted.inputs:
            raise errors.BadInput(
                _(
                    "The signature has no input {name!r}. {names}",
                    name=name,
                    names=suggest(name, wanted.inputs, _("It takes: {names}.")),
                )
            )
        by_name.setdefault(name, []).append(word[len(name) + 1 :])
    count = max(map(len, by_name.values()), default=1)
    for name, values in by_name.items():
        if len(values) not in (1, count):
            raise AskedWrongly(
                _(
                    "Input {name!r} is given {times} times and another one {count} times. "
                    "Give an input once, for all calls, or once for each.",
                    name=name,
                    times=len(values),
                    count=count,
                )
            )
    options = ("scale", "resize", "layout", "size")
    asked = {option: value for option in options if (value := getattr(arguments, option))}
    inputs = [
        _Input(name, wanted.inputs[name], values, asked, arguments.text)
        for name, values in by_name.items()
    ]
    return inputs, count


def _batches(inputs: list[_Input], count: int) -> "Iterator[dict[str, NDArray]]":
    same = {row.name: _read(row, 0) for row in inputs if len(row.words) == 1}
    for number in range(count):
        yield same | {row.name: _read(row, number) for row in inputs if len(row.words) > 1}


def _read(row: _Input, number: int) -> "NDArray":
    from workbench.values import reading as values  # 0.1 s

    def note(sentence: str) -> None:
        if number == 0:  # the other calls' are made in the same manner
            _tell(row, sentence)

    text = row.words[number]
    if not text.startswith("@"):
        return values.from_text(row.name, text, row.spec, texts=row.texts, note=note)
    path = os.path.expanduser(text[1:])
    if not path:
        raise AskedWrongly(_("--input {name}=@ has no file behind the @.", name=row.name))
    try:
        if path == "-":
            if sys.stdin is None:
                raise AskedWrongly(_("Standard input is closed, so @- cannot be read."))
            return _from_file(row, "", values.content(sys.stdin.buffer), note)
        with open(path, "rb") as file:
            return _from_file(row, path, values.content(file), note)
    except OSError as error:
        why = error.strerror or error
        raise errors.BadInput(
            _("Input {name!r}: {path} cannot be read: {why}.", name=row.name, path=path, why=why)
        ) from error
    except errors.BadInput as error:
        raise errors.BadInput(f"{text}: {error}") from error


def _from_file(row: _Input, path: str, read: bytes, note: Callable[[str], object]) -> "NDArray":
    # 0.1 s
    from workbench.values import pictures
    from workbench.values import reading as values

    preprocessing = None
    if row.preprocessing and pictures.is_picture(read):
        preprocessing = pictures.chosen(row.name, row.spec, **row.preprocessing)
    return values.from_file(
        row.name, path, read, row.spec, preprocessing, texts=row.texts, note=note
    )


def _tell(row: _Input, sentence: str) -> None:
    """Say on standard error what was made of an input, or of its first value."""
    from workbench.answers.listings import printable  # 0.1 s

    word = f"{row.name}={row.words[0][:_LONGEST]}"
    if len(row.words) > 1:
        word = _("{word}, the first of {count}", word=word, count=len(row.words))
    with contextlib.suppress(OSError):
        print(printable(f"{word}: {sentence}"), file=sys.stderr)


def _answers(
    endpoint: Endpoint, arguments: argparse.Namespace, batches: "Iterator[dict[str, NDArray]]"
) -> "Generator[dict[str, NDArray], None, None]":
    # 0.1 s
    from helpers import tfserving

    options: dict[str, Any] = {"signature_name": arguments.signature, "timeout": arguments.timeout}
    if not endpoint.grpc:
        for batch in batches:
            yield tfserving.predict(endpoint, batch, **options)
        return
    unreadable = []

    def readable() -> "Iterator[dict[str, NDArray]]":
        try:
            yield from batches
        except errors.BadInput as error:  # it is told after the answers of the calls before it
            unreadable.append(error)

    yield from tfserving.predict_many(endpoint, readable(), progress=False, **options)
    for error in unreadable:
        raise error
