"""Code to paste: a call of a model, in Python and for curl, with stand-ins for its values."""

import base64
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import literals
from helpers.signatures import DEFAULT_SIGNATURE, Signature, TensorSpec

_LISTED = 16  # values; NumPy makes more
LONGEST = 300  # characters of JSON that a person still wants in a command
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="
)  # the smallest PNG
_IMAGE = re.compile(r"image|img|jpe?g|png", re.IGNORECASE)
_IN_JSON = {
    "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool",
    "object",
}  # fmt: skip


def method(signature: Signature) -> str:
    """Return the call that a signature is made for: `predict`, `classify` or `regress`."""
    kind = signature.method_name.rpartition("/")[2]
    texts = [name for name, spec in signature.inputs.items() if spec.dtype.kind == "O"]
    fits = kind in ("classify", "regress") and list(signature.inputs) == texts == ["inputs"]
    return kind if fits else "predict"


def stand_ins(signature: Signature, features: Mapping[str, TensorSpec] | None = None) -> Any:
    """Return values that a signature takes: zeros, the word text, or a picture of one pixel.

    Parameters
    ----------
    signature : Signature
        Of sizes that may be any, one is taken.
    features : mapping of str to TensorSpec, optional
        What an example has, which a signature does not tell.

    Returns
    -------
    dict or list of dict
        Inputs by name for `predict`; else one example.

    Examples
    --------
    >>> stand_ins(Signature({"x": TensorSpec(np.dtype("float32"), (-1, 2))}, {}))
    {'x': [[0.0, 0.0]]}
    """
    if method(signature) == "predict":
        return {name: _stand_in(name, spec) for name, spec in signature.inputs.items()}
    known = features or {"feature": TensorSpec(np.dtype(np.float32), ())}
    flat = {name: _stand_in(name, spec) for name, spec in known.items()}
    return [{name: np.ravel(v).tolist() if np.ndim(v) else v for name, v in flat.items()}]


def python_call(
    endpoint: str, signature_name: str, signature: Signature, values: Any = None
) -> str:
    """Write a call with `helpers.tfserving` that prints the answer.

    Parameters
    ----------
    endpoint : str
        Python that gives the endpoint: `endpoints.load("tfserving", "mine")`.
    signature_name : str
    signature : Signature
    values : optional
        As `stand_ins` returns them.

    Examples
    --------
    >>> signature = Signature({"x": TensorSpec(np.dtype("float32"), (-1, 2))}, {})
    >>> print(python_call('endpoints.load("tfserving")', "serving_default", signature))
    from helpers import endpoints, tfserving
    endpoint = endpoints.load("tfserving")
    inputs = {"x": [[0.0, 0.0]]}
    print(tfserving.predict(endpoint, inputs))
    """
    call = method(signature)
    what = "inputs" if call == "predict" else "examples"
    written = literals.python(stand_ins(signature) if values is None else values)
    named = signature_name != DEFAULT_SIGNATURE
    more = f", signature_name={literals.python(signature_name)}" if named else ""
    return "\n".join(
        [
            *(line for group in literals.imports(written) for line in group),
            "from helpers import endpoints, tfserving",
            f"endpoint = {endpoint}",
            f"{what} = {written}",
            f"print(tfserving.{call}(endpoint, {what}{more}))",
        ]
    )


def curl_call(
    url: str,
    signature_name: str,
    signature: Signature,
    values: Any = None,
    shell: str = "sh",
    options: Sequence[str] = (),
) -> str:
    """Write the same call for curl.

    Parameters
    ----------
    url : str
        The model's: `http://127.0.0.1:8501/v1/models/digits`.
    signature_name : str
    signature : Signature
    values : optional
        As `stand_ins` returns them.
    shell : str
        Whose quotes: `sh` or `powershell`.
    options : list of str
        More words for curl.

    Returns
    -------
    str
        Empty for what REST does not carry, and when the JSON would be long.

    Examples
    --------
    >>> signature = Signature({"x": TensorSpec(np.dtype("float32"), (-1, 2))}, {})
    >>> print(curl_call("http://127.0.0.1:8501/v1/models/m", "serving_default", signature))
    curl -d '{"inputs": {"x": [[0.0, 0.0]]}}' http://127.0.0.1:8501/v1/models/m:predict
    """
    call = method(signature)
    values = stand_ins(signature) if values is None else values
    if not_in_json(signature) or _count(values) > LONGEST:
        return ""
    text = json.dumps(json_body(signature_name, call, values), default=_json)
    return curl(f"{url}:{call}", text, shell, options) if len(text) <= LONGEST else ""


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
    return " ".join(filter(None, ["curl.exe" if shell == "powershell" else "curl", raw,
                                  quoted(words, shell)]))  # fmt: skip


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


def _stand_in(name: str, spec: TensorSpec) -> Any:
    """Return a list where `predict` takes one and it is short, else an array."""
    shape = (1,) if spec.shape is None else tuple(1 if n < 0 else n for n in spec.shape)
    image = _PIXEL if _IMAGE.search(name) else "text"
    zero = {"O": image, "i": 0, "b": False}.get(spec.dtype.kind, 0.0)
    array: NDArray = np.full(shape, zero, object)
    # A list of ints is not taken for unsigned ones.
    if 0 < array.size <= _LISTED and spec.dtype.kind != "u":
        return array.tolist()
    return array if spec.dtype.kind == "O" else np.zeros(shape, spec.dtype)


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value.tolist()


def _count(values: Any) -> int:
    rows = [values] if isinstance(values, dict) else values
    return sum(np.size(value) for row in rows for value in row.values())
