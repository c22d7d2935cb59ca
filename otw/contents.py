"""`otw describe FOLDER`: what a model's files hold, without TensorFlow and without a service."""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ai_edge_litert.interpreter import Interpreter

from helpers import tables
from helpers.errors import BadInput
from helpers.language import _, plural
from helpers.tables import printable
from helpers.tfserving.signatures import Signatures, from_signature_defs
from otw import modelfiles
from otw.modelfiles import ModelFiles
from practice.state import PracticeError
from practice.tfserving import litert, operations
from workbench.answers import listings
from workbench.values import modelcards, warmup

_LARGEST = 2**30  # bytes of a graph or a TFLite file; what is read takes several times as many


class Graph(NamedTuple):
    """One graph of a SavedModel, or the one of a TFLite file, which has no tags.

    Parameters
    ----------
    tags : list of str
    signatures : Signatures
    packages : dict of str to str
        Operations that TensorFlow lacks, and the package of each as pip knows it; empty where
        that is not one of the well-known ones.
    problem : str
        Why it cannot be served, or not called; empty when nothing is in its way.
    """

    tags: list[str]
    signatures: Signatures
    packages: dict[str, str]
    problem: str


class Contents(NamedTuple):
    """What a model's files hold.

    Parameters
    ----------
    files : ModelFiles
    version : int or None
        None of a model that lies in no folder of versions.
    sizes : dict of str to int
        Bytes of `graph`, `variables` and `assets`.
    graphs : list of Graph
    examples : list of str
        The titles of the warm-up requests; or what is wrong with them.
    documents : list of str
        Names of files for people to read, such as a model card.
    """

    files: ModelFiles
    version: int | None
    sizes: dict[str, int]
    graphs: list[Graph]
    examples: list[str]
    documents: list[str]


def describe(arguments: argparse.Namespace) -> str:
    """Return the text for a person or, with `json`, for a program; PracticeError if none fits."""
    files = modelfiles.find(arguments.address)
    if arguments.label:
        raise PracticeError(_("Labels are a service's; a folder has versions: --version."))
    if arguments.version is not None:
        files = files.of_version(arguments.version)
    contents = read(files)
    return _as_json(contents) if arguments.json else _as_text(contents)


def read(files: ModelFiles) -> Contents:
    """Read a model's files.

    Raises
    ------
    PracticeError
        When one of them is too large, or is not what its name says.
    """
    path = files.loaded
    version = int(files.newest.name) if files.newest else None
    name = files.name
    try:
        if files.light:
            sizes = {"graph": _checked(path)}
            graphs = [_lite_graph(path, name, version or 0)]
        else:
            graph = next(file for file in modelfiles.saved(path) if file.is_file())
            sizes = {"graph": _checked(graph)}
            sizes |= {kind: _size(path / kind) for kind in ("variables", "assets")}
            problem = files.problem()
            graphs = [
                _graph(meta_graph, name, version or 0, problem)
                for meta_graph in modelfiles.graphs(path)
            ]
        documents = [path.name for path in modelcards.paths(files.folder)]
    except OSError as error:
        raise PracticeError(
            _("{path} cannot be read: {why}.", path=path, why=error.strerror or error)
        ) from error
    return Contents(files, version, sizes, graphs, _examples(files.folder), documents)


def _graph(meta_graph: Any, name: str, version: int, problem: str) -> Graph:
    packages = {
        operation: operations.package(operation).replace("_", "-")
        for operation in operations.used(meta_graph.graph_def)
    }
    # A > is how libraries set their operations apart from TensorFlow's.
    packages = {name: package for name, package in packages.items() if package or ">" in name}
    signatures = from_signature_defs(name, version, meta_graph.signature_def)
    return Graph(sorted(meta_graph.meta_info_def.tags), signatures, packages, problem)


def _lite_graph(path: Path, name: str, version: int) -> Graph:
    content = path.read_bytes()
    try:
        interpreter = Interpreter(model_content=content)  # it is made, and nothing is run
        definitions, _table = litert.signatures(content, interpreter)
        signatures = from_signature_defs(name, version, definitions)
        refusal = litert.refusal(content)
        problem = _("It cannot be served: {reason}", reason=refusal) if refusal else ""
        return Graph([], signatures, {}, problem)
    except Exception as error:  # the libraries below fail in their own ways at a damaged file
        why = _("{path} is no TFLite model that LiteRT reads: {why}", path=path, why=error)
        raise PracticeError(why) from error


def _checked(file: Path) -> int:
    size = file.stat().st_size
    if size > _LARGEST:
        raise PracticeError(
            _(
                "{path} has {size:,} bytes; up to {limit:,} are read here. "
                "`otw serve` may load it.",
                path=file,
                size=size,
                limit=_LARGEST,
            )
        )
    return size


def _size(folder: Path) -> int:
    paths = (
        os.path.join(parent, name) for parent, _folders, names in os.walk(folder) for name in names
    )
    return sum(os.path.getsize(path) for path in paths if os.path.isfile(path))


def _examples(folder: Path) -> list[str]:
    try:
        return [example.title for example in warmup.read(folder)]
    except BadInput as error:  # it is not needed, and all else can be told
        return [str(error)]


def _as_text(contents: Contents) -> str:
    files = contents.files
    rows = [(_("kind"), "TFLite" if files.light else "SavedModel")]
    if files.newest:
        others = ", ".join(map(str, files.versions))
        rows.append((_("version"), _("{number} of {all}", number=contents.version, all=others)))
    sizes = ", ".join(f"{kind} {size:,}" for kind, size in contents.sizes.items())
    rows.append((_("bytes"), sizes))
    if contents.documents:
        rows.append((_("to read"), ", ".join(contents.documents)))
    lines = [str(files.path), *tables.text(("", ""), rows).splitlines()[1:]]
    for graph in contents.graphs:
        tags = ",".join(graph.tags)
        lines.append(_("signatures with the tags {tags}", tags=tags) if tags else _("signatures"))
        lines += listings.signature_lines(graph.signatures)
        if not (graph.signatures or graph.signatures.uncallable):
            lines.append(f"  {modelfiles.without_signatures()}")
        if graph.packages:
            lines += [_("operations that TensorFlow lacks"), *_needs(graph.packages)]
        if graph.problem:
            lines.append(graph.problem)
    if contents.examples:
        lines.append(
            plural("{count} example input", "{count} example inputs", len(contents.examples))
        )
        lines += [f"  {title}" for title in contents.examples]
    return "\n".join(printable(line) for line in lines)


def _needs(packages: Mapping[str, str]) -> list[str]:
    return [
        "  "
        + (
            _("{operation}: install {package}", operation=operation, package=package)
            if package
            else _("{operation}: name its library, otw serve --op-library", operation=operation)
        )
        for operation, package in packages.items()
    ]


def _as_json(contents: Contents) -> str:
    files = contents.files
    return json.dumps(
        {
            "path": str(files.path),
            "kind": "TFLite" if files.light else "SavedModel",
            "version": contents.version,
            "versions": list(files.versions),
            "bytes": contents.sizes,
            "graphs": [
                {
                    "tags": graph.tags,
                    **listings.signatures_for_json(graph.signatures),
                    "packages": graph.packages,
                    "problem": graph.problem,
                }
                for graph in contents.graphs
            ],
            "examples": contents.examples,
            "documents": contents.documents,
        }
    )
