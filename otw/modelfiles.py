"""A model's files, as its maker left them: a SavedModel, versions of one, or a TFLite file."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from helpers.language import _
from practice import state
from practice.state import PracticeError
from practice.tfserving import operations, savedmodel
from practice.tfserving.failures import Failure

SERVE = "serve"  # the tag of what a SavedModel holds for serving
_SAVED = ("saved_model.pb", "saved_model.pbtxt")
_LITE = "model.tflite"
_VARIABLES = frozenset(["VarHandleOp", "Variable", "VariableV2"])  # operations


class ModelFiles(NamedTuple):
    """What can be served.

    Parameters
    ----------
    path : Path
        A folder with `saved_model.pb`, a TFLite file, or a folder of versions.
    newest : Path, optional
        The newest version's folder, if there are versions.
    light : bool
        Whether it runs on LiteRT, and not on TensorFlow.
    """

    path: Path
    newest: Path | None
    light: bool

    @property
    def name(self) -> str:
        """The folder's or the file's name, in letters, digits, `-` and `_`."""
        path = self.path.parent if self.path.name == _LITE else self.path
        path = path.parent if path.name.isdecimal() else path
        stem = path.stem if path.suffix.lower() == ".tflite" else path.name
        return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:100] or "model"

    @property
    def loaded(self) -> Path:
        """What is loaded: the folder that TensorFlow reads, or the TFLite file."""
        path = self.newest or self.path
        return path / _LITE if self.light and self.newest else path

    @property
    def folder(self) -> Path:
        """The folder of what is loaded, and of what came along with it."""
        return self.loaded.parent if self.light else self.loaded

    @property
    def versions(self) -> dict[int, Path]:
        """The versions' folders, newest first; none of a model that is in no folder of versions."""
        folders = (
            {int(folder.name): folder for folder in _versions(self.path)} if self.newest else {}
        )
        return dict(sorted(folders.items(), reverse=True))

    def for_litert(self) -> "ModelFiles | None":
        """Return the same model as its TFLite file, which some have beside the SavedModel's."""
        file = (self.newest or self.path) / _LITE
        if self.light or not file.is_file():
            return self if self.light else None
        return self._replace(light=True) if self.newest else ModelFiles(file, None, light=True)

    def of_version(self, number: int) -> "ModelFiles":
        """Return the same model with this version as its newest; PracticeError without it."""
        if number in self.versions:
            return _with_versions(self.path, self.versions[number])
        raise PracticeError(
            _(
                "{path} has no version {number}. Versions there: {versions}.",
                path=self.path,
                number=number,
                versions=", ".join(map(str, self.versions)) or _("none"),
            )
        )

    def tags(self, wanted: str = "") -> str:
        """Return which of the SavedModel's graphs to serve, by its tags with commas between.

        Parameters
        ----------
        wanted : str
            The tags, in any order; without them the graph for serving, or the only one there is.

        Raises
        ------
        PracticeError
            When there is no such graph, or one of several would have to be chosen.
        """
        try:
            saved_model = savedmodel.parse(self.loaded)
        except Failure:  # the service says what is wrong with it
            return wanted or SERVE
        there = {frozenset(graph.meta_info_def.tags) for graph in saved_model.meta_graphs}
        chosen = frozenset((wanted or SERVE).split(","))
        if not wanted and chosen not in there and len(there) == 1:
            [chosen] = there
        if there and chosen not in there:
            listed = "; ".join(sorted(",".join(sorted(tags)) for tags in there))
            raise PracticeError(
                _(
                    "{path} has no graph with the tags {tags}. "
                    "There are: {listed}. Choose with --tags.",
                    path=self.path,
                    tags=",".join(sorted(chosen)),
                    listed=listed,
                )
            )
        return ",".join(sorted(chosen))

    def problem(self) -> str:
        """Say that a SavedModel's variables are missing; it loads without, and its calls fail."""
        if self.light or (self.loaded / "variables" / "variables.index").exists():
            return ""
        try:
            graphs = savedmodel.parse(self.loaded).meta_graphs
        except Failure:  # the service says what is wrong with it
            return ""
        if not any(graph.saver_def.restore_op_name and _has_variables(graph) for graph in graphs):
            return ""
        return _(
            "{path} has no variables/variables.index: calls that need the model's variables fail. "
            "Copy the model whole.",
            path=self.loaded,
        )

    def lay_out(self, folder: Path) -> Path:
        """Return a folder of versions: the model's own, or `folder` with this as version 1."""
        if self.newest:
            return self.path
        target = self._target(folder)
        try:
            target.parent.mkdir(parents=True)
            _link(self.path, target)
        except OSError as error:
            raise state.unwritable(target, error) from error
        return folder

    def in_own_words(self, text: str, folder: Path) -> str:
        """Return a text about what is laid out in a folder with the path that a person named."""
        return text if self.newest else text.replace(str(self._target(folder)), str(self.path))

    def _target(self, folder: Path) -> Path:
        version = folder / "1"
        return version if self.path.is_dir() else version / _LITE


def find(name: str) -> ModelFiles:
    """Look at what a person named.

    Raises
    ------
    PracticeError
        When there is nothing to serve: it says what is there and what was expected.
    """
    path = Path(os.path.abspath(os.path.expanduser(name)))
    try:
        files = _at(path)
        if files.light and files.loaded.stat().st_size == 0:
            raise PracticeError(_("{path} is empty. Copy the model again.", path=files.loaded))
    except OSError as error:
        raise PracticeError(
            _("{path} cannot be read: {why}.", path=path, why=error.strerror or error)
        ) from error
    return files


def _at(path: Path) -> ModelFiles:
    if path.is_dir():
        return _in_folder(path)
    if path.name in _SAVED and path.is_file():
        return _in_folder(path.parent)
    if path.suffix.lower() == ".tflite" and path.is_file():
        return ModelFiles(path, None, light=True)
    if path.exists():
        raise _unfit(_("{path} is no folder.", path=path), [path.name])
    raise _unfit(_("There is no {path}.", path=path), [])


def graphs(folder: Path) -> Sequence[Any]:
    """Return a SavedModel's graphs, each a MetaGraphDef, one or more.

    Raises
    ------
    PracticeError
        When its file cannot be read or holds none: it says what is wrong, and what to do.
    """
    try:
        there = savedmodel.parse(folder).meta_graphs
    except Failure as error:
        words = _("{path} cannot be read: {why}", path=folder, why=error.text)
        whole = f"{words}. {damaged()}" if error.code == "DATA_LOSS" else words
        raise PracticeError(whole) from error
    if not there:
        raise PracticeError(
            _("{path} has no graph in its saved_model.pb. Copy the model again.", path=folder)
        )
    return there


def damaged() -> str:
    """Say of files that they are not what was exported."""
    return _("Its files are damaged, or were not copied whole. Copy the model again.")


def _in_folder(folder: Path) -> ModelFiles:
    if _has_saved_model(folder):
        return ModelFiles(folder, None, light=False)
    entries = sorted(folder.iterdir())
    versions = sorted(_versions(folder), key=lambda version: int(version.name))
    if whole := [version for version in versions if _has_model(version)]:
        if whole[-1] != versions[-1]:
            raise PracticeError(
                _(
                    "{path} is the newest version, and holds no model; {name} does. Complete it, "
                    "or remove it.",
                    path=versions[-1],
                    name=whole[-1].name,
                )
            )
        return _with_versions(folder, whole[-1])
    files = [path for path in entries if path.suffix.lower() == ".tflite" and path.is_file()]
    if len(files) == 1:
        return ModelFiles(files[0], None, light=True)
    if files:
        listed = ", ".join(file.name for file in files)
        raise PracticeError(
            _(
                "{folder} has several TFLite files: {listed}. Name one of them.",
                folder=folder,
                listed=listed,
            )
        )
    for entry in entries:
        if _has_model(entry):
            raise PracticeError(
                _(
                    "{folder} has a model in {name}, which is no number. A version is a folder "
                    "named by its number: rename {name} to 1, or serve {entry} alone.",
                    folder=folder,
                    name=entry.name,
                    entry=entry,
                )
            )
    names = [entry.name for entry in entries]
    inside = [file.name for version in versions for file in sorted(version.iterdir())]
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise _unfit(
        _(
            "{folder} holds no model to serve. Found there: {names}.",
            folder=folder,
            names=shown or _("nothing"),
        ),
        names + inside,
    )


def _has_variables(meta_graph: Any) -> bool:
    return not _VARIABLES.isdisjoint(operations.used(meta_graph.graph_def))


def _with_versions(folder: Path, chosen: Path) -> ModelFiles:
    light = (chosen / _LITE).is_file() and not _has_saved_model(chosen)
    return ModelFiles(folder, chosen, light)


def _versions(folder: Path) -> list[Path]:
    names = (entry for entry in sorted(folder.iterdir()) if entry.name.isascii())
    return [entry for entry in names if entry.name.isdigit() and entry.is_dir()]


def without_signatures() -> str:
    """Say what is wrong with a model that nobody can call."""
    return _(
        "It has no signatures, so no call reaches it. Export it with one: "
        "tf.saved_model.save(model, folder, signatures=...), or model.export(folder) of Keras."
    )


def saved(folder: Path) -> list[Path]:
    """Return what a SavedModel's graph may be called, the one that is read first."""
    return [folder / name for name in _SAVED]


def _has_model(folder: Path) -> bool:
    return _has_saved_model(folder) or (folder / _LITE).is_file()


def _has_saved_model(folder: Path) -> bool:
    return any(path.is_file() for path in saved(folder))


def _unfit(what: str, names: Iterable[str]) -> PracticeError:
    expected = _(
        "Expected: a SavedModel folder, which has saved_model.pb; a folder of versions (1, 2, ...) "
        "with such a folder or a model.tflite in each; or a .tflite file."
    )
    lines = [f"{what} {expected}"]
    for name in names:
        if advice := _advice(name):
            lines.append(advice)
            break
    return PracticeError("\n".join(lines))


def _advice(name: str) -> str:
    """Say what makes a model that can be served of another library's file; empty for others."""
    match os.path.splitext(name)[1].lower():
        case ".keras" | ".h5" | ".hdf5":
            return _(
                "{name} is a Keras model. Export it: "
                "keras.models.load_model({name!r}).export('exported')",
                name=name,
            )
        case ".pt" | ".pth":
            return _(
                "{name} is a PyTorch model. Convert it to TFLite, for instance with the package "
                "litert-torch.",
                name=name,
            )
        case ".onnx":
            return _(
                "{name} is an ONNX model. Convert it to a SavedModel, for instance with the "
                "package onnx2tf.",
                name=name,
            )
        case ".zip" | ".gz" | ".tgz" | ".tar" | ".bz2" | ".xz":
            return _(
                "{name} is an archive. Unpack it, and name the folder that comes out.", name=name
            )
    return ""


def _link(old: Path, new: Path) -> None:
    try:
        new.symlink_to(old, target_is_directory=old.is_dir())
    except OSError:  # Windows asks for a right that few have
        (shutil.copytree if old.is_dir() else shutil.copy2)(old, new)
