"""Which operations a graph has, and which of them a package brings that is not TensorFlow."""

from typing import Any

# Packages with operations of their own, which the product has linked in or users add to it, and
# how the names of these begin.
_PACKAGES = {
    "tensorflow_text": (
        *("TFText>", "CaseFoldUTF8", "NormalizeUTF8", "WordpieceTokenize", "WhitespaceTokenize"),
        *("UnicodeScriptTokenize", "Sentencepiece", "SplitMerge", "RegexSplit", "FastWordpiece"),
        *("FastBertNormalize", "SentenceFragments", "ConstrainedSequence", "RougeL", "Ngrams"),
    ),
    "tensorflow_decision_forests": ("SimpleML",),
}


def used(graph_def: Any) -> list[str]:
    """Return the operations of a GraphDef and of its functions, sorted."""
    bodies = (graph_def.node, *(function.node_def for function in graph_def.library.function))
    names = {node.op for nodes in bodies for node in nodes}
    return sorted(names - {function.signature.name for function in graph_def.library.function})


def package(operation: str) -> str:
    """Return the package to import for an operation; empty for TensorFlow's own, and others.

    Examples
    --------
    >>> package("TFText>WhitespaceTokenizeWithOffsetsV2")
    'tensorflow_text'
    """
    return next((name for name, begin in _PACKAGES.items() if operation.startswith(begin)), "")
