"""`otw serve`: a reader's own model, served until Ctrl-C."""

import argparse
import contextlib
import dataclasses
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers import endpoints, errors, progress, tfserving
from helpers.endpoints import Endpoint, profiles
from helpers.interrupts import Stop
from helpers.language import _
from helpers.tables import printable
from helpers.tfserving import VersionStatus
from helpers.tfserving.signatures import DEFAULT_SIGNATURE, Signature, Signatures
from otw import features, modelfiles
from otw.modelfiles import ModelFiles
from practice import instance, launch, processes, services, state
from practice.launch import Service
from protos import official
from workbench.code import curl
from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, Preview
from workbench.code.tfserving import TfServingWriter, method, stand_ins
from workbench.values import examples, warmup

PORTS = {"grpc": 8520, "rest": 8521}  # any others when these are taken
# A version that is just being copied in fails at first: it is tried again, each second.
_FLAGS = ["--max_num_load_retries=10", "--load_retry_interval_micros=1000000"]
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TAKEN = {"environment", *(name for names in endpoints.PROFILES.values() for name in names)}
_FAILED = "failed: "  # in the service's log, before the reason why a model is not loaded


def run(arguments: argparse.Namespace) -> int:
    """Serve a model and tell how to call it; returns when it is told to end.

    Parameters
    ----------
    arguments : Namespace
        Its `path` is a SavedModel folder, a folder of versions, or a `.tflite` file; its `name`,
        which may be empty, that of the model and of its profile.

    Raises
    ------
    PracticeError
        When there is nothing to serve, when it cannot be loaded, and when the service dies.
    """
    files = find(arguments.path)
    name = name_of(files, arguments.name)
    with (
        contextlib.suppress(KeyboardInterrupt),
        Stop() as stop,
        served(stop, files, name, arguments.tags, arguments.op_library) as own,
    ):
        _describe(own, files)
        _watch(own, stop)
    print("\n" + _("{name} is no longer served.", name=name))
    return 0


def find(path: str) -> ModelFiles:
    """Look at what a person named, and take what can run here; PracticeError when nothing can."""
    files = modelfiles.find(path)
    if files.light or official.has_tensorflow():
        return files
    lite = files.for_litert()
    if not lite:
        modelfiles.graphs(files.loaded)  # TensorFlow would not help a broken one
        raise state.PracticeError(
            _("{path} is a SavedModel. {absent}", path=files.path, absent=_(official.ABSENT))
        )
    print(_("TensorFlow is not installed. The model's TFLite file is served in its place."))
    return lite


@contextlib.contextmanager
def served(
    stop: Stop, files: ModelFiles, name: str, tags: str = "", op_library: str = ""
) -> Iterator[launch.Launch]:
    """Serve a model until the block ends.

    Raises
    ------
    PracticeError
        When it cannot be loaded.
    KeyboardInterrupt
        When it is stopped while it starts.
    """
    flags = list(_FLAGS)
    if not files.light:
        chosen = files.tags(tags)
        flags += [f"--saved_model_tags={chosen}", f"--op_library={op_library}"]
        if not tags and chosen != modelfiles.SERVE:
            print(_("Its only graph has the tags {tags}, and is served.", tags=chosen))
    with contextlib.ExitStack() as stack:
        folder = instance.make_folder(name)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        base = files.lay_out(folder / "models" / name)
        own = launch.Launch(_service(name, files), folder, base, private=True, flags=flags)
        own.wishes = PORTS
        stack.callback(own.end)
        if problem := files.problem():
            print(problem)
        _start(own, files, stop)
        yield own


def name_of(files: ModelFiles, wanted: str = "") -> str:
    """Return the model's name: the wanted one, or else its folder's."""
    if not wanted:
        return f"my-{files.name}" if files.name in _TAKEN else files.name
    if not _NAME.fullmatch(wanted) or wanted in _TAKEN:
        raise state.PracticeError(
            _(
                "{wanted!r} cannot name a model here. Use up to 100 letters, digits, - and _; "
                "{names} are taken by other profiles.",
                wanted=wanted,
                names=", ".join(sorted(_TAKEN)),
            )
        )
    return wanted


def _service(name: str, files: ModelFiles) -> Service:
    def arguments(folder: Path, models: Path, ports: Mapping[str, int]) -> list[str]:
        return [
            f"--port={ports['grpc']}",
            f"--rest_api_port={ports['rest']}",
            f"--model_name={name}",
            f"--model_base_path={models}",
            f"--prefer_tflite_model={str(files.light).lower()}",
            "--enable_grpc_healthcheck_service=true",
        ]

    def model_endpoint(
        folder: Path, models: Path, addresses: Mapping[str, str]
    ) -> dict[str, Endpoint]:
        fields = {"kind": "tfserving", **addresses, "model": name, "models": [name]}
        return {name: endpoints.from_mapping(fields, _("The model's address"))}

    return dataclasses.replace(
        services.get("tfserving"),
        name=name,
        prepare=lambda folder, models: None,
        arguments=arguments,
        endpoints=model_endpoint,
        troubled=False,
    )


def _start(own: launch.Launch, files: ModelFiles, stop: Stop) -> None:
    name = own.service.name
    engine = "LiteRT" if files.light else "TensorFlow"
    print(
        _(
            "{path} is started as {name}. It runs on {engine}.",
            path=files.path,
            name=name,
            engine=engine,
        ),
        flush=True,
    )
    seconds = 2.0 if files.light else 12.0
    with progress.waiting(_("Starting {name}", name=name), seconds, patience=0.5) as tick:

        def look() -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            log = _read(own.log)
            if reason := _reason(log):  # it would be tried again, as a new version is
                reason = files.in_own_words(reason, own.models).replace("op_library", "op-library")
                raise state.PracticeError(
                    _(
                        "{name} cannot be loaded from {path}:\n{reason}",
                        name=name,
                        path=files.path,
                        reason=reason,
                    )
                )
            tick(phase(log))

        launch.bring_up([own], tick=look)


def _read(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")
    return ""


def phase(log: str) -> str:
    """Say what the service does at the moment, by what it has logged."""
    if "Restoring SavedModel bundle." in log:
        return _("restoring variables")
    if "Reading meta graph with tags" in log:
        return _("building the graph")
    return _("importing TensorFlow") if "Reading SavedModel from:" in log else ""


def _reason(log: str) -> str:
    """Return the product's text when the model was not loaded, and what to do if that is clear."""
    _before, begun, rest = log.partition("Loading servable: ")
    if not (begun and rest.endswith("\n")):
        return ""
    lines = rest.partition(_FAILED)[2].splitlines()[:10]
    reason = "\n".join(printable(line) for line in lines if not line.startswith("\t [["))
    if reason.startswith(("DATA_LOSS", "OUT_OF_RANGE")):
        return f"{reason}\n{modelfiles.damaged()}"
    return reason


def _describe(own: launch.Launch, files: ModelFiles) -> None:
    name = own.service.name
    endpoint = own.endpoints[name]
    try:
        signatures = tfserving.signatures(endpoint)
        print("\n" + _("{name} is served.", name=name))
        print(f"  gRPC  {endpoint.grpc}\n  REST  {endpoint.rest}\n")
        print(signatures)
        saved = save_profile(endpoint)
        if signatures:
            show_call(endpoint, files, signatures)
        elif signatures.uncallable:
            print(_("None of its signatures can be called from here."))
        else:
            print(modelfiles.without_signatures())
    except errors.CallError as error:
        _check(own)
        raise state.PracticeError(
            _("{name} cannot be asked for its signatures: {error}", name=name, error=error)
        ) from error
    print(f"\n{saved}")
    if _is_loaded(endpoint):
        print(_('endpoints.load("tfserving", "{name}") finds it in a notebook.', name=name))
    print(_explore_with(endpoint, files))
    if files.newest:
        print(
            _(
                "A new version in {path} is picked up while this runs. Copy it there under a "
                "name of letters, then rename it to its number: half of one may count as whole.",
                path=files.path,
            )
        )
    print(_("Ctrl-C stops it."), flush=True)  # chapter 09 waits for a line that begins so


def _explore_with(endpoint: Endpoint, files: ModelFiles) -> str:
    """Say how the explorer is opened, and with which example inputs."""
    words = ["otw", "explore", endpoint.grpc, f"--model={endpoint.model}"]
    with contextlib.suppress(errors.BadInput):  # `otw describe` says what is wrong with them
        if warmup.read(files.folder):
            words += ["--examples", str(files.folder)]
    command = subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
    if "--examples" in words:
        return _("{command} opens a form for it, with its example inputs.", command=command)
    return _("{command} opens a form for it.", command=command)


def save_profile(endpoint: Endpoint) -> str:
    """Save the profile, but not over somebody's profile of something else; says what was done."""
    name = endpoint.model
    path = profiles.path()
    saved, _problems = profiles.read()
    old = saved.get(name)
    if old and not (
        old.kind == "tfserving" and old.model == name and old.grpc.startswith(f"{processes.HOST}:")
    ):
        return _(
            "No profile was saved: {path} has another one called {name}. --name gives a name.",
            path=path,
            name=name,
        )
    # Of models that were served at this port before, and are no longer.
    before = [
        other
        for other, profile in saved.items()
        if {profile.grpc, profile.rest} & {endpoint.grpc, endpoint.rest}
        and profile
        == endpoint.replace(grpc=profile.grpc, rest=profile.rest, model=other, models=[other])
    ]
    try:
        profiles.save(name, endpoint, instead_of=before)
    except errors.BadInput as error:
        return _("No profile was saved: {error}", error=error)
    return _("Saved as profile {name} in {path}.", name=name, path=path)


def _is_loaded(endpoint: Endpoint) -> bool:
    """Whether the profile leads here: the environment goes before it."""
    with contextlib.suppress(errors.CallError):
        loaded = endpoints.load("tfserving", endpoint.model)
        fields = ("grpc", "rest", "model")
        return all(getattr(loaded, name) == getattr(endpoint, name) for name in fields)
    return False


def show_call(endpoint: Endpoint, files: ModelFiles, signatures: Signatures) -> None:
    """Print the call of one signature as code, and say so when stand-ins are not what it takes."""
    name = DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in signatures else next(iter(signatures))
    signature = signatures[name]
    kind = method(signature)
    parsing = [n for n, spec in signature.inputs.items() if examples.are_likely(n, spec)]
    specs = features.read(files.loaded) if kind != "predict" or parsing else {}
    inputs, given = stand_ins(signature, specs)
    if specs and kind == "predict":  # as TFX exports models, which parse their examples themselves
        values = stand_ins(Signature(specs, {}))[0].items()
        example = {feature: array.ravel().tolist() for feature, array in values}
        inputs |= dict.fromkeys(parsing, examples.serialized([example]))
    shown = TfServingWriter(endpoint, name, signature, inputs, examples=given).preview()
    print(f"\n{to_paste(shown)}", end="")
    protocol = "rest" if REQUESTS in shown.code else "grpc"
    call = getattr(tfserving, kind)
    try:
        call(endpoint, given or inputs, signature_name=name, protocol=protocol)
    except errors.CallError as error:
        problem = error.details or error
        print(
            "\n"
            + _("The values are stand-ins. To them, the model answers: {problem}", problem=problem)
        )


def to_paste(shown: Preview) -> str:
    """Return the call in Python, without this project if REST carries it, and a short curl."""
    python = shown.code.get(REQUESTS) or shown.code[GRPC]
    text = _("Call it from Python:") + f"\n\n{python}"
    if 0 < len(shown.code.get(JSON, "")) <= curl.LONGEST:
        text += "\n" + _("or from a terminal:") + f"\n\n{shown.code[CURL]}\n"
    return text


def _watch(own: launch.Launch, stop: Stop) -> None:
    """Tell of versions that come and go. That it is asked keeps the service from idling out."""
    before: dict[int, VersionStatus] = {}
    while True:
        _check(own)
        with contextlib.suppress(errors.CallError):  # the next check says why, if it has ended
            now = tfserving.status(own.endpoints[own.service.name])
            for line in news(before or now, now):
                print(printable(line), flush=True)
            before = now
        if stop.wait(1.0):
            return


def _check(own: launch.Launch) -> None:
    """Raise PracticeError when the service has ended by itself."""
    status = own.process.poll() if own.process else None
    if status is not None:
        raise state.PracticeError(
            _(
                "{name} ended by itself, with status {status}. The last lines of its log:\n{lines}",
                name=own.service.name,
                status=status,
                lines=own.last_lines,
            )
        )


def news(before: Mapping[int, VersionStatus], now: Mapping[int, VersionStatus]) -> Iterator[str]:
    """Say which versions came and went, newest first."""
    for version, status in now.items():
        if version in before and before[version].state == status.state:
            continue
        if status.state == "AVAILABLE":
            yield _("Version {version} is served now.", version=version)
        elif status.state == "END" and status.code == "OK":
            yield _("Version {version} is no longer served.", version=version)
        elif status.state == "END":
            yield _(
                "Version {version} cannot be loaded: {why}", version=version, why=status.message
            )
