"""Models and answers as text: a tree, a table, JSON for programs and for people, `.npy` files."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from helpers import tables
from helpers.channels import MAX_MESSAGE
from helpers.errors import CallError
from helpers.language import _
from helpers.tables import printable
from helpers.tensors import of_ml_dtypes
from helpers.tfserving import VersionStatus
from helpers.tfserving.rest import b64, to_json
from helpers.tfserving.signatures import Signature, Signatures, TensorSpec
from workbench.answers.transcripts import plain
from workbench.code import literals
from workbench.values.arrays import kind

_NO_JSON = re.compile("-?Infinity|NaN")
_FIRST = 6  # values of an array that are shown
_LONGEST = 60  # letters of a string that are shown
_LONGEST_STEM = 200  # of a file's name, which has 255 at most


def tree(states: Mapping[int, VersionStatus], signatures: Signatures) -> str:
    """Write the states and signatures of a model for a person."""
    lines = []
    for number, version in states.items():
        why = f"  {printable(version.message)}" if version.message else ""
        words = _("version {number}", number=number)
        lines.append(f"  {words}  {version.state}{why}")
    lines.append(_("signatures of version {version}", version=signatures.version))
    return "\n".join([*lines, *signature_lines(signatures)])


def signature_lines(signatures: Signatures) -> list[str]:
    """Write signatures below their heading; a method other than predict stands behind the name."""
    lines = []
    for name, signature in signatures.items():
        method = signature.method_name.removeprefix("tensorflow/serving/")
        shown = f"  ({printable(method)})" if method not in ("", "predict") else ""
        lines += [f"  {printable(name)}{shown}", "    " + _("inputs")]
        lines += _specs(signature.inputs, signature.optional)
        lines += ["    " + _("outputs"), *_specs(signature.outputs)]
    for name, reason in signatures.uncallable.items():
        lines += [f"  {printable(name)}", f"    {printable(reason)}"]
    return lines


def tree_as_json(states: Mapping[int, VersionStatus], signatures: Signatures) -> str:
    """Write the same for a program."""
    return json.dumps(
        {
            "model": signatures.model,
            "version": signatures.version,
            "versions": [{"version": n, **state._asdict()} for n, state in states.items()],
            **signatures_for_json(signatures),
        }
    )


def signatures_for_json(signatures: Signatures) -> dict[str, Any]:
    """Return signatures, and why others cannot be called, as what JSON holds."""
    return {
        "signatures": {name: _as_json(signature) for name, signature in signatures.items()},
        "uncallable": signatures.uncallable,
    }


def table(outputs: Mapping[str, NDArray]) -> str:
    """Write arrays for a person: dtype, shape and the first values of each.

    Examples
    --------
    >>> print(table({"probabilities": np.array([[0.25, 0.75]], np.float32)}))
    output         dtype    shape   values
    probabilities  float32  [1, 2]  0.25  0.75
    """
    rows = [(printable(name), *described(array)) for name, array in sorted(outputs.items())]
    return tables.text((_("output"), "dtype", _("shape"), _("values")), rows)


def described(array: NDArray) -> tuple[str, str, str]:
    """Return dtype, shape and the first values of an array.

    Examples
    --------
    >>> described(np.zeros(9))
    ('float64', '[9]', '0  0  0  0  0  0  ... 3 more')
    """
    first = array.flat[:_FIRST]
    more = "  " + _("... {count:,} more", count=array.size - _FIRST) if array.size > _FIRST else ""
    return _dtype(array.dtype), str(list(array.shape)), "  ".join(map(_shown, first)) + more


def as_json(outputs: Mapping[str, NDArray], *, strict: bool = False) -> str:
    """Write arrays for a program, in one line of JSON.

    NaN and Infinity are written as TensorFlow Serving's REST does, which is no JSON to some
    parsers; strictly, they are texts, as in protobuf's JSON. Bytes that are no text are
    `{"b64": ...}`; a complex number is a pair.

    Examples
    --------
    >>> as_json({"y": np.array([0.1, 2], np.float32)})
    '{"y": {"dtype": "float32", "shape": [2], "values": [0.1,2.0]}}'
    """
    parts = (
        f'{json.dumps(name)}: {{"dtype": "{_dtype(array.dtype)}", '
        f'"shape": {list(array.shape)}, "values": {_values(array, strict)}}}'
        for name, array in sorted(outputs.items())
    )
    return f"{{{', '.join(parts)}}}"


def save(folder: str, before: str, outputs: Mapping[str, NDArray]) -> None:
    """Write each array as a `.npy` file into a folder.

    Parameters
    ----------
    folder : str
    before : str
        What the files' names begin with; the outputs' names follow, made safe and short.
    outputs : mapping of str to ndarray

    Raises
    ------
    CallError
        For bytes that end with NUL or differ much in length: `.npy` would pad them.
    """
    taken: list[str] = []
    for name, array in sorted(outputs.items()):
        taken.append(literals.file_name(quote(name, safe="")[:_LONGEST_STEM], ".npy", taken))
        path = os.path.join(folder, f"{before}{taken[-1]}")
        np.save(path, _for_npy(name, array), allow_pickle=False)


def _specs(specs: Mapping[str, TensorSpec], optional: Iterable[str] = ()) -> list[str]:
    """Write names and what they take as lines below `inputs` or `outputs`."""
    suffix = "  " + _("(optional)")
    rows = [
        (f"      {printable(name)}", f"{spec}{suffix}" if name in optional else str(spec))
        for name, spec in specs.items()
    ]
    return tables.text(rows[0], rows[1:]).split("\n") if rows else []


def _as_json(signature: Signature) -> dict[str, Any]:
    def listed(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
        return {
            name: {"dtype": _dtype(spec.dtype), "shape": spec.shape} for name, spec in specs.items()
        }

    return {
        "method_name": signature.method_name,
        "inputs": listed(signature.inputs),
        "outputs": listed(signature.outputs),
        "optional": sorted(signature.optional),
    }


def _dtype(dtype: np.dtype) -> str:
    return "string" if dtype.kind == "O" else dtype.name


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        short = value[:_LONGEST]
        text = repr(short.decode(errors="backslashreplace"))
        return (
            text
            if len(value) <= _LONGEST
            else _("{text}... ({size:,} bytes)", text=text, size=len(value))
        )
    return f"{value:.6g}" if kind(np.asarray(value).dtype) in "fc" else str(value)


def _values(array: NDArray, strict: bool) -> str:
    if array.dtype.kind == "O":
        return json.dumps(array.tolist(), default=_text)
    text = to_json(plain(array)).decode()
    return _NO_JSON.sub(r'"\g<0>"', text) if strict else text


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64(value)


def _for_npy(name: str, array: NDArray) -> NDArray:
    if of_ml_dtypes(array.dtype):
        return array.view(f"V{array.itemsize}")  # NumPy writes names of them that it cannot read
    if array.dtype.kind != "O":
        return array
    values = array.reshape(-1).tolist()
    longest = max(map(len, values), default=0)
    if longest * len(values) > MAX_MESSAGE or any(value.endswith(b"\0") for value in values):
        raise CallError(
            _("Output {name!r} has bytes that .npy cannot keep. Take --json for them.", name=name)
        )
    return array.astype(f"S{max(longest, 1)}")
