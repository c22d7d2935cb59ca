"""Watches one call, whatever makes it: where its time goes, and a way to end it early."""

import io
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from helpers import transport

if TYPE_CHECKING:
    import requests

PARTS = ("encode", "connect", "send", "wait", "receive", "decode")  # of a call, in order
_UNARY = tuple(part for part in PARTS if part != "send")  # gRPC does not tell when a call is sent
_SETTLED = {
    grpc.ChannelConnectivity.READY,
    grpc.ChannelConnectivity.TRANSIENT_FAILURE,  # a call says what it is that failed
    grpc.ChannelConnectivity.SHUTDOWN,
}

# Once each: gRPC's watcher goes on for 0.2 s, and one more would fail loudly when a channel closes.
_watched: "weakref.WeakSet[grpc.Channel]" = weakref.WeakSet()


class Watch:
    """Watches the call that is made inside of `with watch:`, in that thread.

    Where the call fails, the last part is the one that it failed in.

    Several requests may belong to a call, such as one for a token: the last one's parts are told,
    and all before it is `encode`.

    Examples
    --------
    >>> with Watch() as watch:
    ...     pass  # a call
    >>> list(watch.seconds)
    ['decode']
    """

    def __init__(self) -> None:
        self.cancelled = False
        self.moments: dict[str, float] = {}
        self._parts: tuple[str, ...] = PARTS
        self._cancel: Callable[[], object] | None = None

    def __enter__(self) -> "Watch":
        self.began = time.perf_counter()
        self._token = transport.WATCH.set(self)
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self.note(self._under_way() if error else "decode")
        transport.WATCH.reset(self._token)

    @property
    def seconds(self) -> dict[str, float]:
        """How long each of `PARTS` took that the call came to.

        Over gRPC, where a call does not tell when it is sent, `send` is in `wait`.
        """
        spans = itertools.pairwise([self.began, *self.moments.values()])
        parts = zip(self.moments, spans, strict=True)
        return {part: end - begin for part, (begin, end) in parts}

    def note(self, part: str, moment: float | None = None) -> None:
        """Note that a part ended, now or at a moment of `time.perf_counter`."""
        self.moments.pop(part, None)  # or a part made twice would keep its first place
        self.moments[part] = time.perf_counter() if moment is None else moment

    def begin(self, cancel: Callable[[], object] | None = None) -> None:
        """Take what ends the request that is under way now, if anything can."""
        self._cancel = cancel
        if cancel and self.cancelled:
            cancel()

    def cancel(self) -> None:
        """End the call early, if that can be done.

        Over REST it cannot: the answer will come, or the time will run out, and nobody waits.
        """
        self.cancelled = True
        if self._cancel:
            self._cancel()

    def unary(self, channel: grpc.Channel, method: Any, request: Any, timeout: float) -> Any:
        """Do as a stub's method does, and note the parts."""
        deadline = time.monotonic() + timeout
        self._encoded()
        connect(channel, timeout)
        self.note("connect")
        self._parts = _UNARY
        call = method.future(request, timeout=max(0.0, deadline - time.monotonic()))
        self.begin(call.cancel)
        call.initial_metadata()  # waits for it
        self.note("wait")
        answer = call.result()
        self.note("receive")
        return answer

    def request(
        self, session: "requests.Session", method: str, url: str, timeout: float, **content: Any
    ) -> "requests.Response":
        """Do as `session.request` does, and note the parts."""
        import requests  # optional: gRPC needs none of it

        self._encoded()
        redirects = content.pop("allow_redirects", True)
        prepared = session.prepare_request(requests.Request(method, url, **content))
        settings = session.merge_environment_settings(url, {}, True, session.verify, None)
        settings["verify"] = session.verify
        if prepared.body:
            body: Any = prepared.body
            sent = _Body(body.encode() if isinstance(body, str) else body, self)
            prepared.prepare_body(sent, None)
        response = session.send(prepared, timeout=timeout, allow_redirects=redirects, **settings)
        self.note("wait")
        response.content  # noqa: B018 it is read here
        self.note("receive")
        return response

    def _encoded(self) -> None:
        self.moments = {}
        self._parts = PARTS
        self.note("encode")

    def _under_way(self) -> str:
        """Return the part that follows those which have ended."""
        return next((part for part in self._parts if part not in self.moments), self._parts[-1])


class _Body(io.BytesIO):
    """A request's body that notes when it is asked for first, and when all of it is sent."""

    def __init__(self, content: bytes, watch: Watch) -> None:
        super().__init__(content)
        self._watch = watch
        self._asked = False

    def read(self, size: int | None = -1) -> bytes:
        if not self._asked:
            self._asked = True
            self._watch.note("connect")
        part = super().read(size)
        if not part:
            self._watch.note("send")
        return part


def connect(channel: grpc.Channel, seconds: float) -> None:
    """Wait until the channel is ready or has failed, unlike grpc.channel_ready_future."""
    if channel in _watched:
        return
    _watched.add(channel)
    settled = threading.Event()

    def note(state: grpc.ChannelConnectivity) -> None:
        if state in _SETTLED:
            settled.set()

    channel.subscribe(note, try_to_connect=True)
    settled.wait(seconds)
    channel.unsubscribe(note)
