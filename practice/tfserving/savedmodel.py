"""The TensorFlow engine: runs a SavedModel in a session of its own, as TensorFlow Serving does."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from helpers.serving_api import meta_graph_pb2, saved_model_pb2
from practice.tfserving.engine import Task, TensorNames
from practice.tfserving.failures import Failure, log
from protos import official

_INIT_OP = "__saved_model_init_op"


class SavedModel:
    """One loaded SavedModel: its graph, and a session that holds its variables.

    Parameters
    ----------
    folder : str
        Holds `saved_model.pb` (or `.pbtxt`), and beside it `variables` and `assets`.
    tags : sequence of str
        Of the graph to load; exactly those.
    intra_op, inter_op : int
        Threads within and across operations; 0 leaves them to TensorFlow.

    Attributes
    ----------
    signatures : dict of str to SignatureDef

    Raises
    ------
    Failure
        With the product's text where the folder holds nothing that can be loaded; and where
        TensorFlow is not installed.
    """

    is_quick = False

    def __init__(
        self,
        folder: str,
        tags: Sequence[str] = ("serve",),
        *,
        intra_op: int = 0,
        inter_op: int = 0,
    ) -> None:
        log.info("Reading SavedModel from: %s", folder)
        meta_graph = _read(folder, tags)
        if not official.has_tensorflow():
            text = f"{folder} holds a SavedModel, which TensorFlow runs. {official.ABSENT}"
            raise Failure("FAILED_PRECONDITION", text)
        # Copied, because a message that is part of a larger one keeps all of it in memory.
        self.signatures = {
            name: meta_graph_pb2.SignatureDef.FromString(signature.SerializeToString())
            for name, signature in meta_graph.signature_def.items()
        }
        self._names = {name: TensorNames(s) for name, s in self.signatures.items()}
        from practice.tfserving.session import Session  # 3 s: TensorFlow

        log.info("Reading meta graph with tags { %s }", " ".join(tags))
        self._session = Session(
            meta_graph.graph_def,
            meta_graph.meta_info_def.stripped_op_list,
            intra_op=intra_op,
            inter_op=inter_op,
        )
        try:
            self._initialize(folder, meta_graph)
        except Failure:
            self.close()
            raise

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, NDArray], deadline: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures on the same inputs in one call of the session; see `engine.Model`."""
        feeds: dict[str, NDArray] = {}
        fetches: dict[str, None] = {}
        for signature_name, outputs in tasks:
            names = self._names[signature_name]
            feeds.update((names.inputs[alias], array) for alias, array in inputs.items())
            fetches.update((names.outputs[alias], None) for alias in outputs)
        arrays = dict(zip(fetches, self._session.run(feeds, fetches, deadline), strict=True))
        return [
            {alias: arrays[self._names[name].outputs[alias]] for alias in outputs}
            for name, outputs in tasks
        ]

    def close(self) -> None:
        """Free the graph and its variables; no call may be under way."""
        self._session.close()

    def _initialize(self, folder: str, meta_graph: Any) -> None:
        """Restore the variables and fill the tables, see tensorflow/cc/saved_model/loader.cc."""
        from tensorflow.python.saved_model import loader_impl  # the session has imported it

        log.info("Restoring SavedModel bundle.")

        assets = loader_impl.get_asset_tensors(folder, meta_graph)
        variables = os.path.join(folder, "variables", "variables")
        saver = meta_graph.saver_def
        if saver.restore_op_name and os.path.exists(f"{variables}.index"):
            texts = {**assets, saver.filename_tensor_name: variables.encode()}
            self._session.run_once(saver.restore_op_name, texts)
        if operation := _init_op(folder, meta_graph):
            self._session.run_once(operation, assets)


def _read(folder: str, tags: Sequence[str]) -> Any:
    """Return the MetaGraphDef of these tags."""
    saved_model = parse(folder)
    for meta_graph in saved_model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == set(tags):
            return meta_graph
    raise Failure(
        "NOT_FOUND",
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To "
        "inspect available tag-sets in the SavedModel, please use the SavedModel CLI: "
        "`saved_model_cli`",
    )


def parse(folder: str | os.PathLike[str]) -> Any:
    """Read the SavedModel message of a folder; Failure, in the product's words, where none is."""
    binary, text = (os.path.join(folder, f"saved_model.{kind}") for kind in ("pb", "pbtxt"))
    try:
        if os.path.exists(binary):
            with open(binary, "rb") as file:
                return saved_model_pb2.SavedModel.FromString(file.read())
        if os.path.exists(text):
            with open(text, encoding="utf-8") as file:
                return text_format.Parse(file.read(), saved_model_pb2.SavedModel())
    except DecodeError as error:
        raise Failure("DATA_LOSS", f"Can't parse {binary} as binary proto") from error
    except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Failure("DATA_LOSS", f"Can't parse {text} as text proto") from error
    except OSError as error:
        raise Failure("UNKNOWN", f"{error.filename}; {error.strerror}") from error
    raise Failure(
        "NOT_FOUND",
        f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {folder}. "
        "Check that the directory exists and that you have the right permissions for accessing it.",
    )


def _init_op(folder: str, meta_graph: Any) -> str:
    """Return the name of the operation that fills tables and the like, or nothing."""
    if _INIT_OP in meta_graph.signature_def:
        return meta_graph.signature_def[_INIT_OP].outputs[_INIT_OP].name
    for key in ("saved_model_main_op", "legacy_init_op"):  # of TensorFlow 1
        if key in meta_graph.collection_def:
            names = meta_graph.collection_def[key].node_list.value
            if len(names) != 1:
                text = f"Expected exactly one main op in : {folder}"
                raise Failure("FAILED_PRECONDITION", text)
            return names[0]
    return ""
