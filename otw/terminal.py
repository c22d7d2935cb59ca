"""`otw describe` and `otw predict`: what a model takes, and a call of it, for the terminal.

What a program reads goes to standard output, everything else to standard error.
"""

# What brings NumPy, 0.1 s and more, is imported in the functions: `otw explore` needs none of it.
import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from helpers import channels, errors
from helpers.endpoints import Endpoint
from helpers.errors.explanations import cut
from helpers.language import _
from helpers.progress import bar
from otw import statuses
from workbench.explorer.addresses import endpoint_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helpers.tfserving.signatures import Signatures, TensorSpec

_LONGEST = 60  # letters of a value that are told
PASSWORD = "OTW_PASSWORD"  # noqa: S105 the name of a variable


def describe(arguments: argparse.Namespace) -> int:
    """Show the states of a model's versions, and its signatures; returns the exit status."""
    return guarded(_describe, arguments)


def predict(arguments: argparse.Namespace) -> int:
    """Call a model, once or for each value of an input; returns the exit status."""
    return guarded(_predict, arguments)


class AskedWrongly(Exception):
    """The command line cannot be done, whatever the service says."""


def guarded(
    command: Callable[[Endpoint, argparse.Namespace], None], arguments: argparse.Namespace
) -> int:
    """Run a command on the endpoint that the arguments name; returns the exit status."""
    try:
        if sys.stdout is None:
            raise AskedWrongly("Standard output is closed.")
        command(_endpoint(arguments), arguments)
        sys.stdout.flush()
        return 0
    except AskedWrongly as error:
        return _fail(str(error), statuses.ASKED_WRONGLY)
    except errors.CallError as error:
        return _fail(f"{error}{_hint(error, arguments)}", statuses.status_of(error))
    except KeyboardInterrupt:
        return _fail("interrupted.", statuses.INTERRUPTED)
    except Exception as error:  # a traceback would help nobody at a terminal
        if statuses.nobody_reads(error):
            raise
        return _fail(f"{type(error).__name__}: {cut(str(error))}", statuses.FAILED)


def _fail(text: str, status: int) -> int:
    from workbench.answers.listings import printable  # 0.1 s

    with contextlib.suppress(OSError):
        print(f"otw: {printable(text)}", file=sys.stderr)
    return status


def _hint(error: errors.CallError, arguments: argparse.Namespace) -> str:
    if isinstance(error, errors.DeadlineExceeded):
        return " Here it is --timeout."
    if not isinstance(error, errors.NotThisProtocol):
        return ""
    bare = arguments.address.rpartition("//")[2]
    if _is_rest(arguments):
        return f" If this is its gRPC port, write {bare.partition('/')[0]}."
    return f" If this is its REST port, write http://{bare}."


def _is_rest(arguments: argparse.Namespace) -> bool:
    return "://" in arguments.address or arguments.protocol == "rest"


def _endpoint(arguments: argparse.Namespace) -> Endpoint:
    """Make the endpoint, and open its channel or session: nothing is sent yet."""
    address = arguments.address.strip().rstrip("/")
    if "://" not in address and arguments.protocol == "rest":
        address = f"{'https' if arguments.tls or arguments.ca_file else 'http'}://{address}"
    if "://" in address:
        if arguments.protocol == "grpc" or address.startswith("grpc"):
            raise AskedWrongly(
                "gRPC takes HOST:PORT, without http:// or grpc://, and has its own port."
            )
        if address.startswith("http://") and (arguments.tls or arguments.ca_file):
            raise AskedWrongly("http:// is not encrypted. Write https://, or leave TLS out.")
    if arguments.user and PASSWORD not in os.environ:
        raise AskedWrongly(f"--user needs a password in the environment variable {PASSWORD}.")
    try:
        profile = endpoint_at(address)
        endpoint = Endpoint(
            "tfserving",
            rest=profile.rest if "://" in address else "",
            grpc="" if "://" in address else profile.grpc,
            tls=arguments.tls,
            ca_file=arguments.ca_file,
            model=arguments.model,
            models=tuple(dict.fromkeys(filter(None, (profile.model, *profile.models)))),
            version=arguments.version,
            version_label=arguments.label,
            user=arguments.user,
            password=os.environ[PASSWORD] if arguments.user else "",
        )
        (channels.session if endpoint.rest else channels.channel)(endpoint)
    except errors.BadInput as error:
        raise AskedWrongly(str(error)) from error
    return endpoint


def _describe(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    # 0.1 s
    from helpers import tfserving
    from workbench.answers import listings

    signatures = tfserving.signatures(endpoint, timeout=arguments.timeout)
    states = tfserving.status(endpoint, timeout=arguments.timeout)
    if arguments.json:
        print(listings.tree_as_json(states, signatures))
        return
    print(f"{listings.printable(endpoint.model)} at {arguments.address}")
    print(listings.tree(states, signatures))


def _predict(endpoint: Endpoint, arguments: argparse.Namespace) -> None:
    # 0.1 s
    from helpers import tfserving
    from workbench.answers import listings

    if arguments.save:
        _make_folder(arguments.save)
    signatures = tfserving.signatures(endpoint, timeout=arguments.timeout)
    inputs, count = _inputs(arguments, signatures)
    several = count > 1
    done = 0
    # On the screen, the answers themselves are the progress.
    bar_shown = several and not sys.stdout.isatty()
    answers = _answers(endpoint, arguments, _batches(inputs, count))
    with bar(count, " calls", shown=bar_shown) as tick, contextlib.closing(answers):
        try:
            for done, outputs in enumerate(answers, start=1):
                if arguments.save:
                    before = f"{done:0{len(str(count))}}-" if several else ""
                    listings.save(arguments.save, before, outputs)
                if arguments.json or arguments.strict_json:
                    written = listings.as_json(outputs, strict=arguments.strict_json)
                    line = f'{{"call": {done}, "outputs": {written}}}'
                else:
                    head = f"call {done} of {count}\n" if several else ""
                    line = f"{head}{listings.table(outputs)}"
                print(line, flush=True)
                tick()
        except errors.CallError as error:
            if several:
                error.args = (f"After {done} of {count} calls: {error}",)
            raise


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise AskedWrongly(f"The folder {folder} cannot be made: {error.strerror}.") from error


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
    words = [*arguments.input, *arguments.inputs]
    if sum(word.endswith("=@-") for word in words) > 1:
        raise AskedWrongly("Standard input can be read once only, so @- is for one input.")
    by_name: dict[str, list[str]] = {}
    for word in words:
        if "=" not in word:
            raise AskedWrongly(_("An input is NAME=VALUE or NAME=@FILE, not {word!r}.", word=word))
        fitting = [name for name in wanted.inputs if word.startswith(f"{name}=")]
        name = max(fitting, key=len, default=word.partition("=")[0])  # names may have a = in them
        if name not in wanted.inputs:
            raise errors.BadInput(
                f"The signature has no input {name!r}. {suggest(name, wanted.inputs, 'It takes')}"
            )
        by_name.setdefault(name, []).append(word[len(name) + 1 :])
    count = max(map(len, by_name.values()), default=1)
    for name, values in by_name.items():
        if len(values) not in (1, count):
            raise AskedWrongly(
                f"Input {name!r} is given {len(values)} times and another one {count} times. "
                "Give an input once, for all calls, or once for each."
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
        raise AskedWrongly(f"--input {row.name}=@ has no file behind the @.")
    try:
        if path == "-":
            if sys.stdin is None:
                raise AskedWrongly("Standard input is closed, so @- cannot be read.")
            return _from_file(row, "", _content(sys.stdin.buffer), note)
        with open(path, "rb") as file:
            return _from_file(row, path, _content(file), note)
    except OSError as error:
        why = error.strerror or error
        raise errors.BadInput(f"Input {row.name!r}: {path} cannot be read: {why}.") from error
    except errors.BadInput as error:
        raise errors.BadInput(f"{text}: {error}") from error


def _from_file(row: _Input, path: str, content: bytes, note: Callable[[str], object]) -> "NDArray":
    # 0.1 s
    from workbench.values import pictures
    from workbench.values import reading as values

    preprocessing = None
    if row.preprocessing and pictures.is_picture(content):
        preprocessing = pictures.chosen(row.name, row.spec, **row.preprocessing)
    return values.from_file(
        row.name, path, content, row.spec, preprocessing, texts=row.texts, note=note
    )


def _tell(row: _Input, sentence: str) -> None:
    """Say on standard error what was made of an input, or of its first value."""
    from workbench.answers.listings import printable  # 0.1 s

    word = f"{row.name}={row.words[0][:_LONGEST]}"
    if len(row.words) > 1:
        word = _("{word}, the first of {count}", word=word, count=len(row.words))
    with contextlib.suppress(OSError):
        print(printable(f"{word}: {sentence}"), file=sys.stderr)


def _content(file: BinaryIO) -> bytes:
    return file.read(channels.MAX_MESSAGE + 1)  # one more, so that it is seen to be too large


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
