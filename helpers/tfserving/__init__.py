"""Calls to TensorFlow Serving, over gRPC or REST: predict, classify, regress, and what is there.

Each function below makes one `Call`, the class at the end, and returns what its method gives. On
its way down a prediction meets five modules::

    here            the signatures, kept or asked for, and then what follows
    signatures.py   do names, dtypes and shapes of the inputs fit?
    grpc.py         one request over gRPC (rest.py has the same methods over REST)
    codec.py        the request as bytes, and the answer as arrays
    transport.py    the call itself, over the connection that `channels` keeps open; its errors
"""

import asyncio
import contextlib
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helpers import channels, transport
from helpers.endpoints import Endpoint
from helpers.errors import BadInput, CallError, UnknownModel
from helpers.interrupts import Interrupts
from helpers.language import _
from helpers.tfserving import many
from helpers.tfserving.features import features_of
from helpers.tfserving.grpc import GRPC, PREDICT, Grpc
from helpers.tfserving.signatures import (
    SignatureCache,
    Signatures,
    check_inputs,
    named,
    suggest,
)

if TYPE_CHECKING:
    from helpers.tfserving.rest import Rest

__all__ = [
    "Call",
    "Class",
    "VersionStatus",
    "apredict",
    "classify",
    "predict",
    "predict_many",
    "regress",
    "signatures",
    "status",
]

TIMEOUT = 10.0  # seconds
Inputs = Mapping[str, ArrayLike]
Arrays = dict[str, NDArray]


def predict(
    endpoint: Endpoint,
    inputs: Inputs,
    *,
    signature_name: str = "",
    timeout: float = TIMEOUT,
    check: bool = True,
    protocol: str = "",
) -> Arrays:
    """Send inputs to a model and return its outputs.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name: `endpoint.replace(model="digits")`.
    inputs : mapping of str to array-like
        By the signature's names. Lists are cast to the signature's dtype.
    signature_name : str, optional
        In place of the endpoint's; the service's default is `serving_default`.
    timeout : float
        Seconds until the call is given up, to the last byte of its answer.
    check : bool
        Whether names, dtypes and shapes are checked against the signature before sending.
        TensorFlow Serving itself does not check shapes.
    protocol : str, optional
        `"grpc"` or `"rest"`; without it gRPC, if the endpoint has a gRPC address.

    Returns
    -------
    dict of str to ndarray
        Writable arrays by the signature's output names.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text: mostly
        `UnknownModel`, `UnknownSignature`, `BadInput`, `DeadlineExceeded` or `ConnectionFailed`.

    See tensorflow_serving/apis/predict.proto and tensorflow.org/tfx/serving/api_rest.

    Examples
    --------
    >>> iris = endpoints.load("tfserving").replace(model="iris")  # doctest: +SKIP
    >>> predict(iris, {"features": [[5.1, 3.5, 1.4, 0.2]]})  # doctest: +SKIP
    {'probabilities': array([[0.98, 0.02, 0.  ]], dtype=float32)}
    """
    return Call(endpoint, timeout, protocol, signature_name).predict(inputs, check)


async def apredict(
    endpoint: Endpoint,
    inputs: Inputs,
    *,
    signature_name: str = "",
    timeout: float = TIMEOUT,
    check: bool = True,
) -> Arrays:
    """Do as `predict` does over gRPC, for code with `async` and `await`.

    The parameters are those of `predict`, and so are the outputs and the errors. Cancel its task,
    and the call is cancelled, too.
    """
    return await Call(endpoint, timeout, "grpc", signature_name).predict_async(inputs, check)


def predict_many(
    endpoint: Endpoint,
    batches: Iterable[Inputs],
    *,
    in_flight: int = 16,
    signature_name: str = "",
    timeout: float = TIMEOUT,
    check: bool = True,
    collect_errors: bool = False,
    progress: bool = True,
) -> Generator[Any, None, None]:
    """Send many batches over gRPC, several at once; yields the outputs in the batches' order.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    batches : iterable of mapping of str to array-like
        Inputs by name, as for `predict`; may be endless. A batch is taken when there is room for
        its call, so at most `in_flight` of them are in memory.
    in_flight : int
        Calls under way at once.
    signature_name : str, optional
        In place of the endpoint's.
    timeout : float
        Seconds for each call.
    check : bool
        Whether each batch is checked against the signature before it is sent.
    collect_errors : bool
        Whether a CallError is yielded in place of the outputs. Otherwise the first one is
        raised, and the calls that are under way are cancelled; `NotAuthenticated` always is.
    progress : bool
        Show a bar with the rate when it takes over two seconds.

    Yields
    ------
    dict of str to ndarray, or CallError
        As `predict` returns them.

    Raises
    ------
    CallError
        As `predict` does; `BadInput` at once when `in_flight` is no number from 1 on.

    Examples
    --------
    >>> for outputs in predict_many(endpoint, batches):  # doctest: +SKIP
    ...     print(outputs["probabilities"].argmax(axis=1))
    """
    if not isinstance(in_flight, int) or in_flight < 1:
        raise BadInput(
            _("in_flight is a number of calls from 1 on, not {given!r}.", given=in_flight)
        )

    def begin(batch: Inputs, interrupts: Interrupts) -> many.PendingCall:
        call = Call(endpoint, timeout, "grpc", signature_name)
        return many.PendingCall(call, batch, check, interrupts)

    answers = many.in_order(begin, batches, in_flight, collect_errors)
    return many.with_bar(answers, batches) if progress else answers


class Class(NamedTuple):
    """One class of an example, and its score; a model may leave either out: empty, or 0."""

    label: str
    score: float


def classify(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = TIMEOUT,
    protocol: str = "",
) -> list[list[Class]]:
    """Classify examples, which are features by name, as `tf.train.Example` has them.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    examples : iterable of mapping of str to number, str, bytes or a list of them
        A float is another kind of feature than an int: `2.0` is not `2`.
    context : mapping, optional
        Features that all examples share; an example's own go before.
    signature_name, timeout, protocol
        As for `predict`.

    Returns
    -------
    list of list of Class
        For each example its classes.

    Raises
    ------
    CallError
        The class of `helpers.errors` that fits, with the service's own text.

    See tensorflow_serving/apis/classification.proto.
    """
    call = Call(endpoint, timeout, protocol, signature_name)
    rows = call.classify(examples, context or {})
    # As float32, or a score over REST would not equal the same one over gRPC.
    return [[Class(label, float(np.float32(score))) for label, score in row] for row in rows]


def regress(
    endpoint: Endpoint,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature_name: str = "",
    timeout: float = TIMEOUT,
    protocol: str = "",
) -> NDArray:
    """Ask for one number for each example; everything else is as for `classify`.

    Returns
    -------
    ndarray of float32, shape [examples]

    See tensorflow_serving/apis/regression.proto.
    """
    call = Call(endpoint, timeout, protocol, signature_name)
    return np.array(call.regress(examples, context or {}), np.float32)


def signatures(endpoint: Endpoint, *, timeout: float = TIMEOUT, protocol: str = "") -> Signatures:
    """Ask what a model takes and gives.

    Returns
    -------
    Signatures
        By name; each has `inputs` and `outputs` with dtype and shape. Shows as a table.

    Raises
    ------
    CallError
        `UnknownModel` when the model is not served there, for instance.

    See tensorflow_serving/apis/get_model_metadata.proto.
    """
    call = Call(endpoint, timeout, protocol)
    with call.explained():
        return call.signatures()


class VersionStatus(NamedTuple):
    """The state of one version: START, LOADING, AVAILABLE, UNLOADING or END, and why."""

    state: str
    code: str = "OK"
    message: str = ""


def status(
    endpoint: Endpoint, *, timeout: float = TIMEOUT, protocol: str = ""
) -> dict[int, VersionStatus]:
    """Ask which versions of a model there are, and the state of each.

    Returns
    -------
    dict of int to VersionStatus
        Highest version first.

    Raises
    ------
    CallError
        `UnknownModel` when no model of that name is configured there, for instance.

    See tensorflow_serving/apis/get_model_status.proto.
    """
    return Call(endpoint, timeout, protocol).status()


_cache = SignatureCache()
_KEPT_SECONDS = 10.0  # for REST, whose answers do not tell the version that gave them


class Call:
    """One call: to which endpoint, over which protocol, and until when.

    Parameters
    ----------
    endpoint : Endpoint
        With the model's name.
    timeout : float
        Seconds for all that the call needs, such as asking for the signatures first.
    protocol : str, optional
        `"grpc"` or `"rest"`; without it gRPC, if the endpoint has a gRPC address.
    signature_name : str, optional
        In place of the endpoint's.
    """

    def __init__(
        self, endpoint: Endpoint, timeout: float, protocol: str = "", signature_name: str = ""
    ) -> None:
        if protocol not in ("", "grpc", "rest"):
            raise BadInput(
                _("protocol is grpc, rest or empty, not {protocol!r}.", protocol=protocol)
            )
        self.endpoint = endpoint
        self.deadline = time.monotonic() + timeout
        self.signature_name = signature_name or endpoint.signature_name
        self.protocol: Grpc | Rest = GRPC
        if protocol == "rest" or (not protocol and endpoint.rest and not endpoint.grpc):
            from helpers.tfserving.rest import REST  # optional: gRPC needs none of it

            self.protocol = REST

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def predict(self, inputs: Inputs, check: bool = True) -> Arrays:
        """Check the inputs, send them, and return the outputs."""
        inputs = named(inputs)
        with self.explained():
            if check:
                inputs = self.checked(inputs)
            version, outputs = self.protocol.predict(self, inputs)
        self.answered_by(version)
        return outputs

    async def predict_async(self, inputs: Inputs, check: bool = True) -> Arrays:
        """Do as `predict` does, over a channel of the running event loop."""
        inputs = named(inputs)
        try:
            if check:
                fitting = self._fitting(inputs)
                if fitting is None:  # the service has to be asked, which waits
                    signatures = await asyncio.to_thread(self.signatures)
                    fitting = check_inputs(signatures, self.signature_name, inputs)
                inputs = fitting
            request = GRPC.encode(self, inputs)
            channel = channels.aio_channel(self.endpoint)  # named, or it could close meanwhile
            method = channel.unary_unary(PREDICT)
            answer = await transport.unary_async(self.endpoint, method, request, self.remaining)
        except UnknownModel as error:
            await asyncio.to_thread(self._add_reason, error)
            raise
        return self.decoded(answer)

    def checked(self, inputs: Inputs) -> Arrays:
        """Check inputs against the signature; where the kept one does not fit, ask anew."""
        fitting = self._fitting(inputs)
        if fitting is None:
            fitting = check_inputs(self.signatures(), self.signature_name, inputs)
        return fitting

    def _fitting(self, inputs: Inputs) -> Arrays | None:
        signatures = _cache.get(self._connection, self._model)
        if signatures is None:
            return None
        try:
            return check_inputs(signatures, self.signature_name, inputs)
        except CallError:
            return None  # perhaps another version answers by now

    def kept_signatures(self) -> Signatures:
        """Return the signatures as they were kept or, after some seconds, ask for them anew."""
        return _cache.get(self._connection, self._model, _KEPT_SECONDS) or self.signatures()

    def signatures(self) -> Signatures:
        """Ask what the model takes and gives, and keep it for the next calls."""
        signatures = self.protocol.signatures(self)
        _cache.put(self._connection, self._model, signatures)
        return signatures

    def decoded(self, answer: bytes) -> Arrays:
        """Read an answer over gRPC."""
        version, outputs = GRPC.decode(self, answer)
        self.answered_by(version)
        return outputs

    def answered_by(self, version: int | None) -> None:
        """Forget the signatures when another version than theirs has answered."""
        signatures = _cache.get(self._connection, self._model)
        if signatures is not None and version not in (None, signatures.version):
            _cache.forget(self._connection, self._model)

    def classify(self, examples: Iterable, context: Mapping[str, Any]) -> Sequence:
        """Return pairs of label and score for each example."""
        features = [features_of(example) for example in examples]
        with self.explained():
            return self.protocol.classify(self, features, features_of(context))

    def regress(self, examples: Iterable, context: Mapping[str, Any]) -> Sequence:
        """Return a number for each example."""
        features = [features_of(example) for example in examples]
        with self.explained():
            return self.protocol.regress(self, features, features_of(context))

    def status(self) -> dict[int, VersionStatus]:
        """Ask which versions there are, and the state of each."""
        try:
            response = self.protocol.status(self)
        except UnknownModel as error:
            if self.endpoint.version is None and not self.endpoint.version_label:
                error.args = (self._not_served(),)
            else:
                self._add_reason(error)
            raise
        return {
            version.version: VersionStatus(
                _enum_name(version, "state"),
                _enum_name(version.status, "error_code"),
                version.status.error_message,
            )
            for version in sorted(response.model_version_status, key=lambda status: -status.version)
        }

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Make an UnknownModel say whether the model is missing, one version of it, or failed."""
        try:
            yield
        except UnknownModel as error:
            self._add_reason(error)
            raise

    def _add_reason(self, error: UnknownModel) -> None:
        if "version label" not in error.details:  # then the service's own sentence says it all
            error.args = (self._reason(),)

    def _reason(self) -> str:
        every = self.endpoint.replace(version=None, version_label="")
        timeout = max(self.remaining, 0.1)  # the reason is worth a moment after the deadline
        try:
            versions = Call(every, timeout, self.protocol.name).status()
        except CallError:
            return self._not_served()
        model = self.endpoint.model
        version = self.endpoint.version
        states = "; ".join(_state(number, status) for number, status in versions.items())
        if version is None:
            return _(
                "Model {model!r} is not available at {address}: {states}.",
                model=model,
                address=self._address,
                states=states,
            )
        return _(
            "Version {version} of model {model!r} is not available at {address}: {states}.",
            version=version,
            model=model,
            address=self._address,
            states=states,
        )

    def _not_served(self) -> str:
        model = self.endpoint.model
        if not model:
            return _("No model was named. Name one: endpoint.replace(model=...).")
        others = [name for name in self.endpoint.models if name != model]
        if not others:
            return _(
                "Model {model!r} is not served at {address}.", model=model, address=self._address
            )
        return _(
            "Model {model!r} is not served at {address}. {names}",
            model=model,
            address=self._address,
            names=suggest(model, others, _("Served there: {names}.")),
        )

    @property
    def _address(self) -> str:
        return getattr(self.endpoint, self.protocol.name)

    @property
    def _connection(self) -> Any:
        return self.protocol.connection(self.endpoint)

    @property
    def _model(self) -> tuple:
        return self.endpoint.model, self.endpoint.version, self.endpoint.version_label


def _state(number: int, status: VersionStatus) -> str:
    if not status.message:
        return _("version {number} is {state}", number=number, state=status.state)
    return _(
        "version {number} is {state} ({message})",
        number=number,
        state=status.state,
        message=status.message,
    )


def _enum_name(message: Any, field: str) -> str:
    number = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return value.name if value else str(number)  # a newer service may have more
