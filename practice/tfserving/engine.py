"""What an engine is to the rest of the service: a loaded model with signatures that it can run."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from helpers.tensors import to_ndarray

DEFAULT_SIGNATURE = "serving_default"
PREDICT_METHOD = "tensorflow/serving/predict"
CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


class Task(NamedTuple):
    """A signature to run, and which of its outputs are wanted."""

    signature_name: str
    outputs: tuple[str, ...]


class TensorNames:
    """Which tensors of the graph a signature's inputs and outputs stand for, and their types.

    Looking into the message at each call takes longer.
    """

    def __init__(self, signature: Any) -> None:
        self.inputs = {alias: info.name for alias, info in signature.inputs.items()}
        self.outputs = {alias: info.name for alias, info in signature.outputs.items()}
        self.data_types = {alias: info.dtype for alias, info in signature.inputs.items()}
        self.all_outputs = tuple(self.outputs)
        self.defaults = {alias: to_ndarray(proto) for alias, proto in signature.defaults.items()}


class Model(Protocol):
    """One loaded version of a model."""

    @property
    def signatures(self) -> Mapping[str, Any]:
        """The SignatureDefs by name."""

    @property
    def is_quick(self) -> bool:
        """Whether a small call takes less than a millisecond, and would not wait for others."""

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, NDArray], deadline: float
    ) -> list[dict[str, NDArray]]:
        """Run signatures on the same inputs, all at once where the engine can.

        Parameters
        ----------
        tasks : sequence of Task
            Of signatures that exist; their outputs do, too.
        inputs : mapping of str to ndarray
            By the signatures' names, of their dtypes (text is an object array of bytes). The
            shapes are whatever the caller sent.
        deadline : float
            `time.monotonic()` at which the caller's deadline ends; may be infinite.

        Returns
        -------
        list of dict of str to ndarray
            For each task its wanted outputs. Text is an object array of bytes.

        Raises
        ------
        Failure
            INVALID_ARGUMENT and the like with the engine's own text, or DEADLINE_EXCEEDED.
        """

    def close(self) -> None:
        """Give back what it holds; no call is under way."""


@dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Servable:
    """A model's version that is available. Whoever holds it keeps it from being unloaded."""

    name: str
    version: int
    model: Model
    checks_methods: bool = False  # --enable_signature_method_name_check
    tensors: Mapping[str, TensorNames] = dataclasses.field(init=False)  # by the signatures' names

    def __post_init__(self) -> None:
        signatures = self.model.signatures.items()
        tensors = {name: TensorNames(signature) for name, signature in signatures}
        object.__setattr__(self, "tensors", tensors)
