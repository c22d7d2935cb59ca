"""The features that a SavedModel reads out of `tf.Example`s, which its signatures do not tell."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers.tensors import to_dtype
from helpers.tfserving.signatures import TensorSpec
from practice.tfserving import savedmodel
from practice.tfserving.failures import Failure


def read(folder: Path) -> dict[str, TensorSpec]:
    """Return the dense features of all `ParseExample` operations, by name.

    Parameters
    ----------
    folder : Path
        Of a SavedModel.

    Returns
    -------
    dict of str to TensorSpec
        Empty when there are none, or when the model cannot be read.

    See tensorflow/core/ops/parsing_ops.cc.
    """
    try:
        saved_model = savedmodel.parse(folder)
    except Failure:
        return {}
    specs: dict[str, TensorSpec] = {}
    for meta_graph in saved_model.meta_graphs:
        graph = meta_graph.graph_def
        for nodes in (graph.node, *(function.node_def for function in graph.library.function)):
            specs |= _parsed(nodes)
    return specs


def _parsed(nodes: Iterable[Any]) -> dict[str, TensorSpec]:
    by_name = {node.name: node for node in nodes}
    return {
        key: TensorSpec(to_dtype(data_type), tuple(dim.size for dim in shape.dim))
        for node in by_name.values()
        if node.op in ("ParseExample", "ParseExampleV2")
        for key, data_type, shape in zip(
            _dense_keys(node, by_name),
            node.attr["Tdense"].list.type,
            node.attr["dense_shapes"].list.shape,
            strict=False,  # keys that no constant holds are not known
        )
    }


def _dense_keys(node: Any, by_name: dict[str, Any]) -> list[str]:
    if node.op == "ParseExampleV2":  # serialized, names, sparse keys, dense keys, ...
        inputs = node.input[3:4]
    else:  # serialized, names, one input for each sparse key and for each dense key, ...
        first = 2 + node.attr["Nsparse"].i
        inputs = node.input[first : first + node.attr["Ndense"].i]
    keys: list[bytes] = []
    for name in inputs:
        constant = by_name.get(name.partition(":")[0])
        if constant is None or constant.op != "Const":
            return []
        keys += constant.attr["value"].tensor.string_val
    return [key.decode(errors="replace") for key in keys]
