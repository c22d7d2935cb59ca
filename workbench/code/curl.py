"""What a call to paste is made of: stand-ins for its values, what REST carries, and curl."""

import base64
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.tfserving.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec

LONGEST = 300  # characters of JSON that a person still wants in a command
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
)  # the smallest PNG
_IMAGE = re.compile(r"image|img|jpe?g|png", re.IGNORECASE)
_IN_JSON = {
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool",
    "object",
}


def method(signature: Signature) -> str:
    """Return the call that a signature is made for: `predict`, `classify` or `regress`."""
    kind = signature.method_name.rpartition("/")[2]
    texts = [name for name, spec in signature.inputs.items() if spec.dtype.kind == "O"]
    fits = kind in ("classify", "regress") and list(signature.inputs) == texts == ["inputs"]
    return kind if fits else "predict"


def stand_ins(
    signature: Signature, features: Mapping[str, TensorSpec] | None = None
) -> tuple[dict[str, NDArray], list[dict[str, Any]]]:
    """Return values that a signature takes: zeros, the word text, or a picture of one pixel.

    Parameters
    ----------
    signature : Signature
        Of sizes that may be any, one is taken.
    features : mapping of str to TensorSpec, optional
        What an example has, which a signature does not tell.

    Returns
    -------
    dict of str to ndarray, list of dict
        Inputs for `predict`, else one example; the other is empty.

    Examples
    --------
    >>> stand_ins(Signature({"x": TensorSpec(np.dtype("float32"), (-1, 2))}, {}))
    ({'x': array([[0., 0.]], dtype=float32)}, [])
    """
    if method(signature) == "predict":
        return {name: _stand_in(name, spec) for name, spec in signature.inputs.items()}, []
    known = features or {"feature": TensorSpec(np.dtype(np.float32), ())}
    return {}, [{name: _stand_in(name, spec).ravel().tolist() for name, spec in known.items()}]


def curl(
    url: str, body: str, shell: str = "sh", options: Sequence[str] = (), words: str = ""
) -> str:
    """Write a command that posts a text.

    Parameters
    ----------
    url : str
    body : str
        A long one goes through standard input. `@name` is the file of that name.
    shell : str
        Whose quotes: `sh` or `powershell`.
    options : list of str
        More words for curl.
    words : str
        More of them, as the shell is to read them: with variables.

    Examples
    --------
    >>> curl("http://127.0.0.1:8501/v1/models/m:predict", "@body.json", words='-u "$USER"')
    'curl -u "$USER" -d @body.json http://127.0.0.1:8501/v1/models/m:predict'
    """
    from_input = command([*options, "-d", "@-", url], shell, words)
    if shell == "powershell" and body[0] != "@":
        # As an argument it would lose its quotes with older ones.
        return f"{quoted([body], shell)} | {from_input}"
    if len(body) <= LONGEST:
        return command([*options, "-d", body, url], shell, words)
    return f"{from_input} <<'EOF'\n{body}\nEOF"


def command(words: Sequence[str], shell: str = "sh", raw: str = "") -> str:
    """Write a command of curl: words to quote after those that the shell is to read itself."""
    return " ".join(
        filter(None, ["curl.exe" if shell == "powershell" else "curl", raw, quoted(words, shell)])
    )


def quoted(words: Sequence[str], shell: str) -> str:
    """Return words as `sh` or `powershell` reads them back."""
    if shell == "powershell":
        return " ".join(f"'{word.replace(chr(39), chr(39) * 2)}'" for word in words)
    return shlex.join(words)


def json_body(signature_name: str, call: str, values: Any) -> dict[str, Any]:
    """Return what is posted: inputs by name for `predict`, else examples."""
    named = signature_name not in ("", DEFAULT_SIGNATURE)
    body = {"signature_name": signature_name} if named else {}
    return body | {"inputs" if call == "predict" else "examples": values}


def not_in_json(signature: Signature) -> str:
    """Say why a signature cannot be called over REST, if it cannot.

    Examples
    --------
    >>> not_in_json(Signature({"x": TensorSpec(np.dtype("float16"), ())}, {}))
    "REST does not carry float16, which input 'x' is. gRPC does."
    """
    if not signature.inputs:
        return "REST refuses a signature that takes no input. gRPC does not."
    for way, specs in (("input", signature.inputs), ("output", signature.outputs)):
        for name, spec in specs.items():
            if spec.dtype.name not in _IN_JSON:
                return f"REST does not carry {spec.dtype}, which {way} {name!r} is. gRPC does."
    return ""


def _stand_in(name: str, spec: TensorSpec) -> NDArray:
    shape = (1,) if spec.shape is None else tuple(1 if n < 0 else n for n in spec.shape)
    if spec.dtype.kind != "O":
        return np.zeros(shape, spec.dtype)
    return np.full(shape, _PIXEL if _IMAGE.search(name) else "text", object)
