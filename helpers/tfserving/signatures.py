"""What a model takes and gives, as its signatures say, and whether an input fits."""

import difflib
import math
import time
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers import tables
from helpers.errors import BadInput, UnknownSignature
from helpers.language import _
from helpers.tables import printable
from helpers.tensors import as_array, to_dtype

DEFAULT_SIGNATURE = "serving_default"  # what TensorFlow Serving takes when none is named


class TensorSpec(NamedTuple):
    """The dtype and shape of one input or output; -1 is any size, shape None any rank."""

    dtype: np.dtype
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        dtype = "string" if self.dtype.kind == "O" else str(self.dtype)
        shape = _("of any shape") if self.shape is None else list(self.shape)
        return f"{dtype} {shape}"

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape fits as it is.

        Examples
        --------
        >>> TensorSpec(np.dtype("float32"), (-1, 4)).takes((150, 4))
        True
        """
        if self.shape is None:
            return True
        same_rank = len(shape) == len(self.shape)
        return same_rank and all(want in (-1, n) for n, want in zip(shape, self.shape, strict=True))


class Signature(NamedTuple):
    """One way to call a model: its inputs and outputs by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    optional: frozenset[str] = frozenset()
    method_name: str = ""


class Signatures(dict[str, Signature]):
    """The signatures of one version of a model by name; a table in a notebook.

    Attributes
    ----------
    uncallable : dict of str to str
        Why others cannot be called with arrays, by their names: they take or give what is no
        tensor of numbers or text.
    """

    def __init__(
        self,
        model: str,
        version: int,
        signatures: Mapping[str, Signature],
        uncallable: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(signatures)
        self.model = model
        self.version = version
        self.uncallable = dict(uncallable or {})

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (name, direction, tensor, str(spec))
            for name, signature in self.items()
            for direction, specs in (("input", signature.inputs), ("output", signature.outputs))
            for tensor, spec in specs.items()
        ] + [(name, "", "", reason) for name, reason in self.uncallable.items()]

    def __repr__(self) -> str:
        rows = [[printable(cell) for cell in row] for row in self._rows()]
        return f"{self._caption()}\n{tables.text(_columns(), rows)}"

    def _repr_html_(self) -> str:
        return tables.html(_columns(), self._rows(), caption=self._caption())

    def _caption(self) -> str:
        return _("{model}, version {version}", model=self.model, version=self.version)


def _columns() -> tuple[str, str, str, str]:
    return _("signature"), "", _("name"), _("dtype and shape")


class SignatureCache:
    """The signatures of models as they were last asked for, by connection and model.

    What is kept for a connection is forgotten with it.
    """

    def __init__(self) -> None:
        self._connections: weakref.WeakKeyDictionary[Any, dict[tuple, tuple[Signatures, float]]]
        self._connections = weakref.WeakKeyDictionary()

    def get(
        self, connection: Any, model: tuple, younger_than: float = math.inf
    ) -> Signatures | None:
        """Return what is kept, if it is not older than so many seconds."""
        signatures, asked = self._connections.get(connection, {}).get(model, (None, 0.0))
        return signatures if time.monotonic() - asked < younger_than else None

    def put(self, connection: Any, model: tuple, signatures: Signatures) -> None:
        """Keep what was just asked for."""
        self._connections.setdefault(connection, {})[model] = signatures, time.monotonic()

    def forget(self, connection: Any, model: tuple) -> None:
        """Forget a model's; another thread may have done it."""
        self._connections.get(connection, {}).pop(model, None)


def from_signature_defs(model: str, version: int, signature_defs: Mapping[str, Any]) -> Signatures:
    """Read TensorFlow's SignatureDef messages, leaving out TensorFlow's own `__` signatures."""
    signatures: dict[str, Signature] = {}
    uncallable: dict[str, str] = {}
    for name, signature in sorted(signature_defs.items()):
        if name.startswith("__"):
            continue
        try:
            signatures[name] = Signature(
                _specs(signature.inputs),
                _specs(signature.outputs),
                frozenset(getattr(signature, "defaults", ())),
                signature.method_name,
            )
        except BadInput as error:
            uncallable[name] = _("cannot be called here: {error}", error=error)
    return Signatures(model, version, signatures, uncallable)


def named(inputs: Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    """Return inputs that go by name, and refuse others."""
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise BadInput(_("Inputs go by name, as in {'images': array}."))
    return inputs


def check_inputs(
    signatures: Signatures, signature_name: str, inputs: Mapping[str, ArrayLike]
) -> dict[str, NDArray]:
    """Check inputs against a signature before anything is sent.

    Parameters
    ----------
    signatures : Signatures
        As the service gave them.
    signature_name : str
        Empty for the default, `serving_default`.
    inputs : mapping of str to array-like
        Lists are cast to the signature's dtype; arrays must have it already.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    UnknownSignature, BadInput
        One sentence says what is wrong and what was expected.
    """
    asked = signature_name or DEFAULT_SIGNATURE
    wanted = signatures.get(asked)
    if reason := signatures.uncallable.get(asked):
        raise BadInput(_("Signature {signature!r} {reason}", signature=asked, reason=reason))
    if wanted is None:
        raise UnknownSignature(_no_signature(signatures, signature_name))
    for name in inputs:
        if name not in wanted.inputs:
            raise BadInput(
                _(
                    "The signature has no input {name!r}. {names}",
                    name=name,
                    names=suggest(name, wanted.inputs, _("It takes: {names}.")),
                )
            )
    for name, spec in wanted.inputs.items():
        if name not in inputs and name not in wanted.optional:
            raise BadInput(
                _("Input {name!r} is missing; the signature takes {spec}.", name=name, spec=spec)
            )
    return {name: _fit(name, value, wanted.inputs[name]) for name, value in inputs.items()}


def suggest(name: str, choices: Iterable[str], sentence: str) -> str:
    """List what there is, in a sentence with `{names}`, and the name that was probably meant.

    Examples
    --------
    >>> suggest("image", ["images"], "It takes: {names}.")
    "It takes: images. Did you mean 'images'?"
    """
    names = list(choices)
    near = difflib.get_close_matches(name, names, n=1)
    listed = sentence.format(names=", ".join(names) or _("none"))
    if not near:
        return listed
    return _("{names} Did you mean {near!r}?", names=listed, near=near[0])


def _no_signature(signatures: Signatures, name: str) -> str:
    names = suggest(name, signatures, _("It has: {names}."))
    if name:
        return _(
            "Model {model!r} has no signature {signature!r}. {names}",
            model=signatures.model,
            signature=name,
            names=names,
        )
    return _(
        "Model {model!r} has no signature {signature!r}, the one taken when none is named. {names}",
        model=signatures.model,
        signature=DEFAULT_SIGNATURE,
        names=names,
    )


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {name: _spec(name, infos[name]) for name in sorted(infos)}


def _spec(name: str, info: Any) -> TensorSpec:
    encoding = info.WhichOneof("encoding")
    if encoding in ("composite_tensor", "coo_sparse"):
        kind = info.composite_tensor.type_spec.type_spec_class_name or "sparse"
        raise BadInput(_("{name!r} is several tensors in one ({kind}).", name=name, kind=kind))
    shape = info.tensor_shape
    # TensorFlow takes any negative size for an unknown one.
    sizes = None if shape.unknown_rank else tuple(max(dim.size, -1) for dim in shape.dim)
    return TensorSpec(to_dtype(info.dtype), sizes)


def _fit(name: str, value: ArrayLike, spec: TensorSpec) -> NDArray:
    try:
        array = as_array(value)
    except BadInput as error:
        raise BadInput(
            _("Input {name!r}: {error} Expected {spec}.", name=name, error=error, spec=spec)
        ) from error
    text = array.dtype.kind in "SUO"
    if array.size and text != (spec.dtype.kind == "O"):
        raise _of_another_kind(name, array, spec)
    if isinstance(value, np.ndarray | np.generic):
        if not text and array.dtype != spec.dtype:
            raise BadInput(
                _(
                    "Input {name!r} is {kind}; expected {spec}. Convert it with "
                    ".astype({dtype!r}).",
                    name=name,
                    kind=_kind(array),
                    spec=spec,
                    dtype=str(spec.dtype),
                )
            )
    elif not text and array.size and not _can_be(array.dtype, spec.dtype):
        raise _of_another_kind(name, array, spec)
    if not spec.takes(array.shape):
        raise BadInput(
            _(
                "Input {name!r} has shape {shape}; expected {spec}.",
                name=name,
                shape=list(array.shape),
                spec=spec,
            )
        )
    return as_array(value, None if text and array.size else spec.dtype)


def _of_another_kind(name: str, array: NDArray, spec: TensorSpec) -> BadInput:
    return BadInput(
        _("Input {name!r} is {kind}; expected {spec}.", name=name, kind=_kind(array), spec=spec)
    )


def _can_be(dtype: np.dtype, wanted: np.dtype) -> bool:
    """Whether a list's numbers may become this dtype; whether they fit is seen in the cast."""
    both_whole = dtype.kind in "iu" and wanted.kind in "iu"
    return both_whole or np.can_cast(dtype, wanted, "same_kind")


def _kind(array: NDArray) -> str:
    if array.dtype.kind not in "SUO":
        return str(array.dtype)
    first = array.reshape(-1)[:1].tolist()
    texts = all(isinstance(value, str | bytes) for value in first)
    return _("text") if texts else type(first[0]).__name__
